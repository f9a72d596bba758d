//! A machine for BPF programs that counts what they do.
//!
//! It runs the instructions of the object that the agent carries, before the kernel rewrites them
//! (the kernel puts a few instructions more in place of some calls and of each access to the
//! packet's context). So a count is the same on every computer, and says whether a change of the
//! source made a program longer; it is no time.
//!
//! ```text
//! program.rs   the object: instructions, and which maps they refer to
//! memory.rs    addresses: the stack, the packet, its context, the maps' values
//! maps.rs      what is in a map, by bytes
//! alu.rs       arithmetic and comparisons
//! helpers.rs   the kernel's functions that programs call
//! run.rs       one instruction after the other
//! sizes.rs     how large it all is
//! ```

mod alu;
mod helpers;
mod maps;
mod memory;
mod program;
mod run;
mod sizes;

use std::collections::BTreeMap;

pub use sizes::{MapSize, Sizes};

use maps::MapSpace;
use memory::Memory;
use program::{Code, Object};

/// What one run of a program did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Run {
    /// What the program returned.
    pub value: i32,
    /// Instructions carried out; one of two halves (a 64-bit constant) is one.
    pub instructions: u64,
    /// Calls of the kernel's functions; those that look into a map by the map's name.
    pub calls: BTreeMap<String, u64>,
}

/// The programs, their maps, and a clock.
pub struct Machine {
    programs: BTreeMap<&'static str, Code>,
    memory: Memory,
    maps: Vec<MapSpace>,
    /// Records that programs have sent.
    records: Vec<Vec<u8>>,
    /// The kernel's ticks.
    pub ticks: u64,
}

impl Machine {
    /// A machine with the programs of an object file. `sizes` is given the name and the size of
    /// each map, and says the size it is made with.
    ///
    /// # Errors
    ///
    /// The object has something in it that this machine does not know.
    pub fn new(
        object: &[u8],
        sizes: impl Fn(&str, u32) -> u32,
        globals: &[(&str, &[u8])],
    ) -> anyhow::Result<Self> {
        let object = Object::read(object, globals)?;
        let mut memory = Memory::default();
        let mut maps = Vec::new();
        for definition in object.maps {
            let entries = sizes(&definition.name, definition.entries);
            maps.push(MapSpace::new(definition, entries, &mut memory)?);
        }
        Ok(Self {
            programs: object.programs,
            memory,
            maps,
            records: Vec::new(),
            ticks: 1 << 20,
        })
    }

    /// Writes an entry of a map.
    ///
    /// # Errors
    ///
    /// There is no such map, or no room in it.
    pub fn put(&mut self, map: &str, key: &[u8], value: &[u8]) -> anyhow::Result<()> {
        let index = self.map(map)?;
        self.maps[index].put(&mut self.memory, key, value)
    }

    /// Removes every entry of every map; an array's become zeros, and globals stay.
    ///
    /// # Errors
    ///
    /// Memory is not as it was made.
    pub fn clear(&mut self) -> anyhow::Result<()> {
        self.records.clear();
        let mut maps = self.maps.iter_mut().filter(|map| !map.has_globals());
        maps.try_for_each(|map| map.clear(&mut self.memory))
    }

    fn map(&self, name: &str) -> anyhow::Result<usize> {
        let index = self.maps.iter().position(|map| map.name() == name);
        index.ok_or_else(|| anyhow::anyhow!("the object has no map {name}"))
    }
}
