//! Whether what is on disk is enforced: pure.

use netpol_api::{Endpoint, EndpointState, WaitOutcome};

/// The answer to a wait, for the moment. `problems` are sentences about what concerns all
/// endpoints.
pub(crate) fn outcome(endpoints: &[Endpoint], problems: &[String]) -> WaitOutcome {
    let enforced = endpoints
        .iter()
        .filter(|endpoint| is_enforced(endpoint))
        .count();
    let mut missing = problems.to_vec();
    missing.extend(endpoints.iter().filter_map(sentence));
    WaitOutcome {
        enforced: missing.is_empty(),
        endpoints_enforced: enforced as u64,
        endpoints: endpoints.len() as u64,
        missing,
    }
}

fn is_enforced(endpoint: &Endpoint) -> bool {
    endpoint.state == EndpointState::Enforced
}

fn sentence(endpoint: &Endpoint) -> Option<String> {
    let pod = &endpoint.pod;
    match &endpoint.state {
        EndpointState::Enforced => None,
        EndpointState::Pending { reason } => Some(format!("{pod} is not enforced yet: {reason}")),
        EndpointState::Closed { reason } => Some(format!("{pod} is closed: {reason}")),
    }
}

#[cfg(test)]
mod tests {
    use netpol_api::{ConnectionCount, Isolation, ObjectName};

    use super::*;

    fn endpoint(name: &str, state: EndpointState) -> Endpoint {
        Endpoint {
            pod: ObjectName {
                namespace: "a".to_owned(),
                name: name.to_owned(),
            },
            addresses: Vec::new(),
            interface: None,
            ifindex: None,
            state,
            ingress: Isolation::default(),
            egress: Isolation::default(),
            generation: 0,
            connections: ConnectionCount::default(),
        }
    }

    #[test]
    fn a_node_without_pods_enforces() {
        let outcome = outcome(&[], &[]);
        assert!(outcome.enforced);
        assert_eq!((outcome.endpoints_enforced, outcome.endpoints), (0, 0));
    }

    #[test]
    fn one_pod_without_an_interface_is_named_and_keeps_waiting() {
        let reason = "no route leads to it".to_owned();
        let endpoints = [
            endpoint("x", EndpointState::Enforced),
            endpoint("y", EndpointState::Pending { reason }),
        ];
        let outcome = outcome(&endpoints, &[]);
        assert!(!outcome.enforced);
        assert_eq!((outcome.endpoints_enforced, outcome.endpoints), (1, 2));
        assert_eq!(
            outcome.missing,
            ["a/y is not enforced yet: no route leads to it"]
        );
    }

    #[test]
    fn a_closed_pod_does_not_enforce_what_is_on_disk() {
        let reason = "its rules do not fit".to_owned();
        let outcome = outcome(&[endpoint("x", EndpointState::Closed { reason })], &[]);
        assert!(!outcome.enforced);
        assert_eq!(outcome.missing, ["a/x is closed: its rules do not fit"]);
    }

    #[test]
    fn a_problem_of_the_node_holds_for_all_pods() {
        let problem = "a.yaml cannot be read".to_owned();
        let outcome = outcome(&[endpoint("x", EndpointState::Enforced)], &[problem]);
        assert!(!outcome.enforced);
        assert_eq!(outcome.endpoints_enforced, 1);
    }
}
