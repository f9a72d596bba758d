//! The offline judge: `netpolctl evaluate --batch`, fed with the objects as the API server has them.

use std::{
    collections::{BTreeMap, HashMap},
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::{churn::asked_for, epoch::Question};
use crate::{
    lab::{Family, Host, Protocol, Traffic},
    trial::bed::Bed,
};

/// What a verdict depends on.
const KINDS: &str = "pods,namespaces,networkpolicies,nodes";

/// The judge, running.
#[derive(Debug)]
pub(super) struct Judge {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Judge {
    pub(super) fn start(ctl: &Path) -> Result<Self> {
        let mut child = Command::new(ctl)
            .args(["evaluate", "--batch"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("start {}", ctl.display()))?;
        let input = child.stdin.take().context("the judge's input")?;
        let output = BufReader::new(child.stdout.take().context("the judge's output")?);
        Ok(Self {
            child,
            input,
            output,
        })
    }

    /// The verdict on every question there is among these hosts.
    pub(super) fn ask(
        &mut self,
        bed: &Bed,
        hosts: &BTreeMap<String, Host>,
    ) -> Result<HashMap<Question, bool>> {
        let text = bed.kubectl(&["get", KINDS, "-A", "-o", "json"])?;
        let mut list: Value = serde_json::from_str(&text).context("read the objects")?;
        let (questions, probes) = all(hosts);
        let request = json!({
            "id": 0, "cluster": "soak", "objects": list["items"].take(), "probes": probes,
        });
        writeln!(self.input, "{request}").context("ask the judge")?;
        let mut line = String::new();
        self.output.read_line(&mut line).context("hear the judge")?;
        let answer: Value = serde_json::from_str(&line).context("read the judge's answer")?;
        let Some(results) = answer["results"].as_array() else {
            bail!("the judge answers {line}");
        };
        if results.len() != questions.len() || answer.get("invalid").is_some() {
            bail!(
                "the judge has {} answers to {} questions: {line}",
                results.len(),
                questions.len()
            );
        }
        let verdicts = results.iter().map(|it| it["verdict"] == "allow");
        Ok(questions.into_iter().zip(verdicts).collect())
    }
}

impl Drop for Judge {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn all(hosts: &BTreeMap<String, Host>) -> (Vec<Question>, Vec<Value>) {
    let (mut questions, mut probes) = (Vec::new(), Vec::new());
    for (from, asker) in hosts {
        for (to, asked) in hosts.iter().filter(|(to, _)| *to != from) {
            for family in Family::BOTH {
                for traffic in asked_for() {
                    let Traffic::Port(protocol, port) = traffic else {
                        continue;
                    };
                    probes.push(json!({
                        "from": asker.addresses().of(family),
                        "to": asked.addresses().of(family),
                        "protocol": match protocol { Protocol::Tcp => "TCP", Protocol::Udp => "UDP" },
                        "port": port,
                    }));
                    questions.push(Question {
                        from: from.clone(),
                        to: to.clone(),
                        family,
                        traffic,
                    });
                }
            }
        }
    }
    (questions, probes)
}
