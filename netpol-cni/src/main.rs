//! The chained CNI plugin: a pod's container starts once its policies are in force.
#![forbid(unsafe_code)]

fn main() {}
