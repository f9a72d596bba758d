//! Packets and connections between two namespaces, as fast as one processor makes them.
//!
//! All of a packet's way (the client's interface, the router, the server's interface) is the work of
//! whoever sends it: the kernel does it before the call returns. So one thread sends, nobody needs to
//! wake up, and what is measured is what the way costs. (The kernel may leave the rest of it to its
//! thread `ksoftirqd`; here that took a hundredth of the time.)

use std::{
    fs::File,
    io::{ErrorKind, IoSlice, Read, Seek, SeekFrom, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::fd::AsRawFd,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrIn, sendmmsg};
use socket2::{Domain, SockRef, Socket, Type};

use super::clock::Clock;
use super::rules::{CLOSED_PORT, TCP_PORT, UDP_PORT};
use crate::lab::{Host, Netns, QUICK};

/// Datagrams of one system call.
const BATCH: usize = 32;
/// What a datagram carries: it makes a frame of 64 bytes with its checksum.
const PAYLOAD: [u8; 18] = [0; 18];
/// How long anything may take that the kernel should have done at once.
const PATIENCE: Duration = Duration::from_secs(1);

/// Sockets of both ends, made once.
#[derive(Debug)]
pub(super) struct Course {
    client: Netns,
    server: Ipv4Addr,
    flows: Vec<UdpSocket>,
    /// Holds few datagrams and drops the others: nobody reads them while they are counted.
    sink: UdpSocket,
    listener: TcpListener,
    closed: TcpListener,
    arrived: Arrived,
}

impl Course {
    /// From one host to another, with so many UDP flows.
    pub(super) fn new(client: &Host, server: &Host, flows: u16) -> Result<Self> {
        let address = server.addresses().v4;
        let (sink, listener, closed, arrived) = server
            .netns()
            .inside(|| -> Result<_> {
                let any = Ipv4Addr::UNSPECIFIED;
                Ok((
                    UdpSocket::bind((any, UDP_PORT))?,
                    TcpListener::bind((any, TCP_PORT))?,
                    TcpListener::bind((any, CLOSED_PORT))?,
                    Arrived::open()?,
                ))
            })?
            .context("serve the ports that are measured")?;
        SockRef::from(&sink).set_recv_buffer_size(0)?;
        sink.set_read_timeout(Some(PATIENCE))?;
        SockRef::from(&listener).set_read_timeout(Some(PATIENCE))?;
        let flows = (0..flows).map(|_| client.udp_to((address, UDP_PORT).into()));
        Ok(Self {
            client: client.netns().clone(),
            server: address,
            flows: flows.collect::<std::io::Result<_>>()?,
            sink,
            listener,
            closed,
            arrived,
        })
    }

    /// Packets a second that arrived, of flows that both ends have spoken on.
    pub(super) fn packets(&mut self, slice: Duration) -> Result<f64> {
        self.speak()?;
        let mut headers = MultiHeaders::<SockaddrIn>::preallocate(BATCH, None);
        let datagrams = [[IoSlice::new(&PAYLOAD)]; BATCH];
        let nowhere: [Option<SockaddrIn>; BATCH] = [None; BATCH];
        let (before, clock) = (self.arrived.count()?, Clock::start()?);
        let mut flows = self.flows.iter().cycle();
        while clock.elapsed() < slice {
            let Some(flow) = flows.next() else {
                bail!("there is no flow to send on");
            };
            sendmmsg(
                flow.as_raw_fd(),
                &mut headers,
                &datagrams,
                nowhere,
                [],
                MsgFlags::empty(),
            )
            .context("send datagrams to the server")?;
        }
        let ran = clock.ran()?;
        let arrived = self.arrived.count()? - before;
        if arrived == 0 {
            bail!("no datagram arrived");
        }
        Ok(arrived as f64 / ran.as_secs_f64())
    }

    /// Connections a second: connect, a byte from the server, close.
    pub(super) fn connections(&self, slice: Duration) -> Result<f64> {
        let count = || -> Result<f64> {
            let (clock, mut connections) = (Clock::start()?, 0_u32);
            while clock.elapsed() < slice {
                self.connection()
                    .with_context(|| format!("connection {connections} of a slice"))?;
                connections += 1;
            }
            Ok(f64::from(connections) / clock.ran()?.as_secs_f64())
        };
        self.client.inside(count)?
    }

    /// Whether a host reaches a TCP port of the server.
    pub(super) fn knock_tcp(&self, from: &Host, port: u16) -> Result<bool> {
        let to = SocketAddr::new(self.server.into(), port);
        let knock = || TcpStream::connect_timeout(&to, QUICK);
        let stream = from.netns().inside(knock)?;
        if let Ok(stream) = &stream {
            SockRef::from(stream).set_linger(Some(Duration::ZERO))?;
            let listener = if port == CLOSED_PORT {
                &self.closed
            } else {
                &self.listener
            };
            listener.accept().context("accept the knock")?;
        }
        Ok(stream.is_ok())
    }

    /// Whether a host's datagram reaches the server.
    pub(super) fn knock_udp(&self, from: &Host) -> Result<bool> {
        self.drain()?;
        let socket = from.udp_to(self.to(UDP_PORT))?;
        socket.send(b"knock")?;
        self.sink.set_read_timeout(Some(QUICK))?;
        let heard = self.sink.recv_from(&mut [0; 64]);
        self.sink.set_read_timeout(Some(PATIENCE))?;
        match heard {
            Ok((_, peer)) => Ok(peer.ip() == IpAddr::from(from.addresses().v4)),
            Err(error) if is_silence(&error) => Ok(false),
            Err(error) => Err(error).context("wait for the knock"),
        }
    }

    /// A datagram on each flow, and an answer: connection tracking takes a flow for established once
    /// both ends have spoken.
    fn speak(&self) -> Result<()> {
        self.drain()?;
        for flow in &self.flows {
            flow.set_read_timeout(Some(PATIENCE))?;
            flow.send(&PAYLOAD)?;
            let (_, peer) = self
                .sink
                .recv_from(&mut [0; 64])
                .context("wait for the first datagram of a flow")?;
            self.sink.send_to(&PAYLOAD, peer)?;
            flow.recv(&mut [0; 64])
                .context("wait for the answer on a flow")?;
        }
        Ok(())
    }

    /// Throws away what the sink holds.
    fn drain(&self) -> Result<()> {
        self.sink.set_nonblocking(true)?;
        let error = loop {
            if let Err(error) = self.sink.recv(&mut [0; 64]) {
                break error;
            }
        };
        self.sink.set_nonblocking(false)?;
        if is_silence(&error) {
            return Ok(());
        }
        Err(error).context("empty the server's socket")
    }

    /// One connection, by a thread that is in the client's namespace. It ends in a reset, so that its
    /// port is free for another one.
    fn connection(&self) -> Result<()> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.set_linger(Some(Duration::ZERO))?;
        // Linux: as long as this, `connect` waits.
        socket.set_write_timeout(Some(PATIENCE))?;
        socket.connect(&self.to(TCP_PORT).into())?;
        let (mut accepted, _) = self.listener.accept()?;
        accepted.write_all(b"!")?;
        drop(accepted);
        socket.set_read_timeout(Some(PATIENCE))?;
        TcpStream::from(socket).read_exact(&mut [0])?;
        Ok(())
    }

    fn to(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.server.into(), port)
    }
}

fn is_silence(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// How many packets came to the server's interface.
#[derive(Debug)]
struct Arrived {
    /// Shows the namespace it was opened in, whoever reads it.
    devices: File,
}

impl Arrived {
    /// Of the namespace that the calling thread is in.
    fn open() -> std::io::Result<Self> {
        let devices = File::open("/proc/thread-self/net/dev")?;
        Ok(Self { devices })
    }

    fn count(&mut self) -> Result<u64> {
        let mut text = String::new();
        self.devices.seek(SeekFrom::Start(0))?;
        self.devices.read_to_string(&mut text)?;
        received(&text, "eth0").context("find eth0 among the server's interfaces")
    }
}

/// Packets that an interface has received, by `/proc/net/dev`.
fn received(devices: &str, interface: &str) -> Option<u64> {
    let mut lines = devices.lines();
    let numbers = lines.find_map(|line| {
        let (name, numbers) = line.split_once(':')?;
        (name.trim() == interface).then_some(numbers)
    })?;
    numbers.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::received;

    #[test]
    fn packets_are_the_second_number_of_the_interface() {
        let text =
            "Inter-|   Receive\n face |bytes packets errs\n    lo: 1 2 0\n  eth0: 640 10 0 0\n";
        assert_eq!(received(text, "eth0"), Some(10));
        assert_eq!(received(text, "eth1"), None);
    }
}
