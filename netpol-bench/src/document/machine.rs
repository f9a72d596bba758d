//! Where and when something was measured.

use std::fs;
use std::thread::available_parallelism;

use jiff::Timestamp;
use nix::sys::utsname::uname;
use serde::Serialize;

/// A machine at a time.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// The day, in UTC.
    pub date: String,
    /// Of the kernel.
    pub kernel: String,
    /// Processors that the program may use.
    pub processors: usize,
    /// Processes that wanted one, on average of the minutes before: more than there are processors
    /// is a busy machine, and figures that are too high.
    pub load: Option<f64>,
}

impl Machine {
    /// This one, now.
    #[must_use]
    pub fn here() -> Self {
        let names = uname().ok();
        let release = names.map(|names| names.release().to_string_lossy().into_owned());
        let release = release.unwrap_or_default();
        // What a distribution adds says nothing to others.
        let (version, _) = release.split_once('-').unwrap_or((&release, ""));
        let load = fs::read_to_string("/proc/loadavg").ok();
        Self {
            date: Timestamp::now().strftime("%Y-%m-%d").to_string(),
            kernel: version.to_owned(),
            processors: available_parallelism().map_or(1, usize::from),
            load: load.and_then(|text| text.split_whitespace().nth(1)?.parse().ok()),
        }
    }

    /// In a sentence.
    #[must_use]
    pub fn sentence(&self) -> String {
        let load = match self.load {
            Some(load) => format!(", load {load:.1}"),
            None => String::new(),
        };
        format!(
            "{} processors, Linux {}, {}{load}",
            self.processors, self.kernel, self.date
        )
    }
}
