//! The kernel's functions that programs call, by their numbers (`enum bpf_func_id`).

use anyhow::{Context, bail};

use super::Machine;
use super::run::Registers;

/// What one run has, besides what all runs share.
pub(super) struct World {
    /// Where the packet lies, and its length.
    pub(super) packet: (u64, usize),
    /// Records that were reserved and not sent yet: address and length.
    pub(super) reserved: Vec<(u64, usize)>,
}

const LOOKUP: i32 = 1;
const UPDATE: i32 = 2;
const DELETE: i32 = 3;
const LOAD_BYTES: i32 = 26;
const PULL_DATA: i32 = 39;
const JIFFIES: i32 = 118;
const RESERVE: i32 = 131;
const SUBMIT: i32 = 132;
const DISCARD: i32 = 133;

/// Arguments are in the registers from here on; zero is the result's.
const FIRST: usize = 1;

impl Machine {
    /// Calls a function: its result, and the name it is counted under.
    pub(super) fn call(
        &mut self,
        number: i32,
        registers: &Registers,
        world: &mut World,
    ) -> anyhow::Result<(u64, String)> {
        let argument = |index: usize| registers[FIRST + index];
        Ok(match number {
            LOOKUP => {
                let map = self.referred(argument(0))?;
                let key = self.memory.bytes(argument(1), self.maps[map].key_size())?;
                let found = self.maps[map].find(key).unwrap_or(0);
                let what = match self.maps[map].is_array() {
                    true => "index",
                    false => "look up",
                };
                (found, self.counted(what, map))
            }
            UPDATE => {
                let map = self.referred(argument(0))?;
                let space = &self.maps[map];
                let key = self.memory.bytes(argument(1), space.key_size())?.to_vec();
                let value = self.memory.bytes(argument(2), space.value_size())?.to_vec();
                let how = argument(3);
                let written = self.maps[map].update(&mut self.memory, &key, &value, how)?;
                let result = written.err().map_or(0, |error| (-error) as u64);
                (result, self.counted("write", map))
            }
            DELETE => {
                const ENOENT: i64 = -2;
                let map = self.referred(argument(0))?;
                let key = self
                    .memory
                    .bytes(argument(1), self.maps[map].key_size())?
                    .to_vec();
                let result = if self.maps[map].remove(&key) {
                    0
                } else {
                    ENOENT as u64
                };
                (result, self.counted("remove", map))
            }
            LOAD_BYTES => {
                const EFAULT: i64 = -14;
                let offset = usize::try_from(argument(1) as u32).context("an offset")?;
                let length = usize::try_from(argument(3)).context("a length")?;
                let bytes = self.memory.bytes(world.packet.0, world.packet.1)?;
                let bytes = bytes.get(offset..offset + length).map(<[u8]>::to_vec);
                let into = self.memory.bytes_mut(argument(2), length)?;
                into.fill(0);
                if let Some(bytes) = &bytes {
                    into.copy_from_slice(bytes);
                }
                let result = if bytes.is_some() { 0 } else { EFAULT as u64 };
                (result, "skb_load_bytes".to_owned())
            }
            // All of the packet is in reach.
            PULL_DATA => (0, "skb_pull_data".to_owned()),
            JIFFIES => (self.ticks, "jiffies64".to_owned()),
            RESERVE => {
                let map = self.referred(argument(0))?;
                let length = usize::try_from(argument(1)).context("the length of a record")?;
                let address = self.memory.region(vec![0; length])?;
                world.reserved.push((address, length));
                (address, self.counted("reserve", map))
            }
            SUBMIT | DISCARD => {
                let place = world
                    .reserved
                    .iter()
                    .position(|(address, _)| *address == argument(0));
                let place = place.context("a record that was not reserved")?;
                let (address, length) = world.reserved.swap_remove(place);
                if number == SUBMIT {
                    self.records
                        .push(self.memory.bytes(address, length)?.to_vec());
                }
                (0, "ringbuf_submit".to_owned())
            }
            _ => bail!("the kernel's function {number} is unknown to this machine"),
        })
    }

    /// The map that a register refers to.
    fn referred(&self, word: u64) -> anyhow::Result<usize> {
        let number = word.wrapping_sub(super::run::MAP) as usize;
        if number >= self.maps.len() {
            bail!("{word:#x} refers to no map");
        }
        Ok(number)
    }

    fn counted(&self, what: &str, map: usize) -> String {
        format!("{what} {}", self.maps[map].name())
    }
}
