//! The pods that claim an address: one, nearly always.

use std::{collections::BTreeSet, slice};

use super::PodIndex;

/// Places of pods, at least one.
#[derive(Debug)]
pub(super) enum Claimants {
    One(PodIndex),
    // Boxed, since there is one of these for every address.
    #[expect(clippy::box_collection, reason = "keeps the common case small")]
    Several(Box<BTreeSet<PodIndex>>),
}

impl Claimants {
    pub(super) fn insert(&mut self, place: PodIndex) {
        match self {
            Self::One(only) if *only == place => {}
            Self::One(only) => *self = Self::Several(Box::new(BTreeSet::from([*only, place]))),
            Self::Several(places) => drop(places.insert(place)),
        }
    }

    /// Tells whether that was the last.
    pub(super) fn remove(&mut self, place: PodIndex) -> bool {
        match self {
            Self::One(only) => *only == place,
            Self::Several(places) => {
                places.remove(&place);
                places.is_empty()
            }
        }
    }

    pub(super) fn iter(&self) -> Box<dyn Iterator<Item = &PodIndex> + '_> {
        match self {
            Self::One(only) => Box::new(slice::from_ref(only).iter()),
            Self::Several(places) => Box::new(places.iter()),
        }
    }
}
