//! NetworkPolicies, with every list in every of its shapes.

use serde_json::{Value, json};

use super::dice::Dice;
use super::surroundings::Surroundings;
use super::{peer, port, selector, spoil};

/// One policy in this many out of a hundred is invalid.
const INVALID_PERCENT: u64 = 6;

pub(super) fn draw(dice: &mut Dice, around: &Surroundings, name: &str) -> Value {
    let mut policy = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": { "namespace": dice.pick(&around.namespaces), "name": name },
    });
    rewrite(dice, &mut policy);
    policy
}

/// Gives the policy another spec.
pub(super) fn rewrite(dice: &mut Dice, policy: &mut Value) {
    policy["spec"] = draw_spec(dice);
    if let Some(metadata) = policy["metadata"].as_object_mut() {
        metadata.remove("annotations");
    }
    if dice.chance(INVALID_PERCENT) {
        spoil::spoil(dice, policy);
    }
}

pub(super) fn draw_spec(dice: &mut Dice) -> Value {
    let mut spec = json!({});
    match dice.between(0, 19) {
        0 => {}
        1 => spec["podSelector"] = Value::Null,
        _ => spec["podSelector"] = selector::draw_pod_selector(dice),
    }
    draw_types(dice, &mut spec);
    draw_list(dice, &mut spec, "ingress", 3, |dice| {
        draw_rule(dice, "from")
    });
    draw_list(dice, &mut spec, "egress", 3, |dice| draw_rule(dice, "to"));
    spec
}

pub(super) fn draw_types(dice: &mut Dice, spec: &mut Value) {
    let types = [
        (25, "absent"),
        (3, "null"),
        (7, "[]"),
        (20, "I"),
        (20, "E"),
        (22, "IE"),
        (3, "II"),
    ];
    spec["policyTypes"] = match dice.weigh(&types) {
        "absent" => {
            spec.as_object_mut().map(|spec| spec.remove("policyTypes"));
            return;
        }
        "null" => Value::Null,
        "[]" => json!([]),
        "I" => json!(["Ingress"]),
        "E" => json!(["Egress"]),
        "IE" => json!(["Ingress", "Egress"]),
        _ => json!(["Ingress", "Ingress"]),
    };
}

pub(super) fn draw_rule(dice: &mut Dice, peers: &str) -> Value {
    let mut rule = json!({});
    draw_list(dice, &mut rule, peers, 3, peer::draw);
    draw_list(dice, &mut rule, "ports", 3, port::draw);
    rule
}

/// A list field that is absent, `null`, empty, or has up to `most` items, the first of which is at
/// times `{}` where that is allowed.
fn draw_list(
    dice: &mut Dice,
    object: &mut Value,
    field: &str,
    most: usize,
    draw: fn(&mut Dice) -> Value,
) {
    // A peer with nothing in it is invalid.
    let empty_item_allowed = field != "from" && field != "to";
    object[field] = match dice.weigh(&[
        (15, "absent"),
        (3, "null"),
        (10, "[]"),
        (8, "[{}]"),
        (64, "some"),
    ]) {
        "absent" => {
            object.as_object_mut().map(|object| object.remove(field));
            return;
        }
        "null" => Value::Null,
        "[]" => json!([]),
        "[{}]" if empty_item_allowed => json!([{}]),
        _ => json!(dice.several(1, most, draw)),
    };
}
