//! The programs, with maps as large as the agent makes them.

use anyhow::{Context, bail};
use aya::maps::{Array, HashMap, Map, ProgramArray, RingBuf};
use aya::programs::{SchedClassifier, TestRun as _, TestRunOptions};
use aya::{Ebpf, EbpfLoader};
use netpol_common::maps;
use nix::sys::resource::{RLIM_INFINITY, Resource, setrlimit};

use super::maps::{Change, change, clear};
use crate::scenario::{Entry, Walk};
use crate::sizes::{self, Globals};

/// What time-outs are counted in. The kernel's own ticks may be four times shorter; no scenario
/// takes long enough to notice.
const TICKS_PER_SECOND: u32 = 250;

/// The agent's programs, those they are measured against, and the maps of both.
pub struct Kernel {
    shipped: Ebpf,
    bench: Ebpf,
    /// Runs so far: each goes through its packets in an order of its own.
    runs: u32,
}

/// What is called for each packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Callee {
    Empty,
    Yardstick,
    Absent,
    Open,
    FromEndpoint,
    ToEndpoint,
}

impl Callee {
    const fn name(self) -> &'static str {
        match self {
            Self::Empty => "bench_empty",
            Self::Yardstick => "bench_yardstick",
            Self::Absent => "bench_absent",
            Self::Open => "bench_open",
            Self::FromEndpoint => maps::FROM_ENDPOINT,
            Self::ToEndpoint => maps::TO_ENDPOINT,
        }
    }

    const fn is_ours(self) -> bool {
        !matches!(self, Self::FromEndpoint | Self::ToEndpoint)
    }
}

const WALKER: &str = "bench_walk";
const WALK: &str = "BENCH_WALK";
const NEXT: &str = "BENCH_NEXT";
const KEYS: &str = "BENCH_KEYS";
const OPENED: &str = "BENCH_NEW";

impl Kernel {
    /// Loads both objects, with empty maps.
    ///
    /// # Errors
    ///
    /// The kernel refuses: not root, or a program that its verifier does not take.
    pub fn new(shipped: &[u8], bench: &[u8]) -> anyhow::Result<Self> {
        // Kernels before 5.11 count maps against this. Where it cannot be raised and matters,
        // making a map fails and says so.
        let _ = setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY);
        let globals = Globals::new(TICKS_PER_SECOND);
        let mut loader = EbpfLoader::new();
        loader.btf(None);
        for map in maps::PROGRAM_MAPS {
            if let Some(entries) = sizes::of(map) {
                loader.map_max_entries(map, entries);
            }
        }
        loader
            .override_global(maps::TIMEOUTS, &globals.timeouts, true)
            .override_global(maps::TICKS_PER_SECOND, &globals.ticks_per_second, true)
            .override_global(maps::CAPACITIES, &globals.capacities, true);
        let mut shipped = loader.load(shipped).context("load the agent's programs")?;
        for name in [maps::FROM_ENDPOINT, maps::TO_ENDPOINT, maps::CLOCK] {
            load(&mut shipped, name)?;
        }
        let mut bench = EbpfLoader::new()
            .btf(None)
            .load(bench)
            .context("load what they are measured against")?;
        load(&mut bench, WALKER)?;
        for callee in [
            Callee::Empty,
            Callee::Yardstick,
            Callee::Absent,
            Callee::Open,
        ] {
            load(&mut bench, callee.name())?;
        }
        Ok(Self {
            shipped,
            bench,
            runs: 0,
        })
    }

    /// The low half of `jiffies`.
    pub(super) fn ticks(&self) -> anyhow::Result<u32> {
        let options = TestRunOptions {
            data_in: Some(&[0; 64]),
            ..TestRunOptions::new()
        };
        Ok(program(&self.shipped, maps::CLOCK)?
            .test_run(options)?
            .return_value)
    }

    pub(super) fn change(&mut self, how: Change, entry: &Entry) -> anyhow::Result<()> {
        let map = map(&mut self.shipped, entry.map)?;
        change(map, how, &entry.key, &entry.value)
            .with_context(|| format!("change an entry of {}", entry.map))
    }

    /// Puts the keys of a walk's packets into the yardstick's map, and nothing else.
    pub(super) fn put_keys(&mut self, walk: &Walk) -> anyhow::Result<()> {
        clear::<4, 1>(map(&mut self.bench, KEYS)?)?;
        let mut keys: HashMap<_, [u32; 4], u32> = map(&mut self.bench, KEYS)?.try_into()?;
        for peer in 0..walk.peers {
            let key = [1, (walk.first + peer).to_be(), walk.ports.to_be(), 6];
            keys.insert(key, 1, 0).context("the yardstick's map")?;
        }
        Ok(())
    }

    /// Runs so many packets of a walk: nanoseconds that each took, and what the last one returned.
    pub(super) fn run(
        &mut self,
        callee: Callee,
        walk: &Walk,
        packets: u32,
    ) -> anyhow::Result<(f64, i32)> {
        self.runs = self.runs.wrapping_add(1);
        let words = [
            walk.shape as u32,
            walk.peers,
            walk.first,
            walk.ports,
            walk.step,
            self.runs.wrapping_mul(0x9e37_79b1),
        ];
        let mut state: Array<_, [u32; 6]> = map(&mut self.bench, WALK)?.try_into()?;
        state.set(0, words, 0)?;
        let object = if callee.is_ours() {
            &self.bench
        } else {
            &self.shipped
        };
        let next = program(object, callee.name())?.fd()?.try_clone()?;
        let mut calls: ProgramArray<_> = map(&mut self.bench, NEXT)?.try_into()?;
        calls
            .set(0, &next, 0)
            .context("put the program in its place")?;
        let options = TestRunOptions {
            data_in: Some(&walk.frame),
            repeat: packets,
            ..TestRunOptions::new()
        };
        let run = program(&self.bench, WALKER)?.test_run(options)?;
        // The kernel gives the mean of the packets, in whole nanoseconds.
        Ok((run.duration.as_nanos() as f64, run.return_value as i32))
    }

    /// Forgets connections that were not answered: how many, of both families.
    pub(super) fn forget_new(&mut self) -> anyhow::Result<usize> {
        let v4 = clear::<4, 4>(map(&mut self.shipped, maps::CONNTRACK_NEW_V4)?)?;
        let v6 = clear::<7, 4>(map(&mut self.shipped, maps::CONNTRACK_NEW_V6)?)?;
        Ok(v4 + v6)
    }

    /// Forgets the keys that [`Callee::Open`] has put into its map.
    pub(super) fn forget_opened(&mut self) -> anyhow::Result<usize> {
        clear::<4, 4>(map(&mut self.bench, OPENED)?)
    }

    /// Reads the events away, as the agent does.
    pub(super) fn drain(&mut self) -> anyhow::Result<()> {
        let mut events = RingBuf::try_from(map(&mut self.shipped, maps::EVENTS)?)?;
        while events.next().is_some() {}
        Ok(())
    }
}

fn map<'a>(object: &'a mut Ebpf, name: &str) -> anyhow::Result<&'a mut Map> {
    let map = object.map_mut(name);
    map.with_context(|| format!("the object has no map {name}"))
}

fn program<'a>(object: &'a Ebpf, name: &str) -> anyhow::Result<&'a SchedClassifier> {
    let Some(program) = object.program(name) else {
        bail!("the object has no program {name}");
    };
    Ok(program.try_into()?)
}

fn load(object: &mut Ebpf, name: &str) -> anyhow::Result<()> {
    let Some(program) = object.program_mut(name) else {
        bail!("the object has no program {name}");
    };
    let program: &mut SchedClassifier = program.try_into()?;
    program.load().with_context(|| format!("load {name}"))
}
