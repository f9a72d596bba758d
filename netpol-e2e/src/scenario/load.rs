//! Reading a scenario's directory, and checking that it asks for things there are.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::{Path, PathBuf},
};

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use super::{Cell, Expect, Scenario, Script, Step};
use crate::lab::{LabError, OUTSIDE, PodSpec, Protocol, Result, Traffic, workspace};

/// Names the directory of scenarios, where it is not the workspace's `examples`.
pub const EXAMPLES_VARIABLE: &str = "NETPOL_EXAMPLES";

const SCRIPT: &str = "scenario.yaml";
const NODE: &str = "node";

/// The directory of scenarios.
pub fn examples_dir() -> PathBuf {
    env::var_os(EXAMPLES_VARIABLE).map_or_else(|| workspace().join("examples"), PathBuf::from)
}

/// The scenarios there are, in the order of their names.
///
/// # Errors
///
/// When the directory cannot be read.
pub fn names() -> Result<Vec<String>> {
    let dir = examples_dir();
    let entries = fs::read_dir(&dir).map_err(|source| LabError::Io {
        action: format!(
            "read {} (set {EXAMPLES_VARIABLE} to the directory of scenarios)",
            dir.display()
        ),
        source,
    })?;
    let mut names: Vec<String> = entries
        .flatten()
        .filter(|entry| entry.path().join(SCRIPT).is_file())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    Ok(names)
}

impl Scenario {
    /// Reads and checks a scenario by its name.
    ///
    /// # Errors
    ///
    /// Names the file, the place in it, and what is wrong there.
    pub fn load(name: &str) -> Result<Self> {
        let dir = examples_dir().join(name);
        if !dir.join(SCRIPT).is_file() {
            return Err(LabError::Manifest {
                path: dir,
                reason: format!("no scenario; there are: {}", names()?.join(", ")),
            });
        }
        let namespaces = read_namespaces(&dir.join("namespaces.yaml"))?;
        let pods = read_pods(&dir.join("pods.yaml"))?;
        let script_path = dir.join(SCRIPT);
        let script: Script = parse(&script_path, &read(&script_path)?)?;
        let scenario = Self {
            name: name.to_owned(),
            dir,
            script,
            namespaces,
            pods,
        };
        scenario.check().map_err(|reason| LabError::Manifest {
            path: script_path,
            reason,
        })?;
        Ok(scenario)
    }

    /// Says what the script asks for and the manifests do not have.
    fn check(&self) -> std::result::Result<(), String> {
        for pod in &self.pods {
            let namespace = &pod.key().namespace;
            if !self.namespaces.contains_key(namespace) {
                return Err(format!(
                    "namespaces.yaml lacks {namespace} of pod {}",
                    pod.key()
                ));
            }
        }
        self.script.steps.iter().try_for_each(|step| {
            self.check_step(step)
                .map_err(|reason| format!("step \"{}\": {reason}", step.title))
        })
    }

    fn check_step(&self, step: &Step) -> std::result::Result<(), String> {
        if !self.dir.join(&step.policies).is_file() {
            return Err(format!("there is no {}", step.policies.display()));
        }
        for cell in &step.cells {
            self.check_cell(cell)
                .map_err(|reason| format!("cell {cell}: {reason}"))?;
        }
        let explain = &step.explain;
        let refused = |cell: &&Cell| {
            cell.after == Expect::Refused
                && (&cell.from, &cell.to, cell.port) == (&explain.from, &explain.to, explain.port)
        };
        if step.cells.iter().find(refused).is_none() {
            let (from, to, port) = (&explain.from, &explain.to, explain.port);
            return Err(format!(
                "explain {from} to {to} {port}: no cell that is refused"
            ));
        }
        Ok(())
    }

    fn check_cell(&self, cell: &Cell) -> std::result::Result<(), String> {
        let pods: BTreeSet<String> = self.pods.iter().map(|pod| pod.key().to_string()).collect();
        let known = |name: &str| name == OUTSIDE || pods.contains(name);
        if !known(&cell.from) && cell.from != NODE {
            return Err(format!("no pod {}", cell.from));
        }
        if !known(&cell.to) {
            return Err(format!("no pod {}", cell.to));
        }
        let Traffic::Port(protocol, port) = cell.port else {
            return Ok(());
        };
        if self.serves(&cell.to, protocol, port.get()) {
            return Ok(());
        }
        Err(format!("{} does not serve {}", cell.to, cell.port))
    }

    fn serves(&self, host: &str, protocol: Protocol, port: u16) -> bool {
        if host == OUTSIDE {
            let wanted = |traffic: &Traffic| match traffic {
                Traffic::Port(p, n) => (*p, n.get()) == (protocol, port),
                Traffic::Ping => false,
            };
            return self.script.outside.iter().any(wanted);
        }
        let pod = self.pods.iter().find(|pod| pod.key().to_string() == host);
        pod.is_some_and(|pod| pod.ports().contains(&(protocol, port)))
    }
}

fn read_namespaces(path: &Path) -> Result<BTreeMap<String, BTreeMap<String, String>>> {
    #[derive(Deserialize)]
    struct Namespace {
        metadata: Metadata,
    }
    #[derive(Deserialize)]
    struct Metadata {
        name: String,
        #[serde(default)]
        labels: BTreeMap<String, String>,
    }
    let namespaces: Vec<Namespace> = parse_all(path)?;
    let named = namespaces
        .into_iter()
        .map(|ns| (ns.metadata.name, ns.metadata.labels));
    Ok(named.collect())
}

fn read_pods(path: &Path) -> Result<Vec<PodSpec>> {
    let objects: Vec<Value> = parse_all(path)?;
    let pods = objects.iter().map(PodSpec::from_object);
    pods.collect::<std::result::Result<_, _>>()
        .map_err(|reason| LabError::Manifest {
            path: path.to_owned(),
            reason,
        })
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(|source| LabError::Io {
        action: format!("read {}", path.display()),
        source,
    })
}

fn parse<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T> {
    one(path, serde_norway::Deserializer::from_str(text))
}

/// All documents of a file.
fn parse_all<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
    let text = read(path)?;
    serde_norway::Deserializer::from_str(&text)
        .map(|document| one(path, document))
        .collect()
}

fn one<T: DeserializeOwned>(path: &Path, document: serde_norway::Deserializer<'_>) -> Result<T> {
    serde_path_to_error::deserialize(document).map_err(|error| LabError::Manifest {
        path: path.to_owned(),
        reason: format!("{}: {}", error.path(), error.inner()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(text: &str) -> std::result::Result<Script, String> {
        parse(Path::new(SCRIPT), text).map_err(|error| error.to_string())
    }

    const MINIMAL: &str = "
title: t
link: bridge
steps:
  - title: s
    policies: policies.yaml
    cells:
      - {from: a/b, to: a/c, port: 80/TCP, before: reached, after: refused}
    explain: {from: a/b, to: a/c, port: 80/TCP, at: ingress, by: [a/p]}
";

    #[test]
    fn the_shape_of_a_script() {
        let script = script(MINIMAL).expect("a script");
        assert_eq!(script.steps[0].columns, ["before", "after"]);
        assert_eq!(script.steps[0].cells[0].families().len(), 2);
    }

    #[test]
    fn an_unknown_field_is_refused_by_name_and_place() {
        let error = script(&MINIMAL.replace("before:", "befor:")).expect_err("a typo");
        assert!(error.contains("steps[0].cells[0]"), "{error}");
        assert!(
            error.contains("befor") && error.contains("`before`"),
            "{error}"
        );
    }

    #[test]
    fn a_wrong_port_is_refused_with_what_is_right() {
        let error =
            script(&MINIMAL.replace("80/TCP, before", "80, before")).expect_err("no protocol");
        assert!(error.contains("steps[0].cells[0].port"), "{error}");
    }

    #[test]
    fn every_scenario_of_the_project_can_be_read() {
        let names = names().expect("examples");
        for wanted in ["cache-store", "payments", "wordpress", "yelb", "zero-trust"] {
            assert!(names.iter().any(|name| name == wanted), "{wanted}");
        }
        for name in names {
            Scenario::load(&name).unwrap_or_else(|error| panic!("{error}"));
        }
    }
}
