//! The maps that the agent writes: applying operations, and reading back what is there.

use std::{cell::Cell, collections::HashMap, fmt::Debug, hash::Hash, io, path::Path};

use bytemuck::Pod;
use netpol_common::{
    conntrack::{Connection, Key4, Key6},
    counter::FIRST_RULE,
    endpoint::Endpoint,
    held::Place,
    identity::{Address4, Address6, Prefix4, Prefix6},
    maps::{self, Digest, Number},
    policy::{Grant, PolicyKey, PortKey, PortVerdict},
    service::ServiceKey,
};
use netpol_policy::{Entry, Key, Limits, Operation, Programmed};

use super::{
    counters::Counters,
    endpoints::Endpoints,
    error::{LoadError, TableError},
    grace,
    table::Table,
};

/// The agent's maps, open.
#[derive(Debug)]
pub(crate) struct Tables {
    pub(crate) endpoints: Endpoints,
    pub(crate) counters: Counters,
    identities_v4: Table<Address4, u32>,
    identities_v6: Table<Address6, u32>,
    cidrs_v4: Table<Prefix4, u32>,
    cidrs_v6: Table<Prefix6, u32>,
    policy: Table<PolicyKey, Grant>,
    ports: Table<PortKey, PortVerdict>,
    node: Table<Address6, u32>,
    services: Table<ServiceKey, u32>,
    sources: Table<Address6, u32>,
    numbers: Table<Digest, Number>,
    /// Programs may be running that have read what was in force before an operation.
    unsettled: Cell<bool>,
}

impl Tables {
    /// Opens the maps pinned in a directory.
    pub(crate) fn open(directory: &Path) -> Result<Self, LoadError> {
        Ok(Self {
            endpoints: Endpoints::open(directory)?,
            counters: Counters::open(directory)?,
            identities_v4: Table::open(directory, maps::IDENTITY_V4)?,
            identities_v6: Table::open(directory, maps::IDENTITY_V6)?,
            cidrs_v4: Table::open(directory, maps::CIDR_V4)?,
            cidrs_v6: Table::open(directory, maps::CIDR_V6)?,
            policy: Table::open(directory, maps::POLICY)?,
            ports: Table::open(directory, maps::PORTS)?,
            node: Table::open(directory, maps::NODE)?,
            services: Table::open(directory, maps::SERVICE)?,
            sources: Table::open(directory, maps::SOURCE)?,
            numbers: Table::open(directory, maps::NUMBERS)?,
            unsettled: Cell::new(true),
        })
    }

    /// What the maps can hold in a settled state.
    pub(crate) fn limits(&self) -> Limits {
        Limits::of_maps(Limits {
            endpoints: self.endpoints.capacity(),
            identities_v4: self.identities_v4.capacity(),
            identities_v6: self.identities_v6.capacity(),
            cidrs_v4: self.cidrs_v4.capacity(),
            cidrs_v6: self.cidrs_v6.capacity(),
            services: self.services.capacity(),
            sources: self.sources.capacity(),
            policy_entries: self.policy.capacity(),
            port_entries: self.ports.capacity(),
            // The first numbers belong to no rule.
            rules: self.counters.capacity().saturating_sub(FIRST_RULE),
        })
    }

    /// How many addresses of nodes there can be.
    pub(crate) fn node_capacity(&self) -> u32 {
        self.node.capacity()
    }

    /// How many numbers there can be.
    pub(crate) fn numbers_capacity(&self) -> u32 {
        self.numbers.capacity()
    }

    /// Does what an operation says.
    pub(crate) fn apply(&self, operation: &Operation) -> Result<(), TableError> {
        match operation {
            Operation::Put(entry) => self.put(entry),
            Operation::Delete(key) => self.delete(key),
            Operation::ResetCounter(number) => {
                let result = self.counters.reset(*number);
                named(maps::COUNTERS, || format!("reset {number}"), result)
            }
        }
    }

    fn put(&self, entry: &Entry) -> Result<(), TableError> {
        match entry {
            Entry::Endpoint(k, v) => {
                self.unsettled.set(true);
                let result = self.endpoints.put(*k, v);
                named(maps::ENDPOINT, || format!("put {k}: {v:?}"), result)
            }
            Entry::IdentityV4(k, v) => put(&self.identities_v4, k, v),
            Entry::IdentityV6(k, v) => put(&self.identities_v6, k, v),
            Entry::CidrV4(k, v) => put(&self.cidrs_v4, k, v),
            Entry::CidrV6(k, v) => put(&self.cidrs_v6, k, v),
            Entry::Policy(k, v) => put(&self.policy, k, v),
            Entry::Port(k, v) => put(&self.ports, k, v),
            Entry::Node(k, v) => put(&self.node, k, v),
            Entry::Service(k, v) => put(&self.services, k, v),
            Entry::Source(k, v) => put(&self.sources, k, v),
            Entry::Number(k, v) => put(&self.numbers, k, v),
        }
    }

    fn delete(&self, key: &Key) -> Result<(), TableError> {
        match key {
            Key::Endpoint(k) => {
                self.unsettled.set(true);
                let result = self.endpoints.delete(*k);
                named(maps::ENDPOINT, || format!("delete {k}"), result)
            }
            Key::IdentityV4(k) => delete(&self.identities_v4, k),
            Key::IdentityV6(k) => delete(&self.identities_v6, k),
            Key::CidrV4(k) => delete(&self.cidrs_v4, k),
            Key::CidrV6(k) => delete(&self.cidrs_v6, k),
            Key::Policy(k) => {
                self.let_programs_end();
                delete(&self.policy, k)
            }
            Key::Port(k) => {
                self.let_programs_end();
                delete(&self.ports, k)
            }
            Key::Node(k) => delete(&self.node, k),
            Key::Service(k) => delete(&self.services, k),
            Key::Source(k) => delete(&self.sources, k),
            Key::Number(k) => delete(&self.numbers, k),
        }
    }

    /// A program that read an endpoint's entry before it was switched may still ask its old policy
    /// set: what belongs to that is removed only once it has ended.
    fn let_programs_end(&self) {
        if self.unsettled.replace(false) {
            grace::wait();
        }
    }

    /// Reads all of it. The agent is the only writer, so this is one state.
    pub(crate) fn read(&self) -> Result<Programmed, TableError> {
        Ok(Programmed {
            endpoints: self.read_endpoints()?,
            identities_v4: read(&self.identities_v4)?,
            identities_v6: read(&self.identities_v6)?,
            cidrs_v4: read(&self.cidrs_v4)?,
            cidrs_v6: read(&self.cidrs_v6)?,
            policy: read(&self.policy)?,
            ports: read(&self.ports)?,
            node: read(&self.node)?,
            services: read(&self.services)?,
            sources: read(&self.sources)?,
            numbers: read(&self.numbers)?,
        })
    }

    /// Whether the maps hold this and nothing else.
    pub(crate) fn hold(&self, expected: &Programmed) -> Result<bool, TableError> {
        Ok(self.read_endpoints()? == expected.endpoints
            && holds(&self.identities_v4, &expected.identities_v4)?
            && holds(&self.identities_v6, &expected.identities_v6)?
            && holds(&self.cidrs_v4, &expected.cidrs_v4)?
            && holds(&self.cidrs_v6, &expected.cidrs_v6)?
            && holds(&self.policy, &expected.policy)?
            && holds(&self.ports, &expected.ports)?
            && holds(&self.node, &expected.node)?
            && holds(&self.services, &expected.services)?
            && holds(&self.sources, &expected.sources)?
            && holds(&self.numbers, &expected.numbers)?)
    }

    /// Reads the endpoints alone.
    pub(crate) fn read_endpoints(&self) -> Result<HashMap<u32, Endpoint>, TableError> {
        named(maps::ENDPOINT, read_back, self.endpoints.read())
    }
}

/// The maps of tracked connections, which the programs write and the agent clears of what is over.
#[derive(Debug)]
pub(crate) struct ConntrackTables {
    pub(crate) v4: Table<Key4, Connection>,
    pub(crate) v6: Table<Key6, Connection>,
    pub(crate) new_v4: Table<Key4, Connection>,
    pub(crate) new_v6: Table<Key6, Connection>,
}

impl ConntrackTables {
    /// Opens the maps pinned in a directory.
    pub(crate) fn open(directory: &Path) -> Result<Self, LoadError> {
        Ok(Self {
            v4: Table::open(directory, maps::CONNTRACK_V4)?,
            v6: Table::open(directory, maps::CONNTRACK_V6)?,
            new_v4: Table::open(directory, maps::CONNTRACK_NEW_V4)?,
            new_v6: Table::open(directory, maps::CONNTRACK_NEW_V6)?,
        })
    }

    /// The name of a map.
    pub(crate) fn name(&self, place: Place) -> &'static str {
        match place {
            Place::NewV4 => self.new_v4.name(),
            Place::NewV6 => self.new_v6.name(),
            Place::RepliedV4 => self.v4.name(),
            Place::RepliedV6 => self.v6.name(),
        }
    }

    /// How many connections a map can hold.
    pub(crate) fn capacity(&self, place: Place) -> u64 {
        u64::from(match place {
            Place::NewV4 => self.new_v4.capacity(),
            Place::NewV6 => self.new_v6.capacity(),
            Place::RepliedV4 => self.v4.capacity(),
            Place::RepliedV6 => self.v6.capacity(),
        })
    }
}

fn put<K: Pod + Debug, V: Pod + Debug>(
    table: &Table<K, V>,
    key: &K,
    value: &V,
) -> Result<(), TableError> {
    let result = table.put(key, value);
    named(table.name(), || format!("put {key:?}: {value:?}"), result)
}

fn delete<K: Pod + Debug, V: Pod>(table: &Table<K, V>, key: &K) -> Result<(), TableError> {
    let result = table.delete(key);
    named(table.name(), || format!("delete {key:?}"), result)
}

fn read<K: Pod + Eq + Hash, V: Pod>(table: &Table<K, V>) -> Result<HashMap<K, V>, TableError> {
    let entries = named(table.name(), read_back, table.entries())?;
    Ok(entries.into_iter().collect())
}

/// Whether a map holds these entries and no others: without a copy of it, which would be the most
/// memory that an agent ever takes.
fn holds<K: Pod + Eq + Hash, V: Pod + PartialEq>(
    table: &Table<K, V>,
    expected: &HashMap<K, V>,
) -> Result<bool, TableError> {
    let (mut seen, mut same) = (0, true);
    let read = table.each_batch(|batch| {
        seen += batch.len();
        same &= batch.iter().all(|(k, v)| expected.get(k) == Some(v));
        Ok(())
    });
    named(table.name(), read_back, read)?;
    Ok(same && seen == expected.len())
}

fn read_back() -> String {
    "read back".to_owned()
}

fn named<T>(
    map: &'static str,
    operation: impl FnOnce() -> String,
    result: io::Result<T>,
) -> Result<T, TableError> {
    result.map_err(|source| TableError {
        map,
        operation: operation(),
        source,
    })
}
