//! Digests of content, by which a number is recognised after a restart.

use std::hash::{Hash, Hasher};

use netpol_common::maps::Digest;
use sha2::{Digest as _, Sha256};

/// The digest of a value: SHA-256 over what its `Hash` feeds, so two values that differ have
/// different digests as long as their `Hash` is prefix-free, which derived ones are. A compiler
/// that derives another `Hash` only costs a longer first delta.
#[must_use]
pub(crate) fn digest_of(value: &impl Hash) -> Digest {
    let mut hasher = Sha256Hasher(Sha256::new());
    value.hash(&mut hasher);
    let bytes = hasher.0.finalize();
    let mut words = [0; 4];
    for (word, chunk) in words.iter_mut().zip(bytes.chunks_exact(4)) {
        *word = u32::from_le_bytes([chunk[0], chunk[1], chunk[2], chunk[3]]);
    }
    Digest { words }
}

struct Sha256Hasher(Sha256);

impl Hasher for Sha256Hasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Unused: the digest is read from the hash itself.
    fn finish(&self) -> u64 {
        0
    }
}
