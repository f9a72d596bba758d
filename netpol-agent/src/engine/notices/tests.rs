use std::sync::Arc;

use netpol_policy::Object;
use serde_json::json;

use super::*;

fn policy(name: &str, generation: i64, cidr: &str) -> Arc<Policy> {
    let object = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": { "namespace": "shop", "name": name, "uid": "u", "generation": generation },
        "spec": { "podSelector": {}, "ingress": [{ "from": [{ "ipBlock": { "cidr": cidr } }] }] },
    });
    match Object::from_value(&object) {
        Ok(Some(Object::NetworkPolicy(policy))) => policy,
        other => panic!("{other:?}"),
    }
}

fn key(name: &str) -> ObjectKey {
    ObjectKey::new("shop", name)
}

fn named(told: &mut Told, selecting: &[&str]) -> Vec<String> {
    let keys: Vec<ObjectKey> = selecting.iter().map(|name| key(name)).collect();
    let notices = told.of_policies(keys.iter()).into_iter();
    let named = notices.map(|notice| match notice {
        Notice::InvalidPolicy {
            policy, version, ..
        } => {
            format!("{} {}", policy.name, version.generation.unwrap_or_default())
        }
        other => panic!("{other:?}"),
    });
    named.collect()
}

#[test]
fn an_invalid_policy_is_told_once_by_nodes_that_have_pods_of_it() {
    let mut told = Told::default();
    told.read(&policy("odd", 1, "10.0.0.0/99"));
    told.read(&policy("fine", 1, "10.0.0.0/8"));
    assert!(named(&mut told, &["fine"]).is_empty(), "for others to tell");
    assert_eq!(named(&mut told, &["odd", "fine", "odd"]), ["odd 1"]);
    assert!(named(&mut told, &["odd"]).is_empty());
    told.read(&policy("odd", 1, "10.0.0.0/99"));
    assert!(named(&mut told, &["odd"]).is_empty(), "it was listed again");
    told.read(&policy("odd", 2, "10.0.0.0/99"));
    assert_eq!(named(&mut told, &["odd"]), ["odd 2"]);
}

#[test]
fn a_policy_that_was_mended_or_removed_starts_anew() {
    let mut told = Told::default();
    let odd = policy("odd", 1, "10.0.0.0/99");
    told.read(&odd);
    assert_eq!(named(&mut told, &["odd"]), ["odd 1"]);
    told.read(&policy("odd", 2, "10.0.0.0/8"));
    assert!(named(&mut told, &["odd"]).is_empty());
    told.read(&odd);
    assert_eq!(named(&mut told, &["odd"]), ["odd 1"]);
    told.retain_policies(|_| false);
    told.read(&odd);
    assert_eq!(named(&mut told, &["odd"]), ["odd 1"]);
}

fn pods(told: &mut Told, pods: &[(&str, &str, Option<&str>)]) -> Vec<Notice> {
    let keys: Vec<ObjectKey> = pods.iter().map(|(name, ..)| key(name)).collect();
    let pods = keys.iter().zip(pods);
    told.of_pods(pods.map(|(key, (_, uid, closed))| LocalPod {
        key,
        uid,
        closed: *closed,
    }))
}

fn closed(uid: &str, reason: &str) -> Notice {
    Notice::Closed {
        pod: key("db"),
        uid: uid.to_owned(),
        reason: reason.to_owned(),
    }
}

fn judged(uid: &str) -> Notice {
    Notice::Judged {
        pod: key("db"),
        uid: uid.to_owned(),
    }
}

#[test]
fn a_pod_is_told_when_it_closes_why_it_stays_closed_and_when_it_is_judged_again() {
    let mut told = Told::default();
    assert_eq!(pods(&mut told, &[("db", "1", None)]), []);
    let too_large = [("db", "1", Some("too large")), ("web", "9", None)];
    assert_eq!(pods(&mut told, &too_large), [closed("1", "too large")]);
    assert_eq!(pods(&mut told, &too_large), []);
    let no_room = [("db", "1", Some("no room"))];
    assert_eq!(pods(&mut told, &no_room), [closed("1", "no room")]);
    assert_eq!(pods(&mut told, &[("db", "1", None)]), [judged("1")]);
    assert_eq!(pods(&mut told, &[("db", "1", None)]), []);
}

#[test]
fn a_pod_that_is_gone_is_told_nothing_and_another_of_its_name_is_another() {
    let mut told = Told::default();
    let first = [("db", "1", Some("too large"))];
    assert_eq!(pods(&mut told, &first), [closed("1", "too large")]);
    let second = [("db", "2", Some("too large"))];
    assert_eq!(pods(&mut told, &second), [closed("2", "too large")]);
    assert_eq!(pods(&mut told, &[("db", "3", None)]), []);
    assert_eq!(pods(&mut told, &second), [closed("2", "too large")]);
    assert_eq!(pods(&mut told, &[]), []);
    assert_eq!(pods(&mut told, &[("db", "2", None)]), []);
}
