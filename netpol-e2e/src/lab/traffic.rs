//! What is asked for: a port, or a ping.

use std::{fmt, num::NonZeroU16, str::FromStr};

/// A protocol with ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
        })
    }
}

impl FromStr for Protocol {
    type Err = TrafficError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "TCP" => Ok(Self::Tcp),
            "UDP" => Ok(Self::Udp),
            other => Err(TrafficError::Protocol(other.to_owned())),
        }
    }
}

/// What one host asks of another. Written `8080/TCP`, `53/UDP`, `ping`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize)]
#[serde(try_from = "String")]
pub enum Traffic {
    /// A connection or a datagram to a port.
    Port(Protocol, NonZeroU16),
    /// An ICMP or ICMPv6 echo.
    Ping,
}

impl Traffic {
    /// TCP to a port.
    ///
    /// # Panics
    ///
    /// For port 0, which is none.
    pub fn tcp(port: u16) -> Self {
        Self::Port(Protocol::Tcp, port_number(port))
    }

    /// UDP to a port.
    ///
    /// # Panics
    ///
    /// For port 0, which is none.
    pub fn udp(port: u16) -> Self {
        Self::Port(Protocol::Udp, port_number(port))
    }
}

impl fmt::Display for Traffic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Port(protocol, port) => write!(f, "{port}/{protocol}"),
            Self::Ping => f.write_str("ping"),
        }
    }
}

impl FromStr for Traffic {
    type Err = TrafficError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "ping" {
            return Ok(Self::Ping);
        }
        let Some((port, protocol)) = text.split_once('/') else {
            return Err(TrafficError::Shape(text.to_owned()));
        };
        let port = port.parse();
        let port = port.map_err(|_| TrafficError::Shape(text.to_owned()))?;
        Ok(Self::Port(protocol.parse()?, port))
    }
}

impl TryFrom<String> for Traffic {
    type Error = TrafficError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

/// Why a text names no traffic.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrafficError {
    /// Neither a ping nor a port with a protocol.
    #[error(
        "`{0}` is neither `ping` nor a port from 1 to 65535 with its protocol, as in `8080/TCP`"
    )]
    Shape(String),
    /// A protocol the lab has no server for.
    #[error("protocol `{0}` is neither `TCP` nor `UDP`")]
    Protocol(String),
}

fn port_number(port: u16) -> NonZeroU16 {
    NonZeroU16::new(port).expect("port 0 cannot be asked for")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        for text in ["8080/TCP", "53/UDP", "ping"] {
            let traffic: Traffic = text.parse().expect(text);
            assert_eq!(traffic.to_string(), text);
        }
    }

    #[test]
    fn what_is_no_traffic_is_refused() {
        for text in [
            "",
            "8080",
            "0/TCP",
            "65536/TCP",
            "80/tcp",
            "80/SCTP",
            "Ping",
            "-1/UDP",
        ] {
            assert!(text.parse::<Traffic>().is_err(), "{text}");
        }
    }
}
