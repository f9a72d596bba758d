//! The suite's program: which tests it has, and running one.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, bail};
use serde::Deserialize;

use super::summary::State;

/// Connections over SCTP need a kernel module that not every kernel has. Policies that name SCTP are tested all the same.
const SKIP: &str = "SCTPConnectivity";
/// Of a single test. The slowest takes a minute or two.
const TIMEOUT: &str = "--ginkgo.timeout=15m";

/// `e2e.test`, and the cluster it tests.
#[derive(Debug, Clone)]
pub struct Suite {
    program: PathBuf,
    kubeconfig: PathBuf,
    nodes: u8,
    reports: PathBuf,
}

/// One test of the suite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Test {
    /// As ginkgo says it, containers first.
    pub name: String,
}

/// The part of ginkgo's JSON report that is asked here.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SuiteReport {
    spec_reports: Vec<SpecReport>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SpecReport {
    #[serde(default)]
    container_hierarchy_texts: Option<Vec<String>>,
    leaf_node_type: String,
    #[serde(default)]
    leaf_node_text: String,
    state: String,
    #[serde(default)]
    failure: Option<Failure>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Failure {
    #[serde(default)]
    message: String,
}

impl SpecReport {
    fn name(&self) -> String {
        let containers = self.container_hierarchy_texts.iter().flatten();
        let texts = containers.chain([&self.leaf_node_text]);
        texts.map(String::as_str).collect::<Vec<_>>().join(" ")
    }

    fn is_test(&self) -> bool {
        self.leaf_node_type == "It"
    }
}

impl Suite {
    /// The suite, for the cluster of a kubeconfig. Reports and logs of all tests go to `reports`.
    ///
    /// # Errors
    ///
    /// When that directory cannot be made.
    pub fn new(
        program: &Path,
        kubeconfig: &Path,
        nodes: u8,
        reports: &Path,
    ) -> anyhow::Result<Self> {
        fs::create_dir_all(reports).with_context(|| format!("create {}", reports.display()))?;
        Ok(Self {
            program: program.to_owned(),
            kubeconfig: kubeconfig.to_owned(),
            nodes,
            reports: reports.to_owned(),
        })
    }

    /// The tests whose names match a regular expression, by name.
    ///
    /// # Errors
    ///
    /// When the suite cannot be run.
    pub fn list(&self, focus: &str) -> anyhow::Result<Vec<Test>> {
        let (report, log) = (
            self.reports.join("list.json"),
            self.reports.join("list.log"),
        );
        let mut command = self.command(focus, &report, &log)?;
        let status = command.arg("--ginkgo.dry-run").status();
        let status = status.with_context(|| format!("start {}", self.program.display()))?;
        if !status.success() {
            bail!(
                "{} does not list its tests ({status}): see {}",
                self.program.display(),
                log.display()
            );
        }
        let mut tests: Vec<Test> = read(&report)?
            .into_iter()
            .filter(|spec| spec.is_test() && spec.state != "skipped")
            .map(|spec| Test { name: spec.name() })
            .collect();
        tests.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(tests)
    }

    /// Runs one test; with what it said if it did not pass.
    pub(super) fn run(&self, test: &Test) -> (State, String) {
        self.try_run(test)
            .unwrap_or_else(|error| (State::Broken, format!("{error:#}")))
    }

    fn try_run(&self, test: &Test) -> anyhow::Result<(State, String)> {
        let file = file_name(&test.name);
        let report = self.reports.join(format!("{file}.json"));
        let log = self.reports.join(format!("{file}.log"));
        let focus = format!("{}$", escaped(&test.name));
        let status = self.command(&focus, &report, &log)?.status()?;
        let specs = read(&report)?;
        let ran: Vec<&SpecReport> = specs
            .iter()
            .filter(|spec| spec.is_test() && spec.state != "skipped")
            .collect();
        let said = specs.iter().filter_map(|spec| spec.failure.as_ref());
        let said: Vec<&str> = said.map(|failure| failure.message.trim()).collect();
        match ran.as_slice() {
            [spec] if spec.state == "passed" && status.success() => {
                Ok((State::Passed, String::new()))
            }
            [_] => Ok((
                State::Failed,
                format!("{}\nlog: {}", said.join("\n"), log.display()),
            )),
            [] => bail!(
                "it did not run ({status}): {} log: {}",
                said.join("; "),
                log.display()
            ),
            _ => bail!("{} tests have this name", ran.len()),
        }
    }

    fn command(&self, focus: &str, report: &Path, log: &Path) -> anyhow::Result<Command> {
        let _ = fs::remove_file(report);
        let output = File::create(log).with_context(|| format!("create {}", log.display()))?;
        // It ends with us: its cluster does as well.
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "--"])
            .arg(&self.program)
            .args(["--provider=skeleton", "--disable-log-dump"])
            .arg(format!("--num-nodes={}", self.nodes))
            .arg(format!("--kubeconfig={}", self.kubeconfig.display()))
            .args(["--ginkgo.no-color", "--ginkgo.silence-skips", TIMEOUT])
            .arg(format!("--ginkgo.focus={focus}"))
            .arg(format!("--ginkgo.skip={SKIP}"))
            .arg(format!("--ginkgo.json-report={}", report.display()))
            .current_dir(&self.reports)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        Ok(command)
    }
}

fn read(report: &Path) -> anyhow::Result<Vec<SpecReport>> {
    let text = fs::read(report).with_context(|| format!("read {}", report.display()))?;
    let suites: Vec<SuiteReport> = serde_json::from_slice(&text)
        .with_context(|| format!("understand {}", report.display()))?;
    Ok(suites
        .into_iter()
        .flat_map(|suite| suite.spec_reports)
        .collect())
}

/// A regular expression that matches nothing but a text.
fn escaped(text: &str) -> String {
    let escape = |c: char| {
        let plain = c.is_alphanumeric() || c == ' ' || !c.is_ascii();
        if plain { vec![c] } else { vec!['\\', c] }
    };
    text.chars().flat_map(escape).collect()
}

/// A test's name as a file's.
fn file_name(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let name: String = name
        .trim_start_matches("[sig-network] ")
        .chars()
        .map(plain)
        .collect();
    name.chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_matched_as_it_is() {
        assert_eq!(escaped("[sig] a 'b' (c)"), r"\[sig\] a \'b\' \(c\)");
    }

    #[test]
    fn names_of_tests_are_read_from_ginkgos_report() {
        let report = r#"[{"SpecReports": [
            {"ContainerHierarchyTexts": ["[sig-network] Netpol", "x"], "LeafNodeType": "It",
             "LeafNodeText": "should y", "State": "failed", "Failure": {"Message": "no"}},
            {"ContainerHierarchyTexts": null, "LeafNodeType": "ReportAfterSuite", "State": "passed"}]}]"#;
        let suites: Vec<SuiteReport> = serde_json::from_str(report).expect("as ginkgo writes it");
        let specs = &suites[0].spec_reports;
        assert_eq!(specs[0].name(), "[sig-network] Netpol x should y");
        assert!(specs[0].is_test() && !specs[1].is_test());
    }
}
