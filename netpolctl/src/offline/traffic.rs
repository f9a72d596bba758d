//! What is asked about: a protocol, and a port where it has ports.

use std::fmt;
use std::num::NonZeroU16;

use netpol_common::protocol;
use thiserror::Error;

/// A kind of connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Traffic {
    /// A TCP connection to a port.
    Tcp(NonZeroU16),
    /// A UDP datagram to a port, and the answer.
    Udp(NonZeroU16),
    /// An SCTP packet to a port, and the answer.
    Sctp(NonZeroU16),
    /// An echo request and its reply, ICMP or ICMPv6 as the addresses are.
    Ping,
    /// The same, between IPv6 addresses only.
    Ping6,
    /// A packet of a protocol without ports, and one the other way.
    Other(u8),
}

/// Why protocol and port make no traffic: which of the two, and what would do.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{field}: {reason}")]
pub(crate) struct TrafficError {
    /// `protocol` or `port`.
    pub(crate) field: &'static str,
    /// What is wrong with it.
    pub(crate) reason: String,
}

impl Traffic {
    /// Traffic of a protocol (a name or a number) and a port.
    pub(crate) fn new(protocol: &str, port: Option<u16>) -> Result<Self, TrafficError> {
        let number = protocol.parse::<u8>().ok();
        let with_port = |traffic: fn(NonZeroU16) -> Self| match port.map(NonZeroU16::new) {
            Some(Some(port)) => Ok(traffic(port)),
            Some(None) => Err(error("port", "0 is no port: 1 to 65535".to_owned())),
            None => Err(error("port", format!("{protocol} needs one"))),
        };
        // 0 is how some write "none".
        let without_port = |traffic| match port {
            None | Some(0) => Ok(traffic),
            Some(_) => Err(error(
                "port",
                format!("{protocol} has no ports: leave it out"),
            )),
        };
        let name = protocol.to_ascii_uppercase();
        match (name.as_str(), number) {
            ("TCP", _) | (_, Some(protocol::TCP)) => with_port(Self::Tcp),
            ("UDP", _) | (_, Some(protocol::UDP)) => with_port(Self::Udp),
            ("SCTP", _) | (_, Some(protocol::SCTP)) => with_port(Self::Sctp),
            ("ICMP" | "PING", _) | (_, Some(protocol::ICMP)) => without_port(Self::Ping),
            ("ICMPV6", _) | (_, Some(protocol::ICMPV6)) => without_port(Self::Ping6),
            (_, Some(number)) => without_port(Self::Other(number)),
            (_, None) => Err(error(
                "protocol",
                format!("{protocol:?} is none of TCP, UDP, SCTP, ICMP, ICMPv6, 0 to 255"),
            )),
        }
    }

    /// The port it goes to.
    pub(crate) fn port(self) -> Option<NonZeroU16> {
        match self {
            Self::Tcp(port) | Self::Udp(port) | Self::Sctp(port) => Some(port),
            Self::Ping | Self::Ping6 | Self::Other(_) => None,
        }
    }

    /// The name of its protocol.
    pub(crate) fn protocol_name(self) -> String {
        match self {
            Self::Tcp(_) => "TCP".to_owned(),
            Self::Udp(_) => "UDP".to_owned(),
            Self::Sctp(_) => "SCTP".to_owned(),
            Self::Ping => "ICMP".to_owned(),
            Self::Ping6 => "ICMPv6".to_owned(),
            Self::Other(number) => number.to_string(),
        }
    }
}

impl fmt::Display for Traffic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(port) => write!(f, "TCP/{port}"),
            Self::Udp(port) => write!(f, "UDP/{port}"),
            Self::Sctp(port) => write!(f, "SCTP/{port}"),
            Self::Ping | Self::Ping6 => f.write_str("ping"),
            Self::Other(number) => write!(f, "IP protocol {number}"),
        }
    }
}

fn error(field: &'static str, reason: String) -> TrafficError {
    TrafficError { field, reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(number: u16) -> NonZeroU16 {
        NonZeroU16::new(number).expect("a port")
    }

    #[test]
    fn protocols_go_by_name_in_any_case_and_by_number() {
        assert_eq!(Traffic::new("TCP", Some(80)), Ok(Traffic::Tcp(port(80))));
        assert_eq!(Traffic::new("udp", Some(53)), Ok(Traffic::Udp(port(53))));
        assert_eq!(Traffic::new("132", Some(9)), Ok(Traffic::Sctp(port(9))));
        assert_eq!(Traffic::new("ICMP", None), Ok(Traffic::Ping));
        assert_eq!(Traffic::new("ICMPv6", None), Ok(Traffic::Ping6));
        assert_eq!(Traffic::new("47", None), Ok(Traffic::Other(47)));
    }

    #[test]
    fn ports_are_there_exactly_where_the_protocol_has_them() {
        let field = |protocol, port| Traffic::new(protocol, port).expect_err("an error").field;
        assert_eq!(field("TCP", None), "port");
        assert_eq!(field("SCTP", None), "port");
        assert_eq!(field("TCP", Some(0)), "port");
        assert_eq!(Traffic::new("ICMP", Some(0)), Ok(Traffic::Ping));
        assert_eq!(field("ICMP", Some(80)), "port");
        assert_eq!(field("47", Some(80)), "port");
        assert_eq!(field("GREEN", None), "protocol");
        assert_eq!(field("256", None), "protocol");
    }
}
