//! A packet that was understood, seen from its endpoint.

use netpol_common::Direction;
use netpol_common::conntrack::selector;

use crate::Tables;
use crate::context::Context;
use crate::family::Family;
use crate::judge::{Judgement, Opening, judge};
use crate::transport::Kind;

/// What a packet that was understood is judged by.
pub(crate) struct Flow<F: Family> {
    /// Which of the endpoint's addresses the local one is.
    pub(crate) place: u32,
    pub(crate) remote: F::Address,
    pub(crate) protocol: u8,
    /// Remote port << 16 | local port.
    pub(crate) ports: u32,
    pub(crate) kind: Kind,
}

impl<F: Family> Flow<F> {
    #[inline(always)]
    pub(crate) fn key(&self, endpoint: u32) -> F::Key {
        F::key(endpoint, self.remote, self.ports, self.selector())
    }

    #[inline(always)]
    pub(crate) const fn selector(&self) -> u32 {
        selector(self.protocol, self.place)
    }

    /// The port of the side that did not open a connection which `initiator` opened: the one that
    /// policies name.
    #[inline(always)]
    pub(crate) const fn service_port(&self, initiator: Direction) -> u16 {
        match initiator {
            Direction::Egress => (self.ports >> 16) as u16,
            Direction::Ingress => self.ports as u16,
        }
    }

    /// The port of the side that opened a connection.
    #[inline(always)]
    pub(crate) const fn client_port(&self, initiator: Direction) -> u16 {
        self.service_port(initiator.opposite())
    }

    /// What policy says of the flow as a connection that was opened in direction `initiator`.
    #[inline(always)]
    pub(crate) fn judge<P, T: Tables>(
        &self,
        context: &Context<'_, P, T>,
        initiator: Direction,
    ) -> Judgement {
        // A copy: a reference into `self` would keep all of it in memory, for every packet.
        let remote = self.remote;
        judge::<F, T>(
            context.tables,
            context.endpoint,
            &remote,
            Opening::new(initiator, self.protocol, self.service_port(initiator)),
        )
    }
}
