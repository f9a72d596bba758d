//! Questions without end, from a thread of their own: for what must hold at every moment.

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::{
    error::{Doing, Result},
    host::Host,
    outcome::{Outcome, PATIENT},
    wiretap::tcp_data_packet,
};

/// How long an answer may be under way.
const GRACE: Duration = Duration::from_secs(1);

/// A question that got no answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Missed {
    /// When it was asked, after the prober's start.
    pub at: Duration,
    /// What came of it.
    pub outcome: Outcome,
}

/// What a prober saw.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Questions asked.
    pub asked: usize,
    /// Those without an answer.
    pub missed: Vec<Missed>,
}

/// Asks until it is told to stop.
#[derive(Debug)]
pub struct Prober {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Tally>>,
}

impl Prober {
    /// One UDP flow: a datagram each `interval`, each of which must be answered. Nothing sends a
    /// lost one again.
    ///
    /// # Errors
    ///
    /// When the socket cannot be made.
    pub fn steady_udp(from: &Host, to: SocketAddr, interval: Duration) -> Result<Self> {
        let socket = from
            .udp_to(to)
            .and_then(|socket| socket.set_nonblocking(true).map(|()| socket))
            .doing(|| format!("ask from {}", from.name()))?;
        Ok(Self::start(move |stop| {
            ask_steadily(&socket, interval, stop)
        }))
    }

    /// A new TCP connection each `interval`, each of which must be answered before TCP sends its
    /// SYN a second time.
    pub fn fresh_tcp(from: &Host, to: SocketAddr, interval: Duration) -> Self {
        let from = from.clone();
        Self::start(move |stop| {
            let mut tally = Tally::default();
            let started = Instant::now();
            while !stop.load(Ordering::Relaxed) {
                let at = started.elapsed();
                let outcome = from.connect_tcp(to.ip(), to.port(), PATIENT);
                tally.asked += 1;
                if !outcome.is_reached() {
                    tally.missed.push(Missed { at, outcome });
                }
                thread::sleep(interval);
            }
            tally
        })
    }

    /// One long TCP connection that must go on.
    ///
    /// # Errors
    ///
    /// When it cannot be opened to begin with.
    pub fn steady_tcp(from: &Host, to: SocketAddr, interval: Duration) -> Result<Self> {
        let opened = from.open(to.ip(), to.port(), PATIENT);
        let mut connection = opened
            .map_err(|outcome| io::Error::other(outcome.to_string()))
            .doing(|| format!("connect from {} to {to}", from.name()))?;
        Ok(Self::start(move |stop| {
            let mut tally = Tally::default();
            let started = Instant::now();
            while !stop.load(Ordering::Relaxed) {
                let at = started.elapsed();
                let outcome = connection.echo(GRACE);
                tally.asked += 1;
                if !outcome.is_reached() {
                    tally.missed.push(Missed { at, outcome });
                }
                thread::sleep(interval);
            }
            tally
        }))
    }

    /// Everything that must not pass, each `interval`: a datagram of an old flow and of a new one,
    /// a SYN, a packet out of nowhere in the middle of a connection. Answers are not waited for: a
    /// [`super::Wiretap`] tells what passed.
    ///
    /// # Errors
    ///
    /// When the socket cannot be made.
    pub fn knocking(
        from: &Host,
        to: IpAddr,
        tcp: u16,
        udp: u16,
        interval: Duration,
    ) -> Result<Self> {
        let (tcp, udp) = (SocketAddr::new(to, tcp), SocketAddr::new(to, udp));
        let old = from
            .udp_to(udp)
            .doing(|| format!("ask from {}", from.name()))?;
        let from = from.clone();
        Ok(Self::start(move |stop| {
            let mut tally = Tally::default();
            while !stop.load(Ordering::Relaxed) {
                let _ = old.send(b"old");
                let _ = from.udp_to(udp).and_then(|socket| socket.send(b"new"));
                let stray = SocketAddr::new(own_address(&old), fastrand::u16(32768..));
                let _ = tcp_data_packet(stray, tcp).and_then(|packet| from.send_raw(&packet, to));
                // Gives up at once: the SYN is on its way.
                from.connect_tcp(to, tcp.port(), Duration::from_millis(1));
                tally.asked += 4;
                thread::sleep(interval);
            }
            tally
        }))
    }

    /// Stops, waits for answers under way, and tells.
    pub fn finish(mut self) -> Tally {
        self.stop.store(true, Ordering::Relaxed);
        let tally = self.thread.take().and_then(|thread| thread.join().ok());
        tally.unwrap_or_default()
    }

    fn start(work: impl FnOnce(&AtomicBool) -> Tally + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&stop);
        Self {
            stop,
            thread: Some(thread::spawn(move || work(&until))),
        }
    }
}

impl Drop for Prober {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn own_address(socket: &UdpSocket) -> IpAddr {
    let unknown = IpAddr::from([0, 0, 0, 0]);
    socket.local_addr().map_or(unknown, |address| address.ip())
}

fn ask_steadily(socket: &UdpSocket, interval: Duration, stop: &AtomicBool) -> Tally {
    let started = Instant::now();
    let mut waiting: BTreeMap<usize, Duration> = BTreeMap::new();
    let mut asked = 0;
    while !stop.load(Ordering::Relaxed) {
        waiting.insert(asked, started.elapsed());
        let _ = socket.send(asked.to_string().as_bytes());
        asked += 1;
        thread::sleep(interval);
        drain(socket, &mut waiting);
    }
    let deadline = Instant::now() + GRACE;
    while !waiting.is_empty() && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(5));
        drain(socket, &mut waiting);
    }
    let missed = waiting.into_values().map(|at| Missed {
        at,
        outcome: Outcome::TimedOut,
    });
    Tally {
        asked,
        missed: missed.collect(),
    }
}

/// Takes the answers that are there; the last line of each is the question's number.
fn drain(socket: &UdpSocket, waiting: &mut BTreeMap<usize, Duration>) {
    let mut buffer = [0; 512];
    while let Ok(length) = socket.recv(&mut buffer) {
        let text = String::from_utf8_lossy(&buffer[..length]);
        if let Some(number) = text.lines().last().and_then(|line| line.parse().ok()) {
            waiting.remove(&number);
        }
    }
}
