//! Policies and labels, drawn.

use fastrand::Rng;
use serde_json::{Value, json};

/// Values of the label `app` of pods.
pub(super) const APPS: [&str; 3] = ["w", "x", "y"];
/// Values of the label `team` of namespaces.
pub(super) const TEAMS: [&str; 2] = ["red", "blue"];

pub(super) fn one<'a>(rng: &mut Rng, of: &[&'a str]) -> &'a str {
    of[rng.usize(..of.len())]
}

/// The spec of a policy.
pub(super) fn policy(rng: &mut Rng) -> Value {
    let ingress = rng.bool();
    let egress = !ingress || rng.u8(..4) == 0;
    let mut spec = json!({"podSelector": pods(rng), "policyTypes": []});
    let mut types = Vec::new();
    if ingress {
        types.push("Ingress");
        spec["ingress"] = rules(rng, "from");
    }
    if egress {
        types.push("Egress");
        spec["egress"] = rules(rng, "to");
    }
    spec["policyTypes"] = json!(types);
    spec
}

fn rules(rng: &mut Rng, side: &str) -> Value {
    let number = rng.usize(..3);
    let rule = |rng: &mut Rng| {
        let mut rule = json!({});
        if rng.u8(..6) > 0 {
            let peers: Vec<Value> = (0..rng.usize(1..=2)).map(|_| peer(rng)).collect();
            rule[side] = peers.into();
        }
        if rng.bool() {
            let ports: Vec<Value> = (0..rng.usize(1..=2)).map(|_| port(rng)).collect();
            rule["ports"] = ports.into();
        }
        rule
    };
    (0..number).map(|_| rule(rng)).collect()
}

fn peer(rng: &mut Rng) -> Value {
    match rng.u8(..5) {
        0 => json!({"podSelector": pods(rng)}),
        1 => json!({"namespaceSelector": namespaces(rng)}),
        2 | 3 => json!({"namespaceSelector": namespaces(rng), "podSelector": pods(rng)}),
        _ => match rng.u8(..4) {
            0 => json!({"ipBlock": {"cidr": "0.0.0.0/0"}}),
            1 => json!({"ipBlock": {"cidr": "10.244.1.0/24", "except": ["10.244.1.0/28"]}}),
            2 => json!({"ipBlock": {"cidr": "fd00:10:244:2::/64"}}),
            _ => json!({"ipBlock": {"cidr": "10.244.0.0/16", "except": ["10.244.2.0/24"]}}),
        },
    }
}

fn port(rng: &mut Rng) -> Value {
    match rng.u8(..5) {
        0 => json!({"protocol": "TCP", "port": 8080}),
        1 => json!({"protocol": "UDP", "port": 8080}),
        2 => json!({"protocol": "TCP", "port": "web"}),
        3 => json!({"protocol": "TCP", "port": 8000, "endPort": 8080}),
        _ => json!({"protocol": "TCP"}),
    }
}

fn pods(rng: &mut Rng) -> Value {
    match rng.u8(..5) {
        0 => json!({}),
        1 => {
            json!({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": [one(rng, &APPS)]}]})
        }
        2 => json!({"matchExpressions": [{"key": "app", "operator": "In", "values": &APPS[..2]}]}),
        _ => json!({"matchLabels": {"app": one(rng, &APPS)}}),
    }
}

fn namespaces(rng: &mut Rng) -> Value {
    match rng.u8(..4) {
        0 => json!({}),
        1 => json!({"matchExpressions": [{"key": "team", "operator": "Exists"}]}),
        _ => json!({"matchLabels": {"team": one(rng, &TEAMS)}}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_draws_the_same_policies() {
        let draw = || {
            let mut rng = Rng::with_seed(7);
            (0..50).map(|_| policy(&mut rng)).collect::<Vec<_>>()
        };
        assert_eq!(draw(), draw());
        assert!(draw().iter().any(|it| it["ingress"] != Value::Null));
        assert!(draw().iter().any(|it| it["egress"] != Value::Null));
    }
}
