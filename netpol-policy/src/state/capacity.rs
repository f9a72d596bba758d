//! What does not fit the maps is refused whole, for the endpoints concerned.

use netpol_common::Direction;

use super::{ClusterState, DIRECTIONS};
use crate::{
    compile::endpoints::{Closed, LocalEndpoint},
    object::ObjectKey,
};

impl ClusterState {
    /// An endpoint to close next, if the desired contents exceed a map: of those whose closing
    /// would free something, the one with the most to say, the last by name among equals.
    pub(super) fn does_not_fit(&self) -> Option<(ObjectKey, Closed)> {
        if self.tables.endpoints.desired().len() > self.limits.endpoints as usize {
            let programmed = self.compiler.endpoints.iter().rev();
            let mut programmed = programmed
                .filter(|(_, e)| e.ifindex.is_some() && e.closed != Some(Closed::NoRoom))
                .map(|(key, _)| key.clone());
            return programmed.next().map(|key| (key, Closed::NoRoom));
        }
        if !self.exceeds() {
            return None;
        }
        let weighed = self.compiler.endpoints.iter();
        let weighed = weighed.map(|(key, endpoint)| (self.weight(endpoint), key));
        let (_, key) = weighed.filter(|(weight, _)| *weight > 0).max()?;
        Some((key.clone(), Closed::PolicyTooLarge))
    }

    fn exceeds(&self) -> bool {
        let uses = self.tables();
        uses.iter().any(|table| table.used > table.capacity)
    }

    fn weight(&self, endpoint: &LocalEndpoint) -> usize {
        let of_set = |direction: Direction| {
            let set = endpoint.set(direction)?;
            Some(self.compiler.sets.sets[set].weight())
        };
        let sets: usize = DIRECTIONS.into_iter().filter_map(of_set).sum();
        let isolated = usize::from(endpoint.set(Direction::Egress).is_some());
        sets + isolated + self.compiler.denies.weight(&endpoint.pod.key)
    }
}
