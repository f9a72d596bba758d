//! Exec into the agent's pod: the API server sees to who may, and no port is open on any node.

use std::fmt;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, AttachParams, AttachedProcess};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::timeout;

use super::{Connection, End};
use crate::agent::AgentError;
use crate::cluster::error::{Asked, ClusterError};

/// The container of the agent's pod.
const CONTAINER: &str = "agent";
/// What is run there.
const COMMAND: [&str; 2] = ["/netpolctl", "relay"];
/// Bytes under way in each direction.
const BUFFER: usize = 64 * 1024;
/// How much of what the process complained about is read.
const COMPLAINT: u64 = 4096;
/// How long a process that has ended may take to say why.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// The pod of an agent.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) pods: Api<Pod>,
    pub(crate) pod: String,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pod {}", self.pod)
    }
}

/// The process in the pod.
pub(crate) struct Process {
    attached: AttachedProcess,
    complaints: Box<dyn AsyncRead + Send + Unpin>,
    pod: String,
}

impl Target {
    /// Starts the relay in the pod.
    pub(crate) async fn open(&self) -> Result<Connection, AgentError> {
        let parameters = AttachParams {
            container: Some(CONTAINER.to_owned()),
            stdin: true,
            stdout: true,
            stderr: true,
            tty: false,
            max_stdin_buf_size: Some(BUFFER),
            max_stdout_buf_size: Some(BUFFER),
            max_stderr_buf_size: Some(BUFFER),
        };
        let namespace = self.pods.namespace().map(str::to_owned);
        let asked = Asked::new("create", "pods/exec", namespace);
        let mut attached = (self.pods.exec(&self.pod, COMMAND, &parameters).await)
            .map_err(|error| AgentError::Cluster(ClusterError::new(asked, error)))?;
        let missing = || AgentError::OtherAnswer;
        Ok(Connection {
            asking: Box::new(attached.stdin().ok_or_else(missing)?),
            answers: Box::new(attached.stdout().ok_or_else(missing)?),
            end: End::Process(Box::new(Process {
                complaints: Box::new(attached.stderr().ok_or_else(missing)?),
                attached,
                pod: self.pod.clone(),
            })),
        })
    }
}

impl Process {
    /// Why it has ended: what it wrote to stderr, else what the kubelet says.
    pub(super) async fn explain(mut self) -> AgentError {
        let mut complaint = String::new();
        let mut complaints = (&mut self.complaints).take(COMPLAINT);
        let read = complaints.read_to_string(&mut complaint);
        // What was read in that time counts.
        let _ = timeout(LAST_WORDS, read).await;
        let said = complaint.trim().trim_start_matches("error: ");
        if !said.is_empty() {
            return self.relay_said(said);
        }
        let status = match self.attached.take_status() {
            Some(status) => timeout(LAST_WORDS, status).await.ok().flatten(),
            None => None,
        };
        match status.and_then(|status| status.message) {
            Some(message) if !message.is_empty() => self.relay_said(&message),
            _ => AgentError::HungUp,
        }
    }

    fn relay_said(&self, said: &str) -> AgentError {
        AgentError::Relay {
            pod: self.pod.clone(),
            said: said.to_owned(),
        }
    }
}
