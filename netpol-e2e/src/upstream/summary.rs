//! What came out, for people and for programs.

use std::{fmt, fs, process::Command, thread};

use serde::{Deserialize, Serialize};

use crate::cluster::Options;

/// How a test ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It passed.
    Passed,
    /// It failed.
    Failed,
    /// It could not be run.
    Broken,
}

/// One test and how it ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TestResult {
    /// Its whole name.
    pub name: String,
    /// How it ended.
    pub state: State,
    /// How long it took, its own process's start included.
    pub seconds: f64,
    /// Why it did not pass; empty if it did.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// One run of the suite.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Summary {
    /// The version of Kubernetes, suite and cluster alike.
    pub kubernetes: String,
    /// How pods were linked.
    pub cni: String,
    /// How Services were made.
    pub proxy: String,
    /// How many nodes there were.
    pub nodes: u8,
    /// Whether netpol was installed.
    pub netpol: bool,
    /// Processors and kernel.
    pub machine: String,
    /// The day, UTC.
    pub date: String,
    /// All of it, from the first test's start to the last one's end.
    pub seconds: f64,
    /// How many ran side by side.
    pub jobs: usize,
    /// The tests, by name.
    pub tests: Vec<TestResult>,
}

impl Summary {
    /// A summary of results, on this machine today.
    pub fn new(options: &Options, kubernetes: String, mut tests: Vec<TestResult>) -> Self {
        tests.sort_by(|one, other| one.name.cmp(&other.name));
        Self {
            kubernetes,
            cni: options.cni.to_string(),
            proxy: options.proxy.to_string(),
            nodes: options.nodes,
            netpol: true,
            machine: machine(),
            date: today(),
            seconds: 0.0,
            jobs: 1,
            tests,
        }
    }

    /// How many ended so.
    pub fn count(&self, state: State) -> usize {
        self.tests.iter().filter(|test| test.state == state).count()
    }

    /// Whether all passed, and there were some.
    pub fn is_success(&self) -> bool {
        !self.tests.is_empty() && self.count(State::Passed) == self.tests.len()
    }

    /// "47 of 47 passed".
    pub(super) fn verdict(&self) -> String {
        format!(
            "{} of {} passed",
            self.count(State::Passed),
            self.tests.len()
        )
    }
}

/// The part of a test's name that tells it from the others.
pub(super) fn short(name: &str) -> String {
    let name = name
        .replace("[sig-network] ", "")
        .replace(" [Feature:NetworkPolicy]", "");
    let name = name.replace("Netpol NetworkPolicy between server and client ", "");
    name.replace(
        "Netpol [LinuxOnly] NetworkPolicy between server and client using UDP ",
        "UDP: ",
    )
}

impl fmt::Display for TestResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Passed => "pass",
            State::Failed => "FAIL",
            State::Broken => "BROKEN",
        };
        write!(f, "{state:6} {:4.0} s  {}", self.seconds, short(&self.name))
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for test in &self.tests {
            writeln!(f, "{test}")?;
        }
        for test in self.tests.iter().filter(|test| test.state != State::Passed) {
            writeln!(f, "\n{}\n{}", test.name, test.message)?;
        }
        writeln!(
            f,
            "\nKubernetes {} on {} nodes, CNI {}, kube-proxy with {}{}: {} in {:.0} s ({}, {})",
            self.kubernetes,
            self.nodes,
            self.cni,
            self.proxy,
            if self.netpol { "" } else { ", WITHOUT netpol" },
            self.verdict(),
            self.seconds,
            self.machine,
            self.date
        )
    }
}

fn machine() -> String {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let version: Vec<&str> = release.trim().splitn(3, '.').take(2).collect();
    format!("{cores} shared virtual cores, Linux {}", version.join("."))
}

fn today() -> String {
    let output = Command::new("date").args(["-u", "+%F"]).output();
    let said = output.map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&said).trim().to_owned()
}
