//! Commands of the system: `ip`, `tc`, `nft`, and the project's own binaries.

use std::{
    io::Write,
    process::{Command, Output, Stdio},
};

use super::error::{Doing, LabError, Result};

/// Runs `ip [-n NETNS] -batch -` over `lines`: one process, whatever the number of links.
pub(crate) fn ip_batch(netns: Option<&str>, lines: &[String]) -> Result<()> {
    let mut command = Command::new("ip");
    if let Some(netns) = netns {
        command.args(["-n", netns]);
    }
    command.args(["-batch", "-"]);
    let mut input = lines.join("\n");
    input.push('\n');
    let outcome = run_with_input(&mut command, &input);
    outcome.map(drop).map_err(|error| name_line(error, lines))
}

/// `ip` says "Command failed -:6"; this says what stands in line 6.
fn name_line(error: LabError, lines: &[String]) -> LabError {
    let LabError::Command {
        command,
        status,
        stderr,
    } = error
    else {
        return error;
    };
    let number: Option<usize> = stderr
        .rsplit_once("-:")
        .and_then(|(_, number)| number.trim().parse().ok());
    let line = number.and_then(|number| lines.get(number.wrapping_sub(1)));
    let program = command.strip_suffix("-batch -").unwrap_or(&command);
    LabError::Command {
        command: match line {
            Some(line) => format!("{program}{line}"),
            None => command,
        },
        status,
        stderr,
    }
}

/// Runs a command to its end; a failure carries what it wrote to stderr.
pub(crate) fn run(command: &mut Command) -> Result<Output> {
    let output = start(command.stdin(Stdio::null()), Command::output)?;
    succeeded(command, output)
}

/// As [`run`], with `input` on its stdin.
pub(crate) fn run_with_input(command: &mut Command, input: &str) -> Result<Output> {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = start(command, Command::spawn)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A command that ends early closes its stdin; its own message says more than our broken
        // pipe.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child
        .wait_with_output()
        .doing(|| format!("wait for `{}`", line(command)))?;
    succeeded(command, output)
}

/// Starts a command, with advice if it is not there.
pub(crate) fn start<T>(
    command: &mut Command,
    how: impl FnOnce(&mut Command) -> std::io::Result<T>,
) -> Result<T> {
    how(command).map_err(|source| {
        let program = command.get_program().to_string_lossy().into_owned();
        LabError::Start {
            hint: hint(&program),
            program,
            source,
        }
    })
}

/// A command as one would type it.
pub(crate) fn line(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

fn succeeded(command: &Command, output: Output) -> Result<Output> {
    if output.status.success() {
        return Ok(output);
    }
    // Some say why on stdout: netpolctl's answer "not enforced" is an answer.
    let said = [output.stderr, output.stdout].concat();
    Err(LabError::Command {
        command: line(command),
        status: output.status.to_string(),
        stderr: String::from_utf8_lossy(&said).trim().to_owned(),
    })
}

fn hint(program: &str) -> &'static str {
    match program.rsplit('/').next().unwrap_or(program) {
        "ip" | "tc" => "install iproute2",
        "nft" => "install nftables",
        "cargo" => "set NETPOL_AGENT and NETPOLCTL to built binaries, or install cargo",
        "netpol-agent" => "build it, or set NETPOL_AGENT",
        "netpolctl" => "build it, or set NETPOLCTL",
        _ => "is it installed?",
    }
}
