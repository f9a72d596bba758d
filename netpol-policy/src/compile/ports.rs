//! Port tables: content-addressed, shared by everything that grants the same.

use std::collections::{BTreeMap, HashMap};

use netpol_common::{
    maps::{Digest, NumberKind},
    policy::{ALLOW, Grant, PORT_LEVELS, PortKey, PortVerdict},
};

use crate::{digest::digest_of, numbers::Numbers, policy::Protocol, table::Table};

/// What a table says: port key word -> rule.
pub(crate) type Content = BTreeMap<u32, u32>;

#[derive(Debug, Default)]
pub(crate) struct PortTables {
    tables: HashMap<Content, PortTable>,
    by_number: HashMap<u32, Content>,
    /// The `ports` map.
    pub(crate) table: Table<PortKey, PortVerdict>,
}

#[derive(Debug)]
struct PortTable {
    number: u32,
    digest: Digest,
    levels: u32,
    uses: usize,
}

impl PortTables {
    /// The grant of a port table with this content, in use once more.
    pub(crate) fn acquire(&mut self, content: Content, numbers: &mut Numbers) -> Grant {
        if content.is_empty() {
            return Grant::default();
        }
        if let Some(table) = self.tables.get_mut(&content) {
            table.uses += 1;
            return table.grant();
        }
        let digest = digest_of(&(NumberKind::PortTable as u32, &content));
        let number = numbers.acquire(NumberKind::PortTable, digest);
        let levels = levels_of(&content);
        for (word, rule) in &content {
            let key = PortKey {
                table: number,
                port: *word,
            };
            let verdict = PortVerdict {
                verdict: ALLOW,
                rule: *rule,
            };
            self.table.set(key, verdict);
        }
        let table = PortTable {
            number,
            digest,
            levels,
            uses: 1,
        };
        let grant = table.grant();
        self.by_number.insert(number, content.clone());
        self.tables.insert(content, table);
        grant
    }

    /// What the table of a number says, while it is in use.
    pub(crate) fn content(&self, number: u32) -> Option<&Content> {
        self.by_number.get(&number)
    }

    /// The grant is no longer in use.
    pub(crate) fn release(&mut self, grant: &Grant, numbers: &mut Numbers) {
        let Some(content) = self.by_number.get(&grant.table) else {
            return;
        };
        let Some(table) = self.tables.get_mut(content) else {
            return;
        };
        table.uses -= 1;
        if table.uses > 0 {
            return;
        }
        for word in content.keys() {
            self.table.unset(&PortKey {
                table: table.number,
                port: *word,
            });
        }
        numbers.release(&table.digest);
        self.tables.remove(content);
        self.by_number.remove(&grant.table);
    }
}

impl PortTable {
    fn grant(&self) -> Grant {
        Grant {
            rule: 0,
            table: self.number,
            levels: self.levels,
        }
    }
}

/// [`Grant::levels`] of a table.
pub(crate) fn levels_of(content: &Content) -> u32 {
    content
        .keys()
        .fold(0, |levels, word| levels | level_bit(*word))
}

/// The bit of [`Grant::levels`] for the level of a port key.
fn level_bit(word: u32) -> u32 {
    let (_, length, _) = PortKey {
        table: 0,
        port: word,
    }
    .parts();
    let level = PORT_LEVELS.iter().position(|l| *l == length);
    level.map_or(0, |level| 1 << level)
}

/// Adds a rule's ports `first..=last` to a table; what an earlier rule grants stays its.
pub(crate) fn add_range(
    content: &mut Content,
    protocol: Protocol,
    first: u16,
    last: u16,
    rule: u32,
) {
    let (mut at, end) = (u32::from(first), u32::from(last));
    while at <= end {
        // The shortest prefix that starts here and does not reach beyond the end.
        let length = PORT_LEVELS
            .into_iter()
            .rev()
            .find(|length| {
                let size = 0x1_0000_u32 >> length;
                at % size == 0 && at + size - 1 <= end
            })
            .unwrap_or(16);
        let key = PortKey::new(0, protocol.number(), length, at as u16);
        content.entry(key.port).or_insert(rule);
        at += 0x1_0000 >> length;
    }
}

/// Adds every port of a protocol. Port zero, which no rule can name, is among them.
pub(crate) fn add_any(content: &mut Content, protocol: Protocol, rule: u32) {
    let key = PortKey::new(0, protocol.number(), 0, 0);
    content.entry(key.port).or_insert(rule);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rule that a table gives a port, by the datapath's own order of look-ups.
    fn look_up(content: &Content, protocol: Protocol, port: u16) -> Option<u32> {
        PORT_LEVELS.iter().find_map(|length| {
            let key = PortKey::new(0, protocol.number(), *length, port);
            content.get(&key.port).copied()
        })
    }

    #[test]
    fn a_range_grants_exactly_its_ports() {
        for (first, last) in [
            (1, 65535),
            (80, 80),
            (1, 1),
            (65535, 65535),
            (15, 17),
            (4095, 4097),
            (1000, 33333),
            (4096, 8191),
            (16, 31),
        ] {
            let mut content = Content::new();
            add_range(&mut content, Protocol::Tcp, first, last, 7);
            for port in 0..=u16::MAX {
                let wanted = (first <= port && port <= last).then_some(7);
                let found = look_up(&content, Protocol::Tcp, port);
                assert_eq!(found, wanted, "port {port} of {first}-{last}");
            }
            assert!(content.len() <= 105, "{first}-{last}: {}", content.len());
            assert_eq!(look_up(&content, Protocol::Udp, first), None);
        }
    }

    #[test]
    fn the_earlier_rule_keeps_its_key() {
        let mut content = Content::new();
        add_range(&mut content, Protocol::Tcp, 80, 80, 1);
        add_range(&mut content, Protocol::Tcp, 80, 80, 2);
        add_any(&mut content, Protocol::Tcp, 3);
        assert_eq!(look_up(&content, Protocol::Tcp, 80), Some(1));
        assert_eq!(look_up(&content, Protocol::Tcp, 0), Some(3));
    }
}
