//! The kubelet's probes come from the node, which policies never keep from its own pods.

use std::{collections::BTreeSet, thread, time::Duration};

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::Measure;
use crate::{
    lab::Wiretap,
    trial::{
        addresses::pod_address,
        bed::Bed,
        findings::Findings,
        objects::{AGNHOST, namespace, pod, policy},
        pods::PodFacts,
    },
};

const PROBED: &str = "probed";
const HTTP: u16 = 8080;
const GRPC: u16 = 5000;
/// Addresses of the pods that are probed over IPv6: the kubelet probes a pod's first address, which is IPv4 here, unless
/// the probe names another.
const FIRST_V6: u8 = 220;

/// A kind of probe over one family.
struct Kind {
    name: &'static str,
    port: u16,
    v6: bool,
}

const KINDS: [Kind; 5] = [
    Kind {
        name: "http",
        port: HTTP,
        v6: false,
    },
    Kind {
        name: "tcp",
        port: HTTP,
        v6: false,
    },
    Kind {
        name: "grpc",
        port: GRPC,
        v6: false,
    },
    Kind {
        name: "http",
        port: HTTP,
        v6: true,
    },
    Kind {
        name: "tcp",
        port: HTTP,
        v6: true,
    },
];

pub(super) fn probes(bed: &mut Bed, measure: &Measure, findings: &mut Findings) -> Result<()> {
    bed.apply(&[
        namespace(PROBED, &[]),
        policy(
            PROBED,
            "default-deny",
            &json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}),
        ),
    ])?;
    bed.enforced()?;
    for (number, node) in (1..).zip(bed.nodes()) {
        for (n, kind) in (FIRST_V6..).zip(&KINDS) {
            bed.give_next(number, n)?;
            let name = format!(
                "{}-{}-{number}",
                kind.name,
                if kind.v6 { "v6" } else { "v4" }
            );
            let host = kind.v6.then(|| pod_address(number, n).v6.to_string());
            bed.apply(&[probed(&name, &node, kind, host)])?;
            // One after the other, so that each gets the address its probe names.
            bed.kubectl(&[
                "wait",
                "--for=condition=Ready",
                "pod",
                &name,
                "-n",
                PROBED,
                "--timeout=120s",
            ])?;
        }
    }
    let before = unhealthy(bed)?;
    let ready = transitions(bed)?;
    let taps = bed
        .hosts(PROBED)?
        .into_iter()
        .map(|(name, host)| {
            let own = host.addresses();
            let wire = host.tap(move |seen| {
                own.contains(seen.dst.ip()) && matches!(seen.dst.port(), HTTP | GRPC)
            })?;
            Ok((name, wire))
        })
        .collect::<Result<Vec<(String, Wiretap)>>>()?;
    let half = Duration::from_secs(measure.probing) / 2;
    thread::sleep(half);
    for node in bed.nodes() {
        bed.kill_agent(&node)?;
    }
    thread::sleep(half);
    bed.rolled_out()?;

    let failed: Vec<String> = unhealthy(bed)?.difference(&before).cloned().collect();
    let restarted: Vec<String> = bed
        .pods(Some(PROBED))?
        .iter()
        .filter_map(restarts)
        .collect();
    let wavered: Vec<String> = transitions(bed)?.difference(&ready).cloned().collect();
    let mut probes = 0;
    for (name, wire) in &taps {
        let connections: BTreeSet<_> = wire.seen().iter().map(|it| it.src).collect();
        probes += connections.len();
        findings.must(!connections.is_empty(), || format!("nobody probed {name}"));
    }
    findings.figure(
        "pods probed (HTTP, TCP, gRPC; IPv4, and IPv6 for HTTP and TCP)",
        taps.len(),
    );
    findings.figure("connections of probes, agents killed half way", probes);
    findings.none("probes that failed", &failed);
    findings.none("containers restarted", &restarted);
    findings.none("pods whose readiness changed", &wavered);
    bed.remove(&[PROBED])
}

fn probed(name: &str, node: &str, kind: &Kind, host: Option<String>) -> Value {
    let mut action = match kind.name {
        "http" => json!({"path": "/hostname", "port": HTTP}),
        "tcp" => json!({"port": HTTP}),
        _ => json!({"port": GRPC}),
    };
    if let Some(host) = host {
        action["host"] = host.into();
    }
    let handler = match kind.name {
        "http" => "httpGet",
        "tcp" => "tcpSocket",
        _ => "grpc",
    };
    let probe = json!({
        handler: action, "periodSeconds": 1, "failureThreshold": 1, "timeoutSeconds": 5,
    });
    let mut startup = probe.clone();
    startup["failureThreshold"] = 60.into();
    let args = match kind.port {
        GRPC => json!([
            "grpc-health-checking",
            "--port",
            GRPC.to_string(),
            "--http-port",
            "8081"
        ]),
        _ => json!(["netexec", format!("--http-port={HTTP}"), "--udp-port=-1"]),
    };
    let container = json!({
        "name": "probed", "image": AGNHOST, "args": args,
        "startupProbe": startup, "readinessProbe": probe, "livenessProbe": probe,
    });
    pod(
        PROBED,
        name,
        node,
        &[("app", kind.name)],
        container,
        "Always",
    )
}

/// Events of failed probes, with how often each happened.
fn unhealthy(bed: &Bed) -> Result<BTreeSet<String>> {
    let selector = "--field-selector=reason=Unhealthy";
    let text = bed.kubectl(&["get", "events", "-n", PROBED, selector, "-o", "json"])?;
    let list: Value = serde_json::from_str(&text).context("read events")?;
    let events = list["items"].as_array().into_iter().flatten();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let said = events.map(|event| {
        let (pod, message) = (&event["involvedObject"]["name"], &event["message"]);
        format!(
            "{}: {} ({} times)",
            text(pod),
            text(message),
            event["count"]
        )
    });
    Ok(said.collect())
}

fn restarts(pod: &Pod) -> Option<String> {
    let containers = pod.status.as_ref()?.container_statuses.as_ref()?;
    let restarts: i32 = containers.iter().map(|it| it.restart_count).sum();
    (restarts > 0).then(|| format!("{}: {restarts} times", pod.key()))
}

/// Which pods are ready since when.
fn transitions(bed: &Bed) -> Result<BTreeSet<String>> {
    let pods = bed.pods(Some(PROBED))?;
    let since = pods.iter().filter_map(|pod| {
        let conditions = pod.status.as_ref()?.conditions.as_ref()?;
        let ready = conditions.iter().find(|it| it.type_ == "Ready")?;
        Some(format!(
            "{}: {} {:?}",
            pod.key(),
            ready.status,
            ready.last_transition_time
        ))
    });
    Ok(since.collect())
}
