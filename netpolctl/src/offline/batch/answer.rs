//! Answers.

use std::fmt::Display;
use std::rc::Rc;

use netpol_api::{Direction, ObjectName, RuleRef, Verdict};
use netpol_common::counter::NOT_ISOLATED;
use serde::ser::{SerializeMap, SerializeStruct};
use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::offline::cluster::Cluster;
use crate::offline::invalid::Invalid;
use crate::offline::judge::{End, Outcome};
use crate::wording;

/// The answer to a request.
#[derive(Debug, Serialize)]
pub(super) struct Answer<'a> {
    pub(super) id: &'a Value,
    pub(super) results: Vec<ProbeResult>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) invalid: Vec<Invalid>,
}

/// The answer to what is no request.
#[derive(Debug, Serialize)]
pub(super) struct Failure<'a> {
    pub(super) id: &'a Value,
    pub(super) error: String,
}

/// The answer to a probe. The rules are those of the compiled maps, shared by all probes.
#[derive(Debug)]
pub(super) enum ProbeResult {
    Allowed {
        egress: Option<Rc<RuleRef>>,
        ingress: Option<Rc<RuleRef>>,
    },
    Denied {
        at: Direction,
        by: Denier,
    },
}

/// What denies a connection.
#[derive(Debug)]
pub(super) enum Denier {
    /// Policies, or a drop reason.
    Rule(Rc<RuleRef>),
    /// The pod at that end cannot be understood: why.
    Unknown(Rc<str>),
    /// The request passes, the reply does not.
    Reply(Option<Rc<RuleRef>>),
}

impl ProbeResult {
    /// Of an outcome, with the counters' meaning in `cluster`.
    pub(super) fn new(outcome: &Outcome, cluster: &Cluster) -> Self {
        let rule = |counter: Option<u32>| counter.map(|counter| cluster.attribution(counter));
        let denied = |at, end: &End| match end {
            End::Dropped(Some(counter)) => Some(Self::Denied {
                at,
                by: Denier::Rule(cluster.attribution(*counter)),
            }),
            End::Unknown(why) => Some(Self::Denied {
                at,
                by: Denier::Unknown(Rc::clone(why)),
            }),
            End::Dropped(None) => Some(Self::Denied {
                at,
                by: Denier::Unknown("dropped, and not counted".into()),
            }),
            End::Outside | End::Passed(_) => None,
        };
        let reply = || {
            let (at, counter) = outcome.reply_dropped?;
            let by = Denier::Reply(rule(counter));
            Some(Self::Denied { at, by })
        };
        let passed = |end: &End| match end {
            // Nothing to name: no policy speaks there.
            End::Passed(counter) => rule(counter.filter(|c| *c != NOT_ISOLATED)),
            End::Outside | End::Dropped(_) | End::Unknown(_) => None,
        };
        denied(Direction::Egress, &outcome.egress)
            .or_else(|| denied(Direction::Ingress, &outcome.ingress))
            .or_else(reply)
            .unwrap_or_else(|| Self::Allowed {
                egress: passed(&outcome.egress),
                ingress: passed(&outcome.ingress),
            })
    }

    fn reason(&self) -> String {
        match self {
            Self::Allowed { egress, ingress } => allowed(egress.as_deref(), ingress.as_deref()),
            Self::Denied { by, .. } => match by {
                Denier::Rule(rule) => wording::rule(rule),
                Denier::Unknown(why) => why.to_string(),
                Denier::Reply(rule) => {
                    let why = rule.as_ref().map(|r| wording::rule(r)).unwrap_or_default();
                    format!("the request passes, but its reply is dropped: {why}")
                }
            },
        }
    }
}

fn allowed(egress: Option<&RuleRef>, ingress: Option<&RuleRef>) -> String {
    let exempt = [egress, ingress]
        .into_iter()
        .flatten()
        .find_map(|rule| match rule {
            RuleRef::Exemption { text } => Some(text.as_str()),
            _ => None,
        });
    let by_rule = |rule: Option<&RuleRef>| matches!(rule, Some(RuleRef::Rule { .. }));
    let reason = match (by_rule(egress), by_rule(ingress)) {
        (true, true) => "a rule allows it at either end",
        (true, false) => "a rule allows it at the source, and nothing isolates the destination",
        (false, true) => "a rule allows it at the destination, and nothing isolates the source",
        (false, false) => exempt.unwrap_or("no policy isolates either end"),
    };
    reason.to_owned()
}

impl Serialize for ProbeResult {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("ProbeResult", 4)?;
        let (verdict, at) = match self {
            Self::Allowed { .. } => (Verdict::Allow, None),
            Self::Denied { at, .. } => (Verdict::Deny, Some(at)),
        };
        fields.serialize_field("verdict", &verdict)?;
        fields.serialize_field("at", &at)?;
        fields.serialize_field("rule", &RuleField(self))?;
        fields.serialize_field("reason", &self.reason())?;
        fields.end()
    }
}

/// The field `rule` of a result.
struct RuleField<'a>(&'a ProbeResult);

impl Serialize for RuleField<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            ProbeResult::Allowed { egress, ingress } => {
                let mut ends = serializer.serialize_map(Some(2))?;
                ends.serialize_entry("egress", &egress.as_deref().and_then(Allowing::of))?;
                ends.serialize_entry("ingress", &ingress.as_deref().and_then(Allowing::of))?;
                ends.end()
            }
            ProbeResult::Denied {
                by: Denier::Rule(rule),
                ..
            } => match &**rule {
                RuleRef::DefaultDeny { policies, .. } | RuleRef::SourceDeny { policies } => {
                    let policies: Vec<_> = policies.iter().map(Shown).collect();
                    let mut fields = serializer.serialize_map(Some(1))?;
                    fields.serialize_entry("policies", &policies)?;
                    fields.end()
                }
                _ => serializer.serialize_none(),
            },
            ProbeResult::Denied { .. } => serializer.serialize_none(),
        }
    }
}

/// The rule that allows at one end.
#[derive(Serialize)]
struct Allowing<'a> {
    policy: Shown<&'a ObjectName>,
    index: u32,
}

impl<'a> Allowing<'a> {
    fn of(rule: &'a RuleRef) -> Option<Self> {
        match rule {
            RuleRef::Rule { policy, index, .. } => Some(Self {
                policy: Shown(policy),
                index: *index,
            }),
            _ => None,
        }
    }
}

/// Something as the text it is shown as.
struct Shown<T>(T);

impl<T: Display> Serialize for Shown<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}
