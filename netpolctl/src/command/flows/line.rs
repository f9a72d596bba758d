//! A flow as a line of text. Flows come one by one, so columns are as wide as the widest so far.

use netpol_api::{Flow, RuleRef, Verdict};

use super::from_to;
use crate::fleet::OnNode;
use crate::output::style::{BAD, BOLD, GOOD, paint};
use crate::output::{Detail, table, time, wrap};
use crate::wording;

/// The lines so far.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// Lines start with the node's name.
    has_nodes: bool,
    started: bool,
    node: Width<8>,
    from: Width<20>,
    to: Width<20>,
    port: Width<9>,
}

/// Width of a column that starts at `LEAST` characters and never shrinks.
#[derive(Debug, Default)]
struct Width<const LEAST: usize>(usize);

impl<const LEAST: usize> Width<LEAST> {
    fn fit(&mut self, text: &str) -> usize {
        self.0 = self.0.max(LEAST).max(text.chars().count());
        self.0
    }
}

impl Lines {
    /// No line yet; with `has_nodes` each says which node's agent tells of it.
    pub(super) fn new(has_nodes: bool) -> Self {
        Self {
            has_nodes,
            ..Self::default()
        }
    }

    /// The next line, and the heading before the first.
    pub(super) fn next(&mut self, on: &OnNode<Flow>, detail: Detail) -> String {
        let flow = &on.data;
        let (from, to) = from_to(flow);
        let (mut from, to) = (wording::peer(from, detail), wording::peer(to, detail));
        if detail == Detail::Wide && flow.source_port != 0 {
            from += &format!(" port {}", flow.source_port);
        }
        let port = wording::port(&flow.protocol, flow.destination_port);
        let (from_width, to_width) = (self.from.fit(&from), self.to.fit(&to));
        let port_width = self.port.fit(&port);
        let time = match detail {
            Detail::Table => time::clock(flow.time),
            Detail::Wide => time::stamp_precise(flow.time),
        };
        let mut left = time.len() + 7 + from_width + to_width + port_width + 5 * 2;
        let (mut node, mut node_heading) = (String::new(), String::new());
        if self.has_nodes {
            let width = self.node.fit(on.node_name());
            node = format!("{:width$}  ", on.node_name());
            node_heading = format!("{:width$}  ", "NODE");
            left += width + 2;
        }
        let mut text = String::new();
        if !self.started {
            self.started = true;
            let heading = format!(
                "{node_heading}{:time_width$}  {:7}  {:from_width$}  {:to_width$}  {:port_width$}  RULE",
                "TIME",
                "VERDICT",
                "FROM",
                "TO",
                "PORT",
                time_width = time.len(),
            );
            text = paint(BOLD, heading) + "\n";
        }
        let style = match flow.verdict {
            Verdict::Allow => GOOD,
            Verdict::Deny | Verdict::Reject => BAD,
        };
        let verdict = paint(style, format!("{:7}", flow.verdict));
        let rule = match detail {
            Detail::Table => hanging(&short_rule(flow), left),
            Detail::Wide => wide_rule(flow),
        };
        text + &format!(
            "{node}{time}  {verdict}  {from:from_width$}  {to:to_width$}  {port:port_width$}  {rule}\n"
        )
    }
}

/// The last column's text, after `left` characters: what does not fit the terminal goes on below.
fn hanging(text: &str, left: usize) -> String {
    const LEAST: usize = 24;
    let room = table::width().saturating_sub(left).max(LEAST);
    wrap::wrap(text, room).join(&format!("\n{:left$}", ""))
}

/// Where the verdict comes from, without what the rule says.
fn short_rule(flow: &Flow) -> String {
    match &flow.rule {
        RuleRef::Rule {
            policy,
            direction,
            index,
            ..
        } => format!("{} {direction}[{index}]", policy.name),
        RuleRef::DefaultDeny {
            policies,
            direction,
        } => format!(
            "no {direction} rule of {}",
            wording::bare_names(policies, Detail::Table)
        ),
        RuleRef::SourceDeny { policies } => format!(
            "no egress rule of the sender's {}",
            wording::bare_names(policies, Detail::Table)
        ),
        RuleRef::Exemption { text } => text.clone(),
        RuleRef::Drop { reason } => reason.clone(),
    }
}

fn wide_rule(flow: &Flow) -> String {
    let rule = wording::rule(&flow.rule);
    format!("{} ({}, {} bytes)", rule, flow.direction, flow.length)
}
