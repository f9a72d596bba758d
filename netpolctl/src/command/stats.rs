//! `netpolctl stats`

use std::io::IsTerminal;
use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;
use netpol_api::{Call, CounterRow, ObjectName, Reply, RuleRef};
use tokio::time::sleep;

use self::merge::Row;
use self::rates::{Previous, Rates};
use self::table::Columns;
use super::{Context, done, variant};
use crate::agent::AgentError;
use crate::exit::Exit;
use crate::filter::{NameArgument, Namespaces};
use crate::fleet::{Answers, Fleet, OnNode};
use crate::output::{self, Format, time, units};

mod merge;
mod rates;
mod table;

pub(crate) const EXAMPLES: &str = "\
Examples:
  # what every rule has allowed, and every default deny has dropped
  netpolctl stats

  # the rules of one policy, with the pods they apply to
  netpolctl stats --policy payments/gateway-netpol -o wide

  # what applies to one pod, every two seconds, with rates
  netpolctl stats --pod payments/gateway -w

  # count from now on: try something, then look
  netpolctl stats --reset-baseline

Counts are of the rule, all pods it applies to together, on all nodes that were asked. A `deny` row counts what no rule of the
policies in it allowed. CUT are connections that were open when a change of policy forbade them. `-o wide` ends with exemptions and with drops that are no policy's.";

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    namespaces: Namespaces,
    /// Only this policy's rows
    #[arg(long, value_name = "NS/NAME")]
    policy: Option<NameArgument>,
    /// Only rules that apply to this pod; the counts are still of the rule, not of the pod
    #[arg(long, value_name = "NS/NAME")]
    pod: Option<NameArgument>,
    /// Show again and again, with rates per second
    #[arg(short, long)]
    watch: bool,
    /// Time between two looks
    #[arg(long, default_value = "2s", requires = "watch", value_name = "TIME",
          value_parser = time::parse_duration)]
    interval: Duration,
    /// Stop after so many looks
    #[arg(long, requires = "watch", value_name = "N")]
    count: Option<NonZeroU64>,
    /// A row for each node that counts, rather than the sum of all
    #[arg(long)]
    per_node: bool,
    /// Count from now on: later `stats` show differences from this moment
    #[arg(long, conflicts_with_all = ["watch", "policy", "pod", "namespace", "all_namespaces"])]
    reset_baseline: bool,
}

pub(crate) async fn run(context: &Context, arguments: &Arguments) -> Result<Exit> {
    if arguments.reset_baseline {
        let answers = context.ask(Call::ResetBaseline, done).await?;
        output::note("Counters are shown as differences from now on.");
        return Ok(answers.conclude(Exit::Success));
    }
    let filter = Filter::new(arguments)?;
    if arguments.watch {
        return watch(context, arguments, &filter).await;
    }
    let (answers, counters) = ask(&context.fleet, &filter).await?;
    let rows = rows(counters, None, arguments.per_node);
    if rows.is_empty() {
        output::note(&format!("No such rules are in force {}.", answers.place()));
    }
    let columns = Columns {
        node: arguments.per_node,
        rates: false,
    };
    output::print(context.format, &answers.document(&rows), |detail| {
        table::text(&rows, columns, detail)
    })?;
    if context.format == Format::Table {
        note_unattributed(&rows);
    }
    Ok(answers.conclude(Exit::Success))
}

type Counters = Vec<OnNode<CounterRow>>;

async fn ask(
    fleet: &Fleet,
    filter: &Filter,
) -> Result<(Answers<Vec<CounterRow>>, Counters), AgentError> {
    let mut answers = fleet.ask(Call::Stats, variant!(Reply::Stats)).await?;
    let mut counters = answers.take_rows();
    counters.retain(|on| filter.shows(&on.data));
    Ok((answers, counters))
}

/// In the order of the table.
fn rows(counters: Counters, rates: Option<Vec<Rates>>, per_node: bool) -> Vec<Row> {
    let mut rows = merge::merge(counters, rates, per_node);
    rows.sort_by_cached_key(|row| (table::order(&row.counter), row.node.clone()));
    rows
}

async fn watch(context: &Context, arguments: &Arguments, filter: &Filter) -> Result<Exit> {
    let clears = std::io::stdout().is_terminal() && context.format.detail().is_some();
    let columns = Columns {
        node: arguments.per_node,
        rates: true,
    };
    let mut previous: Option<Previous> = None;
    let mut found = None;
    let mut exit = Exit::Success;
    let mut looks = 0;
    loop {
        let asked = Instant::now();
        let fleet = found.as_ref().unwrap_or(&context.fleet);
        let (answers, counters) = ask(fleet, filter).await?;
        let rates = rates::rate(&counters, previous.as_ref(), asked);
        previous = Some(Previous::new(&counters, asked));
        let rows = rows(counters, Some(rates), arguments.per_node);
        let sample = rates::Sample {
            time: time::now(),
            rows: &rows,
            unanswered: answers.unanswered(),
        };
        output::print_next(context.format, &sample, |detail| {
            let clear = if clears { "\x1b[H\x1b[2J" } else { "" };
            let stamp = time::stamp_precise(sample.time);
            let table = table::text(&rows, columns, detail);
            format!("{clear}{stamp}\n{table}\n")
        })?;
        exit = answers.conclude(exit);
        looks += 1;
        if arguments.count.is_some_and(|count| looks >= count.get()) {
            return Ok(exit);
        }
        sleep(arguments.interval.saturating_sub(asked.elapsed())).await;
        if !answers.unanswered().is_empty() {
            // An agent that was replaced is another pod.
            found = Some(Fleet::open(&context.way).await?);
        }
    }
}

/// Drops that are no policy's do not fit the short table, yet must not be overlooked.
fn note_unattributed(rows: &[Row]) {
    let counters = rows.iter().map(|row| &row.counter);
    let drops = counters.filter(|r| matches!(r.rule, RuleRef::Drop { .. }));
    let packets = drops.map(|r| r.packets).sum();
    if packets > 0 {
        let packets = units::count(packets, "packet was", "packets were");
        output::note(&format!(
            "Besides, {packets} dropped for reasons that are no policy's: -o wide shows them."
        ));
    }
}

/// Which rows are shown.
#[derive(Debug)]
struct Filter {
    namespaces: Namespaces,
    policy: Option<ObjectName>,
    pod: Option<ObjectName>,
}

impl Filter {
    fn new(arguments: &Arguments) -> Result<Self> {
        let namespaces = &arguments.namespaces;
        let resolve = |n: &Option<NameArgument>| n.as_ref().map(|n| namespaces.resolve(n));
        Ok(Self {
            policy: resolve(&arguments.policy).transpose()?,
            pod: resolve(&arguments.pod).transpose()?,
            namespaces: namespaces.clone(),
        })
    }

    fn shows(&self, row: &CounterRow) -> bool {
        let policies: &[ObjectName] = match &row.rule {
            RuleRef::Rule { policy, .. } => std::slice::from_ref(policy),
            RuleRef::DefaultDeny { policies, .. } | RuleRef::SourceDeny { policies } => policies,
            RuleRef::Exemption { .. } | RuleRef::Drop { .. } => &[],
        };
        let in_namespace =
            !self.namespaces.is_one() || policies.iter().any(|p| self.namespaces.contain(p));
        let of_policy = self.policy.as_ref().is_none_or(|p| policies.contains(p));
        let of_pod = self.pod.as_ref().is_none_or(|p| row.pods.contains(p));
        in_namespace && of_policy && of_pod
    }
}
