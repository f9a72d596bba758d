//! Proof by looking: packets as they come out of a pod's interface, and packets made by hand.

use std::{
    io::{self, Read},
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use etherparse::{NetSlice, PacketBuilder, SlicedPacket, TransportSlice};
use socket2::Socket;

/// A packet that was seen, with port 0 where it has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Where it claims to come from.
    pub src: SocketAddr,
    /// Where it goes.
    pub dst: SocketAddr,
}

/// Watches the interfaces of one host until dropped. Taps see what the programs on the other end of
/// the veth let pass.
#[derive(Debug)]
pub struct Wiretap {
    seen: Arc<Mutex<Vec<Seen>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Wiretap {
    pub(crate) fn start(
        socket: Socket,
        wanted: impl Fn(&Seen) -> bool + Send + 'static,
    ) -> io::Result<Self> {
        socket.set_read_timeout(Some(Duration::from_millis(20)))?;
        let seen = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let (into, until) = (Arc::clone(&seen), Arc::clone(&stop));
        let thread = thread::Builder::new()
            .name("lab-wiretap".to_owned())
            .spawn(move || watch(socket, &wanted, &into, &until))?;
        Ok(Self {
            seen,
            stop,
            thread: Some(thread),
        })
    }

    /// What was seen so far.
    pub fn seen(&self) -> Vec<Seen> {
        // A packet is in the socket's queue the moment it is delivered; give the thread time to
        // fetch it.
        thread::sleep(Duration::from_millis(30));
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Drop for Wiretap {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn watch(
    mut socket: Socket,
    wanted: &(impl Fn(&Seen) -> bool + Send),
    into: &Mutex<Vec<Seen>>,
    until: &AtomicBool,
) {
    let mut buffer = vec![0; 2048];
    while !until.load(Ordering::Relaxed) {
        if let Ok(length) = socket.read(&mut buffer)
            && let Some(seen) = parse(&buffer[..length])
            && wanted(&seen)
        {
            into.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(seen);
        }
    }
}

fn parse(packet: &[u8]) -> Option<Seen> {
    let packet = SlicedPacket::from_ip(packet).ok()?;
    let (src, dst): (IpAddr, IpAddr) = match packet.net? {
        NetSlice::Ipv4(v4) => (
            v4.header().source_addr().into(),
            v4.header().destination_addr().into(),
        ),
        NetSlice::Ipv6(v6) => (
            v6.header().source_addr().into(),
            v6.header().destination_addr().into(),
        ),
        NetSlice::Arp(_) => return None,
    };
    let (src_port, dst_port) = match packet.transport {
        Some(TransportSlice::Tcp(tcp)) => (tcp.source_port(), tcp.destination_port()),
        Some(TransportSlice::Udp(udp)) => (udp.source_port(), udp.destination_port()),
        _ => (0, 0),
    };
    Some(Seen {
        src: SocketAddr::new(src, src_port),
        dst: SocketAddr::new(dst, dst_port),
    })
}

/// A UDP packet with its IP header, from whoever it shall claim to be from.
///
/// # Errors
///
/// When the two addresses are of different families, or the payload is too long.
pub fn udp_packet(src: SocketAddr, dst: SocketAddr, payload: &[u8]) -> io::Result<Vec<u8>> {
    let builder = between(src, dst)?.udp(src.port(), dst.port());
    let mut packet = Vec::with_capacity(builder.size(payload.len()));
    builder
        .write(&mut packet, payload)
        .map_err(io::Error::other)?;
    Ok(packet)
}

/// A TCP packet in the middle of a connection (ACK, with data), from whoever it shall claim to be
/// from.
///
/// # Errors
///
/// When the two addresses are of different families.
pub fn tcp_data_packet(src: SocketAddr, dst: SocketAddr) -> io::Result<Vec<u8>> {
    const WINDOW: u16 = 1024;
    let builder = between(src, dst)?
        .tcp(src.port(), dst.port(), fastrand::u32(..), WINDOW)
        .ack(fastrand::u32(..));
    let mut packet = Vec::new();
    builder
        .write(&mut packet, b"mid-stream")
        .map_err(io::Error::other)?;
    Ok(packet)
}

fn between(
    src: SocketAddr,
    dst: SocketAddr,
) -> io::Result<etherparse::PacketBuilderStep<etherparse::IpHeaders>> {
    const TTL: u8 = 64;
    match (src.ip(), dst.ip()) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            Ok(PacketBuilder::ipv4(src.octets(), dst.octets(), TTL))
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            Ok(PacketBuilder::ipv6(src.octets(), dst.octets(), TTL))
        }
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "source and destination are of different families",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_made_by_hand_reads_back() {
        for (src, dst) in [("1.2.3.4:5", "6.7.8.9:10"), ("[fd00::1]:5", "[fd00::2]:10")] {
            let (src, dst) = (src.parse().expect("src"), dst.parse().expect("dst"));
            for packet in [udp_packet(src, dst, b"x"), tcp_data_packet(src, dst)] {
                assert_eq!(parse(&packet.expect("packet")), Some(Seen { src, dst }));
            }
        }
    }
}
