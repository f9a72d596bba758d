//! The programs' clock, read from user space.
//!
//! The programs stamp connections with the low half of `jiffies`, the cheapest clock they have.
//! Its rate is a build option of the kernel that no interface tells, so it is measured.

use std::time::{Duration, Instant};

use aya::{
    Ebpf,
    programs::{SchedClassifier, TestRun, TestRunOptions},
};
use netpol_common::maps;

use super::error::LoadError;

/// The values of `CONFIG_HZ` that kernels are built with.
const RATES: [u32; 4] = [100, 250, 300, 1000];
/// The first measurement's length; doubled when the result is no rate's.
const MEASURE: Duration = Duration::from_millis(60);
/// A rate is believed when the measured one is that near: half of the way from 250 to 300.
const TOLERANCE: f64 = 0.08;
/// Longer than any tick, with room for a machine that is busy.
const TICK_WAIT: Duration = Duration::from_millis(500);

/// The kernel's tick counter.
pub(crate) struct Clock {
    object: Ebpf,
    ticks_per_second: u32,
}

impl Clock {
    /// Loads the clock program of an object and measures its rate.
    pub(crate) fn measure(mut object: Ebpf) -> Result<Self, LoadError> {
        let failed = |source| LoadError::Program {
            name: maps::CLOCK,
            source,
        };
        let program: &mut SchedClassifier = object
            .program_mut(maps::CLOCK)
            .ok_or(LoadError::NoProgram(maps::CLOCK))?
            .try_into()
            .map_err(failed)?;
        program.load().map_err(failed)?;
        let mut clock = Self {
            object,
            ticks_per_second: 0,
        };
        clock.ticks_per_second = clock.rate()?;
        Ok(clock)
    }

    /// How many ticks a second has.
    pub(crate) fn ticks_per_second(&self) -> u32 {
        self.ticks_per_second
    }

    /// The low half of `jiffies`.
    pub(crate) fn now(&self) -> Result<u32, LoadError> {
        let failed = |source| LoadError::Program {
            name: maps::CLOCK,
            source,
        };
        let program: &SchedClassifier = self
            .object
            .program(maps::CLOCK)
            .ok_or(LoadError::NoProgram(maps::CLOCK))?
            .try_into()
            .map_err(failed)?;
        // The kernel wants a packet, an Ethernet header at least; the program does not look.
        let packet = [0; 64];
        let result = program.test_run(TestRunOptions {
            data_in: Some(&packet),
            ..TestRunOptions::new()
        });
        Ok(result.map_err(failed)?.return_value)
    }

    fn rate(&self) -> Result<u32, LoadError> {
        let mut length = MEASURE;
        let mut measured = 0.0;
        for _ in 0..5 {
            let (first, start) = self.next_tick()?;
            std::thread::sleep(length);
            let (last, end) = self.next_tick()?;
            let ticks = f64::from(last.wrapping_sub(first));
            measured = ticks / (end - start).as_secs_f64();
            if let Some(rate) = nearest_rate(measured) {
                return Ok(rate);
            }
            length *= 2;
        }
        Err(LoadError::Clock(format!(
            "it runs at {measured:.0} ticks a second, which is none of {RATES:?}"
        )))
    }

    /// Waits for the counter to move: both samples are then taken at the start of a tick, and the
    /// length of a tick is no error of the measurement.
    fn next_tick(&self) -> Result<(u32, Instant), LoadError> {
        let before = self.now()?;
        let deadline = Instant::now() + TICK_WAIT;
        loop {
            // Before the reading: a busy machine may keep this thread waiting after it.
            let late = Instant::now() > deadline;
            let tick = self.now()?;
            let at = Instant::now();
            if tick != before {
                return Ok((tick, at));
            }
            if late {
                return Err(LoadError::Clock("it stands still".to_owned()));
            }
        }
    }
}

fn nearest_rate(measured: f64) -> Option<u32> {
    RATES
        .into_iter()
        .find(|rate| (measured / f64::from(*rate) - 1.0).abs() <= TOLERANCE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_measured_rate_is_a_kernels_or_none() {
        assert_eq!(nearest_rate(99.2), Some(100));
        assert_eq!(nearest_rate(262.0), Some(250));
        assert_eq!(nearest_rate(290.0), Some(300));
        assert_eq!(nearest_rate(1003.0), Some(1000));
        assert_eq!(nearest_rate(273.0), None);
        assert_eq!(nearest_rate(0.0), None);
    }
}
