//! Packets of TCP without a SYN and without a tracked connection.
//!
//! They belong to connections that are older than the endpoint's isolation (an endpoint that no
//! policy isolates tracks nothing), or that were forgotten. Who opened them is not known, and the
//! packet's own direction says nothing about it: the answers of a server look like the requests
//! of a client. Two things must hold:
//!
//! - A connection that the new policy forbids stays cut. Take a pod with an open connection from
//!   a client, at the moment when a policy denies all ingress. The client's packets are judged as
//!   ingress, and dropped. The pod's own packets are judged as egress, which is not restricted,
//!   and pass. If such a packet opened an entry "opened by the pod", the client's packets would
//!   be its replies, and the forbidden connection would live on.
//! - A connection that the new policy allows lives on. In the same moment the pod's own
//!   connections, say to its database, must not break: their answers come in, which only an entry
//!   allows.
//!
//! So a packet that its own direction allows always passes, but opens an entry only when
//!
//! - the opposite hypothesis (the other side opened the connection) is allowed too: then whoever
//!   opened it, nothing forbidden comes back to life; or
//! - the ports say who opened it: the supposed client's is one of those that Linux gives to
//!   clients and the supposed server's is below them.
//!
//! The port numbers can be chosen by whoever opens a connection, but not after the fact: what
//! they could revive is a connection that the pod once accepted on a port of the clients' range
//! from a client that bound a port below it, and only while the pod keeps sending.
//!
//! A FIN or RST opens nothing: there is nothing left to track. Nor does what no connection ever
//! carries in its middle: a packet without ACK.
//!
//! An SCTP packet without an INIT is treated alike.

use netpol_common::Direction;

use crate::Tables;
use crate::context::Context;
use crate::family::Family;
use crate::flow::Flow;

/// The first port that Linux gives to clients: `net.ipv4.ip_local_port_range` is "32768 60999" by
/// default.
const FIRST_CLIENT_PORT: u16 = 32_768;

/// Whether a packet in the middle of a TCP connection, which policy allows as one that was opened
/// in the packet's direction, may open an entry that says so.
#[inline(always)]
pub(crate) fn opens_entry<F: Family, P, T: Tables>(
    context: &Context<'_, P, T>,
    flow: &Flow<F>,
) -> bool {
    if !flow.kind.goes_on() {
        return false;
    }
    if ports_say(flow, context.direction) {
        return true;
    }
    flow.judge(context, context.direction.opposite())
        .is_allowed()
}

/// Whether the port numbers say that `initiator` opened the connection.
#[inline(always)]
fn ports_say<F: Family>(flow: &Flow<F>, initiator: Direction) -> bool {
    flow.client_port(initiator) >= FIRST_CLIENT_PORT
        && flow.service_port(initiator) < FIRST_CLIENT_PORT
}

#[cfg(test)]
mod tests {
    use netpol_common::Direction::{Egress, Ingress};
    use netpol_common::conntrack::selector;
    use netpol_common::protocol::TCP;

    use super::ports_say;
    use crate::family::{Family, V4};
    use crate::flow::Flow;
    use crate::transport::Kind;

    #[test]
    fn ports_tell_client_from_server_only_across_the_border_of_the_clients_range() {
        let say = |remote: u16, local: u16, initiator| {
            let ports = u32::from(remote) << 16 | u32::from(local);
            let flow: Flow<V4> = Flow {
                key: V4::key(1, 2, ports, selector(TCP, 0)),
                kind: Kind::stream(0),
            };
            ports_say(&flow, initiator)
        };
        assert!(say(5432, 40_000, Egress));
        assert!(!say(5432, 40_000, Ingress));
        assert!(say(40_000, 80, Ingress));
        assert!(!say(40_000, 80, Egress));
        assert!(say(32_767, 32_768, Egress));
        for equal in [(40_000, 50_000), (179, 179), (80, 32_767), (32_768, 60_999)] {
            assert!(!say(equal.0, equal.1, Egress), "{equal:?}");
            assert!(!say(equal.0, equal.1, Ingress), "{equal:?}");
        }
    }
}
