//! Items of `ports`.

use serde_json::{Value, json};

use super::dice::Dice;
use super::vocabulary::{GHOST_PORT, PORT_NAMES, PORTS};

pub(super) fn draw(dice: &mut Dice) -> Value {
    let mut port = match dice.weigh(&[(15, "every"), (35, "number"), (25, "range"), (25, "name")]) {
        "every" => json!({}),
        "number" => json!({ "port": dice.pick(PORTS) }),
        "range" => draw_range(dice),
        _ => json!({ "port": draw_name(dice) }),
    };
    match dice.between(0, 9) {
        0..=3 => {}
        4 => port["protocol"] = Value::Null,
        5..=6 => port["protocol"] = json!("TCP"),
        7..=8 => port["protocol"] = json!("UDP"),
        _ => port["protocol"] = json!("SCTP"),
    }
    if dice.chance(3) {
        let _ = &mut port["endPort"];
    }
    if dice.chance(3) {
        let _ = &mut port["port"];
    }
    // A port of `null` is every port, and an end without a start would be a fault.
    if port["port"].is_null() && port["endPort"].is_number() {
        port["endPort"] = Value::Null;
    }
    port
}

fn draw_name(dice: &mut Dice) -> &'static str {
    match dice.chance(8) {
        true => GHOST_PORT,
        false => dice.pick::<&str>(PORT_NAMES),
    }
}

fn draw_range(dice: &mut Dice) -> Value {
    let (first, last) = match dice.between(0, 9) {
        0 => (1, 65535),
        1 => (dice.between(1, 65535) as u16, dice.between(1, 65535) as u16),
        2 => {
            let port = *dice.pick(PORTS);
            (port, port)
        }
        _ => (*dice.pick(PORTS), *dice.pick(PORTS)),
    };
    json!({ "port": first.min(last), "endPort": first.max(last) })
}
