//! Operations on the maps, and what a sequence of them leaves there.

use std::collections::HashMap;

use netpol_common::{
    endpoint::Endpoint,
    identity::{Address4, Address6, Prefix4, Prefix6},
    maps::{Digest, Number},
    policy::{Grant, PolicyKey, PortKey, PortVerdict},
    service::ServiceKey,
};

/// One step from what is programmed to what is desired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Write an entry, whether its key is there or not.
    Put(Entry),
    /// Remove an entry.
    Delete(Key),
    /// Set a counter to zero on every CPU: its number now stands for something else.
    ResetCounter(u32),
}

/// The way from one state to another, in an order that lets no packet be judged by less than the
/// old or the new state whole. Apply the operations one by one, in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delta {
    /// The operations.
    pub operations: Vec<Operation>,
}

macro_rules! maps {
    ($($(#[$doc:meta])* $variant:ident, $field:ident: $key:ty => $value:ty;)+) => {
        /// An entry of a map.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Entry {
            $($(#[$doc])* $variant($key, $value),)+
        }

        /// A key of a map.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Key {
            $($(#[$doc])* $variant($key),)+
        }

        /// The contents of the maps that the agent writes.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct Programmed {
            $($(#[$doc])* pub $field: HashMap<$key, $value>,)+
        }

        impl Programmed {
            /// Writes an entry.
            pub fn put(&mut self, entry: Entry) {
                match entry {
                    $(Entry::$variant(key, value) => { self.$field.insert(key, value); })+
                }
            }

            /// Removes an entry.
            pub fn delete(&mut self, key: Key) {
                match key {
                    $(Key::$variant(key) => { self.$field.remove(&key); })+
                }
            }
        }
    };
}

maps! {
    /// Interface index -> endpoint.
    Endpoint, endpoints: u32 => Endpoint;
    /// IPv4 address -> identity.
    IdentityV4, identities_v4: Address4 => u32;
    /// IPv6 address -> identity.
    IdentityV6, identities_v6: Address6 => u32;
    /// IPv4 prefix -> identity.
    CidrV4, cidrs_v4: Prefix4 => u32;
    /// IPv6 prefix -> identity.
    CidrV6, cidrs_v6: Prefix6 => u32;
    /// Policy set and identity -> what is granted.
    Policy, policy: PolicyKey => Grant;
    /// Port table and port -> verdict.
    Port, ports: PortKey => PortVerdict;
    /// Addresses of nodes, IPv4 ones mapped into IPv6 -> whose.
    Node, node: Address6 => u32;
    /// Address and port of a Service -> identity.
    Service, services: ServiceKey => u32;
    /// Address of a source that is refused something, IPv4 ones mapped into IPv6 -> identity.
    Source, sources: Address6 => u32;
    /// What a number stands for -> the number.
    Number, numbers: Digest => Number;
}

impl Programmed {
    /// Does what an operation says.
    pub fn apply(&mut self, operation: &Operation) {
        match *operation {
            Operation::Put(entry) => self.put(entry),
            Operation::Delete(key) => self.delete(key),
            Operation::ResetCounter(_) => {}
        }
    }
}
