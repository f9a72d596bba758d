//! All servers of a lab, on one thread: they greet, echo, and remember who came.
//!
//! A TCP server greets on accept (`NAME sees PEER`) and then echoes every byte; a UDP server
//! answers each datagram with that line and the datagram. The sockets are made inside a host's
//! namespace and served from here.

use std::{
    collections::BTreeMap,
    io::{self, Read, Write},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::fd::{AsFd, BorrowedFd},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
};

use nix::sys::{
    epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout},
    eventfd::{EfdFlags, EventFd},
};

use super::{outcome::Answer, traffic::Protocol};

/// A connection or a datagram that reached a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// The host that was reached.
    pub host: String,
    /// At which protocol and port.
    pub protocol: Protocol,
    /// The server's port.
    pub port: u16,
    /// From where, as the server sees it.
    pub peer: SocketAddr,
    /// What a datagram carried; empty for a connection.
    pub payload: Vec<u8>,
}

/// The servers of one lab. Ends, and frees every socket, when dropped.
#[derive(Debug)]
pub(crate) struct Servers {
    desk: Arc<Desk>,
    thread: Option<JoinHandle<()>>,
}

/// What hosts hold: the way to open and close servers.
#[derive(Debug)]
pub(crate) struct Desk {
    epoll: Epoll,
    bell: EventFd,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    open: BTreeMap<u64, Open>,
    next: u64,
    arrivals: Vec<Arrival>,
    stop: bool,
}

#[derive(Debug)]
struct Open {
    host: String,
    port: u16,
    socket: Socket,
}

#[derive(Debug)]
enum Socket {
    Listener(TcpListener),
    Stream(TcpStream),
    Datagrams(UdpSocket),
}

/// Token of the bell; sockets count up from zero.
const BELL: u64 = u64::MAX;

impl Servers {
    pub(crate) fn start() -> io::Result<Self> {
        let desk = Arc::new(Desk {
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
            bell: EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?,
            state: Mutex::default(),
        });
        desk.epoll
            .add(&desk.bell, EpollEvent::new(EpollFlags::EPOLLIN, BELL))?;
        let worker = Arc::clone(&desk);
        let thread = thread::Builder::new()
            .name("lab-servers".to_owned())
            .spawn(move || worker.serve())?;
        Ok(Self {
            desk,
            thread: Some(thread),
        })
    }

    pub(crate) fn desk(&self) -> Arc<Desk> {
        Arc::clone(&self.desk)
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        self.desk.lock().stop = true;
        let _ = self.desk.bell.write(1);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        // Hosts may outlive the lab; their namespaces must not be held by these sockets.
        self.desk.lock().open.clear();
    }
}

impl Desk {
    pub(crate) fn listen(&self, host: &str, listener: TcpListener) -> io::Result<()> {
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        self.add(host, port, Socket::Listener(listener))
    }

    pub(crate) fn receive(&self, host: &str, socket: UdpSocket) -> io::Result<()> {
        socket.set_nonblocking(true)?;
        let port = socket.local_addr()?.port();
        self.add(host, port, Socket::Datagrams(socket))
    }

    /// Closes all of one host's servers and connections.
    pub(crate) fn close_host(&self, host: &str) {
        self.lock().open.retain(|_, open| open.host != host);
    }

    /// Everything that reached `host` so far.
    pub(crate) fn arrivals(&self, host: &str) -> Vec<Arrival> {
        let state = self.lock();
        let of_host = state.arrivals.iter().filter(|arrival| arrival.host == host);
        of_host.cloned().collect()
    }

    fn add(&self, host: &str, port: u16, socket: Socket) -> io::Result<()> {
        self.add_to(&mut self.lock(), host.to_owned(), port, socket)
    }

    fn add_to(&self, state: &mut State, host: String, port: u16, socket: Socket) -> io::Result<()> {
        let token = state.next;
        state.next += 1;
        self.epoll
            .add(&socket, EpollEvent::new(EpollFlags::EPOLLIN, token))?;
        state.open.insert(token, Open { host, port, socket });
        Ok(())
    }

    fn serve(&self) {
        let mut events = [EpollEvent::empty(); 64];
        loop {
            let ready = match self.epoll.wait(&mut events, EpollTimeout::NONE) {
                Ok(ready) => ready,
                Err(nix::errno::Errno::EINTR) => continue,
                Err(error) => {
                    eprintln!("netpol-lab: servers stop: {error}");
                    return;
                }
            };
            let mut state = self.lock();
            if state.stop {
                return;
            }
            for event in &events[..ready] {
                self.attend(&mut state, event.data());
            }
        }
    }

    /// One socket is readable. It is taken out and, unless it has ended, put back.
    fn attend(&self, state: &mut State, token: u64) {
        let Some(open) = state.open.remove(&token) else {
            return;
        };
        let goes_on = match &open.socket {
            Socket::Listener(listener) => self.accept(state, &open, listener),
            Socket::Stream(stream) => echo(stream),
            Socket::Datagrams(socket) => answer(state, &open, socket),
        };
        if goes_on {
            state.open.insert(token, open);
        }
    }

    fn accept(&self, state: &mut State, open: &Open, listener: &TcpListener) -> bool {
        while let Ok((stream, peer)) = listener.accept() {
            let answer = greet(state, open, Protocol::Tcp, peer, Vec::new());
            let greeted = stream
                .set_nonblocking(true)
                .and_then(|()| stream.set_nodelay(true))
                .and_then(|()| (&stream).write_all(format!("{answer}\n").as_bytes()));
            if greeted.is_ok() {
                let _ = self.add_to(state, open.host.clone(), open.port, Socket::Stream(stream));
            }
        }
        true
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Listener(listener) => listener.as_fd(),
            Self::Stream(stream) => stream.as_fd(),
            Self::Datagrams(socket) => socket.as_fd(),
        }
    }
}

/// Remembers an arrival and words the answer.
fn greet(
    state: &mut State,
    open: &Open,
    protocol: Protocol,
    peer: SocketAddr,
    payload: Vec<u8>,
) -> Answer {
    // A dual-stack socket shows IPv4 peers as mapped IPv6 addresses.
    let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
    state.arrivals.push(Arrival {
        host: open.host.clone(),
        protocol,
        port: open.port,
        peer,
        payload,
    });
    Answer {
        by: open.host.clone(),
        seen_as: peer,
    }
}

/// Echoes what there is; `false` at the end of the connection. A client that does not read loses
/// its connection.
fn echo(mut stream: &TcpStream) -> bool {
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return false,
            Ok(length) => {
                if stream.write_all(&buffer[..length]).is_err() {
                    return false;
                }
            }
            Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
        }
    }
}

fn answer(state: &mut State, open: &Open, socket: &UdpSocket) -> bool {
    let mut buffer = [0; 2048];
    loop {
        match socket.recv_from(&mut buffer) {
            Ok((length, peer)) => {
                let payload = buffer[..length].to_vec();
                let answer = greet(state, open, Protocol::Udp, peer, payload.clone());
                let mut reply = format!("{answer}\n").into_bytes();
                reply.extend(payload);
                // A peer that is gone by now shows up as an error of this send, or of the next
                // receive: not ours.
                let _ = socket.send_to(&reply, peer);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
            Err(error) if is_of_a_peer(&error) => {}
            Err(_) => return false,
        }
    }
}

fn is_of_a_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
    )
}

/// The wildcard of both families: one socket serves IPv4 and IPv6.
pub(crate) fn any_address(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::from([0_u16; 8]), port)
}
