//! Tests against real kernels, real veths and real packets.
//!
//! [`lab`] builds a node and its pods out of network namespaces, runs one agent in it and asks who
//! reaches whom. [`cluster`] runs Kubernetes itself on this computer. [`upstream`] has
//! Kubernetes' own tests judge netpol on it. [`scenario`] reads the scenarios under `examples/` and plays them in a lab; the
//! `demo` binary and the tests under `tests/` are both thin users of it.

pub mod cluster;
pub mod control;
pub mod exit;
pub mod install;
pub mod lab;
pub mod page;
pub mod process;
pub mod route;
pub mod scenario;
pub mod shop;
pub mod soak;
pub mod trial;
pub mod upstream;
