//! A cluster for a test: down when the test ends, however it ends.

use std::{
    io::{self, Write},
    ops::Deref,
    thread,
};

use super::{Cluster, Options, error::Result};
use crate::process::Process;

/// A cluster that belongs to this process: taken down when dropped, and by the next one's [`Cluster::up`] if this
/// process is killed before.
#[derive(Debug)]
pub struct Lent(Cluster);

impl Lent {
    /// Brings a cluster up. Its name is made one that no other process's has.
    ///
    /// # Errors
    ///
    /// As [`Cluster::up`].
    pub fn up(options: Options) -> Result<Self> {
        let name = format!("{}-{}", options.name, Process::current().pid);
        let options = Options {
            name,
            owned: true,
            ..options
        };
        Ok(Self(Cluster::up(options)?))
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
        let options = self.0.options();
        if let Err(error) = Cluster::down(&options.base, &options.name) {
            let _ = writeln!(io::stderr(), "netpol-cluster: {error}");
        }
    }
}
