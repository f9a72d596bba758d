//! Clearing the conntrack maps of connections that are over.
//!
//! The programs take an entry that is over for none, and write over it. So nothing depends on how
//! soon an entry goes; this only keeps the maps from filling up.
//!
//! One race remains. Between the last look at an entry and its removal a packet may renew it, and
//! a renewed entry is removed: the connection's next packet is judged anew, in its own direction.
//! It takes a packet within a fraction of a millisecond, on a connection that has been silent for
//! longer than its time-out and [`GRACE`]: the kernel has no "remove if unchanged".

use std::{collections::HashSet, io, sync::Arc, time::Duration};

use bytemuck::Pod;
use netpol_common::{
    conntrack::{self, Connection, Key4, Key6, TIMEOUT_SECONDS},
    endpoint::Slot,
};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::bpf::{clock::Clock, error::LoadError, table::Table, tables::ConntrackTables};

/// How often the maps are swept.
const SWEEP: Duration = Duration::from_secs(5);
/// How long past its time-out an entry is left alone.
const GRACE_SECONDS: u32 = 1;
/// A stamp this far ahead of the clock is one that was written after the clock was read. More
/// means that the low half of `jiffies` went round since.
const AHEAD_SECONDS: u32 = 60;
/// Entries looked at a second time, then removed together: so few that it takes microseconds.
const TOGETHER: usize = 64;

/// What is cleared of what is over.
pub(crate) struct Sweeper {
    pub(crate) tables: ConntrackTables,
    pub(crate) endpoints: Table<u32, Slot>,
    pub(crate) clock: Arc<Clock>,
}

#[derive(Debug, thiserror::Error)]
enum SweepError {
    #[error(transparent)]
    Clock(#[from] LoadError),
    #[error("cannot sweep the connections: {0}")]
    Map(#[from] io::Error),
}

/// A key of either family, as far as it matters here.
trait ConnectionKey: Pod {
    fn endpoint(&self) -> u32;
    fn selector(&self) -> u32;
}

impl ConnectionKey for Key4 {
    fn endpoint(&self) -> u32 {
        self.endpoint
    }
    fn selector(&self) -> u32 {
        self.selector
    }
}

impl ConnectionKey for Key6 {
    fn endpoint(&self) -> u32 {
        self.endpoint
    }
    fn selector(&self) -> u32 {
        self.selector
    }
}

impl Sweeper {
    /// Sweeps until shutdown.
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        let mut next = interval(SWEEP);
        next.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = next.tick() => {}
            }
            match tokio::task::block_in_place(|| self.sweep()) {
                Ok(0) => {}
                Ok(removed) => tracing::debug!(removed, "connections over"),
                Err(error) => tracing::warn!(%error, "cannot sweep"),
            }
        }
    }

    fn sweep(&self) -> Result<usize, SweepError> {
        let mut removed = self.sweep_table(&self.tables.v4)?;
        removed += self.sweep_table(&self.tables.v6)?;
        removed += self.sweep_table(&self.tables.new_v4)?;
        Ok(removed + self.sweep_table(&self.tables.new_v6)?)
    }

    fn sweep_table<K: ConnectionKey>(
        &self,
        table: &Table<K, Connection>,
    ) -> Result<usize, SweepError> {
        let ticks = self.clock.ticks_per_second();
        let mut removed = 0;
        let mut failure = None;
        let now = self.clock.now()?;
        table.each_batch(|batch| {
            // After the batch was read: an entry is written only once its endpoint is there.
            let gone = self.gone_endpoints(batch)?;
            let over = |key: &K, value: &Connection, now| {
                gone.contains(&key.endpoint()) || is_over(key.selector(), value, now, ticks)
            };
            let candidates = batch.iter().filter(|(key, value)| over(key, value, now));
            let candidates: Vec<K> = candidates.map(|(key, _)| *key).collect();
            for some in candidates.chunks(TOGETHER) {
                let now = match self.clock.now() {
                    Ok(now) => now,
                    Err(error) => {
                        failure = Some(error);
                        return Ok(());
                    }
                };
                let mut still = Vec::with_capacity(TOGETHER);
                for key in some {
                    let value = table.get(key)?;
                    still.extend(value.filter(|value| over(key, value, now)).map(|_| *key));
                }
                table.delete_all(&still)?;
                removed += still.len();
            }
            Ok(())
        })?;
        failure.map_or(Ok(removed), |error| Err(error.into()))
    }

    /// The endpoints of these connections that are no more.
    fn gone_endpoints<K: ConnectionKey>(
        &self,
        batch: &[(K, Connection)],
    ) -> io::Result<HashSet<u32>> {
        let mut gone = HashSet::new();
        let endpoints: HashSet<u32> = batch.iter().map(|(key, _)| key.endpoint()).collect();
        for ifindex in endpoints {
            if self.endpoints.get(&ifindex)?.is_none() {
                gone.insert(ifindex);
            }
        }
        Ok(gone)
    }
}

/// Whether a connection has been silent for longer than its time-out and the grace.
fn is_over(selector: u32, connection: &Connection, now: u32, ticks_per_second: u32) -> bool {
    let idle = now.wrapping_sub(connection.last_seen);
    let ahead = connection.last_seen.wrapping_sub(now);
    if ahead <= AHEAD_SECONDS * ticks_per_second {
        return false;
    }
    let class = conntrack::timeout_class(selector, connection.state);
    let seconds = TIMEOUT_SECONDS[class as usize] + GRACE_SECONDS;
    idle > seconds.saturating_mul(ticks_per_second)
}

#[cfg(test)]
mod tests {
    use netpol_common::{
        conntrack::{Timeout, selector, state},
        protocol,
    };

    use super::*;

    const TICKS: u32 = 250;

    fn idle(protocol: u8, bits: u32, seconds: u32) -> bool {
        // Near the end of the counter, so that every case crosses its wrap.
        let last_seen = u32::MAX - 5;
        let connection = Connection {
            state: bits,
            last_seen,
            ..Connection::default()
        };
        let now = last_seen.wrapping_add(seconds * TICKS);
        is_over(selector(protocol, 0), &connection, now, TICKS)
    }

    #[test]
    fn a_connection_is_over_after_its_time_out_and_the_grace() {
        let cases = [
            (protocol::TCP, 0, Timeout::New),
            (protocol::UDP, 0, Timeout::New),
            (protocol::TCP, state::REPLIED, Timeout::TcpEstablished),
            (
                protocol::TCP,
                state::REPLIED | state::FIN_LOCAL,
                Timeout::TcpFin,
            ),
            (protocol::TCP, state::RESET, Timeout::TcpClosed),
            (protocol::UDP, state::REPLIED, Timeout::New),
            (protocol::UDP, state::REPLIED | state::STREAM, Timeout::Udp),
            (protocol::ICMP, state::REPLIED, Timeout::Echo),
            (47, state::REPLIED, Timeout::Other),
        ];
        for (protocol, bits, class) in cases {
            let limit = TIMEOUT_SECONDS[class as usize] + GRACE_SECONDS;
            assert!(!idle(protocol, bits, limit), "{class:?} at its limit");
            assert!(idle(protocol, bits, limit + 1), "{class:?} past its limit");
        }
    }

    #[test]
    fn a_stamp_that_is_newer_than_the_clock_is_fresh() {
        let connection = Connection {
            last_seen: 1000,
            ..Connection::default()
        };
        let selector = selector(protocol::TCP, 0);
        assert!(!is_over(selector, &connection, 1000, TICKS));
        assert!(!is_over(selector, &connection, 999, TICKS));
        assert!(!is_over(selector, &connection, 1000 - 250, TICKS));
    }

    #[test]
    fn a_stamp_of_long_ago_is_over_even_past_half_the_counter() {
        let connection = Connection {
            state: state::REPLIED,
            last_seen: 0,
            ..Connection::default()
        };
        let now = u32::MAX / 4 * 3;
        assert!(is_over(selector(protocol::TCP, 0), &connection, now, TICKS));
    }
}
