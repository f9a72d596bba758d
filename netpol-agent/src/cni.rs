//! New pods: what the CNI plugin needs on the node, and what it told.
//!
//! ```text
//! install/     keeps the plugin in the node's CNI configuration
//! sandboxes    what the plugin told, on disk: a new agent knows it too
//! ```
//! What its calls do is the engine's: `engine/cni.rs`.

pub(crate) mod install;
pub(crate) mod sandboxes;
