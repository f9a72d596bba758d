//! Services, with the address translation that kube-proxy would install in the node's namespace: the
//! packet at the pod's interface carries the Service's address, and who gets it is decided later.

use std::net::{IpAddr, SocketAddr};

use netpol_e2e::{
    lab::{
        Family, Lab, LabError, Link, Outcome, PATIENT, PodSpec, QUICK, Result, skipped_without_root,
    },
    shop::{self, Shop, TCP, UDP},
};
use serde_json::{Value, json};

/// The Service's address, of each family.
fn vip(family: Family) -> IpAddr {
    let text = match family {
        Family::V4 => "10.96.0.10",
        Family::V6 => "fd00:96::a",
    };
    text.parse().expect("an address")
}

/// A Service of the namespace `shop` and its slices, one for each family.
fn service(lab: &Lab, pods: &[&str], ports: &[(&str, u16, u16)]) -> Value {
    let port = |(protocol, port, target): &(&str, u16, u16)| {
        json!({ "name": format!("{protocol}-{port}").to_lowercase(), "protocol": protocol,
                "port": port, "targetPort": target })
    };
    let slice_port = |(protocol, port, target): &(&str, u16, u16)| {
        json!({ "name": format!("{protocol}-{port}").to_lowercase(), "protocol": protocol,
                "port": target })
    };
    let slice = |family: Family| {
        let endpoint = |name: &&str| {
            let address = lab.pod(&format!("shop/{name}")).addresses().of(family);
            json!({ "addresses": [address], "targetRef": { "kind": "Pod", "name": name } })
        };
        let kind = match family {
            Family::V4 => "IPv4",
            Family::V6 => "IPv6",
        };
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {
                "namespace": "shop", "name": format!("front-{family}"),
                "labels": { "kubernetes.io/service-name": "front" },
            },
            "addressType": kind,
            "endpoints": pods.iter().map(endpoint).collect::<Vec<_>>(),
            "ports": ports.iter().map(slice_port).collect::<Vec<_>>(),
        })
    };
    let [v4, v6] = Family::BOTH;
    json!({ "apiVersion": "v1", "kind": "List", "items": [
        {
            "apiVersion": "v1", "kind": "Service",
            "metadata": { "namespace": "shop", "name": "front" },
            "spec": {
                "clusterIP": vip(v4), "clusterIPs": [vip(v4), vip(v6)],
                "ports": ports.iter().map(port).collect::<Vec<_>>(),
            },
        },
        slice(v4), slice(v6),
    ] })
}

/// Has the node translate the Service's address as kube-proxy does: a new connection goes to one of
/// the pods in turn, and what comes back to its sender is masqueraded, under another port.
fn proxy(lab: &Lab, pods: &[&str], ports: &[(&str, u16, u16)]) -> Result<()> {
    let mut dnat = String::new();
    let mut hairpin = String::new();
    for family in Family::BOTH {
        let (ip, open, close) = match family {
            Family::V4 => ("ip", "", ""),
            Family::V6 => ("ip6", "[", "]"),
        };
        let addresses: Vec<IpAddr> = pods
            .iter()
            .map(|name| lab.pod(&format!("shop/{name}")).addresses().of(family))
            .collect();
        for (protocol, port, target) in ports {
            let protocol = protocol.to_lowercase();
            let to = vip(family);
            for (place, address) in addresses.iter().enumerate() {
                let turn = match addresses.len() - place {
                    1 => String::new(),
                    left => format!("numgen inc mod {left} == 0"),
                };
                dnat += &format!(
                    "{ip} daddr {to} {protocol} dport {port} {turn} dnat {ip} to \
                     {open}{address}{close}:{target}\n"
                );
            }
        }
        for address in addresses {
            hairpin +=
                &format!("{ip} saddr {address} {ip} daddr {address} masquerade fully-random\n");
        }
    }
    let rules = format!(
        "table inet proxy\ndelete table inet proxy\ntable inet proxy {{
            chain pre {{ type nat hook prerouting priority dstnat;\n{dnat} }}
            chain post {{ type nat hook postrouting priority srcnat;\n{hairpin} }}
        }}"
    );
    let path = lab.manifests().dir().with_file_name("proxy.nft");
    std::fs::write(&path, rules).map_err(|source| LabError::Io {
        action: format!("write {}", path.display()),
        source,
    })?;
    lab.node()
        .run("nft", &["-f", &path.to_string_lossy()])
        .map(drop)
}

const PORTS: &[(&str, u16, u16)] = &[("TCP", 80, TCP), ("UDP", 53, UDP)];

/// The Service leads to these pods, for the agent and for the node.
fn lead_to(shop: &mut Shop, pods: &[&str]) -> Result<()> {
    proxy(&shop.lab, pods, PORTS)?;
    let objects = service(&shop.lab, pods, PORTS);
    shop.lab
        .manifests()
        .write_object("service.json", &objects)?;
    shop.agent.wait_ready()
}

/// A policy in full, as users write it against DNS.
const ALLOW_DNS: &str = "\
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {namespace: shop, name: allow-dns}
spec:
  podSelector: {matchLabels: {app: good}}
  policyTypes: [Egress]
  egress:
    - to:
        - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}
          podSelector: {matchLabels: {k8s-app: kube-dns}}
      ports: [{protocol: UDP, port: 53}, {protocol: TCP, port: 53}]
";

#[test]
fn allow_kube_dns_pods_on_53_through_the_cluster_ip() -> Result<()> {
    if skipped_without_root("allow_kube_dns_pods_on_53") {
        return Ok(());
    }
    let mut shop = Shop::new(Link::PointToPoint)?;
    let dns = PodSpec::new("kube-system/kube-dns").label("k8s-app", "kube-dns");
    let dns = shop.lab.add_pod(dns)?;
    dns.serve_udp(53)?;
    dns.serve_tcp(53)?;
    let mut rules = String::new();
    for family in Family::BOTH {
        let ip = if family == Family::V4 { "ip" } else { "ip6" };
        let to = SocketAddr::new(dns.addresses().of(family), 53);
        for protocol in ["udp", "tcp"] {
            let from = vip(family);
            rules += &format!("{ip} daddr {from} {protocol} dport 53 dnat {ip} to {to}\n");
        }
    }
    let rules = format!(
        "table inet proxy {{
            chain pre {{ type nat hook prerouting priority dstnat;\n{rules} }}
        }}"
    );
    let path = shop.lab.manifests().dir().with_file_name("dns.nft");
    std::fs::write(&path, rules).map_err(|source| LabError::Io {
        action: format!("write {}", path.display()),
        source,
    })?;
    shop.lab
        .node()
        .run("nft", &["-f", &path.to_string_lossy()])?;
    shop.lab.manifests().write(shop::POLICIES, ALLOW_DNS)?;
    shop.agent.start()?;
    let ask = |shop: &Shop, family| {
        let good = shop.pod("good");
        let udp = good.ask_udp(vip(family), 53, QUICK).is_ok();
        (udp, good.connect_tcp(vip(family), 53, QUICK))
    };
    for family in Family::BOTH {
        let closed = ask(&shop, family);
        assert_eq!(
            closed,
            (false, Outcome::TimedOut),
            "{family}: no Service is known"
        );
    }
    let slice = |family: Family, kind: &str| {
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": { "namespace": "kube-system", "name": format!("kube-dns-{family}"),
                          "labels": { "kubernetes.io/service-name": "kube-dns" } },
            "addressType": kind,
            "endpoints": [{ "addresses": [dns.addresses().of(family)],
                            "targetRef": { "kind": "Pod", "name": "kube-dns" } }],
            "ports": [{ "name": "dns", "port": 53, "protocol": "UDP" },
                      { "name": "dns-tcp", "port": 53, "protocol": "TCP" }],
        })
    };
    let objects = json!({ "apiVersion": "v1", "kind": "List", "items": [
        {
            "apiVersion": "v1", "kind": "Service",
            "metadata": { "namespace": "kube-system", "name": "kube-dns" },
            "spec": {
                "selector": { "k8s-app": "kube-dns" },
                "clusterIPs": [vip(Family::V4), vip(Family::V6)],
                "ports": [{ "name": "dns", "port": 53, "protocol": "UDP" },
                          { "name": "dns-tcp", "port": 53, "protocol": "TCP" }],
            },
        },
        slice(Family::V4, "IPv4"), slice(Family::V6, "IPv6"),
    ] });
    shop.lab
        .manifests()
        .write_object("service.json", &objects)?;
    shop.agent.wait_ready()?;
    for family in Family::BOTH {
        assert_eq!(ask(&shop, family), (true, Outcome::Reached), "{family}");
        // And by the pod's own address, as where something has translated before.
        let direct = shop
            .pod("good")
            .ask_udp(dns.addresses().of(family), 53, PATIENT);
        assert!(direct.is_ok(), "{family}");
    }
    Ok(())
}

#[test]
fn a_partly_allowed_service_leads_to_no_backend_that_is_forbidden() -> Result<()> {
    if skipped_without_root("a_partly_allowed_service") {
        return Ok(());
    }
    let mut shop = Shop::enforcing(Link::PointToPoint, &shop::egress("good"))?;
    shop.pod("bad").serve_udp(UDP)?;
    lead_to(&mut shop, &["server", "bad"])?;
    let tap = shop
        .pod("bad")
        .tap(|seen| [TCP, UDP].contains(&seen.dst.port()))?;
    for family in Family::BOTH {
        let mut reached = 0;
        for _ in 0..6 {
            let tcp = shop.pod("good").connect_tcp(vip(family), 80, QUICK);
            reached += usize::from(tcp == Outcome::Reached);
            let udp = shop.pod("good").ask_udp(vip(family), 53, QUICK);
            reached += usize::from(udp.is_ok());
        }
        assert!((1..12).contains(&reached), "{family}: {reached} of 12");
    }
    assert_eq!(tap.seen(), [], "the forbidden backend saw nothing");
    // The check itself: others are sent there.
    let seen = (0..4).filter(|_| {
        let outcome = shop.pod("server").connect_tcp(vip(Family::V4), 80, QUICK);
        outcome == Outcome::Reached
    });
    assert_eq!(seen.count(), 4);
    assert!(
        !tap.seen().is_empty(),
        "the other backend takes what is allowed"
    );
    Ok(())
}

#[test]
fn while_backends_change_none_that_is_forbidden_sees_anything() -> Result<()> {
    if skipped_without_root("while_backends_change") {
        return Ok(());
    }
    let mut shop = Shop::enforcing(Link::PointToPoint, &shop::egress("good"))?;
    shop.pod("bad").serve_udp(UDP)?;
    lead_to(&mut shop, &["server"])?;
    let tap = shop
        .pod("bad")
        .tap(|seen| [TCP, UDP].contains(&seen.dst.port()))?;
    // The node's turns begin anew with its rules: of two questions each backend gets one.
    let in_turn = ["bad", "server"];
    let at_most_one = |asked: [bool; 2]| {
        let reached = asked.into_iter().filter(|reached| *reached).count();
        assert!(reached <= 1, "one of them is forbidden");
        reached
    };
    let mut reached = 0;
    for turn in 0..6 {
        // The node is ahead of the agent, and then behind it.
        proxy(&shop.lab, &["bad"], PORTS)?;
        let ahead = shop.pod("good").connect_tcp(vip(Family::V4), 80, QUICK);
        assert_eq!(ahead, Outcome::TimedOut, "turn {turn}");
        lead_to(&mut shop, &["bad", "server"])?;
        for family in Family::BOTH {
            let good = shop.pod("good");
            let asked = in_turn.map(|_| good.ask_udp(vip(family), 53, QUICK).is_ok());
            reached += at_most_one(asked);
        }
        let objects = service(&shop.lab, &["server"], PORTS);
        shop.lab
            .manifests()
            .write_object("service.json", &objects)?;
        shop.agent.wait_ready()?;
        for family in Family::BOTH {
            let good = shop.pod("good");
            let asked = in_turn.map(|_| good.connect_tcp(vip(family), 80, QUICK).is_reached());
            reached += at_most_one(asked);
        }
    }
    assert!(reached > 0, "the allowed backend is reached now and then");
    assert_eq!(tap.seen(), [], "the forbidden backend saw nothing");
    Ok(())
}

#[test]
fn a_service_without_a_backend_that_is_allowed_is_closed() -> Result<()> {
    if skipped_without_root("a_service_without_a_backend") {
        return Ok(());
    }
    let mut shop = Shop::enforcing(Link::PointToPoint, &shop::egress("good"))?;
    lead_to(&mut shop, &["bad"])?;
    for family in Family::BOTH {
        let forbidden = shop.pod("good").connect_tcp(vip(family), 80, QUICK);
        assert_eq!(forbidden, Outcome::TimedOut, "{family}");
        let free = shop.pod("server").connect_tcp(vip(family), 80, PATIENT);
        assert_eq!(
            free,
            Outcome::Reached,
            "{family}: a pod that nothing isolates"
        );
    }
    // kube-proxy is behind: it still sends to one that is allowed, and the Service has none.
    proxy(&shop.lab, &["server"], PORTS)?;
    let objects = service(&shop.lab, &[], PORTS);
    shop.lab
        .manifests()
        .write_object("service.json", &objects)?;
    shop.agent.wait_ready()?;
    let none = shop.pod("good").connect_tcp(vip(Family::V4), 80, QUICK);
    assert_eq!(none, Outcome::TimedOut);
    Ok(())
}

#[test]
fn a_closed_port_behind_a_service_is_told() -> Result<()> {
    if skipped_without_root("a_closed_port_behind_a_service") {
        return Ok(());
    }
    // Nobody listens there. What the backend says quotes its own address, until the node has
    // translated that too.
    const CLOSED: &[(&str, u16, u16)] = &[("UDP", 53, 5399)];
    let mut shop = Shop::enforcing(Link::PointToPoint, &shop::egress("good"))?;
    proxy(&shop.lab, &["server"], CLOSED)?;
    let objects = service(&shop.lab, &["server"], CLOSED);
    shop.lab
        .manifests()
        .write_object("service.json", &objects)?;
    shop.agent.wait_ready()?;
    for ingress in ["", &shop::deny("good", "Ingress")] {
        shop.apply(&[&shop::egress("good"), ingress].concat())?;
        for family in Family::BOTH {
            let told = shop.pod("good").ask_udp(vip(family), 53, PATIENT);
            assert_eq!(told, Err(Outcome::Refused), "{family}");
        }
    }
    Ok(())
}

#[test]
fn a_pod_reaches_itself_through_its_service_and_nobody_else_does_by_that() -> Result<()> {
    if skipped_without_root("a_pod_reaches_itself") {
        return Ok(());
    }
    let mut shop = Shop::enforcing(Link::PointToPoint, &shop::deny("server", "Ingress, Egress"))?;
    proxy(&shop.lab, &["server"], PORTS)?;
    for family in Family::BOTH {
        let unknown = shop.pod("server").connect_tcp(vip(family), 80, QUICK);
        assert_eq!(unknown, Outcome::TimedOut, "{family}: no Service is known");
    }
    lead_to(&mut shop, &["server"])?;
    for family in Family::BOTH {
        let itself = shop.pod("server").connect_tcp(vip(family), 80, PATIENT);
        assert_eq!(itself, Outcome::Reached, "{family}");
        let itself = shop.pod("server").ask_udp(vip(family), 53, PATIENT);
        assert!(itself.is_ok(), "{family}");
        let other = shop.pod("bad").connect_tcp(vip(family), 80, QUICK);
        assert_eq!(other, Outcome::TimedOut, "{family}");
    }
    // Isolated for ingress alone, the way back is what matters.
    shop.apply(&shop::deny("server", "Ingress"))?;
    for family in Family::BOTH {
        let itself = shop.pod("server").connect_tcp(vip(family), 80, PATIENT);
        assert_eq!(itself, Outcome::Reached, "{family}");
    }
    Ok(())
}
