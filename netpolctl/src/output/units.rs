//! Numbers for people.

/// `512 B`, `1.5 KiB`, `12 MiB`: three digits at most.
pub(crate) fn bytes(count: f64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut value = count;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let precision = usize::from(unit > 0 && value < 9.95);
    format!("{value:.precision$} {}", UNITS[unit])
}

/// A rate: `0`, `0.4`, `17`, `12034`.
pub(crate) fn rate(per_second: f64) -> String {
    if per_second == 0.0 || per_second >= 9.95 {
        format!("{per_second:.0}")
    } else {
        format!("{per_second:.1}")
    }
}

/// `1 packet`, `2 packets`.
pub(crate) fn count(number: u64, one: &str, many: &str) -> String {
    let word = if number == 1 { one } else { many };
    format!("{number} {word}")
}

/// How full something is: `0%`, `<1%`, `37%`. Never rounded up to 100%.
pub(crate) fn percent(used: u64, capacity: u64) -> String {
    if used == 0 || capacity == 0 {
        return "0%".to_owned();
    }
    match u128::from(used) * 100 / u128::from(capacity) {
        0 => "<1%".to_owned(),
        percent => format!("{percent}%"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_three_digits_at_most() {
        assert_eq!(bytes(0.0), "0 B");
        assert_eq!(bytes(512.0), "512 B");
        assert_eq!(bytes(1536.0), "1.5 KiB");
        assert_eq!(bytes(1_048_575.0), "1.0 MiB");
        assert_eq!(bytes(12_582_912.0), "12 MiB");
    }

    #[test]
    fn a_table_that_is_not_full_does_not_look_full() {
        assert_eq!(percent(0, 100), "0%");
        assert_eq!(percent(1, 65_536), "<1%");
        assert_eq!(percent(65_535, 65_536), "99%");
        assert_eq!(percent(65_536, 65_536), "100%");
    }

    #[test]
    fn small_rates_keep_a_digit() {
        assert_eq!(rate(0.0), "0");
        assert_eq!(rate(0.4), "0.4");
        assert_eq!(rate(17.2), "17");
    }
}
