//! Answers to the local API.

use std::io;

use netpol_api::{Call, Connection, ConnectionState, Reply};
use netpol_common::{
    address,
    conntrack::{self, Key4, Key6, state},
    protocol,
};

use super::{Engine, Question, enforcement::Asked, names};
use crate::bpf::error::LoadError;

impl Engine {
    pub(crate) async fn answer(&mut self, question: Question) {
        match question {
            Question::Call(call, reply) => {
                let answer = if let Call::Enforcement {
                    namespace, name, ..
                } = call.as_ref()
                {
                    let asked = Asked {
                        namespace: namespace.as_deref(),
                        name: name.as_deref(),
                    };
                    self.enforcement(asked).await
                } else {
                    tokio::task::block_in_place(|| self.call(&call))
                };
                // Whoever asked may have given up.
                let _ = reply.send(answer);
            }
            Question::Subscribe(reply) => drop(reply.send(self.flows.subscribe())),
        }
    }

    fn call(&mut self, call: &Call) -> Reply {
        match call {
            Call::Status => Reply::Status(Box::new(self.status())),
            Call::Stats => Reply::Stats(self.stats()),
            Call::ResetBaseline => {
                let counts = self.counts();
                self.baseline.set(counts, self.cut_counts());
                Reply::Done
            }
            Call::Endpoints => Reply::Endpoints(self.endpoints()),
            Call::Policies => Reply::Policies(self.policies()),
            Call::Conntrack => match self.connections() {
                Ok(connections) => Reply::Conntrack(connections),
                Err(error) => Reply::Error(format!("cannot read the connections: {error}")),
            },
            Call::Wait { .. } => Reply::Wait(self.wait_outcome()),
            Call::Enforcement { .. } => Reply::Error("the kernel is read first".to_owned()),
            Call::CniCheck { attachment } => self.check_sandbox(attachment),
            Call::CniStatus => self.plugin_status(),
            Call::Flows { .. } | Call::CniAdd { .. } | Call::CniDel { .. } | Call::CniGc { .. } => {
                Reply::Error("this call is not answered at once".to_owned())
            }
        }
    }

    fn connections(&self) -> Result<Vec<Connection>, ConnectionsError> {
        let now = self.clock.now()?;
        let mut all = Vec::new();
        for table in [&self.conntrack.v4, &self.conntrack.new_v4] {
            let entries = table.entries()?.into_iter();
            all.extend(entries.map(|(key, value)| self.connection(&key.into(), &value, now)));
        }
        for table in [&self.conntrack.v6, &self.conntrack.new_v6] {
            let entries = table.entries()?.into_iter();
            all.extend(entries.map(|(key, value)| self.connection(&key.into(), &value, now)));
        }
        Ok(all)
    }

    fn connection(&self, key: &Key, value: &conntrack::Connection, now: u32) -> Connection {
        let number = conntrack::selector_protocol(key.selector);
        let (mut local_port, mut remote_port) = (key.ports as u16, (key.ports >> 16) as u16);
        // A ping has one identifier, on the side of who answers.
        if matches!(number, protocol::ICMP | protocol::ICMPV6) {
            local_port |= remote_port;
            remote_port = 0;
        }
        // A stamp later than `now` is that of a packet since the clock was read.
        let idle = now.wrapping_sub(value.last_seen);
        let idle = if idle > u32::MAX / 2 { 0 } else { idle };
        Connection {
            pod: names::endpoint_pod(key.endpoint, &self.state, &self.mirror)
                .map(|pod| names::object_name(&pod)),
            ifindex: key.endpoint,
            direction: names::direction_of(value.initiator()),
            protocol: names::protocol_name(number),
            local_port,
            remote: key.remote,
            remote_port,
            state: connection_state(value.state),
            idle_seconds: u64::from(idle / self.clock.ticks_per_second()),
            generation: value.generation,
            rule: Some(names::rule_ref(value.rule, &self.state)),
        }
    }
}

/// A key of either family.
struct Key {
    endpoint: u32,
    remote: std::net::IpAddr,
    ports: u32,
    selector: u32,
}

impl From<Key4> for Key {
    fn from(key: Key4) -> Self {
        Self {
            endpoint: key.endpoint,
            remote: address::v4_from_word(key.remote).into(),
            ports: key.ports,
            selector: key.selector,
        }
    }
}

impl From<Key6> for Key {
    fn from(key: Key6) -> Self {
        Self {
            endpoint: key.endpoint,
            remote: address::v6_from_words(key.remote).into(),
            ports: key.ports,
            selector: key.selector,
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum ConnectionsError {
    #[error(transparent)]
    Clock(#[from] LoadError),
    #[error(transparent)]
    Map(#[from] io::Error),
}

fn connection_state(bits: u32) -> ConnectionState {
    if bits & state::CUT != 0 {
        ConnectionState::Cut
    } else if bits & state::CLOSING != 0 {
        ConnectionState::Closing
    } else if bits & state::REPLIED != 0 {
        ConnectionState::Established
    } else {
        ConnectionState::New
    }
}
