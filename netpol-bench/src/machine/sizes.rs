//! How large the programs and the maps are.

use serde::Serialize;

use super::program::Object;

/// Sizes of an object's programs and maps.
#[derive(Clone, Debug, Serialize)]
pub struct Sizes {
    /// Programs, and how many instructions each has with its functions.
    pub programs: Vec<(String, usize)>,
    /// Maps.
    pub maps: Vec<MapSize>,
}

/// The size of a map.
#[derive(Clone, Debug, Serialize)]
pub struct MapSize {
    /// Its name.
    pub name: String,
    /// Entries that fit.
    pub entries: u32,
    /// Bytes of its keys and values when it is full, of one processor.
    pub bytes: u64,
}

impl Sizes {
    /// Of an object, whose maps are made with other sizes than it says.
    ///
    /// # Errors
    ///
    /// It is none, or one that the machine cannot run.
    pub fn of(object: &[u8], entries: impl Fn(&str, u32) -> u32) -> anyhow::Result<Self> {
        let object = Object::read(object, &[])?;
        let programs = object.programs.iter();
        let maps = object.maps.iter().map(|map| {
            let entries = entries(&map.name, map.entries);
            // A ring has no entries: its size is in bytes.
            let entry = (map.key + map.value).max(1) as u64;
            MapSize {
                name: map.name.clone(),
                entries,
                bytes: u64::from(entries) * entry,
            }
        });
        Ok(Self {
            programs: programs
                .map(|(name, code)| ((*name).to_owned(), code.len()))
                .collect(),
            maps: maps.collect(),
        })
    }
}
