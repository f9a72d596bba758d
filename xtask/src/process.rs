//! Running other programs: streamed, quiet with a log, or for their answer.

use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, PipeReader};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context, bail};

use crate::progress::Progress;
use crate::workspace::Workspace;

/// How much of a failed program's log is shown.
const LOG_TAIL_LINES: usize = 25;

/// The cargo that runs this task, in the workspace's root.
pub(crate) fn cargo(workspace: &Workspace) -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(&workspace.root);
    for name in of_this_task(env::vars_os().map(|(name, _)| name)) {
        cargo.env_remove(name);
    }
    cargo
}

/// What cargo says of the package it runs. Build scripts that watch such a variable would run again
/// each time a task and a plain `cargo build` take turns, and all that needs them with them.
fn of_this_task(names: impl Iterator<Item = OsString>) -> impl Iterator<Item = OsString> {
    names.filter(|name| {
        name.to_str().is_some_and(|name| {
            name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")
        })
    })
}

/// Runs with our own output; an error names the command.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<()> {
    let status = command
        .status()
        .with_context(|| format!("start `{}`", shown(command)))?;
    check(command, status)
}

/// Runs and returns what was written to standard output; an error carries standard error.
pub(crate) fn output(command: &mut Command) -> anyhow::Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("start `{}`", shown(command)))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!(
            "`{}` failed ({}): {}",
            shown(command),
            output.status,
            said.trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs, handing each line of standard output on as it comes. Standard error is ours.
pub(crate) fn lines(command: &mut Command, each: impl FnMut(&str)) -> anyhow::Result<()> {
    let (output, writer) = io::pipe().context("make a pipe")?;
    command.stdout(writer);
    follow(command, output, each)
}

/// The same with standard error among the lines, in the order written.
pub(crate) fn all_lines(command: &mut Command, each: impl FnMut(&str)) -> anyhow::Result<()> {
    let (output, writer) = io::pipe().context("make a pipe")?;
    command.stdout(writer.try_clone().context("make a pipe")?);
    command.stderr(writer);
    follow(command, output, each)
}

fn follow(
    command: &mut Command,
    output: PipeReader,
    mut each: impl FnMut(&str),
) -> anyhow::Result<()> {
    let mut child = command
        .spawn()
        .with_context(|| format!("start `{}`", shown(command)))?;
    // The command holds our copy of the pipe's other end, without which the lines come to an end.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    for line in BufReader::new(output).split(b'\n') {
        each(&String::from_utf8_lossy(&line?));
    }
    check(command, child.wait()?)
}

/// Runs something that takes its time and whose output matters only if it fails; that goes to a log.
pub(crate) fn quietly(
    workspace: &Workspace,
    what: &str,
    command: &mut Command,
) -> anyhow::Result<()> {
    let log = log_path(workspace, what)?;
    let progress = Progress::start(what);
    let file = File::create(&log).with_context(|| format!("create {}", log.display()))?;
    let status = command
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .status()
        .with_context(|| format!("start `{}`", shown(command)))?;
    if !status.success() {
        progress.failed();
        bail!(
            "`{}` failed ({status}). The end of {}:\n{}",
            shown(command),
            log.display(),
            tail(&log, LOG_TAIL_LINES)
        );
    }
    progress.done();
    Ok(())
}

fn log_path(workspace: &Workspace, what: &str) -> anyhow::Result<PathBuf> {
    let directory = workspace.target.join("xtask-logs");
    fs::create_dir_all(&directory).with_context(|| format!("create {}", directory.display()))?;
    let name: String = what
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .take(60)
        .collect();
    Ok(directory.join(format!("{name}.log")))
}

/// The last lines of a text file; empty if it cannot be read.
pub(crate) fn tail(path: &Path, lines: usize) -> String {
    let bytes = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

fn check(command: &Command, status: ExitStatus) -> anyhow::Result<()> {
    if status.success() {
        return Ok(());
    }
    bail!("`{}` failed ({status})", shown(command))
}

/// A command as one would type it, without its environment.
fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program())
        .file_name()
        .unwrap_or(command.get_program());
    let mut text = program.to_string_lossy().into_owned();
    for argument in command.get_args() {
        text.push(' ');
        text.push_str(&argument.to_string_lossy());
    }
    text
}

/// The program's path, looked up as a shell of root would (a user's `PATH` often lacks `/usr/sbin`).
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|directory| directory.join(name))
        .find(|candidate| candidate.is_file())
}

/// Whether we may install packages, create network namespaces and load programs.
pub(crate) fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn lines_of_both_outputs_come_in_the_order_written() {
        let mut said = Vec::new();
        all_lines(&mut shell("echo a; echo b >&2; printf c"), |line| {
            said.push(line.to_owned());
        })
        .expect("the shell succeeds");
        assert_eq!(said, ["a", "b", "c"]);
    }

    #[test]
    fn a_failure_names_the_command_and_its_exit_code() {
        let error = lines(&mut shell("exit 3"), |_| {}).expect_err("the shell fails");
        assert_eq!(error.to_string(), "`sh -c exit 3` failed (exit status: 3)");
    }

    #[test]
    fn a_failed_question_tells_what_was_answered() {
        let error = output(&mut shell("echo no >&2; exit 1")).expect_err("the shell fails");
        assert!(error.to_string().ends_with(": no"), "{error}");
    }
}
