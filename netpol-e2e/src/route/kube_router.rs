//! The policy as kube-router writes it, for `ipset restore` and `iptables-restore`.
//!
//! ```text
//! FORWARD - KUBE-ROUTER-FORWARD - four rules a pod, one after the other: to it, from it, both again for bridges
//!              |                       '-- KUBE-POD-FW-n - KUBE-NWPLCY-COMMON: known connections end here
//!              |                                         - KUBE-NWPLCY-n: sets of sources and of pods, ports: mark
//!              |                                         - KUBE-NWPLCY-DEFAULT: what no policy selects: mark
//!              |                                         - no mark: NFLOG, REJECT
//!              '-- KUBE-NWPLCY-TAIL: accept
//! ```
//! Read in cloudnativelabs/kube-router at 7c2c2779e397 (2026-08-16): `pkg/controllers/netpol/pod.go`
//! (`syncPodFirewallChains`, `setupPodNetpolRules`, `interceptPod*Traffic`), `policy.go`
//! (`appendRuleToPolicyChain`), `npc_iptables.go` (`ensureCommonPolicyChain`, `populateDefaultTailChain`).
//! Chains for packets to and from the node itself are left out: nothing that is measured goes there.

use std::{fmt::Write, net::Ipv4Addr};

use super::rules::Isolated;

/// What any rule of it needs of the system: a set, then rules that nothing jumps to. They stay.
pub(super) const PROBE: [&str; 2] = [
    "create PROBE hash:ip family inet timeout 0\n",
    "\
*filter
:PROBE - [0:0]
-A PROBE -m comment --comment probe -m conntrack --ctstate INVALID -j DROP
-A PROBE -m set --match-set PROBE src -p tcp -m tcp --dport 1 -j MARK --set-xmark 0x10000/0x10000
-A PROBE -m addrtype --src-type LOCAL -j ACCEPT
-A PROBE -m physdev --physdev-is-bridged -j ACCEPT
-A PROBE -m mark --mark 1/1 -m limit --limit 10/minute --limit-burst 10 -j NFLOG --nflog-group 100
-A PROBE -j REJECT
COMMIT
",
];

/// What `ipset restore` reads: who is let in to each pod, and the pods that each policy selects.
pub(super) fn sets(pods: &[Isolated]) -> String {
    let mut text = String::new();
    for (n, pod) in pods.iter().enumerate() {
        set(&mut text, &format!("KUBE-SRC-{n}"), &pod.peers);
        set(&mut text, &format!("KUBE-DST-{n}"), &[pod.address]);
    }
    text
}

fn set(text: &mut String, name: &str, addresses: &[Ipv4Addr]) {
    // Writing to a string does not fail.
    let _ = writeln!(text, "create {name} hash:ip family inet timeout 0");
    for address in addresses {
        let _ = writeln!(text, "add {name} {address} timeout 0");
    }
}

const COMMON: &str = "\
-A FORWARD -m comment --comment \"kube-router netpol\" -j KUBE-ROUTER-FORWARD
-A KUBE-NWPLCY-COMMON -m conntrack --ctstate INVALID -j DROP
-A KUBE-NWPLCY-COMMON -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A KUBE-NWPLCY-COMMON -p icmp --icmp-type echo-request -j ACCEPT
-A KUBE-NWPLCY-COMMON -p icmp --icmp-type destination-unreachable -j ACCEPT
-A KUBE-NWPLCY-COMMON -p icmp --icmp-type time-exceeded -j ACCEPT
-A KUBE-NWPLCY-DEFAULT -j MARK --set-xmark 0x10000/0x10000
-A KUBE-NWPLCY-TAIL -m mark --mark 0x20000/0x20000 -j ACCEPT
";

/// What `iptables-restore` reads.
pub(super) fn rules(pods: &[Isolated]) -> String {
    let mut text = String::from("*filter\n");
    let chains = [
        "ROUTER-FORWARD",
        "NWPLCY-COMMON",
        "NWPLCY-DEFAULT",
        "NWPLCY-TAIL",
    ];
    for chain in chains {
        let _ = writeln!(text, ":KUBE-{chain} - [0:0]");
    }
    for n in 0..pods.len() {
        let _ = writeln!(text, ":KUBE-POD-FW-{n} - [0:0]\n:KUBE-NWPLCY-{n} - [0:0]");
    }
    text.push_str(COMMON);
    for (n, pod) in pods.iter().enumerate() {
        policy(&mut text, n, pod);
        firewall(&mut text, n, pod);
        jumps(&mut text, n, pod);
    }
    text.push_str("-A KUBE-ROUTER-FORWARD -j KUBE-NWPLCY-TAIL\nCOMMIT\n");
    text
}

/// A port a rule, twice: the first marks what the policy lets in, the second returns at once.
fn policy(text: &mut String, n: usize, pod: &Isolated) {
    for (protocol, port) in &pod.ports {
        let protocol = protocol.to_string().to_lowercase();
        let matches = format!(
            "-A KUBE-NWPLCY-{n} -m comment --comment \"{}\" -m set --match-set KUBE-SRC-{n} src \
             -m set --match-set KUBE-DST-{n} dst -p {protocol} -m {protocol} --dport {port}",
            pod.name
        );
        let _ = writeln!(text, "{matches} -j MARK --set-xmark 0x10000/0x10000");
        let _ = writeln!(text, "{matches} -m mark --mark 0x10000/0x10000 -j RETURN");
    }
}

fn firewall(text: &mut String, n: usize, pod: &Isolated) {
    let (chain, address) = (format!("-A KUBE-POD-FW-{n}"), pod.address);
    let unmarked = "-m mark ! --mark 0x10000/0x10000";
    for rule in [
        "-j KUBE-NWPLCY-COMMON".to_owned(),
        format!("-d {address} -m addrtype --src-type LOCAL -j ACCEPT"),
        format!("-s {address} -j KUBE-NWPLCY-DEFAULT"),
        format!("-d {address} -j KUBE-NWPLCY-{n}"),
        format!(
            "{unmarked} -m limit --limit 10/minute --limit-burst 10 -j NFLOG --nflog-group 100"
        ),
        format!("{unmarked} -j REJECT"),
        "-j MARK --set-mark 0/0x10000".to_owned(),
        "-j MARK --set-mark 0x20000/0x20000".to_owned(),
    ] {
        let _ = writeln!(text, "{chain} {rule}");
    }
}

/// To the pod and from it; both once more for packets that a bridge forwards.
fn jumps(text: &mut String, n: usize, pod: &Isolated) {
    for end in ["-d", "-s"] {
        for bridged in ["", "-m physdev --physdev-is-bridged "] {
            let _ = writeln!(
                text,
                "-A KUBE-ROUTER-FORWARD {bridged}-m comment --comment \"{}\" {end} {} -j KUBE-POD-FW-{n}",
                pod.name, pod.address
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{rules, sets};
    use crate::route::rules::small;

    #[test]
    fn each_pod_has_two_sets() {
        let text = sets(&small().pods);
        assert_eq!(text.matches("create ").count(), 6);
        assert!(text.contains(
            "create KUBE-SRC-1 hash:ip family inet timeout 0\nadd KUBE-SRC-1 10.244.1.2"
        ));
        assert!(text.contains("add KUBE-DST-1 10.244.0.2 timeout 0"));
    }

    #[test]
    fn a_packet_passes_four_rules_for_each_pod_before_its_own() {
        let text = rules(&small().pods);
        let forward: Vec<&str> = text
            .lines()
            .filter(|line| line.starts_with("-A KUBE-ROUTER-FORWARD"))
            .collect();
        assert_eq!(forward.len(), 3 * 4 + 1);
        assert!(
            forward[4].ends_with("-d 10.244.0.2 -j KUBE-POD-FW-1"),
            "{}",
            forward[4]
        );
    }

    #[test]
    fn what_is_not_marked_is_logged_and_refused() {
        let text = rules(&small().pods);
        let chain: Vec<&str> = text
            .lines()
            .filter(|line| line.starts_with("-A KUBE-POD-FW-1"))
            .collect();
        let place = |what: &str| chain.iter().position(|line| line.contains(what));
        assert!(place("KUBE-NWPLCY-COMMON") < place("-j KUBE-NWPLCY-1"));
        assert!(place("-j KUBE-NWPLCY-1") < place("-j REJECT"));
        assert!(place("-j REJECT") < place("0x20000/0x20000"));
    }
}
