//! The contract between the BPF programs and the agent.
//!
//! Plain-old-data keys and values of every map, the maps' names, and the
//! numbers both sides must read alike. Nothing here computes a verdict.
//!
//! Conventions, for every type of this crate:
//! - all fields are whole `u32` words (a key assembled from narrower stores costs a failed store
//!   forwarding, and padding would be uninitialised memory in a key);
//! - numbers are in host byte order; *addresses* are in network byte order in memory
//!   ([`address`] converts), since a longest-prefix match reads them byte by byte;
//! - a size is asserted where the type is defined; padding does not compile (`bytemuck::Pod`).
#![no_std]
#![forbid(unsafe_code)]

pub mod address;
pub mod answer;
pub mod conntrack;
pub mod counter;
pub mod endpoint;
pub mod event;
pub mod fragment;
pub mod held;
pub mod identity;
pub mod limit;
pub mod maps;
pub mod note;
pub mod policy;
pub mod protocol;
pub mod service;

/// Version of everything in this crate. Maps and links are pinned under a directory that carries
/// it; an agent never reads the pins of another version.
pub const ABI_VERSION: u32 = 3;

/// A direction, always the endpoint's view: egress is traffic from the pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u32)]
pub enum Direction {
    /// Traffic to the pod.
    Ingress = 0,
    /// Traffic from the pod.
    Egress = 1,
}

impl Direction {
    /// The other direction.
    #[must_use]
    pub const fn opposite(self) -> Self {
        match self {
            Self::Ingress => Self::Egress,
            Self::Egress => Self::Ingress,
        }
    }

    /// The direction of a number, as in [`event::Event::direction`].
    #[must_use]
    pub const fn from_word(word: u32) -> Option<Self> {
        match word {
            0 => Some(Self::Ingress),
            1 => Some(Self::Egress),
            _ => None,
        }
    }
}

/// Asserts at compile time that a type has the size the kernel is told.
macro_rules! assert_words {
    ($type:ty, $words:expr) => {
        const _: () = assert!(size_of::<$type>() == $words * 4);
    };
}
pub(crate) use assert_words;
