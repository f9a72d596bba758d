//! Files change, appear and vanish; what is in force follows.

use netpol_policy::{Kind, ObjectKey};

use super::*;
use crate::manifests::parse::{Format, parse};

fn namespaces(names: &[(&str, &str)]) -> Contents {
    let text: String = names
        .iter()
        .map(|(name, label)| {
            format!(
                "---\napiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}, labels: {{x: \
                 '{label}'}}}}\n"
            )
        })
        .collect();
    parse(&text, Format::Yaml).expect("valid")
}

/// `+name=label` and `-name`, in order.
fn told(changes: Vec<Change>) -> Vec<String> {
    let words = changes.into_iter().map(|change| match change {
        Change::Set(Object::Namespace(n)) => {
            format!("+{}={}", n.name, n.labels.get("x").unwrap_or("-"))
        }
        Change::Remove(reference) => format!("-{}", reference.key),
        other => panic!("{other:?}"),
    });
    words.collect()
}

fn namespace(name: &str) -> ObjectRef {
    ObjectRef {
        kind: Kind::Namespace,
        key: ObjectKey::new("", name),
    }
}

fn reasons(catalog: &Catalog) -> Vec<String> {
    let reports = catalog.reports().into_iter();
    let line = |r: Report| {
        let object = r.object.unwrap_or_default();
        format!(
            "{} {object}: {} ({})",
            r.file.unwrap_or_default(),
            r.reason,
            r.effect
        )
    };
    reports.map(line).collect()
}

#[test]
fn only_what_changed_in_a_file_is_told() {
    let mut catalog = Catalog::default();
    let first = namespaces(&[("a", "1"), ("b", "1"), ("c", "1")]);
    assert_eq!(told(catalog.set("f.yaml", first)), ["+a=1", "+b=1", "+c=1"]);
    let second = namespaces(&[("a", "1"), ("b", "2"), ("d", "1")]);
    assert_eq!(
        told(catalog.set("f.yaml", second.clone())),
        ["+b=2", "-c", "+d=1"]
    );
    assert_eq!(told(catalog.set("f.yaml", second)), [""; 0]);
    assert_eq!(told(catalog.remove("f.yaml")), ["-a", "-b", "-d"]);
    assert_eq!(catalog.objects(), 0);
}

#[test]
fn a_file_that_cannot_be_read_keeps_its_objects_and_is_reported() {
    let mut catalog = Catalog::default();
    catalog.set("f.yaml", namespaces(&[("a", "1")]));
    catalog.set_unreadable("f.yaml", "line 3: no".to_owned());
    catalog.set_unreadable("g.yaml", "line 1: no".to_owned());
    assert_eq!(catalog.objects(), 1);
    assert_eq!(
        reasons(&catalog),
        [
            "f.yaml : line 3: no (its last good objects stay in force)",
            "g.yaml : line 1: no (none of its objects is in force)",
        ]
    );
    assert_eq!(catalog.unreadable().len(), 2);
    // Readable again: only the difference to what was kept.
    assert_eq!(
        told(catalog.set("f.yaml", namespaces(&[("a", "2")]))),
        ["+a=2"]
    );
    catalog.remove("g.yaml");
    assert_eq!(reasons(&catalog), [""; 0]);
}

#[test]
fn an_object_belongs_to_the_file_that_had_it_first() {
    let mut catalog = Catalog::default();
    catalog.set("z.yaml", namespaces(&[("a", "z")]));
    assert_eq!(
        told(catalog.set("b.yaml", namespaces(&[("a", "b")]))),
        [""; 0]
    );
    assert_eq!(
        told(catalog.set("c.yaml", namespaces(&[("a", "c")]))),
        [""; 0]
    );
    assert_eq!(catalog.owner(&namespace("a")), Some("z.yaml"));
    assert_eq!(
        reasons(&catalog),
        [
            "b.yaml Namespace a: z.yaml has the same object (the one of z.yaml is in force, this \
             one is not)",
            "c.yaml Namespace a: z.yaml has the same object (the one of z.yaml is in force, this \
             one is not)",
        ]
    );
    // The owner changes it, and then lets go of it: the next by name takes over.
    assert_eq!(
        told(catalog.set("z.yaml", namespaces(&[("a", "y")]))),
        ["+a=y"]
    );
    assert_eq!(told(catalog.set("z.yaml", Contents::default())), ["+a=b"]);
    assert_eq!(told(catalog.remove("b.yaml")), ["+a=c"]);
    assert_eq!(reasons(&catalog), [""; 0]);
    assert_eq!(told(catalog.remove("c.yaml")), ["-a"]);
}

#[test]
fn an_object_that_is_twice_in_a_file_counts_once() {
    let mut catalog = Catalog::default();
    let twice = namespaces(&[("a", "1"), ("a", "2")]);
    assert_eq!(told(catalog.set("f.yaml", twice)), ["+a=1"]);
    assert_eq!(
        reasons(&catalog),
        [
            "f.yaml Namespace a: the file has the same object before (the first one is in force, \
          this one is not)"
        ]
    );
}

#[test]
fn an_object_that_turns_invalid_keeps_its_last_good_version() {
    let mut catalog = Catalog::default();
    catalog.set("f.yaml", namespaces(&[("a", "1"), ("b", "1")]));
    let mut broken = namespaces(&[("b", "2")]);
    broken.invalid.push(InvalidObject {
        object: Some(namespace("a")),
        field: "metadata.labels".to_owned(),
        reason: "no".to_owned(),
    });
    assert_eq!(told(catalog.set("f.yaml", broken.clone())), ["+b=2"]);
    assert_eq!(catalog.objects(), 2);
    assert_eq!(
        reasons(&catalog),
        ["f.yaml Namespace a: no (its last good version stays in force)"]
    );
    // Still so when the file is read again.
    assert_eq!(told(catalog.set("f.yaml", broken)), [""; 0]);
    assert_eq!(catalog.objects(), 2);
    // One that never was good is not in force.
    let mut fresh = Catalog::default();
    let invalid = InvalidObject {
        object: Some(namespace("a")),
        field: "metadata.labels".to_owned(),
        reason: "no".to_owned(),
    };
    let contents = Contents {
        objects: Vec::new(),
        invalid: vec![invalid],
    };
    assert_eq!(told(fresh.set("f.yaml", contents)), [""; 0]);
    assert_eq!(
        reasons(&fresh),
        ["f.yaml Namespace a: no (it is not in force)"]
    );
}
