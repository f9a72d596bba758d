//! From a packet to a verdict.
