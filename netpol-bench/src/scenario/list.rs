//! The scenarios, each in both directions and families, with what a packet may cost.

use netpol_common::Direction;

use super::pod::{self, CLIENT, CLOSED, PEERS, Policies, STRANGERS, VIP, WEB, policy_of};
use super::walk::{ACK, SYN, Segment};
use super::{Family, Scenario, State, Verdict, Walk};

/// Every scenario.
#[must_use]
pub fn all() -> Vec<Scenario> {
    let mut all = Vec::new();
    for direction in [Direction::Ingress, Direction::Egress] {
        for family in Family::ALL {
            all.extend(Way { direction, family }.scenarios());
        }
    }
    all
}

/// Peers of scenarios where their number is not what matters.
const SOME: u32 = 1_000;

/// One direction and family.
#[derive(Clone, Copy)]
struct Way {
    direction: Direction,
    family: Family,
}

impl Way {
    fn scenarios(self) -> Vec<Scenario> {
        let mut all = Vec::new();
        for (flows, target) in [(1, 20.0), (1_000, 30.0), (10_000, 30.0), (100_000, 120.0)] {
            all.push(self.established(flows, target));
        }
        for (flows, target) in [(1, 20.0), (10_000, 60.0)] {
            all.push(self.reply(flows, target));
        }
        for (peers, target) in [
            (10, 300.0),
            (1_000, 300.0),
            (10_000, 300.0),
            (100_000, 450.0),
        ] {
            all.push(self.new_flow(&format!("{} peers", short(peers)), policy_of(peers), target));
        }
        for ports in [24, 200] {
            let policies = Policies {
                ports,
                ..policy_of(SOME)
            };
            all.push(self.new_flow(&format!("{ports} ports"), policies, 300.0));
        }
        let policies = Policies {
            number: SOME,
            ..policy_of(SOME)
        };
        all.push(self.new_flow("1,000 policies", policies, 300.0));
        all.push(self.unknown_peer());
        for (peers, target) in [(10, 75.0), (10_000, 75.0), (100_000, 200.0)] {
            all.push(self.wrong_port(peers, target));
        }
        all.push(self.default_deny());
        all.push(self.no_policy());
        if self.direction == Direction::Egress {
            all.push(self.service());
        }
        all
    }

    fn established(self, flows: u32, target: f64) -> Scenario {
        let mut state = pod::isolated(self.family, policy_of(1));
        pod::connect(&mut state, self.family, self.direction, flows);
        Scenario {
            same_code: flows > 1,
            ..self.scenario(
                format!("established, {}", counted(flows, "flow")),
                state,
                self.segments((PEERS, flows), WEB, ACK),
                target,
            )
        }
    }

    /// Packets of connections that the other side opened.
    fn reply(self, flows: u32, target: f64) -> Scenario {
        let mut state = pod::isolated(self.family, policy_of(1));
        let opened = self.direction.opposite();
        pod::connect(&mut state, self.family, opened, flows);
        let (remote, local) = match opened {
            Direction::Ingress => (CLIENT, WEB),
            Direction::Egress => (WEB, CLIENT),
        };
        let segment = Segment {
            remote,
            local,
            flags: ACK,
        };
        Scenario {
            same_code: flows > 1,
            ..self.scenario(
                format!("reply, {}", counted(flows, "flow")),
                state,
                self.walk((PEERS, flows), segment),
                target,
            )
        }
    }

    fn new_flow(self, of: &str, policies: Policies, target: f64) -> Scenario {
        let state = pod::isolated(self.family, policies);
        let walk = self.segments((PEERS, policies.peers), WEB, SYN).opening();
        Scenario {
            opens: true,
            same_code: policies.peers > SOME,
            ..self.scenario(format!("new flow, {of}"), state, walk, target)
        }
    }

    fn unknown_peer(self) -> Scenario {
        let state = pod::isolated(self.family, policy_of(SOME));
        let walk = self.segments((STRANGERS, SOME), WEB, SYN).opening();
        self.denied("unknown peer", state, walk, 45.0)
    }

    fn wrong_port(self, peers: u32, target: f64) -> Scenario {
        let state = pod::isolated(self.family, policy_of(peers));
        let walk = self.segments((PEERS, peers), CLOSED, SYN).opening();
        Scenario {
            same_code: peers > SOME,
            ..self.denied(
                &format!("wrong port, {} peers", short(peers)),
                state,
                walk,
                target,
            )
        }
    }

    /// Peers that other pods' policies name, and nothing that this pod's allow.
    fn default_deny(self) -> Scenario {
        let policies = Policies {
            number: 0,
            ..policy_of(SOME)
        };
        let state = pod::isolated(self.family, policies);
        let walk = self.segments((PEERS, SOME), WEB, SYN).opening();
        self.denied("default deny", state, walk, 75.0)
    }

    fn no_policy(self) -> Scenario {
        let walk = self.segments((PEERS, SOME), WEB, SYN).opening();
        let state = pod::free(self.family);
        Scenario {
            tracked: false,
            ..self.scenario("pod in no policy".to_owned(), state, walk, 10.0)
        }
    }

    fn service(self) -> Scenario {
        let walk = self.segments((VIP, 1), WEB, SYN).opening();
        let state = pod::client(self.family);
        Scenario {
            opens: true,
            ..self.scenario("new flow, ClusterIP".to_owned(), state, walk, 300.0)
        }
    }

    fn denied(self, why: &str, state: State, walk: Walk, target: f64) -> Scenario {
        Scenario {
            verdict: Verdict::Drop,
            ..self.scenario(format!("denied, {why}"), state, walk, target)
        }
    }

    fn scenario(self, what: String, state: State, walk: Walk, target: f64) -> Scenario {
        Scenario {
            what,
            direction: self.direction,
            family: self.family,
            state,
            walk,
            verdict: Verdict::Next,
            opens: false,
            tracked: true,
            target,
            same_code: false,
        }
    }

    /// Segments of who opens the connections, to a port.
    fn segments(self, peers: (u32, u32), port: u16, flags: u8) -> Walk {
        let (remote, local) = match self.direction {
            Direction::Ingress => (CLIENT, port),
            Direction::Egress => (port, CLIENT),
        };
        let segment = Segment {
            remote,
            local,
            flags,
        };
        self.walk(peers, segment)
    }

    fn walk(self, peers: (u32, u32), segment: Segment) -> Walk {
        let pod = pod::address(self.family);
        Walk::tcp(self.family, self.direction, pod, peers, segment)
    }
}

fn counted(number: u32, word: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {word}{plural}", short(number))
}

fn short(number: u32) -> String {
    if number >= 1_000 && number.is_multiple_of(1_000) {
        format!("{}k", number / 1_000)
    } else {
        number.to_string()
    }
}

/// Packets whose keys the yardstick looks up, of so many peers.
#[must_use]
pub fn yardstick(peers: u32) -> Walk {
    let way = Way {
        direction: Direction::Ingress,
        family: Family::V4,
    };
    way.segments((PEERS, peers), WEB, ACK)
}
