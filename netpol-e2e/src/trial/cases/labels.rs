//! What is allowed changes while connections are open.

use std::{
    collections::BTreeMap,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow};
use serde_json::{Value, json};

use super::Measure;
use crate::{
    lab::{Connection, Host, Outcome, PATIENT, Protocol},
    trial::{
        bed::{Bed, at},
        findings::{Findings, spread},
        objects::{idle_pod, namespace, policy},
        pulse::Pulse,
        steady::Tap,
        world::PORT,
    },
};

const MOVING: &str = "moving";
/// How long is looked after each change.
const LOOK: Duration = Duration::from_secs(1);

/// A change and what it does to the way from `client` to a target.
struct Step {
    what: &'static str,
    target: &'static str,
    make: Change,
    opens: bool,
}

enum Change {
    Pod(&'static str),
    Namespace(&'static str),
    Rules(Value),
}

fn steps() -> Vec<Step> {
    let step = |what, target, make, opens| Step {
        what,
        target,
        make,
        opens,
    };
    let friends = || json!([{"from": [{"podSelector": {"matchLabels": {"role": "friend"}}}]}]);
    vec![
        step(
            "a pod's label lets it in",
            "by-pod",
            Change::Pod("role=friend"),
            true,
        ),
        step(
            "a pod's label shuts it out",
            "by-pod",
            Change::Pod("role=foe"),
            false,
        ),
        step(
            "a namespace's label lets it in",
            "by-namespace",
            Change::Namespace("team=friend"),
            true,
        ),
        step(
            "a namespace's label shuts it out",
            "by-namespace",
            Change::Namespace("team=foe"),
            false,
        ),
        step(
            "the label again",
            "by-pod",
            Change::Pod("role=friend"),
            true,
        ),
        step(
            "the policy loses its rule",
            "by-pod",
            Change::Rules(json!([])),
            false,
        ),
        step(
            "the policy has its rule again",
            "by-pod",
            Change::Rules(friends()),
            true,
        ),
        step(
            "the rule wants another port",
            "by-pod",
            Change::Rules(json!([{
                "from": [{"podSelector": {"matchLabels": {"role": "friend"}}}],
                "ports": [{"port": 1}],
            }])),
            false,
        ),
    ]
}

/// The ways from the client to one target: a flow and a connection for each family.
struct Ways {
    target: Host,
    pulses: Vec<Pulse>,
    connections: Vec<Connection>,
}

pub(super) fn changes(bed: &mut Bed, _: &Measure, findings: &mut Findings) -> Result<()> {
    let hosts = set(bed)?;
    let client = hosts.get("client").context("a client")?;
    let mut ways = BTreeMap::new();
    for name in ["by-pod", "by-namespace"] {
        let target = hosts.get(name).with_context(|| format!("no pod {name}"))?;
        target.serve(Protocol::Tcp, PORT)?;
        target.serve(Protocol::Udp, PORT)?;
        let pulses = at(target, PORT).map(|to| Pulse::start(client, to));
        ways.insert(
            name,
            Ways {
                target: target.clone(),
                pulses: pulses.into_iter().collect::<Result<_>>()?,
                connections: Vec::new(),
            },
        );
    }
    let (mut opened, mut closed) = (Vec::new(), Vec::new());
    let steps = steps();
    for step in &steps {
        let ways = ways.get_mut(step.target).context("a target")?;
        let took = take(bed, step, client, ways, findings)?;
        let took = took.into_iter().map(|it| it.as_secs_f64() * 1e3);
        if step.opens { &mut opened } else { &mut closed }.extend(took);
    }
    findings.figure("changes made with flows and connections open", steps.len());
    findings.figure(
        "until a change that allows was seen by a flow, kubectl included",
        spread(&mut opened),
    );
    findings.figure(
        "until a change that forbids was seen by a flow, kubectl included",
        spread(&mut closed),
    );
    drop(ways);
    for host in hosts.values() {
        bed.close(host);
    }
    bed.remove(&[MOVING])
}

fn set(bed: &Bed) -> Result<BTreeMap<String, Host>> {
    let nodes = bed.nodes();
    let node = |number: usize| nodes[number % nodes.len()].as_str();
    bed.apply(&[
        namespace(MOVING, &[("team", "foe")]),
        by_pod(&json!([{"from": [{"podSelector": {"matchLabels": {"role": "friend"}}}]}])),
        policy(
            MOVING,
            "by-namespace",
            &json!({
                "podSelector": {"matchLabels": {"app": "by-namespace"}},
                "policyTypes": ["Ingress"],
                "ingress": [{"from": [{"namespaceSelector": {"matchLabels": {"team": "friend"}}}]}],
            }),
        ),
        idle_pod(MOVING, "client", node(0), &[("role", "foe")]),
        idle_pod(MOVING, "by-pod", node(1), &[("app", "by-pod")]),
        idle_pod(MOVING, "by-namespace", node(0), &[("app", "by-namespace")]),
    ])?;
    bed.ready(MOVING)?;
    bed.enforced()?;
    bed.hosts(MOVING)
}

fn by_pod(rules: &Value) -> Value {
    policy(
        MOVING,
        "by-pod",
        &json!({
            "podSelector": {"matchLabels": {"app": "by-pod"}},
            "policyTypes": ["Ingress"],
            "ingress": rules,
        }),
    )
}

/// Makes a change, waits until it is in force, and looks what passes from then on; how long each
/// flow took to see it.
fn take(
    bed: &Bed,
    step: &Step,
    client: &Host,
    ways: &mut Ways,
    findings: &mut Findings,
) -> Result<Vec<Duration>> {
    let started = Instant::now();
    match &step.make {
        Change::Pod(label) => {
            bed.kubectl(&["label", "pod", "-n", MOVING, "client", label, "--overwrite"])?
        }
        Change::Namespace(label) => {
            bed.kubectl(&["label", "namespace", MOVING, label, "--overwrite"])?
        }
        Change::Rules(rules) => {
            bed.apply(&[by_pod(rules)])?;
            String::new()
        }
    };
    bed.enforced()?;
    let in_force = Instant::now();
    let what = step.what;
    if step.opens {
        for to in at(&ways.target, PORT) {
            let opened = client.open(to.ip(), to.port(), PATIENT);
            let opened = opened.map_err(|it| anyhow!("{what}: a connection to {to}: {it}"))?;
            ways.connections.push(opened);
        }
        thread::sleep(LOOK);
    } else {
        let tap = Tap::on_port(&ways.target)?;
        for mut connection in ways.connections.drain(..) {
            let outcome = connection.echo(Duration::from_millis(300));
            findings.must(outcome == Outcome::TimedOut, || {
                format!("{what}: an open connection goes on: {outcome}")
            });
        }
        for to in at(&ways.target, PORT) {
            let outcome = client.connect_tcp(to.ip(), to.port(), Duration::from_millis(300));
            findings.must(outcome == Outcome::TimedOut, || {
                format!("{what}: a new connection to {to}: {outcome}")
            });
        }
        findings.none(
            format!("{what}: packets that came after it was in force"),
            &tap.intruders(),
        );
    }
    let until = Instant::now();
    for pulse in &ways.pulses {
        let (sent, answered) = pulse.answered_between(in_force, until);
        let wanted = if step.opens { sent } else { 0 };
        findings.must(sent > 0 && answered == wanted, || {
            format!("{what}: {answered} of {sent} datagrams answered after it was in force, must be {wanted}")
        });
    }
    let settled = ways.pulses.iter().map(|it| it.settled(started, step.opens));
    Ok(settled.flatten().collect())
}
