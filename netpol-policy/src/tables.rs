//! The maps whose contents are more than one module's matter.

use netpol_common::{
    endpoint::Endpoint,
    identity::{Address4, Address6, Prefix4, Prefix6},
    policy::{Grant, PolicyKey},
    service::ServiceKey,
};

use crate::{operation::Programmed, table::Table};

#[derive(Debug, Default)]
pub(crate) struct Tables {
    /// Desired entries have generation zero: the generation is given when a delta is planned.
    pub(crate) endpoints: Table<u32, Endpoint>,
    pub(crate) identities_v4: Table<Address4, u32>,
    pub(crate) identities_v6: Table<Address6, u32>,
    pub(crate) cidrs_v4: Table<Prefix4, u32>,
    pub(crate) cidrs_v6: Table<Prefix6, u32>,
    pub(crate) policy: Table<PolicyKey, Grant>,
    pub(crate) node: Table<Address6, u32>,
    pub(crate) services: Table<ServiceKey, u32>,
    pub(crate) sources: Table<Address6, u32>,
}

impl Tables {
    /// This is what the maps hold.
    pub(crate) fn resync(&mut self, programmed: Programmed) {
        self.endpoints.resync(programmed.endpoints);
        self.identities_v4.resync(programmed.identities_v4);
        self.identities_v6.resync(programmed.identities_v6);
        self.cidrs_v4.resync(programmed.cidrs_v4);
        self.cidrs_v6.resync(programmed.cidrs_v6);
        self.policy.resync(programmed.policy);
        self.node.resync(programmed.node);
        self.services.resync(programmed.services);
        self.sources.resync(programmed.sources);
    }
}
