//! A lab leaves nothing: not when it is done, not on a signal, and after `kill -9` not beyond the
//! next run.

use std::{
    fs,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use netpol_e2e::lab::{
    Lab, LabId, Link, Outcome, PATIENT, PodSpec, Protocol, Result, skipped_without_root,
};

/// Two pods with servers, on a link of that kind.
fn two_pods(link: Link) -> Result<Lab> {
    let mut lab = Lab::new(link)?;
    lab.add_pods(vec![
        PodSpec::new("shop/web").label("app", "web"),
        PodSpec::new("shop/db")
            .label("app", "db")
            .port("sql", Protocol::Tcp, 5432),
    ])?;
    lab.pod("shop/db").serve_tcp(5432)?;
    lab.pod("shop/db").serve_udp(5353)?;
    lab.outside().serve_tcp(443)?;
    Ok(lab)
}

/// What is left of a lab: namespaces, directory, mount.
fn left_of(id: LabId) -> Vec<String> {
    let names = |dir: &str| -> Vec<String> {
        let entries = fs::read_dir(dir).into_iter().flatten().flatten();
        entries
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect()
    };
    let mut left = names("/var/run/netns");
    left.extend(names("/run"));
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    left.extend(mounts.lines().map(str::to_owned));
    let id = format!("{id}");
    left.retain(|name| {
        name.contains(&format!("{id}-")) || name.contains(&format!("{id}/")) || name.ends_with(&id)
    });
    left
}

#[test]
fn two_labs_at_once_do_not_meet_and_nothing_is_left() -> Result<()> {
    if skipped_without_root("two_labs_at_once") {
        return Ok(());
    }
    let started = Instant::now();
    let (one, two) = (two_pods(Link::PointToPoint)?, two_pods(Link::Bridge)?);
    let (first, second) = (one.id(), two.id());
    assert!(
        !left_of(first).is_empty(),
        "the check itself must see something"
    );
    let same_address = one.pod("shop/db").addresses().v4.into();
    one.pod("shop/web").connect_tcp(same_address, 5432, PATIENT);
    assert!(two.pod("shop/db").arrivals().is_empty());

    drop(one);
    assert_eq!(left_of(first), Vec::<String>::new());
    let still = two.pod("shop/web").connect_tcp(same_address, 5432, PATIENT);
    assert_eq!(still, Outcome::Reached);
    drop(two);
    assert_eq!(left_of(second), Vec::<String>::new());
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
    Ok(())
}

#[test]
fn a_dozen_pods_are_up_in_well_under_two_seconds() -> Result<()> {
    if skipped_without_root("a_dozen_pods") {
        return Ok(());
    }
    for link in Link::ALL {
        let started = Instant::now();
        let mut lab = Lab::new(link)?;
        let pods = (0..12).map(|n| PodSpec::new(&format!("shop/pod-{n}")));
        lab.add_pods(pods.collect())?;
        let up = started.elapsed();
        drop(lab);
        println!(
            "{link}: up after {up:?}, gone after {:?}",
            started.elapsed() - up
        );
        assert!(up < Duration::from_secs(2), "{link}: {up:?}");
    }
    Ok(())
}

/// Runs one ignored test of this binary as a process of its own, whose lab we then end.
fn lab_of_another_process() -> (std::process::Child, String) {
    let own = std::env::current_exe().expect("this test binary");
    let marker = std::env::temp_dir().join(format!("netpol-lab-test-{}", fastrand::u64(..)));
    let mut child = Command::new(own)
        .args([
            "--ignored",
            "--exact",
            "stands_until_it_is_ended",
            "--nocapture",
        ])
        .env("NETPOL_LAB_MARKER", &marker)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("a child");
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        match fs::read_to_string(&marker) {
            Ok(id) if id.ends_with('\n') => {
                let _ = fs::remove_file(&marker);
                return (child, id.trim().to_owned());
            }
            _ if Instant::now() > deadline => panic!("the other process made no lab"),
            _ if child.try_wait().is_ok_and(|ended| ended.is_some()) => {
                panic!("the other process ended")
            }
            _ => thread::sleep(Duration::from_millis(10)),
        }
    }
}

fn any_left_named(id: &str) -> bool {
    ["/var/run/netns", "/run"].iter().any(|dir| {
        let entries = fs::read_dir(dir).into_iter().flatten().flatten();
        entries
            .into_iter()
            .any(|entry| entry.file_name().to_string_lossy().contains(id))
    })
}

#[test]
#[ignore = "run by the tests that end a process"]
fn stands_until_it_is_ended() -> Result<()> {
    let Some(marker) = std::env::var_os("NETPOL_LAB_MARKER") else {
        return Ok(());
    };
    let lab = two_pods(Link::PointToPoint)?;
    // Stands for an agent: something that runs in the node's namespace and would outlive us.
    let _stray = lab
        .node()
        .netns()
        .inside(|| Command::new("sleep").arg("1000").spawn());
    fs::write(marker, format!("{}\n", lab.id())).expect("a marker");
    loop {
        thread::sleep(Duration::from_secs(1));
    }
}

#[test]
fn a_signal_leaves_nothing() {
    if skipped_without_root("a_signal_leaves_nothing") {
        return;
    }
    for signal in ["INT", "TERM"] {
        let (mut child, id) = lab_of_another_process();
        assert!(any_left_named(&id));
        let pid = child.id().to_string();
        let sent = Command::new("kill").args(["-s", signal, &pid]).status();
        assert!(sent.is_ok_and(|status| status.success()));
        let status = child.wait().expect("its end");
        assert!(!status.success());
        assert!(!any_left_named(&id), "SIG{signal}");
    }
}

#[test]
fn the_next_run_removes_what_a_killed_one_left() {
    if skipped_without_root("the_next_run_removes") {
        return;
    }
    let (mut killed, left) = lab_of_another_process();
    killed.kill().expect("killed");
    killed.wait().expect("its end");
    assert!(any_left_named(&left));
    let (mut next, own) = lab_of_another_process();
    assert!(!any_left_named(&left), "the next run removes it");
    assert!(any_left_named(&own));
    let pid = next.id().to_string();
    let _ = Command::new("kill").args(["-s", "TERM", &pid]).status();
    let _ = next.wait();
    assert!(!any_left_named(&own));
}
