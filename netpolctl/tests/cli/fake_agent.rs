//! An agent that answers each question with a recorded reply.

use std::collections::VecDeque;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver};
use std::thread::{self, JoinHandle};

use netpol_api::{API_VERSION, Call, Request};
use serde_json::{Deserializer, Value};
use tempfile::TempDir;

use crate::program::{Run, netpolctl, tests};

/// An agent on a socket of its own. It answers as many connections as it was given replies.
pub(crate) struct FakeAgent {
    directory: TempDir,
    requests: Receiver<Call>,
    thread: JoinHandle<()>,
}

impl FakeAgent {
    /// An agent that answers with these files of `tests/replies/`, one for each connection.
    pub(crate) fn answering(replies: &[&str]) -> Self {
        Self::saying(replies.iter().map(|r| recorded_lines(r)).collect())
    }

    /// An agent that answers with these bytes, one item for each connection.
    pub(crate) fn saying(mut answers: VecDeque<Vec<u8>>) -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let listener = UnixListener::bind(directory.path().join("agent.sock")).expect("a socket");
        let (sender, requests) = mpsc::channel();
        let thread = thread::spawn(move || {
            while let Some(answer) = answers.pop_front() {
                let (stream, _) = listener.accept().expect("a connection");
                sender
                    .send(serve(&stream, &answer))
                    .expect("a test that listens");
            }
        });
        Self {
            directory,
            requests,
            thread,
        }
    }

    /// Where it listens.
    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("agent.sock")
    }

    /// Runs netpolctl against it.
    pub(crate) fn netpolctl(&self, arguments: &[&str]) -> Run {
        let socket = self.socket();
        let socket = socket.to_str().expect("UTF-8");
        netpolctl(&[&["--socket", socket], arguments].concat())
    }

    /// What it was asked, once all its answers are given.
    pub(crate) fn asked(self) -> Vec<Call> {
        self.thread.join().expect("a fake agent that did not panic");
        self.requests.iter().collect()
    }
}

/// Runs netpolctl once against an agent with one recorded reply.
pub(crate) fn ask(reply: &str, arguments: &[&str]) -> Run {
    FakeAgent::answering(&[reply]).netpolctl(arguments)
}

fn serve(mut stream: &UnixStream, answer: &[u8]) -> Call {
    let mut line = String::new();
    BufReader::new(stream)
        .read_line(&mut line)
        .expect("a request");
    let request: Request = serde_json::from_str(&line).expect("a request of the API");
    assert_eq!(request.api, API_VERSION);
    // The client hangs up when it has seen enough.
    let _ = stream.write_all(answer);
    if let Call::Enforcement { follow: true, .. } = request.call {
        // There is no more news; the client says when it has seen enough.
        let _ = stream.read(&mut [0]);
    }
    request.call
}

/// A recorded file as the agent sends it: one line for each reply.
pub(crate) fn recorded_lines(name: &str) -> Vec<u8> {
    let mut lines = Vec::new();
    for reply in recorded(name) {
        serde_json::to_writer(&mut lines, &reply).expect("JSON");
        lines.push(b'\n');
    }
    lines
}

/// The replies of a recorded file.
pub(crate) fn recorded(name: &str) -> Vec<Value> {
    let path = tests().join("replies").join(name).with_extension("json");
    let text = fs::read_to_string(&path).expect("a recorded reply");
    let replies = Deserializer::from_str(&text).into_iter();
    replies.map(|r| r.expect("JSON")).collect()
}
