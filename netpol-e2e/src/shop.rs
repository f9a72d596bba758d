//! A small cluster for tests: one server, those it knows and those it does not.
//!
//! | pod | label | serves |
//! |---|---|---|
//! | `shop/server` | `app=server` | TCP 8080, UDP 5353 |
//! | `shop/good` | `app=good` | TCP 8080 |
//! | `shop/bad` | `app=bad` | TCP 8080 |

use std::net::{IpAddr, SocketAddr};

use crate::lab::{Agent, Family, Host, Lab, Link, PodSpec, Protocol, Result};

/// The TCP port that is served.
pub const TCP: u16 = 8080;
/// The UDP port that is served.
pub const UDP: u16 = 5353;
/// The file the policies are in.
pub const POLICIES: &str = "policies.yaml";

/// The cluster, and an agent that was not started yet.
#[derive(Debug)]
pub struct Shop {
    /// Before the lab, whose namespace it runs in.
    pub agent: Agent,
    /// The lab.
    pub lab: Lab,
}

impl Shop {
    /// Builds it, without policies.
    ///
    /// # Errors
    ///
    /// When the lab cannot be built, or there is no agent to run.
    pub fn new(link: Link) -> Result<Self> {
        let mut lab = Lab::new(link)?;
        lab.add_pods(["server", "good", "bad"].map(pod).into())?;
        for name in ["server", "good", "bad"] {
            lab.pod(&format!("shop/{name}")).serve_tcp(TCP)?;
        }
        lab.pod("shop/server").serve_udp(UDP)?;
        Ok(Self {
            agent: lab.agent()?,
            lab,
        })
    }

    /// Builds it and starts the agent with these policies.
    ///
    /// # Errors
    ///
    /// As [`Shop::new`], or when the agent does not start.
    pub fn enforcing(link: Link, policies: &str) -> Result<Self> {
        let mut shop = Self::new(link)?;
        shop.lab.manifests().write(POLICIES, policies)?;
        shop.agent.start()?;
        Ok(shop)
    }

    /// Replaces the policies and waits until they are in force.
    ///
    /// # Errors
    ///
    /// When they are not in time.
    pub fn apply(&mut self, policies: &str) -> Result<()> {
        self.lab.manifests().write(POLICIES, policies)?;
        self.agent.wait_ready()
    }

    /// A pod of the namespace `shop`.
    pub fn pod(&self, name: &str) -> Host {
        self.lab.pod(&format!("shop/{name}"))
    }

    /// The server's address.
    pub fn server(&self, family: Family) -> IpAddr {
        self.pod("server").addresses().of(family)
    }

    /// The server's TCP port.
    pub fn tcp(&self, family: Family) -> SocketAddr {
        SocketAddr::new(self.server(family), TCP)
    }

    /// The server's UDP port.
    pub fn udp(&self, family: Family) -> SocketAddr {
        SocketAddr::new(self.server(family), UDP)
    }
}

/// A pod of the shop, its name its label.
pub fn pod(name: &str) -> PodSpec {
    PodSpec::new(&format!("shop/{name}"))
        .label("app", name)
        .port("http", Protocol::Tcp, TCP)
}

/// Lets pods with these labels `app` in to the server, on both ports; nobody else.
pub fn admit(apps: &[&str]) -> String {
    let from = format!(
        "podSelector: {{matchExpressions: [{{key: app, operator: In, values: [{}]}}]}}",
        apps.join(", ")
    );
    ingress("server-in", &from)
}

/// A policy that lets one kind of peer in to the server, on both ports.
pub fn ingress(name: &str, peer: &str) -> String {
    format!(
        "\
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{namespace: shop, name: {name}}}
spec:
  podSelector: {{matchLabels: {{app: server}}}}
  policyTypes: [Ingress]
  ingress:
    - from: [{{{peer}}}]
      ports: [{{protocol: TCP, port: {TCP}}}, {{protocol: UDP, port: {UDP}}}]
"
    )
}

/// A policy that lets pods of one label `app` out to the server and nowhere else.
pub fn egress(app: &str) -> String {
    format!(
        "\
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{namespace: shop, name: {app}-out}}
spec:
  podSelector: {{matchLabels: {{app: {app}}}}}
  policyTypes: [Egress]
  egress:
    - to: [{{podSelector: {{matchLabels: {{app: server}}}}}}]
"
    )
}

/// A policy that closes the pods of one label `app` in these directions.
pub fn deny(app: &str, directions: &str) -> String {
    format!(
        "\
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{namespace: shop, name: {app}-deny}}
spec:
  podSelector: {{matchLabels: {{app: {app}}}}}
  policyTypes: [{directions}]
"
    )
}
