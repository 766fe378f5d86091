//! Numbers as people read them: three digits and a unit.

/// Three significant digits, or two decimals.
fn digits(value: f64) -> String {
    match value {
        value if value >= 99.95 => format!("{value:.0}"),
        value if value >= 9.995 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

/// How often in a second, or how many.
pub fn count(value: f64) -> String {
    match value {
        value if value <= 0.0 => "0".to_owned(),
        value if value >= 999_500.0 => format!("{}M", digits(value / 1e6)),
        value if value >= 9_999.5 => format!("{}k", digits(value / 1e3)),
        value if value.fract() == 0.0 => format!("{value:.0}"),
        value if value < 0.005 => "<0.01".to_owned(),
        value => digits(value),
    }
}

/// A duration in seconds; `-` if there is none.
pub fn time(seconds: Option<f64>) -> String {
    match seconds {
        None => "-".to_owned(),
        Some(value) if value <= 0.0 => "0".to_owned(),
        Some(value) if value < 5e-9 => "<0.01us".to_owned(),
        Some(value) if value < 999.5e-6 => format!("{}us", digits(value * 1e6)),
        Some(value) if value < 999.5e-3 => format!("{}ms", digits(value * 1e3)),
        Some(value) => format!("{}s", digits(value)),
    }
}

/// Bytes; `-` if it cannot be told.
pub fn bytes(value: Option<f64>) -> String {
    match value {
        None => "-".to_owned(),
        Some(value) if value < 1023.5 => format!("{value:.0}"),
        Some(value) if value < 1023.5 * 1024.0 => format!("{}K", digits(value / 1024.0)),
        Some(value) => format!("{}M", digits(value / (1024.0 * 1024.0))),
    }
}

/// A share from 0 to 1, in percent.
pub fn share(value: f64) -> String {
    match value * 100.0 {
        percent if percent <= 0.0 => "0".to_owned(),
        percent if percent < 0.05 => "<0.1%".to_owned(),
        percent if percent >= 99.95 => format!("{percent:.0}%"),
        percent => format!("{percent:.1}%"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_has_three_digits() {
        let shown = [0.0, 0.001, 0.25, 3.0, 9.5, 12.34, 99.96, 9_999.0, 12_345.0, 1_500_000.0].map(count);
        assert_eq!(shown, ["0", "<0.01", "0.25", "3", "9.50", "12.3", "100", "9999", "12.3k", "1.50M"]);
    }

    #[test]
    fn a_time_has_the_unit_that_fits() {
        let shown = [0.0, 1e-9, 94e-9, 3.456e-6, 999.4e-6, 999.6e-6, 0.25, 2.0, 30.0].map(|value| time(Some(value)));
        assert_eq!(shown, ["0", "<0.01us", "0.09us", "3.46us", "999us", "1.00ms", "250ms", "2.00s", "30.0s"]);
        assert_eq!(time(None), "-");
    }

    #[test]
    fn bytes_and_shares_are_short() {
        let shown = [0.0, 312.4, 1023.9, 65_536.0, 1_200_000.0].map(|value| bytes(Some(value)));
        assert_eq!(shown, ["0", "312", "1.00K", "64.0K", "1.14M"]);
        assert_eq!([0.0, 0.000_1, 0.123_4, 1.0].map(share), ["0", "<0.1%", "12.3%", "100%"]);
    }
}
