//! A proof is sent whenever it changes.

use netpol_api::EnforcementReport;

use super::*;

fn report(read: f64, problem: &str) -> Reply {
    Reply::Enforcement(Box::new(EnforcementReport {
        node: "n".to_owned(),
        read,
        problems: vec![problem.to_owned()],
        policies: Vec::new(),
    }))
}

#[tokio::test]
async fn a_proof_that_is_followed_is_sent_once_for_each_change() {
    let mut fixture = Fixture::start();
    let text = r#"{"api":1,"call":"enforcement","namespace":"shop","name":null,"follow":true}"#;
    let mut client = fixture.ask(text).await;
    let read = fixture.reads.recv().await.expect("the source is read");
    read.send(()).expect("somebody waits");
    fixture.answer(Reply::Done).await;
    let look = fixture.looks.recv().await.expect("pods are looked for");
    look.send(()).expect("somebody waits");

    let call = fixture.answer(report(1.0, "behind")).await;
    assert!(
        matches!(call, Call::Enforcement { follow: true, .. }),
        "{call:?}"
    );
    assert_eq!(line(&mut client).await, report(1.0, "behind"));
    // The same at another time is no news.
    fixture.revision.send_modify(|revision| *revision += 1);
    fixture.answer(report(2.0, "behind")).await;
    fixture.revision.send_modify(|revision| *revision += 1);
    fixture.answer(report(3.0, "in sync")).await;
    assert_eq!(line(&mut client).await, report(3.0, "in sync"));
}
