//! One call on the agent's socket, for as long as there is time.

use std::{
    io::{self, BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use netpol_api::{Call, Reply, Request};

/// From one attempt to reach the agent to the next.
const PAUSE: Duration = Duration::from_millis(20);
/// What the agent is given less than there is, so that its answer is heard.
const MARGIN: Duration = Duration::from_millis(500);

/// What came of a call.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The agent answered.
    Answered(Reply),
    /// The agent cannot be understood: it or the plugin is of another release.
    Unclear(String),
    /// Nobody answered in time: the last reason.
    Absent(io::Error),
}

/// Calls until the agent answers or the time is over. `call` is given the time that is left.
pub(crate) fn call(socket: &Path, patience: Duration, call: impl Fn(Duration) -> Call) -> Outcome {
    let deadline = Instant::now() + patience;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let request = Request::new(call(left.saturating_sub(MARGIN)));
        let error = match once(socket, left, &request) {
            Ok(line) => {
                return match serde_json::from_str(&line) {
                    Ok(reply) => Outcome::Answered(reply),
                    Err(error) => Outcome::Unclear(error.to_string()),
                };
            }
            Err(error) => error,
        };
        // An agent that starts or is being replaced is back soon, whatever the error.
        if Instant::now() + PAUSE >= deadline {
            return Outcome::Absent(error);
        }
        thread::sleep(PAUSE);
    }
}

/// Calls once. Whether anybody listens makes no difference to the caller.
pub(crate) fn tell(socket: &Path, patience: Duration, call: Call) {
    let _ = once(socket, patience, &Request::new(call));
}

fn once(socket: &Path, patience: Duration, request: &Request) -> io::Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    let patience = patience.max(Duration::from_millis(1));
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut answer = String::new();
    match BufReader::new(stream).read_line(&mut answer)? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(answer),
    }
}

/// Why nobody answers, as a clause.
pub(crate) fn absence(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such socket".to_owned(),
        io::ErrorKind::ConnectionRefused => "the socket is there, but nobody listens".to_owned(),
        io::ErrorKind::UnexpectedEof => "the agent ended before it had answered".to_owned(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "it does not answer".to_owned(),
        _ => error.to_string(),
    }
}
