//! Who lives in a lab: its namespaces, pods and hosts outside, coming and going.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    Lab, NODE_NAME,
    address::{self, Addresses, NODE, POD_GATEWAY},
    command::ip_batch,
    error::{LabError, Result},
    host::Host,
    links::{self, Link, Wire},
    netns::Netns,
    pod::{Place, PodSpec},
};

/// Where the node of the pods [`PodSpec::on_another_node`] is.
const OTHER_NODE: &str = "node-2";

impl Lab {
    /// Gives a namespace labels; without this it has none but its name.
    ///
    /// # Errors
    ///
    /// Those of the file system.
    pub fn namespace(&mut self, name: &str, labels: &[(&str, &str)]) -> Result<()> {
        let labels = labels
            .iter()
            .map(|&(key, value)| (key.to_owned(), value.to_owned()));
        self.declare_namespace(name, labels.collect())
    }

    /// Adds a host that is no pod, on an uplink of its own.
    ///
    /// # Errors
    ///
    /// When the system refuses a namespace or a link.
    pub fn add_outside(&mut self, name: &str) -> Result<Host> {
        let uplink = self.next.uplink;
        self.next.uplink += 1;
        let host = self.new_host(name, address::outside(uplink), format!("up{uplink}"));
        self.attach(&[(host.clone(), address::uplink(uplink), Link::PointToPoint)])?;
        Ok(host)
    }

    /// Adds pods: links them, then says so in the manifests.
    ///
    /// # Errors
    ///
    /// As [`Lab::link_pods`] and [`Lab::announce_pod`].
    pub fn add_pods(&mut self, specs: Vec<PodSpec>) -> Result<()> {
        let keys: Vec<String> = specs.iter().map(|spec| spec.key.to_string()).collect();
        self.link_pods(specs)?;
        keys.iter().try_for_each(|key| self.announce_pod(key))
    }

    /// Adds one pod.
    ///
    /// # Errors
    ///
    /// As [`Lab::add_pods`].
    pub fn add_pod(&mut self, spec: PodSpec) -> Result<Host> {
        let key = spec.key.to_string();
        self.add_pods(vec![spec])?;
        self.host(&key)
    }

    /// Makes pods' namespaces and links; no manifest tells of them yet.
    ///
    /// Addresses given by [`PodSpec::at`] were somebody else's before: they are announced to the
    /// neighbours, as CNI plugins do. Others are not, so that there are silent pods for the agent
    /// to find.
    ///
    /// # Errors
    ///
    /// When the system refuses a namespace or a link.
    pub fn link_pods(&mut self, specs: Vec<PodSpec>) -> Result<()> {
        let mut wires = Vec::with_capacity(specs.len());
        let mut heirs = Vec::new();
        for spec in specs {
            let wire = self.plan(&spec);
            if spec.addresses.is_some() {
                heirs.push(wire.0.netns.clone());
            }
            self.pods.insert(spec.key.to_string(), spec);
            wires.push(wire);
        }
        self.attach(&wires)?;
        heirs.iter().try_for_each(links::announce)
    }

    /// Writes a pod's object as the API server would show it, and its namespace's.
    ///
    /// # Errors
    ///
    /// When there is no such pod, or those of the file system.
    pub fn announce_pod(&mut self, key: &str) -> Result<()> {
        let host = self.host(key)?;
        let (object, namespace) = self.object_of(key, &host)?;
        if !self.namespaces.contains_key(&namespace) {
            self.declare_namespace(&namespace, BTreeMap::new())?;
        }
        self.manifests.write_object(&pod_file(key), &object)
    }

    /// Gives a pod other labels and writes its object again.
    ///
    /// # Errors
    ///
    /// When there is no such pod, or those of the file system.
    pub fn relabel(&mut self, key: &str, labels: &[(&str, &str)]) -> Result<()> {
        if let Some(spec) = self.pods.get_mut(key) {
            spec.labels = labels
                .iter()
                .map(|&(name, value)| (name.to_owned(), value.to_owned()))
                .collect();
        }
        self.announce_pod(key)
    }

    /// Removes a pod: its servers, its link, its namespace, its object.
    ///
    /// # Errors
    ///
    /// When there is no such pod, or the system refuses.
    pub fn remove_pod(&mut self, key: &str) -> Result<PodSpec> {
        self.manifests.remove(&pod_file(key))?;
        self.unlink_pod(key)
    }

    /// Removes a pod's servers, link and namespace; its object stays. What it was is returned, to
    /// be linked again.
    ///
    /// # Errors
    ///
    /// When there is no such pod, or the system refuses.
    pub fn unlink_pod(&mut self, key: &str) -> Result<PodSpec> {
        let host = self.host(key)?;
        let spec = self.pods.remove(key);
        self.hosts.remove(key);
        self.servers.desk().close_host(key);
        links::disconnect(&self.node.netns, &host.interface)?;
        ip_batch(None, &[format!("netns del {}", host.netns.name())])?;
        spec.ok_or_else(|| LabError::UnknownHost {
            name: key.to_owned(),
            known: self.pods.keys().cloned().collect::<Vec<_>>().join(", "),
        })
    }

    /// Chooses a pod's address, interface and gateway.
    fn plan(&mut self, spec: &PodSpec) -> (Host, Addresses, Link) {
        let key = spec.key.to_string();
        if spec.place == Place::Elsewhere {
            let (number, uplink) = (self.next.remote_pod, self.next.uplink);
            self.next.remote_pod += 1;
            self.next.uplink += 1;
            let addresses = spec.addresses.unwrap_or(address::remote_pod(number));
            let host = self.new_host(&key, addresses, format!("up{uplink}"));
            return (host, address::uplink(uplink), Link::PointToPoint);
        }
        let addresses = spec.addresses.unwrap_or_else(|| {
            self.next.pod += 1;
            address::pod(self.next.pod - 1)
        });
        let interface = spec.interface.clone().unwrap_or_else(|| {
            self.next.interface += 1;
            format!("veth{:04x}", self.next.interface - 1)
        });
        let host = self.new_host(&key, addresses, interface);
        (host, POD_GATEWAY, self.link)
    }

    fn new_host(&self, name: &str, addresses: Addresses, interface: String) -> Host {
        Host {
            name: name.to_owned(),
            netns: Netns::named(self.id.netns(name)),
            addresses,
            interface,
            desk: self.servers.desk(),
        }
    }

    fn attach(&mut self, planned: &[(Host, Addresses, Link)]) -> Result<()> {
        let wires: Vec<Wire<'_>> = planned
            .iter()
            .map(|(host, gateway, link)| Wire {
                netns: &host.netns,
                interface: &host.interface,
                ifindex: self.pods.get(&host.name).and_then(|spec| spec.ifindex),
                addresses: host.addresses,
                gateway: *gateway,
                link: *link,
            })
            .collect();
        links::connect(&self.node.netns, &wires)?;
        for (host, _, _) in planned {
            self.hosts.insert(host.name.clone(), host.clone());
        }
        Ok(())
    }

    fn declare_namespace(&mut self, name: &str, labels: BTreeMap<String, String>) -> Result<()> {
        let mut shown = labels.clone();
        shown.insert("kubernetes.io/metadata.name".to_owned(), name.to_owned());
        let object = json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": name, "labels": shown},
        });
        self.manifests
            .write_object(&format!("namespace-{name}.json"), &object)?;
        self.namespaces.insert(name.to_owned(), labels);
        Ok(())
    }

    fn object_of(&self, key: &str, host: &Host) -> Result<(Value, String)> {
        let spec = self.pods.get(key).ok_or_else(|| LabError::UnknownHost {
            name: key.to_owned(),
            known: self.pods.keys().cloned().collect::<Vec<_>>().join(", "),
        })?;
        let (node, node_addresses) = match spec.place {
            Place::Here => (NODE_NAME, NODE),
            Place::Elsewhere => (OTHER_NODE, address::remote_pod(1)),
        };
        let object = spec.object(node, node_addresses, host.addresses);
        Ok((object, spec.key.namespace.clone()))
    }
}

fn pod_file(key: &str) -> String {
    format!("pod-{}.json", key.replace('/', "."))
}
