//! Policies made invalid, each in one known way.

use serde_json::{Value, json};

use super::dice::Dice;
use super::faults::{Piece, draw_piece};
use super::policy::draw_rule;

/// What can be wrong with a policy.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Invalid {
    BadCidr,
    BadExcept,
    ExceptOutside,
    ExceptWider,
    ExceptOfOtherFamily,
    MappedCidr,
    MappedExcept,
    EmptyPeer,
    BlockBesideSelector,
    UnknownOperator,
    InWithoutValues,
    NotInWithoutValues,
    ExistsWithValues,
    DoesNotExistWithValues,
    EndPortBelowPort,
    EndPortAfterName,
    EndPortAlone,
    PortOutOfRange,
    EndPortOutOfRange,
    BadPortName,
    UnknownProtocol,
    UnknownPolicyType,
    UnreadableSelector,
    UnreadablePeer,
    UnreadablePort,
    UnreadableRule,
    UnreadableList,
    UnreadableSection,
    UnreadablePolicyTypes,
    UnreadableSpec,
}

pub const ALL_KINDS: &[Invalid] = &[
    Invalid::BadCidr,
    Invalid::BadExcept,
    Invalid::ExceptOutside,
    Invalid::ExceptWider,
    Invalid::ExceptOfOtherFamily,
    Invalid::MappedCidr,
    Invalid::MappedExcept,
    Invalid::EmptyPeer,
    Invalid::BlockBesideSelector,
    Invalid::UnknownOperator,
    Invalid::InWithoutValues,
    Invalid::NotInWithoutValues,
    Invalid::ExistsWithValues,
    Invalid::DoesNotExistWithValues,
    Invalid::EndPortBelowPort,
    Invalid::EndPortAfterName,
    Invalid::EndPortAlone,
    Invalid::PortOutOfRange,
    Invalid::EndPortOutOfRange,
    Invalid::BadPortName,
    Invalid::UnknownProtocol,
    Invalid::UnknownPolicyType,
    Invalid::UnreadableSelector,
    Invalid::UnreadablePeer,
    Invalid::UnreadablePort,
    Invalid::UnreadableRule,
    Invalid::UnreadableList,
    Invalid::UnreadableSection,
    Invalid::UnreadablePolicyTypes,
    Invalid::UnreadableSpec,
];

/// Where the kind of fault is noted: on the object, so that it goes with it.
const ANNOTATION: &str = "generate/spoiled-by";

/// The kind of fault that was put into a policy, by the name of its variant; `None` where it is
/// valid.
pub fn spoiled_by(policy: &Value) -> Option<&str> {
    policy["metadata"]["annotations"][ANNOTATION].as_str()
}

/// Puts one fault, of any kind, into a valid policy.
pub(super) fn spoil(dice: &mut Dice, policy: &mut Value) {
    let kind = *dice.pick(ALL_KINDS);
    let piece = draw_piece(dice, kind);
    put(dice, &mut policy["spec"], piece);
    policy["metadata"]["annotations"] = json!({ ANNOTATION: format!("{kind:?}") });
}

fn put(dice: &mut Dice, spec: &mut Value, piece: Piece) {
    let (section, peers) = *dice.pick(&[("ingress", "from"), ("egress", "to")]);
    match piece {
        Piece::Peer(peer) => {
            let rule = some_rule(dice, spec, section, peers);
            insert(dice, &mut rule[peers], peer);
        }
        Piece::Port(port) => {
            let rule = some_rule(dice, spec, section, peers);
            insert(dice, &mut rule["ports"], port);
        }
        Piece::Rule(rule) => insert(dice, &mut spec[section], rule),
        Piece::Peers(list) => some_rule(dice, spec, section, peers)[peers] = list,
        Piece::Ports(list) => some_rule(dice, spec, section, peers)["ports"] = list,
        Piece::Section(rules) => spec[section] = rules,
        Piece::Types(types) => spec["policyTypes"] = types,
        Piece::Spec(value) => *spec = value,
        Piece::Selector(selector) => match dice.between(0, 3) {
            0 => spec["podSelector"] = selector,
            1 => put(dice, spec, Piece::Peer(json!({ "podSelector": selector }))),
            2 => put(
                dice,
                spec,
                Piece::Peer(json!({ "namespaceSelector": selector })),
            ),
            _ => put(
                dice,
                spec,
                Piece::Peer(json!({ "namespaceSelector": {}, "podSelector": selector })),
            ),
        },
    }
}

/// A rule of the section, written if there is none.
fn some_rule<'s>(
    dice: &mut Dice,
    spec: &'s mut Value,
    section: &str,
    peers: &str,
) -> &'s mut Value {
    let empty = spec[section].as_array().is_none_or(Vec::is_empty);
    if empty || dice.chance(30) {
        let rule = draw_rule(dice, peers);
        insert(dice, &mut spec[section], rule);
    }
    let count = spec[section].as_array().map_or(0, Vec::len);
    &mut spec[section][dice.between(0, count - 1)]
}

/// Anywhere in the list, which is written if it is not there.
fn insert(dice: &mut Dice, list: &mut Value, item: Value) {
    if !list.is_array() {
        *list = json!([]);
    }
    if let Some(items) = list.as_array_mut() {
        items.insert(dice.between(0, items.len()), item);
    }
}
