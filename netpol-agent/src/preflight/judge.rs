//! What the facts mean: pure.

use serde::Serialize;

use super::{
    capability::Capability,
    facts::{Facts, Machine, Refusal},
};
use crate::{bpf::load::MapSizes, cli::HookChoice};

mod memory;

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Outcome {
    /// As it should be.
    Pass,
    /// netpol runs, but something may not be as expected.
    Warn,
    /// An agent cannot run here.
    Fail,
}

/// What one check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) check: &'static str,
    pub(super) result: Outcome,
    /// What is so.
    pub(super) says: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) remedy: Option<String>,
    /// What each map costs, where the check is about that.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) tables: Vec<memory::MapCost>,
}

/// The check of who else uses the directories.
pub(super) const AGENT: &str = "agent";

/// What the maps take at the very least.
const LEAST_MEMLOCK: u64 = 64 << 20;

fn finding(
    check: &'static str,
    result: Outcome,
    says: impl Into<String>,
    remedy: Option<&str>,
) -> Finding {
    Finding {
        check,
        result,
        says: says.into(),
        remedy: remedy.map(str::to_owned),
        tables: Vec::new(),
    }
}

fn pass(check: &'static str, says: impl Into<String>) -> Finding {
    finding(check, Outcome::Pass, says, None)
}

/// All checks.
pub(super) fn all(facts: &Facts, hook: HookChoice) -> Vec<Finding> {
    let mut findings = machine(&facts.machine, hook);
    findings.extend(places(facts));
    findings.extend(network(facts));
    findings.push(memory(&facts.sizes, facts.cpus, facts.memory));
    findings
}

/// The kernel and the rights.
pub(super) fn machine(machine: &Machine, hook: HookChoice) -> Vec<Finding> {
    vec![
        kernel(machine),
        rights(machine),
        features(machine),
        attaching(machine, hook),
        locked_memory(machine),
    ]
}

/// Its name alone: what it can is found by trying.
fn kernel(machine: &Machine) -> Finding {
    pass("kernel", format!("Linux {}", machine.kernel))
}

fn rights(machine: &Machine) -> Finding {
    let needed = [
        (Capability::NetAdmin, "NET_ADMIN"),
        (Capability::Bpf, "BPF"),
        (Capability::Perfmon, "PERFMON"),
    ];
    let missing: Vec<&str> = needed
        .into_iter()
        .filter(|(capability, _)| !machine.capabilities.has(*capability))
        .map(|(_, name)| name)
        .collect();
    if !machine.root {
        return finding(
            "rights",
            Outcome::Fail,
            "this is not root",
            Some("run it as root"),
        );
    }
    if missing.is_empty() {
        return pass("rights", "root, with NET_ADMIN, BPF and PERFMON");
    }
    finding(
        "rights",
        Outcome::Fail,
        format!("the capabilities {} are missing", missing.join(", ")),
        Some("add them to the container's securityContext, or run it as root of the node"),
    )
}

fn features(machine: &Machine) -> Finding {
    let refused = machine
        .maps
        .iter()
        .map(|(kind, refusal)| (format!("a map of the kind {}", kind.words()), *refusal))
        .chain(
            machine
                .program
                .map(|refusal| ("a program for traffic control".to_owned(), refusal)),
        );
    let refused: Vec<(String, Refusal)> = refused.collect();
    let Some((_, refusal)) = refused.first() else {
        return pass("bpf", "every kind of map and program that is needed");
    };
    let what: Vec<&str> = refused.iter().map(|(what, _)| what.as_str()).collect();
    let what = what.join(", ");
    match refusal {
        Refusal::Absent => finding(
            "bpf",
            Outcome::Fail,
            format!("this kernel does not have {what}"),
            Some(
                "use Linux 5.10 or later, built with CONFIG_BPF_SYSCALL and CONFIG_NET_CLS_BPF, or \
                 keep the agent off this node with a node selector",
            ),
        ),
        Refusal::Forbidden => finding(
            "bpf",
            Outcome::Fail,
            format!("the kernel refuses {what} to this process"),
            Some(
                "give it the capabilities BPF, NET_ADMIN and PERFMON (before Linux 5.11 also \
                 SYS_RESOURCE), and a seccomp profile that admits bpf(2)",
            ),
        ),
        Refusal::Other(number) => finding(
            "bpf",
            Outcome::Fail,
            format!("the kernel refuses {what} with error {number}"),
            Some("see the kernel's log"),
        ),
    }
}

fn attaching(machine: &Machine, hook: HookChoice) -> Finding {
    match (machine.tcx, hook) {
        (true, HookChoice::Auto | HookChoice::Tcx) => pass("hook", "TCX links"),
        (_, HookChoice::Clsact) | (false, HookChoice::Auto) => {
            pass("hook", "filters of the clsact qdisc")
        }
        (false, HookChoice::Tcx) => finding(
            "hook",
            Outcome::Fail,
            "this kernel has no TCX (Linux 6.6 and later do)",
            Some("use --hook auto or --hook clsact"),
        ),
    }
}

fn locked_memory(machine: &Machine) -> Finding {
    match machine.counts_maps {
        Some(true) => {}
        Some(false) => {
            return pass(
                "memlock",
                "this kernel does not count maps as locked memory",
            );
        }
        // Why no map can be made is another check's.
        None => return pass("memlock", "not asked: no map can be made"),
    }
    let (_, most) = machine.memlock;
    if machine.capabilities.has(Capability::SysResource) || most >= LEAST_MEMLOCK {
        return pass("memlock", "may be raised");
    }
    finding(
        "memlock",
        Outcome::Fail,
        format!("this kernel counts maps as locked memory, of which {most} bytes are allowed"),
        Some("give the agent the capability SYS_RESOURCE"),
    )
}

fn places(facts: &Facts) -> Vec<Finding> {
    let places = &facts.places;
    let path = places.bpffs.display();
    let bpffs = if places.is_bpf {
        pass("bpffs", format!("{path} is on a BPF file system"))
    } else {
        finding(
            "bpffs",
            Outcome::Fail,
            format!("{path} is not on a BPF file system"),
            Some(
                "mount one on the node: `mount -t bpf bpf /sys/fs/bpf` (systemd does); then start \
                 the agent again",
            ),
        )
    };
    let agent = match (&places.busy, &places.unusable) {
        (Some(busy), _) => finding(
            AGENT,
            Outcome::Fail,
            format!("an agent runs here: it uses {}", busy.display()),
            Some("a second one needs another --bpffs, another --socket and other interfaces"),
        ),
        (None, Some(reason)) if places.is_bpf => finding(
            AGENT,
            Outcome::Fail,
            reason.clone(),
            Some("see who may write there"),
        ),
        _ => pass(AGENT, "no other agent uses its directories"),
    };
    vec![bpffs, agent]
}

fn network(facts: &Facts) -> Vec<Finding> {
    let around = &facts.neighbours;
    let pairs = if around.pairs > 0 {
        pass("veth", format!("{} interfaces of pairs", around.pairs))
    } else if around.veth_module {
        pass("veth", "no pair yet")
    } else {
        finding(
            "veth",
            Outcome::Warn,
            "no veth or netkit pair, and no such module",
            Some("netpol enforces where pods hang on such pairs; see how the CNI connects them"),
        )
    };
    let forward = match facts.sysctls.ip_forward {
        Some(false) => finding(
            "forwarding",
            Outcome::Warn,
            "net.ipv4.ip_forward is 0: the node routes nothing for its pods",
            Some("let the CNI set it, or set it to 1"),
        ),
        _ => pass("forwarding", "the node forwards"),
    };
    let bridge = match facts.sysctls.bridge_calls_iptables {
        Some(true) => pass("bridge", "bridged packets are seen by iptables"),
        _ if around.bridges == 0 => pass("bridge", "no bridge"),
        state => finding(
            "bridge",
            Outcome::Warn,
            match state {
                Some(_) => "net.bridge.bridge-nf-call-iptables is 0",
                None => "the module br_netfilter is not loaded",
            },
            Some(
                "with kube-proxy and pods on a bridge, answers of a Service's pod on the same node \
                 get lost: load br_netfilter and set net.bridge.bridge-nf-call-iptables to 1",
            ),
        ),
    };
    vec![pairs, forward, bridge, programs(facts), engines(facts)]
}

/// How many are named.
const NAMED: usize = 3;

fn programs(facts: &Facts) -> Finding {
    let programs = &facts.neighbours.programs;
    if programs.is_empty() {
        return pass("programs", "none but netpol's on the pods' interfaces");
    }
    let mut named: Vec<String> = programs
        .iter()
        .take(NAMED)
        .map(|foreign| format!("{} on {}", foreign.program, foreign.interface))
        .collect();
    if programs.len() > NAMED {
        named.push(format!("{} more", programs.len() - NAMED));
    }
    finding(
        "programs",
        Outcome::Warn,
        format!("others are on the pods' interfaces: {}", named.join(", ")),
        Some(
            "netpol runs first and hands on what it allows; make sure that they do not judge \
             policies as well",
        ),
    )
}

fn engines(facts: &Facts) -> Finding {
    let engines = &facts.neighbours.engines;
    if engines.is_empty() {
        return pass("engines", "no other policy engine is known here");
    }
    let named: Vec<String> = engines
        .iter()
        .map(|(name, evidence)| format!("{name} ({evidence})"))
        .collect();
    finding(
        "engines",
        Outcome::Warn,
        format!(
            "{} enforces policies, too: a packet passes only if both allow it",
            named.join(", ")
        ),
        Some("switch its policy enforcement off, or do not install netpol"),
    )
}

/// Whether the maps fit the node's memory, with what each costs.
pub(super) fn memory(sizes: &MapSizes, cpus: u64, memory: Option<u64>) -> Finding {
    let costs = memory::costs(sizes, cpus);
    let (now, full) = memory::sum(&costs);
    let mib = |bytes: u64| bytes.div_ceil(1 << 20);
    let most = costs.iter().filter(|cost| cost.flag.is_some());
    let most = most.max_by_key(|cost| cost.full);
    let says = format!(
        "{} MiB from the start, {} MiB when every table is full",
        mib(now),
        mib(full)
    );
    let mut finding = match (memory, most) {
        (Some(memory), Some(most)) if full > memory => finding(
            "tables",
            Outcome::Fail,
            format!(
                "the tables take {says}, and this node has {} MiB: {} {} is {} MiB of it",
                mib(memory),
                most.flag.unwrap_or_default(),
                most.entries,
                mib(most.full)
            ),
            Some("give it, and others of the list, a smaller number"),
        ),
        (Some(memory), Some(most)) if full > memory / 2 => finding(
            "tables",
            Outcome::Warn,
            format!("{says}, more than half of this node's {} MiB", mib(memory)),
            Some(&format!(
                "a smaller {} is the first that helps",
                most.flag.unwrap_or_default()
            )),
        ),
        _ => pass("tables", says),
    };
    finding.tables = costs;
    finding
}

/// The costs of the maps as lines.
pub(super) fn cost_table(finding: &Finding) -> String {
    memory::table(&finding.tables)
}

#[cfg(test)]
mod tests;
