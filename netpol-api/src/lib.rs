//! Types of the agent's local API, spoken over a Unix socket.
//!
//! ```text
//! client: one line of JSON, a [`Request`]
//! agent:  one line of JSON, a [`Reply`]; for `Flows` with `follow`, one line for each flow
//! ```
//! Every type is plain serde; fields are only ever added. Times are seconds since the Unix epoch.
#![forbid(unsafe_code)]

use serde::{Deserialize, Serialize};

mod api_server;
mod cni;
mod endpoint;
mod enforcement;
mod flow;
mod rule;
mod status;

pub use api_server::{ApiServerStatus, WatchState, WatchStatus};
pub use cni::{CniAttachment, CniInstallation, CniKey, CniRefusal};
pub use endpoint::{
    Connection, ConnectionCount, ConnectionState, Endpoint, EndpointState, Isolation, Policy,
    PolicyProblem,
};
pub use enforcement::{
    EnforcementReport, KernelEntry, KernelSet, PodEnforcement, PolicyEnforcement, PolicyRule,
};
pub use flow::{Flow, Peer};
pub use rule::{CounterRow, Direction, ObjectName, RuleRef, Verdict};
pub use status::{
    DropCount, Hook, InvalidObject, Losses, ManifestStatus, Note, Status, Sweep, TableFill,
    WaitOutcome,
};

/// Version of this API; an agent refuses requests of another one by name.
pub const API_VERSION: u32 = 1;

/// What a client asks, with the version it speaks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// [`API_VERSION`] of the client.
    pub api: u32,
    /// The question.
    #[serde(flatten)]
    pub call: Call,
}

impl Request {
    /// A request of this version.
    #[must_use]
    pub fn new(call: Call) -> Self {
        Self {
            api: API_VERSION,
            call,
        }
    }
}

/// The questions an agent answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "call", rename_all = "snake_case")]
pub enum Call {
    /// Is the node enforcing, and what is wrong.
    Status,
    /// Verdict counters by rule.
    Stats,
    /// Counters are shown as differences from now on.
    ResetBaseline,
    /// The local endpoints.
    Endpoints,
    /// The policies, and which local pods they select.
    Policies,
    /// Tracked connections.
    Conntrack,
    /// The latest flows; with `follow`, those that come until the client hangs up.
    Flows {
        /// Keep sending.
        follow: bool,
    },
    /// Read the manifests now, and answer once every local endpoint enforces them.
    Wait {
        /// Give up after so many milliseconds.
        timeout_ms: u64,
    },
    /// The proof that policies are in force. With `follow`, a line whenever it changes, until the
    /// client hangs up.
    Enforcement {
        /// Only policies of this namespace.
        namespace: Option<String>,
        /// Only those of this name.
        name: Option<String>,
        /// Keep sending.
        follow: bool,
    },
    /// A sandbox got its interface: answered once the pod's policies are in force on it.
    CniAdd {
        /// The interface.
        attachment: CniAttachment,
        /// Give up after so many milliseconds.
        timeout_ms: u64,
    },
    /// A sandbox goes. One that is not known is gone already.
    CniDel {
        /// Its interface.
        key: CniKey,
    },
    /// Are the pod's policies in force on its interface?
    CniCheck {
        /// The interface.
        attachment: CniAttachment,
    },
    /// The interfaces of sandboxes that there are in one network: its others are gone.
    CniGc {
        /// The network's name in the runtime's configuration.
        network: String,
        /// All of them.
        valid: Vec<CniKey>,
    },
    /// Would an ADD be served?
    CniStatus,
}

/// What an agent answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reply", content = "data", rename_all = "snake_case")]
pub enum Reply {
    /// To [`Call::Status`].
    Status(Box<Status>),
    /// To [`Call::Stats`].
    Stats(Vec<CounterRow>),
    /// To [`Call::Endpoints`].
    Endpoints(Vec<Endpoint>),
    /// To [`Call::Policies`].
    Policies(Vec<Policy>),
    /// To [`Call::Conntrack`].
    Conntrack(Vec<Connection>),
    /// To [`Call::Flows`]: one for each flow. Without `follow` the lines end with `Done`.
    Flow(Box<Flow>),
    /// To [`Call::Wait`].
    Wait(WaitOutcome),
    /// To [`Call::Enforcement`].
    Enforcement(Box<EnforcementReport>),
    /// To the calls of the CNI plugin, when what they ask for does not hold.
    CniRefused(CniRefusal),
    /// Nothing to say, or nothing more: of the CNI plugin's calls, that all is as they ask.
    Done,
    /// The request failed; one sentence that says what to do.
    Error(String),
}
