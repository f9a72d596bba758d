//! Labels and label selectors.

use serde_json::{Value, json};

use super::dice::Dice;
use super::vocabulary::{
    GHOST_KEY, Labels, NAMESPACE_LABELS, NAMESPACE_NAME_LABEL, NAMESPACES, POD_LABELS,
};

/// Each key of `vocabulary` two times out of three, with one of its values.
pub(super) fn draw_labels(dice: &mut Dice, vocabulary: &Labels) -> Value {
    let mut labels = json!({});
    for (key, values) in vocabulary {
        if dice.chance(66) {
            labels[*key] = json!(dice.pick(values));
        }
    }
    labels
}

/// Selects pods.
pub(super) fn draw_pod_selector(dice: &mut Dice) -> Value {
    draw(dice, draw_pod_label)
}

/// Selects namespaces.
pub(super) fn draw_namespace_selector(dice: &mut Dice) -> Value {
    draw(dice, draw_namespace_label)
}

/// A key with some of its values, two at most.
type DrawLabel = fn(&mut Dice) -> (&'static str, Vec<&'static str>);

fn draw_pod_label(dice: &mut Dice) -> (&'static str, Vec<&'static str>) {
    if dice.chance(5) {
        return (GHOST_KEY, vec!["boo"]);
    }
    let (key, values) = *dice.pick(POD_LABELS);
    (key, dice.several(1, 2, |dice| *dice.pick(values)))
}

fn draw_namespace_label(dice: &mut Dice) -> (&'static str, Vec<&'static str>) {
    if dice.chance(5) {
        return (GHOST_KEY, vec!["boo"]);
    }
    let (key, values) = match dice.chance(35) {
        true => (NAMESPACE_NAME_LABEL, NAMESPACES),
        false => *dice.pick(NAMESPACE_LABELS),
    };
    (key, dice.several(1, 2, |dice| *dice.pick(values)))
}

fn draw(dice: &mut Dice, label: DrawLabel) -> Value {
    let shapes = [
        (25, "empty"),
        (40, "labels"),
        (25, "expressions"),
        (10, "both"),
    ];
    match dice.weigh(&shapes) {
        "empty" => draw_empty(dice),
        "labels" => json!({ "matchLabels": draw_match_labels(dice, label) }),
        "expressions" => json!({ "matchExpressions": draw_expressions(dice, label) }),
        _ => json!({
            "matchLabels": draw_match_labels(dice, label),
            "matchExpressions": draw_expressions(dice, label),
        }),
    }
}

/// The ways to write a selector that matches everything.
fn draw_empty(dice: &mut Dice) -> Value {
    match dice.between(0, 9) {
        0 => json!({ "matchLabels": {} }),
        1 => json!({ "matchExpressions": [] }),
        2 => json!({ "matchLabels": null, "matchExpressions": null }),
        _ => json!({}),
    }
}

fn draw_match_labels(dice: &mut Dice, label: DrawLabel) -> Value {
    let mut labels = json!({});
    for _ in 0..dice.weigh(&[(75, 1), (25, 2)]) {
        let (key, values) = label(dice);
        labels[key] = json!(values[0]);
    }
    labels
}

fn draw_expressions(dice: &mut Dice, label: DrawLabel) -> Vec<Value> {
    dice.several(1, 2, |dice| {
        let (key, values) = label(dice);
        let operator = dice.weigh(&[
            (30, "In"),
            (30, "NotIn"),
            (20, "Exists"),
            (20, "DoesNotExist"),
        ]);
        let mut expression = json!({ "key": key, "operator": operator });
        if operator == "In" || operator == "NotIn" {
            expression["values"] = json!(values);
        } else {
            match dice.between(0, 2) {
                0 => expression["values"] = json!([]),
                1 => expression["values"] = Value::Null,
                _ => {}
            }
        }
        expression
    })
}
