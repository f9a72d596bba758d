//! From Kubernetes objects to desired map contents.
//!
//! ```text
//! JSON -> Object -> Change -> ClusterState -> Delta -> the maps
//!         convert.rs          cluster.rs      delta.rs
//!         policy.rs           compile.rs      operation.rs
//!         selector.rs         table.rs
//! ```
//! Pure: no clock, no I/O, no kernel. What the maps should hold depends on the current state only,
//! never on the way it was reached.
#![forbid(unsafe_code)]

mod change;
mod cluster;
mod compile;
mod convert;
mod delta;
mod digest;
mod labels;
mod numbers;
mod object;
mod operation;
mod policy;
mod refusal;
mod selector;
mod service;
mod state;
mod table;
mod tables;

pub use change::{Change, Limits, Scope};
pub use convert::default_group_version;
pub use labels::{Labels, NAMESPACE_NAME_LABEL};
pub use object::{
    InvalidObject, Kind, NamedPort, Namespace, Node, Object, ObjectKey, ObjectRef, Pod, objects_of,
};
pub use operation::{Delta, Entry, Key, Operation, Programmed};
pub use policy::{
    Block, Namespaces, Peer, Peers, Policy, PolicyProblem, PolicyVersion, PortMatch, PortSpec,
    Ports, Protocol, Rule,
};
pub use refusal::{REFUSE_ANNOTATION, Refusal};
pub use selector::{Operator, Requirement, Selector};
pub use service::{
    EndpointSlice, SERVICE_NAME_LABEL, Service, ServicePort, SliceEndpoint, SlicePort, TargetPort,
};
pub use state::{
    BackendView, ClusterState, EndpointDirectionView, EndpointView, LocalPod, PolicyView,
    RuleAttribution, RuleView, ServiceView, TableUse,
};
