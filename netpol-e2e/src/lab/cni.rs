//! What a container runtime does with CNI plugins, for sandboxes in a lab.
//!
//! ```text
//! lab directory/net.d/10-main.conflist  --first, as libcni picks it--> plugins, one by one
//! lab directory/cni-bin/{bridge, ptp, host-local, ...; netpol-cni, once the agent put it there}
//! ```

use std::{
    fs,
    io::Write,
    net::IpAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{
    Lab,
    command::{self, ip_batch},
    error::{Doing, LabError, Result},
    netns::Netns,
    sweep::building,
};
use crate::cluster::Assets;

/// The main plugin's configuration.
pub const MAIN_CONF: &str = "10-main.conflist";
/// Where sandboxes' addresses come from.
const SUBNETS: [&str; 2] = ["10.99.0.0/24", "fd99::/64"];

/// The main plugins there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MainPlugin {
    /// All veths on one bridge.
    Bridge,
    /// A veth and a host route for each.
    Ptp,
}

/// A container runtime's view of a node.
#[derive(Debug, Clone)]
pub struct Runtime {
    node: Netns,
    conf: PathBuf,
    bin: PathBuf,
    own: PathBuf,
}

/// A sandbox: a network namespace that is to be a pod's.
#[derive(Debug, Clone)]
pub struct Sandbox {
    /// What the runtime calls it.
    pub id: String,
    /// The pod's namespace and name; none makes it no pod's.
    pub pod: Option<(String, String)>,
    /// The pod's uid.
    pub uid: String,
    netns: Netns,
}

/// What a plugin answered instead of a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The plugin.
    pub plugin: String,
    /// The specification's number.
    pub code: u64,
    /// `msg` and `details`.
    pub words: String,
}

impl Sandbox {
    /// Its network namespace.
    pub fn netns(&self) -> &Netns {
        &self.netns
    }
}

impl Runtime {
    /// A runtime on a lab's node, with a main plugin and nothing chained to it.
    ///
    /// # Errors
    ///
    /// When the reference plugins were not built, or those of the file system.
    pub fn new(lab: &Lab, main: MainPlugin) -> Result<Self> {
        let runtime = Self {
            node: lab.node().netns().clone(),
            conf: lab.dir.join("net.d"),
            bin: lab.dir.join("cni-bin"),
            own: lab.dir.join("cni-state"),
        };
        for dir in [&runtime.conf, &runtime.bin, &runtime.own] {
            fs::create_dir_all(dir).doing(|| format!("create {}", dir.display()))?;
        }
        let assets = Assets::find();
        for plugin in ["bridge", "ptp", "host-local"] {
            let from = assets.kubernetes(plugin);
            let from = from.map_err(|error| LabError::Missing(error.to_string()))?;
            let to = runtime.bin.join(plugin);
            fs::copy(&from, &to).doing(|| format!("copy {}", from.display()))?;
        }
        runtime.write_conf(MAIN_CONF, &runtime.main_conf(main))?;
        Ok(runtime)
    }

    /// The directory of configurations.
    pub fn conf_dir(&self) -> &Path {
        &self.conf
    }

    /// The directory of plugins.
    pub fn bin_dir(&self) -> &Path {
        &self.bin
    }

    /// Arguments for the agent to install its plugin.
    ///
    /// # Errors
    ///
    /// When the plugin is nowhere.
    pub fn agent_arguments(&self) -> Result<Vec<String>> {
        let plugin = super::Binaries::find()?.cni.clone();
        let pairs = [
            ("--cni-conf-dir", &self.conf),
            ("--cni-bin-dir", &self.bin),
            ("--cni-plugin", &plugin),
        ];
        let words = pairs.map(|(flag, path)| [flag.to_owned(), path.display().to_string()]);
        Ok(words.concat())
    }

    /// What the main plugin writes.
    pub fn main_conf(&self, main: MainPlugin) -> String {
        let ranges: Vec<_> = SUBNETS.map(|subnet| json!([{"subnet": subnet}])).into();
        let ipam = json!({
            "type": "host-local", "dataDir": self.own.join("addresses"), "ranges": ranges,
            "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}],
        });
        let main = match main {
            MainPlugin::Bridge => json!({
                "type": "bridge", "bridge": "cni1", "isGateway": true, "hairpinMode": true,
                "ipam": ipam,
            }),
            MainPlugin::Ptp => json!({"type": "ptp", "ipam": ipam}),
        };
        format!(
            "{:#}\n",
            json!({"cniVersion": "1.0.0", "name": "lab", "plugins": [main]})
        )
    }

    /// Writes a configuration as a main plugin does: whole.
    ///
    /// # Errors
    ///
    /// Those of the file system.
    pub fn write_conf(&self, name: &str, text: &str) -> Result<()> {
        let (staged, path) = (self.own.join(name), self.conf.join(name));
        fs::write(&staged, text)
            .and_then(|()| fs::rename(&staged, &path))
            .doing(|| format!("write {}", path.display()))
    }

    /// The plugins of the configuration that the runtime picks.
    ///
    /// # Errors
    ///
    /// When there is none that can be read.
    pub fn chain(&self) -> Result<Vec<String>> {
        let plugins = self.configuration()?;
        let plugins = plugins["plugins"].as_array().into_iter().flatten();
        Ok(plugins.map(type_of).collect())
    }

    /// Makes a sandbox without an interface.
    ///
    /// # Errors
    ///
    /// When the system refuses.
    pub fn sandbox(
        &self,
        lab: &Lab,
        id: &str,
        pod: Option<(&str, &str)>,
        uid: &str,
    ) -> Result<Sandbox> {
        let netns = Netns::named(lab.id().netns(&format!("sandbox-{id}")));
        let _guard = building();
        ip_batch(None, &[format!("netns add {}", netns.name())])?;
        Ok(Sandbox {
            id: id.to_owned(),
            pod: pod.map(|(namespace, name)| (namespace.to_owned(), name.to_owned())),
            uid: uid.to_owned(),
            netns,
        })
    }

    /// Gives a sandbox its interface: the addresses, and how long the last plugin took.
    ///
    /// # Errors
    ///
    /// What a plugin answered instead; the sandbox is then as runtimes leave it, after DEL.
    pub fn add(&self, sandbox: &Sandbox) -> Result<std::result::Result<Added, Refusal>> {
        let configuration = self.configuration()?;
        let mut result = Value::Null;
        let mut last = Duration::ZERO;
        for plugin in plugins(&configuration) {
            let began = Instant::now();
            match self.exec("ADD", &configuration, plugin, sandbox, &result)? {
                Ok(output) => result = output,
                Err(refusal) => {
                    self.del(sandbox)?;
                    return Ok(Err(refusal));
                }
            }
            last = began.elapsed();
        }
        let saved = self.saved(sandbox);
        fs::write(&saved, result.to_string()).doing(|| format!("write {}", saved.display()))?;
        let ips = result["ips"].as_array().into_iter().flatten();
        let addresses =
            ips.filter_map(|ip| ip["address"].as_str()?.split('/').next()?.parse().ok());
        Ok(Ok(Added {
            addresses: addresses.collect(),
            last_plugin: last,
            result,
        }))
    }

    /// Takes a sandbox's interface away, as often as one likes.
    ///
    /// # Errors
    ///
    /// When a plugin cannot be run.
    pub fn del(&self, sandbox: &Sandbox) -> Result<Vec<Refusal>> {
        let configuration = self.configuration()?;
        let result = self.last_result(sandbox);
        let mut refusals = Vec::new();
        for plugin in plugins(&configuration).into_iter().rev() {
            refusals.extend(
                self.exec("DEL", &configuration, plugin, sandbox, &result)?
                    .err(),
            );
        }
        Ok(refusals)
    }

    /// Asks netpol-cni something by command, with the last result as the specification wants it.
    ///
    /// # Errors
    ///
    /// When it cannot be run.
    pub fn ask(
        &self,
        command: &str,
        sandbox: &Sandbox,
        more: &Value,
    ) -> Result<std::result::Result<Value, Refusal>> {
        let configuration = self.configuration()?;
        let mut plugin = plugins(&configuration)
            .into_iter()
            .find(|plugin| type_of(plugin) == "netpol-cni")
            .cloned()
            .unwrap_or_default();
        if let (Value::Object(plugin), Value::Object(more)) = (&mut plugin, more) {
            plugin.extend(more.clone());
        }
        let result = self.last_result(sandbox);
        self.exec(command, &configuration, &plugin, sandbox, &result)
    }

    fn saved(&self, sandbox: &Sandbox) -> PathBuf {
        self.own.join(format!("result-{}", sandbox.id))
    }

    fn last_result(&self, sandbox: &Sandbox) -> Value {
        let text = fs::read_to_string(self.saved(sandbox)).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// The first file in the order of names, a single plugin as a list of one.
    fn configuration(&self) -> Result<Value> {
        let entries = fs::read_dir(&self.conf).doing(|| format!("list {}", self.conf.display()))?;
        let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        paths.retain(|path| {
            let extension = path.extension().and_then(|extension| extension.to_str());
            matches!(extension, Some("conf" | "conflist" | "json"))
        });
        paths.sort();
        let path = paths.first().ok_or_else(|| {
            LabError::Missing(format!("no CNI configuration in {}", self.conf.display()))
        })?;
        let text = fs::read_to_string(path).doing(|| format!("read {}", path.display()))?;
        let value: Value = serde_json::from_str(&text).map_err(|source| LabError::Json {
            command: format!("read {}", path.display()),
            source,
            output: text.clone(),
        })?;
        if value.get("plugins").is_some() {
            return Ok(value);
        }
        Ok(json!({
            "cniVersion": value["cniVersion"], "name": value["name"], "plugins": [value],
        }))
    }

    fn exec(
        &self,
        command: &str,
        configuration: &Value,
        plugin: &Value,
        sandbox: &Sandbox,
        result: &Value,
    ) -> Result<std::result::Result<Value, Refusal>> {
        let name = type_of(plugin);
        let mut input = plugin.clone();
        input["cniVersion"] = configuration["cniVersion"].clone();
        input["name"] = configuration["name"].clone();
        if !result.is_null() {
            input["prevResult"] = result.clone();
        }
        let mut arguments = "IgnoreUnknown=1".to_owned();
        if let Some((namespace, pod)) = &sandbox.pod {
            arguments += &format!(
                ";K8S_POD_NAMESPACE={namespace};K8S_POD_NAME={pod};\
                 K8S_POD_INFRA_CONTAINER_ID={};K8S_POD_UID={}",
                sandbox.id, sandbox.uid
            );
        }
        let mut program = Command::new(self.bin.join(&name));
        program
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("CNI_COMMAND", command)
            .env("CNI_CONTAINERID", &sandbox.id)
            .env("CNI_NETNS", sandbox.netns.path())
            .env("CNI_IFNAME", "eth0")
            .env("CNI_PATH", &self.bin)
            .env("CNI_ARGS", arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = self
            .node
            .inside(|| command::start(&mut program, Command::spawn))
            .doing(|| format!("enter {}", self.node.name()))??;
        if let Some(mut stdin) = child.stdin.take() {
            let _ = stdin.write_all(input.to_string().as_bytes());
        }
        let output = child
            .wait_with_output()
            .doing(|| format!("wait for {name}"))?;
        let said: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        if output.status.success() {
            return Ok(Ok(said));
        }
        let word = |field: &str| said[field].as_str().unwrap_or_default().to_owned();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        Ok(Err(Refusal {
            plugin: name,
            code: said["code"].as_u64().unwrap_or_default(),
            words: format!("{}; {}{stderr}", word("msg"), word("details")),
        }))
    }
}

/// What an ADD gave.
#[derive(Debug, Clone)]
pub struct Added {
    /// The sandbox's addresses.
    pub addresses: Vec<IpAddr>,
    /// How long the last plugin of the chain took, its start and end as a process included.
    pub last_plugin: Duration,
    /// The result as the last plugin wrote it.
    pub result: Value,
}

fn plugins(configuration: &Value) -> Vec<&Value> {
    let plugins = configuration["plugins"].as_array().into_iter();
    plugins.flatten().collect()
}

fn type_of(plugin: &Value) -> String {
    plugin["type"].as_str().unwrap_or_default().to_owned()
}
