//! IP protocol numbers (IANA, "Assigned Internet Protocol Numbers") that netpol tells apart.

/// Internet Control Message Protocol.
pub const ICMP: u8 = 1;
/// Transmission Control Protocol.
pub const TCP: u8 = 6;
/// User Datagram Protocol.
pub const UDP: u8 = 17;
/// Internet Control Message Protocol for IPv6.
pub const ICMPV6: u8 = 58;
/// Stream Control Transmission Protocol.
pub const SCTP: u8 = 132;
