//! What sweeping costs: `cargo test --release -p netpol-agent --lib bench -- --ignored --nocapture`, as root.

use std::{collections::BTreeMap, fs, path::PathBuf};

use netpol_common::{
    conntrack::{selector, state},
    held::{Held, Moves},
    maps, protocol,
};
use nix::{
    sys::{
        resource::{UsageWho, getrusage},
        time::TimeValLike,
    },
    unistd,
};

use super::*;
use crate::bpf::load::{Limits, MapSizes, PinDirs, load};

const IFINDEX: u32 = 7;

/// Maps of their own, removed at the end.
struct Bench {
    directory: PathBuf,
    sweeper: Sweeper,
    held: Table<u32, Held>,
    held_total: Table<u32, Held>,
    opened: u64,
}

impl Bench {
    fn new(connections: u32) -> Self {
        let directory = PathBuf::from(format!("/sys/fs/bpf/netpol-bench-{}", unistd::getpid()));
        let dirs = PinDirs::under(&directory);
        let sizes = MapSizes(BTreeMap::from([(maps::CONNTRACK_V4, connections)]));
        let limits = Limits {
            events_per_second: 0,
            answers_per_second: 0,
            new_per_endpoint: u32::MAX,
        };
        let loaded = load(&dirs, &sizes, limits).expect("load the programs");
        let table = |name| Table::open(&dirs.maps, name).expect("open a map");
        let endpoints: Table<u32, Slot> =
            Table::open(&dirs.maps, maps::ENDPOINT).expect("open the endpoints");
        let slot = Slot {
            slot: 0,
            ifindex: IFINDEX,
        };
        endpoints.put(&IFINDEX, &slot).expect("an endpoint");
        let shares = Shares::open(&dirs.maps).expect("open the counts");
        shares.add(IFINDEX).expect("counts of the endpoint");
        let tables = ConntrackTables::open(&dirs.maps).expect("open the tables");
        Self {
            directory,
            sweeper: Sweeper::new(tables, endpoints, shares, Arc::new(loaded.clock)),
            held: table(maps::HELD),
            held_total: table(maps::HELD_TOTAL),
            opened: 0,
        }
    }

    /// Opens connections; how many found no room.
    fn open(&mut self, count: u32, bits: u32, idle_seconds: u32) -> u32 {
        let clock = &self.sweeper.clock;
        let now = clock.now().expect("the clock");
        let connection = Connection {
            state: bits,
            last_seen: now.wrapping_sub(idle_seconds * clock.ticks_per_second()),
            ..Connection::default()
        };
        let mut refused = 0;
        for _ in 0..count {
            let key = Key4 {
                endpoint: IFINDEX,
                remote: (self.opened >> 16) as u32,
                ports: self.opened as u32,
                selector: selector(protocol::TCP, 0),
            };
            match self.sweeper.tables.v4.put_new(&key, &connection) {
                Ok(()) => self.opened += 1,
                Err(_) => refused += 1,
            }
        }
        let mut held = Held::default();
        held.tables[Place::RepliedV4 as usize] = Moves {
            opened: self.opened,
            closed: 0,
        };
        self.held.put(&IFINDEX, &held).expect("count");
        self.held_total.put(&0, &held).expect("count");
        refused
    }

    fn sweep(&mut self) -> (Report, Duration) {
        let before = cpu();
        self.sweeper.last.clear();
        self.sweeper.sweep_due().expect("sweep");
        let report = self.sweeper.reports.borrow()[maps::CONNTRACK_V4];
        (report, cpu() - before)
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        // Pins are all that keeps the maps.
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// What this thread has used of a processor.
fn cpu() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_THREAD).expect("the usage");
    let time = usage.user_time() + usage.system_time();
    Duration::from_micros(time.num_microseconds().unsigned_abs())
}

#[test]
#[ignore = "a measurement, not a check; needs root"]
fn a_sweep_of_many_entries() {
    for count in [100_000, 1_000_000] {
        let mut bench = Bench::new(1 << 20);
        bench.open(count, state::REPLIED, 0);
        let (report, _) = bench.sweep();
        assert_eq!((report.seen, report.removed), (count.into(), 0));
        let rate = |report: &Report| report.seen as f64 / report.took.as_secs_f64();
        println!(
            "{count} entries alive: {:?}, {:.0} entries a second",
            report.took,
            rate(&report)
        );
        drop(bench);
        let mut bench = Bench::new(1 << 20);
        bench.open(count, state::REPLIED | state::RESET, 60);
        let (report, cpu) = bench.sweep();
        assert_eq!((report.seen, report.removed), (count.into(), count.into()));
        println!(
            "{count} entries over: {:?} ({cpu:?} of a processor), {:.0} removed a second",
            report.took,
            rate(&report)
        );
        assert_eq!(bench.sweep().0.seen, 0);
    }
}

#[test]
#[ignore = "a measurement, not a check; needs root"]
fn sweeps_keep_up_with_a_hundred_thousand_connections_a_second() {
    const SECONDS: u64 = 20;
    const RATE: u64 = 100_000;
    let mut bench = Bench::new(524_288);
    let (start, used) = (Instant::now(), cpu());
    let (mut opened, mut refused, mut most) = (0, 0, 0);
    let (mut sweeps, mut sweeping) = (0, Duration::ZERO);
    let mut looked = Instant::now();
    while start.elapsed() < Duration::from_secs(SECONDS) {
        let due = (start.elapsed().as_secs_f64() * RATE as f64) as u64;
        let count = due.saturating_sub(opened).min(5000) as u32;
        refused += bench.open(count, state::REPLIED | state::RESET, 0);
        opened += u64::from(count);
        if looked.elapsed() >= LOOK {
            looked = Instant::now();
            let before = cpu();
            bench.sweeper.sweep_due().expect("sweep");
            sweeping += cpu() - before;
            sweeps += 1;
            let total = bench.sweeper.shares.total().expect("the sum");
            most = most.max(total.now(Place::RepliedV4));
        }
    }
    println!(
        "{opened} connections in {SECONDS} s, each closed at once; {refused} found no room; at most {most} of 524288 \
         after a sweep; {sweeps} looks, {sweeping:?} of {:?} used",
        cpu() - used
    );
    assert_eq!(refused, 0);
}
