use netpol_common::maps;

use super::*;
use crate::{
    bpf::syscall::probe::MapKind,
    preflight::{
        capability::Capabilities,
        facts::{PlaceFacts, Sysctls},
        neighbours::{Foreign, Neighbours},
    },
};

fn good_machine() -> Machine {
    Machine {
        kernel: "6.18.0".to_owned(),
        root: true,
        capabilities: Capabilities::of(&[
            Capability::NetAdmin,
            Capability::Bpf,
            Capability::Perfmon,
        ]),
        maps: Vec::new(),
        program: None,
        tcx: true,
        counts_maps: Some(false),
        memlock: (65_536, 65_536),
    }
}

fn good() -> Facts {
    let sizes = [maps::CONNTRACK_V4, maps::ENDPOINT].map(|name| (name, 1024));
    Facts {
        machine: good_machine(),
        places: PlaceFacts {
            bpffs: "/bpffs/netpol".into(),
            is_bpf: true,
            busy: None,
            unusable: None,
        },
        neighbours: Neighbours {
            pairs: 3,
            ..Neighbours::default()
        },
        sysctls: Sysctls {
            ip_forward: Some(true),
            bridge_calls_iptables: None,
        },
        sizes: MapSizes(sizes.into()),
        cpus: 2,
        memory: Some(1 << 30),
    }
}

/// The findings that are not as they should be.
fn troubles(facts: &Facts) -> Vec<Finding> {
    let mut findings = all(facts, HookChoice::Auto);
    findings.retain(|finding| finding.result != Outcome::Pass);
    findings
}

/// The one finding that is not as it should be, in short.
fn trouble(facts: &Facts) -> (&'static str, Outcome, String) {
    match troubles(facts).as_slice() {
        [one] => {
            assert!(one.remedy.is_some(), "{one:?} says what to do");
            (one.check, one.result, one.says.clone())
        }
        others => panic!("{} findings: {others:#?}", others.len()),
    }
}

#[test]
fn a_good_node_passes_every_check() {
    assert_eq!(troubles(&good()), []);
}

#[test]
fn the_kernels_name_decides_nothing() {
    let mut facts = good();
    facts.machine.kernel = "4.18.0-patched".to_owned();
    assert_eq!(troubles(&facts), []);
}

#[test]
fn a_missing_capability_is_named() {
    let mut facts = good();
    facts.machine.capabilities = Capabilities::of(&[Capability::NetAdmin, Capability::Bpf]);
    let (check, result, says) = trouble(&facts);
    assert_eq!((check, result), ("rights", Outcome::Fail));
    assert_eq!(says, "the capabilities PERFMON are missing");
}

#[test]
fn a_kernel_without_a_kind_of_map_is_told_from_one_that_refuses_it() {
    let mut facts = good();
    facts.machine.maps = vec![(MapKind::RingBuffer, Refusal::Absent)];
    assert_eq!(
        trouble(&facts).2,
        "this kernel does not have a map of the kind ring buffer"
    );
    facts.machine.maps = vec![(MapKind::RingBuffer, Refusal::Forbidden)];
    assert_eq!(
        trouble(&facts).2,
        "the kernel refuses a map of the kind ring buffer to this process"
    );
}

#[test]
fn locked_memory_matters_where_maps_count_alone() {
    let mut facts = good();
    facts.machine.counts_maps = Some(true);
    assert_eq!(trouble(&facts).0, "memlock");
    facts.machine.memlock.1 = u64::MAX;
    assert_eq!(troubles(&facts), []);
    facts.machine.memlock.1 = 65_536;
    facts.machine.capabilities = Capabilities::of(&[
        Capability::NetAdmin,
        Capability::Bpf,
        Capability::Perfmon,
        Capability::SysResource,
    ]);
    assert_eq!(troubles(&facts), []);
}

#[test]
fn tcx_is_needed_only_by_who_asks_for_it() {
    let mut machine = good_machine();
    machine.tcx = false;
    let result = |hook| attaching(&machine, hook).result;
    assert_eq!(result(HookChoice::Auto), Outcome::Pass);
    assert_eq!(result(HookChoice::Clsact), Outcome::Pass);
    assert_eq!(result(HookChoice::Tcx), Outcome::Fail);
}

#[test]
fn a_directory_that_is_no_bpf_file_system_is_named() {
    let mut facts = good();
    facts.places.is_bpf = false;
    facts.places.unusable = Some("read-only".to_owned());
    assert_eq!(
        trouble(&facts),
        (
            "bpffs",
            Outcome::Fail,
            "/bpffs/netpol is not on a BPF file system".to_owned()
        )
    );
}

#[test]
fn another_agent_is_a_failure_of_its_own() {
    let mut facts = good();
    facts.places.busy = Some("/bpffs/netpol".into());
    assert_eq!(
        trouble(&facts),
        (
            AGENT,
            Outcome::Fail,
            "an agent runs here: it uses /bpffs/netpol".to_owned()
        )
    );
}

#[test]
fn a_bridge_without_br_netfilter_is_a_warning() {
    let mut facts = good();
    facts.neighbours.bridges = 1;
    assert_eq!(
        trouble(&facts),
        (
            "bridge",
            Outcome::Warn,
            "the module br_netfilter is not loaded".to_owned()
        )
    );
    facts.sysctls.bridge_calls_iptables = Some(true);
    assert_eq!(troubles(&facts), []);
}

#[test]
fn others_on_the_hooks_are_warned_of_by_name_and_not_all_of_them() {
    let mut facts = good();
    facts.neighbours.programs = (0..5)
        .map(|number| Foreign {
            interface: format!("veth{number}"),
            program: "filter x".to_owned(),
        })
        .collect();
    assert_eq!(
        trouble(&facts).2,
        "others are on the pods' interfaces: filter x on veth0, filter x on veth1, filter x on \
         veth2, 2 more"
    );
}

#[test]
fn another_engine_is_warned_of_with_what_tells_of_it() {
    let mut facts = good();
    facts.neighbours.engines = vec![("Cilium", "its interface cilium_host is there".to_owned())];
    let (check, result, says) = trouble(&facts);
    assert_eq!((check, result), ("engines", Outcome::Warn));
    assert!(says.starts_with("Cilium (its interface cilium_host is there)"));
}

#[test]
fn tables_that_the_node_cannot_hold_name_the_flag() {
    let mut facts = good();
    facts.sizes.0.insert(maps::CONNTRACK_V4, 1 << 24);
    let (check, result, says) = trouble(&facts);
    assert_eq!((check, result), ("tables", Outcome::Fail));
    assert!(says.contains("--max-connections 16777216"), "{says}");
    facts.memory = Some(2 << 30);
    let (_, result, says) = trouble(&facts);
    assert_eq!(result, Outcome::Warn);
    assert!(
        says.contains("more than half of this node's 2048 MiB"),
        "{says}"
    );
    facts.memory = None;
    assert_eq!(troubles(&facts), []);
}
