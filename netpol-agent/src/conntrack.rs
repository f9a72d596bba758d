//! Clearing the conntrack maps of connections that are over.
//!
//! ```text
//! every half second: how full is each map? (two look-ups; the programs count)
//!        |-- not swept for 5 s, or half full and not swept for 1 s --> walk it, by batches
//!        |   (empty when last swept, and nothing counted since: not for a minute)
//!        |       what is over -> looked at again -> removed -> counted for its endpoint
//!        '-- at the end: is what was counted what was seen? (drift.rs)
//! ```
//! The programs take an entry that is over for none, and write over it. So nothing depends on how
//! soon an entry goes; this only keeps the maps from filling up. A map that is less than half full is
//! walked for a quarter of the time at most, so that a processor has most of its time for others;
//! one that fills rests a second between walks.
//!
//! One race remains. Between the last look at an entry and its removal a packet may renew it, and
//! a renewed entry is removed: the connection's next packet is judged anew, in its own direction.
//! It takes a packet within a fraction of a millisecond, on a connection that has been silent for
//! longer than its time-out and the grace: the kernel has no "remove if unchanged".

use std::{
    collections::{HashMap, HashSet},
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use bytemuck::Pod;
use netpol_common::{
    conntrack::{Connection, Key4, Key6},
    endpoint::Slot,
    held::{Place, Usage},
};
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

#[cfg(test)]
mod bench;
mod drift;
mod over;

use crate::bpf::{
    clock::Clock,
    error::LoadError,
    shares::{Count, Shares},
    table::Table,
    tables::ConntrackTables,
};
use drift::Drift;
use over::{Haste, is_over};

/// How often it is asked how full the maps are.
const LOOK: Duration = Duration::from_millis(500);
/// How often a map is swept.
const SWEEP: Duration = Duration::from_secs(5);
/// How often one that is at least half full is.
const SWEEP_SOONER: Duration = Duration::from_secs(1);
/// How often a map is that was empty and to which nothing came: only a wrong count would hide
/// something there, and walking a hash takes as long when it is empty.
const SWEEP_EMPTY: Duration = Duration::from_secs(60);
/// A map that is less than half full rests so many times as long as sweeping it took.
const REST: u32 = 3;
/// Entries looked at a second time, then removed together: so few that it takes microseconds.
const TOGETHER: usize = 64;

/// What is cleared of what is over.
pub(crate) struct Sweeper {
    tables: ConntrackTables,
    endpoints: Table<u32, Slot>,
    shares: Shares,
    clock: Arc<Clock>,
    drift: Drift,
    last: HashMap<usize, Instant>,
    reports: watch::Sender<Reports>,
}

/// The last sweep of each map.
pub(crate) type Reports = HashMap<&'static str, Report>;

/// What a sweep came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Report {
    /// Entries that were there.
    pub(crate) seen: u64,
    /// Entries that were removed.
    pub(crate) removed: u64,
    /// How long it took.
    pub(crate) took: Duration,
    /// Corrections of what an endpoint is counted to hold.
    pub(crate) corrected: u64,
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
    /// Sweeps these maps.
    pub(crate) fn new(
        tables: ConntrackTables,
        endpoints: Table<u32, Slot>,
        shares: Shares,
        clock: Arc<Clock>,
    ) -> Self {
        Self {
            tables,
            endpoints,
            shares,
            clock,
            drift: Drift::default(),
            last: HashMap::new(),
            reports: watch::Sender::default(),
        }
    }

    /// What the last sweeps came to.
    pub(crate) fn reports(&self) -> watch::Receiver<Reports> {
        self.reports.subscribe()
    }

    /// Sweeps until shutdown.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) {
        let mut next = interval(LOOK);
        next.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = next.tick() => {}
            }
            if let Err(error) = tokio::task::block_in_place(|| self.sweep_due()) {
                tracing::warn!(%error, "cannot sweep");
            }
        }
    }

    /// Sweeps the maps whose time it is.
    fn sweep_due(&mut self) -> Result<(), SweepError> {
        let total = self.shares.total()?;
        for place in Place::ALL {
            if !self.is_due(place, &total) {
                continue;
            }
            let report = match place {
                Place::NewV4 => self.sweep(place, |sweeper| &sweeper.tables.new_v4),
                Place::NewV6 => self.sweep(place, |sweeper| &sweeper.tables.new_v6),
                Place::RepliedV4 => self.sweep(place, |sweeper| &sweeper.tables.v4),
                Place::RepliedV6 => self.sweep(place, |sweeper| &sweeper.tables.v6),
            }?;
            self.last.insert(place as usize, Instant::now());
            let Report {
                seen,
                removed,
                took,
                ..
            } = report;
            let name = self.tables.name(place);
            tracing::debug!(table = name, seen, removed, ?took, "swept");
            self.reports.send_modify(|reports| {
                reports.insert(name, report);
            });
        }
        Ok(())
    }

    fn is_due(&self, place: Place, total: &Count) -> bool {
        let Some(last) = self.last.get(&(place as usize)) else {
            return true;
        };
        if total.now(place) >= self.tables.capacity(place) / 2 {
            return last.elapsed() >= SWEEP_SOONER;
        }
        let reports = self.reports.borrow();
        let report = reports.get(self.tables.name(place));
        let report = report.copied().unwrap_or_default();
        let was_empty = report.seen == 0 && report.corrected == 0;
        if was_empty && total.signed(place) == 0 {
            return last.elapsed() >= SWEEP_EMPTY;
        }
        last.elapsed() >= SWEEP.max(report.took * REST)
    }

    /// Sweeps one map, and compares what was counted with what is there.
    fn sweep<K: ConnectionKey>(
        &mut self,
        place: Place,
        table: impl Fn(&Self) -> &Table<K, Connection>,
    ) -> Result<Report, SweepError> {
        let start = Instant::now();
        let before = (self.shares.all()?, self.shares.total()?);
        let haste = haste(place, self.tables.capacity(place), &before.0, &before.1);
        let (seen, removed) = self.walk(place, table(self), &haste)?;
        let after = (self.shares.all()?, self.shares.total()?);
        let all = seen.values().sum();
        let mut corrected = 0;
        for (ifindex, counted) in &before.0 {
            let Some(later) = after.0.get(ifindex) else {
                continue;
            };
            let there = seen.get(ifindex).copied().unwrap_or_default();
            if let Some(drift) = self.drift.of(Some(*ifindex), place, counted, later, there) {
                tracing::info!(
                    ifindex,
                    drift,
                    table = self.tables.name(place),
                    "corrected a count"
                );
                self.shares.sweep(*ifindex, place, drift)?;
                corrected += 1;
            }
        }
        if let Some(drift) = self.drift.of(None, place, &before.1, &after.1, all) {
            tracing::info!(drift, table = self.tables.name(place), "corrected the sum");
            self.shares.sweep_total(place, drift)?;
            corrected += 1;
        }
        self.drift.retain(|ifindex| after.0.contains_key(&ifindex));
        Ok(Report {
            seen: all,
            removed,
            took: start.elapsed(),
            corrected,
        })
    }

    /// Removes what is over. Returns how many entries there were of each endpoint, and how many
    /// were removed.
    fn walk<K: ConnectionKey>(
        &self,
        place: Place,
        table: &Table<K, Connection>,
        haste: &Haste,
    ) -> Result<(HashMap<u32, u64>, u64), SweepError> {
        let ticks = self.clock.ticks_per_second();
        let mut seen: HashMap<u32, u64> = HashMap::new();
        let mut removed = 0;
        let mut failure = None;
        let now = self.clock.now()?;
        table.each_batch(|batch| {
            for (key, _) in batch {
                *seen.entry(key.endpoint()).or_default() += 1;
            }
            // After the batch was read: an entry is written only once its endpoint is there.
            let gone = self.gone_endpoints(batch)?;
            let over = |key: &K, value: &Connection, now| {
                gone.contains(&key.endpoint())
                    || is_over(key.selector(), value, now, ticks, haste.of(key.endpoint()))
            };
            let candidates = batch.iter().filter(|(key, value)| over(key, value, now));
            let candidates: Vec<K> = candidates.map(|(key, _)| *key).collect();
            let mut of_endpoint: HashMap<u32, i64> = HashMap::new();
            for some in candidates.chunks(TOGETHER) {
                let now = match self.clock.now() {
                    Ok(now) => now,
                    Err(error) => {
                        failure = Some(error);
                        break;
                    }
                };
                let mut still = Vec::with_capacity(TOGETHER);
                for key in some {
                    let value = table.get(key)?;
                    still.extend(value.filter(|value| over(key, value, now)).map(|_| *key));
                }
                table.delete_all(&still, |keys| {
                    for key in keys {
                        *of_endpoint.entry(key.endpoint()).or_default() += 1;
                    }
                })?;
            }
            let sum: i64 = of_endpoint.values().sum();
            if sum > 0 {
                self.shares.sweep_total(place, sum)?;
            }
            removed += sum.unsigned_abs();
            of_endpoint
                .into_iter()
                .try_for_each(|(ifindex, count)| self.shares.sweep(ifindex, place, count))
        })?;
        failure.map_or(Ok((seen, removed)), |error| Err(error.into()))
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

/// Whose connections have less time: of new ones, those of an endpoint that has used up half of
/// its share, so that nobody waits shorter for an answer because of another; of replied ones,
/// everybody's once the map is half full, which takes only from those that are over for their ends.
fn haste(place: Place, capacity: u64, counts: &HashMap<u32, Count>, total: &Count) -> Haste {
    let all = total.now(place);
    match place {
        Place::RepliedV4 | Place::RepliedV6 if all >= capacity / 2 => Haste::Everyone,
        Place::RepliedV4 | Place::RepliedV6 => Haste::Nobody,
        Place::NewV4 | Place::NewV6 => {
            let uses_much = |count: &Count| {
                let usage = Usage {
                    own: count.now(place) * 2,
                    all,
                    capacity,
                    most: u64::MAX,
                };
                all >= capacity || !usage.admits(place.weight())
            };
            let busy = counts.iter().filter(|(_, count)| uses_much(count));
            Haste::These(busy.map(|(ifindex, _)| *ifindex).collect())
        }
    }
}
