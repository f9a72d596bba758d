//! One host of a lab: a pod, a host outside, the node. It serves and asks.

use std::{
    io::{self, Read, Write},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    process::{Command, Output},
    sync::Arc,
    time::Duration,
};

use socket2::{Domain, Protocol as IpProtocol, SockAddr, Socket, Type};

use super::{
    address::Addresses,
    command,
    connection::Connection,
    error::{Doing, Result},
    netns::Netns,
    outcome::{Answer, Outcome},
    ping,
    servers::{Arrival, Desk, any_address},
    traffic::{Protocol, Traffic},
    wiretap::{Seen, Wiretap},
};

const DNS_PORT: u16 = 53;
/// A question by DNS (RFC 1035): the address of `kubernetes.default.svc.cluster.local`.
const DNS_QUERY: &[u8] = b"\x4e\x50\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\
    \x0akubernetes\x07default\x03svc\x07cluster\x05local\x00\x00\x01\x00\x01";

/// A host. Cheap to clone, so that threads may ask each for themselves.
#[derive(Debug, Clone)]
pub struct Host {
    pub(crate) name: String,
    pub(crate) netns: Netns,
    pub(crate) addresses: Addresses,
    pub(crate) interface: String,
    pub(crate) desk: Arc<Desk>,
}

impl Host {
    /// `namespace/name` of a pod; the bare name of another host.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its network namespace.
    pub fn netns(&self) -> &Netns {
        &self.netns
    }

    /// Its two addresses.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Name of the node's end of its link.
    pub fn interface(&self) -> &str {
        &self.interface
    }

    /// Serves a TCP port, for both families, until the host is removed.
    ///
    /// # Errors
    ///
    /// When the port is taken.
    pub fn serve_tcp(&self, port: u16) -> Result<()> {
        let open = || TcpListener::bind(any_address(port));
        self.netns
            .inside(open)
            .and_then(|listener| self.desk.listen(&self.name, listener?))
            .doing(|| format!("serve {port}/TCP in {}", self.name))
    }

    /// Serves a UDP port, for both families, until the host is removed.
    ///
    /// # Errors
    ///
    /// When the port is taken.
    pub fn serve_udp(&self, port: u16) -> Result<()> {
        let open = || UdpSocket::bind(any_address(port));
        self.netns
            .inside(open)
            .and_then(|socket| self.desk.receive(&self.name, socket?))
            .doing(|| format!("serve {port}/UDP in {}", self.name))
    }

    /// Serves a port of either protocol.
    ///
    /// # Errors
    ///
    /// When the port is taken.
    pub fn serve(&self, protocol: Protocol, port: u16) -> Result<()> {
        match protocol {
            Protocol::Tcp => self.serve_tcp(port),
            Protocol::Udp => self.serve_udp(port),
        }
    }

    /// Everything that reached this host's servers so far.
    pub fn arrivals(&self) -> Vec<Arrival> {
        self.desk.arrivals(&self.name)
    }

    /// Asks once, by whatever `traffic` is.
    pub fn ask(&self, to: IpAddr, traffic: Traffic, timeout: Duration) -> Outcome {
        match traffic {
            Traffic::Ping => self.ping(to, timeout),
            Traffic::Port(Protocol::Tcp, port) => self.connect_tcp(to, port.get(), timeout),
            Traffic::Port(Protocol::Udp, port) => {
                let answer = self.ask_udp(to, port.get(), timeout);
                answer.err().unwrap_or(Outcome::Reached)
            }
        }
    }

    /// Connects by TCP, waits for the greeting, and closes.
    pub fn connect_tcp(&self, to: IpAddr, port: u16, timeout: Duration) -> Outcome {
        let connection = self.open(to, port, timeout);
        connection.err().unwrap_or(Outcome::Reached)
    }

    /// Connects by TCP and keeps the connection.
    ///
    /// # Errors
    ///
    /// What came instead of a greeting.
    pub fn open(&self, to: IpAddr, port: u16, timeout: Duration) -> Result<Connection, Outcome> {
        self.open_from(0, to, port, timeout)
    }

    /// As [`Host::open`], from a local port; 0 leaves the choice to the system.
    ///
    /// # Errors
    ///
    /// What came instead of a greeting.
    pub fn open_from(
        &self,
        local_port: u16,
        to: IpAddr,
        port: u16,
        timeout: Duration,
    ) -> Result<Connection, Outcome> {
        let stream = self.connected(local_port, SocketAddr::new(to, port), timeout);
        let stream = stream.map_err(|error| Outcome::of(&error))?;
        Connection::greeted(stream, timeout)
    }

    /// Asks a UDP server once.
    ///
    /// # Errors
    ///
    /// What came instead of an answer.
    pub fn ask_udp(&self, to: IpAddr, port: u16, timeout: Duration) -> Result<Answer, Outcome> {
        let ask = || -> io::Result<Vec<u8>> {
            let socket = self.udp_to(SocketAddr::new(to, port))?;
            socket.set_read_timeout(Some(timeout))?;
            socket.send(b"who")?;
            let mut buffer = [0; 512];
            let length = socket.recv(&mut buffer)?;
            Ok(buffer[..length].to_vec())
        };
        let reply = ask().map_err(|error| Outcome::of(&error))?;
        let reply = String::from_utf8_lossy(&reply);
        let line = reply.lines().next().unwrap_or_default();
        Answer::parse(line).ok_or(Outcome::NotAsked(io::ErrorKind::InvalidData))
    }

    /// Asks a server that need not be a lab's: at port 53 for an address by DNS, else over TCP for
    /// the first byte of a web page and over UDP for a name. A lab's servers answer to all of it,
    /// and so do agnhost's, whatever the port.
    pub fn hail(&self, to: SocketAddr, protocol: Protocol, timeout: Duration) -> Outcome {
        let hail = || -> io::Result<usize> {
            let mut buffer = [0; 512];
            if protocol == Protocol::Udp {
                let socket = self.udp_to(to)?;
                socket.set_read_timeout(Some(timeout))?;
                socket.send(b"hostname")?;
                if to.port() == DNS_PORT {
                    socket.send(DNS_QUERY)?;
                }
                return socket.recv(&mut buffer);
            }
            let mut stream = self.connected(0, to, timeout)?;
            stream.set_read_timeout(Some(timeout))?;
            if to.port() == DNS_PORT {
                stream.write_all(&(DNS_QUERY.len() as u16).to_be_bytes())?;
                stream.write_all(DNS_QUERY)?;
                // A web server says what it thinks of that once the lines end.
                stream.write_all(b"\r\n\r\n")?;
            } else {
                stream.write_all(b"GET /hostname HTTP/1.0\r\n\r\n")?;
            }
            stream.read(&mut buffer)
        };
        match hail() {
            Ok(0) => Outcome::Refused,
            Ok(_) => Outcome::Reached,
            Err(error) => Outcome::of(&error),
        }
    }

    /// A UDP socket of this host, connected to `to`.
    ///
    /// # Errors
    ///
    /// Those of the socket; none for a host that is only silent.
    pub fn udp_to(&self, to: SocketAddr) -> io::Result<UdpSocket> {
        let socket = self
            .netns
            .inside(|| UdpSocket::bind(unspecified(to, 0)))??;
        socket.connect(to)?;
        Ok(socket)
    }

    /// Pings, with ICMP or ICMPv6 as the address wants it.
    pub fn ping(&self, to: IpAddr, timeout: Duration) -> Outcome {
        let socket = self.socket(
            Domain::for_address(SocketAddr::new(to, 0)),
            Type::RAW,
            Some(ping::protocol(to)),
        );
        match socket {
            Ok(socket) => ping::ping(&socket, to, timeout),
            Err(error) => Outcome::of(&error),
        }
    }

    /// Sends a packet as it is, IP header included, whatever its source address claims.
    ///
    /// # Errors
    ///
    /// Those of the socket.
    pub fn send_raw(&self, packet: &[u8], to: IpAddr) -> io::Result<()> {
        let to = SocketAddr::new(to, 0);
        let any_protocol = IpProtocol::from(libc::IPPROTO_RAW);
        let socket = self.socket(Domain::for_address(to), Type::RAW, Some(any_protocol))?;
        // IPPROTO_RAW: the header is ours, for IPv4 as for IPv6.
        socket.send_to(packet, &SockAddr::from(to)).map(drop)
    }

    /// Watches every packet that comes to this host and that `wanted` picks.
    ///
    /// # Errors
    ///
    /// When the socket cannot be made.
    pub fn tap(&self, wanted: impl Fn(&Seen) -> bool + Send + 'static) -> Result<Wiretap> {
        let every_packet = IpProtocol::from(i32::from((libc::ETH_P_ALL as u16).to_be()));
        self.socket(Domain::PACKET, Type::DGRAM, Some(every_packet))
            .and_then(|socket| Wiretap::start(socket, wanted))
            .doing(|| format!("watch the packets of {}", self.name))
    }

    /// Runs a command in this host's network namespace to its end.
    ///
    /// # Errors
    ///
    /// When it cannot be started or fails.
    pub fn run(&self, program: &str, arguments: &[&str]) -> Result<Output> {
        self.netns
            .inside(|| command::run(Command::new(program).args(arguments)))
            .doing(|| format!("enter {}", self.netns.name()))?
    }

    fn connected(
        &self,
        local_port: u16,
        to: SocketAddr,
        timeout: Duration,
    ) -> io::Result<TcpStream> {
        let socket = self.socket(Domain::for_address(to), Type::STREAM, Some(IpProtocol::TCP))?;
        if local_port != 0 {
            socket.set_reuse_address(true)?;
            socket.bind(&unspecified(to, local_port).into())?;
        }
        socket.connect_timeout(&to.into(), timeout)?;
        Ok(socket.into())
    }

    fn socket(
        &self,
        domain: Domain,
        kind: Type,
        protocol: Option<IpProtocol>,
    ) -> io::Result<Socket> {
        self.netns.inside(|| Socket::new(domain, kind, protocol))?
    }
}

/// The wildcard address of the other side's family.
fn unspecified(other: SocketAddr, port: u16) -> SocketAddr {
    match other {
        SocketAddr::V4(_) => SocketAddr::from(([0_u8; 4], port)),
        SocketAddr::V6(_) => SocketAddr::from(([0_u16; 8], port)),
    }
}
