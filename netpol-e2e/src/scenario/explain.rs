//! Why a refusal was one: asked of netpolctl offline, and looked up among what the agent reported.

use std::{
    net::IpAddr,
    thread,
    time::{Duration, Instant},
};

use netpol_api::{Direction, Flow, RuleRef, Verdict};

use super::{Explain, Stage};
use crate::lab::{Host, LabError, Protocol, Result, Traffic};

/// How long a refused packet may take to show up among the agent's flows.
const FLOW_PATIENCE: Duration = Duration::from_secs(3);

/// netpol's word for a refusal.
#[derive(Debug, Clone)]
pub struct Explanation {
    /// The question as netpolctl was asked it.
    pub command: String,
    /// What `netpolctl evaluate` said.
    pub evaluated: String,
    /// The refused packet as the agent reported it, if it names whom it must.
    pub flow: Option<Flow>,
}

impl Stage {
    /// Has netpol explain a refusal that was just seen.
    ///
    /// # Errors
    ///
    /// When netpolctl cannot be run.
    pub fn explain(&self, explain: &Explain) -> Result<Explanation> {
        let name = |host: &Host| match host.name() {
            name if name.contains('/') => name.to_owned(),
            _ => host.addresses().v4.to_string(),
        };
        let (from, to) = (self.host(&explain.from)?, self.host(&explain.to)?);
        let (from_name, to_name) = (name(&from), name(&to));
        let port = explain.port.to_string();
        let mut question = vec!["--from", &from_name, "--to", &to_name];
        // Without a port a ping is meant.
        if explain.port != Traffic::Ping {
            question.extend(["--port", &port]);
        }
        let output = self
            .agent
            .ctl()
            .output(&[&["evaluate", "-f", "manifests"], &question[..]].concat())?;
        let mut evaluated = String::from_utf8_lossy(&output.stdout).into_owned();
        evaluated.push_str(&String::from_utf8_lossy(&output.stderr));
        Ok(Explanation {
            command: format!("netpolctl evaluate -f manifests {}", question.join(" ")),
            evaluated,
            flow: self.find_flow(explain, &from, &to)?,
        })
    }

    /// Looks for the refused packet among the agent's flows until it is there or patience ends.
    fn find_flow(&self, explain: &Explain, from: &Host, to: &Host) -> Result<Option<Flow>> {
        let deadline = Instant::now() + FLOW_PATIENCE;
        loop {
            let text = self.agent.ctl().text(&["flows", "-o", "json"])?;
            for line in text.lines() {
                let flow: Flow = serde_json::from_str(line).map_err(|source| LabError::Json {
                    command: "netpolctl flows -o json".to_owned(),
                    source,
                    output: line.to_owned(),
                })?;
                if is_the_refusal(&flow, explain, from, to) {
                    return Ok(Some(flow));
                }
            }
            if Instant::now() > deadline {
                return Ok(None);
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Whether a flow is the refusal asked for, attributed to exactly the policies it must be.
pub fn is_the_refusal(flow: &Flow, explain: &Explain, from: &Host, to: &Host) -> bool {
    let (asker, asked) = match explain.at {
        Direction::Egress => (&flow.endpoint, &flow.peer),
        Direction::Ingress => (&flow.peer, &flow.endpoint),
    };
    let is = |address: Option<IpAddr>, host: &Host| {
        address.is_some_and(|address| host.addresses().contains(address))
    };
    let port_matches = match explain.port {
        Traffic::Ping => flow.protocol.starts_with("ICMP"),
        Traffic::Port(Protocol::Tcp, port) => {
            flow.protocol == "TCP" && flow.destination_port == port.get()
        }
        Traffic::Port(Protocol::Udp, port) => {
            flow.protocol == "UDP" && flow.destination_port == port.get()
        }
    };
    let named = match &flow.rule {
        RuleRef::DefaultDeny {
            policies,
            direction,
        } => {
            *direction == explain.at
                && policies
                    .iter()
                    .map(ToString::to_string)
                    .eq(explain.by.iter().cloned())
        }
        _ => false,
    };
    flow.verdict != Verdict::Allow
        && flow.direction == explain.at
        && is(asker.address, from)
        && is(asked.address, to)
        && port_matches
        && named
}
