//! The maps in memory, written by the operations of a delta one by one, as the kernel's would be.

use netpol_common::identity::Address6;
use netpol_common::maps::{OTHER_NODE, OWN_NODE};
use netpol_datapath::memory::{Capacities, Full, Memory};
use netpol_policy::{Delta, Entry, Key, Operation};

/// As many entries as there is memory for.
const UNLIMITED: Capacities = Capacities {
    agent: usize::MAX,
    replied: usize::MAX,
    new: usize::MAX,
    new_per_endpoint: usize::MAX,
    counters: usize::MAX,
    events: 0,
};

/// Maps without limits, that send no events.
pub(super) fn empty() -> Memory {
    let mut memory = Memory::new(UNLIMITED);
    memory.events_per_second = 0;
    memory
}

/// Carries out a delta, in its order.
pub(super) fn apply(memory: &mut Memory, delta: &Delta) -> Result<(), Full> {
    for operation in &delta.operations {
        match *operation {
            Operation::Put(entry) => put(memory, entry)?,
            Operation::Delete(key) => delete(memory, key),
            // Nothing is counted across probes.
            Operation::ResetCounter(_) => {}
        }
    }
    Ok(())
}

fn put(memory: &mut Memory, entry: Entry) -> Result<(), Full> {
    match entry {
        Entry::Endpoint(key, value) => memory.endpoint.insert(key, value),
        Entry::IdentityV4(key, value) => memory.identity_v4.insert(key, value),
        Entry::IdentityV6(key, value) => memory.identity_v6.insert(key, value),
        Entry::CidrV4(key, value) => memory.cidr_v4.insert(key, value),
        Entry::CidrV6(key, value) => memory.cidr_v6.insert(key, value),
        Entry::Policy(key, value) => memory.policy.insert(key, value),
        Entry::Port(key, value) => memory.ports.insert(key, value),
        Entry::Node(key, value) => memory.node.insert(key, value),
        Entry::Service(key, value) => memory.service.insert(key, value),
        Entry::Source(key, value) => memory.source.insert(key, value),
        // Read by an agent that takes over what another one has programmed, never by a packet.
        Entry::Number(..) => Ok(()),
    }
}

fn delete(memory: &mut Memory, key: Key) {
    match key {
        Key::Endpoint(key) => drop(memory.endpoint.remove(&key)),
        Key::IdentityV4(key) => drop(memory.identity_v4.remove(&key)),
        Key::IdentityV6(key) => drop(memory.identity_v6.remove(&key)),
        Key::CidrV4(key) => drop(memory.cidr_v4.remove(&key)),
        Key::CidrV6(key) => drop(memory.cidr_v6.remove(&key)),
        Key::Policy(key) => drop(memory.policy.remove(&key)),
        Key::Port(key) => drop(memory.ports.remove(&key)),
        Key::Node(key) => drop(memory.node.remove(&key)),
        Key::Service(key) => drop(memory.service.remove(&key)),
        Key::Source(key) => drop(memory.source.remove(&key)),
        Key::Number(_) => {}
    }
}

/// Makes these the node's own addresses, and those the addresses of other nodes.
pub(super) fn set_node(
    memory: &mut Memory,
    own: &[Address6],
    others: &[Address6],
) -> Result<(), Full> {
    memory.node.clear();
    let others = others.iter().map(|address| (address, OTHER_NODE));
    let own = own.iter().map(|address| (address, OWN_NODE));
    let mut all = others.chain(own);
    all.try_for_each(|(address, whose)| memory.node.insert(*address, whose))
}
