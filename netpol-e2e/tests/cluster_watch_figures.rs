//! What following a large cluster costs, and how long a change takes to the kernel: prints figures.
//!
//! `cargo test --release -p netpol-e2e --test cluster_watch_figures -- --ignored --nocapture --test-threads 1`

#[allow(dead_code, reason = "each test uses a part of it")]
#[path = "cluster_watch/bed.rs"]
mod bed;

use std::{
    env,
    error::Error,
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    thread::sleep,
    time::{Duration, Instant},
};

use aya::maps::{HashMap, Map, MapData};
use bed::{Bed, NODE, is_isolated, skipped};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::{
    Api, Client, Config,
    api::{Patch, PatchParams, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use netpol_common::{ABI_VERSION, address::v4_word, maps};
use serde_json::{Value, json};
use tokio::task::JoinSet;

type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

const NAMESPACES: u32 = 50;
const WRITERS: u32 = 16;
const ADDRESS: &str = "10.99.0.2";
const PATIENCE: Duration = Duration::from_secs(5);

/// A number from the environment.
fn number(variable: &str, default: u32) -> u32 {
    let given = env::var(variable).ok();
    given.and_then(|text| text.parse().ok()).unwrap_or(default)
}

async fn client(bed: &Bed) -> Outcome<Client> {
    let file = Kubeconfig::read_from(bed.cluster.kubeconfig())?;
    let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?;
    Ok(Client::try_from(config)?)
}

fn address(number: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 128, 0, 0)) + number)
}

/// A pod of a Deployment of 20, as the API server would have it.
fn pod(number: u32) -> Value {
    let workload = number / 20;
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": format!("workload-{workload}-5d9c7b8f6d-{number:05x}"),
            "namespace": format!("load-{}", workload % NAMESPACES),
            "labels": {
                "app.kubernetes.io/name": format!("workload-{workload}"),
                "app.kubernetes.io/instance": format!("w{workload}"),
                "app.kubernetes.io/part-of": "load",
                "tier": "backend",
                "pod-template-hash": format!("5d9c7b8f6d{workload}"),
            },
            "annotations": { "checksum/config": "a".repeat(64) },
        },
        "spec": {
            "nodeName": format!("node-{:04}", number % 500),
            "containers": [{
                "name": "main", "image": "registry.example.com/workload:1.2.3",
                "ports": [
                    { "name": "http", "containerPort": 8080 },
                    { "name": "metrics", "containerPort": 9090 },
                ],
            }],
        },
    })
}

fn status(number: u32) -> Value {
    let (v4, v6) = (address(number).to_string(), format!("fd00:1::{number:x}"));
    let ips = json!([{ "ip": v4 }, { "ip": v6 }]);
    json!({ "status": { "phase": "Running", "podIP": v4, "podIPs": ips } })
}

fn pods(client: &Client, value: &Value) -> (Api<Pod>, String) {
    let text = |field: &str| value["metadata"][field].as_str().unwrap_or_default();
    let api = Api::namespaced(client.clone(), text("namespace"));
    (api, text("name").to_owned())
}

async fn create(client: &Client, count: u32) -> Outcome {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    for number in 0..NAMESPACES {
        let namespace = json!({ "metadata": { "name": format!("load-{number}") } });
        let namespace = serde_json::from_value(namespace)?;
        namespaces
            .create(&PostParams::default(), &namespace)
            .await?;
    }
    let next = Arc::new(AtomicU32::new(0));
    let mut writers = JoinSet::<Outcome>::new();
    for _ in 0..WRITERS {
        let (client, next) = (client.clone(), Arc::clone(&next));
        writers.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return Ok(());
                }
                let value = pod(number);
                let (api, name) = pods(&client, &value);
                let object = serde_json::from_value(value)?;
                api.create(&PostParams::default(), &object).await?;
                let patch = Patch::Merge(status(number));
                api.patch_status(&name, &PatchParams::default(), &patch)
                    .await?;
            }
        });
    }
    while let Some(ended) = writers.join_next().await {
        ended??;
    }
    Ok(())
}

/// Resident memory of a process, in bytes.
fn resident(pid: u32) -> Outcome<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next());
    Ok(kilobytes.ok_or("no VmRSS")?.parse::<u64>()? * 1024)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "creates tens of thousands of pods, and prints what they cost"]
async fn memory_by_remote_pod() -> Outcome {
    if skipped("memory_by_remote_pod") {
        return Ok(());
    }
    let count = number("NETPOL_PODS", 50_000);
    let bed = Bed::up("memory")?;
    let kubeconfig = bed.cluster.kubeconfig_inside();
    let agent = bed.agent("agent", NODE, &kubeconfig)?;
    agent.until("in sync", |status| status.enforcing);
    let base = resident(agent.pid())?;
    let began = Instant::now();
    create(&client(&bed).await?, count).await?;
    println!("{count} pods created in {:.0?}", began.elapsed());
    let knows = |status: &netpol_api::Status| {
        let server = status.api_server.iter();
        let mut watches = server.flat_map(|server| &server.watches);
        watches.any(|watch| watch.kind == "Pod" && watch.objects == u64::from(count))
    };
    agent.until("has seen them all", knows);
    let followed = resident(agent.pid())?;
    drop(agent);
    let began = Instant::now();
    let agent = bed.agent("agent", NODE, &kubeconfig)?;
    agent.until("in sync with all of them", knows);
    println!("a new agent is in sync after {:.1?}", began.elapsed());
    let listed = resident(agent.pid())?;
    println!("resident memory, base:            {base:>11} bytes");
    for (how, total) in [("followed", followed), ("listed at start", listed)] {
        let each = total.saturating_sub(base) / u64::from(count);
        println!("{count} pods, {how:<16}:      {total:>11} bytes, {each} a pod");
        assert!(each < 1024, "{each} bytes a pod");
    }
    Ok(())
}

const POLICY: &str = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: to-db, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress: [{from: [{namespaceSelector: {}, podSelector: {matchLabels: {role: peer}}}]}]
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes the computer for half a minute, and prints how long changes take"]
async fn time_from_a_write_to_the_kernel() -> Outcome {
    if skipped("time_from_a_write_to_the_kernel") {
        return Ok(());
    }
    let (count, rate) = (number("NETPOL_CHANGES", 2000), number("NETPOL_RATE", 100));
    let bed = Bed::up("latency")?;
    bed.interface("vdb", ADDRESS)?;
    bed.pod("db", NODE, ADDRESS)?;
    bed.apply(POLICY)?;
    let client = client(&bed).await?;
    create(&client, count).await?;
    let agent = bed.agent("agent", NODE, &bed.cluster.kubeconfig_inside())?;
    agent.until("in force", is_isolated);
    let pin = format!(
        "/sys/fs/bpf/agent/v{ABI_VERSION}/maps/{}",
        maps::IDENTITY_V4
    );
    let pin = bed.cluster.control_plane()?.path(&pin);
    let map = HashMap::<_, u32, u32>::try_from(Map::HashMap(MapData::from_pin(pin)?))?;

    let pause = Duration::from_secs(1) / rate;
    let mut tick = tokio::time::interval(pause);
    let (answered, changes) = std::sync::mpsc::channel();
    let watcher = std::thread::spawn(move || {
        let (mut by_write, mut by_answer) = (Vec::new(), Vec::new());
        let mut open: Vec<(u32, Instant, Option<Instant>)> = Vec::new();
        loop {
            match changes.try_recv() {
                Ok((key, sent, None)) => open.push((key, sent, None)),
                Ok((key, _, answer)) => {
                    if let Some(change) = open.iter_mut().find(|change| change.0 == key) {
                        change.2 = answer;
                    }
                }
                Err(std::sync::mpsc::TryRecvError::Disconnected) if open.is_empty() => {
                    return (by_write, by_answer);
                }
                Err(_) => sleep(Duration::from_micros(200)),
            }
            open.retain(|(key, sent, answer)| {
                assert!(
                    sent.elapsed() < PATIENCE,
                    "not in the kernel after {PATIENCE:?}"
                );
                if map.get(key, 0).is_err() {
                    return true;
                }
                let now = Instant::now();
                by_write.push(now - *sent);
                by_answer.push(answer.map_or(Duration::ZERO, |at| now - at));
                false
            });
        }
    });
    let mut writes = JoinSet::<Outcome>::new();
    for place in 0..count {
        tick.tick().await;
        let (client, answered) = (client.clone(), answered.clone());
        writes.spawn(async move {
            let (api, name) = pods(&client, &pod(place));
            let patch = Patch::Merge(json!({ "metadata": { "labels": { "role": "peer" } } }));
            let key = v4_word(address(place));
            answered.send((key, Instant::now(), None))?;
            api.patch(&name, &PatchParams::default(), &patch).await?;
            // It may be in the kernel by now, and nobody waits.
            let _ = answered.send((key, Instant::now(), Some(Instant::now())));
            Ok(())
        });
    }
    while let Some(ended) = writes.join_next().await {
        ended??;
    }
    drop(answered);
    let (by_write, by_answer) = watcher.join().map_err(|_| "the watcher failed")?;
    println!("{count} changes of labels, {rate} a second, to the kernel's map:");
    for (from, mut took) in [
        ("from the write's start", by_write),
        ("from the write's answer", by_answer),
    ] {
        took.sort_unstable();
        let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize];
        println!(
            "{from:<24} p50 {:>8.2?}  p90 {:>8.2?}  p99 {:>8.2?}  most {:>8.2?}",
            at(0.5),
            at(0.9),
            at(0.99),
            at(1.0)
        );
        if from.ends_with("answer") {
            assert!(at(0.99) < Duration::from_millis(50));
        }
    }
    Ok(())
}
