//! A packet that was understood, seen from its endpoint.

use netpol_common::Direction;
use netpol_common::conntrack::selector_protocol;

use crate::Tables;
use crate::context::Context;
use crate::family::Family;
use crate::judge::{Judgement, Opening};
use crate::transport::Kind;

/// What a packet that was understood is judged by.
pub(crate) struct Flow<F: Family> {
    /// The key of its connection. Its parts are read from there rather than kept beside it: on the
    /// kernel's short stack it is once.
    pub(crate) key: F::Key,
    pub(crate) kind: Kind,
}

impl<F: Family> Flow<F> {
    /// The peer's address.
    #[inline(always)]
    pub(crate) fn remote(&self) -> F::Address {
        *F::parts(&self.key).0
    }

    #[inline(always)]
    pub(crate) fn selector(&self) -> u32 {
        F::parts(&self.key).2
    }

    /// The port of the side that did not open a connection which `initiator` opened: the one that
    /// policies name.
    #[inline(always)]
    pub(crate) fn service_port(&self, initiator: Direction) -> u16 {
        let (_, ports, _) = F::parts(&self.key);
        match initiator {
            Direction::Egress => (ports >> 16) as u16,
            Direction::Ingress => ports as u16,
        }
    }

    /// The port of the side that opened a connection.
    #[inline(always)]
    pub(crate) fn client_port(&self, initiator: Direction) -> u16 {
        self.service_port(initiator.opposite())
    }

    /// What policy says of the flow as a connection that was opened in direction `initiator`.
    #[inline(always)]
    pub(crate) fn judge<P, T: Tables>(
        &self,
        context: &Context<'_, P, T>,
        initiator: Direction,
    ) -> Judgement {
        F::judge(
            context.tables,
            context.slot,
            self.remote(),
            Opening::new(
                initiator,
                selector_protocol(self.selector()),
                self.service_port(initiator),
            ),
        )
    }
}
