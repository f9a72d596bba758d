//! etcd, the API server, the controllers and the scheduler, in a machine of their own.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use super::{
    address::{API_PORT, CONTROL_PLANE, POD_CIDRS, SERVICE_CIDRS},
    assets::Assets,
    daemon::Daemon,
    directory::Directory,
    error::Result,
    kubectl::Kubectl,
    machine::Machine,
    options::Options,
    pki::{From, Pki, User},
};

/// The machine's name.
pub(super) const MACHINE: &str = "control-plane";
pub(super) const ETCD: &str = "etcd";
pub(super) const API_SERVER: &str = "kube-apiserver";
const CONTROLLERS: &str = "kube-controller-manager";
const SCHEDULER: &str = "kube-scheduler";

const PATIENCE: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(100);
const ETCD_CLIENTS: &str = "http://127.0.0.1:2379";
const ETCD_PEERS: &str = "http://127.0.0.1:2380";

/// Certificates and kubeconfigs of the control plane's own users.
pub(super) fn issue_users(pki: &Pki<'_>) -> Result<()> {
    let masters: &[&str] = &["system:masters"];
    let users = [
        ("admin", "admin", masters, From::Here),
        ("admin-inside", "admin", masters, From::Inside),
        (
            CONTROLLERS,
            "system:kube-controller-manager",
            &[],
            From::Inside,
        ),
        (SCHEDULER, "system:kube-scheduler", &[], From::Inside),
        ("kube-proxy", "system:kube-proxy", &[], From::Inside),
    ];
    for (file, name, groups, from) in users {
        pki.issue_user(&User {
            file,
            name,
            groups,
            from,
        })?;
    }
    Ok(())
}

/// Starts etcd and the API server, and does not wait.
pub(super) fn start_api(
    directory: &Directory,
    machine: &Machine,
    assets: &Assets,
    options: &Options,
) -> Result<()> {
    etcd(directory, assets)?.start(directory, machine)?;
    api_server(directory, assets, options)?.start(directory, machine)
}

/// Starts what moves the cluster, once the API server answers.
pub(super) fn start_controllers(
    directory: &Directory,
    machine: &Machine,
    assets: &Assets,
) -> Result<()> {
    controllers(directory, assets)?.start(directory, machine)?;
    scheduler(directory, assets)?.start(directory, machine)
}

/// Waits until the API server answers that it is ready.
pub(super) fn wait_ready(directory: &Directory, kubectl: &Kubectl) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if kubectl.run(&["get", "--raw", "/readyz"]).is_ok() {
            return Ok(());
        }
        for name in [ETCD, API_SERVER] {
            if let Some(daemon) = Daemon::find(directory, name)
                && !daemon.is_running()
            {
                return Err(daemon.failure(directory, "ended by itself", PATIENCE));
            }
        }
        if Instant::now() > deadline {
            let daemon = Daemon::new(API_SERVER, MACHINE, Vec::new());
            return Err(daemon.failure(directory, "is not ready", PATIENCE));
        }
        std::thread::sleep(LOOK);
    }
}

fn etcd(directory: &Directory, assets: &Assets) -> Result<Daemon> {
    let data = shown(&directory.path("etcd"));
    Ok(Daemon::new(
        ETCD,
        MACHINE,
        vec![
            shown(&assets.system(ETCD)?),
            format!("--data-dir={data}"),
            format!("--listen-client-urls={ETCD_CLIENTS}"),
            format!("--advertise-client-urls={ETCD_CLIENTS}"),
            format!("--listen-peer-urls={ETCD_PEERS}"),
            format!("--initial-advertise-peer-urls={ETCD_PEERS}"),
            format!("--initial-cluster=default={ETCD_PEERS}"),
            // Tens of thousands of objects are written in some tests.
            format!("--quota-backend-bytes={}", 4_u64 << 30),
        ],
    ))
}

fn api_server(directory: &Directory, assets: &Assets, options: &Options) -> Result<Daemon> {
    let pki = |name: &str| shown(&directory.path("pki").join(name));
    let mut words = vec![
        shown(&assets.kubernetes(API_SERVER)?),
        format!("--secure-port={API_PORT}"),
        "--bind-address=0.0.0.0".to_owned(),
        format!("--advertise-address={}", CONTROL_PLANE.v4),
        format!("--etcd-servers={ETCD_CLIENTS}"),
        format!("--client-ca-file={}", pki("ca.crt")),
        format!("--tls-cert-file={}", pki("server.crt")),
        format!("--tls-private-key-file={}", pki("server.key")),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        format!("--service-account-key-file={}", pki("sa.pub")),
        format!("--service-account-signing-key-file={}", pki("sa.key")),
        format!("--service-cluster-ip-range={}", SERVICE_CIDRS.join(",")),
        "--allow-privileged=true".to_owned(),
        "--authorization-mode=Node,RBAC".to_owned(),
        "--kubelet-preferred-address-types=InternalIP".to_owned(),
        format!("--kubelet-client-certificate={}", pki("admin.crt")),
        format!("--kubelet-client-key={}", pki("admin.key")),
    ];
    if options.light {
        // Nobody makes service accounts, nobody needs to be found.
        words.push("--disable-admission-plugins=ServiceAccount".to_owned());
        words.push("--endpoint-reconciler-type=none".to_owned());
    }
    words.extend(options.api_server_flags.iter().cloned());
    Ok(Daemon::new(API_SERVER, MACHINE, words))
}

fn controllers(directory: &Directory, assets: &Assets) -> Result<Daemon> {
    Ok(Daemon::new(
        CONTROLLERS,
        MACHINE,
        vec![
            shown(&assets.kubernetes(CONTROLLERS)?),
            format!("--kubeconfig={}", kubeconfig(directory, CONTROLLERS)),
            format!(
                "--service-account-private-key-file={}",
                shown(&directory.path("pki/sa.key"))
            ),
            format!("--root-ca-file={}", shown(&directory.path("pki/ca.crt"))),
            format!("--cluster-cidr={}", POD_CIDRS.join(",")),
            "--use-service-account-credentials".to_owned(),
            "--leader-elect=false".to_owned(),
            // A node's range is known before the node is: its CNI configuration has it.
            "--controllers=*,-node-ipam-controller".to_owned(),
        ],
    ))
}

fn scheduler(directory: &Directory, assets: &Assets) -> Result<Daemon> {
    Ok(Daemon::new(
        SCHEDULER,
        MACHINE,
        vec![
            shown(&assets.kubernetes(SCHEDULER)?),
            format!("--kubeconfig={}", kubeconfig(directory, SCHEDULER)),
            "--leader-elect=false".to_owned(),
        ],
    ))
}

pub(super) fn kubeconfig(directory: &Directory, user: &str) -> String {
    shown(&directory.path("kubeconfigs").join(user))
}

pub(super) fn shown(path: &Path) -> String {
    path.display().to_string()
}
