//! Is this an uninstall? Pure.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// What was last seen of the DaemonSet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sight {
    /// It was never there.
    Unknown,
    /// It is there to stay.
    There,
    /// It is being deleted, and its pods with it.
    Leaving,
    /// It is being deleted, or was, and its pods were to stay.
    Orphaning,
    /// It was there, and is not any more.
    Gone,
}

/// The finalizer of `kubectl delete --cascade=orphan`.
const ORPHAN: &str = "orphan";

impl Sight {
    /// What an object says of itself.
    pub(super) fn of(object: &ObjectMeta) -> Self {
        let orphans = object
            .finalizers
            .iter()
            .flatten()
            .any(|finalizer| finalizer == ORPHAN);
        match (&object.deletion_timestamp, orphans) {
            (None, _) => Self::There,
            (Some(_), false) => Self::Leaving,
            (Some(_), true) => Self::Orphaning,
        }
    }

    /// What is known once the object is seen, or seen to be missing.
    pub(super) fn next(self, object: Option<&ObjectMeta>) -> Self {
        match (object, self) {
            (Some(object), _) => Self::of(object),
            (None, Self::Unknown | Self::Orphaning) => self,
            (None, Self::There | Self::Leaving | Self::Gone) => Self::Gone,
        }
    }
}

/// What the API server says of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    There(Sight),
    Absent,
    /// The right to ask, or the account that asks, is gone.
    Refused,
    /// Nothing: it is away, or fails.
    Silent,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// Take everything with us.
    Remove,
    /// Leave everything in force.
    Keep,
    /// Keep, unless the watch tells more soon.
    Doubtful,
}

/// What a stop means, by what the watch saw and by what the API server says now.
pub(super) fn decide(sight: Sight, daemonset: Answer, namespace: Answer) -> Decision {
    match daemonset {
        Answer::There(Sight::Leaving) => Decision::Remove,
        Answer::There(Sight::Orphaning) => Decision::Keep,
        // Its pods may be deleted before it is.
        Answer::There(_) if namespace == Answer::There(Sight::Leaving) => Decision::Remove,
        Answer::There(_) => Decision::Keep,
        Answer::Absent => match sight {
            Sight::There | Sight::Leaving | Sight::Gone => Decision::Remove,
            // An orphan, or an agent that was never a DaemonSet's.
            Sight::Orphaning | Sight::Unknown => Decision::Keep,
        },
        Answer::Refused | Answer::Silent => match sight {
            Sight::Leaving | Sight::Gone => Decision::Remove,
            Sight::Orphaning => Decision::Keep,
            Sight::There | Sight::Unknown if daemonset == Answer::Refused => Decision::Doubtful,
            Sight::There | Sight::Unknown => Decision::Keep,
        },
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};

    use super::*;

    const STAYS: Answer = Answer::There(Sight::There);

    fn object(deleted: bool, finalizers: &[&str]) -> ObjectMeta {
        ObjectMeta {
            deletion_timestamp: deleted.then_some(Time(Timestamp::UNIX_EPOCH)),
            finalizers: Some(finalizers.iter().map(|&f| f.to_owned()).collect()),
            ..ObjectMeta::default()
        }
    }

    /// What is known after these sights, the first being that of an agent that just started.
    fn after(objects: &[Option<ObjectMeta>]) -> Sight {
        let sights = objects.iter();
        sights.fold(Sight::Unknown, |sight, object| sight.next(object.as_ref()))
    }

    #[test]
    fn a_restart_keeps() {
        let sight = after(&[Some(object(false, &[]))]);
        assert_eq!(decide(sight, STAYS, STAYS), Decision::Keep);
    }

    #[test]
    fn a_deletion_in_the_background_removes() {
        let sight = after(&[Some(object(false, &[])), None]);
        assert_eq!(decide(sight, Answer::Absent, STAYS), Decision::Remove);
        // The watch may lag behind the question.
        let sight = after(&[Some(object(false, &[]))]);
        assert_eq!(decide(sight, Answer::Absent, STAYS), Decision::Remove);
    }

    #[test]
    fn a_deletion_in_the_foreground_removes_before_the_object_is_gone() {
        let leaving = object(true, &["foregroundDeletion"]);
        let answer = Answer::There(Sight::of(&leaving));
        let sight = after(&[Some(object(false, &[])), Some(leaving)]);
        assert_eq!(decide(sight, answer, STAYS), Decision::Remove);
    }

    #[test]
    fn orphans_keep_while_and_after_the_object_goes() {
        let leaving = object(true, &["orphan"]);
        let answer = Answer::There(Sight::of(&leaving));
        let sight = after(&[Some(object(false, &[])), Some(leaving.clone())]);
        assert_eq!(decide(sight, answer, STAYS), Decision::Keep);
        let sight = sight.next(None);
        assert_eq!(decide(sight, Answer::Absent, STAYS), Decision::Keep);
        assert_eq!(decide(sight, Answer::Refused, STAYS), Decision::Keep);
    }

    #[test]
    fn an_orphan_that_started_anew_keeps() {
        let sight = after(&[None]);
        assert_eq!(decide(sight, Answer::Absent, STAYS), Decision::Keep);
    }

    #[test]
    fn a_namespace_that_goes_removes_though_the_object_is_there_yet() {
        let sight = after(&[Some(object(false, &[]))]);
        let namespace = Answer::There(Sight::Leaving);
        assert_eq!(decide(sight, STAYS, namespace), Decision::Remove);
    }

    #[test]
    fn an_object_that_came_again_keeps() {
        let sight = after(&[Some(object(false, &[])), None, Some(object(false, &[]))]);
        assert_eq!(decide(sight, STAYS, STAYS), Decision::Keep);
        // The question knows more than a watch that lags.
        let sight = after(&[Some(object(false, &[])), None]);
        assert_eq!(decide(sight, STAYS, STAYS), Decision::Keep);
    }

    #[test]
    fn without_rights_the_watch_decides_and_is_given_time() {
        let there = after(&[Some(object(false, &[]))]);
        assert_eq!(
            decide(there, Answer::Refused, Answer::Refused),
            Decision::Doubtful
        );
        assert_eq!(
            decide(there.next(None), Answer::Refused, Answer::Refused),
            Decision::Remove
        );
    }

    #[test]
    fn an_api_server_that_is_away_keeps_unless_the_deletion_was_seen() {
        let there = after(&[Some(object(false, &[]))]);
        let decision = |sight| decide(sight, Answer::Silent, Answer::Silent);
        assert_eq!(decision(there), Decision::Keep);
        assert_eq!(decision(Sight::Unknown), Decision::Keep);
        assert_eq!(decision(there.next(None)), Decision::Remove);
    }
}
