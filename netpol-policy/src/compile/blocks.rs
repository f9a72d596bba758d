//! Blocks in use, and the prefixes at whose boundaries an address's terms change.
//!
//! Every `cidr` and `except` in use is a prefix of the map. All addresses whose longest prefix it
//! is satisfy the same blocks: those whose `cidr` contains the prefix and no `except` of which
//! does.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use ipnet::IpNet;

use super::terms::TermIndex;
use crate::policy::Block;

#[derive(Debug, Default)]
pub(crate) struct Blocks {
    by_net: HashMap<IpNet, BTreeMap<TermIndex, Vec<IpNet>>>,
    /// Prefix lengths of the keys of `by_net`, with how many keys have them, by family.
    lengths: BTreeMap<(bool, u8), usize>,
    /// Boundaries, with how many blocks need them.
    boundaries: BTreeMap<IpNet, usize>,
    /// Boundaries that came, went, or whose terms may have changed.
    pub(crate) dirty: BTreeSet<IpNet>,
}

impl Blocks {
    pub(crate) fn add(&mut self, block: &Block, term: TermIndex) {
        let terms = self.by_net.entry(block.net).or_default();
        if terms.is_empty() {
            *self.lengths.entry(length_of(block.net)).or_default() += 1;
        }
        terms.insert(term, block.except.clone());
        for boundary in boundaries(block) {
            *self.boundaries.entry(boundary).or_default() += 1;
            self.dirty.insert(boundary);
        }
        self.mark_inside(block.net);
    }

    pub(crate) fn remove(&mut self, block: &Block, term: TermIndex) {
        self.mark_inside(block.net);
        if let Some(terms) = self.by_net.get_mut(&block.net) {
            terms.remove(&term);
            if terms.is_empty() {
                self.by_net.remove(&block.net);
                decrement(&mut self.lengths, length_of(block.net));
            }
        }
        for boundary in boundaries(block) {
            decrement(&mut self.boundaries, boundary);
        }
    }

    /// Whether a prefix is a boundary of any block in use.
    pub(crate) fn is_boundary(&self, prefix: IpNet) -> bool {
        self.boundaries.contains_key(&prefix)
    }

    /// The terms whose block contains a prefix whole. (A prefix that is a boundary, or one
    /// address, is never partly inside.)
    pub(crate) fn around(&self, prefix: IpNet, terms: &mut Vec<TermIndex>) {
        let is_v6 = matches!(prefix, IpNet::V6(_));
        let lengths = (is_v6, 0)..=(is_v6, prefix.prefix_len());
        for (_, length) in self.lengths.range(lengths).map(|(length, _)| length) {
            let Ok(net) = IpNet::new(prefix.addr(), *length) else {
                continue;
            };
            for (term, except) in self.by_net.get(&net.trunc()).into_iter().flatten() {
                if !except.iter().any(|hole| hole.contains(&prefix)) {
                    terms.push(*term);
                }
            }
        }
    }

    fn mark_inside(&mut self, net: IpNet) {
        let Ok(first) = IpNet::new(net.network(), 0) else {
            return;
        };
        let inside = self
            .boundaries
            .range(first..)
            .map(|(prefix, _)| *prefix)
            .take_while(|prefix| prefix.network() <= net.broadcast() && same_family(prefix, &net))
            .filter(|prefix| net.contains(prefix));
        self.dirty.extend(inside);
    }
}

fn boundaries(block: &Block) -> impl Iterator<Item = IpNet> {
    std::iter::once(block.net).chain(block.except.iter().copied())
}

fn same_family(a: &IpNet, b: &IpNet) -> bool {
    a.max_prefix_len() == b.max_prefix_len()
}

fn length_of(net: IpNet) -> (bool, u8) {
    (matches!(net, IpNet::V6(_)), net.prefix_len())
}

fn decrement<K: Ord>(counts: &mut BTreeMap<K, usize>, key: K) {
    if let std::collections::btree_map::Entry::Occupied(mut entry) = counts.entry(key) {
        *entry.get_mut() -= 1;
        if *entry.get() == 0 {
            entry.remove();
        }
    }
}
