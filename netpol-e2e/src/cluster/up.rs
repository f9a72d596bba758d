//! Bringing a cluster up, as much side by side as it can be.
//!
//! ```text
//! take the name ─ wire, authority ─ etcd, API server ─────────────────────── ready ─ controllers ──┐
//!                                      └─ each node: boot, containerd, images ─ kubelet, proxy ──┴─ nodes ready
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

const DNS: &str = include_str!("dns.yaml");

pub(super) fn up(options: Options) -> Result<Cluster> {
    if !geteuid().is_root() {
        return Err(ClusterError::NotRoot);
    }
    let options = options.checked()?;
    Cluster::down_orphans(&options.base)?;
    let is_up = |name: &str| !remains::namespaces(name).is_empty();
    let (directory, charter) = Directory::take(&options, is_up)?;
    let outcome = raise(directory.clone(), charter);
    match &outcome {
        // Another was faster, whose directory is elsewhere: what runs is theirs.
        Err(ClusterError::Exists(_)) => directory.give_back()?,
        // The first error says more than one of the clearing up.
        Err(_) => drop(remains::end(&directory, &options.name)),
        Ok(_) => {}
    }
    outcome
}

fn raise(directory: Directory, mut charter: Charter) -> Result<Cluster> {
    let control_plane = Machine::boot(&directory, &charter.options.name, control_plane::MACHINE)?;
    let wire = network::lay_wire(&control_plane)?;
    charter.wire = Some(wire);
    directory.set_charter(&charter)?;
    network::make_fabric(&control_plane)?;

    let cluster = Cluster::new(directory, charter)?;
    let (directory, options, assets) = (&cluster.directory, cluster.options(), &cluster.assets);
    let pki = Pki::create(directory, wire)?;
    control_plane::issue_users(&pki)?;
    for node in 1..=options.nodes {
        node::issue_user(&pki, node)?;
    }
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
    if options.dns {
        let wanted = ["rollout", "status", "deployment/coredns", "--timeout=90s"];
        let kubectl = &cluster.kubectl;
        kubectl.run(&[&["-n", "kube-system"], wanted.as_slice()].concat())?;
    }
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
    let images = images::write_base(directory, assets, options)?;
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
    if options.dns {
        let manifest = DNS
            .replace("IMAGE", images::COREDNS)
            .replace("DNS_V4", &address::DNS.v4.to_string())
            .replace("DNS_V6", &address::DNS.v6.to_string());
        cluster.kubectl.apply(&manifest)?;
    }
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
