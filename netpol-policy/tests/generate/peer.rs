//! Items of `from` and `to`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use serde_json::{Value, json};

use super::dice::Dice;
use super::selector::{draw_namespace_selector, draw_pod_selector};
use super::vocabulary::{FAMILIES, blocks};

pub(super) fn draw(dice: &mut Dice) -> Value {
    let shapes = [
        (30, "pods"),
        (20, "namespaces"),
        (20, "both"),
        (30, "block"),
    ];
    let mut peer = match dice.weigh(&shapes) {
        "pods" => json!({ "podSelector": draw_pod_selector(dice) }),
        "namespaces" => json!({ "namespaceSelector": draw_namespace_selector(dice) }),
        "both" => json!({
            "podSelector": draw_pod_selector(dice),
            "namespaceSelector": draw_namespace_selector(dice),
        }),
        _ => json!({ "ipBlock": draw_block(dice) }),
    };
    if dice.chance(3) {
        for field in ["podSelector", "namespaceSelector", "ipBlock"] {
            // Indexing a field that is not there puts `null` in its place.
            let _ = &mut peer[field];
        }
    }
    peer
}

fn draw_block(dice: &mut Dice) -> Value {
    let pool = blocks(*dice.pick(&FAMILIES));
    let cidr = *dice.pick(&pool);
    // An except may be as wide as its block, but seldom is.
    let equal = dice.chance(3);
    let inside: Vec<IpNet> = pool
        .into_iter()
        .filter(|net| cidr.contains(net) && (equal || *net != cidr))
        .collect();
    let mut block = json!({ "cidr": write(dice, cidr) });
    match dice.between(0, 9) {
        0..=3 => {}
        4 => block["except"] = json!([]),
        5 => block["except"] = Value::Null,
        _ if inside.is_empty() => {}
        _ => {
            let excepts = dice.several(1, 3, |dice| {
                let net = *dice.pick(&inside);
                write(dice, net)
            });
            block["except"] = json!(excepts);
        }
    }
    block
}

/// As people write it: at times with host bits, or with capitals.
fn write(dice: &mut Dice, net: IpNet) -> String {
    let address = match dice.chance(25) {
        true => with_host_bits(dice, net),
        false => net.addr(),
    };
    let text = format!("{address}/{}", net.prefix_len());
    match dice.chance(5) {
        true => text.to_uppercase(),
        false => text,
    }
}

fn with_host_bits(dice: &mut Dice, net: IpNet) -> IpAddr {
    let noise = match dice.between(0, 2) {
        0 => 1,
        1 => u64::MAX,
        _ => dice.roll(),
    };
    match (net, net.hostmask()) {
        (IpNet::V4(net), IpAddr::V4(mask)) => {
            Ipv4Addr::from_bits(net.addr().to_bits() | (noise as u32 & mask.to_bits())).into()
        }
        // The upper half stays as it is, lest the address become another kind of address.
        (IpNet::V6(net), IpAddr::V6(mask)) => {
            Ipv6Addr::from_bits(net.addr().to_bits() | (u128::from(noise) & mask.to_bits())).into()
        }
        _ => net.addr(),
    }
}
