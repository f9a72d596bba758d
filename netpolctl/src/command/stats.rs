//! `netpolctl stats`

use std::io::IsTerminal;
use std::num::NonZeroU64;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;
use netpol_api::{Call, CounterRow, ObjectName, Reply, RuleRef};

use self::rates::Previous;
use super::{Context, expect_done, expect_reply};
use crate::exit::Exit;
use crate::filter::{NameArgument, Namespaces};
use crate::output::{self, Format, time, units};

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

Counts are of the rule, all pods it applies to together. A `deny` row counts what no rule of the
policies in it allowed. `-o wide` ends with exemptions and with drops that are no policy's.";

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
    /// Count from now on: later `stats` show differences from this moment
    #[arg(long, conflicts_with_all = ["watch", "policy", "pod", "namespace", "all_namespaces"])]
    reset_baseline: bool,
}

pub(crate) fn run(context: &Context, arguments: &Arguments) -> Result<Exit> {
    if arguments.reset_baseline {
        expect_done(&context.agent.ask(Call::ResetBaseline)?)?;
        output::note("Counters are shown as differences from now on.");
        return Ok(Exit::Success);
    }
    let filter = Filter::new(arguments)?;
    if arguments.watch {
        return watch(context, arguments, &filter);
    }
    let rows = ask(context, &filter)?;
    if rows.is_empty() {
        output::note("No such rules are in force on this node.");
    }
    output::print(context.format, &rows, |detail| table::text(&rows, detail))?;
    if context.format == Format::Table {
        note_unattributed(&rows);
    }
    Ok(Exit::Success)
}

fn ask(context: &Context, filter: &Filter) -> Result<Vec<CounterRow>> {
    let reply = context.agent.ask(Call::Stats)?;
    let mut rows = expect_reply!(reply, Reply::Stats)?;
    rows.retain(|row| filter.shows(row));
    rows.sort_by_cached_key(table::order);
    Ok(rows)
}

fn watch(context: &Context, arguments: &Arguments, filter: &Filter) -> Result<Exit> {
    let clears = std::io::stdout().is_terminal() && context.format.detail().is_some();
    let mut previous: Option<Previous> = None;
    let mut looks = 0;
    loop {
        let asked = Instant::now();
        let rows = ask(context, filter)?;
        let rated = rates::rate(&rows, previous.as_ref(), asked);
        let sample = rates::Sample {
            time: time::now(),
            rows: &rated,
        };
        output::print_next(context.format, &sample, |detail| {
            let clear = if clears { "\x1b[H\x1b[2J" } else { "" };
            let stamp = time::stamp_precise(sample.time);
            let table = table::rated_text(&rated, detail);
            format!("{clear}{stamp}\n{table}\n")
        })?;
        previous = Some(Previous::new(&rows, asked));
        looks += 1;
        if arguments.count.is_some_and(|count| looks >= count.get()) {
            return Ok(Exit::Success);
        }
        thread::sleep(arguments.interval.saturating_sub(asked.elapsed()));
    }
}

/// Drops that are no policy's do not fit the short table, yet must not be overlooked.
fn note_unattributed(rows: &[CounterRow]) {
    let drops = rows
        .iter()
        .filter(|r| matches!(r.rule, RuleRef::Drop { .. }));
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
            RuleRef::DefaultDeny { policies, .. } => policies,
            RuleRef::Exemption { .. } | RuleRef::Drop { .. } => &[],
        };
        let in_namespace =
            !self.namespaces.is_one() || policies.iter().any(|p| self.namespaces.contain(p));
        let of_policy = self.policy.as_ref().is_none_or(|p| policies.contains(p));
        let of_pod = self.pod.as_ref().is_none_or(|p| row.pods.contains(p));
        in_namespace && of_policy && of_pod
    }
}
