//! Times and durations, as people write and read them. All times are UTC, as in Kubernetes' logs.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::{SignedDuration, Timestamp};

/// `2026-03-01T12:00:00Z`.
pub(crate) fn stamp(seconds: u64) -> String {
    i64::try_from(seconds)
        .ok()
        .and_then(|s| Timestamp::from_second(s).ok())
        .map_or_else(|| seconds.to_string(), |t| t.to_string())
}

/// `2026-03-01T12:00:00.123Z`, of seconds with a fraction.
pub(crate) fn stamp_precise(seconds: f64) -> String {
    let milliseconds = (seconds * 1000.0).round();
    Timestamp::from_millisecond(milliseconds as i64)
        .map_or_else(|_| seconds.to_string(), |t| format!("{t:.3}"))
}

/// `12:00:00.123`, the time of day of seconds with a fraction.
pub(crate) fn clock(seconds: f64) -> String {
    let stamp = stamp_precise(seconds);
    match stamp.split_once('T') {
        Some((_, time)) => time.trim_end_matches('Z').to_owned(),
        None => stamp,
    }
}

/// Seconds since the Unix epoch.
pub(crate) fn now() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs_f64()
}

/// `45s`, `12m`, `3h20m`: an age that people compare, not count.
pub(crate) fn age(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        _ => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
    }
}

/// Reads `30s`, `1m30s`, `500ms`; a bare number is seconds.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let duration = match text.parse::<u32>() {
        Ok(seconds) => SignedDuration::from_secs(i64::from(seconds)),
        Err(_) => text
            .parse()
            .map_err(|_| "expected a time such as 30s, 2m or 500ms".to_owned())?,
    };
    Duration::try_from(duration).map_err(|_| "a time before now makes no sense".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_utc_with_milliseconds() {
        assert_eq!(stamp(1_772_366_400), "2026-03-01T12:00:00Z");
        assert_eq!(stamp_precise(1_772_366_400.5), "2026-03-01T12:00:00.500Z");
        assert_eq!(clock(1_772_366_400.25), "12:00:00.250");
    }

    #[test]
    fn durations_read_as_kubernetes_users_write_them() {
        assert_eq!(parse_duration("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(parse_duration("1m30s"), Ok(Duration::from_secs(90)));
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("5"), Ok(Duration::from_secs(5)));
        assert!(parse_duration("soon").is_err());
        assert!(parse_duration("-3s").is_err());
    }

    #[test]
    fn ages_get_coarser() {
        assert_eq!(age(0), "0s");
        assert_eq!(age(119), "119s");
        assert_eq!(age(125), "2m");
        assert_eq!(age(7260), "2h01m");
    }
}
