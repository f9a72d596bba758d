//! What the kernel holds for an interface, in numbers.

use std::collections::BTreeSet;

use netpol_api::{KernelEntry, KernelSet};
use netpol_common::endpoint::EndpointDirection;
use netpol_policy::Programmed;

/// The entry of an interface; none when there is none.
pub(super) fn entry(kernel: &Programmed, ifindex: u32) -> Option<KernelEntry> {
    let endpoint = kernel.endpoints.get(&ifindex)?;
    Some(KernelEntry {
        ifindex,
        generation: endpoint.generation,
        ingress: set(kernel, &endpoint.ingress),
        egress: set(kernel, &endpoint.egress),
    })
}

fn set(kernel: &Programmed, direction: &EndpointDirection) -> Option<KernelSet> {
    let number = direction.set;
    if number == 0 {
        return None;
    }
    let grants = kernel.policy.iter().filter(|(key, _)| key.set == number);
    let (mut peers, mut tables) = (0, BTreeSet::new());
    for (_, grant) in grants {
        peers += 1;
        tables.insert(grant.table);
    }
    let ports = kernel
        .ports
        .keys()
        .filter(|key| tables.contains(&key.table));
    Some(KernelSet {
        number,
        peers,
        ports: ports.count() as u64,
    })
}

#[cfg(test)]
mod tests {
    use netpol_common::{
        endpoint::Endpoint,
        policy::{Grant, PolicyKey, PortKey, PortVerdict},
    };

    use super::*;

    #[test]
    fn an_entry_is_counted_with_what_its_sets_lead_to_and_nothing_else() {
        let mut kernel = Programmed::default();
        let mut endpoint = Endpoint {
            generation: 3,
            ..Endpoint::default()
        };
        endpoint.ingress.set = 4;
        kernel.endpoints.insert(7, endpoint);
        for (set, identity, table) in [(4, 1, 9), (4, 2, 9), (5, 1, 8)] {
            let grant = Grant {
                table,
                ..Grant::default()
            };
            kernel.policy.insert(PolicyKey { set, identity }, grant);
        }
        for (table, port) in [(9, 80), (9, 443), (8, 22)] {
            let verdict = PortVerdict {
                verdict: 1,
                rule: 64,
            };
            kernel.ports.insert(PortKey { table, port }, verdict);
        }
        let ingress = Some(KernelSet {
            number: 4,
            peers: 2,
            ports: 2,
        });
        assert_eq!(
            entry(&kernel, 7),
            Some(KernelEntry {
                ifindex: 7,
                generation: 3,
                ingress,
                egress: None,
            })
        );
        assert_eq!(entry(&kernel, 8), None);
    }
}
