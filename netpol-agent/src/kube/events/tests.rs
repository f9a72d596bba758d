use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use netpol_policy::ObjectKey;
use serde_json::json;

use super::*;
use crate::engine::{Announcer, queue};

/// Answers as it is told, then takes everything; keeps the notes of what was asked.
#[derive(Clone, Default)]
struct Fake {
    answers: Arc<Mutex<VecDeque<Outcome>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Sink for Fake {
    async fn create(&mut self, event: &Event) -> Outcome {
        let regarding = event.regarding.clone().and_then(|object| object.name);
        let mut asked = self.asked.lock().expect("a lock");
        asked.push(regarding.unwrap_or_default());
        let mut answers = self.answers.lock().expect("a lock");
        answers.pop_front().unwrap_or(Outcome::There)
    }
}

impl Fake {
    /// Writes notices about pods of these names; gives what was asked, and how many were lost.
    async fn write(self, answers: Vec<Outcome>, names: &[&str]) -> (Vec<String>, u64, bool) {
        *self.answers.lock().expect("a lock") = answers.into();
        let (announcer, notices) = queue();
        for name in names {
            tell(&announcer, name);
        }
        let again = ExponentialBuilder::default()
            .with_min_delay(Duration::ZERO)
            .with_max_times(2);
        let mut writer = Writer {
            notices,
            sink: self.clone(),
            node: "node-a".to_owned(),
            pace: Pace {
                between: Duration::ZERO,
                again,
            },
            failing: false,
        };
        for _ in names {
            let notice = writer.notices.next().await.expect("a notice");
            writer.tell(&notice).await;
        }
        let asked = self.asked.lock().expect("a lock").clone();
        (asked, announcer.lost(), writer.failing)
    }
}

fn tell(announcer: &Announcer, name: &str) {
    announcer.tell(Notice::Judged {
        pod: ObjectKey::new("shop", name),
        uid: "u".to_owned(),
    });
}

fn refused() -> Outcome {
    Outcome::Refused("no".to_owned())
}

fn away() -> Outcome {
    Outcome::Away("no answer".to_owned())
}

#[tokio::test]
async fn what_is_told_is_written_in_turn() {
    let (asked, lost, failing) = Fake::default().write(vec![], &["a", "b"]).await;
    assert_eq!(asked, ["a", "b"]);
    assert_eq!((lost, failing), (0, false));
}

#[tokio::test]
async fn a_refusal_is_counted_and_the_next_is_tried() {
    let answers = vec![refused(), refused()];
    let (asked, lost, failing) = Fake::default().write(answers.clone(), &["a", "b"]).await;
    assert_eq!(asked, ["a", "b"]);
    assert_eq!((lost, failing), (2, true));
    let (_, lost, failing) = Fake::default().write(answers, &["a", "b", "c"]).await;
    assert_eq!((lost, failing), (2, false), "the right was granted");
}

#[tokio::test]
async fn a_server_that_is_away_is_asked_again_and_given_up_at_last() {
    let (asked, lost, _) = Fake::default().write(vec![away(), away()], &["a"]).await;
    assert_eq!((asked.len(), lost), (3, 0));
    let (asked, lost, _) = Fake::default().write(vec![away(); 3], &["a", "b"]).await;
    assert_eq!(asked, ["a", "a", "a", "b"]);
    assert_eq!(lost, 1);
}

fn outcome(code: u16, cause: &str) -> Outcome {
    let status = json!({
        "code": code, "message": "words", "details": { "causes": [{ "reason": cause }] },
    });
    let status = serde_json::from_value(status).expect("a status");
    Outcome::of(Err(Error::Api(Box::new(status))))
}

#[test]
fn what_another_agent_wrote_is_there() {
    assert_eq!(outcome(409, ""), Outcome::There);
}

#[test]
fn a_namespace_that_goes_is_no_refusal() {
    assert_eq!(outcome(403, "NamespaceTerminating"), Outcome::Moot);
    assert_eq!(outcome(404, ""), Outcome::Moot);
}

#[test]
fn a_missing_right_is_named_and_a_busy_server_is_asked_again() {
    let Outcome::Refused(words) = outcome(403, "") else {
        panic!("a refusal");
    };
    assert!(
        words.contains("may not create events.events.k8s.io"),
        "{words}"
    );
    assert!(matches!(outcome(422, ""), Outcome::Refused(_)));
    for code in [429, 500, 503] {
        assert!(matches!(outcome(code, ""), Outcome::Away(_)), "{code}");
    }
}
