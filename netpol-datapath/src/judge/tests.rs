//! The whole range of ports and protocols, which the packet table only samples.

use netpol_common::Direction::Ingress;
use netpol_common::endpoint::{Endpoint, EndpointDirection, flags};
use netpol_common::identity::{ANY_POD, ANYONE, Address4, POD, Prefix4};
use netpol_common::policy::{ALLOW, Grant, PolicyKey, PortKey, PortVerdict};
use netpol_common::protocol::{ICMP, SCTP, TCP, UDP};

use super::{Judgement, Opening, judge};
use crate::family::V4;
use crate::memory::Memory;

const SET: u32 = 3;
const TABLE: u32 = 4;
const DENY: u32 = 99;
const PEER: u32 = u32::from_ne_bytes([10, 0, 0, 9]);
const IDENTITY: u32 = POD | 1;

fn rules(wildcards: u32) -> EndpointDirection {
    EndpointDirection {
        flags: flags::ISOLATED | wildcards,
        set: SET,
        deny_rule: DENY,
        second_set: 0,
    }
}

fn everything(rule: u32) -> Grant {
    Grant {
        rule,
        ..Grant::default()
    }
}

fn grant(memory: &mut Memory, identity: u32, grant: Grant) {
    let key = PolicyKey { set: SET, identity };
    memory.policy.insert(key, grant).expect("room");
}

/// Maps in which `PEER` is known.
fn memory() -> Memory {
    let mut memory = Memory::default();
    let address = Address4 { word: PEER };
    memory.identity_v4.insert(address, IDENTITY).expect("room");
    memory
}

fn ask(memory: &Memory, rules: &EndpointDirection, opening: Opening) -> Judgement {
    let endpoint = Endpoint {
        ingress: *rules,
        ..Endpoint::default()
    };
    judge::<V4, Memory>(memory, &endpoint, &PEER, opening)
}

#[test]
fn every_port_of_every_protocol_is_judged_by_its_longest_prefix() {
    let mut memory = memory();
    let entries = [
        (TCP, 16, 80, 1),
        (TCP, 12, 80, 2),
        (TCP, 8, 0x1200, 3),
        (UDP, 4, 0xf000, 4),
        (SCTP, 0, 0, 5),
        // Nobody writes these, and nobody must read them.
        (ICMP, 0, 0, 6),
        (47, 0, 0, 7),
    ];
    for (protocol, length, port, rule) in entries {
        let verdict = PortVerdict {
            verdict: ALLOW,
            rule,
        };
        let key = PortKey::new(TABLE, protocol, length, port);
        memory.ports.insert(key, verdict).expect("room");
    }
    let ports = Grant {
        rule: 0,
        table: TABLE,
        levels: 0b1_1111,
    };
    grant(&mut memory, IDENTITY, ports);
    for port in 0..=u16::MAX {
        let expected = |protocol| match (protocol, port) {
            (TCP, 80) => Some(1),
            (TCP, 80..=95) => Some(2),
            (TCP, 0x1200..=0x12ff) => Some(3),
            (UDP, 0xf000..) => Some(4),
            (SCTP, _) => Some(5),
            _ => None,
        };
        for protocol in [TCP, UDP, SCTP, ICMP, 47] {
            let seen = ask(&memory, &rules(0), Opening::new(Ingress, protocol, port));
            let seen = (seen.is_allowed(), seen.rule());
            let wanted = expected(protocol).map_or((false, DENY), |rule| (true, rule));
            assert_eq!(seen, wanted, "protocol {protocol} port {port}");
        }
    }
}

#[test]
fn levels_that_the_table_does_not_use_are_not_asked() {
    let mut memory = memory();
    let verdict = PortVerdict {
        verdict: ALLOW,
        rule: 1,
    };
    let key = PortKey::new(TABLE, TCP, 16, 80);
    memory.ports.insert(key, verdict).expect("room");
    let without_16 = Grant {
        rule: 0,
        table: TABLE,
        levels: 0b1_1110,
    };
    grant(&mut memory, IDENTITY, without_16);
    let seen = ask(&memory, &rules(0), Opening::new(Ingress, TCP, 80));
    assert_eq!(seen, Judgement::denied(DENY));
}

#[test]
fn an_entry_of_ones_own_comes_before_any_pod_and_that_before_anyone() {
    let mut memory = memory();
    let wildcards = rules(flags::ANY_POD | flags::ANYONE);
    let opening = Opening::new(Ingress, TCP, 80);
    grant(&mut memory, ANYONE, everything(3));
    grant(&mut memory, ANY_POD, everything(2));
    assert_eq!(ask(&memory, &wildcards, opening), Judgement::allowed(2));
    grant(&mut memory, IDENTITY, everything(1));
    assert_eq!(ask(&memory, &wildcards, opening), Judgement::allowed(1));
    // Its own entry is complete: what it denies no wildcard allows.
    grant(&mut memory, IDENTITY, Grant::default());
    assert_eq!(ask(&memory, &wildcards, opening), Judgement::denied(DENY));
}

#[test]
fn an_address_that_is_no_pods_is_not_any_pod() {
    let mut memory = Memory::default();
    grant(&mut memory, ANY_POD, everything(2));
    let seen = ask(
        &memory,
        &rules(flags::ANY_POD),
        Opening::new(Ingress, TCP, 80),
    );
    assert_eq!(seen, Judgement::denied(DENY));
    // Nor is one that a prefix matches.
    let prefix = Prefix4 {
        length: 8,
        word: PEER,
    };
    memory.cidr_v4.insert(prefix, 5).expect("room");
    let both = rules(flags::ANY_POD | flags::CIDR);
    let seen = ask(&memory, &both, Opening::new(Ingress, TCP, 80));
    assert_eq!(seen, Judgement::denied(DENY));
}

#[test]
fn a_prefix_says_nothing_about_an_address_with_an_identity_of_its_own() {
    let mut memory = memory();
    let prefix = Prefix4 {
        length: 8,
        word: PEER,
    };
    memory.cidr_v4.insert(prefix, 5).expect("room");
    grant(&mut memory, 5, everything(1));
    let seen = ask(&memory, &rules(flags::CIDR), Opening::new(Ingress, TCP, 80));
    assert_eq!(seen, Judgement::denied(DENY));
}

#[test]
fn a_wildcard_that_is_announced_and_missing_is_inconsistent() {
    let seen = ask(
        &memory(),
        &rules(flags::ANYONE),
        Opening::new(Ingress, TCP, 80),
    );
    assert!(seen.is_inconsistent() && !seen.is_allowed());
}
