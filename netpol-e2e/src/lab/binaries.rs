//! Which agent and which CLI: those the environment names, else the workspace's own, built once.

use std::{
    env,
    io::{self, Write},
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, PoisonError},
};

use super::{
    command,
    error::{LabError, Result},
};

/// Names the agent to run.
pub const AGENT_VARIABLE: &str = "NETPOL_AGENT";
/// Names the CLI to run.
pub const CTL_VARIABLE: &str = "NETPOLCTL";

/// Names the CNI plugin to install.
pub const CNI_VARIABLE: &str = "NETPOL_CNI";

/// Paths of the binaries under test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binaries {
    /// The agent.
    pub agent: PathBuf,
    /// The CLI.
    pub ctl: PathBuf,
    /// The CNI plugin; the one beside the agent when nothing names another.
    pub cni: PathBuf,
}

impl Binaries {
    /// Those of the environment (`NETPOL_AGENT`, `NETPOLCTL`), else release builds of this
    /// workspace. The first call builds, which may take minutes, and says so in a line on stderr.
    ///
    /// # Errors
    ///
    /// When the build fails, or cargo is not there.
    pub fn find() -> Result<&'static Self> {
        Self::find_telling(|| {
            // Not `eprintln`, which a test harness keeps to itself.
            let _ = writeln!(
                io::stderr(),
                "netpol-lab: building netpol-agent and netpolctl \
                 ({AGENT_VARIABLE} and {CTL_VARIABLE} name others)"
            );
        })
    }

    /// As [`Binaries::find`], with other words for a build that begins.
    ///
    /// # Errors
    ///
    /// As [`Binaries::find`].
    pub fn find_telling(building: impl FnOnce()) -> Result<&'static Self> {
        static FOUND: Mutex<Option<&'static Binaries>> = Mutex::new(None);
        // Held during the build: the tests of one process start together, and one of them builds
        // for all.
        let mut found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = *found {
            return Ok(found);
        }
        let binaries: &'static Self = Box::leak(Box::new(Self::look(building)?));
        Ok(*found.insert(binaries))
    }

    fn look(building: impl FnOnce()) -> Result<Self> {
        if let (Some(agent), Some(ctl)) = (env::var_os(AGENT_VARIABLE), env::var_os(CTL_VARIABLE)) {
            let beside = Path::new(&agent).with_file_name("netpol-cni");
            return Ok(Self {
                cni: env::var_os(CNI_VARIABLE).map_or(beside, PathBuf::from),
                agent: agent.into(),
                ctl: ctl.into(),
            });
        }
        building();
        let built = build()?;
        let pick = |variable: &str, name: &str| {
            env::var_os(variable).map_or_else(|| built.join(name), PathBuf::from)
        };
        Ok(Self {
            agent: pick(AGENT_VARIABLE, "netpol-agent"),
            ctl: pick(CTL_VARIABLE, "netpolctl"),
            cni: pick(CNI_VARIABLE, "netpol-cni"),
        })
    }
}

/// The workspace this was built from.
pub fn workspace() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own).to_path_buf()
}

/// Builds both in release mode; cargo itself says where they are.
fn build() -> Result<PathBuf> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut metadata = Command::new(&cargo);
    metadata
        .args(["metadata", "--format-version", "1", "--no-deps"])
        .current_dir(workspace());
    let output = command::run(&mut metadata)?;
    let metadata: serde_json::Value =
        serde_json::from_slice(&output.stdout).map_err(|source| LabError::Json {
            command: command::line(&metadata),
            source,
            output: String::from_utf8_lossy(&output.stdout).into_owned(),
        })?;
    let target = metadata["target_directory"].as_str().unwrap_or("target");

    command::run(
        Command::new(&cargo)
            .args([
                "build",
                "--release",
                "-p",
                "netpol-agent",
                "-p",
                "netpolctl",
                "-p",
                "netpol-cni",
            ])
            .current_dir(workspace()),
    )?;
    Ok(Path::new(target).join("release"))
}
