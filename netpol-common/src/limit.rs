//! Rate limits of the programs: buckets of tokens, filled once a second.

use bytemuck::{Pod, Zeroable};

use crate::assert_words;

/// Value of the `event_limit` map (an array per CPU with one element) and of the `answer_limit` map
/// (an array of [`crate::answer::PLACES`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Pod, Zeroable)]
#[repr(C)]
pub struct Bucket {
    /// Kernel ticks when the bucket was last filled.
    pub filled: u32,
    /// How often it may still be taken from in this second.
    pub tokens: u32,
}
assert_words!(Bucket, 2);
