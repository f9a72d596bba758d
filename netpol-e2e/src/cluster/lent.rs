//! A cluster for a test: down when the test ends, however it ends.
//!
//! ```text
//! Drop of a Lent ───────────> down
//! SIGINT, SIGTERM, SIGHUP ──> down, exit; while one comes up: exit only
//! kill -9, or exit only ────> the next Cluster::up finds its owner dead: down
//! ```

use std::{
    io::{self, Write},
    ops::Deref,
    path::PathBuf,
    process,
    sync::{Mutex, Once, PoisonError},
    thread,
};

use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
};

use super::{Cluster, Options, error::Result};
use crate::process::Process;

/// Clusters of this process that are up.
static UP: Mutex<Vec<(PathBuf, String)>> = Mutex::new(Vec::new());

/// A cluster that belongs to this process: taken down when dropped, on a signal that ends this process, and by the next
/// [`Cluster::up`] if this process is killed.
#[derive(Debug)]
pub struct Lent(Cluster);

impl Lent {
    /// Brings a cluster up. Its name is made one that no other process's has.
    ///
    /// # Errors
    ///
    /// As [`Cluster::up`].
    pub fn up(options: Options) -> Result<Self> {
        heed_signals();
        let name = format!("{}-{}", options.name, Process::current().pid);
        let options = Options {
            name,
            owned: true,
            ..options
        };
        let cluster = Cluster::up(options)?;
        let options = cluster.options();
        let entry = (options.base.clone(), options.name.clone());
        UP.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(entry);
        Ok(Self(cluster))
    }
}

impl Deref for Lent {
    type Target = Cluster;

    fn deref(&self) -> &Cluster {
        &self.0
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.status().show_troubled_logs();
        }
        let Options { base, name, .. } = self.0.options().clone();
        let entry = (base, name);
        UP.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|other| *other != entry);
        take_down(&entry);
    }
}

fn take_down((base, name): &(PathBuf, String)) {
    if let Err(error) = Cluster::down(base, name) {
        let _ = writeln!(io::stderr(), "netpol-cluster: {error}");
    }
}

/// Once a process: a signal that ends it takes its clusters down first.
fn heed_signals() {
    static HEEDED: Once = Once::new();
    HEEDED.call_once(|| {
        // Without it clusters are found by the next run, as after kill -9.
        let Ok(mut signals) = Signals::new([SIGINT, SIGTERM, SIGHUP]) else {
            return;
        };
        thread::spawn(move || {
            if let Some(signal) = signals.forever().next() {
                // Never released: whoever drops one waits here, and the process ends.
                let up = UP.lock().unwrap_or_else(PoisonError::into_inner);
                up.iter().for_each(take_down);
                process::exit(128 + signal);
            }
        });
    });
}
