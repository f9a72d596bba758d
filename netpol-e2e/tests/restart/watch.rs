//! Traffic that goes on while something is done to the agent.

use std::{fmt::Write, time::Duration};

use netpol_e2e::{
    lab::{Family, Missed, Prober, Result, Wiretap},
    shop::{Shop, TCP, UDP},
};

/// Between two questions. An emulated processor has no time for more than `NETPOL_INTERVAL_MS` says.
fn interval() -> Duration {
    let wanted = std::env::var("NETPOL_INTERVAL_MS").ok();
    let wanted = wanted.and_then(|text| text.parse().ok());
    Duration::from_millis(wanted.unwrap_or(5))
}

/// Questions that must always be answered, and knocks that must never be heard.
pub(crate) struct Watch {
    allowed: Vec<(String, Prober)>,
    denied: Vec<(String, Prober)>,
    taps: Vec<(String, Wiretap)>,
}

impl Watch {
    /// Watches over both families: `good` must always get through to the server, `bad` never.
    pub(crate) fn start(shop: &Shop) -> Result<Self> {
        let (good, bad) = (shop.pod("good"), shop.pod("bad"));
        let interval = interval();
        let mut watch = Self {
            allowed: Vec::new(),
            denied: Vec::new(),
            taps: Vec::new(),
        };
        let of_bad = bad.addresses();
        let tap = shop
            .pod("server")
            .tap(move |seen| of_bad.contains(seen.src.ip()) && seen.dst.port() != 0)?;
        watch.taps.push(("bad at the server".to_owned(), tap));
        for family in Family::BOTH {
            let (tcp, udp) = (shop.tcp(family), shop.udp(family));
            let mut allow =
                |what: &str, prober| watch.allowed.push((format!("{what}, {family}"), prober));
            allow("UDP flow", Prober::steady_udp(&good, udp, interval)?);
            allow("TCP connection", Prober::steady_tcp(&good, tcp, interval)?);
            allow(
                "new TCP connections",
                Prober::fresh_tcp(&good, tcp, 4 * interval),
            );
            let knocking = Prober::knocking(&bad, tcp.ip(), TCP, UDP, 2 * interval)?;
            watch.denied.push((format!("knocks, {family}"), knocking));
        }
        Ok(watch)
    }

    /// Stops and asserts. `diary` tells what was done when, for a failure's message.
    pub(crate) fn finish(self, diary: &str) {
        let mut complaints = String::new();
        for (what, prober) in self.allowed {
            let tally = prober.finish();
            assert!(tally.asked > 10, "{what}: asked only {} times", tally.asked);
            if !tally.missed.is_empty() {
                let first: Vec<&Missed> = tally.missed.iter().take(5).collect();
                let (missed, asked) = (tally.missed.len(), tally.asked);
                let _ = writeln!(complaints, "{what}: {missed} of {asked} lost, {first:?}");
            }
        }
        for (what, prober) in self.denied {
            let tally = prober.finish();
            assert!(tally.asked > 10, "{what}: asked only {} times", tally.asked);
        }
        for (what, tap) in self.taps {
            let seen = tap.seen();
            if !seen.is_empty() {
                let first = &seen[..seen.len().min(5)];
                let _ = writeln!(complaints, "{what}: {} passed, {first:?}", seen.len());
            }
        }
        assert!(complaints.is_empty(), "{complaints}\n{diary}");
    }
}
