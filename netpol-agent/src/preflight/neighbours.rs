//! Interfaces, and others who may judge their packets as well.

use std::{fs, path::Path};

use anyhow::Context;

use crate::{
    bpf::{clsact, hook::Side, load::PinDirs, tcx},
    discovery::{facts::LinkKind, netlink},
};

/// What was found in this network namespace.
#[derive(Debug, Default)]
pub(super) struct Neighbours {
    /// Interfaces that lead to pods, by their kind.
    pub(super) pairs: usize,
    /// The kernel has the module even if there is no such interface yet.
    pub(super) veth_module: bool,
    pub(super) bridges: usize,
    /// Programs on such interfaces that are not ours.
    pub(super) programs: Vec<Foreign>,
    /// Policy engines, with what tells of each.
    pub(super) engines: Vec<(&'static str, String)>,
}

/// A program that is not ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Foreign {
    pub(super) interface: String,
    pub(super) program: String,
}

/// An engine that enforces policies itself, and what it leaves on a node.
struct Engine {
    name: &'static str,
    interfaces: &'static [&'static str],
    /// The plugin's `type` in a CNI configuration.
    plugin: &'static str,
}

const ENGINES: &[Engine] = &[
    Engine {
        name: "Cilium",
        interfaces: &["cilium_host", "cilium_net"],
        plugin: "cilium-cni",
    },
    Engine {
        name: "Calico",
        interfaces: &["cali*", "vxlan.calico"],
        plugin: "calico",
    },
    Engine {
        name: "Antrea",
        interfaces: &["antrea-gw0"],
        plugin: "antrea",
    },
    Engine {
        name: "kube-router",
        interfaces: &["kube-bridge", "kube-dummy-if"],
        plugin: "kube-router",
    },
    Engine {
        name: "OVN-Kubernetes",
        interfaces: &["ovn-k8s-mp0"],
        plugin: "ovn-k8s-cni-overlay",
    },
    Engine {
        name: "Weave Net",
        interfaces: &["weave"],
        plugin: "weave-net",
    },
];

/// Looks around. Nothing is changed.
pub(super) async fn look(bpffs: &Path, cni_conf_dir: &Path) -> anyhow::Result<Neighbours> {
    let (connection, handle, _) = rtnetlink::new_connection().context("open a netlink socket")?;
    let connection = tokio::spawn(connection);
    let links = netlink::links(&handle).await.context("list interfaces")?;
    let dirs = PinDirs::under(bpffs);
    let mut found = Neighbours {
        veth_module: Path::new("/sys/module/veth").exists(),
        ..Neighbours::default()
    };
    let mut names = Vec::new();
    for (ifindex, link) in &links {
        names.push(link.name.as_str());
        match link.kind {
            LinkKind::Bridge => found.bridges += 1,
            LinkKind::Veth | LinkKind::Netkit => {
                found.pairs += 1;
                for side in Side::BOTH {
                    let numbers = tcx::foreign(&dirs.links, *ifindex, side).unwrap_or_default();
                    let numbers = numbers.iter().map(|number| format!("TCX program {number}"));
                    let filters = clsact::foreign(&handle, *ifindex, side).await?;
                    let filters = filters.iter().map(|name| format!("filter {name}"));
                    found
                        .programs
                        .extend(numbers.chain(filters).map(|program| Foreign {
                            interface: link.name.clone(),
                            program,
                        }));
                }
            }
            _ => {}
        }
    }
    connection.abort();
    found
        .programs
        .sort_by(|a, b| (&a.interface, &a.program).cmp(&(&b.interface, &b.program)));
    found.engines = engines(&names, &configurations(cni_conf_dir));
    Ok(found)
}

/// The texts of the CNI configurations; none where the directory cannot be read.
fn configurations(directory: &Path) -> Vec<(String, String)> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let kind = Path::new(&name).extension()?.to_str()?;
            matches!(kind, "conf" | "conflist" | "json").then_some(())?;
            Some((name, fs::read_to_string(entry.path()).ok()?))
        })
        .collect()
}

fn engines(
    interfaces: &[&str],
    configurations: &[(String, String)],
) -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    for engine in ENGINES {
        let interface = interfaces
            .iter()
            .find(|name| engine.interfaces.iter().any(|known| is_like(name, known)));
        let configuration = configurations
            .iter()
            .find(|(_, text)| text.contains(&format!("\"{}\"", engine.plugin)));
        if let Some(name) = interface {
            found.push((engine.name, format!("its interface {name} is there")));
        } else if let Some((file, _)) = configuration {
            found.push((engine.name, format!("its plugin is in {file}")));
        }
    }
    found
}

fn is_like(name: &str, known: &str) -> bool {
    match known.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == known,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_is_known_by_an_interface_or_a_configuration() {
        let conf = (
            "05-cilium.conflist".to_owned(),
            r#"{"plugins": [{"type": "cilium-cni"}]}"#.to_owned(),
        );
        assert_eq!(
            engines(&["eth0", "cali12345"], &[conf]),
            [
                ("Cilium", "its plugin is in 05-cilium.conflist".to_owned()),
                ("Calico", "its interface cali12345 is there".to_owned()),
            ]
        );
    }

    #[test]
    fn plain_plugins_are_no_engines() {
        let conf = |kind: &str| {
            (
                "10.conflist".to_owned(),
                format!(r#"{{"plugins": [{{"type": "{kind}"}}]}}"#),
            )
        };
        let plain = ["bridge", "ptp", "flannel", "portmap"].map(conf);
        assert_eq!(engines(&["cni0", "veth1234", "flannel.1"], &plain), []);
    }
}
