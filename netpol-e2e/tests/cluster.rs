//! A cluster comes up, works, survives what is done to it, and leaves nothing behind.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use netpol_e2e::{
    cluster::{
        AGNHOST, Assets, BASE_VARIABLE, CNI_CONF_DIR, CNI_CONF_FILE, Cluster, ClusterError, Cni,
        Lent, Options, ProxyMode, Result,
    },
    lab::{is_root, skip},
};

fn skipped(test: &str) -> bool {
    let assets = Assets::find();
    if !is_root() {
        skip(test, "a cluster needs root: run the tests with sudo");
        return true;
    }
    if let Err(error) = assets.kubernetes("kube-apiserver") {
        skip(test, &error.to_string());
        return true;
    }
    false
}

/// Everything on this computer that carries a cluster's name.
fn left_of(name: &str) -> Vec<String> {
    let entries = |dir: &Path| -> Vec<PathBuf> {
        let entries = fs::read_dir(dir).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect()
    };
    let mut paths = entries(Path::new("/var/run/netns"));
    paths.extend(entries(&Options::new(name).base));
    paths.extend(entries(Path::new("/sys/fs/cgroup")));
    for hierarchy in entries(Path::new("/sys/fs/cgroup")) {
        paths.extend(entries(&hierarchy));
    }
    let mut left: Vec<String> = paths
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    left.extend(mounts.lines().map(str::to_owned));
    let processes = entries(Path::new("/proc")).into_iter().filter_map(|dir| {
        let words = fs::read(dir.join("cmdline")).ok()?;
        Some(String::from_utf8_lossy(&words).replace('\0', " "))
    });
    left.extend(processes);
    left.retain(|line| line.contains(name));
    left
}

#[test]
fn two_light_clusters_at_once_do_not_meet_and_leave_nothing() -> Result<()> {
    if skipped("two_light_clusters") {
        return Ok(());
    }
    let (one, two) = thread::scope(|scope| {
        let two = scope.spawn(|| Lent::up(Options::light("two")));
        (
            Lent::up(Options::light("one")),
            two.join().expect("no panic"),
        )
    });
    let (one, two) = (one?, two?);
    let names = [one.options().name.clone(), two.options().name.clone()];
    for name in &names {
        assert!(!left_of(name).is_empty(), "the check itself sees something");
    }
    one.kubectl().run(&["create", "namespace", "only-here"])?;
    one.kubectl().run(&["get", "namespace", "only-here"])?;
    let elsewhere = two.kubectl().run(&["get", "namespace", "only-here"]);
    assert!(elsewhere.is_err(), "{elsewhere:?}");
    assert!(one.status().is_whole(), "{}", one.status());
    let again = Cluster::up(Options::light(&names[0]));
    assert!(matches!(again, Err(ClusterError::Exists(_))), "{again:?}");

    drop(one);
    assert_eq!(left_of(&names[0]), Vec::<String>::new());
    two.kubectl().run(&["get", "namespaces"])?;
    drop(two);
    assert_eq!(left_of(&names[1]), Vec::<String>::new());
    Ok(())
}

#[test]
fn an_api_server_goes_away_and_comes_back_with_what_it_knew() -> Result<()> {
    if skipped("an_api_server_goes_away") {
        return Ok(());
    }
    let cluster = Lent::up(Options::light("away"))?;
    cluster.kubectl().run(&["create", "namespace", "kept"])?;
    cluster.stop_api_server()?;
    assert!(cluster.kubectl().run(&["get", "namespaces"]).is_err());
    assert!(cluster.status().is_whole(), "stopped on purpose");
    cluster.start_api_server()?;
    cluster.kubectl().run(&["get", "namespace", "kept"])?;

    let nobody = cluster.kubeconfig_for("nobody", &[])?;
    let refused = cluster.kubectl().with(&nobody).run(&["get", "namespaces"]);
    let said = refused.map_err(|error| error.to_string());
    assert!(said.is_err_and(|said| said.contains("forbidden")));
    Ok(())
}

#[test]
fn the_next_run_removes_what_a_killed_one_left_and_so_does_down() {
    if skipped("the_next_run_removes") {
        return;
    }
    let name = format!("killed-{}", std::process::id());
    let mut up = Command::new(env!("CARGO_BIN_EXE_cluster"))
        .args(["up", "--light", "--name", &name])
        .env_remove(BASE_VARIABLE)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("started");
    let deadline = Instant::now() + Duration::from_secs(20);
    // In the middle: the first machine is there, the API server is not ready.
    while !Path::new("/var/run/netns")
        .join(format!("npc-{name}-control-plane"))
        .exists()
    {
        assert!(Instant::now() < deadline, "it does not begin");
        thread::sleep(Duration::from_millis(5));
    }
    up.kill().expect("killed");
    up.wait().expect("its end");
    assert!(!left_of(&name).is_empty());
    let down = Command::new(env!("CARGO_BIN_EXE_cluster"))
        .args(["down", "--name", &name])
        .env_remove(BASE_VARIABLE)
        .status();
    assert!(down.is_ok_and(|status| status.success()));
    assert_eq!(left_of(&name), Vec::<String>::new());
    let base = Options::new("x").base;
    let again = Cluster::down(&base, &name);
    assert!(matches!(again, Err(ClusterError::Unknown { .. })));
}

#[test]
#[ignore = "run by the test that ends a process"]
fn stands_until_it_is_ended() -> Result<()> {
    let Some(marker) = std::env::var_os("NETPOL_CLUSTER_MARKER") else {
        return Ok(());
    };
    let cluster = Lent::up(Options::light("signal"))?;
    fs::write(marker, format!("{}\n", cluster.options().name)).expect("a marker");
    loop {
        thread::sleep(Duration::from_secs(1));
    }
}

#[test]
fn a_signal_takes_a_lent_cluster_down() {
    if skipped("a_signal_takes") {
        return;
    }
    let own = std::env::current_exe().expect("this test binary");
    let marker = std::env::temp_dir().join(format!("netpol-cluster-{}", fastrand::u64(..)));
    let mut other = Command::new(own)
        .args(["--ignored", "--exact", "stands_until_it_is_ended"])
        .env("NETPOL_CLUSTER_MARKER", &marker)
        .stdout(Stdio::null())
        .spawn()
        .expect("started");
    let deadline = Instant::now() + Duration::from_secs(120);
    let name = loop {
        match fs::read_to_string(&marker) {
            Ok(name) if name.ends_with('\n') => break name.trim().to_owned(),
            _ => assert!(
                Instant::now() < deadline,
                "the other process has no cluster"
            ),
        }
        thread::sleep(Duration::from_millis(20));
    };
    fs::remove_file(&marker).expect("removed");
    assert!(!left_of(&name).is_empty());
    let pid = other.id().to_string();
    let sent = Command::new("kill").args(["-s", "TERM", &pid]).status();
    assert!(sent.is_ok_and(|status| status.success()));
    assert!(!other.wait().expect("its end").success());
    assert_eq!(left_of(&name), Vec::<String>::new());
}

const WEB: &str = r#"
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  ipFamilyPolicy: RequireDualStack
  selector: {app: web}
  ports: [{port: 80, targetPort: 8080}]
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: web
        image: AGNHOST
        args: [netexec]
        readinessProbe: {httpGet: {path: /healthz, port: 8080}, periodSeconds: 1}
"#;

/// Every pod reaches every pod and the Service by both families, and the host outside reaches every pod.
fn everyone_talks(cluster: &Cluster) -> Result<()> {
    let kubectl = cluster.kubectl();
    kubectl.run(&["rollout", "status", "daemonset/web", "--timeout=90s"])?;
    let pods = kubectl.json(&["get", "pods", "-l", "app=web"])?;
    let service = kubectl.json(&["get", "service", "web"])?;
    let mut targets = Vec::new();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    for pod in pods["items"].as_array().into_iter().flatten() {
        let addresses = pod["status"]["podIPs"].as_array().into_iter().flatten();
        targets.extend(addresses.map(|address| joined(&text(&address["ip"]), 8080)));
    }
    let agnhost = Assets::find().kubernetes("agnhost")?.display().to_string();
    let agnhost = agnhost.as_str();
    assert_eq!(targets.len(), 4, "two pods of two families: {targets:?}");
    for target in &targets {
        let words = [agnhost, "connect", target, "--timeout=5s"];
        cluster.outside()?.run(&words)?;
    }
    let vips = service["spec"]["clusterIPs"]
        .as_array()
        .into_iter()
        .flatten();
    targets.extend(vips.map(|address| joined(&text(address), 80)));
    assert_eq!(targets.len(), 6, "{targets:?}");
    targets.push("web.default.svc.cluster.local:80".to_owned());
    targets.push("web:80".to_owned());
    for pod in pods["items"].as_array().into_iter().flatten() {
        let name = text(&pod["metadata"]["name"]);
        for target in &targets {
            let words = [
                "exec",
                &name,
                "--",
                "/agnhost",
                "connect",
                target,
                "--timeout=5s",
            ];
            kubectl.run(&words)?;
        }
    }
    Ok(())
}

fn joined(address: &str, port: u16) -> String {
    if address.contains(':') {
        format!("[{address}]:{port}")
    } else {
        format!("{address}:{port}")
    }
}

fn cluster_works(cni: Cni, proxy: ProxyMode) -> Result<()> {
    let cluster = Lent::up(Options {
        cni,
        proxy,
        ..Options::new("whole")
    })?;
    let name = cluster.options().name.clone();
    cluster.kubectl().apply(&WEB.replace("AGNHOST", AGNHOST))?;
    everyone_talks(&cluster)?;

    // What a reboot takes, and what it leaves.
    let node = cluster.node(1)?;
    node.run(&["mkdir", "/sys/fs/bpf/pinned"])?;
    let conf = format!("{CNI_CONF_DIR}/{CNI_CONF_FILE}");
    node.run(&[
        "sh",
        "-c",
        &format!("echo '# kept' >{CNI_CONF_DIR}/note; ls {conf}"),
    ])?;
    cluster.reboot_node(1)?;
    let node = cluster.node(1)?;
    assert!(node.run(&["ls", "/sys/fs/bpf/pinned"]).is_err());
    node.run(&["ls", &format!("{CNI_CONF_DIR}/note"), &conf])?;
    assert!(!Path::new(CNI_CONF_DIR).join("note").exists(), "only there");
    cluster.wait_nodes()?;
    // The kubelet makes the pods' namespaces again; until it has, the API server shows the old ones as ready.
    let deadline = Instant::now() + Duration::from_secs(90);
    while let Err(error) = everyone_talks(&cluster) {
        assert!(Instant::now() < deadline, "{error}");
        thread::sleep(Duration::from_millis(500));
    }
    drop(cluster);
    assert_eq!(left_of(&name), Vec::<String>::new());
    Ok(())
}

#[test]
fn pods_talk_on_bridges_and_a_node_reboots() -> Result<()> {
    if skipped("pods_talk_on_bridges") {
        return Ok(());
    }
    cluster_works(Cni::Bridge, ProxyMode::Iptables)
}

#[test]
fn pods_talk_point_to_point_and_a_node_reboots() -> Result<()> {
    if skipped("pods_talk_point_to_point") {
        return Ok(());
    }
    cluster_works(Cni::Ptp, ProxyMode::Nftables)
}

#[test]
fn pods_talk_through_vxlan_and_a_node_reboots() -> Result<()> {
    if skipped("pods_talk_through_vxlan") {
        return Ok(());
    }
    cluster_works(Cni::FlannelLike, ProxyMode::Iptables)
}
