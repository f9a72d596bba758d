//! Bringing a cluster up, as much side by side as it can be.
//!
//! ```text
//! take the name ─ authority ─ control plane: etcd, API server ─────────────── ready ─ controllers ─┐
//!                                        └─ each node: boot, containerd, images ─ kubelet, proxy ──┴─ nodes ready
//! ```

use std::{panic, path::Path, thread::ScopedJoinHandle};

use nix::unistd::geteuid;
use serde_json::json;

use super::{
    Cluster, address, control_plane,
    directory::{Charter, Directory},
    error::{ClusterError, Result},
    images,
    machine::Machine,
    network, node,
    options::Options,
    pki::Pki,
    remains,
};

/// kube-proxy's rights; the API server knows the role, not who has it.
const PROXY_BINDING: &str = "
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: kube-proxy}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: system:node-proxier}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: system:kube-proxy}]
";

pub(super) fn up(options: Options) -> Result<Cluster> {
    if !geteuid().is_root() {
        return Err(ClusterError::NotRoot);
    }
    let options = options.checked()?;
    Cluster::down_orphans(&options.base)?;
    let is_up = |name: &str| !remains::namespaces(name).is_empty();
    let (directory, charter) = Directory::take(&options, is_up)?;
    let outcome = raise(directory.clone(), charter);
    if outcome.is_err() {
        // The first error says more than one of the clearing up.
        let _ = remains::end(&directory, &options.name);
    }
    outcome
}

fn raise(directory: Directory, charter: Charter) -> Result<Cluster> {
    let cluster = Cluster::new(directory, charter)?;
    let (directory, options, assets) = (&cluster.directory, cluster.options(), &cluster.assets);
    let number = cluster.charter.number;
    let pki = Pki::create(directory, number)?;
    control_plane::issue_users(&pki)?;
    for node in 1..=options.nodes {
        node::issue_user(&pki, node)?;
    }
    let control_plane = Machine::boot(directory, &options.name, control_plane::MACHINE)?;
    network::link_control_plane(&control_plane, number)?;
    control_plane::start_api(directory, &control_plane, assets, options)?;
    if options.light {
        control_plane::wait_ready(directory, &cluster.kubectl)?;
        return Ok(cluster);
    }
    network::route_control_plane(&control_plane, options)?;
    let outside = Machine::boot(directory, &options.name, remains::OUTSIDE)?;
    network::link_outside(&control_plane, &outside, options)?;
    raise_nodes(&cluster, &control_plane)?;
    cluster.wait_nodes()?;
    tell_ranges(&cluster)?;
    wait_account(&cluster)?;
    Ok(cluster)
}

/// Without its namespace's service account no pod can be made.
fn wait_account(cluster: &Cluster) -> Result<()> {
    let wanted = [
        "wait",
        "--for=create",
        "serviceaccount/default",
        "--timeout=60s",
    ];
    cluster.kubectl.run(&wanted)?;
    Ok(())
}

/// Boots all nodes while the API server starts; they join once it is ready.
fn raise_nodes(cluster: &Cluster, control_plane: &Machine) -> Result<()> {
    let (directory, options, assets) = (&cluster.directory, cluster.options(), &cluster.assets);
    let images = images::write_base(directory, assets)?;
    let machines = std::thread::scope(|scope| {
        let images = &images;
        let nodes: Vec<_> = (1..=options.nodes)
            .map(|number| scope.spawn(move || boot_node(cluster, control_plane, images, number)))
            .collect();
        let ready = control_plane::wait_ready(directory, &cluster.kubectl);
        let machines: Result<Vec<Machine>> = nodes.into_iter().map(joined).collect();
        ready.and(machines)
    })?;
    cluster.kubectl.apply(PROXY_BINDING)?;
    control_plane::start_controllers(directory, control_plane, assets)?;
    for (number, machine) in (1..).zip(&machines) {
        node::join(directory, machine, assets, options, number)?;
    }
    Ok(())
}

fn boot_node(
    cluster: &Cluster,
    control_plane: &Machine,
    images: &Path,
    number: u8,
) -> Result<Machine> {
    let (directory, options, assets) = (&cluster.directory, cluster.options(), &cluster.assets);
    node::write_disk(directory, assets, options, number)?;
    let machine = node::boot(directory, control_plane, assets, options, number)?;
    node::load_image(&machine, images)?;
    Ok(machine)
}

/// Writes into the Node objects which range is whose: it was given in the CNI configurations.
fn tell_ranges(cluster: &Cluster) -> Result<()> {
    for number in 1..=cluster.options().nodes {
        let cidrs = address::pod_cidrs(number);
        let patch = json!({"spec": {"podCIDR": cidrs[0], "podCIDRs": cidrs}}).to_string();
        let name = node::name(number);
        cluster
            .kubectl
            .run(&["patch", "node", &name, "-p", &patch])?;
    }
    Ok(())
}

/// The end of a thread; a panic goes on here.
pub(super) fn joined<T>(handle: ScopedJoinHandle<'_, T>) -> T {
    handle
        .join()
        .unwrap_or_else(|payload| panic::resume_unwind(payload))
}
