//! The socket, with tasks that stand in for engine, source and discovery.

use netpol_api::{Flow, Peer, RuleRef, Verdict};

use super::*;
use crate::flows::FlowLog;

mod enforcement;

struct Fixture {
    directory: tempfile::TempDir,
    shutdown: CancellationToken,
    serving: tokio::task::JoinHandle<()>,
    questions: mpsc::Receiver<Question>,
    reads: mpsc::Receiver<ReadNow>,
    looks: mpsc::Receiver<LookNow>,
    revision: watch::Sender<u64>,
}

impl Fixture {
    fn start() -> Self {
        let directory = tempfile::tempdir().expect("temporary directory");
        let socket = Socket::bind(&directory.path().join("socket")).expect("bind");
        let (engine, questions) = mpsc::channel(8);
        let (source, reads) = mpsc::channel(8);
        let (discovery, looks) = mpsc::channel(8);
        let (revision, watched) = watch::channel(0);
        let doors = Doors {
            engine,
            source,
            discovery,
            revision: watched,
        };
        let shutdown = CancellationToken::new();
        let serving = tokio::spawn(socket.serve(doors, shutdown.clone()));
        Self {
            directory,
            shutdown,
            serving,
            questions,
            reads,
            looks,
            revision,
        }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("socket")
    }

    async fn ask(&self, line: &str) -> BufReader<UnixStream> {
        let mut stream = UnixStream::connect(self.path()).await.expect("connect");
        stream.write_all(line.as_bytes()).await.expect("write");
        stream.write_all(b"\n").await.expect("write");
        BufReader::new(stream)
    }

    /// The next call to the engine, answered.
    async fn answer(&mut self, reply: Reply) -> Call {
        match self.questions.recv().await.expect("a question") {
            Question::Call(call, answer) => {
                answer.send(reply).expect("somebody waits");
                *call
            }
            Question::Subscribe(_) => panic!("a subscription"),
        }
    }
}

async fn line(reader: &mut BufReader<UnixStream>) -> Reply {
    let mut line = String::new();
    reader.read_line(&mut line).await.expect("a line");
    serde_json::from_str(&line).expect("a reply")
}

fn outcome(missing: &[&str]) -> WaitOutcome {
    WaitOutcome {
        enforced: missing.is_empty(),
        endpoints_enforced: 0,
        endpoints: 1,
        missing: missing.iter().map(|text| (*text).to_owned()).collect(),
    }
}

#[test]
fn requests_of_another_version_are_refused_by_name() {
    let refusal = request(r#"{"api": 2, "call": "something_new"}"#).expect_err("refused");
    assert!(refusal.contains("version 2"), "{refusal}");
    assert_eq!(request(r#"{"api": 1, "call": "status"}"#), Ok(Call::Status));
    let call = Call::Wait { timeout_ms: 7 };
    let text = r#"{"api": 1, "call": "wait", "timeout_ms": 7}"#;
    assert_eq!(request(text), Ok(call));
    request("nonsense").expect_err("refused");
    request(r#"{"api": 1, "call": "reboot"}"#).expect_err("refused");
}

#[tokio::test]
async fn a_call_is_answered_by_the_engine_and_the_socket_goes_with_the_server() {
    let mut fixture = Fixture::start();
    let mode = std::fs::metadata(fixture.path())
        .expect("a socket")
        .permissions();
    assert_eq!(mode.mode() & 0o777, 0o600);
    let mut client = fixture.ask(r#"{"api":1,"call":"reset_baseline"}"#).await;
    assert_eq!(fixture.answer(Reply::Done).await, Call::ResetBaseline);
    assert_eq!(line(&mut client).await, Reply::Done);
    let path = fixture.path();
    fixture.shutdown.cancel();
    fixture.serving.await.expect("the server ends");
    assert!(!path.exists());
}

#[tokio::test]
async fn a_request_that_makes_no_sense_or_never_ends_is_refused() {
    let fixture = Fixture::start();
    let endless = "x".repeat(2 * REQUEST_BYTES as usize);
    for text in ["nonsense", endless.as_str()] {
        let mut client = fixture.ask(text).await;
        assert!(matches!(line(&mut client).await, Reply::Error(_)));
    }
}

#[tokio::test]
async fn a_wait_reads_looks_and_asks_until_it_is_enforced() {
    let mut fixture = Fixture::start();
    let text = r#"{"api":1,"call":"wait","timeout_ms":60000}"#;
    let mut client = fixture.ask(text).await;
    let read = fixture.reads.recv().await.expect("the source is read");
    read.send(()).expect("somebody waits");
    // What was read is put in force before pods are looked for.
    fixture.answer(Reply::Wait(outcome(&["x"]))).await;
    let look = fixture.looks.recv().await.expect("pods are looked for");
    look.send(()).expect("somebody waits");
    fixture.answer(Reply::Wait(outcome(&["x"]))).await;
    fixture.revision.send_modify(|revision| *revision += 1);
    fixture.answer(Reply::Wait(outcome(&[]))).await;
    assert_eq!(line(&mut client).await, Reply::Wait(outcome(&[])));
}

#[tokio::test]
async fn a_wait_whose_time_is_up_says_what_is_missing() {
    let mut fixture = Fixture::start();
    let mut client = fixture
        .ask(r#"{"api":1,"call":"wait","timeout_ms":300}"#)
        .await;
    let read = fixture.reads.recv().await.expect("the source is read");
    read.send(()).expect("somebody waits");
    fixture.answer(Reply::Wait(outcome(&["x"]))).await;
    let look = fixture.looks.recv().await.expect("pods are looked for");
    look.send(()).expect("somebody waits");
    fixture.answer(Reply::Wait(outcome(&["pod y"]))).await;
    assert_eq!(line(&mut client).await, Reply::Wait(outcome(&["pod y"])));
}

#[tokio::test]
async fn a_wait_that_is_never_come_to_ends_in_time_too() {
    let fixture = Fixture::start();
    let mut client = fixture
        .ask(r#"{"api":1,"call":"wait","timeout_ms":50}"#)
        .await;
    let Reply::Wait(answer) = line(&mut client).await else {
        panic!("another reply");
    };
    assert!(!answer.enforced && answer.missing.len() == 1);
}

#[tokio::test]
async fn flows_are_those_kept_and_followed_those_that_come() {
    let mut fixture = Fixture::start();
    let mut log = FlowLog::default();
    let nobody = Peer {
        address: None,
        pod: None,
    };
    let flow = |length| Flow {
        time: 0.0,
        endpoint: nobody.clone(),
        direction: netpol_api::Direction::Ingress,
        peer: nobody.clone(),
        protocol: "TCP".to_owned(),
        destination_port: 0,
        source_port: 0,
        length,
        verdict: Verdict::Deny,
        rule: RuleRef::Drop {
            reason: String::new(),
        },
    };
    log.push(flow(1));
    let mut client = fixture
        .ask(r#"{"api":1,"call":"flows","follow":false}"#)
        .await;
    subscribe(&mut fixture, &log).await;
    assert_eq!(line(&mut client).await, Reply::Flow(Box::new(flow(1))));
    assert_eq!(line(&mut client).await, Reply::Done);

    let mut client = fixture
        .ask(r#"{"api":1,"call":"flows","follow":true}"#)
        .await;
    subscribe(&mut fixture, &log).await;
    log.push(flow(2));
    assert_eq!(line(&mut client).await, Reply::Flow(Box::new(flow(2))));
}

async fn subscribe(fixture: &mut Fixture, log: &FlowLog) {
    match fixture.questions.recv().await.expect("a question") {
        Question::Subscribe(answer) => drop(answer.send(log.subscribe())),
        Question::Call(call, _) => panic!("{call:?}"),
    }
}
