//! A stranger that knocks at every address a pod could have, so that a pod is knocked at from the
//! moment it has one.

use std::{
    net::{IpAddr, SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::Result;

use super::world::PORT;
use crate::lab::{Addresses, Host};

/// How often each address is knocked at.
const SWEEP: Duration = Duration::from_millis(200);

/// Knocks until dropped.
#[derive(Debug)]
pub(crate) struct Knocks {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl Knocks {
    /// A datagram from `stranger` to each address of `network`, which is one of a node's pods; those of `spared` are
    /// left out.
    pub(crate) fn start(stranger: &Host, network: Addresses, spared: &[Addresses]) -> Result<Self> {
        let bind = || -> std::io::Result<_> {
            Ok((UdpSocket::bind("0.0.0.0:0")?, UdpSocket::bind("[::]:0")?))
        };
        let (v4, v6) = stranger.netns().inside(bind)??;
        for socket in [&v4, &v6] {
            socket.set_nonblocking(true)?;
        }
        let addresses: Vec<IpAddr> = (2..=254)
            .flat_map(|number| nth(network, number))
            .filter(|address| !spared.iter().any(|it| it.contains(*address)))
            .collect();
        let stop = Arc::new(AtomicBool::new(false));
        let sent = Arc::new(AtomicUsize::new(0));
        let (until, count) = (Arc::clone(&stop), Arc::clone(&sent));
        let work = move || {
            while !until.load(Ordering::Relaxed) {
                let next = Instant::now() + SWEEP;
                for address in &addresses {
                    let socket = if address.is_ipv4() { &v4 } else { &v6 };
                    // No such neighbour yet is as good as any answer.
                    if socket
                        .send_to(b"stranger", SocketAddr::new(*address, PORT))
                        .is_ok()
                    {
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                }
                thread::sleep(next.saturating_duration_since(Instant::now()));
            }
        };
        Ok(Self {
            stop,
            sent,
            thread: Some(thread::spawn(work)),
        })
    }

    /// How often it has knocked.
    pub(crate) fn sent(&self) -> usize {
        self.sent.load(Ordering::Relaxed)
    }
}

impl Drop for Knocks {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Address `number` of a node's pods.
fn nth(network: Addresses, number: u8) -> [IpAddr; 2] {
    let [a, b, c, _] = network.v4.octets();
    let mut v6 = network.v6.segments();
    v6[7] = number.into();
    [IpAddr::from([a, b, c, number]), IpAddr::from(v6)]
}
