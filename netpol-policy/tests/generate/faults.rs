//! The faulty pieces that make a policy invalid.

use serde_json::{Value, json};

use super::dice::Dice;
use super::spoil::Invalid;
use super::vocabulary::{Family, PORTS, blocks};

/// A faulty piece, and where it goes.
pub(super) enum Piece {
    Peer(Value),
    Port(Value),
    /// Goes into a peer, or takes the place of the policy's own.
    Selector(Value),
    Rule(Value),
    /// In place of the list of peers.
    Peers(Value),
    /// In place of the list of ports.
    Ports(Value),
    /// In place of the list of rules.
    Section(Value),
    Types(Value),
    Spec(Value),
}

/// One of the ways to get `kind` wrong.
pub(super) fn draw_piece(dice: &mut Dice, kind: Invalid) -> Piece {
    use Invalid as I;
    match kind {
        I::BadCidr
        | I::BadExcept
        | I::ExceptOutside
        | I::ExceptWider
        | I::ExceptOfOtherFamily
        | I::MappedCidr
        | I::MappedExcept => Piece::Peer(json!({ "ipBlock": draw_block(dice, kind) })),
        I::EmptyPeer => Piece::Peer(
            dice.pick(&[json!({}), json!({ "podSelector": null })])
                .clone(),
        ),
        I::BlockBesideSelector => {
            let selector = *dice.pick(&["podSelector", "namespaceSelector"]);
            Piece::Peer(json!({ "ipBlock": { "cidr": "0.0.0.0/0" }, selector: {} }))
        }
        I::UnknownOperator
        | I::InWithoutValues
        | I::NotInWithoutValues
        | I::ExistsWithValues
        | I::DoesNotExistWithValues => Piece::Selector(draw_selector(dice, kind)),
        I::EndPortBelowPort
        | I::EndPortAfterName
        | I::EndPortAlone
        | I::PortOutOfRange
        | I::EndPortOutOfRange
        | I::BadPortName
        | I::UnknownProtocol => Piece::Port(draw_port(dice, kind)),
        I::UnknownPolicyType => Piece::Types(
            dice.pick(&[
                json!(["Both"]),
                json!(["ingress"]),
                json!(["Ingress", ""]),
                json!(["Egress", "Ingres"]),
            ])
            .clone(),
        ),
        I::UnreadableSelector => Piece::Selector(unreadable_selector(dice)),
        I::UnreadablePeer => Piece::Peer(unreadable_peer(dice)),
        I::UnreadablePort => Piece::Port(unreadable_port(dice)),
        I::UnreadableRule => Piece::Rule(
            dice.pick(&[json!("all"), json!(7), json!([]), json!(true)])
                .clone(),
        ),
        I::UnreadableList => match dice.chance(50) {
            true => Piece::Peers(dice.pick(&[json!({}), json!("all"), json!(1)]).clone()),
            false => Piece::Ports(dice.pick(&[json!({}), json!("http"), json!(80)]).clone()),
        },
        I::UnreadableSection => Piece::Section(
            dice.pick(&[json!("all"), json!({}), json!(5), json!(false)])
                .clone(),
        ),
        I::UnreadablePolicyTypes => Piece::Types(
            dice.pick(&[json!("Ingress"), json!([1]), json!({})])
                .clone(),
        ),
        I::UnreadableSpec => Piece::Spec(dice.pick(&[json!("deny"), json!([]), json!(5)]).clone()),
    }
}

fn draw_block(dice: &mut Dice, kind: Invalid) -> Value {
    let bad = *dice.pick(&[
        "10.0.0.0",
        "10.0.0.0/33",
        "fd00::/129",
        "10.0.0/24",
        "256.0.0.0/8",
        "",
        "web",
        "fd00::",
    ]);
    let mapped = *dice.pick(&[
        "::ffff:10.0.0.0/104",
        "::ffff:0:0/96",
        "::ffff:10.0.0.5/128",
    ]);
    let except = |cidr: &str, except: &str| json!({ "cidr": cidr, "except": [except] });
    match kind {
        Invalid::BadCidr => json!({ "cidr": bad }),
        Invalid::BadExcept => except("0.0.0.0/0", bad),
        Invalid::ExceptOutside => match dice.chance(50) {
            true => except("10.0.0.0/24", "10.0.1.0/25"),
            false => except("fd00::/64", "fd00:0:0:1::/65"),
        },
        Invalid::ExceptWider => match dice.chance(50) {
            true => except("10.0.0.0/24", "10.0.0.0/23"),
            false => except("fd00::/64", "::/0"),
        },
        Invalid::ExceptOfOtherFamily => match dice.chance(50) {
            true => except("0.0.0.0/0", &dice.pick(&blocks(Family::V6)).to_string()),
            false => except("::/0", &dice.pick(&blocks(Family::V4)).to_string()),
        },
        Invalid::MappedCidr => json!({ "cidr": mapped }),
        _ => except("::/0", mapped),
    }
}

fn draw_selector(dice: &mut Dice, kind: Invalid) -> Value {
    let values = json!(["web"]);
    let nothing = dice.pick(&[json!([]), Value::Null]).clone();
    let (operator, values) = match kind {
        Invalid::UnknownOperator => (*dice.pick(&["Gt", "in", "", "Equals"]), values),
        Invalid::InWithoutValues => ("In", nothing),
        Invalid::NotInWithoutValues => ("NotIn", nothing),
        Invalid::ExistsWithValues => ("Exists", values),
        _ => ("DoesNotExist", values),
    };
    json!({ "matchExpressions": [{ "key": "app", "operator": operator, "values": values }] })
}

fn draw_port(dice: &mut Dice, kind: Invalid) -> Value {
    let port = *dice.pick(PORTS);
    let out_of_range = *dice.pick(&[0, -1, 65536, i32::MAX]);
    match kind {
        Invalid::EndPortBelowPort => json!({ "port": dice.between(2, 65535), "endPort": 1 }),
        Invalid::EndPortAfterName => json!({ "port": "http", "endPort": port }),
        Invalid::EndPortAlone => json!({ "endPort": port, "protocol": "UDP" }),
        Invalid::PortOutOfRange => json!({ "port": out_of_range }),
        Invalid::EndPortOutOfRange => json!({ "port": port, "endPort": out_of_range }),
        Invalid::BadPortName => {
            let names = [
                "",
                "80",
                "HTTP",
                "-a",
                "a-",
                "a--b",
                "a_b",
                "sixteen-letters1",
            ];
            json!({ "port": dice.pick(&names) })
        }
        _ => json!({ "port": port, "protocol": dice.pick(&["tcp", "ICMP", "", "17"]) }),
    }
}

fn unreadable_selector(dice: &mut Dice) -> Value {
    let expression = |expression: Value| json!({ "matchExpressions": [expression] });
    let choices = [
        json!("app=web"),
        json!([]),
        json!({ "matchLabels": [] }),
        json!({ "matchLabels": { "app": 1 } }),
        json!({ "matchExpressions": {} }),
        expression(json!("app")),
        expression(json!({ "key": 1, "operator": "Exists" })),
        expression(json!({ "key": "app", "operator": ["Exists"] })),
        expression(json!({ "key": "app", "operator": "In", "values": "web" })),
        expression(json!({ "key": "app", "operator": "In", "values": [1] })),
    ];
    dice.pick(&choices).clone()
}

fn unreadable_peer(dice: &mut Dice) -> Value {
    let choices = [
        json!("all"),
        json!([]),
        json!({ "ipBlock": "10.0.0.0/8" }),
        json!({ "ipBlock": { "cidr": 10 } }),
        json!({ "ipBlock": { "cidr": "10.0.0.0/8", "except": "10.0.0.0/9" } }),
        json!({ "ipBlock": { "cidr": "10.0.0.0/8", "except": [9] } }),
    ];
    dice.pick(&choices).clone()
}

fn unreadable_port(dice: &mut Dice) -> Value {
    let choices = [
        json!(80),
        json!("http"),
        json!({ "port": true }),
        json!({ "port": 80.5 }),
        json!({ "port": [80] }),
        json!({ "port": 4_294_967_376_i64 }),
        json!({ "port": 80, "endPort": "90" }),
        json!({ "port": 80, "protocol": 6 }),
    ];
    dice.pick(&choices).clone()
}
