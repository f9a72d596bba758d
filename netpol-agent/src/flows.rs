//! Flows: from the ring buffer to those who follow.
//!
//! ```text
//! ring buffer -> FlowReader -> engine (names) -> FlowLog -> followers
//! ```

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use aya::maps::{MapData, RingBuf};
use netpol_api::Flow;
use netpol_common::event::Event;
use tokio::{
    io::{Interest, unix::AsyncFd},
    sync::{broadcast, mpsc},
    time::sleep,
};
use tokio_util::sync::CancellationToken;

/// Flows that are kept for those who ask later.
const KEPT: usize = 4096;
/// Flows that a follower may lag behind.
const LAG: usize = 4096;
/// Events handed over at a time.
const BATCH: usize = 256;
/// How long events gather before they are read. The kernel wakes a reader for an event that finds the buffer empty, by an
/// interrupt: where one is read at once, every packet with an event pays for that. It took ten microseconds of each new
/// connection (`cargo xtask bench route`).
const GATHER: Duration = Duration::from_millis(50);

/// The latest flows, and those to come.
#[derive(Debug)]
pub(crate) struct Subscription {
    pub(crate) latest: Vec<Arc<Flow>>,
    coming: broadcast::Receiver<Arc<Flow>>,
    missed: Arc<AtomicU64>,
}

impl Subscription {
    /// The next flow; none at the end. What a slow follower missed is counted and skipped.
    pub(crate) async fn next(&mut self) -> Option<Arc<Flow>> {
        loop {
            match self.coming.recv().await {
                Ok(flow) => return Some(flow),
                Err(broadcast::error::RecvError::Closed) => return None,
                Err(broadcast::error::RecvError::Lagged(missed)) => {
                    self.missed.fetch_add(missed, Ordering::Relaxed);
                }
            }
        }
    }
}

/// The flows of this agent's life.
#[derive(Debug)]
pub(crate) struct FlowLog {
    kept: VecDeque<Arc<Flow>>,
    followers: broadcast::Sender<Arc<Flow>>,
    missed: Arc<AtomicU64>,
}

impl Default for FlowLog {
    fn default() -> Self {
        Self {
            kept: VecDeque::with_capacity(KEPT),
            followers: broadcast::Sender::new(LAG),
            missed: Arc::default(),
        }
    }
}

impl FlowLog {
    pub(crate) fn push(&mut self, flow: Flow) {
        let flow = Arc::new(flow);
        if self.kept.len() == KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(Arc::clone(&flow));
        // Without followers there is nobody to send to.
        let _ = self.followers.send(flow);
    }

    pub(crate) fn subscribe(&self) -> Subscription {
        Subscription {
            latest: self.kept.iter().cloned().collect(),
            coming: self.followers.subscribe(),
            missed: Arc::clone(&self.missed),
        }
    }

    /// How many flows followers missed, being slow.
    pub(crate) fn missed(&self) -> u64 {
        self.missed.load(Ordering::Relaxed)
    }
}

/// Reads the ring buffer until shutdown. While the engine is busy the events wait in the buffer;
/// what does not fit there the programs count.
pub(crate) async fn read_events(
    events: RingBuf<MapData>,
    engine: mpsc::Sender<Vec<Event>>,
    shutdown: CancellationToken,
) -> std::io::Result<()> {
    // SAFETY: the buffer owns its descriptor, and gives no other one for as long as it lives.
    let events = unsafe { AsyncFd::register_with_interest(events, Interest::READABLE) };
    let mut events = events.map_err(std::io::Error::from)?;
    loop {
        let mut ready = tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            ready = events.readable_mut() => ready?,
        };
        let mut batch = Vec::new();
        let buffer = ready.get_inner_mut();
        while batch.len() < BATCH
            && let Some(record) = buffer.next()
        {
            // A record of another size is another version's.
            batch.extend(bytemuck::try_pod_read_unaligned::<Event>(&record));
        }
        let is_empty = batch.len() < BATCH;
        if is_empty {
            ready.clear_ready();
        }
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            sent = engine.send(batch) => if sent.is_err() { return Ok(()) },
        }
        if is_empty {
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                () = sleep(GATHER) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use netpol_api::{Direction, Peer, RuleRef, Verdict};

    use super::*;

    fn flow(number: u16) -> Flow {
        let nobody = Peer {
            address: None,
            pod: None,
        };
        Flow {
            time: 0.0,
            endpoint: nobody.clone(),
            direction: Direction::Ingress,
            peer: nobody,
            protocol: "TCP".to_owned(),
            destination_port: number,
            source_port: 0,
            length: 0,
            verdict: Verdict::Deny,
            rule: RuleRef::Drop {
                reason: String::new(),
            },
        }
    }

    #[tokio::test]
    async fn the_latest_flows_are_kept_and_what_a_slow_follower_missed_is_counted() {
        let mut log = FlowLog::default();
        let mut slow = log.subscribe();
        let flows = KEPT as u16 + 10;
        for number in 0..flows {
            log.push(flow(number));
        }
        let latest = log.subscribe().latest;
        assert_eq!(latest.len(), KEPT);
        assert_eq!(latest[0].destination_port, 10);
        let next = slow.next().await.expect("a flow");
        assert_eq!(next.destination_port, 10);
        assert_eq!(log.missed(), 10);
    }
}
