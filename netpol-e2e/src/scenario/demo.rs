//! The demo: scenarios, one after the other, told as they happen.

use std::{
    io::{self, Write},
    thread,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

use super::{Scenario, Stage, StepResult, table};
use crate::lab::{Binaries, Host, Protocol, Result, Traffic};

/// Says what is going on while nothing is printed; on a terminal only.
#[derive(Debug)]
pub struct Progress(ProgressBar);

impl Progress {
    /// A spinner on stderr, invisible where that is no terminal.
    pub fn new() -> Self {
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(120));
        Self(bar)
    }

    fn say(&self, what: &str) {
        self.0.set_message(what.to_owned());
    }

    /// Prints without tearing the spinner.
    fn print(&self, text: &str) {
        self.0.suspend(|| {
            // A reader that has gone away (`demo | head`) is no reason to stop: the exit code still
            // counts.
            let _ = writeln!(io::stdout(), "{text}");
        });
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// The demo of some scenarios.
#[derive(Debug)]
pub struct Demo {
    progress: Progress,
    wrong: Vec<String>,
    cells: usize,
    started: Instant,
}

impl Demo {
    /// Ready to play; builds the agent and netpolctl where the environment names none.
    ///
    /// # Errors
    ///
    /// When they cannot be built.
    pub fn new() -> Result<Self> {
        let progress = Progress::new();
        Binaries::find_telling(|| {
            progress.say("building netpol-agent and netpolctl (minutes the first time)");
        })?;
        Ok(Self {
            progress,
            wrong: Vec::new(),
            cells: 0,
            started: Instant::now(),
        })
    }

    /// Plays one scenario; what it was played on is returned, still up.
    ///
    /// # Errors
    ///
    /// When the lab or the agent fail. A wrong cell is remembered.
    pub fn play(&mut self, scenario: Scenario) -> Result<Stage> {
        let name = scenario.name.clone();
        self.say(&name, "building the lab");
        let mut stage = Stage::set(scenario)?;
        self.introduce(&stage);
        self.say(&name, "starting the agent");
        stage.agent().start()?;
        for step in stage.scenario().script.steps.clone() {
            self.say(&name, "asking who reaches whom");
            let result = stage.play(&step)?;
            self.progress.print(&format!(
                "\n{} ({}, in force after {} ms)\n\n{}",
                step.title,
                step.policies.display(),
                result.took.as_millis(),
                table(&step, &result)
            ));
            self.remember(&name, &result);
            self.say(&name, "asking for the counters and the reason of a refusal");
            self.progress.print(&format!(
                "\n$ netpolctl stats -A\n{}",
                stage.counters()?.trim_end()
            ));
            self.explain(&name, &stage, &step)?;
        }
        for line in &stage.scenario().script.not_yet {
            self.progress.print(&format!("\nNot yet: {line}."));
        }
        Ok(stage)
    }

    /// Says what stands, what to try with it, and how to remove it.
    pub fn invite(&self, stage: &mut Stage) {
        let mut text = format!(
            "\n{} stands. Try, in another terminal:\n\n",
            stage.scenario().name
        );
        if let Some(step) = stage.scenario().script.steps.last() {
            let (from, to) = (step.explain.from.clone(), step.explain.to.clone());
            let lab = stage.lab();
            if let (Ok(from), Ok(to)) = (lab.host(&from), lab.host(&to)) {
                text.push_str(&questions(&from, &to, step.explain.port));
            }
        }
        let manifests = stage.lab().manifests().dir().display().to_string();
        let netpolctl = stage.agent().ctl().command_line();
        for command in ["status", "stats -A -w", "flows -f"] {
            text.push_str(&format!("  {netpolctl} {command}\n"));
        }
        text.push_str(&format!("  $EDITOR {manifests}/policies.yaml"));
        self.progress.print(&text);
    }

    /// Says how to remove what stands, and waits for it: the signal removes all labs and ends the
    /// process.
    pub fn stand(&self) -> ! {
        self.progress.print(&format!(
            "\nPress Ctrl-C here, or `kill {}`, to remove all of it.",
            std::process::id()
        ));
        self.progress.0.finish_and_clear();
        loop {
            thread::park();
        }
    }

    /// The last line, and whether every cell was right.
    pub fn conclude(&self) -> bool {
        let seconds = self.started.elapsed().as_secs();
        let verdict = match self.wrong.len() {
            0 => "all right".to_owned(),
            wrong => format!("{wrong} WRONG"),
        };
        let mut text = format!("\n{} cells, {verdict} ({seconds} s)", self.cells);
        for wrong in &self.wrong {
            text.push_str(&format!("\nWRONG {wrong}"));
        }
        self.progress.print(&text);
        self.wrong.is_empty()
    }

    fn introduce(&self, stage: &Stage) {
        let scenario = stage.scenario();
        self.progress.print(&format!(
            "\n=== {}: {} ===\n{} pods, links {}",
            scenario.name,
            scenario.script.title,
            scenario.pods.len(),
            stage.lab().link()
        ));
    }

    fn remember(&mut self, name: &str, result: &StepResult) {
        self.cells += result.cells.len();
        let wrong = result.wrong().map(|cell| format!("{name}: {cell}"));
        self.wrong.extend(wrong);
    }

    fn explain(&mut self, name: &str, stage: &Stage, step: &super::Step) -> Result<()> {
        let explanation = stage.explain(&step.explain)?;
        self.progress.print(&format!(
            "\n$ {}\n{}",
            explanation.command,
            explanation.evaluated.trim_end()
        ));
        if explanation.flow.is_none() {
            let (from, to, port) = (&step.explain.from, &step.explain.to, step.explain.port);
            self.wrong.push(format!(
                "{name}: no flow refuses {from} to {to} {port} in the name of {}",
                step.explain.by.join(", ")
            ));
        }
        Ok(())
    }

    fn say(&self, name: &str, what: &str) {
        self.progress.say(&format!("{name}: {what}"));
    }
}

/// Ways to ask by hand. The lab's servers greet, so a shell is client enough.
fn questions(from: &Host, to: &Host, traffic: Traffic) -> String {
    let (netns, to) = (from.netns().name(), to.addresses().v4);
    let mut text = format!("  ip netns exec {netns} ping -c 1 -W 1 {to}\n");
    if let Traffic::Port(Protocol::Tcp, port) = traffic {
        text.push_str(&format!(
            "  ip netns exec {netns} timeout 1 bash -c 'head -1 < /dev/tcp/{to}/{port}'\n"
        ));
    }
    text
}
