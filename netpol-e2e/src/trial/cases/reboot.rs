//! A node loses its power: programs, pins and interfaces are gone. Its pods come back by themselves
//! and knock from their first instruction on.

use std::time::Instant;

use anyhow::Result;

use super::Measure;
use crate::{
    lab::Host,
    trial::{
        bed::{Bed, PATIENCE, at, until},
        findings::{Findings, ms},
        newborn::Errand,
        objects::newborn,
        pods::PodFacts,
        steady::Tap,
        world::{BORN, PORT, World},
    },
};

/// Pods of the node that knock.
const RISEN: usize = 8;

pub(super) fn power_cut(bed: &mut Bed, _: &Measure, findings: &mut Findings) -> Result<()> {
    let world = World::make(bed)?;
    let nodes = bed.nodes();
    let (number, node) = (nodes.len(), nodes[nodes.len() - 1].clone());
    let (allowed, forbidden) = (world.host("allowed", 1), world.host("forbidden", 1));
    let errand = Errand {
        forbidden: at(forbidden, PORT).into(),
        allowed: at(allowed, PORT).into(),
        forever: true,
        ..Errand::default()
    };
    let name = |it: usize| format!("risen-{it}");
    let pods: Vec<_> = (0..RISEN)
        .map(|it| newborn(BORN, &name(it), &node, &[("app", "newborn")], &errand))
        .collect();
    let tap = Tap::on_port(forbidden)?;
    bed.apply(&pods)?;
    bed.ready(BORN)?;
    until("every pod at the allowed host", PATIENCE, || {
        Ok((askers(bed, allowed, 0)? == RISEN).then_some(()))
    })?;

    let cut = Instant::now();
    bed.cluster().reboot_node(u8::try_from(number)?)?;
    // What came before its processes were gone is no news.
    let before = allowed.arrivals().len();
    let first = until(
        "a pod of the node at the allowed host again",
        PATIENCE,
        || Ok((askers(bed, allowed, before)? > 0).then(Instant::now)),
    )?;
    let all = until(
        "all pods of the node at the allowed host again",
        PATIENCE,
        || Ok((askers(bed, allowed, before)? == RISEN).then(Instant::now)),
    )?;
    findings.figure("pods that came back with their node", RISEN);
    findings.figure(
        "from the power cut to the first allowed connection",
        ms(first - cut),
    );
    findings.figure("from the power cut to the last pod's", ms(all - cut));
    findings.none(
        "forbidden packets that arrived, before, while and after",
        &tap.intruders(),
    );
    bed.rolled_out()?;
    world.remove(bed)
}

/// How many of the pods asked the allowed host since its arrival `since`.
fn askers(bed: &Bed, allowed: &Host, since: usize) -> Result<usize> {
    let arrivals = allowed.arrivals();
    let new = arrivals.get(since..).unwrap_or_default();
    let pods = bed.pods(Some(BORN))?;
    let risen = pods.iter().filter(|pod| pod.key().contains("/risen-"));
    let asked = risen.filter(|pod| {
        let own = pod.addresses();
        new.iter().any(|it| own.contains(&it.peer.ip()))
    });
    Ok(asked.count())
}
