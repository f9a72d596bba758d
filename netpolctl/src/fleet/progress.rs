//! Says how many nodes have answered, when that takes a while.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Patience of someone who looks at a terminal.
const QUIET: Duration = Duration::from_secs(2);
/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(500);

/// A line on stderr that is written over; nothing off a terminal.
#[derive(Debug)]
pub(super) struct Progress {
    answered: usize,
    all: usize,
    next: Instant,
    shown: bool,
}

impl Progress {
    pub(super) fn new(all: usize) -> Self {
        Self {
            answered: 0,
            all,
            next: Instant::now() + QUIET,
            shown: false,
        }
    }

    pub(super) fn one_more(&mut self) {
        self.answered += 1;
    }

    /// Waits for `event`, and shows how far things are meanwhile.
    pub(super) async fn until<T>(&mut self, event: impl Future<Output = T>) -> T {
        tokio::pin!(event);
        loop {
            tokio::select! {
                happened = &mut event => return happened,
                () = sleep_until(self.next) => self.show(),
            }
        }
    }

    fn show(&mut self) {
        self.next = Instant::now() + PAUSE;
        if std::io::stderr().is_terminal() {
            self.shown = true;
            let Self { answered, all, .. } = self;
            eprint!("\r\x1b[K{answered} of {all} nodes have answered");
            // It is a courtesy.
            let _ = std::io::stderr().flush();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown {
            eprint!("\r\x1b[K");
        }
    }
}
