//! netpol on a cluster, as a user installs it: the image made known to the nodes, `kubectl apply -k deploy`.

use std::{env, path::PathBuf};

use anyhow::bail;

use crate::{
    cluster::{Assets, Cluster},
    lab::{is_root, skip, workspace},
};

/// Names the archive of netpol's image.
pub const IMAGE_VARIABLE: &str = "NETPOL_IMAGE";

/// The archive of the image; none, and said so, where a test that needs it and a cluster cannot run.
#[must_use]
pub fn image_or_skip(test: &str) -> Option<PathBuf> {
    if !is_root() {
        skip(test, "a cluster needs root: run the tests with sudo");
        return None;
    }
    if let Err(error) = Assets::find().kubernetes("kube-apiserver") {
        skip(test, &error.to_string());
        return None;
    }
    let image = env::var_os(IMAGE_VARIABLE);
    if image.is_none() {
        let why = format!("{IMAGE_VARIABLE} names no archive: `cargo xtask image` makes one");
        skip(test, &why);
    }
    image.map(PathBuf::from)
}

/// The directory of the project's manifests.
#[must_use]
pub fn manifests() -> String {
    workspace().join("deploy").display().to_string()
}

/// Installs the project's manifests on nodes that have the image; returns once every agent is ready.
///
/// # Errors
///
/// When the manifests are refused, or the agents are not ready within three minutes.
pub fn install(cluster: &Cluster) -> anyhow::Result<()> {
    cluster.kubectl().run(&["apply", "-k", &manifests()])?;
    rolled_out(cluster)
}

/// Returns once every agent is ready.
///
/// # Errors
///
/// When they are not within three minutes, with what the API server says of them.
pub fn rolled_out(cluster: &Cluster) -> anyhow::Result<()> {
    let kubectl = cluster.kubectl();
    let namespace = ["-n", "netpol-system"];
    let rollout = ["rollout", "status", "daemonset/netpol", "--timeout=180s"];
    if let Err(error) = kubectl.run(&[&namespace[..], &rollout].concat()) {
        let why = kubectl.run(&[&namespace[..], &["describe", "pods"]].concat());
        bail!("netpol is not ready: {error}\n{}", why.unwrap_or_default());
    }
    Ok(())
}
