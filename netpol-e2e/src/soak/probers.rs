//! Probers: each asks one question after the other, drawn from all there are.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::{
    churn::asked_for,
    epoch::{Asked, Question},
};
use crate::lab::{Family, Host, PATIENT};

/// Most of them wait for what never comes.
const PROBERS: usize = 40;
/// After an answer, so that answers do not crowd out everything else.
const PAUSE: Duration = Duration::from_millis(100);

type Hosts = Arc<Vec<(String, Host)>>;

/// All of them, asking.
#[derive(Debug)]
pub(super) struct Probers {
    hosts: Arc<Mutex<Hosts>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Vec<Asked>>>,
}

impl Probers {
    pub(super) fn start() -> Self {
        let hosts = Arc::new(Mutex::new(Hosts::default()));
        let stop = Arc::new(AtomicBool::new(false));
        let prober = |_| {
            let (hosts, stop) = (Arc::clone(&hosts), Arc::clone(&stop));
            thread::spawn(move || ask_on(&hosts, &stop))
        };
        Self {
            threads: (0..PROBERS).map(prober).collect(),
            hosts,
            stop,
        }
    }

    /// Whom to ask from now on.
    pub(super) fn know(&self, hosts: &BTreeMap<String, Host>) {
        let hosts = hosts
            .iter()
            .map(|(name, host)| (name.clone(), host.clone()));
        let hosts = Arc::new(hosts.collect());
        *self.hosts.lock().unwrap_or_else(PoisonError::into_inner) = hosts;
    }

    /// Stops them; all that was asked.
    pub(super) fn finish(self) -> Vec<Asked> {
        self.stop.store(true, Ordering::Relaxed);
        let asked = self
            .threads
            .into_iter()
            .map(|it| it.join().unwrap_or_default());
        asked.flatten().collect()
    }
}

fn ask_on(hosts: &Mutex<Hosts>, stop: &AtomicBool) -> Vec<Asked> {
    let mut all = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let hosts = Arc::clone(&hosts.lock().unwrap_or_else(PoisonError::into_inner));
        let draw = || hosts.get(fastrand::usize(..hosts.len().max(1)));
        let traffic = asked_for();
        let (Some((from, asker)), Some((to, asked))) = (draw(), draw()) else {
            thread::sleep(PAUSE);
            continue;
        };
        if from == to {
            continue;
        }
        let question = Question {
            from: from.clone(),
            to: to.clone(),
            family: Family::BOTH[fastrand::usize(..2)],
            traffic: traffic[fastrand::usize(..traffic.len())],
        };
        let address = asked.addresses().of(question.family);
        let began = Instant::now();
        let outcome = asker.ask(address, question.traffic, PATIENT);
        all.push(Asked {
            question,
            began,
            ended: Instant::now(),
            outcome,
        });
        if outcome.is_reached() {
            thread::sleep(PAUSE);
        }
    }
    all
}
