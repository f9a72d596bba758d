//! `netpol-agent probe`: the answers that the kubelet asks for, over the agent's socket.

use std::{
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

use anyhow::{Context, bail};
use netpol_api::{Call, EndpointState, Reply, Request, Status};

use crate::cli::{ProbeArgs, ProbeWhat};

/// Pods that are named when they are not enforced.
const NAMED: usize = 3;

/// An error if the answer is no.
pub(crate) fn probe(args: &ProbeArgs) -> anyhow::Result<()> {
    let limit = Duration::from_secs(args.timeout.max(1));
    let status = ask(&args.socket, limit)?;
    match args.what {
        ProbeWhat::Live => Ok(()),
        ProbeWhat::Ready => ready(&status),
    }
}

fn ask(socket: &Path, limit: Duration) -> anyhow::Result<Status> {
    let place = socket.display();
    let mut stream = UnixStream::connect(socket)
        .with_context(|| format!("no agent answers at {place}: it has not started, or is gone"))?;
    stream.set_read_timeout(Some(limit))?;
    stream.set_write_timeout(Some(limit))?;
    let request = serde_json::to_string(&Request::new(Call::Status))? + "\n";
    stream.write_all(request.as_bytes())?;
    let mut line = String::new();
    BufReader::new(stream)
        .read_line(&mut line)
        .with_context(|| {
            format!(
                "the agent at {place} did not answer in {} s",
                limit.as_secs()
            )
        })?;
    match serde_json::from_str(&line) {
        Ok(Reply::Status(status)) => Ok(*status),
        Ok(Reply::Error(reason)) => bail!("the agent at {place} answers: {reason}"),
        Ok(_) => bail!("the agent at {place} gave another answer than its status"),
        Err(error) => {
            Err(error).with_context(|| format!("read the answer of the agent at {place}"))
        }
    }
}

fn ready(status: &Status) -> anyhow::Result<()> {
    if status.enforcing {
        return Ok(());
    }
    let mut lacking: Vec<String> = Vec::new();
    for endpoint in &status.endpoints {
        match &endpoint.state {
            EndpointState::Enforced => {}
            EndpointState::Pending { reason } | EndpointState::Closed { reason } => {
                lacking.push(format!("{}: {reason}", endpoint.pod));
            }
        }
    }
    let more = lacking.len().saturating_sub(NAMED);
    lacking.truncate(NAMED);
    if more > 0 {
        lacking.push(format!("{more} more"));
    }
    if lacking.is_empty() {
        lacking.extend(status.invalid.iter().map(|problem| problem.reason.clone()));
    }
    bail!("not every pod is enforced: {}", lacking.join("; "))
}
