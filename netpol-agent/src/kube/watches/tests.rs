use netpol_policy::{Namespace, Object};

use super::*;

const NOW: u64 = 1000;

fn watches() -> Watches {
    Watches::new("https://server".to_owned(), "node-a".to_owned(), NOW)
}

fn word(kind: Kind, news: News) -> Word {
    Word { kind, news }
}

fn away(reason: &str) -> News {
    News::Interrupted(Failure::Away(reason.to_owned()))
}

fn keys(names: &[&str]) -> HashSet<ObjectKey> {
    names.iter().map(|name| ObjectKey::new("", *name)).collect()
}

fn sync(watches: &mut Watches) {
    for resource in RESOURCES {
        let names: &[&str] = match resource.kind {
            Kind::Node => &["node-a"],
            _ => &[],
        };
        watches.hear(word(resource.kind, News::Listed(keys(names))), NOW);
        watches.hear(word(resource.kind, News::Watching), NOW);
    }
}

fn status(watches: &Watches) -> ApiServerStatus {
    match watches.report().origin {
        Origin::ApiServer(status) => status,
        other @ Origin::Manifests(_) => panic!("{other:?}"),
    }
}

fn invalid(name: &str) -> News {
    let key = ObjectKey::new("shop", name);
    let object = Some(ObjectRef {
        kind: Kind::Pod,
        key: key.clone(),
    });
    let (field, reason) = ("status.podIP".to_owned(), "is no address".to_owned());
    News::Invalid(
        Some(key),
        netpol_policy::InvalidObject {
            object,
            field,
            reason,
        },
    )
}

#[test]
fn in_sync_is_when_the_last_kind_is_listed_and_followed() {
    let mut watches = watches();
    for resource in RESOURCES {
        assert!(!watches.in_sync());
        watches.hear(word(resource.kind, News::Watching), NOW);
        assert!(!watches.in_sync());
        watches.hear(word(resource.kind, News::Listed(keys(&["node-a"]))), NOW);
    }
    assert!(watches.in_sync());
}

#[test]
fn a_list_that_is_begun_anew_takes_nothing_back() {
    let mut watches = watches();
    sync(&mut watches);
    watches.hear(word(Kind::Pod, News::Interrupted(Failure::Expired)), NOW);
    let change = watches.hear(word(Kind::Pod, News::Listing { anew: true }), NOW);
    assert!(change.is_none());
    assert!(watches.in_sync());
    let pods = |status: ApiServerStatus| {
        let mut watches = status.watches.into_iter();
        watches.find(|watch| watch.kind == "Pod").expect("watched")
    };
    assert_eq!(pods(status(&watches)).relists, 1);
    assert!(status(&watches).interrupted_since.is_some());
    watches.hear(word(Kind::Pod, News::Watching), NOW);
    assert_eq!(pods(status(&watches)).state, WatchState::Watching);
    assert_eq!(status(&watches).interrupted_since, None);
}

#[test]
fn an_interruption_lasts_from_its_first_failure() {
    let mut watches = watches();
    sync(&mut watches);
    watches.hear(word(Kind::Pod, away("refused")), NOW + 5);
    watches.hear(word(Kind::Node, away("refused")), NOW + 7);
    watches.hear(word(Kind::Pod, News::Listing { anew: true }), NOW + 8);
    watches.hear(word(Kind::Pod, away("timed out")), NOW + 9);
    assert_eq!(status(&watches).interrupted_since, Some(NOW + 5));
    let unread = watches.report().unread;
    assert!(unread.iter().any(|s| s.contains("timed out")), "{unread:?}");
    watches.hear(word(Kind::Pod, News::Watching), NOW + 20);
    assert_eq!(status(&watches).interrupted_since, Some(NOW + 7));
    watches.hear(word(Kind::Node, News::Watching), NOW + 21);
    assert_eq!(status(&watches).interrupted_since, None);
    assert_eq!(watches.report().unread, [""; 0]);
}

#[test]
fn a_refusal_is_told_before_a_server_that_is_away() {
    let mut watches = watches();
    watches.hear(word(Kind::Pod, away("timed out")), NOW);
    let refused = Failure::Refused("may not list".to_owned());
    watches.hear(word(Kind::Node, News::Interrupted(refused.clone())), NOW);
    watches.hear(word(Kind::Service, away("timed out")), NOW);
    assert_eq!(watches.obstacle(), Some(&refused));
}

#[test]
fn an_unreadable_object_is_named_until_it_is_read_or_gone() {
    let mut watches = watches();
    for name in ["a", "b", "c"] {
        assert!(watches.hear(word(Kind::Pod, invalid(name)), NOW).is_none());
    }
    let named = |watches: &Watches| -> Vec<String> {
        let invalid = watches.report().invalid.into_iter();
        invalid.filter_map(|invalid| invalid.object).collect()
    };
    assert_eq!(named(&watches), ["Pod shop/a", "Pod shop/b", "Pod shop/c"]);
    watches.hear(
        word(Kind::Pod, News::Gone(ObjectKey::new("shop", "a"))),
        NOW,
    );
    assert_eq!(named(&watches), ["Pod shop/b", "Pod shop/c"]);
    let listed = HashSet::from([ObjectKey::new("shop", "c")]);
    watches.hear(word(Kind::Pod, News::Listed(listed)), NOW);
    assert_eq!(named(&watches), ["Pod shop/c"]);
}

#[test]
fn a_node_that_is_not_there_is_said() {
    let mut watches = watches();
    sync(&mut watches);
    assert!(watches.has_node());
    let gone = News::Gone(ObjectKey::new("", "node-a"));
    watches.hear(word(Kind::Node, gone), NOW);
    assert!(!watches.has_node());
    assert!(watches.report().unread[0].contains("no Node node-a"));
    let namespace = Object::Namespace(Namespace {
        name: "node-a".to_owned(),
        labels: Default::default(),
        refusal: Default::default(),
    });
    watches.hear(word(Kind::Namespace, News::Set(namespace)), NOW);
    assert!(!watches.has_node());
}
