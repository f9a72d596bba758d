//! When a connection is over.

use std::collections::HashSet;

use netpol_common::conntrack::{self, Connection, TIMEOUT_SECONDS, Timeout};

/// How long past its time-out an entry is left alone.
pub(super) const GRACE_SECONDS: u32 = 1;
/// A stamp this far ahead of the clock is one that was written after the clock was read. More
/// means that the low half of `jiffies` went round since.
const AHEAD_SECONDS: u32 = 60;
/// How long one that nobody has answered is kept in haste. TCP sends a SYN again after one, two
/// and four seconds, and resolvers ask again after five.
const HASTY_NEW_SECONDS: u32 = 5;
/// How long one that both sides have closed is kept in haste: for what is still on the way.
const HASTY_CLOSED_SECONDS: u32 = 1;

/// Whose connections are given less time, since the map is filling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Haste {
    Nobody,
    Everyone,
    These(HashSet<u32>),
}

impl Haste {
    pub(super) fn of(&self, endpoint: u32) -> bool {
        match self {
            Self::Nobody => false,
            Self::Everyone => true,
            Self::These(endpoints) => endpoints.contains(&endpoint),
        }
    }
}

/// Whether a connection has been silent for longer than its time-out and the grace.
pub(super) fn is_over(
    selector: u32,
    connection: &Connection,
    now: u32,
    ticks_per_second: u32,
    haste: bool,
) -> bool {
    let idle = now.wrapping_sub(connection.last_seen);
    let ahead = connection.last_seen.wrapping_sub(now);
    if ahead <= AHEAD_SECONDS * ticks_per_second {
        return false;
    }
    let class = conntrack::timeout_class(selector, connection.state);
    let seconds = match class {
        Timeout::New if haste => HASTY_NEW_SECONDS,
        Timeout::TcpClosed if haste => HASTY_CLOSED_SECONDS,
        _ => TIMEOUT_SECONDS[class as usize],
    };
    idle > (seconds + GRACE_SECONDS).saturating_mul(ticks_per_second)
}

#[cfg(test)]
mod tests {
    use netpol_common::{
        conntrack::{Timeout, selector, state},
        protocol,
    };

    use super::*;

    const TICKS: u32 = 250;

    fn idle(protocol: u8, bits: u32, seconds: u32) -> bool {
        // Near the end of the counter, so that every case crosses its wrap.
        let last_seen = u32::MAX - 5;
        let connection = Connection {
            state: bits,
            last_seen,
            ..Connection::default()
        };
        let now = last_seen.wrapping_add(seconds * TICKS);
        is_over(selector(protocol, 0), &connection, now, TICKS, false)
    }

    #[test]
    fn a_connection_is_over_after_its_time_out_and_the_grace() {
        let cases = [
            (protocol::TCP, 0, Timeout::New),
            (protocol::UDP, 0, Timeout::New),
            (protocol::TCP, state::REPLIED, Timeout::TcpEstablished),
            (
                protocol::TCP,
                state::REPLIED | state::FIN_LOCAL,
                Timeout::TcpFin,
            ),
            (protocol::TCP, state::RESET, Timeout::TcpClosed),
            (protocol::UDP, state::REPLIED, Timeout::New),
            (protocol::UDP, state::REPLIED | state::STREAM, Timeout::Udp),
            (protocol::ICMP, state::REPLIED, Timeout::Echo),
            (47, state::REPLIED, Timeout::Other),
        ];
        for (protocol, bits, class) in cases {
            let limit = TIMEOUT_SECONDS[class as usize] + GRACE_SECONDS;
            assert!(!idle(protocol, bits, limit), "{class:?} at its limit");
            assert!(idle(protocol, bits, limit + 1), "{class:?} past its limit");
        }
    }

    #[test]
    fn a_stamp_that_is_newer_than_the_clock_is_fresh() {
        let connection = Connection {
            last_seen: 1000,
            ..Connection::default()
        };
        let selector = selector(protocol::TCP, 0);
        assert!(!is_over(selector, &connection, 1000, TICKS, false));
        assert!(!is_over(selector, &connection, 999, TICKS, false));
        assert!(!is_over(selector, &connection, 1000 - 250, TICKS, false));
    }

    #[test]
    fn a_stamp_of_long_ago_is_over_even_past_half_the_counter() {
        let connection = Connection {
            state: state::REPLIED,
            last_seen: 0,
            ..Connection::default()
        };
        let now = u32::MAX / 4 * 3;
        assert!(is_over(
            selector(protocol::TCP, 0),
            &connection,
            now,
            TICKS,
            false
        ));
    }

    #[test]
    fn haste_takes_what_is_unanswered_or_closed_sooner_and_nothing_else() {
        let over = |protocol, bits, seconds| {
            let connection = Connection {
                state: bits,
                last_seen: 7,
                ..Connection::default()
            };
            let now = 7 + seconds * TICKS;
            is_over(selector(protocol, 0), &connection, now, TICKS, true)
        };
        assert!(!over(protocol::TCP, 0, 6));
        assert!(over(protocol::TCP, 0, 7));
        assert!(over(protocol::UDP, state::REPLIED, 7));
        assert!(over(protocol::TCP, state::REPLIED | state::RESET, 3));
        assert!(!over(protocol::TCP, state::REPLIED | state::FIN_LOCAL, 100));
        assert!(!over(protocol::TCP, state::REPLIED, 20_000));
        assert!(!over(protocol::UDP, state::REPLIED | state::STREAM, 100));
        assert!(!over(protocol::UDP, state::REPLIED | state::CUT, 100));
    }
}
