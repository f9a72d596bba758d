//! What a counter number of the maps stands for, in the words of the agent's API.

use netpol_api::RuleRef;
use netpol_common::counter::{self, DropReason};
use netpol_policy::{ClusterState, RuleAttribution};

/// What `number` stands for.
pub(super) fn of(state: &ClusterState, number: u32) -> RuleRef {
    if let Some(reason) = DropReason::from_counter(number) {
        return RuleRef::Drop {
            reason: reason.words().to_owned(),
        };
    }
    let exemption = |text: &str| RuleRef::Exemption {
        text: text.to_owned(),
    };
    match number {
        counter::NOT_ISOLATED => exemption("no policy isolates the pod in this direction"),
        counter::FROM_NODE => exemption("a pod's own node reaches it"),
        counter::SELF => exemption("a pod reaches itself"),
        counter::NEIGHBOUR => exemption("neighbour discovery"),
        number => rule(state, number),
    }
}

fn rule(state: &ClusterState, number: u32) -> RuleRef {
    let Some(view) = state.rule(number) else {
        return RuleRef::Drop {
            reason: format!("counter {number} stands for no rule"),
        };
    };
    let direction = super::api_direction(view.direction);
    match view.attribution {
        RuleAttribution::Rule {
            policy,
            index,
            text,
        } => RuleRef::Rule {
            policy: super::name(&policy),
            direction,
            index: u32::try_from(index).unwrap_or(u32::MAX),
            text,
        },
        RuleAttribution::DefaultDeny { policies } => RuleRef::DefaultDeny {
            policies: policies.iter().map(super::name).collect(),
            direction,
        },
        RuleAttribution::SourceDeny { policies } => RuleRef::SourceDeny {
            policies: policies.iter().map(super::name).collect(),
        },
    }
}
