//! The BPF programs, as the build script compiled them.

/// The object file of netpol-ebpf.
pub static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/netpol-ebpf"));
