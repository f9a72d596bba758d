//! Addresses. Each region is a buffer of its own, so that an access outside of one is found.

use anyhow::bail;

/// Bits of an address that count bytes of a region. Addresses fit 32 bits: the packet's are words
/// of its context.
const REGION_BITS: u32 = 24;

/// Memory that programs can reach.
#[derive(Default)]
pub(super) struct Memory(Vec<Vec<u8>>);

impl Memory {
    /// Makes a region, and gives the address of its first byte.
    pub(super) fn region(&mut self, bytes: Vec<u8>) -> anyhow::Result<u64> {
        if bytes.len() >= 1 << REGION_BITS || self.0.len() >= 0xfe {
            bail!(
                "a region of {} bytes does not fit this machine",
                bytes.len()
            );
        }
        self.0.push(bytes);
        // The first region is number 1: zero is no address.
        Ok((self.0.len() as u64) << REGION_BITS)
    }

    /// Forgets every region made after another one was.
    pub(super) fn forget_after(&mut self, regions: usize) {
        self.0.truncate(regions);
    }

    pub(super) fn regions(&self) -> usize {
        self.0.len()
    }

    pub(super) fn bytes(&self, address: u64, length: usize) -> anyhow::Result<&[u8]> {
        let (region, offset) = split(address);
        let bytes = region.and_then(|number| self.0.get(number)?.get(offset..offset + length));
        bytes.ok_or_else(|| anyhow::anyhow!("a read of {length} bytes at {address:#x}"))
    }

    pub(super) fn bytes_mut(&mut self, address: u64, length: usize) -> anyhow::Result<&mut [u8]> {
        let (region, offset) = split(address);
        let bytes =
            region.and_then(|number| self.0.get_mut(number)?.get_mut(offset..offset + length));
        bytes.ok_or_else(|| anyhow::anyhow!("a write of {length} bytes at {address:#x}"))
    }

    pub(super) fn load(&self, address: u64, length: usize) -> anyhow::Result<u64> {
        let mut word = [0; 8];
        word[..length].copy_from_slice(self.bytes(address, length)?);
        Ok(u64::from_le_bytes(word))
    }

    pub(super) fn store(&mut self, address: u64, length: usize, word: u64) -> anyhow::Result<()> {
        self.bytes_mut(address, length)?
            .copy_from_slice(&word.to_le_bytes()[..length]);
        Ok(())
    }
}

fn split(address: u64) -> (Option<usize>, usize) {
    let number = (address >> REGION_BITS) as usize;
    let offset = (address & ((1 << REGION_BITS) - 1)) as usize;
    (number.checked_sub(1), offset)
}
