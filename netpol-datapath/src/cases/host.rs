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
use crate::{Answer, Decision, Table, from_endpoint, to_endpoint};

/// netpol-datapath with maps in memory.
pub struct Host {
    memory: Memory,
    answer: Option<Vec<u8>>,
}

impl Default for Host {
    fn default() -> Self {
        Self {
            memory: Memory::new(Capacities {
                replied: REPLIED_CAPACITY,
                new: NEW_CAPACITY,
                ..Capacities::default()
            }),
            answer: None,
        }
    }
}

impl Subject for Host {
    fn set_up(&mut self, setup: &Setup) {
        *self = Self::default();
        setup.write(&mut self.memory);
    }

    fn switch(&mut self, endpoint: &Endpoint) {
        self.memory
            .endpoint
            .insert(IFINDEX, *endpoint)
            .expect("one endpoint fits");
    }

    fn forget_nodes(&mut self) {
        self.memory.node.clear();
    }

    fn wait(&mut self, seconds: u32) {
        self.memory.advance(seconds);
    }

    fn judge_marked(
        &mut self,
        direction: Direction,
        frame: &[u8],
        local_socket: bool,
        mark: u32,
    ) -> Option<Decision> {
        let packet = SlicePacket {
            bytes: frame,
            local_socket,
            tag: false,
            mark,
        };
        let decision = match direction {
            Direction::Egress => from_endpoint(IFINDEX, &packet, &self.memory),
            Direction::Ingress => to_endpoint(IFINDEX, &packet, &self.memory),
        };
        let mut answer = Answer::default();
        let made = decision == Decision::Reject && answer.make(&packet);
        self.answer = made.then(|| answer.frame(frame));
        Some(decision)
    }

    fn answer(&mut self) -> Option<Vec<u8>> {
        self.answer.clone()
    }

    fn counter(&mut self, number: u32) -> Counter {
        self.memory.counter(number)
    }

    fn events(&mut self) -> Vec<Event> {
        self.memory.take_events()
    }

    fn holding(&mut self) -> Holding {
        let own = self.memory.held(IFINDEX);
        let others = self.memory.held(OTHER_IFINDEX);
        Holding {
            own,
            all: core::array::from_fn(|place| own[place] + others[place]),
            refused: self.memory.refused(IFINDEX),
        }
    }

    fn cuts(&mut self, number: u32) -> u64 {
        self.memory.cuts(number)
    }

    fn connections(&mut self) -> Vec<Tracked> {
        let mut all = Vec::new();
        for table in [Table::Replied, Table::New] {
            for (key, value) in self.memory.connections_v4(table) {
                all.push(Tracked::new(table, bytemuck::cast_slice(&[key]), &value));
            }
            for (key, value) in self.memory.connections_v6(table) {
                all.push(Tracked::new(table, bytemuck::cast_slice(&[key]), &value));
            }
        }
        all.sort_unstable();
        all
    }
}
