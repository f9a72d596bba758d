//! The local API: a Unix socket, for root alone, one JSON value a line.

use std::{
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use netpol_api::{API_VERSION, Call, Reply, Request, WaitOutcome};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{
        UnixListener, UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{Semaphore, mpsc, oneshot, watch},
    time::{Instant, timeout, timeout_at},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{discovery::LookNow, engine::Question, source::ReadNow};

/// Connections served at a time; the next ones wait. Each pod that starts is one, for as long as it waits.
const CONNECTIONS: usize = 1024;
/// The longest request: the names of all sandboxes of a node.
const REQUEST_BYTES: u64 = 1 << 16;
/// How long a client may take to ask.
const ASKING: Duration = Duration::from_secs(10);
/// How long a client may take to read a line.
const READING: Duration = Duration::from_secs(30);
/// Of the engine's time, one part in so many goes to a client that follows a proof.
const EFFORT: u32 = 10;
/// The longest wait that is granted.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3600);

/// Where calls are sent.
#[derive(Clone)]
pub(crate) struct Doors {
    pub(crate) engine: mpsc::Sender<Question>,
    pub(crate) source: mpsc::Sender<ReadNow>,
    pub(crate) discovery: mpsc::Sender<LookNow>,
    pub(crate) revision: watch::Receiver<u64>,
}

/// A socket that is removed when it is no longer listened on.
pub(crate) struct Socket {
    listener: UnixListener,
    path: PathBuf,
}

impl Socket {
    /// Listens. The caller holds the lock beside the socket, so a socket that is there is one that
    /// a killed agent left.
    pub(crate) fn bind(path: &Path) -> io::Result<Self> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        Ok(Self {
            listener,
            path: path.to_owned(),
        })
    }

    /// Serves until shutdown, then waits for the calls under way.
    pub(crate) async fn serve(self, doors: Doors, shutdown: CancellationToken) {
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        let calls = TaskTracker::new();
        loop {
            let place = tokio::select! {
                () = shutdown.cancelled() => break,
                place = Arc::clone(&places).acquire_owned() => place,
            };
            let stream = tokio::select! {
                () = shutdown.cancelled() => break,
                accepted = self.listener.accept() => accepted,
            };
            let stream = match stream {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of descriptors, most likely: others may free some.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let (doors, shutdown) = (doors.clone(), shutdown.clone());
            calls.spawn(async move {
                tokio::select! {
                    () = shutdown.cancelled() => {}
                    result = serve_one(stream, doors) => {
                        if let Err(error) = result {
                            tracing::debug!(%error, "a client hung up");
                        }
                    }
                }
                drop(place);
            });
        }
        calls.close();
        calls.wait().await;
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // Nobody answers there now; a client is told so sooner.
        let _ = std::fs::remove_file(&self.path);
    }
}

async fn serve_one(stream: UnixStream, doors: Doors) -> io::Result<()> {
    // The file's mode keeps others out; this holds where the mode does not.
    let uid = stream.peer_cred()?.uid();
    let (reader, mut writer) = stream.into_split();
    if uid != 0 {
        let refusal = format!("user {uid} may not ask: run this as root");
        return send(&mut writer, &Reply::Error(refusal)).await;
    }
    let mut line = String::new();
    let mut reader = BufReader::new(reader.take(REQUEST_BYTES));
    timeout(ASKING, reader.read_line(&mut line)).await??;
    let reader = reader.into_inner().into_inner();
    let call = match request(&line) {
        Ok(call) => call,
        Err(refusal) => return send(&mut writer, &Reply::Error(refusal)).await,
    };
    match call {
        Call::Flows { follow } => flows(reader, &mut writer, &doors, follow).await,
        Call::Wait { timeout_ms } => {
            let outcome = wait(doors, Duration::from_millis(timeout_ms)).await;
            send(&mut writer, &Reply::Wait(outcome)).await
        }
        Call::Enforcement { follow: true, .. } => {
            enforcement(reader, &mut writer, doors, call).await
        }
        call => send(&mut writer, &ask(&doors, call).await).await,
    }
}

fn request(line: &str) -> Result<Call, String> {
    // The version first: the rest of another version's request may not be readable.
    #[derive(serde::Deserialize)]
    struct Version {
        api: u32,
    }
    let unreadable = |error: serde_json::Error| format!("the request cannot be read: {error}");
    let version: Version = serde_json::from_str(line).map_err(unreadable)?;
    if version.api != API_VERSION {
        return Err(format!(
            "the client speaks version {} of the API, this agent ({}) version {API_VERSION}: use the \
             netpolctl and the netpol-cni of the agent's release, which are in its image",
            version.api,
            env!("CARGO_PKG_VERSION"),
        ));
    }
    let request: Result<Request, _> = serde_json::from_str(line);
    let request = request.map_err(|error| {
        format!(
            "this agent ({}) does not know the request ({error}): use the netpolctl and the \
             netpol-cni of its release, which are in its image",
            env!("CARGO_PKG_VERSION")
        )
    })?;
    Ok(request.call)
}

/// Asks the engine.
pub(crate) async fn ask(doors: &Doors, call: Call) -> Reply {
    let (reply, answer) = oneshot::channel();
    if doors
        .engine
        .send(Question::Call(call.into(), reply))
        .await
        .is_ok()
        && let Ok(answer) = answer.await
    {
        return answer;
    }
    Reply::Error("the agent is stopping: ask again once it runs".to_owned())
}

async fn flows(
    mut reader: OwnedReadHalf,
    writer: &mut OwnedWriteHalf,
    doors: &Doors,
    follow: bool,
) -> io::Result<()> {
    let (reply, answer) = oneshot::channel();
    let stopping = || io::Error::other("the agent is stopping");
    let sent = doors.engine.send(Question::Subscribe(reply)).await;
    sent.map_err(|_| stopping())?;
    let mut subscription = answer.await.map_err(|_| stopping())?;
    if !follow {
        for flow in &subscription.latest {
            send(writer, &Reply::Flow(Box::new(flow.as_ref().clone()))).await?;
        }
        return send(writer, &Reply::Done).await;
    }
    loop {
        tokio::select! {
            flow = subscription.next() => match flow {
                Some(flow) => send(writer, &Reply::Flow(Box::new(flow.as_ref().clone()))).await?,
                None => return Ok(()),
            },
            // A client that has hung up: without a flow to write, nothing else would tell.
            read = reader.read_u8() => match read {
                Ok(_) => {}
                Err(_) => return Ok(()),
            },
        }
    }
}

/// Reads what the source holds now, has it put in force, looks for the pods, and asks the engine until
/// every endpoint enforces it.
async fn wait(mut doors: Doors, limit: Duration) -> WaitOutcome {
    let deadline = Instant::now() + limit.min(LONGEST_WAIT);
    doors.revision.mark_unchanged();
    let mut outcome = WaitOutcome {
        enforced: false,
        endpoints_enforced: 0,
        endpoints: 0,
        missing: vec!["the agent did not come to it in that time".to_owned()],
    };
    let refreshed = timeout_at(deadline, refresh(&doors)).await;
    if !matches!(refreshed, Ok(true)) {
        return outcome;
    }
    loop {
        match timeout_at(deadline, ask(&doors, Call::Wait { timeout_ms: 0 })).await {
            Ok(Reply::Wait(answer)) => outcome = answer,
            Ok(Reply::Error(reason)) => {
                outcome.missing = vec![reason];
                return outcome;
            }
            Ok(_) | Err(_) => return outcome,
        }
        if outcome.enforced {
            return outcome;
        }
        if !matches!(
            timeout_at(deadline, doors.revision.changed()).await,
            Ok(Ok(()))
        ) {
            return outcome;
        }
    }
}

/// Brings in what the source holds now, and sends the proof whenever it has changed.
async fn enforcement(
    mut reader: OwnedReadHalf,
    writer: &mut OwnedWriteHalf,
    mut doors: Doors,
    call: Call,
) -> io::Result<()> {
    doors.revision.mark_unchanged();
    refresh(&doors).await;
    let mut sent = None;
    loop {
        let asked = Instant::now();
        let answer = ask(&doors, call.clone()).await;
        let effort = asked.elapsed() * EFFORT;
        if sent.as_ref() != Some(&timeless(&answer)) {
            send(writer, &answer).await?;
            if let Reply::Error(_) = answer {
                return Ok(());
            }
            sent = Some(timeless(&answer));
        }
        tokio::select! {
            changed = doors.revision.changed() => if changed.is_err() { return Ok(()) },
            read = reader.read_u8() => match read {
                Ok(_) => {}
                Err(_) => return Ok(()),
            },
        }
        // While changes come and come, reading the kernel is not all the engine does.
        tokio::time::sleep_until(asked + effort).await;
    }
}

/// A proof without the time it was made at.
fn timeless(reply: &Reply) -> Reply {
    let mut reply = reply.clone();
    if let Reply::Enforcement(report) = &mut reply {
        report.read = 0.0;
    }
    reply
}

/// Each step's answer comes after its outcome was sent to the engine, and the engine puts in force
/// what it was sent before it answers.
async fn refresh(doors: &Doors) -> bool {
    let (done, read) = oneshot::channel();
    if doors.source.send(done).await.is_err() || read.await.is_err() {
        return false;
    }
    ask(doors, Call::Wait { timeout_ms: 0 }).await;
    let (done, looked) = oneshot::channel();
    doors.discovery.send(done).await.is_ok() && looked.await.is_ok()
}

async fn send(writer: &mut OwnedWriteHalf, reply: &Reply) -> io::Result<()> {
    let mut line = serde_json::to_vec(reply)?;
    line.push(b'\n');
    timeout(READING, writer.write_all(&line)).await?
}

#[cfg(test)]
mod tests;
