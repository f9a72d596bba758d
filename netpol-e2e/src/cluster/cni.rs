//! The reference CNI plugins and their configuration on a node.

use std::{fs, path::Path};

use serde_json::{Value, json};

use super::{
    address,
    assets::Assets,
    error::Result,
    network::VXLAN_MTU,
    options::{Cni, Options},
};
use crate::lab::error::Doing;

/// Where a node's runtime looks for configurations, and for plugins.
pub const CONF_DIR: &str = "/etc/cni/net.d";
/// See [`CONF_DIR`].
pub const BIN_DIR: &str = "/opt/cni/bin";
/// The file of the cluster's own configuration in [`CONF_DIR`].
pub const CONF_FILE: &str = "10-cluster.conflist";

const PLUGINS: [&str; 5] = ["bridge", "ptp", "host-local", "loopback", "portmap"];

/// The configuration list of a node.
pub(super) fn conflist(options: &Options, node: u8) -> Value {
    let [v4, v6] = address::pod_cidrs(node);
    let ipam = json!({
        "type": "host-local",
        "ranges": [[{"subnet": v4}], [{"subnet": v6}]],
        "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}],
    });
    let main = match options.cni {
        Cni::Bridge => bridge(&ipam, 0),
        Cni::FlannelLike => bridge(&ipam, VXLAN_MTU),
        Cni::Ptp => json!({"type": "ptp", "ipMasq": false, "ipam": ipam}),
    };
    json!({
        "cniVersion": "1.0.0",
        "name": options.cni.to_string(),
        "plugins": [main, {"type": "portmap", "capabilities": {"portMappings": true}}],
    })
}

fn bridge(ipam: &Value, mtu: u16) -> Value {
    json!({
        "type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": false,
        "hairpinMode": true, "mtu": mtu, "ipam": ipam,
    })
}

/// Writes plugins and configuration onto a node's disk, from outside: `etc` and `opt` are what the node sees under `/etc`
/// and `/opt`.
pub(super) fn install(
    etc: &Path,
    opt: &Path,
    assets: &Assets,
    options: &Options,
    node: u8,
) -> Result<()> {
    let bin = opt.join("cni/bin");
    let conf = etc.join("cni/net.d");
    for dir in [&bin, &conf] {
        fs::create_dir_all(dir).doing(|| format!("create {}", dir.display()))?;
    }
    for plugin in PLUGINS {
        let from = assets.kubernetes(plugin)?;
        let to = bin.join(plugin);
        fs::copy(&from, &to).doing(|| format!("copy {} to {}", from.display(), to.display()))?;
    }
    let path = conf.join(CONF_FILE);
    let text = format!("{:#}\n", conflist(options, node));
    fs::write(&path, text).doing(|| format!("write {}", path.display()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_gives_both_families_of_the_nodes_own_range() {
        for cni in Cni::ALL {
            let options = Options {
                cni,
                ..Options::new("test")
            };
            let list = conflist(&options, 2);
            let ranges = &list["plugins"][0]["ipam"]["ranges"];
            assert_eq!(ranges[0][0]["subnet"], "10.244.2.0/24", "{cni}");
            assert_eq!(ranges[1][0]["subnet"], "fd00:10:244:2::/64", "{cni}");
        }
    }
}
