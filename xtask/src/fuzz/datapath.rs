//! The packet path: libFuzzer's programs of netpol-fuzz.
//!
//! libFuzzer is compiled into them by its crate, and coverage counters come from flags that the
//! stable compiler has; so neither another toolchain nor `cargo fuzz` is needed.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail};

use crate::process;
use crate::progress::Progress;
use crate::setup::{self, Part};
use crate::workspace::Workspace;

const PACKAGE: &str = "netpol-fuzz";

/// What libFuzzer needs of the compiler: counters of each edge, the tables that say where they are,
/// and what is compared with what. And every check that a debug build has.
const FLAGS: [&str; 9] = [
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Ccodegen-units=1",
    "-Cdebug-assertions",
    "-Coverflow-checks",
];

/// Longer inputs show nothing that shorter ones do not, and take their time.
const LONGEST_INPUT: u32 = 4096;

/// The end of what a failed program said.
const LAST_LINES: usize = 40;

/// What libFuzzer says at the end before the number of inputs.
const EXECUTED: &str = "stat::number_of_executed_units:";

/// One of the programs.
#[derive(Clone, Copy)]
pub(crate) enum Target {
    Packets,
    Sequences,
}

impl Target {
    pub(crate) const ALL: [Self; 2] = [Self::Packets, Self::Sequences];

    const fn name(self) -> &'static str {
        match self {
            Self::Packets => "packets",
            Self::Sequences => "sequences",
        }
    }

    fn program(self) -> String {
        format!("{PACKAGE}-{}", self.name())
    }
}

/// The programs, built, with inputs to begin with.
pub(crate) struct Fuzzers {
    programs: PathBuf,
    inputs: PathBuf,
    fixtures: PathBuf,
}

impl Fuzzers {
    pub(crate) fn build(workspace: &Workspace) -> anyhow::Result<Self> {
        setup::ensure(workspace, &[Part::Components, Part::Fuzz])?;
        // Flags change every crate, so they are built apart. Given a target, cargo leaves the
        // flags out of build scripts.
        let directory = workspace.target.join("fuzz");
        let host = host(workspace)?;
        let mut cargo = process::cargo(workspace);
        cargo.args([
            "build",
            "--release",
            "-p",
            PACKAGE,
            "--features",
            "libfuzzer",
        ]);
        for target in Target::ALL {
            cargo.args(["--bin", &target.program()]);
        }
        cargo
            .args(["--target", &host, "--target-dir"])
            .arg(&directory)
            .env("CARGO_ENCODED_RUSTFLAGS", FLAGS.join("\u{1f}"));
        process::quietly(workspace, "fuzz: build", &mut cargo)?;
        let inputs = directory.join("inputs");
        let mut seeds = process::cargo(workspace);
        seeds
            .args(["run", "--quiet", "--release", "-p", PACKAGE])
            .args(["--bin", "netpol-fuzz-seeds", "--"])
            .arg(inputs.join("seeds"));
        process::run(&mut seeds)?;
        Ok(Self {
            programs: directory.join(host).join("release"),
            inputs,
            fixtures: workspace.root.join(PACKAGE).join("fixtures"),
        })
    }

    /// Searches for so long, from the packet table, what once failed, and what earlier searches
    /// have found to be interesting.
    pub(crate) fn run(&self, target: Target, time: Duration) -> anyhow::Result<()> {
        let name = target.name();
        let fixtures = self.fixtures.join(name);
        let corpus = self.inputs.join("corpus").join(name);
        fs::create_dir_all(&corpus).with_context(|| format!("create {}", corpus.display()))?;
        let mut fuzzer = Command::new(self.programs.join(target.program()));
        fuzzer
            .arg(format!("-max_total_time={}", time.as_secs()))
            .arg(format!("-max_len={LONGEST_INPUT}"))
            .arg(format!("-artifact_prefix={}/", fixtures.display()))
            // What takes long does so on a machine that others use.
            .arg("-report_slow_units=600")
            .arg("-print_final_stats=1")
            .arg(&corpus)
            .arg(self.inputs.join("seeds").join(name))
            .arg(&fixtures)
            // The input says more than the way to where it failed.
            .env("RUST_BACKTRACE", "0");
        let progress = Progress::start(&format!("fuzz: {name}, for {} s", time.as_secs()));
        let mut said = Said::default();
        match process::all_lines(&mut fuzzer, |line| said.take(line)) {
            Ok(()) => progress.done(),
            Err(error) => {
                progress.failed();
                bail!("{}\n{error:#}\n{}", said.end(), advice(name, &fixtures));
            }
        }
        println!(
            "fuzz: {name}: {} inputs, none on which they differ",
            said.inputs
        );
        Ok(())
    }
}

fn advice(name: &str, fixtures: &Path) -> String {
    format!(
        "the input is in {}: `cargo test -p {PACKAGE}` begins with it from now on. Mend what is wrong, and keep it under a name that says what it shows ({name})",
        fixtures.display()
    )
}

/// What a program of libFuzzer's says.
#[derive(Default)]
struct Said {
    last: VecDeque<String>,
    inputs: String,
}

impl Said {
    fn take(&mut self, line: &str) {
        if let Some(number) = line.strip_prefix(EXECUTED) {
            number.trim().clone_into(&mut self.inputs);
        }
        // How the search goes on.
        if line.starts_with('#') || line.starts_with("INFO:") {
            return;
        }
        self.last.push_back(line.to_owned());
        if self.last.len() > LAST_LINES {
            self.last.pop_front();
        }
    }

    fn end(&self) -> String {
        Vec::from_iter(self.last.iter().map(String::as_str)).join("\n")
    }
}

/// The name of the machine that we build for, and on.
fn host(workspace: &Workspace) -> anyhow::Result<String> {
    let mut rustc = Command::new("rustc");
    let answer = process::output(rustc.arg("-vV").current_dir(&workspace.root))?;
    let host = answer.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host
        .with_context(|| format!("find the host in rustc's answer {answer:?}"))?
        .to_owned())
}

#[cfg(test)]
mod tests {
    use super::Said;

    #[test]
    fn the_sum_and_what_failed_are_kept_and_the_way_there_is_not() {
        let mut said = Said::default();
        for line in [
            "INFO: Seed: 1",
            "#2\tINITED cov: 3",
            "thread panicked: they do not agree",
            "stat::number_of_executed_units: 394890",
        ] {
            said.take(line);
        }
        assert_eq!(said.inputs, "394890");
        assert!(said.end().starts_with("thread panicked"));
    }
}
