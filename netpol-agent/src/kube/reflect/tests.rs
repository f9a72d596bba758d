//! A reader and a server that answers as it is told.

use kube::Config;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::{super::resources::RESOURCES, *};

/// What is answered to a request whose path has all the words.
struct Answer {
    words: &'static [&'static str],
    code: u16,
    body: &'static str,
    /// The server stays on the line.
    stays: bool,
}

const fn answer(words: &'static [&'static str], code: u16, body: &'static str) -> Answer {
    Answer {
        words,
        code,
        body,
        stays: false,
    }
}

/// Serves the answers in turn, one a connection, and fails when another one is asked for.
async fn serve(answers: Vec<Answer>) -> Client {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        let mut open = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().await.expect("accept");
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(stream.read_u8().await.expect("a request"));
            }
            let request = String::from_utf8_lossy(&request);
            let path = request.lines().next().unwrap_or_default();
            let is_meant = answer.words.iter().all(|word| path.contains(word));
            assert!(is_meant, "{path} instead of {:?}", answer.words);
            let head = format!(
                "HTTP/1.1 {} x\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n",
                answer.code
            );
            let text = head + answer.body;
            stream.write_all(text.as_bytes()).await.expect("write");
            if answer.stays {
                open.push(stream);
            }
        }
        std::future::pending::<()>().await;
    });
    let url = format!("http://127.0.0.1:{port}").parse().expect("a URL");
    Client::try_from(Config::new(url)).expect("a client")
}

/// The first words about namespaces, from a server that answers so.
async fn hear(answers: Vec<Answer>, count: usize) -> Vec<String> {
    let client = serve(answers).await;
    let (heard, mut words) = mpsc::channel(8);
    let namespaces = RESOURCES.iter().find(|r| r.kind == Kind::Namespace);
    let reflector = Reflector::new(client, namespaces.expect("watched"), heard);
    let stop = CancellationToken::new();
    let running = tokio::spawn(reflector.run(stop.clone()));
    let mut said = Vec::new();
    for _ in 0..count {
        let word = timeout(Duration::from_secs(20), words.recv()).await;
        let word = word.expect("a word in time").expect("it runs");
        said.push(match word.news {
            News::Listing { anew } => format!("listing anew={anew}"),
            News::Set(object) => format!("set {}", object.reference()),
            News::Invalid(_, invalid) => format!("invalid {invalid}"),
            News::Gone(key) => format!("gone {key}"),
            News::Listed(keys) => format!("listed {}", keys.len()),
            News::Watching => "watching".to_owned(),
            News::Interrupted(failure) => format!("interrupted: {}", failure.words()),
        });
    }
    stop.cancel();
    running.await.expect("it ends");
    said
}

const CHECK: Answer = answer(&["limit=1"], 200, r#"{"metadata":{"resourceVersion":"1"}}"#);
const NOTHING_STORED: &[&str] = &["sendInitialEvents=true", "resourceVersion= "];

const STREAMED: &str = concat!(
    r#"{"type":"ADDED","object":{"metadata":{"name":"a","resourceVersion":"3"}}}"#,
    "\n",
    r#"{"type":"ADDED","object":{"metadata":{"name":"b","labels":7,"resourceVersion":"4"}}}"#,
    "\n",
    r#"{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"5","annotations":"#,
    r#"{"k8s.io/initial-events-end":"true"}}}}"#,
    "\n",
    r#"{"type":"DELETED","object":{"metadata":{"name":"a","resourceVersion":"6"}}}"#,
    "\n",
);

const STREAMED_SAID: [&str; 6] = [
    "listing anew=false",
    "set Namespace a",
    "invalid Namespace b: metadata.labels: invalid type: integer `7`, expected a map",
    "listed 2",
    "watching",
    "gone a",
];

#[tokio::test]
async fn a_list_by_watching_goes_on_as_a_watch_and_is_taken_up_where_it_ended() {
    let answers = vec![
        CHECK,
        answer(NOTHING_STORED, 200, STREAMED),
        Answer {
            stays: true,
            ..answer(&["watch=true", "resourceVersion=6 "], 200, "")
        },
    ];
    let said = hear(answers, 7).await;
    assert_eq!(said[..6], STREAMED_SAID);
    assert_eq!(said[6], "watching");
}

#[tokio::test]
async fn a_server_that_does_not_list_by_watching_is_asked_for_pages() {
    // Refused at once (no WatchList), or in the stream (etcd without progress notifications).
    let at_once = answer(NOTHING_STORED, 422, r#"{"kind":"Status","code":422}"#);
    let in_stream = answer(
        NOTHING_STORED,
        200,
        "{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"code\":500}}\n",
    );
    for refusal in [at_once, in_stream] {
        let answers = vec![
            CHECK,
            refusal,
            answer(
                &["limit=500"],
                200,
                r#"{"metadata":{"resourceVersion":"9","continue":"more"},
                    "items":[{"metadata":{"name":"a"}}]}"#,
            ),
            answer(
                &["limit=500", "continue=more"],
                200,
                r#"{"metadata":{"resourceVersion":"9"},"items":[{"metadata":{"name":"b"}}]}"#,
            ),
            Answer {
                stays: true,
                ..answer(&["watch=true", "resourceVersion=9 "], 200, "")
            },
        ];
        let expected = [
            "listing anew=false",
            "listing anew=false",
            "set Namespace a",
            "set Namespace b",
            "listed 2",
            "watching",
        ];
        assert_eq!(hear(answers, 6).await, expected);
    }
}

#[tokio::test]
async fn a_version_that_is_too_old_is_followed_by_a_new_list() {
    let gone = "{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"code\":410}}\n";
    let answers = vec![
        CHECK,
        answer(NOTHING_STORED, 200, STREAMED),
        answer(&["resourceVersion=6 "], 200, gone),
        Answer {
            stays: true,
            ..answer(NOTHING_STORED, 200, STREAMED)
        },
    ];
    let said = hear(answers, 14).await;
    let expected = [
        "watching",
        "interrupted: the API server no longer has the changes since the last one seen",
        "listing anew=true",
    ];
    assert_eq!(said[6..9], expected);
    assert_eq!(said[9..14], STREAMED_SAID[1..]);
}

#[tokio::test]
async fn a_list_that_breaks_off_is_no_list() {
    let broken = r#"{"type":"ADDED","object":{"metadata":{"name":"a","resourceVersion":"3"}}}"#;
    let answers = vec![CHECK, answer(NOTHING_STORED, 200, broken), CHECK];
    let said = hear(answers, 3).await;
    assert_eq!(said[0], "listing anew=false");
    assert!(said[1].starts_with("interrupted"), "{said:?}");
    assert_eq!(said[2], "listing anew=false");
}
