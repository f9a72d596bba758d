//! Time in which a thread had a processor, whatever it did there.
//!
//! Not the processor time of the thread: kernels built to account interrupts by themselves leave out
//! what softirqs do on its behalf, which is nearly all of a packet's way. Not the time of a clock
//! either: where others use the processor, that tells how many they are. So it is the time of a clock
//! without the time that the thread was ready to run and had to wait.

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

/// Runs from when it is made, for the thread that made it.
#[derive(Debug)]
pub(super) struct Clock {
    start: Instant,
    waited: Duration,
}

impl Clock {
    pub(super) fn start() -> Result<Self> {
        Ok(Self {
            waited: waited()?,
            start: Instant::now(),
        })
    }

    /// Since the start, by the clock on the wall.
    pub(super) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// Since the start, without what the thread waited for a processor.
    pub(super) fn ran(&self) -> Result<Duration> {
        let elapsed = self.elapsed();
        Ok(elapsed.saturating_sub(waited()?.saturating_sub(self.waited)))
    }
}

/// How long the calling thread has waited for a processor so far; nothing where the kernel does not
/// count that.
fn waited() -> Result<Duration> {
    const SOURCE: &str = "/proc/thread-self/schedstat";
    let text = fs::read_to_string(SOURCE).with_context(|| format!("read {SOURCE}"))?;
    waited_of(&text).with_context(|| format!("read the second number of {SOURCE}: {text:?}"))
}

/// The second number, in nanoseconds.
fn waited_of(schedstat: &str) -> Option<Duration> {
    let number = schedstat.split_whitespace().nth(1)?;
    Some(Duration::from_nanos(number.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_is_the_second_number() {
        assert_eq!(waited_of("5 1500 2\n"), Some(Duration::from_nanos(1500)));
        assert_eq!(waited_of("5"), None);
    }

    #[test]
    fn a_thread_that_sleeps_does_not_wait_for_a_processor() {
        let clock = Clock::start().expect("a clock");
        std::thread::sleep(Duration::from_millis(5));
        let (ran, elapsed) = (clock.ran().expect("a time"), clock.elapsed());
        assert!(ran <= elapsed, "{ran:?} {elapsed:?}");
    }
}
