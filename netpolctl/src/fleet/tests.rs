//! Fleets of stand-ins.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use netpol_api::{Policy, Request};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, duplex, split};

use super::*;
use crate::transport::{Connection, End};

fn cluster() -> Cluster {
    Cluster::stand_in()
}

/// An agent that answers each connection with what `answer` gives for the place of the connection.
fn agent(answer: impl Fn(usize) -> Option<String> + Send + Sync + 'static) -> Agent {
    let (asked, answer) = (AtomicUsize::new(0), Arc::new(answer));
    Agent::new(Transport::Memory(Arc::new(move || {
        let (here, there) = duplex(1024);
        let place = asked.fetch_add(1, Ordering::Relaxed);
        tokio::spawn(serve(there, answer(place)));
        let (answers, asking) = split(here);
        Ok(Connection {
            asking: Box::new(asking),
            answers: Box::new(answers),
            end: End::Silent,
        })
    })))
}

/// Answers after it was asked; with nothing to say it stays silent.
async fn serve(mut stream: DuplexStream, answer: Option<String>) {
    let mut line = String::new();
    let read = BufReader::new(&mut stream).read_line(&mut line).await;
    read.expect("a question");
    let _: Request = serde_json::from_str(&line).expect("a request");
    match answer {
        Some(answer) => stream.write_all(answer.as_bytes()).await.expect("read"),
        None => std::future::pending().await,
    }
}

fn fleet(agents: Vec<(&str, Result<Agent, String>)>) -> Fleet {
    let members = agents.into_iter().map(|(node, agent)| Member {
        node: Some(node.to_owned()),
        agent,
        cluster: None,
    });
    Fleet {
        members: members.collect(),
        cluster: Some(cluster()),
    }
}

const NOTHING: &str = "{\"reply\":\"policies\",\"data\":[]}\n";

fn policies(reply: Reply) -> Option<Vec<Policy>> {
    match reply {
        Reply::Policies(policies) => Some(policies),
        _ => None,
    }
}

async fn ask(fleet: &Fleet) -> Answers<Vec<Policy>> {
    let answers = fleet.ask(Call::Policies, policies).await;
    answers.expect("a cluster answers somehow")
}

fn reasons(answers: &Answers<Vec<Policy>>) -> Vec<(&str, &str)> {
    let unanswered = answers.unanswered().iter();
    unanswered
        .map(|gone| (gone.node.as_str(), gone.reason.as_str()))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn those_that_do_not_answer_are_listed_with_the_reason_and_do_not_hide_the_others() {
    let hangs_up = |_| Some(String::new());
    let refuses = |_| Some("{\"reply\":\"error\",\"data\":\"not now\"}\n".to_owned());
    let fleet = fleet(vec![
        ("d", Ok(agent(|_| Some(NOTHING.to_owned())))),
        ("a", Ok(agent(|_| None))),
        ("b", Ok(agent(hangs_up))),
        ("c", Ok(agent(refuses))),
        ("e", Err("no agent's pod runs there".to_owned())),
    ]);
    let answers = ask(&fleet).await;
    assert_eq!(answers.answered.len(), 1);
    assert_eq!(answers.answered[0].node.as_deref(), Some("d"));
    let reasons = reasons(&answers);
    let nodes: Vec<_> = reasons.iter().map(|(node, _)| *node).collect();
    assert_eq!(nodes, ["a", "b", "c", "e"]);
    assert!(reasons[0].1.contains("within 10 s"), "{reasons:?}");
    assert!(
        reasons[1].1.contains("closed the connection"),
        "{reasons:?}"
    );
    assert_eq!(reasons[2].1, "the agent says: not now");
    assert_eq!(reasons[3].1, "no agent's pod runs there");
    assert_eq!(
        answers.conclude(crate::exit::Exit::Success),
        crate::exit::Exit::Failure
    );
}

#[tokio::test]
async fn a_limited_number_is_asked_at_a_time() {
    let now = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let agents = (0..100).map(|_| ("node", Ok(agent(|_| None)))).collect();
    let fleet = fleet(agents);
    let answers = fleet.each(8, |_| {
        let (now, most) = (Arc::clone(&now), Arc::clone(&most));
        async move {
            most.fetch_max(now.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
            tokio::task::yield_now().await;
            now.fetch_sub(1, Ordering::Relaxed);
            Ok(())
        }
    });
    assert_eq!(answers.await.expect("answers").answered.len(), 100);
    assert_eq!(most.load(Ordering::Relaxed), 8);
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_ends_is_asked_again_while_it_is_listened_to() {
    let fleet = fleet(vec![("a", Ok(agent(|_| Some(NOTHING.to_owned()))))]);
    let mut heard = fleet.listen(&Call::Policies, true, Keep::Asking);
    for _ in 0..3 {
        let reply = heard.recv().await.expect("it goes on").what;
        assert!(matches!(reply, Ok(Coming::Reply(_))), "{reply:?}");
        let end = heard.recv().await.expect("it goes on").what;
        assert!(matches!(end, Err(AgentError::Ended)), "{end:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_is_listened_to_once_ends_the_stream() {
    let done = format!("{NOTHING}{{\"reply\":\"done\"}}\n");
    let fleet = fleet(vec![("a", Ok(agent(move |_| Some(done.clone()))))]);
    let mut heard = fleet.listen(&Call::Policies, false, Keep::No);
    assert!(matches!(
        heard.recv().await.expect("a reply").what,
        Ok(Coming::Reply(_))
    ));
    assert!(matches!(
        heard.recv().await.expect("an end").what,
        Ok(Coming::End)
    ));
    assert!(heard.recv().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn the_agent_of_a_socket_answers_or_it_is_an_error() {
    let fleet = Fleet {
        members: vec![Member::local(agent(|_| None))],
        cluster: None,
    };
    let error = fleet.ask(Call::Policies, policies).await;
    let error = error.expect_err("it is silent");
    assert!(
        matches!(error, AgentError::Silent(patience) if patience == Duration::from_secs(10)),
        "{error:?}"
    );
}
