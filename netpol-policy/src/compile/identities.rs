//! Identities: one for each signature that some address has.

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
};

use ipnet::IpNet;
use netpol_common::{
    identity::{ANYONE, POD},
    maps::{Digest, NumberKind},
};
use slab::Slab;

use super::{
    sets::SetIndex,
    terms::{Signature, Terms},
};
use crate::{digest::digest_of, numbers::Numbers};

/// Place of an identity in the store.
pub(crate) type IdentityIndex = usize;

#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) signature: Signature,
    /// The number the maps carry, with [`POD`] when "any pod" is among its terms.
    pub(crate) id: u32,
    digest: Digest,
    uses: usize,
    /// The policy sets that have an entry for it.
    pub(crate) sets: HashSet<SetIndex>,
}

#[derive(Debug, Default)]
pub(crate) struct Identities {
    pub(crate) identities: Slab<Identity>,
    by_signature: HashMap<Signature, IdentityIndex>,
    ids: HashSet<u32>,
    addresses: HashMap<IpAddr, IdentityIndex>,
    prefixes: HashMap<IpNet, Option<IdentityIndex>>,
    /// Identities that came since the last commit.
    pub(crate) fresh: Vec<IdentityIndex>,
    /// Identities no address has any more, if that is still so at the commit's end.
    idle: Vec<IdentityIndex>,
}

impl Identities {
    /// An address has a signature now, or none of its own; gives the identity's number.
    pub(crate) fn place_address(
        &mut self,
        address: IpAddr,
        signature: Option<Signature>,
        terms: &mut Terms,
        numbers: &mut Numbers,
    ) -> Option<u32> {
        let after = signature.map(|s| self.acquire(s, terms, numbers));
        let before = match after {
            Some(place) => self.addresses.insert(address, place),
            None => self.addresses.remove(&address),
        };
        self.release(before);
        after.map(|place| self.identities[place].id)
    }

    /// A prefix has a signature now, or is no boundary any more; gives the identity's number.
    pub(crate) fn place_prefix(
        &mut self,
        prefix: IpNet,
        signature: Option<Signature>,
        terms: &mut Terms,
        numbers: &mut Numbers,
    ) -> Option<u32> {
        let after = signature.map(|s| {
            // A hole that no term covers must be in the map all the same: it hides the outer one.
            (!s.terms.is_empty()).then(|| self.acquire(s, terms, numbers))
        });
        let before = match after {
            Some(place) => self.prefixes.insert(prefix, place),
            None => self.prefixes.remove(&prefix),
        };
        self.release(before.flatten());
        after.map(|place| place.map_or(ANYONE, |place| self.identities[place].id))
    }

    /// Whether a number belongs to an identity that some address has, or to nobody at all.
    pub(crate) fn is_current(&self, id: u32) -> bool {
        id == ANYONE || self.ids.contains(&id)
    }

    fn acquire(
        &mut self,
        signature: Signature,
        terms: &mut Terms,
        numbers: &mut Numbers,
    ) -> IdentityIndex {
        if let Some(place) = self.by_signature.get(&signature) {
            self.identities[*place].uses += 1;
            return *place;
        }
        let digest = signature_digest(&signature, terms);
        let number = numbers.acquire(NumberKind::Identity, digest);
        let is_pod = signature.terms.iter().any(|term| terms.is_any_pod(*term));
        let id = if is_pod { number | POD } else { number };
        let place = self.identities.insert(Identity {
            signature: signature.clone(),
            id,
            digest,
            uses: 1,
            sets: HashSet::new(),
        });
        for term in &signature.terms {
            terms.terms[*term].identities.insert(place);
        }
        for (name, _) in &signature.names {
            terms.names[*name].identities.insert(place);
        }
        self.by_signature.insert(signature, place);
        self.ids.insert(id);
        self.fresh.push(place);
        place
    }

    fn release(&mut self, place: Option<IdentityIndex>) {
        if let Some(place) = place {
            self.identities[place].uses -= 1;
            if self.identities[place].uses == 0 {
                self.idle.push(place);
            }
        }
    }

    /// Takes out the identities that no address has, and gives them.
    pub(crate) fn collect(
        &mut self,
        terms: &mut Terms,
        numbers: &mut Numbers,
    ) -> Vec<(IdentityIndex, Identity)> {
        let mut gone = Vec::new();
        for place in std::mem::take(&mut self.idle) {
            let is_idle = self.identities.get(place).is_some_and(|i| i.uses == 0);
            if !is_idle {
                continue;
            }
            let identity = self.identities.remove(place);
            self.by_signature.remove(&identity.signature);
            self.ids.remove(&identity.id);
            for term in &identity.signature.terms {
                terms.terms[*term].identities.remove(&place);
            }
            for (name, _) in &identity.signature.names {
                terms.names[*name].identities.remove(&place);
            }
            numbers.release(&identity.digest);
            gone.push((place, identity));
        }
        self.fresh.retain(|place| self.identities.contains(*place));
        gone
    }
}

/// The digest of what a signature says, whatever places its terms have in this process.
pub(super) fn signature_digest(signature: &Signature, terms: &Terms) -> Digest {
    let mut of_terms: Vec<Digest> = signature
        .terms
        .iter()
        .map(|term| terms.terms[*term].digest)
        .collect();
    of_terms.sort_unstable();
    let mut of_names: Vec<(Digest, &[u16])> = signature
        .names
        .iter()
        .map(|(name, numbers)| (terms.names[*name].digest, numbers.as_slice()))
        .collect();
    of_names.sort_unstable();
    digest_of(&(NumberKind::Identity as u32, of_terms, of_names))
}
