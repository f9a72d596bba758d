//! What must become of a packet, by the documents: plain, slow, and in the order in which they say
//! it.

mod connections;
mod fragments;

use std::collections::BTreeMap;

use core::net::IpAddr;
use netpol_common::Direction;
use netpol_common::counter::{DropReason, FROM_NODE, NEIGHBOUR, NOT_ISOLATED, SELF};

use crate::node::Node;
use crate::parse::{Body, Flags, Frame, Kind, Packet, Quote, Transport, frame};
use crate::policy::{deny_number, rule_number};
use connections::{Connection, Connections, Key, Place};
use fragments::{Fragments, Seen, Whole};

/// How many connections fit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    pub(crate) replied: usize,
    pub(crate) new: usize,
}

/// A packet at a pod.
#[derive(Clone, Copy)]
pub(crate) struct At<'a> {
    pub(crate) pod: usize,
    pub(crate) direction: Direction,
    pub(crate) bytes: &'a [u8],
    pub(crate) local_socket: bool,
    pub(crate) tag: bool,
}

/// What must become of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) passes: bool,
    /// What it is counted under; zero for nothing.
    pub(crate) counter: u32,
    /// Whether whoever sent it may be told.
    pub(crate) may_be_answered: bool,
    /// A note that it passes by may be gone: others have been left since.
    pub(crate) or_closed: bool,
}

impl Outcome {
    const fn pass(counter: u32) -> Self {
        Self {
            passes: true,
            counter,
            may_be_answered: false,
            or_closed: false,
        }
    }

    const fn deny(counter: u32) -> Self {
        Self {
            passes: false,
            ..Self::pass(counter)
        }
    }
}

/// What policy says.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Said {
    Allowed(u32),
    Denied(u32),
}

/// The model: a node, and what is remembered of its packets.
pub(crate) struct Model {
    pub(crate) node: Node,
    /// In ticks.
    pub(crate) now: u64,
    connections: Connections,
    fragments: Fragments,
    cuts: BTreeMap<u32, u64>,
}

impl Model {
    pub(crate) fn new(node: Node, room: Room) -> Self {
        Self {
            node,
            now: 0,
            connections: Connections::new(room),
            fragments: Fragments::default(),
            cuts: BTreeMap::new(),
        }
    }

    /// Connections that were cut under a counter.
    pub(crate) fn cuts(&self, counter: u32) -> u64 {
        self.cuts.get(&counter).copied().unwrap_or_default()
    }

    /// Entries of a pod: unanswered ones of both families, then answered ones.
    pub(crate) fn held(&self, pod: usize) -> [u64; 4] {
        self.connections.held(pod)
    }

    /// Judges a packet, and remembers what it leaves.
    pub(crate) fn judge(&mut self, at: At<'_>) -> Outcome {
        let pod = &self.node.pods[at.pod];
        if !pod.ingress.isolated && !pod.egress.isolated {
            return self.source_only(at);
        }
        match frame(at.bytes, at.tag) {
            Err(reason) => self.refuse(at, reason),
            Ok(Frame::Arp) => Outcome::pass(NEIGHBOUR),
            Ok(Frame::Ip(packet)) => self.ip(at, &packet),
        }
    }

    /// A pod of which no policy speaks: its own packets carry its own address, and that is all.
    /// A tag beside the frame does not hide it.
    fn source_only(&self, at: At<'_>) -> Outcome {
        let pass = Outcome::pass(0);
        let (Direction::Egress, Ok(Frame::Ip(packet))) = (at.direction, frame(at.bytes, false))
        else {
            return pass;
        };
        let of_link = packet.plain && transport(&packet).is_some_and(|t| t.kind == Kind::OfLink);
        let own = self
            .place(at.pod, packet.source, packet.destination)
            .is_some();
        if own || of_link {
            pass
        } else {
            Outcome::deny(DropReason::Spoofed.counter())
        }
    }

    fn is_isolated(&self, pod: usize, direction: Direction) -> bool {
        self.node.pods[pod].rules(direction).isolated
    }

    /// "Closed" is said of a direction in which a policy isolates the pod.
    fn refuse(&self, at: At<'_>, reason: DropReason) -> Outcome {
        let whatever = matches!(
            reason,
            DropReason::Spoofed | DropReason::ConntrackFull | DropReason::EndpointShare
        );
        if whatever || self.is_isolated(at.pod, at.direction) {
            Outcome::deny(reason.counter())
        } else {
            Outcome::pass(NOT_ISOLATED)
        }
    }

    /// Whose side of a packet the pod is on: one of its addresses, or the link.
    fn place(&self, pod: usize, local: IpAddr, remote: IpAddr) -> Option<Place> {
        if self.node.owns(pod, local) {
            return Some(Place::Address(local));
        }
        let (IpAddr::V6(local), IpAddr::V6(remote)) = (local, remote) else {
            return None;
        };
        let group_of_link = remote.segments()[0] == 0xff02;
        let on_link = local.is_unicast_link_local()
            && (remote.is_unicast_link_local() || group_of_link)
            || local.is_unspecified() && group_of_link;
        on_link.then_some(Place::Link)
    }

    fn ip(&mut self, at: At<'_>, packet: &Packet) -> Outcome {
        if transport(packet).is_some_and(|t| t.kind == Kind::OfLink) {
            return Outcome::pass(NEIGHBOUR);
        }
        let outwards = at.direction == Direction::Egress;
        let (local, remote) = if outwards {
            (packet.source, packet.destination)
        } else {
            (packet.destination, packet.source)
        };
        let Some(place) = self.place(at.pod, local, remote) else {
            let reason = if outwards {
                DropReason::Spoofed
            } else {
                DropReason::NotForEndpoint
            };
            return self.refuse(at, reason);
        };
        if outwards && self.node.owns(at.pod, local) && self.node.owns(at.pod, remote) {
            return Outcome::pass(SELF);
        }
        let whole = |id| Whole {
            pod: at.pod,
            direction: at.direction,
            place,
            remote,
            protocol: remote.is_ipv4().then_some(packet.protocol),
            id,
        };
        match &packet.body {
            Err(reason) => self.refuse(at, *reason),
            Ok(Body::Whole(transport)) => self.understood(at, place, remote, packet, transport),
            Ok(Body::First { transport, end, id }) => {
                let outcome = self.understood(at, place, remote, packet, transport);
                if outcome.passes {
                    let generation = self.node.pods[at.pod].generation;
                    let rule = outcome.counter;
                    self.fragments
                        .leave(whole(*id), generation, rule, *end, self.now);
                }
                outcome
            }
            Ok(Body::Later { begin, id }) => {
                let generation = self.node.pods[at.pod].generation;
                match self
                    .fragments
                    .find(whole(*id), generation, *begin, self.now)
                {
                    Seen::Passed { rule, or_gone } => Outcome {
                        or_closed: or_gone,
                        ..Outcome::pass(rule)
                    },
                    Seen::Overlap { or_gone } => Outcome {
                        or_closed: or_gone,
                        ..self.refuse(at, DropReason::Fragment)
                    },
                    Seen::Nothing => self.refuse(at, DropReason::FirstFragmentNotSeen),
                }
            }
        }
    }

    fn understood(
        &mut self,
        at: At<'_>,
        place: Place,
        remote: IpAddr,
        packet: &Packet,
        transport: &Transport,
    ) -> Outcome {
        let (local_port, remote_port) = match at.direction {
            Direction::Egress => (transport.source_port, transport.destination_port),
            Direction::Ingress => (transport.destination_port, transport.source_port),
        };
        let key = Key {
            pod: at.pod,
            place,
            remote,
            local_port,
            remote_port,
            protocol: packet.protocol,
        };
        match &transport.kind {
            Kind::Error(quote) => self.error(at, packet.destination, quote),
            Kind::Message => self.alone(at, &key),
            kind => self.of_connection(at, key, kind),
        }
    }

    /// What policy says of a connection that `initiator` opens.
    fn policy(&self, key: &Key, initiator: Direction) -> Said {
        let pod = &self.node.pods[key.pod];
        let rules = pod.rules(initiator);
        if !rules.isolated {
            return Said::Allowed(NOT_ISOLATED);
        }
        let port = match initiator {
            Direction::Egress => key.remote_port,
            Direction::Ingress => key.local_port,
        };
        match rules.allowing(key.remote, key.protocol, port) {
            Some(bit) => Said::Allowed(rule_number(key.pod, initiator, bit)),
            None => Said::Denied(deny_number(key.pod, initiator)),
        }
    }

    /// The same of a packet that opens one in its own direction: the node reaches its pods.
    fn opening(&self, at: At<'_>, key: &Key) -> Said {
        let from_node = at.direction == Direction::Ingress && at.local_socket;
        if from_node && self.node.is_itself(key.remote) {
            return Said::Allowed(FROM_NODE);
        }
        self.policy(key, at.direction)
    }

    /// A packet that is judged by itself, and leaves nothing.
    fn alone(&self, at: At<'_>, key: &Key) -> Outcome {
        match self.opening(at, key) {
            Said::Allowed(rule) => Outcome::pass(rule),
            Said::Denied(rule) => Outcome::deny(rule),
        }
    }

    fn of_connection(&mut self, at: At<'_>, key: Key, kind: &Kind) -> Outcome {
        let flags = match kind {
            Kind::Stream(flags) => Some(*flags),
            _ => None,
        };
        let opens_stream = flags.is_some_and(|f| f.syn && !f.ack && !f.fin && !f.rst);
        let opens = opens_stream || *kind == Kind::EchoRequest;
        self.connections.forget_if_idle(&key, self.now);
        let Some(there) = self.connections.get(&key) else {
            return self.open(at, key, kind, flags);
        };
        if opens_stream && (there.is_closing() || there.cut) {
            return self.open(at, key, kind, flags);
        }
        if opens && there.initiator != at.direction {
            return self.alone(at, &key);
        }
        self.go_on(at, key, kind, flags.unwrap_or_default())
    }

    /// The first packet of a connection, or one that starts over.
    fn open(&mut self, at: At<'_>, key: Key, kind: &Kind, flags: Option<Flags>) -> Outcome {
        let rule = match self.opening(at, &key) {
            Said::Allowed(rule) => rule,
            Said::Denied(rule) => {
                return Outcome {
                    may_be_answered: self.connections.get(&key).is_none(),
                    ..Outcome::deny(rule)
                };
            }
        };
        let tracked = match (kind, flags) {
            (Kind::Stream(_), Some(f)) if f.syn && !f.ack && !f.fin && !f.rst => true,
            (Kind::Stream(_), Some(f)) => {
                f.ack && !f.fin && !f.rst && self.midstream(&key, at.direction)
            }
            _ => matches!(kind, Kind::Datagram | Kind::EchoRequest),
        };
        if !tracked {
            return Outcome::pass(rule);
        }
        let connection = Connection::new(
            at.direction,
            self.node.pods[at.pod].generation,
            rule,
            self.now,
        );
        match self.connections.open(key, connection) {
            Ok(()) => Outcome::pass(rule),
            Err(reason) => self.refuse(at, reason),
        }
    }

    /// ADR 5: whether a packet in the middle of a connection opens an entry.
    fn midstream(&self, key: &Key, direction: Direction) -> bool {
        const CLIENTS: u16 = 32_768;
        let (client, server) = match direction {
            Direction::Egress => (key.local_port, key.remote_port),
            Direction::Ingress => (key.remote_port, key.local_port),
        };
        let ports_say = client >= CLIENTS && server < CLIENTS;
        ports_say || matches!(self.policy(key, direction.opposite()), Said::Allowed(_))
    }

    /// A further packet of a connection.
    fn go_on(&mut self, at: At<'_>, key: Key, kind: &Kind, flags: Flags) -> Outcome {
        let generation = self.node.pods[at.pod].generation;
        let Some(was) = self.connections.get(&key) else {
            return self.alone(at, &key);
        };
        let mut connection = was;
        connection.last_seen = self.now;
        let answered = |rule, rules: bool| Outcome {
            may_be_answered: rules,
            ..Outcome::deny(rule)
        };
        if was.generation != generation {
            connection.generation = generation;
            match self.again(&key, &was) {
                Said::Allowed(rule) => {
                    connection.rule = rule;
                    connection.cut = false;
                }
                Said::Denied(rule) => {
                    if !was.cut {
                        *self.cuts.entry(rule).or_default() += 1;
                    }
                    connection.rule = rule;
                    connection.cut = true;
                    self.connections.write(&key, connection);
                    return answered(rule, true);
                }
            }
        } else if was.cut {
            self.connections.write(&key, connection);
            return answered(was.rule, true);
        }
        match at.direction {
            Direction::Egress => connection.fin_local |= flags.fin,
            Direction::Ingress => connection.fin_remote |= flags.fin,
        }
        connection.reset |= flags.rst;
        if at.direction != was.initiator {
            connection.replied |= !flags.rst;
        } else if was.replied && *kind == Kind::Datagram {
            connection.stream = true;
        }
        let rule = connection.rule;
        self.connections.go_on(&key, connection);
        Outcome::pass(rule)
    }

    /// What policy says now of a connection of an older generation. The node's own are its own as
    /// long as the peer's address is the node's.
    fn again(&self, key: &Key, was: &Connection) -> Said {
        if was.rule == FROM_NODE && self.node.is_itself(key.remote) {
            return Said::Allowed(FROM_NODE);
        }
        self.policy(key, was.initiator)
    }

    /// ADR 27: an ICMP error passes by the connection whose packet it quotes, from the right side.
    fn error(&self, at: At<'_>, to: IpAddr, quote: &Result<Box<Quote>, DropReason>) -> Outcome {
        match self.quoted(at, to, quote) {
            Ok(Said::Allowed(rule)) => Outcome::pass(rule),
            Ok(Said::Denied(rule)) => Outcome::deny(rule),
            Err(reason) => self.refuse(at, reason),
        }
    }

    fn quoted(
        &self,
        at: At<'_>,
        to: IpAddr,
        quote: &Result<Box<Quote>, DropReason>,
    ) -> Result<Said, DropReason> {
        let quote = quote.as_ref().map_err(|reason| *reason)?;
        let unknown = DropReason::QuoteUnknown;
        let (local, remote, local_port, remote_port) = match at.direction {
            // What the pod sent.
            Direction::Ingress => (
                quote.source,
                quote.destination,
                quote.source_port,
                quote.destination_port,
            ),
            // What came to it, from whom it tells.
            Direction::Egress => (
                quote.destination,
                quote.source,
                quote.destination_port,
                quote.source_port,
            ),
        };
        // RFC 1122, 3.2.2: to the sender of the packet.
        if quote.source != to {
            return Err(unknown);
        }
        let place = self.place(at.pod, local, remote).ok_or(unknown)?;
        let key = Key {
            pod: at.pod,
            place,
            remote,
            local_port,
            remote_port,
            protocol: quote.protocol,
        };
        let was = self.connections.get(&key).ok_or(unknown)?;
        if was.is_idle(key.protocol, self.now) {
            return Err(unknown);
        }
        if was.generation != self.node.pods[at.pod].generation {
            return Ok(self.again(&key, &was));
        }
        Ok(if was.cut {
            Said::Denied(was.rule)
        } else {
            Said::Allowed(was.rule)
        })
    }
}

/// The transport header of a packet that has one.
fn transport(packet: &Packet) -> Option<&Transport> {
    match packet.body.as_ref().ok()? {
        Body::Whole(transport) | Body::First { transport, .. } => Some(transport),
        Body::Later { .. } => None,
    }
}
