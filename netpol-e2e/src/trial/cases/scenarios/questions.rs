//! Questions of a scenario, asked all at once.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    thread,
    time::Duration,
};

use crate::{
    lab::{Host, Outcome, Traffic},
    scenario::{Cell, Expect},
    trial::findings::Findings,
};

/// What must be answered may take its time; what must not is worth a wait that is long beside it.
const ANSWER: Duration = Duration::from_secs(5);
pub(super) const REFUSAL: Duration = Duration::from_millis(900);

/// One question: a cell, over one family, by one way.
pub(super) struct Question {
    pub(super) cell: Cell,
    pub(super) from: Host,
    pub(super) to: IpAddr,
    pub(super) by_service: bool,
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Cell { from, to, port, .. } = &self.cell;
        let way = if self.by_service {
            "Service"
        } else {
            "address"
        };
        write!(f, "{from} to {to} {port} by {way} {}", self.to)
    }
}

pub(super) fn judge(
    questions: &[Question],
    expect: fn(&Cell) -> Expect,
    when: &str,
    findings: &mut Findings,
) {
    let asked: Vec<&Question> = questions.iter().collect();
    let outcomes = ask_all(&asked, |question| match expect(&question.cell) {
        Expect::Reached => ANSWER,
        Expect::Refused => REFUSAL,
    });
    let answers = questions.iter().zip(outcomes);
    let wrong: Vec<String> = answers
        .filter(|(question, outcome)| !expect(&question.cell).is_met_by(*outcome))
        .map(|(question, outcome)| {
            let expected = expect(&question.cell);
            format!("{question}: {outcome}, must be {expected}")
        })
        .collect();
    let by_service = questions.iter().filter(|it| it.by_service).count();
    findings.figure(
        format!("{when}: questions asked"),
        format!("{}, {by_service} of them by Service", questions.len()),
    );
    findings.none(format!("{when}: wrong answers"), &wrong);
}

pub(super) fn ask_all(
    questions: &[&Question],
    timeout: impl Fn(&Question) -> Duration,
) -> Vec<Outcome> {
    thread::scope(|scope| {
        let ask = |question: &Question, patience: Duration| match question.cell.port {
            Traffic::Ping => question.from.ping(question.to, patience),
            Traffic::Port(protocol, port) => {
                let to = SocketAddr::new(question.to, port.get());
                question.from.hail(to, protocol, patience)
            }
        };
        let threads: Vec<_> = questions
            .iter()
            .map(|question| {
                let patience = timeout(question);
                scope.spawn(move || ask(question, patience))
            })
            .collect();
        let join = |it: thread::ScopedJoinHandle<'_, Outcome>| {
            it.join()
                .unwrap_or(Outcome::NotAsked(std::io::ErrorKind::Other))
        };
        threads.into_iter().map(join).collect()
    })
}
