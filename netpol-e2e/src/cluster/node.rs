//! A node: containerd, kubelet and kube-proxy in a machine of their own.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde_json::json;

use super::{
    address::{self, DNS, POD_CIDRS},
    assets::Assets,
    cni,
    control_plane::{kubeconfig, shown},
    daemon::Daemon,
    directory::Directory,
    error::Result,
    images::PAUSE,
    machine::Machine,
    network,
    options::Options,
    pki::{From, Pki, User},
};
use crate::lab::error::Doing;

const PATIENCE: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(50);
/// Of the address range of a node, all but a few.
const MOST_PODS: u8 = 250;

/// The name of a node (counted from 1), of its machine and of its Node object.
pub fn name(number: u8) -> String {
    format!("node{number}")
}

/// Names of a node's daemons.
pub(super) fn daemon_name(number: u8, program: &str) -> String {
    format!("{}-{program}", name(number))
}

pub(super) const KUBELET: &str = "kubelet";
pub(super) const CONTAINERD: &str = "containerd";
pub(super) const PROXY: &str = "kube-proxy";

/// A node's user for the API server.
pub(super) fn issue_user(pki: &Pki<'_>, number: u8) -> Result<()> {
    pki.issue_user(&User {
        file: &name(number),
        name: &format!("system:node:{}", name(number)),
        groups: &["system:nodes"],
        from: From::Inside,
    })?;
    Ok(())
}

/// Writes what a node finds on its disk when it boots for the first time.
pub(super) fn write_disk(
    directory: &Directory,
    assets: &Assets,
    options: &Options,
    number: u8,
) -> Result<()> {
    let disk = disk(directory, number);
    fs::create_dir_all(&disk).doing(|| format!("create {}", disk.display()))?;
    let write = |name: &str, text: String| {
        let path = disk.join(name);
        fs::write(&path, text).doing(|| format!("write {}", path.display()))
    };
    let runc = disk.join("runc");
    write("runc", RUNC.to_owned())?;
    fs::set_permissions(&runc, fs::Permissions::from_mode(0o755))
        .doing(|| format!("make {} executable", runc.display()))?;
    write("containerd.toml", containerd_config(&runc))?;
    write("kubelet.json", kubelet_config(directory))?;
    cni::install(
        &disk.join("etc/upper"),
        &disk.join("opt/upper"),
        assets,
        options,
        number,
    )
}

fn disk(directory: &Directory, number: u8) -> PathBuf {
    directory.path("disks").join(name(number))
}

/// Boots a node and links it, with containerd running. Also after its power was cut.
pub(super) fn boot(
    directory: &Directory,
    control_plane: &Machine,
    assets: &Assets,
    options: &Options,
    number: u8,
) -> Result<Machine> {
    let machine = Machine::boot(directory, &options.name, &name(number))?;
    network::link_node(control_plane, &machine, number, options)?;
    start_containerd(directory, &machine, assets, number)?;
    Ok(machine)
}

/// Starts kubelet and kube-proxy.
pub(super) fn join(
    directory: &Directory,
    machine: &Machine,
    assets: &Assets,
    options: &Options,
    number: u8,
) -> Result<()> {
    kubelet(directory, assets, number)?.start(directory, machine)?;
    proxy(directory, assets, options, number)?.start(directory, machine)
}

/// Loads a docker archive into containerd.
pub(super) fn load_image(machine: &Machine, archive: &Path) -> Result<()> {
    machine.run(&["ctr", "-n", "k8s.io", "images", "import", &shown(archive)])?;
    Ok(())
}

fn start_containerd(
    directory: &Directory,
    machine: &Machine,
    assets: &Assets,
    number: u8,
) -> Result<()> {
    let config = disk(directory, number).join("containerd.toml");
    let words = vec![
        shown(&assets.system(CONTAINERD)?),
        format!("--config={}", shown(&config)),
    ];
    let mut daemon = Daemon::new(daemon_name(number, CONTAINERD), machine.name(), words);
    daemon.start(directory, machine)?;
    let deadline = Instant::now() + PATIENCE;
    while machine.run(&["ctr", "version"]).is_err() {
        if Instant::now() > deadline {
            return Err(daemon.failure(directory, "does not answer", PATIENCE));
        }
        std::thread::sleep(LOOK);
    }
    Ok(())
}

fn kubelet(directory: &Directory, assets: &Assets, number: u8) -> Result<Daemon> {
    let own = address::node(number);
    let config = disk(directory, number).join("kubelet.json");
    Ok(Daemon::new(
        daemon_name(number, KUBELET),
        &name(number),
        vec![
            shown(&assets.kubernetes(KUBELET)?),
            format!("--config={}", shown(&config)),
            format!("--kubeconfig={}", kubeconfig(directory, &name(number))),
            format!("--hostname-override={}", name(number)),
            format!("--node-ip={},{}", own.v4, own.v6),
        ],
    ))
}

fn proxy(directory: &Directory, assets: &Assets, options: &Options, number: u8) -> Result<Daemon> {
    Ok(Daemon::new(
        daemon_name(number, PROXY),
        &name(number),
        vec![
            shown(&assets.kubernetes(PROXY)?),
            format!("--kubeconfig={}", kubeconfig(directory, PROXY)),
            format!("--hostname-override={}", name(number)),
            format!("--proxy-mode={}", options.proxy),
            format!("--cluster-cidr={}", POD_CIDRS.join(",")),
            "--oom-score-adj=0".to_owned(),
            // It may not be allowed to write these settings, and the kernel's own serve.
            "--conntrack-max-per-core=0".to_owned(),
            "--conntrack-tcp-timeout-established=0".to_owned(),
            "--conntrack-tcp-timeout-close-wait=0".to_owned(),
        ],
    ))
}

/// A runc that does without what this computer does not have.
const RUNC: &str = include_str!("runc.sh");

fn containerd_config(runc: &Path) -> String {
    // Without CAP_SYS_RESOURCE, as in a container, nobody may lower an OOM score; where one may, it does no harm.
    format!(
        r#"version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{}"
    conf_dir = "{}"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      BinaryName = "{}"
"#,
        cni::BIN_DIR,
        cni::CONF_DIR,
        runc.display()
    )
}

fn kubelet_config(directory: &Directory) -> String {
    let config = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": true},
            "x509": {"clientCAFile": directory.path("pki/ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "cgroupDriver": "cgroupfs",
        "cgroupsPerQOS": false,
        "enforceNodeAllocatable": [],
        "failCgroupV1": false,
        "failSwapOn": false,
        "oomScoreAdj": 0,
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "clusterDNS": [DNS.v4],
        "clusterDomain": "cluster.local",
        "resolvConf": "",
        "maxPods": MOST_PODS,
        "serializeImagePulls": false,
        "kubeAPIQPS": 100, "kubeAPIBurst": 200,
        // The disk is this computer's, and so is what fills it; images cannot be had again.
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {
            "nodefs.available": "1%", "imagefs.available": "1%", "memory.available": "100Mi",
        },
    });
    format!("{config:#}\n")
}
