//! The answer to a question as text.

use netpol_api::{Direction, Verdict};

use super::report::{BackendReport, EndReport, ProbeReport, Report, ServiceReport, Side};
use crate::offline::explain::{Explanation, NearRule};
use crate::output::style::{BAD, BOLD, DIM, GOOD, paint};
use crate::output::{Detail, table, wrap};
use crate::wording;

/// How many rules that came near are shown, unless everything is wanted.
const NEAREST: usize = 3;

/// Said where addresses stand in.
const SYNTHETIC: &str = "The manifests have no addresses for these pods: 198.18.0.0/15 and \
                         2001:2::/48 stand in, which an ipBlock meant for the pod network does \
                         not match.";

/// One paragraph a family; one for all when they agree.
pub(super) fn text(report: &Report, detail: Detail) -> String {
    let mut text = String::new();
    for (place, probe) in report.probes.iter().enumerate() {
        let first = &report.probes[0];
        let agrees = (first.verdict, first.at) == (probe.verdict, probe.at);
        if place > 0 && agrees && detail == Detail::Table {
            let (from, to) = (probe.from.address, probe.to.address);
            text += &format!(
                "\n{}\n",
                paint(DIM, format!("The same from {from} to {to}."))
            );
        } else {
            text += if place > 0 { "\n" } else { "" };
            text += &paragraph(probe, detail);
        }
    }
    text
}

fn paragraph(probe: &ProbeReport, detail: Detail) -> String {
    let verdict = match probe.at {
        None => paint(GOOD, "ALLOWED"),
        Some(at) => paint(BAD, format!("DENIED at {at}")),
    };
    let (from, to) = (side(&probe.from), side(&probe.to));
    let mut text = format!("{verdict}: {from} to {to}, {}\n\n", probe.traffic);
    text += &end(Direction::Egress, &probe.from, &probe.egress);
    match &probe.service {
        Some(service) => text += &through(service),
        None => text += &end(Direction::Ingress, &probe.to, &probe.ingress),
    }
    let ends = [
        (Direction::Egress, &probe.from, &probe.egress),
        (Direction::Ingress, &probe.to, &probe.ingress),
    ];
    for (direction, side, end) in ends {
        if let Some(nearest) = &end.nearest {
            let who = short(side);
            text += &format!("\n{}\n", paint(BOLD, format!("What came nearest at {who}")));
            text += &explanation(nearest, direction, detail);
        }
    }
    if probe.from.synthetic || probe.to.synthetic {
        text += &format!("\n{}", hanging(0, SYNTHETIC));
    }
    text
}

/// Where a Service leads, and what becomes of the connection there.
fn through(service: &ServiceReport) -> String {
    let name = &service.name;
    let mut text = String::new();
    if service.backends.is_empty() {
        return hanging(2, &format!("Service {name} has no backends"));
    }
    text += &format!("\n{}\n", paint(BOLD, format!("Backends of Service {name}")));
    if service.every_backend {
        text += &hanging(
            2,
            "The node may masquerade on the way, so that no backend knows who sends: every one \
             must be allowed at the source.",
        );
    }
    for backend in &service.backends {
        text += &backend_line(backend);
    }
    text
}

fn backend_line(backend: &BackendReport) -> String {
    let (verdict, style) = match backend.verdict {
        Verdict::Allow => ("reached", GOOD),
        Verdict::Deny | Verdict::Reject => ("not reached", BAD),
    };
    let who = format!("{} port {}", side(&backend.to), backend.port);
    let mut text = format!("  {} {who}\n", paint(style, format!("{verdict:11}")));
    for (direction, end) in [("egress", &backend.egress), ("ingress", &backend.ingress)] {
        let why = match (&end.rule, end.verdict) {
            (Some(rule), _) => wording::rule(rule),
            (None, None) => "nobody judges".to_owned(),
            (None, Some(Verdict::Allow)) => "no policy isolates".to_owned(),
            (None, Some(Verdict::Deny | Verdict::Reject)) => {
                end.problem.clone().unwrap_or_default()
            }
        };
        text += &hanging(14, &format!("{direction}: {why}"));
    }
    text
}

fn side(side: &Side) -> String {
    match &side.pod {
        Some(pod) => format!("{pod} ({})", side.address),
        None => side.address.to_string(),
    }
}

fn short(side: &Side) -> String {
    match &side.pod {
        Some(pod) => pod.to_string(),
        None => side.address.to_string(),
    }
}

/// One line on what an end says.
fn end(direction: Direction, side: &Side, end: &EndReport) -> String {
    let (verdict, style) = match end.verdict {
        None => ("nobody judges", DIM),
        Some(Verdict::Allow) => ("allowed", GOOD),
        Some(Verdict::Deny | Verdict::Reject) => ("denied", BAD),
    };
    let mut why = match (&end.rule, end.verdict) {
        (Some(rule), _) => wording::rule(rule),
        (None, None) => match &side.pod {
            None => format!("{} is no pod of these manifests", side.address),
            Some(pod) => format!("no policy applies to {pod}: it has finished, or is its node"),
        },
        (None, Some(Verdict::Allow)) => format!("no policy selects {}", short(side)),
        (None, Some(Verdict::Deny | Verdict::Reject)) => String::new(),
    };
    if let Some(problem) = &end.problem {
        why = if why.is_empty() {
            problem.clone()
        } else {
            format!("{problem}: {why}")
        };
    }
    let head = format!("  {direction:8} {}", paint(style, format!("{verdict:13}")));
    let indent = 2 + 8 + 1 + 13 + 1;
    let room = table::width().saturating_sub(indent);
    let why = wrap::wrap(&why, room).join(&format!("\n{:indent$}", ""));
    format!("{head} {why}\n")
}

fn explanation(nearest: &Explanation, direction: Direction, detail: Detail) -> String {
    let shown = match detail {
        Detail::Wide => nearest.rules.len(),
        Detail::Table => NEAREST.min(nearest.rules.len()),
    };
    let mut text = String::new();
    for rule in &nearest.rules[..shown] {
        let NearRule { policy, index, .. } = rule;
        text += &hanging(2, &format!("{policy} {direction}[{index}]: {}", rule.text));
        text += &hanging(4, judgement(rule));
        for reason in &rule.because {
            text += &hanging(4, &format!("- {reason}"));
        }
    }
    if shown < nearest.rules.len() {
        let more = nearest.rules.len() - shown;
        text += &hanging(
            2,
            &format!("and {more} more, farther off (-o wide shows them)"),
        );
    }
    for silent in &nearest.silent {
        text += &hanging(2, &format!("{} {}", silent.policy, silent.because));
    }
    text
}

fn judgement(rule: &NearRule) -> &'static str {
    match (rule.peer_matches, rule.port_matches) {
        (true, false) => "the peer matches, the port does not:",
        (false, true) => "the port matches, the peer does not:",
        (false, false) => "neither the peer nor the port matches:",
        (true, true) => "both match: this should have been allowed. Please report this as a bug",
    }
}

/// A line that starts after `indent` characters and goes on two further in.
fn hanging(indent: usize, text: &str) -> String {
    let room = table::width().saturating_sub(indent + 2);
    let lines = wrap::wrap(text, room).join(&format!("\n{:1$}", "", indent + 2));
    format!("{:indent$}{lines}\n", "")
}
