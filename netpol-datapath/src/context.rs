//! What a packet is judged against.

use netpol_common::Direction;
use netpol_common::counter::{DropReason, NOT_ISOLATED};
use netpol_common::endpoint::Endpoint;

use crate::verdict::Verdict;

/// A packet at an endpoint.
pub(crate) struct Context<'a, P, T> {
    pub(crate) ifindex: u32,
    /// Where its endpoint's entry is.
    pub(crate) slot: u32,
    /// Whether there is such an entry.
    pub(crate) known: bool,
    pub(crate) endpoint: &'a Endpoint,
    /// Direction of the packet.
    pub(crate) direction: Direction,
    pub(crate) packet: &'a P,
    pub(crate) tables: &'a T,
}

impl<P, T> Context<'_, P, T> {
    /// The verdict on a packet of an isolated endpoint that could not be judged.
    ///
    /// A reason that only says "cannot be understood" closes the directions that are isolated.
    /// In the other one there is no policy to be understood for; the API: "By default, a pod is
    /// non-isolated for egress; all outbound connections are allowed", and so for ingress.
    #[inline(always)]
    pub(crate) fn refused(&self, reason: DropReason) -> Verdict {
        let isolated = self.endpoint.direction(self.direction).isolated();
        if !isolated && not_understood(reason) {
            return Verdict::pass(NOT_ISOLATED);
        }
        Verdict::drop(reason)
    }
}

/// Whether a reason means that the packet could not be judged by policy, rather than that it must
/// not pass whatever the policy says.
#[inline(always)]
const fn not_understood(reason: DropReason) -> bool {
    match reason {
        DropReason::Truncated
        | DropReason::UnknownEtherType
        | DropReason::MalformedHeader
        | DropReason::Fragment
        | DropReason::ExtensionHeader
        | DropReason::NotForEndpoint
        | DropReason::FirstFragmentNotSeen
        | DropReason::SourceRoute
        | DropReason::VlanTag
        | DropReason::QuoteUnknown
        | DropReason::QuoteMalformed
        | DropReason::IcmpRedirect => true,
        DropReason::Spoofed
        | DropReason::ConntrackFull
        | DropReason::EndpointShare
        | DropReason::PolicyTooLarge
        | DropReason::Inconsistent
        | DropReason::UnknownEndpoint
        | DropReason::TooManyAddresses => false,
    }
}
