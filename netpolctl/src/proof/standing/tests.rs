use netpol_api::PolicyProblem;

use super::*;

fn name(name: &str) -> ObjectName {
    ObjectName {
        namespace: "shop".to_owned(),
        name: name.to_owned(),
    }
}

fn wanted(pods: &[(&str, &str)]) -> Wanted {
    Wanted {
        policy: name("p"),
        uid: "uid-p".to_owned(),
        generation: Some(3),
        pods: (pods.iter())
            .map(|(node, pod)| WantedPod {
                node: (*node).to_owned(),
                pod: name(pod),
                uid: format!("uid-{pod}"),
            })
            .collect(),
        without_address: 0,
    }
}

fn policy(pods: &[&str]) -> PolicyEnforcement {
    PolicyEnforcement {
        policy: name("p"),
        uid: "uid-p".to_owned(),
        generation: Some(3),
        problem: None,
        rules: Vec::new(),
        directions: Vec::new(),
        pods: (pods.iter())
            .map(|pod| PodEnforcement {
                pod: name(pod),
                uid: format!("uid-{pod}"),
                state: EndpointState::Enforced,
                since: Some(1.0),
                kernel: None,
            })
            .collect(),
    }
}

fn report(policies: Vec<PolicyEnforcement>) -> Result<EnforcementReport, String> {
    Ok(EnforcementReport {
        node: "n".to_owned(),
        read: 0.0,
        problems: Vec::new(),
        policies,
    })
}

fn reports(reports: Vec<(&str, Result<EnforcementReport, String>)>) -> Reports {
    let reports = reports.into_iter();
    reports
        .map(|(node, report)| (node.to_owned(), report))
        .collect()
}

/// How one pod of one node stands, when its agent says this of the policy.
fn alone(known: PolicyEnforcement) -> Standing {
    let reports = reports(vec![("one", report(vec![known]))]);
    of(&[wanted(&[("one", "a")])], &reports).remove(0)
}

#[track_caller]
fn assert_missing(standing: &Standing, reason: &str) {
    assert!(!standing.enforced, "{standing:?}");
    assert_eq!((standing.nodes_enforced, standing.pods_enforced), (0, 0));
    let [missing] = standing.missing.as_slice() else {
        panic!("{standing:?}");
    };
    assert!(missing.reason.contains(reason), "{missing:?}");
}

#[test]
fn it_is_enforced_when_each_node_s_agent_has_found_it_so() {
    let wanted = wanted(&[("one", "a"), ("one", "b"), ("two", "c")]);
    let heard = reports(vec![
        ("one", report(vec![policy(&["a", "b"])])),
        ("two", report(vec![policy(&["c"])])),
        ("three", Err("it has no pod of it".to_owned())),
    ]);
    let standing = one(&wanted, &heard);
    assert!(standing.enforced, "{standing:?}");
    assert_eq!((standing.nodes_enforced, standing.nodes), (2, 2));
    assert_eq!((standing.pods_enforced, standing.pods), (3, 3));
}

#[test]
fn an_agent_that_is_absent_or_does_not_answer_is_missing() {
    let wanted = wanted(&[("one", "a"), ("two", "b")]);
    let heard = reports(vec![("one", Err("no pod".to_owned()))]);
    let standing = one(&wanted, &heard);
    let reasons: Vec<&str> = standing.missing.iter().map(|m| m.reason.as_str()).collect();
    assert_eq!(
        reasons,
        [
            "its node's agent does not answer: no pod",
            "its node's agent has not answered yet"
        ]
    );
}

#[test]
fn an_agent_that_is_behind_is_missing() {
    let mut former = policy(&["a"]);
    former.generation = Some(2);
    assert_missing(&alone(former), "has generation 2");

    let mut other = policy(&["a"]);
    other.uid = "uid-former".to_owned();
    assert_missing(&alone(other), "former policy");

    assert_missing(&alone(policy(&[])), "does not see");

    let mut of_former_pod = policy(&["a"]);
    of_former_pod.pods[0].uid = "uid-former".to_owned();
    assert_missing(&alone(of_former_pod), "does not see");

    let mut unknown = policy(&["a"]);
    unknown.policy = name("q");
    assert_missing(&alone(unknown), "does not know the policy");
}

#[test]
fn what_keeps_an_agent_behind_is_told() {
    let mut behind = report(Vec::new());
    if let Ok(report) = &mut behind {
        report.problems.push("the API server is away".to_owned());
    }
    let reports = reports(vec![("one", behind)]);
    let standing = of(&[wanted(&[("one", "a")])], &reports).remove(0);
    assert_missing(&standing, "(the API server is away)");
}

#[test]
fn a_later_generation_will_do() {
    let mut later = policy(&["a"]);
    later.generation = Some(4);
    assert!(alone(later).enforced);
}

#[test]
fn a_pod_that_is_pending_or_closed_says_why() {
    let mut pending = policy(&["a"]);
    let reason = "its interface is being looked for".to_owned();
    pending.pods[0].state = EndpointState::Pending { reason };
    assert_missing(&alone(pending), "looked for");
    let mut closed = policy(&["a"]);
    let reason = "its policies do not fit".to_owned();
    closed.pods[0].state = EndpointState::Closed { reason };
    assert_missing(&alone(closed), "closed, all traffic dropped: its policies");
}

#[test]
fn a_policy_that_cannot_be_enforced_as_written_is_told_from_one_that_is_not_yet() {
    let mut broken = policy(&["a"]);
    broken.problem = Some(PolicyProblem {
        field: "spec.ingress[0]".to_owned(),
        reason: "is no object".to_owned(),
    });
    let standing = alone(broken.clone());
    assert_missing(&standing, "not valid");
    assert_eq!(
        standing.invalid.as_deref(),
        Some("spec.ingress[0]: is no object")
    );
    broken.generation = Some(2);
    assert_eq!(alone(broken).invalid, None, "the next one may be valid");
}

#[test]
fn a_policy_that_selects_no_pod_is_in_force() {
    let standing = one(&wanted(&[]), &Reports::new());
    assert!(standing.enforced);
    assert_eq!((standing.nodes, standing.pods), (0, 0));
}

#[test]
fn the_agent_of_a_socket_is_taken_at_its_word() {
    let reports = reports(vec![("n", report(vec![policy(&["a"])]))]);
    let selection = Selection::All(Some("shop".to_owned()));
    let wanted = wanted_by_agents(&selection, &reports);
    assert_eq!(wanted[0].pods[0].node, "n");
    assert!(of(&wanted, &reports)[0].enforced);
    let elsewhere = Selection::All(Some("elsewhere".to_owned()));
    assert!(wanted_by_agents(&elsewhere, &reports).is_empty());
}
