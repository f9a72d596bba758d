//! Epochs, and whether an answer fits those it touches.

use std::{
    collections::HashMap,
    fmt,
    time::{Duration, Instant},
};

use super::Counts;
use crate::lab::{Family, Outcome, Traffic};

/// Who asks whom, over which family, for what.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Question {
    pub(super) from: String,
    pub(super) to: String,
    pub(super) family: Family,
    pub(super) traffic: Traffic,
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} to {} {} over {}",
            self.from, self.to, self.traffic, self.family
        )
    }
}

/// A question that was asked.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) question: Question,
    pub(super) began: Instant,
    pub(super) ended: Instant,
    pub(super) outcome: Outcome,
}

/// A state in force.
#[derive(Debug)]
pub(super) struct Epoch {
    /// What led to it.
    what: String,
    /// It was said to be in force.
    began: Instant,
    /// The next change began.
    ended: Option<Instant>,
    /// Whether each question is to be answered.
    verdicts: HashMap<Question, bool>,
}

impl Epoch {
    pub(super) fn new(began: Instant, what: String, verdicts: HashMap<Question, bool>) -> Self {
        Self {
            what,
            began,
            ended: None,
            verdicts,
        }
    }
}

/// All epochs of a soak.
#[derive(Debug)]
pub(super) struct Record {
    started: Instant,
    epochs: Vec<Epoch>,
}

/// What must come of a question.
#[derive(Debug, PartialEq, Eq)]
enum Must {
    /// All epochs it touches agree; whether it touches more than one.
    Be {
        answered: bool,
        while_changing: bool,
    },
    /// They do not, or one of them does not know the question.
    BeEither,
}

impl Record {
    pub(super) fn new(started: Instant) -> Self {
        Self {
            started,
            epochs: Vec::new(),
        }
    }

    pub(super) fn push(&mut self, epoch: Epoch) {
        self.epochs.push(epoch);
    }

    /// The next change begins now.
    pub(super) fn end_epoch(&mut self) {
        if let Some(last) = self.epochs.last_mut() {
            last.ended = Some(Instant::now());
        }
    }

    pub(super) fn progress(&self, end: Instant) -> String {
        let left = end.saturating_duration_since(Instant::now());
        let what = self.epochs.last().map_or("", |it| it.what.as_str());
        format!(
            "{} changes, {} s left; {what}",
            self.epochs.len() - 1,
            left.as_secs()
        )
    }

    /// The epochs that may have been in force at some moment of a question: one is from the beginning of the change
    /// that led to it until the end of the change that ended it.
    fn touched(&self, asked: &Asked) -> impl Iterator<Item = &Epoch> {
        let begins = self
            .epochs
            .iter()
            .scan(None, |before: &mut Option<Instant>, epoch| {
                let began = before.unwrap_or(epoch.began);
                *before = epoch.ended;
                Some(began)
            });
        let ends = self.epochs.iter().skip(1).map(|next| Some(next.began));
        let ends = ends.chain([None]);
        let spans = self.epochs.iter().zip(begins.zip(ends));
        spans.filter_map(move |(epoch, (began, ended))| {
            let touches = began <= asked.ended && ended.is_none_or(|it| it >= asked.began);
            touches.then_some(epoch)
        })
    }

    fn must(&self, asked: &Asked) -> Must {
        let mut verdicts = Vec::new();
        for epoch in self.touched(asked) {
            verdicts.push(epoch.verdicts.get(&asked.question).copied());
        }
        match verdicts.split_first() {
            Some((&Some(answered), rest)) if rest.iter().all(|it| *it == Some(answered)) => {
                Must::Be {
                    answered,
                    while_changing: !rest.is_empty(),
                }
            }
            _ => Must::BeEither,
        }
    }

    /// Judges all that was asked; each wrong answer is a sentence.
    pub(super) fn judge(&self, all: &[Asked]) -> (Counts, Vec<String>) {
        let mut counts = Counts {
            changes: self.epochs.len().saturating_sub(1),
            asked: all.len(),
            ..Counts::default()
        };
        let mut wrong = Vec::new();
        for asked in all {
            let Must::Be {
                answered,
                while_changing,
            } = self.must(asked)
            else {
                counts.either += 1;
                continue;
            };
            counts.judged += 1;
            counts.while_changing += usize::from(while_changing);
            *if answered {
                &mut counts.reached
            } else {
                &mut counts.refused
            } += 1;
            let expected = if answered {
                Outcome::Reached
            } else {
                Outcome::TimedOut
            };
            if asked.outcome != expected {
                counts.wrong += 1;
                wrong.push(self.sentence(asked, expected));
            }
        }
        (counts, wrong)
    }

    fn sentence(&self, asked: &Asked, expected: Outcome) -> String {
        let at = |moment: Instant| seconds(moment.duration_since(self.started));
        let states: Vec<String> = self
            .touched(asked)
            .map(|epoch| format!("\"{}\" in force at {}", epoch.what, at(epoch.began)))
            .collect();
        format!(
            "{}, asked at {} until {}: {}, must be {expected}; {}",
            asked.question,
            at(asked.began),
            at(asked.ended),
            asked.outcome,
            states.join(", then ")
        )
    }
}

fn seconds(duration: Duration) -> String {
    format!("{:.3} s", duration.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question() -> Question {
        Question {
            from: "a/x".to_owned(),
            to: "a/y".to_owned(),
            family: Family::V4,
            traffic: Traffic::tcp(80),
        }
    }

    /// Epochs in force from 0 to 10, 12 to 20, 22 to 30 s.
    fn record(verdicts: [Option<bool>; 3]) -> (Record, Instant) {
        let zero = Instant::now();
        let at = |seconds| zero + Duration::from_secs(seconds);
        let mut record = Record::new(zero);
        for (verdict, (began, ended)) in verdicts.into_iter().zip([(0, 10), (12, 20), (22, 30)]) {
            let verdicts = verdict.map(|it| (question(), it)).into_iter().collect();
            let mut epoch = Epoch::new(at(began), "a change".to_owned(), verdicts);
            epoch.ended = Some(at(ended));
            record.push(epoch);
        }
        (record, zero)
    }

    fn must(verdicts: [Option<bool>; 3], began: u64, ended: u64) -> Must {
        let (record, zero) = record(verdicts);
        record.must(&Asked {
            question: question(),
            began: zero + Duration::from_secs(began),
            ended: zero + Duration::from_secs(ended),
            outcome: Outcome::Reached,
        })
    }

    fn be(answered: bool, while_changing: bool) -> Must {
        Must::Be {
            answered,
            while_changing,
        }
    }

    #[test]
    fn within_an_epoch_its_verdict_counts() {
        let verdicts = [Some(true), Some(false), Some(true)];
        assert_eq!(must(verdicts, 1, 2), be(true, false));
        assert_eq!(must(verdicts, 13, 15), be(false, false));
    }

    #[test]
    fn in_a_change_either_may_be_unless_both_agree() {
        assert_eq!(
            must([Some(true), Some(false), Some(false)], 9, 11),
            Must::BeEither
        );
        assert_eq!(
            must([Some(true), Some(false), Some(false)], 11, 13),
            Must::BeEither
        );
        assert_eq!(
            must([Some(true), Some(true), Some(false)], 11, 13),
            be(true, true)
        );
        assert_eq!(
            must([Some(false), Some(false), Some(true)], 1, 19),
            be(false, true)
        );
        assert_eq!(
            must([Some(false), Some(false), Some(true)], 1, 21),
            Must::BeEither
        );
    }

    #[test]
    fn a_pod_that_comes_or_goes_is_not_asked_after() {
        assert_eq!(must([Some(true), None, None], 9, 11), Must::BeEither);
        assert_eq!(
            must([None, Some(true), Some(true)], 13, 14),
            be(true, false)
        );
    }

    #[test]
    fn a_wrong_answer_is_counted_and_told() {
        let (record, zero) = record([Some(false); 3]);
        let asked = Asked {
            question: question(),
            began: zero,
            ended: zero,
            outcome: Outcome::Reached,
        };
        let (counts, wrong) = record.judge(&[asked]);
        assert_eq!((counts.judged, counts.refused, counts.wrong), (1, 1, 1));
        assert!(
            wrong[0].contains("a/x to a/y 80/TCP over ipv4"),
            "{wrong:?}"
        );
        assert!(wrong[0].contains("must be timed out"), "{wrong:?}");
    }
}
