//! Which tests run on other kernels, and how some of them are chosen.

use std::path::Path;

use super::payload::{self, Payload};
use crate::build::{self, Programs};
use crate::setup;
use crate::workspace::Workspace;

/// A test program of netpol-e2e, and words in the names of those of its tests that are left out: they would take
/// minutes in emulation, where an agent starts in seconds, and show no more of a kernel than the others do. The machine's
/// own kernel runs them all.
type Program = (&'static str, &'static [&'static str]);

/// Those that run when none is named, one a line.
const PROGRAMS: &[Program] = &[
    ("load", &[]),
    ("packets", &["every_byte_and_length"]),
    ("scenario", &["cache_store", "yelb", "zero_trust"]),
    ("fragments", &[]),
    ("reject", &[]),
    ("icmp_errors", &[]),
    (
        "restart",
        &["an_agent_killed_at_random", "without_policies"],
    ),
    ("hooks", &["killed_while_it_changes"]),
    (
        "attach",
        &["there_before", "keep_their_order", "stays_as_it_is"],
    ),
    ("rights", &[]),
];

/// What `-- TEST...` asks for.
#[derive(Debug, PartialEq, Eq)]
struct Choice<'a> {
    /// Names of test programs, each with what is left out of it.
    programs: Vec<(&'a str, &'a [&'a str])>,
    /// Words for the test harness of each.
    harness: Vec<&'a str>,
}

impl<'a> Choice<'a> {
    /// A word that names a test program chooses it, whole; the others go to the harness, as those of `cargo test` do.
    fn of(words: &'a [String], known: &[&str]) -> Self {
        let is_program = |word: &&str| known.contains(word);
        let words = || words.iter().map(String::as_str);
        let mut programs: Vec<_> = words()
            .filter(is_program)
            .map(|name| (name, &[][..]))
            .collect();
        if programs.is_empty() {
            programs = PROGRAMS.to_vec();
        }
        Self {
            programs,
            harness: words().filter(|word| !is_program(word)).collect(),
        }
    }
}

/// The tests and the programs they run, built.
pub(super) fn payload(workspace: &Workspace, words: &[String]) -> anyhow::Result<Payload> {
    setup::ensure(workspace, setup::BUILD)?;
    let known: Vec<&str> = build::lab_tests(workspace).collect();
    let choice = Choice::of(words, &known);
    let programs = Programs::build(workspace)?;
    let log_object = build::log_object(workspace)?;
    let mut arguments = vec!["test", "--release", "--no-run"];
    arguments.extend(build::EVERYTHING);
    for (name, _) in &choice.programs {
        arguments.extend(["--test", name]);
    }
    let built = build::executables(workspace, &arguments)?;
    let mut files = Vec::new();
    let mut script = "#!/bin/bash\n\
         export RUST_BACKTRACE=1 NETPOL_KILLS=5 NETPOL_INTERVAL_MS=100\n"
        .to_owned();
    for (variable, path) in [
        (build::ENV_AGENT, programs.agent),
        (build::ENV_CTL, programs.ctl),
        (build::ENV_EXAMPLES, programs.examples),
        (build::ENV_LOG_OBJECT, log_object),
    ] {
        script.push_str(&format!("export {variable}={}\n", payload::place(&path)?));
        files.push(path);
    }
    script.push_str("status=0\n");
    for (name, without) in &choice.programs {
        let path = build::path_of(&built, name)?;
        script.push_str(&line(path, without, &choice.harness)?);
        files.push(path.to_owned());
    }
    script.push_str("exit $status\n");
    Ok(Payload {
        script: script.into_bytes(),
        files,
    })
}

/// A line of the script: a test program, whose failure does not keep the next from running.
fn line(program: &Path, without: &[&str], harness: &[&str]) -> anyhow::Result<String> {
    let mut line = payload::place(program)?;
    line.push_str(" --test-threads=1 --show-output");
    for test in without {
        line.push_str(&format!(" --skip {test}"));
    }
    for word in harness {
        line.push_str(&format!(" '{}'", word.replace('\'', r"'\''")));
    }
    line.push_str(" || status=$?\n");
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose<'a>(words: &'a [String]) -> Choice<'a> {
        Choice::of(words, &["packets", "restart", "discovery"])
    }

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn a_program_is_chosen_by_its_name_and_tests_by_words() {
        let words = words("restart killed --exact");
        let choice = choose(&words);
        assert_eq!(choice.programs, [("restart", &[][..])]);
        assert_eq!(choice.harness, ["killed", "--exact"]);
    }

    #[test]
    fn a_program_that_does_not_run_by_itself_can_be_named() {
        let words = words("discovery");
        assert_eq!(choose(&words).programs, [("discovery", &[][..])]);
    }

    #[test]
    fn without_a_program_the_words_are_for_all_of_them() {
        let words = words("payments");
        let choice = choose(&words);
        assert_eq!(choice.programs, PROGRAMS);
        assert_eq!(choice.harness, ["payments"]);
    }

    #[test]
    fn a_line_quotes_what_the_harness_is_told() {
        let line = line(Path::new("/x/restart-1"), &["slow"], &["it's"]).expect("a file");
        assert_eq!(
            line,
            "/t/restart-1 --test-threads=1 --show-output --skip slow 'it'\\''s' || status=$?\n"
        );
    }
}
