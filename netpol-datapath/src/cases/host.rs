//! The code on the host as a subject.

use std::vec::Vec;

use netpol_common::Direction;
use netpol_common::counter::Counter;
use netpol_common::endpoint::Endpoint;
use netpol_common::event::Event;

use super::{
    Holding, IFINDEX, NEW_CAPACITY, OTHER_IFINDEX, REPLIED_CAPACITY, Setup, Subject, Tracked,
};
use crate::memory::{Capacities, Memory, SlicePacket};
use crate::{Decision, Table, from_endpoint, to_endpoint};

/// netpol-datapath with maps in memory.
pub struct Host(Memory);

impl Default for Host {
    fn default() -> Self {
        Self(Memory::new(Capacities {
            replied: REPLIED_CAPACITY,
            new: NEW_CAPACITY,
            ..Capacities::default()
        }))
    }
}

impl Subject for Host {
    fn set_up(&mut self, setup: &Setup) {
        *self = Self::default();
        setup.write(&mut self.0);
    }

    fn switch(&mut self, endpoint: &Endpoint) {
        let Self(memory) = self;
        memory
            .endpoint
            .insert(IFINDEX, *endpoint)
            .expect("one endpoint fits");
    }

    fn forget_nodes(&mut self) {
        self.0.node.clear();
    }

    fn wait(&mut self, seconds: u32) {
        self.0.advance(seconds);
    }

    fn judge(
        &mut self,
        direction: Direction,
        frame: &[u8],
        local_socket: bool,
    ) -> Option<Decision> {
        let packet = SlicePacket {
            bytes: frame,
            local_socket,
            tag: false,
        };
        Some(match direction {
            Direction::Egress => from_endpoint(IFINDEX, &packet, &self.0),
            Direction::Ingress => to_endpoint(IFINDEX, &packet, &self.0),
        })
    }

    fn counter(&mut self, number: u32) -> Counter {
        self.0.counter(number)
    }

    fn events(&mut self) -> Vec<Event> {
        self.0.take_events()
    }

    fn holding(&mut self) -> Holding {
        let own = self.0.held(IFINDEX);
        let others = self.0.held(OTHER_IFINDEX);
        Holding {
            own,
            all: core::array::from_fn(|place| own[place] + others[place]),
            refused: self.0.refused(IFINDEX),
        }
    }

    fn cuts(&mut self, number: u32) -> u64 {
        self.0.cuts(number)
    }

    fn connections(&mut self) -> Vec<Tracked> {
        let mut all = Vec::new();
        for table in [Table::Replied, Table::New] {
            for (key, value) in self.0.connections_v4(table) {
                all.push(Tracked::new(table, bytemuck::cast_slice(&[key]), &value));
            }
            for (key, value) in self.0.connections_v6(table) {
                all.push(Tracked::new(table, bytemuck::cast_slice(&[key]), &value));
            }
        }
        all.sort_unstable();
        all
    }
}
