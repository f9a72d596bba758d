//! Waiting until policies are in force, as they are now.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use netpol_api::Reply;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

use super::super::Context;
use super::progress::{self, Progress};
use crate::agent::AgentError;
use crate::cluster::error::ClusterError;
use crate::exit::Exit;
use crate::fleet::{Coming, Heard, Keep};
use crate::output;
use crate::proof::argument::Selection;
use crate::proof::standing::{self, Reports, Standing};
use crate::proof::wanted::Wanted;

/// Pause between two looks at the API server while something is missing: when agents have news,
/// and when they have none.
const LOOKS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(5));
/// The agent of a socket has no node before it has said so.
const NODE: &str = "";

pub(super) async fn run(
    context: &Context,
    selection: &Selection,
    deadline: Instant,
) -> Result<Exit> {
    let mut waiting = Waiting::new(context, selection).await?;
    let mut progress = Progress::default();
    loop {
        let standings = waiting.standings();
        progress.show(&standings);
        let standings = if is_over(&standings, waiting.is_heard()) {
            // Pods that came meanwhile count too.
            match waiting.look_again().await? {
                Looked::Same => return conclude(context, &standings, progress),
                Looked::Changed => continue,
            }
        } else {
            standings
        };
        let next_look = waiting.next_look();
        tokio::select! {
            heard = waiting.heard.recv() => waiting.take(heard),
            () = sleep_until(next_look) => {
                waiting.look_again().await?;
            }
            () = sleep_until(deadline) => return conclude(context, &standings, progress),
        }
    }
}

fn is_passing(error: &anyhow::Error) -> bool {
    error.downcast_ref().is_some_and(ClusterError::is_passing)
}

/// All of it is in force, or some of it never will be.
fn is_over(standings: &[Standing], is_heard: bool) -> bool {
    let invalid = standings.iter().any(|standing| standing.invalid.is_some());
    let enforced = standings.iter().all(|standing| standing.enforced);
    invalid || (enforced && is_heard)
}

fn conclude(context: &Context, standings: &[Standing], progress: Progress) -> Result<Exit> {
    progress.finish();
    if standings.is_empty() {
        output::note("There are no such policies.");
    }
    output::print(context.format, standings, |_| progress::result(standings))?;
    let enforced = standings.iter().all(|standing| standing.enforced);
    Ok(match enforced {
        true => Exit::Success,
        false => Exit::Failure,
    })
}

struct Waiting<'a> {
    context: &'a Context,
    selection: &'a Selection,
    heard: mpsc::Receiver<Heard>,
    reports: Reports,
    /// By the API server; none by a socket.
    wanted: Option<Vec<Wanted>>,
    looked: Instant,
    has_news: bool,
}

/// What another look at the API server has brought.
#[derive(Debug, PartialEq, Eq)]
enum Looked {
    Same,
    Changed,
}

impl<'a> Waiting<'a> {
    async fn new(context: &'a Context, selection: &'a Selection) -> Result<Self> {
        let mut waiting = Self {
            context,
            selection,
            wanted: None,
            heard: context
                .fleet
                .listen(&selection.call(true), true, Keep::Asking),
            reports: BTreeMap::new(),
            looked: Instant::now(),
            has_news: false,
        };
        waiting.wanted = waiting.read().await?;
        Ok(waiting)
    }

    async fn read(&self) -> Result<Option<Vec<Wanted>>> {
        let Some(cluster) = self.context.fleet.cluster() else {
            return Ok(None);
        };
        let nodes = self.context.way.nodes();
        Wanted::read(cluster, self.selection, nodes).await.map(Some)
    }

    /// Reads what is wanted now. A version that was wanted before is still enough: who changes a
    /// policy again and again does not keep others waiting.
    ///
    /// An API server that is away for a moment is asked again later.
    async fn look_again(&mut self) -> Result<Looked> {
        let read = self.read().await;
        self.looked = Instant::now();
        self.has_news = false;
        let mut now = match read {
            Err(error) if is_passing(&error) => {
                sleep(LOOKS.0).await;
                return Ok(Looked::Changed);
            }
            read => read?,
        };
        for wanted in now.iter_mut().flatten() {
            let before = self.wanted.iter().flatten();
            let mut before = before.filter(|b| b.policy == wanted.policy && b.uid == wanted.uid);
            if let Some(before) = before.next() {
                wanted.generation = before.generation;
            }
        }
        let looked = match now == self.wanted {
            true => Looked::Same,
            false => Looked::Changed,
        };
        self.wanted = now;
        Ok(looked)
    }

    fn next_look(&self) -> Instant {
        if self.wanted.is_none() {
            // By a socket there is nothing to look at.
            return Instant::now() + LOOKS.1;
        }
        let pause = if self.has_news { LOOKS.0 } else { LOOKS.1 };
        self.looked + pause
    }

    /// Takes in what was heard, all of it.
    fn take(&mut self, first: Option<Heard>) {
        let mut next = first;
        while let Some(Heard { node, what }) = next {
            let node = node.unwrap_or_else(|| NODE.to_owned());
            let report = match what {
                Ok(Coming::Reply(reply)) => match *reply {
                    Reply::Enforcement(report) => Ok(*report),
                    _ => Err(AgentError::OtherAnswer.sentence()),
                },
                Ok(Coming::End) => Err(AgentError::Ended.sentence()),
                Err(error) => Err(error.sentence()),
            };
            self.reports.insert(node, report);
            self.has_news = true;
            next = self.heard.try_recv().ok();
        }
    }

    /// Whether the agent of a socket has said what there is.
    fn is_heard(&self) -> bool {
        self.wanted.is_some() || self.reports.values().any(Result::is_ok)
    }

    fn standings(&self) -> Vec<Standing> {
        if let Some(wanted) = &self.wanted {
            return standing::of(wanted, &self.reports);
        }
        let reports = standing::by_own_name(&self.reports);
        let known = standing::wanted_by_agents(self.selection, &reports);
        let mut standings = standing::of(&known, &reports);
        let unknown = self.selection.named().filter(|policy| {
            let mut known = known.iter();
            !known.any(|known| known.policy == *policy)
        });
        let reason = match self.reports.values().find_map(|r| r.as_ref().err()) {
            Some(reason) => reason.clone(),
            None => "the agent does not know the policy yet".to_owned(),
        };
        standings.extend(unknown.map(|policy| Standing::unknown(policy, &reason)));
        standings
    }
}
