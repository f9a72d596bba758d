//! The checker against made-up workspaces.

use super::*;

fn member(name: &str, uses: &[(&str, When)]) -> Member {
    let uses = uses.iter().map(|(name, when)| Use {
        name: (*name).to_owned(),
        when: *when,
    });
    Member {
        name: name.to_owned(),
        uses: uses.collect(),
        roots: vec![RootFile {
            path: format!("{name}/src/lib.rs"),
            text: "//! Doc.\n#![forbid(unsafe_code)]\n".to_owned(),
        }],
    }
}

/// The workspace as designed, with one more use.
fn workspace_with(user: &str, used: &str, when: When) -> Vec<Member> {
    let mut members = vec![
        member("netpol-common", &[("bytemuck", When::Always)]),
        member("netpol-datapath", &[("netpol-common", When::Always)]),
        member("netpol-policy", &[("netpol-common", When::Always)]),
        member("netpol-ebpf", &[("netpol-datapath", When::Always)]),
        member(
            "netpol-agent",
            &[("netpol-policy", When::Always), ("aya", When::Always)],
        ),
        member(
            "netpolctl",
            &[("netpol-policy", When::Always), ("tokio", When::Always)],
        ),
        member("netpol-e2e", &[("netpol-datapath", When::Always)]),
    ];
    let user = members
        .iter_mut()
        .find(|member| member.name == user)
        .expect("the user is one of the above");
    user.uses.push(Use {
        name: used.to_owned(),
        when,
    });
    members
}

/// The only sentence said about it, or none.
fn verdict(user: &str, used: &str, when: When) -> Option<String> {
    let mut found = violations(&workspace_with(user, used, when));
    assert!(found.len() <= 1, "{found:#?}");
    found.pop()
}

#[test]
fn the_design_is_accepted() {
    assert_eq!(verdict("netpol-common", "serde", When::Always), None);
}

#[test]
fn an_arrow_that_is_not_drawn_is_named_with_both_ends() {
    let said = verdict("netpol-common", "netpol-policy", When::Always);
    let said = said.expect("common uses nothing");
    assert!(
        said.starts_with("netpol-common uses netpol-policy, an arrow"),
        "{said}"
    );
}

#[test]
fn policy_may_use_the_datapath_in_tests_only() {
    assert_eq!(
        verdict("netpol-policy", "netpol-datapath", When::Tests),
        None
    );
    assert!(verdict("netpol-policy", "netpol-datapath", When::Always).is_some());
}

#[test]
fn the_agent_may_use_the_programs_in_its_build_script_only() {
    assert_eq!(verdict("netpol-agent", "netpol-ebpf", When::Build), None);
    assert!(verdict("netpol-agent", "netpol-ebpf", When::Always).is_some());
}

#[test]
fn the_end_to_end_tests_may_use_anything_of_ours() {
    assert_eq!(verdict("netpol-e2e", "netpol-agent", When::Always), None);
}

#[test]
fn fenced_crates_stay_behind_their_fence() {
    for (user, used) in [
        ("netpol-policy", "kube"),
        ("netpol-policy", "kube-runtime"),
        ("netpolctl", "aya"),
        ("netpol-agent", "aya-ebpf"),
        ("netpol-datapath", "aya-log-ebpf"),
        ("netpol-policy", "tokio-util"),
    ] {
        let said = verdict(user, used, When::Always);
        assert!(
            said.is_some_and(|said| said.contains("which only")),
            "{user} uses {used}"
        );
    }
    assert_eq!(verdict("netpol-ebpf", "aya-ebpf", When::Always), None);
    assert_eq!(verdict("netpol-agent", "aya-build", When::Build), None);
}

#[test]
fn a_root_file_without_forbid_is_named() {
    let mut policy = member("netpol-policy", &[]);
    policy.roots[0].text = "//! `#![forbid(unsafe_code)]` is only spoken of here.\n".to_owned();
    let found = violations(&[policy]);
    assert_eq!(found.len(), 1);
    assert!(
        found[0].contains("netpol-policy/src/lib.rs"),
        "{}",
        found[0]
    );
}

#[test]
fn a_crate_without_a_row_is_a_violation() {
    let found = violations(&[member("netpol-new", &[])]);
    assert_eq!(found.len(), 1);
    assert!(found[0].contains("add a row"), "{}", found[0]);
}

#[test]
fn the_drawing_has_a_line_for_each_crate() {
    let members = [
        member("netpol-common", &[]),
        member(
            "netpol-policy",
            &[("netpol-common", When::Always), ("serde", When::Always)],
        ),
    ];
    assert_eq!(
        drawing(&members),
        "netpol-common -> -\nnetpol-policy -> netpol-common\n"
    );
}
