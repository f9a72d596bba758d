//! A pulse: datagrams of one flow, each with its number, and when each was sent; so that a change is
//! seen to the packet.

use std::{
    collections::BTreeSet,
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::Result;

use crate::lab::Host;

const BEAT: Duration = Duration::from_millis(5);
/// How long an answer may be under way.
const GRACE: Duration = Duration::from_millis(500);

#[derive(Debug, Default)]
struct Beats {
    sent: Vec<Instant>,
    answered: BTreeSet<usize>,
}

/// Beats until dropped.
#[derive(Debug)]
pub(crate) struct Pulse {
    beats: Arc<Mutex<Beats>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Pulse {
    /// One flow from one host to a lab's UDP server.
    pub(crate) fn start(from: &Host, to: SocketAddr) -> Result<Self> {
        let socket = from.udp_to(to)?;
        socket.set_nonblocking(true)?;
        let beats = Arc::new(Mutex::new(Beats::default()));
        let stop = Arc::new(AtomicBool::new(false));
        let (into, until) = (Arc::clone(&beats), Arc::clone(&stop));
        let work = move || {
            while !until.load(Ordering::Relaxed) {
                beat(&socket, &into);
                thread::sleep(BEAT);
            }
        };
        Ok(Self {
            beats,
            stop,
            thread: Some(thread::spawn(work)),
        })
    }

    /// Of the beats sent from `from` to `to`: how many there were, and how many were answered.
    pub(crate) fn answered_between(&self, from: Instant, to: Instant) -> (usize, usize) {
        thread::sleep((to + GRACE).saturating_duration_since(Instant::now()));
        let beats = self.beats.lock().unwrap_or_else(PoisonError::into_inner);
        let within = |(number, at): (usize, &Instant)| (*at >= from && *at < to).then_some(number);
        let sent: Vec<usize> = beats.sent.iter().enumerate().filter_map(within).collect();
        let answered = sent.iter().filter(|it| beats.answered.contains(it)).count();
        (sent.len(), answered)
    }

    /// When the first beat after `since` was sent that came out as wanted, and all after it did.
    pub(crate) fn settled(&self, since: Instant, answered: bool) -> Option<Duration> {
        let beats = self.beats.lock().unwrap_or_else(PoisonError::into_inner);
        // The last ones may still be under way.
        let old = Instant::now().checked_sub(GRACE)?;
        let judged = beats.sent.iter().enumerate();
        let judged: Vec<_> = judged
            .filter(|(_, at)| **at >= since && **at < old)
            .collect();
        let odd = judged
            .iter()
            .rposition(|(number, _)| beats.answered.contains(number) != answered);
        let first = judged.get(odd.map_or(0, |it| it + 1))?;
        Some(first.1.duration_since(since))
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn beat(socket: &UdpSocket, into: &Mutex<Beats>) {
    let mut buffer = [0; 512];
    let mut beats = into.lock().unwrap_or_else(PoisonError::into_inner);
    while let Ok(length) = socket.recv(&mut buffer) {
        // The last line of an answer is the question.
        let text = String::from_utf8_lossy(&buffer[..length]);
        let number: Option<usize> = text.lines().last().and_then(|line| line.parse().ok());
        beats.answered.extend(number);
    }
    let number = beats.sent.len();
    beats.sent.push(Instant::now());
    let _ = socket.send(number.to_string().as_bytes());
}
