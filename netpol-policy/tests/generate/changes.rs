//! What happens to a cluster.

use serde_json::{Value, json};

use super::dice::Dice;
use super::pod::{self, Stage};
use super::selector::{draw_labels, draw_pod_selector};
use super::spoil::spoiled_by;
use super::surroundings::{self, Surroundings, addresses_of, is_finished};
use super::vocabulary::{NAMESPACE_LABELS, NAMESPACE_NAME_LABEL, NAMESPACES, NODES, POD_LABELS};
use super::{Change, Cluster, identity, policy, service};

/// One thing that happens, one change or, where an address is passed on, two.
type Step = fn(&mut Dice, &Cluster) -> Option<Vec<Change>>;

const STEPS: &[(usize, Step)] = &[
    (12, relabel_pod),
    (8, add_pod),
    (8, delete_pod),
    (10, pass_address_on),
    (6, finish_pod),
    (4, terminate_pod),
    (8, readdress_pod),
    (5, change_containers),
    (10, add_policy),
    (8, delete_policy),
    (12, rewrite_policy),
    (14, edit_policy),
    (8, relabel_namespace),
    (4, delete_namespace),
    (6, replace_node),
    (3, delete_node),
    (4, repeat),
    (8, write_service),
    (12, write_slice),
    (5, delete_service),
    (6, delete_slice),
];

/// 1 to 12 steps. Each keeps addresses unique, so it makes the changes in an order that does.
pub(super) fn draw(dice: &mut Dice, from: &Cluster) -> Vec<Change> {
    let mut cluster = from.clone();
    let mut changes = Vec::new();
    for _ in 0..dice.between(1, 12) {
        let step = dice.weigh(STEPS);
        for change in step(dice, &cluster).unwrap_or_default() {
            cluster.apply(&change);
            changes.push(change);
        }
    }
    changes
}

fn pick(
    dice: &mut Dice,
    cluster: &Cluster,
    kind: &str,
    matches: fn(&Value) -> bool,
) -> Option<Value> {
    let mut objects = cluster.of_kind(kind);
    objects.retain(|object| matches(object));
    dice.try_pick(&objects).map(|object| (*object).clone())
}

fn pick_any(dice: &mut Dice, cluster: &Cluster, kind: &str) -> Option<Value> {
    pick(dice, cluster, kind, |_| true)
}

fn upsert(object: Value) -> Option<Vec<Change>> {
    Some(vec![Change::Upsert(object)])
}

fn delete(object: &Value) -> Change {
    let (kind, namespace, name) = identity(object);
    Change::Delete {
        kind: kind.to_owned(),
        namespace: namespace.map(str::to_owned),
        name: name.to_owned(),
    }
}

/// A name that may be there already, which makes the new object the old one's next version.
fn draw_name(dice: &mut Dice, kind: &str) -> String {
    format!("{kind}-{}", dice.between(0, 19))
}

fn relabel_pod(dice: &mut Dice, cluster: &Cluster) -> Option<Vec<Change>> {
    let mut pod = pick_any(dice, cluster, "Pod")?;
    pod["metadata"]["labels"] = change_labels(dice, &pod, POD_LABELS);
    upsert(pod)
}

/// One label more, less or other, or all of them others.
fn change_labels(dice: &mut Dice, object: &Value, vocabulary: &super::vocabulary::Labels) -> Value {
    if dice.chance(30) {
        return draw_labels(dice, vocabulary);
    }
    let mut labels = surroundings::labels_of(object);
    let (key, values) = *dice.pick(vocabulary);
    match dice.chance(30) {
        true => labels.remove(key),
        false => labels.insert(key.to_owned(), json!(dice.pick(values))),
    };
    Value::Object(labels)
}

fn add_pod(dice: &mut Dice, cluster: &Cluster) -> Option<Vec<Change>> {
    let name = draw_name(dice, "pod");
    upsert(pod::draw(dice, &Surroundings::of(cluster), &name))
}

fn delete_pod(dice: &mut Dice, cluster: &Cluster) -> Option<Vec<Change>> {
    Some(vec![delete(&pick_any(dice, cluster, "Pod")?)])
}

/// A pod is gone, or finished, and another one, new or waiting, has its addresses.
fn pass_address_on(dice: &mut Dice, cluster: &Cluster) -> Option<Vec<Change>> {
    let mut old = pick(dice, cluster, "Pod", |pod| {
        has_own_network(pod) && !addresses_of(pod).is_empty()
    })?;
    let waits = |pod: &Value| has_own_network(pod) && addresses_of(pod).is_empty();
    let mut new = match pick(dice, cluster, "Pod", waits) {
        Some(waiting) if dice.chance(50) => waiting,
        _ => {
            // Its name is one no other pod has, or it would be that pod, moved.
            let name = format!("heir-{}", dice.between(0, 9999));
            pod::draw_in_stage(dice, &Surroundings::of(cluster), &name, Stage::New)
        }
    };
    new["status"]["phase"] = json!("Running");
    pod::write_addresses(dice, &mut new, &addresses_of(&old));
    let first = match dice.chance(60) {
        true => delete(&old),
        false => {
            old["status"]["phase"] = json!("Succeeded");
            Change::Upsert(old)
        }
    };
    Some(vec![first, Change::Upsert(new)])
}

fn has_own_network(pod: &Value) -> bool {
    !is_finished(pod) && pod["spec"]["hostNetwork"] != true
}

fn finish_pod(dice: &mut Dice, cluster: &Cluster) -> Option<Vec<Change>> {
    let mut pod = pick(dice, cluster, "Pod", |pod| !is_finished(pod))?;
    pod["status"]["phase"] = json!(dice.pick(&["Succeeded", "Failed"]));
    upsert(pod)
}

fn terminate_pod(dice: &mut Dice, cluster: &Cluster) -> Option<Vec<Change>> {
    let mut pod = pick(dice, cluster, "Pod", |pod| !is_finished(pod))?;
    pod::terminate(&mut pod);
    upsert(pod)
}

/// A pod under the same name has other addresses or is in another stage.
fn readdress_pod(dice: &mut Dice, cluster: &Cluster) -> Option<Vec<Change>> {
    let old = pick_any(dice, cluster, "Pod")?;
    let name = old["metadata"]["name"].as_str()?;
    let mut new = pod::draw(dice, &Surroundings::of(cluster), name);
    new["metadata"]["namespace"] = old["metadata"]["namespace"].clone();
    if dice.chance(70) {
        new["metadata"]["labels"] = old["metadata"]["labels"].clone();
        new["spec"]["containers"] = old["spec"]["containers"].clone();
    }
    upsert(new)
}

/// Other named ports, other numbers.
fn change_containers(dice: &mut Dice, cluster: &Cluster) -> Option<Vec<Change>> {
    let mut pod = pick_any(dice, cluster, "Pod")?;
    let other = pod::draw_in_stage(dice, &Surroundings::of(cluster), "other", Stage::New);
    pod["spec"]["containers"] = other["spec"]["containers"].clone();
    upsert(pod)
}

fn add_policy(dice: &mut Dice, cluster: &Cluster) -> Option<Vec<Change>> {
    let name = draw_name(dice, "policy");
    upsert(policy::draw(dice, &Surroundings::of(cluster), &name))
}

fn delete_policy(dice: &mut Dice, cluster: &Cluster) -> Option<Vec<Change>> {
    Some(vec![delete(&pick_any(dice, cluster, "NetworkPolicy")?)])
}

fn rewrite_policy(dice: &mut Dice, cluster: &Cluster) -> Option<Vec<Change>> {
    let mut policy = pick_any(dice, cluster, "NetworkPolicy")?;
    policy::rewrite(dice, &mut policy);
    upsert(policy)
}

/// A rule more or less, other subjects or other types. (What is invalid is only ever rewritten: an
/// edit might heal it unnoticed.)
fn edit_policy(dice: &mut Dice, cluster: &Cluster) -> Option<Vec<Change>> {
    let mut policy = pick(dice, cluster, "NetworkPolicy", |policy| {
        spoiled_by(policy).is_none()
    })?;
    let spec = &mut policy["spec"];
    let (section, peers) = *dice.pick(&[("ingress", "from"), ("egress", "to")]);
    match dice.between(0, 4) {
        0 => spec["podSelector"] = draw_pod_selector(dice),
        1 => policy::draw_types(dice, spec),
        2 => {
            if let Some(rules) = spec[section].as_array_mut() {
                rules.pop();
            }
        }
        _ => {
            let rule = policy::draw_rule(dice, peers);
            match spec[section].as_array_mut() {
                Some(rules) => rules.insert(dice.between(0, rules.len()), rule),
                None => spec[section] = json!([rule]),
            }
        }
    }
    upsert(policy)
}

/// Its object may have been missing until now.
fn relabel_namespace(dice: &mut Dice, cluster: &Cluster) -> Option<Vec<Change>> {
    let Some(mut namespace) = pick_any(dice, cluster, "Namespace").filter(|_| dice.chance(80))
    else {
        let name = *dice.pick(NAMESPACES);
        return upsert(surroundings::draw_namespace(dice, name));
    };
    let named = namespace["metadata"]["labels"][NAMESPACE_NAME_LABEL].clone();
    namespace["metadata"]["labels"] = change_labels(dice, &namespace, NAMESPACE_LABELS);
    if named.is_string() {
        namespace["metadata"]["labels"][NAMESPACE_NAME_LABEL] = named;
    }
    upsert(namespace)
}

fn delete_namespace(dice: &mut Dice, cluster: &Cluster) -> Option<Vec<Change>> {
    Some(vec![delete(&pick_any(dice, cluster, "Namespace")?)])
}

/// A node joins, or has other addresses than before.
fn replace_node(dice: &mut Dice, cluster: &Cluster) -> Option<Vec<Change>> {
    let name = *dice.pick(NODES);
    upsert(surroundings::draw_node(
        dice,
        &Surroundings::of(cluster),
        name,
    ))
}

fn delete_node(dice: &mut Dice, cluster: &Cluster) -> Option<Vec<Change>> {
    Some(vec![delete(&pick_any(dice, cluster, "Node")?)])
}

/// A Service comes, or is another than before.
fn write_service(dice: &mut Dice, cluster: &Cluster) -> Option<Vec<Change>> {
    let name = service::draw_name(dice);
    let mut new = service::draw(dice, &Surroundings::of(cluster), &name);
    let before = cluster.of_kind("Service").into_iter();
    let mut before = before.filter(|service| service["metadata"]["name"] == *name);
    if let Some(before) = before.next() {
        new["metadata"]["namespace"] = before["metadata"]["namespace"].clone();
    }
    upsert(new)
}

fn write_slice(dice: &mut Dice, cluster: &Cluster) -> Option<Vec<Change>> {
    let service = pick_any(dice, cluster, "Service")?;
    upsert(service::draw_slice(dice, cluster, &service))
}

fn delete_service(dice: &mut Dice, cluster: &Cluster) -> Option<Vec<Change>> {
    Some(vec![delete(&pick_any(dice, cluster, "Service")?)])
}

fn delete_slice(dice: &mut Dice, cluster: &Cluster) -> Option<Vec<Change>> {
    Some(vec![delete(&pick_any(dice, cluster, "EndpointSlice")?)])
}

/// The object is written again as it is, as a watch does when it starts over.
fn repeat(dice: &mut Dice, cluster: &Cluster) -> Option<Vec<Change>> {
    let object = dice.try_pick(&cluster.objects)?;
    upsert(object.clone())
}
