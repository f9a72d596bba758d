//! Tracked connections, in a list.

use core::net::IpAddr;

use netpol_common::Direction;
use netpol_common::counter::DropReason;
use netpol_common::protocol::{ICMP, ICMPV6, SCTP, TCP, UDP};
use netpol_datapath::memory::TICKS_PER_SECOND;

use super::Room;

/// The pod's side of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// One of its addresses.
    Address(IpAddr),
    /// Whatever it is called on the link.
    Link,
}

/// What belongs to one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) pod: usize,
    pub(crate) place: Place,
    pub(crate) remote: IpAddr,
    pub(crate) local_port: u16,
    pub(crate) remote_port: u16,
    pub(crate) protocol: u8,
}

/// A connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Connection {
    pub(crate) initiator: Direction,
    pub(crate) generation: u32,
    pub(crate) rule: u32,
    pub(crate) last_seen: u64,
    pub(crate) replied: bool,
    pub(crate) stream: bool,
    pub(crate) fin_local: bool,
    pub(crate) fin_remote: bool,
    pub(crate) reset: bool,
    pub(crate) cut: bool,
    /// Whether it is held among the answered ones.
    settled: bool,
}

impl Connection {
    pub(crate) const fn new(initiator: Direction, generation: u32, rule: u32, now: u64) -> Self {
        Self {
            initiator,
            generation,
            rule,
            last_seen: now,
            replied: false,
            stream: false,
            fin_local: false,
            fin_remote: false,
            reset: false,
            cut: false,
            settled: false,
        }
    }

    pub(crate) const fn is_closing(&self) -> bool {
        self.fin_local || self.fin_remote || self.reset
    }

    /// Whether it has been silent for longer than it may.
    pub(crate) const fn is_idle(&self, protocol: u8, now: u64) -> bool {
        now - self.last_seen > self.seconds(protocol) * TICKS_PER_SECOND as u64
    }

    const fn seconds(&self, protocol: u8) -> u64 {
        if self.reset || self.fin_local && self.fin_remote {
            return 10;
        }
        if self.fin_local || self.fin_remote {
            return 120;
        }
        if !self.replied {
            return 30;
        }
        match protocol {
            TCP => 6 * 3600,
            SCTP => 600,
            // One that was cut opens anew after two minutes of silence (ADR 5).
            UDP if self.stream || self.cut => 120,
            UDP | ICMP | ICMPV6 => 30,
            _ => 600,
        }
    }
}

/// All of them.
pub(crate) struct Connections {
    list: Vec<(Key, Connection)>,
    room: Room,
}

impl Connections {
    pub(crate) const fn new(room: Room) -> Self {
        Self {
            list: Vec::new(),
            room,
        }
    }

    pub(crate) fn get(&self, key: &Key) -> Option<Connection> {
        let found = self.list.iter().find(|(of, _)| of == key);
        found.map(|(_, connection)| *connection)
    }

    /// Nobody sweeps here: what is idle takes room until its key is used again.
    pub(crate) fn forget_if_idle(&mut self, key: &Key, now: u64) {
        self.list
            .retain(|(of, connection)| of != key || !connection.is_idle(key.protocol, now));
    }

    pub(crate) fn write(&mut self, key: &Key, connection: Connection) {
        for (of, there) in &mut self.list {
            if of == key {
                *there = connection;
            }
        }
    }

    /// Writes a connection after a packet of it: at its first answer it goes to the answered ones,
    /// or later, once there is room (ADR 6; tried at a packet that says nothing new).
    pub(crate) fn go_on(&mut self, key: &Key, mut connection: Connection) {
        let Some(was) = self.get(key) else { return };
        let quiet = was.is_same(&connection) && was.last_seen != connection.last_seen;
        let first_answer = connection.replied && !was.replied;
        let waits = connection.replied && !connection.settled && quiet;
        let moves = !connection.settled && (first_answer || waits);
        if moves && self.room_for(key, true).is_ok() {
            connection.settled = true;
        }
        self.write(key, connection);
    }

    /// Tracks a new connection. The entry of an unanswered one that is over is written over.
    pub(crate) fn open(&mut self, key: Key, connection: Connection) -> Result<(), DropReason> {
        let written_over = self.get(&key).is_some_and(|was| !was.settled);
        if !written_over {
            self.room_for(&key, false)?;
        }
        self.list.retain(|(of, _)| *of != key);
        self.list.push((key, connection));
        Ok(())
    }

    /// ADR 31: a pod may hold as many unanswered connections as it leaves free, eight times as many
    /// answered ones.
    fn room_for(&self, key: &Key, settled: bool) -> Result<(), DropReason> {
        let of_table = self.list.iter().filter(|(of, connection)| {
            connection.settled == settled && of.remote.is_ipv4() == key.remote.is_ipv4()
        });
        let all = of_table.clone().count();
        let own = of_table.filter(|(of, _)| of.pod == key.pod).count();
        let (capacity, weight) = if settled {
            (self.room.replied, 8)
        } else {
            (self.room.new, 1)
        };
        let free = capacity - all;
        if free == 0 {
            Err(DropReason::ConntrackFull)
        } else if own >= free * weight {
            Err(DropReason::EndpointShare)
        } else {
            Ok(())
        }
    }

    /// As [`super::Model::held`].
    pub(crate) fn held(&self, pod: usize) -> [u64; 4] {
        let mut held = [0; 4];
        for (key, connection) in &self.list {
            if key.pod == pod {
                let v6 = usize::from(key.remote.is_ipv6());
                held[v6 + 2 * usize::from(connection.settled)] += 1;
            }
        }
        held
    }
}

impl Connection {
    /// But for when it was seen.
    fn is_same(&self, other: &Self) -> bool {
        let what = |c: &Self| {
            (
                c.generation,
                c.rule,
                [
                    c.replied,
                    c.stream,
                    c.fin_local,
                    c.fin_remote,
                    c.reset,
                    c.cut,
                ],
            )
        };
        what(self) == what(other)
    }
}
