//! Which address a pod gets next: host-local counts on from the last one it gave away, which it
//! keeps in a file.

use std::{fs, net::IpAddr, path::PathBuf};

use anyhow::{Context, Result};

use super::bed::{Bed, PATIENCE, until};
use crate::{cluster::address::pod_network, lab::Addresses};

/// Where host-local keeps what it gave away: a directory for each network, a file for each address.
const STORE: &str = "/var/lib/cni/networks";

/// Address `n` of a node's pods; nodes are counted from 1.
pub(crate) fn pod_address(node: u8, n: u8) -> Addresses {
    let Addresses { v4, v6 } = pod_network(node);
    let [a, b, c, _] = v4.octets();
    let mut segments = v6.segments();
    segments[7] = n.into();
    Addresses {
        v4: [a, b, c, n].into(),
        v6: segments.into(),
    }
}

impl Bed {
    /// Has the next pod of a node get address `n`, if it is free.
    pub(crate) fn give_next(&self, node: u8, n: u8) -> Result<()> {
        let store = self.store(node)?;
        let last = pod_address(node, n - 1);
        for (set, address) in last.both().into_iter().enumerate() {
            let file = store.join(format!("last_reserved_ip.{set}"));
            fs::write(&file, address.to_string())
                .with_context(|| format!("write {}", file.display()))?;
        }
        Ok(())
    }

    /// Waits until host-local has taken an address back.
    pub(crate) fn taken_back(&self, node: u8, address: IpAddr) -> Result<()> {
        let store = self.store(node)?;
        // It writes `:` as `_`, for file systems that know no colons.
        let names = [address.to_string(), address.to_string().replace(':', "_")];
        until(&format!("{address} given back"), PATIENCE, || {
            let free = names.iter().all(|name| !store.join(name).exists());
            Ok(free.then_some(()))
        })
    }

    fn store(&self, node: u8) -> Result<PathBuf> {
        let name = self.nodes()[usize::from(node) - 1].clone();
        let directory = self.node(&name)?.path(STORE);
        let mut networks = fs::read_dir(&directory)
            .with_context(|| format!("read {STORE} of {name}"))?
            .flatten();
        let network = networks
            .next()
            .with_context(|| format!("{STORE} of {name} is empty"))?;
        Ok(network.path())
    }
}
