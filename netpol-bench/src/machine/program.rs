//! The object file: its programs' instructions, with the maps they refer to.

use std::collections::{BTreeMap, HashMap, HashSet};

use anyhow::{Context, bail};
use aya_obj::generated::bpf_insn;
use netpol_common::maps::{FROM_ENDPOINT, TO_ENDPOINT};

/// The instructions of one program.
pub(super) type Code = Vec<bpf_insn>;

/// What the object says of a map.
pub(super) struct Definition {
    pub(super) name: String,
    pub(super) kind: u32,
    pub(super) key: usize,
    pub(super) value: usize,
    pub(super) entries: u32,
    /// What it holds from the start: the globals.
    pub(super) data: Vec<u8>,
}

/// The programs, and their maps in the order of the numbers by which instructions refer to them.
pub(super) struct Object {
    pub(super) programs: BTreeMap<&'static str, Code>,
    pub(super) maps: Vec<Definition>,
}

impl Object {
    pub(super) fn read(bytes: &[u8], globals: &[(&str, &[u8])]) -> anyhow::Result<Self> {
        let mut object = aya_obj::Object::parse(bytes).context("the object file")?;
        let globals: HashMap<_, _> = globals
            .iter()
            .map(|(name, data)| (*name, (*data, true)))
            .collect();
        object.patch_map_data(globals).context("the globals")?;
        let mut names: Vec<_> = object.maps.keys().cloned().collect();
        names.sort_unstable();
        let text: HashSet<usize> = object
            .functions
            .keys()
            .map(|(section, _)| *section)
            .collect();
        let maps = object.maps.clone();
        let numbered = names
            .iter()
            .enumerate()
            .map(|(number, name)| (name.as_str(), number as i32, &maps[name]));
        object.relocate_maps(numbered, &text).context("its maps")?;
        object.relocate_calls(&text).context("its calls")?;
        let mut programs = BTreeMap::new();
        for name in [FROM_ENDPOINT, TO_ENDPOINT] {
            let Some(program) = object.programs.get(name) else {
                bail!("the object has no program {name}");
            };
            let function = object.functions.get(&program.function_key());
            let function = function.with_context(|| format!("the code of {name}"))?;
            programs.insert(name, function.instructions.clone());
        }
        let definitions = names.into_iter().map(|name| {
            let map = &maps[&name];
            Definition {
                kind: map.map_type(),
                key: map.key_size() as usize,
                value: map.value_size() as usize,
                entries: map.max_entries(),
                data: map.data().to_vec(),
                name,
            }
        });
        Ok(Self {
            programs,
            maps: definitions.collect(),
        })
    }
}
