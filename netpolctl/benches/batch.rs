//! 1,000 requests of 1,000 probes each through `netpolctl evaluate --batch`: the goal is a minute
//! on one core.
//!
//! `cargo bench -p netpolctl`; ends with exit code 1 when it takes longer.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

#[path = "../tests/cli/generator.rs"]
mod generator;

use generator::{Generator, Size};

const REQUESTS: usize = 1_000;
const CLUSTERS: usize = 10;
const SIZE: Size = Size {
    pods: 50,
    policies: 25,
    probes: 1_000,
};
const GOAL: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    let mut clusters: Vec<Generator> = (0..CLUSTERS)
        .map(|number| Generator::new(number as u64, &format!("c{number}"), SIZE))
        .collect();
    // Made beforehand, so that only netpolctl is measured.
    let mut input = String::new();
    for id in 0..REQUESTS {
        input += &clusters[id % CLUSTERS].request(id).to_string();
        input.push('\n');
    }
    let mut child = Command::new(env!("CARGO_BIN_EXE_netpolctl"))
        .args(["evaluate", "--batch"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("netpolctl starts");
    let start = Instant::now();
    let mut stdin = child.stdin.take().expect("stdin is a pipe");
    let feeder = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let stdout = BufReader::new(child.stdout.take().expect("stdout is a pipe"));
    let (mut answers, mut allowed, mut denied) = (0, 0, 0);
    for line in stdout.lines() {
        let line = line.expect("an answer");
        assert!(line.contains("\"results\":"), "{line}");
        answers += 1;
        allowed += line.matches("\"verdict\":\"allow\"").count();
        denied += line.matches("\"verdict\":\"deny\"").count();
    }
    let took = start.elapsed();
    feeder
        .join()
        .expect("the feeder ends")
        .expect("all was read");
    let exit = child.wait().expect("netpolctl ends");
    assert!(
        exit.success() && answers == REQUESTS,
        "{exit}, {answers} answers"
    );
    let probes = allowed + denied;
    println!(
        "{answers} requests, {probes} probes ({allowed} allowed, {denied} denied): {:.1} s, {:.0} \
         probes a second; the goal is {} s",
        took.as_secs_f64(),
        probes as f64 / took.as_secs_f64(),
        GOAL.as_secs()
    );
    if took < GOAL {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
