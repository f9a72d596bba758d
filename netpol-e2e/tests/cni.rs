//! New pods through a real chain of CNI plugins: closed until their policies are in force.

#![allow(clippy::expect_used, reason = "a broken test is to panic")]

use std::{
    fs,
    net::{IpAddr, SocketAddr},
    thread,
    time::{Duration, Instant},
};

use netpol_e2e::{
    lab::{
        Family, Link, NODE_NAME, Outcome, PATIENT, QUICK, Result,
        cni::{Added, MAIN_CONF, MainPlugin, Runtime, Sandbox},
        skip, skipped_without_root,
    },
    shop::{self, POLICIES, Shop, TCP},
};
use serde_json::json;

/// The specification's number for "try again later".
const AGAIN: u64 = 11;

/// A shop whose agent has its plugin in the runtime's chain.
struct Chained {
    shop: Shop,
    runtime: Runtime,
}

impl Chained {
    /// None where the reference plugins were not built, which is said.
    fn new(test: &str, main: MainPlugin, policies: &str) -> Result<Option<Self>> {
        if skipped_without_root(test) {
            return Ok(None);
        }
        let mut shop = Shop::new(Link::PointToPoint)?;
        let runtime = match Runtime::new(&shop.lab, main) {
            Ok(runtime) => runtime,
            Err(error) => {
                skip(test, &error.to_string());
                return Ok(None);
            }
        };
        let arguments = runtime.agent_arguments()?;
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        shop.agent.set_arguments(&arguments);
        shop.lab.manifests().write(POLICIES, policies)?;
        shop.agent.start()?;
        let chained = Self { shop, runtime };
        chained.wait_chain("the agent puts its plugin into the chain");
        Ok(Some(chained))
    }

    fn wait_chain(&self, what: &str) {
        eventually(what, || {
            let chain = self.runtime.chain();
            chain.is_ok_and(|chain| chain.last().is_some_and(|last| last == "netpol-cni"))
        });
    }

    fn sandbox(&self, id: &str, pod: &str, uid: &str) -> Result<Sandbox> {
        self.runtime
            .sandbox(&self.shop.lab, id, Some(("shop", pod)), uid)
    }

    /// Writes a pod as the API shows it between scheduling and the sandbox: without addresses.
    fn announce(&self, name: &str, uid: &str, addresses: &[IpAddr]) -> Result<()> {
        let ips: Vec<_> = addresses.iter().map(|ip| json!({"ip": ip})).collect();
        let object = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"namespace": "shop", "name": name, "uid": uid, "labels": {"app": name}},
            "spec": {"nodeName": NODE_NAME, "containers": [{"name": "main", "image": "lab"}]},
            "status": {"podIPs": ips},
        });
        self.shop
            .lab
            .manifests()
            .write_object(&format!("pod-{name}.json"), &object)
    }

    fn forget(&self, name: &str) -> Result<()> {
        self.shop
            .lab
            .manifests()
            .remove(&format!("pod-{name}.json"))
    }

    fn add(&self, sandbox: &Sandbox) -> Result<Added> {
        Ok(self
            .runtime
            .add(sandbox)?
            .expect("the sandbox gets its interface"))
    }
}

fn eventually(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENT;
    while !holds() {
        assert!(Instant::now() < deadline, "not within {PATIENT:?}: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// The very first packet of a sandbox is part of this.
fn connect(sandbox: &Sandbox, to: IpAddr, timeout: Duration) -> Outcome {
    use std::io::Read;
    let asked = sandbox.netns().inside(|| {
        let mut stream = std::net::TcpStream::connect_timeout(&SocketAddr::new(to, TCP), timeout)?;
        stream.set_read_timeout(Some(timeout))?;
        stream.read(&mut [0; 1])
    });
    match asked.and_then(|read| read) {
        Ok(_) => Outcome::Reached,
        Err(error) if error.kind() == std::io::ErrorKind::TimedOut => Outcome::TimedOut,
        Err(error) => panic!("cannot ask: {error}"),
    }
}

#[test]
fn a_new_pod_is_judged_from_its_first_packet_before_the_api_knows_its_addresses() -> Result<()> {
    for main in [MainPlugin::Bridge, MainPlugin::Ptp] {
        let policies = shop::admit(&["good", "late"]);
        let test = "a_new_pod_is_judged";
        let Some(chained) = Chained::new(test, main, &policies)? else {
            return Ok(());
        };
        let to = chained.shop.server(Family::V4);
        for (round, (pod, wanted)) in [("late", Outcome::Reached), ("other", Outcome::TimedOut)]
            .into_iter()
            .enumerate()
        {
            chained.announce(pod, "1", &[])?;
            let sandbox = chained.sandbox(&format!("c{round}"), pod, "1")?;
            let added = chained.add(&sandbox)?;
            assert_eq!(added.addresses.len(), 2, "{added:?}");
            assert_eq!(connect(&sandbox, to, QUICK), wanted, "{main:?}, {pod}");
            let to = chained.shop.server(Family::V6);
            assert_eq!(
                connect(&sandbox, to, QUICK),
                wanted,
                "{main:?}, {pod}, IPv6"
            );
        }
    }
    Ok(())
}

#[test]
fn an_add_waits_for_the_pod_to_be_shown_and_for_its_own_uid() -> Result<()> {
    let Some(chained) = Chained::new("an_add_waits", MainPlugin::Bridge, "")? else {
        return Ok(());
    };
    // The former pod of the name is shown still.
    chained.announce("late", "1", &[])?;
    let sandbox = chained.sandbox("c1", "late", "2")?;
    let began = Instant::now();
    let added = thread::scope(|scope| {
        let adding = scope.spawn(|| chained.add(&sandbox));
        thread::sleep(Duration::from_millis(300));
        assert!(
            !adding.is_finished(),
            "another pod of the name is not meant"
        );
        chained.announce("late", "2", &[]).expect("written");
        adding.join().expect("no panic")
    })?;
    assert!(began.elapsed() >= Duration::from_millis(300), "{added:?}");
    Ok(())
}

#[test]
fn a_pod_that_is_never_shown_is_refused_in_bounded_time_and_stays_closed() -> Result<()> {
    let Some(chained) = Chained::new("a_pod_that_is_never_shown", MainPlugin::Ptp, "")? else {
        return Ok(());
    };
    set_timeout(&chained, 2.0)?;
    let sandbox = chained.sandbox("c1", "ghost", "1")?;
    let began = Instant::now();
    let refusal = chained
        .runtime
        .add(&sandbox)?
        .expect_err("nobody shows the pod");
    assert!(
        began.elapsed() < Duration::from_secs(4),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(
        (&*refusal.plugin, refusal.code),
        ("netpol-cni", AGAIN),
        "{refusal:?}"
    );
    assert!(refusal.words.contains("shop/ghost"), "{refusal:?}");
    Ok(())
}

/// The agent keeps the entry as it made it, so the test takes its place.
fn set_timeout(chained: &Chained, seconds: f64) -> Result<()> {
    let path = chained.runtime.conf_dir().join(MAIN_CONF);
    let text = fs::read_to_string(&path).expect("readable");
    let with = text.replace(
        "\"type\":\"netpol-cni\"",
        &format!("\"timeoutSeconds\":{seconds},\"type\":\"netpol-cni\""),
    );
    assert_ne!(with, text);
    // Sorted before, and not what the agent looks after next.
    chained.runtime.write_conf("00-first.json", &with)?;
    Ok(())
}

#[test]
fn without_an_agent_an_add_fails_in_words_and_works_once_one_runs() -> Result<()> {
    let Some(mut chained) = Chained::new("without_an_agent", MainPlugin::Bridge, "")? else {
        return Ok(());
    };
    chained.announce("late", "1", &[])?;
    chained.shop.agent.kill();
    set_timeout(&chained, 1.0)?;
    let sandbox = chained.sandbox("c1", "late", "1")?;
    let began = Instant::now();
    let refusal = chained.runtime.add(&sandbox)?.expect_err("nobody is there");
    assert!(
        began.elapsed() < Duration::from_secs(3),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(refusal.code, AGAIN, "{refusal:?}");
    assert!(
        refusal.words.contains("agent did not answer at"),
        "{refusal:?}"
    );
    fs::remove_file(chained.runtime.conf_dir().join("00-first.json")).expect("removed");
    // A removal that nobody hears is none that fails.
    assert_eq!(chained.runtime.del(&sandbox)?, []);
    // The runtime tries again while the agent is on its way.
    let added = thread::scope(|scope| {
        let adding = scope.spawn(|| chained.runtime.add(&sandbox));
        thread::sleep(Duration::from_millis(100));
        chained.shop.agent.launch().expect("started");
        adding.join().expect("no panic")
    })?;
    added.expect("the next agent serves it");
    Ok(())
}

#[test]
fn a_killed_agent_s_successor_knows_what_the_api_does_not() -> Result<()> {
    let policies = shop::admit(&["late"]);
    let Some(mut chained) = Chained::new("a_killed_agent", MainPlugin::Bridge, &policies)? else {
        return Ok(());
    };
    chained.announce("late", "1", &[])?;
    let sandbox = chained.sandbox("c1", "late", "1")?;
    chained.add(&sandbox)?;
    chained.announce("other", "1", &[])?;
    let other = chained.sandbox("c2", "other", "1")?;
    chained.add(&other)?;
    for _ in 0..3 {
        chained.shop.agent.kill();
        chained.shop.agent.start()?;
        for family in Family::BOTH {
            let to = chained.shop.server(family);
            assert_eq!(connect(&sandbox, to, PATIENT), Outcome::Reached);
            assert_eq!(connect(&other, to, QUICK), Outcome::TimedOut);
        }
        let check = chained.runtime.ask("CHECK", &other, &json!({}))?;
        check.expect("it is enforced");
    }
    // Gone while nobody was there to hear it.
    chained.shop.agent.kill();
    assert_eq!(chained.runtime.del(&sandbox)?, []);
    chained.forget("late")?;
    chained.shop.agent.start()?;
    let check = chained.runtime.ask("CHECK", &other, &json!({}))?;
    check.expect("it is enforced");
    Ok(())
}

#[test]
fn an_address_handed_on_carries_nothing_of_the_former_pod() -> Result<()> {
    let policies = shop::admit(&["former"]);
    let Some(chained) = Chained::new("an_address_handed_on", MainPlugin::Bridge, &policies)? else {
        return Ok(());
    };
    let to = chained.shop.server(Family::V4);
    chained.announce("former", "1", &[])?;
    let former = chained.sandbox("c1", "former", "1")?;
    let added = chained.add(&former)?;
    chained.announce("former", "1", &added.addresses)?;
    assert_eq!(connect(&former, to, QUICK), Outcome::Reached);
    chained.runtime.del(&former)?;
    forget_last_addresses(&chained);

    chained.announce("heir", "2", &[])?;
    let heir = chained.sandbox("c2", "heir", "2")?;
    let added = thread::scope(|scope| {
        let adding = scope.spawn(|| chained.add(&heir));
        thread::sleep(Duration::from_millis(300));
        assert!(
            !adding.is_finished(),
            "the API shows the former pod with that address: other nodes would let the heir pass"
        );
        chained.forget("former").expect("removed");
        adding.join().expect("no panic")
    })?;
    assert_eq!(
        added.addresses,
        chained.addresses_of("former", &added),
        "the same addresses"
    );
    assert_eq!(connect(&heir, to, QUICK), Outcome::TimedOut);
    Ok(())
}

impl Chained {
    fn addresses_of(&self, _former: &str, added: &Added) -> Vec<IpAddr> {
        let first = ["10.99.0.2", "fd99::2"].map(|a| a.parse().expect("an address"));
        assert!(
            added.addresses.iter().all(|a| first.contains(a)),
            "{added:?}"
        );
        added.addresses.clone()
    }
}

/// host-local hands out the next address; without its note of the last one, the first.
fn forget_last_addresses(chained: &Chained) {
    let state = chained
        .runtime
        .conf_dir()
        .with_file_name("cni-state/addresses/lab");
    for entry in fs::read_dir(state).expect("its notes").flatten() {
        if entry
            .file_name()
            .to_string_lossy()
            .starts_with("last_reserved_ip")
        {
            fs::remove_file(entry.path()).expect("removed");
        }
    }
}

#[test]
fn the_configuration_follows_the_main_plugin_and_is_restored_to_the_byte() -> Result<()> {
    let Some(mut chained) = Chained::new("the_configuration_follows", MainPlugin::Bridge, "")?
    else {
        return Ok(());
    };
    let changed = chained.runtime.main_conf(MainPlugin::Ptp);
    chained.runtime.write_conf(MAIN_CONF, &changed)?;
    chained.wait_chain("after the main plugin wrote its file anew");
    let path = chained.runtime.conf_dir().join(MAIN_CONF);
    // As careless plugins write: in place.
    let careless = chained.runtime.main_conf(MainPlugin::Bridge);
    fs::write(&path, &careless).expect("written");
    chained.wait_chain("after it was written in place");
    chained.shop.agent.terminate()?;
    assert_eq!(
        chained.runtime.chain()?.len(),
        2,
        "the entry stays when the agent stops"
    );
    chained.shop.agent.cleanup()?;
    assert_eq!(fs::read_to_string(&path).expect("there"), careless);
    assert!(!chained.runtime.bin_dir().join("netpol-cni").exists());
    assert_eq!(
        fs::read_dir(chained.runtime.conf_dir())
            .expect("listed")
            .count(),
        1
    );
    Ok(())
}

#[test]
fn the_other_commands_of_the_specification_are_answered() -> Result<()> {
    let Some(chained) = Chained::new("the_other_commands", MainPlugin::Ptp, "")? else {
        return Ok(());
    };
    chained.announce("late", "1", &[])?;
    let sandbox = chained.sandbox("c1", "late", "1")?;
    let version = chained.runtime.ask("VERSION", &sandbox, &json!({}))?;
    let version = version.expect("told");
    assert!(
        version["supportedVersions"].to_string().contains("1.1.0"),
        "{version}"
    );
    let none = json!({});
    chained
        .runtime
        .ask("STATUS", &sandbox, &none)?
        .expect("it would be served");
    let added = chained.add(&sandbox)?;
    assert_eq!(added.result["cniVersion"], "1.0.0");
    chained
        .runtime
        .ask("CHECK", &sandbox, &none)?
        .expect("it is enforced");
    let kept = json!({"cni.dev/valid-attachments": [{"containerID": "c1", "ifname": "eth0"}]});
    chained
        .runtime
        .ask("GC", &sandbox, &kept)?
        .expect("nothing to do");
    chained
        .runtime
        .ask("CHECK", &sandbox, &none)?
        .expect("it is kept");
    let nobody = json!({"cni.dev/valid-attachments": []});
    chained
        .runtime
        .ask("GC", &sandbox, &nobody)?
        .expect("collected");
    let refusal = chained.runtime.ask("CHECK", &sandbox, &none)?;
    refusal.expect_err("it was collected");
    for _ in 0..2 {
        assert_eq!(chained.runtime.del(&sandbox)?, []);
    }
    // Whoever is no pod is no policy's.
    let container = chained.runtime.sandbox(&chained.shop.lab, "c2", None, "")?;
    chained.add(&container)?;
    Ok(())
}

/// `cargo test -p netpol-e2e --test cni -- --ignored --nocapture overhead` prints the figure.
#[test]
#[ignore = "a measurement: it wants a quiet machine and release binaries"]
fn the_overhead_of_an_add() -> Result<()> {
    const PODS: usize = 100;
    let policies = [
        shop::admit(&["good"]),
        shop::deny("late", "Ingress, Egress"),
    ]
    .concat();
    let Some(chained) = Chained::new("the_overhead", MainPlugin::Ptp, &policies)? else {
        return Ok(());
    };
    let mut took = Vec::with_capacity(PODS);
    for number in 0..PODS {
        let name = format!("p{number}");
        chained.announce(&name, "1", &[])?;
        let sandbox = chained.sandbox(&format!("c{number}"), &name, "1")?;
        // The agent reads the file while the main plugin works.
        took.push(chained.add(&sandbox)?.last_plugin);
        chained.runtime.del(&sandbox)?;
        chained.forget(&name)?;
    }
    took.sort();
    println!(
        "netpol-cni ADD, process included, {PODS} pods one after another: median {:?}, p90 {:?}, \
         most {:?}",
        took[PODS / 2],
        took[PODS * 9 / 10],
        took[PODS - 1]
    );
    assert!(took[PODS / 2] < Duration::from_millis(5), "{took:?}");
    Ok(())
}
