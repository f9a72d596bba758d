//! JSON lines in, JSON lines out: many clusters and many probes, for machines.
//!
//! ```text
//! {"id": any, "cluster": "c1", "objects": [..], "probes": [{"from", "to", "protocol", "port"}, ..]}
//! {"id": any, "results": [{"verdict", "at", "rule", "reason"}, ..], "invalid": [..]}
//! {"id": any, "error": "what is wrong with the request"}
//! ```
//! One answer for each line, in order, flushed.

use std::collections::HashMap;
use std::io::{self, BufRead, Write};

use netpol_datapath::memory::Full;
use serde_json::Value;
use thiserror::Error;

use self::answer::{Answer, Failure, ProbeResult};
use self::request::{ProbeError, Request};
use super::cluster::{Cluster, ClusterError};

mod answer;
mod request;

/// What is wrong with a request.
#[derive(Debug, Error)]
enum RequestError {
    #[error(transparent)]
    Probe(#[from] ProbeError),
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error(transparent)]
    Full(#[from] Full),
}

/// Answers every line of `input` until it ends.
pub(crate) fn run(mut input: impl BufRead, mut output: impl Write) -> io::Result<()> {
    let mut clusters = HashMap::new();
    let mut line = Vec::new();
    loop {
        line.clear();
        if input.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        if !line.trim_ascii().is_empty() {
            let mut answer = answer(&line, &mut clusters);
            answer.push(b'\n');
            output.write_all(&answer)?;
            output.flush()?;
        }
    }
}

fn answer(line: &[u8], clusters: &mut HashMap<String, Cluster>) -> Vec<u8> {
    let request = match Request::read(line) {
        Ok(request) => request,
        Err((id, error)) => return failure(&id, error),
    };
    let Request {
        id,
        cluster: name,
        objects,
        probes,
    } = request;
    let mut fresh = Cluster::new();
    let cluster = match name {
        Some(name) => clusters.entry(name).or_insert_with(Cluster::new),
        None => &mut fresh,
    };
    match judge_all(cluster, objects, &probes) {
        Ok(results) => {
            let invalid = cluster.invalid();
            let answer = Answer {
                id: &id,
                results,
                invalid,
            };
            serde_json::to_vec(&answer).unwrap_or_else(|error| failure(&id, error.to_string()))
        }
        Err(error) => failure(&id, error.to_string()),
    }
}

fn judge_all(
    cluster: &mut Cluster,
    objects: Vec<Value>,
    probes: &[Value],
) -> Result<Vec<ProbeResult>, RequestError> {
    // The next request's changes are counted from these objects, whatever the probes are.
    cluster.bring_to(objects)?;
    let probes = request::probes(probes)?;
    let judged = probes.iter().map(|probe| {
        let (outcome, _) = cluster.judge(probe)?;
        Ok(ProbeResult::new(&outcome, cluster))
    });
    judged.collect()
}

fn failure(id: &Value, error: String) -> Vec<u8> {
    // A value that was read from JSON can be written as JSON.
    serde_json::to_vec(&Failure { id, error }).unwrap_or_default()
}
