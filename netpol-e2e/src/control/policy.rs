//! The policies of a namespace, one for each slot.
//!
//! | slots | whose | says |
//! |---|---|---|
//! | 0 | all pods | nothing in, nothing out |
//! | 1 | all pods | out to the DNS of one namespace |
//! | 2 | all pods | in from one workload of another namespace, to a port by its name |
//! | 3 to 11 | one workload | in from another of the namespace |
//! | 12 to 14 | one workload | in from the front ends of a team's namespaces, two ports |
//! | 15 | two tiers of three | in from all namespaces of two stages, a range of ports |
//! | 16 | one workload | in from blocks of addresses, one with a hole |
//! | 17 | one workload | out to another of the namespace |
//! | 18 | one tier | out to a workload of a team's namespaces |
//! | 19 | one workload | out to the Internet: everything but private blocks |

use serde_json::{Value, json};

const APP: &str = "app.kubernetes.io/name";

/// The slot of a policy that selects a workload by its name.
pub(super) fn slot_of(workload: u32) -> u32 {
    3 + workload % 9
}

/// The spec of a slot's policy, where it asks for a team, of that.
pub(super) fn spec(slot: u32, team: u32) -> Value {
    let app = |number: u32| json!({ "matchLabels": { APP: format!("app-{}", number % 10) } });
    let named = |name: &str| json!({ "matchLabels": { "kubernetes.io/metadata.name": name } });
    let of_team = json!({ "matchLabels": { "team": format!("team-{team}") } });
    let tcp = |port: Value| json!({ "protocol": "TCP", "port": port });
    match slot {
        0 => json!({ "podSelector": {}, "policyTypes": ["Ingress", "Egress"] }),
        1 => json!({
            "podSelector": {}, "policyTypes": ["Egress"],
            "egress": [{
                "to": [{ "namespaceSelector": named("ns-1"), "podSelector": app(0) }],
                "ports": [{ "protocol": "UDP", "port": 53 }, tcp(53.into())],
            }],
        }),
        2 => json!({
            "podSelector": {}, "policyTypes": ["Ingress"],
            "ingress": [{
                "from": [{ "namespaceSelector": named("ns-0"), "podSelector": app(0) }],
                "ports": [tcp("metrics".into())],
            }],
        }),
        12..=14 => json!({
            "podSelector": app(slot), "policyTypes": ["Ingress"],
            "ingress": [{
                "from": [{
                    "namespaceSelector": of_team,
                    "podSelector": { "matchLabels": { "tier": "frontend" } },
                }],
                "ports": [tcp(8080.into()), tcp(8443.into())],
            }],
        }),
        15 => json!({
            "podSelector": { "matchExpressions": [
                { "key": "tier", "operator": "In", "values": ["backend", "database"] },
            ] },
            "policyTypes": ["Ingress"],
            "ingress": [{
                "from": [{ "namespaceSelector": { "matchExpressions": [
                    { "key": "stage", "operator": "In", "values": ["prod", "staging"] },
                ] } }],
                "ports": [{ "protocol": "TCP", "port": 9000, "endPort": 9100 }],
            }],
        }),
        16 => json!({
            "podSelector": app(slot), "policyTypes": ["Ingress"],
            "ingress": [{
                "from": [
                    { "ipBlock": { "cidr": "172.16.0.0/12", "except": ["172.20.0.0/16"] } },
                    { "ipBlock": { "cidr": format!("192.168.{}.0/24", team % 250) } },
                ],
                "ports": [tcp(443.into())],
            }],
        }),
        17 => json!({
            "podSelector": app(slot), "policyTypes": ["Egress"],
            "egress": [{ "to": [{ "podSelector": app(slot + 2) }], "ports": [tcp(5432.into())] }],
        }),
        18 => json!({
            "podSelector": { "matchLabels": { "tier": "frontend" } }, "policyTypes": ["Egress"],
            "egress": [{
                "to": [{ "namespaceSelector": of_team, "podSelector": app(3) }],
                "ports": [tcp(8080.into())],
            }],
        }),
        19 => json!({
            "podSelector": app(slot), "policyTypes": ["Egress"],
            "egress": [{
                "to": [{ "ipBlock": {
                    "cidr": "0.0.0.0/0",
                    "except": ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.169.254/32"],
                } }],
                "ports": [tcp(443.into())],
            }],
        }),
        // 3 to 11.
        _ => json!({
            "podSelector": app(slot - 3), "policyTypes": ["Ingress"],
            "ingress": [{ "from": [{ "podSelector": app(slot) }], "ports": [tcp(8080.into())] }],
        }),
    }
}
