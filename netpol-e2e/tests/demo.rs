//! The demo as a user runs it: exit codes, `--keep`, Ctrl-C.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::Duration,
};

use netpol_e2e::{
    lab::{Binaries, LabError, Result, skipped_without_root},
    scenario::examples_dir,
};

const DEMO: &str = env!("CARGO_BIN_EXE_demo");

/// The demo of some examples, with the binaries that the other tests use.
fn demo(examples: &Path) -> Result<Command> {
    let binaries = Binaries::find()?;
    let mut command = Command::new(DEMO);
    command
        .env("NETPOL_AGENT", &binaries.agent)
        .env("NETPOLCTL", &binaries.ctl)
        .env("NETPOL_EXAMPLES", examples)
        .stdin(Stdio::null());
    Ok(command)
}

fn text(output: &Output) -> String {
    let both = [output.stdout.clone(), output.stderr.clone()].concat();
    String::from_utf8_lossy(&both).into_owned()
}

/// What labs of a process there are.
fn labs_of(pid: u32) -> Vec<String> {
    let names = ["/var/run/netns", "/run"].into_iter().flat_map(|dir| {
        let entries = fs::read_dir(dir).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned())
    });
    names
        .filter(|name| name.contains(&format!("np-{pid}-")))
        .collect()
}

/// A copy of the examples of one scenario, its script changed.
fn changed_examples(name: &str, change: impl Fn(&str) -> String) -> Result<PathBuf> {
    let failed = |source| LabError::Io {
        action: "copy the examples".to_owned(),
        source,
    };
    let copy = std::env::temp_dir().join(format!("netpol-examples-{:x}", fastrand::u64(..)));
    let target = copy.join(name);
    fs::create_dir_all(&target).map_err(failed)?;
    for entry in fs::read_dir(examples_dir().join(name))
        .map_err(failed)?
        .flatten()
    {
        let text = fs::read_to_string(entry.path()).map_err(failed)?;
        let mut copied = text.clone();
        if entry.file_name() == "scenario.yaml" {
            copied = change(&text);
            assert_ne!(copied, text, "the change must change something");
        }
        fs::write(target.join(entry.file_name()), copied).map_err(failed)?;
    }
    Ok(copy)
}

#[test]
fn a_right_scenario_ends_with_exit_code_0_and_tells_the_story() -> Result<()> {
    if skipped_without_root("a_right_scenario") {
        return Ok(());
    }
    let output = demo(&examples_dir())?
        .arg("wordpress")
        .output()
        .expect("the demo");
    let text = text(&output);
    assert!(output.status.success(), "{text}");
    for wanted in [
        "BEFORE",
        "AFTER",
        "autopol-ingress-564878049",
        "11 cells, all right",
    ] {
        assert!(text.contains(wanted), "no {wanted:?} in:\n{text}");
    }
    assert!(
        !text.contains("WRONG") && !text.contains('\u{1b}'),
        "{text}"
    );
    assert!(
        text.lines().all(|line| line.chars().count() <= 120),
        "{text}"
    );
    Ok(())
}

#[test]
fn a_single_wrong_cell_ends_with_exit_code_1_and_is_named() -> Result<()> {
    if skipped_without_root("a_single_wrong_cell") {
        return Ok(());
    }
    // The first cell: SQL from wordpress to mysql, which the policy allows.
    let examples = changed_examples("wordpress", |text| {
        text.replacen("after: reached", "after: refused", 1)
    })?;
    let output = demo(&examples)?.output().expect("the demo");
    let _ = fs::remove_dir_all(&examples);
    let text = text(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(
        text.contains(
            "WRONG wordpress: wordpress-mysql/wordpress to wordpress-mysql/mysql 3306/TCP"
        ),
        "{text}"
    );
    Ok(())
}

#[test]
fn a_typo_is_named_with_its_place_before_anything_is_built() -> Result<()> {
    if skipped_without_root("a_typo_is_named") {
        return Ok(());
    }
    let examples = changed_examples("wordpress", |text| {
        text.replacen("after: refused", "after: refusd", 1)
    })?;
    let output = demo(&examples)?.output().expect("the demo");
    let _ = fs::remove_dir_all(&examples);
    let text = text(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("steps[0].cells[1].after"), "{text}");
    assert!(text.contains("refusd"), "{text}");
    Ok(())
}

#[test]
fn an_unknown_name_is_answered_with_those_there_are() -> Result<()> {
    if skipped_without_root("an_unknown_name") {
        return Ok(());
    }
    let output = demo(&examples_dir())?
        .arg("paymets")
        .output()
        .expect("the demo");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("cache-store, payments, wordpress, yelb, zero-trust"));
    Ok(())
}

#[test]
fn what_is_kept_stands_until_ctrl_c() -> Result<()> {
    if skipped_without_root("what_is_kept") {
        return Ok(());
    }
    let mut child = demo(&examples_dir())?
        .args(["wordpress", "--keep"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the demo");
    let pid = child.id();
    let stdout = child.stdout.take().expect("its stdout");
    let mut lines = Vec::new();
    for line in BufReader::new(stdout).lines() {
        let line = line.expect("a line");
        let last = line.contains("Press Ctrl-C");
        lines.push(line);
        if last {
            break;
        }
    }
    let told = lines.join("\n");
    assert!(!labs_of(pid).is_empty(), "it stands:\n{told}");
    // A command it tells to try.
    let status = lines
        .iter()
        .find(|line| line.trim_end().ends_with(" status"));
    let status = status.unwrap_or_else(|| panic!("no status command in:\n{told}"));
    let ran = Command::new("sh")
        .args(["-c", status])
        .output()
        .expect("sh");
    assert!(ran.status.success(), "{}", text(&ran));

    let interrupt = Command::new("kill")
        .args(["-s", "INT", &pid.to_string()])
        .status();
    assert!(interrupt.is_ok_and(|status| status.success()));
    let ended = child.wait().expect("its end");
    assert_eq!(ended.code(), Some(130));
    assert_eq!(labs_of(pid), Vec::<String>::new());
    Ok(())
}

#[test]
fn ctrl_c_in_the_middle_leaves_nothing() -> Result<()> {
    if skipped_without_root("ctrl_c_in_the_middle") {
        return Ok(());
    }
    for delay in [5, 10, 15, 20, 25, 30, 50, 100, 200, 300, 700, 1500] {
        let mut child = demo(&examples_dir())?
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the demo");
        let pid = child.id();
        std::thread::sleep(Duration::from_millis(delay));
        let _ = Command::new("kill")
            .args(["-s", "INT", &pid.to_string()])
            .status();
        let ended = child.wait().expect("its end");
        assert!(!ended.success(), "after {delay} ms: {ended}");
        assert_eq!(labs_of(pid), Vec::<String>::new(), "after {delay} ms");
    }
    Ok(())
}
