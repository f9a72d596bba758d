//! The commands of the specification.

use std::{collections::HashMap, time::Duration};

use netpol_api::{Call, CniAttachment, CniRefusal, Reply};
use serde_json::json;

use crate::{
    NEWEST, VERSIONS,
    agent::{self, Outcome},
    configuration::{self, Configuration},
    error::{CniError, Code},
    link,
    parameters::{Command, Parameters},
};

/// How long a call waits that the agent answers at once.
const AT_ONCE: Duration = Duration::from_secs(2);

/// Does what the environment says; gives what is to be printed.
pub(crate) fn run(variables: &HashMap<String, String>, input: &str) -> Result<String, CniError> {
    let parameters = Parameters(variables);
    let command = parameters.command()?;
    if command == Command::Version {
        return Ok(versions(input));
    }
    let configuration = Configuration::read(input)?;
    match command {
        Command::Add => add(&parameters, &configuration),
        Command::Check => check(&parameters, &configuration).map(|()| String::new()),
        Command::Del => del(&parameters, &configuration).map(|()| String::new()),
        Command::Gc => gc(&configuration).map(|()| String::new()),
        Command::Status => status(&configuration).map(|()| String::new()),
        Command::Version => Ok(versions(input)),
    }
}

fn versions(input: &str) -> String {
    let asked = configuration::version_of(input);
    let version = asked.as_deref().unwrap_or(NEWEST);
    json!({"cniVersion": version, "supportedVersions": VERSIONS}).to_string()
}

fn add(parameters: &Parameters<'_>, configuration: &Configuration<'_>) -> Result<String, CniError> {
    let result = configuration.previous_result()?.to_owned();
    let Some(attachment) = attachment(parameters, configuration)? else {
        return Ok(result);
    };
    let timeout = configuration.timeout()?;
    let outcome = agent::call(&configuration.socket(), timeout, |left| Call::CniAdd {
        attachment: attachment.clone(),
        timeout_ms: left.as_millis() as u64,
    });
    settle(
        outcome,
        configuration,
        timeout,
        "the pod's policies are not in force",
    )?;
    Ok(result)
}

fn check(parameters: &Parameters<'_>, configuration: &Configuration<'_>) -> Result<(), CniError> {
    let Some(attachment) = attachment(parameters, configuration)? else {
        return Ok(());
    };
    let timeout = configuration.timeout()?;
    let outcome = agent::call(&configuration.socket(), timeout, |_| Call::CniCheck {
        attachment: attachment.clone(),
    });
    settle(
        outcome,
        configuration,
        timeout,
        "the pod's policies are not in force",
    )
}

/// An agent that is away finds out by itself: a sandbox that goes takes its interface along.
fn del(parameters: &Parameters<'_>, configuration: &Configuration<'_>) -> Result<(), CniError> {
    let key = parameters.key()?;
    agent::tell(&configuration.socket(), AT_ONCE, Call::CniDel { key });
    Ok(())
}

fn gc(configuration: &Configuration<'_>) -> Result<(), CniError> {
    let valid = configuration.valid_attachments()?;
    let outcome = agent::call(&configuration.socket(), AT_ONCE, |_| Call::CniGc {
        network: configuration.network(),
        valid: valid.clone(),
    });
    settle(outcome, configuration, AT_ONCE, "nothing was collected")
}

fn status(configuration: &Configuration<'_>) -> Result<(), CniError> {
    let outcome = agent::call(&configuration.socket(), AT_ONCE, |_| Call::CniStatus);
    let settled = settle(outcome, configuration, AT_ONCE, "no pod can be started");
    settled.map_err(|error| CniError {
        code: Code::Unavailable,
        ..error
    })
}

/// What the agent has to know; none when the container is no pod's.
fn attachment(
    parameters: &Parameters<'_>,
    configuration: &Configuration<'_>,
) -> Result<Option<CniAttachment>, CniError> {
    let key = parameters.key()?;
    let netns = parameters.netns()?;
    let Some((pod, uid)) = parameters.pod() else {
        return Ok(None);
    };
    let addresses = configuration.addresses(&key.interface)?;
    let host = link::host_side(&netns, &key.interface).map_err(|error| {
        let details = format!("{pod}: {error}");
        CniError::new(
            Code::Interface,
            "the pod's interface cannot be judged",
            details,
        )
    })?;
    Ok(Some(CniAttachment {
        key,
        network: configuration.network(),
        pod,
        uid,
        host_interface: host.name,
        ifindex: host.ifindex,
        addresses: addresses.into_iter().collect(),
    }))
}

fn settle(
    outcome: Outcome,
    configuration: &Configuration<'_>,
    patience: Duration,
    message: &str,
) -> Result<(), CniError> {
    let socket = configuration.socket();
    let socket = socket.display();
    Err(match outcome {
        Outcome::Answered(Reply::Done) => return Ok(()),
        Outcome::Answered(Reply::CniRefused(CniRefusal { reason, again })) => {
            let code = if again { Code::Again } else { Code::Refused };
            CniError::new(code, message, reason)
        }
        Outcome::Answered(Reply::Error(reason)) => CniError::new(Code::Again, message, reason),
        Outcome::Answered(_) => CniError::new(
            Code::Refused,
            message,
            format!("the agent at {socket} answered something else than was asked"),
        ),
        Outcome::Unclear(error) => CniError::new(
            Code::Again,
            message,
            format!(
                "the agent at {socket} is of another release than this plugin ({}): {error}. The \
                 agent installs its own plugin when it starts; see its log",
                env!("CARGO_PKG_VERSION")
            ),
        ),
        Outcome::Absent(error) => CniError::new(
            Code::Again,
            message,
            format!(
                "netpol's agent did not answer at {socket} within {} s ({}). See why it does not \
                 run on this node: kubectl -n netpol-system get pods -o wide \
                 -l app.kubernetes.io/name=netpol",
                patience.as_secs(),
                agent::absence(&error)
            ),
        ),
    })
}

#[cfg(test)]
mod tests;
