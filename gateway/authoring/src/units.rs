//! Times, sizes and rates: written as in `gateway.toml`, and shown to people.

use std::time::Duration;

use toml::value::{Datetime, Offset};

const TIMES: [(&str, u64); 5] = [("us", 1), ("ms", 1_000), ("s", 1_000_000), ("m", 60_000_000), ("h", 3_600_000_000)];
const SIZES: [(&str, u64); 3] = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];
const PERIODS: [(&str, u64); 3] = [("s", 1), ("m", 60), ("h", 3_600)];

fn number_and_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(end);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

/// `"500us"`, `"10ms"`, `"2s"`.
pub(crate) fn parse_time(text: &str) -> Result<Duration, String> {
    let micros = number_and_unit(text, &TIMES);
    micros
        .map(Duration::from_micros)
        .ok_or_else(|| format!("expected a time such as \"500us\" or \"10ms\", got {text:?}"))
}

/// `"64KiB"`, `"16MiB"`.
pub(crate) fn parse_size(text: &str) -> Result<usize, String> {
    let bytes = number_and_unit(text, &SIZES).and_then(|bytes| usize::try_from(bytes).ok());
    bytes.ok_or_else(|| format!("expected a size such as \"64KiB\" or \"16MiB\", got {text:?}"))
}

/// `"100/s"`: tokens and their period.
pub(crate) fn parse_rate(text: &str) -> Result<(u32, Duration), String> {
    let parsed = text.split_once('/').and_then(|(tokens, unit)| {
        let (_, seconds) = PERIODS.iter().find(|(name, _)| *name == unit)?;
        let tokens: u32 = tokens.parse().ok().filter(|tokens| *tokens > 0)?;
        Some((tokens, Duration::from_secs(*seconds)))
    });
    parsed.ok_or_else(|| format!("expected a rate such as \"100/s\", in tokens per s, m or h, got {text:?}"))
}

/// Time from 1970-01-01T00:00:00Z to a moment with an offset; none before.
pub(crate) fn since_epoch(moment: &Datetime) -> Option<Duration> {
    let Datetime { date: Some(date), time: Some(time), offset: Some(offset) } = moment else { return None };
    let minutes = match offset {
        Offset::Z => 0,
        Offset::Custom { minutes } => i64::from(*minutes),
    };
    // Days by years that begin in March, so that the leap day is a year's last (the algorithm of Howard Hinnant).
    let year = i64::from(date.year) - i64::from(date.month <= 2);
    let month = (i64::from(date.month) + 9) % 12;
    let days = 365 * year + year.div_euclid(4) - year.div_euclid(100)
        + year.div_euclid(400)
        + (153 * month + 2) / 5
        + i64::from(date.day)
        - 1
        - 719_468;
    let clock = i64::from(time.hour) * 3600 + i64::from(time.minute) * 60 + i64::from(time.second.unwrap_or(0));
    let seconds = u64::try_from(days * 86_400 + clock - minutes * 60).ok()?;
    Some(Duration::new(seconds, time.nanosecond.unwrap_or(0)))
}

pub(crate) fn show_time(time: Duration) -> String {
    let nanos = time.as_nanos() as f64;
    match nanos {
        _ if nanos < 1e6 => format!("{:.1} us", nanos / 1e3),
        _ if nanos < 1e9 => format!("{:.1} ms", nanos / 1e6),
        _ => format!("{:.2} s", nanos / 1e9),
    }
}

pub(crate) fn show_size(bytes: usize) -> String {
    let bytes = bytes as f64;
    if bytes < 1024.0 * 1024.0 { format!("{:.1} KiB", bytes / 1024.0) } else { format!("{:.2} MiB", bytes / 1048576.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_sizes_and_rates_are_read_as_in_the_configuration() {
        assert_eq!(parse_time("500us"), Ok(Duration::from_micros(500)));
        assert_eq!(parse_time("2s"), Ok(Duration::from_secs(2)));
        assert_eq!(parse_size("16MiB"), Ok(16 << 20));
        assert_eq!(parse_rate("5/m"), Ok((5, Duration::from_secs(60))));
    }

    #[test]
    fn moments_are_those_of_the_calendar() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2000-02-29T12:00:00Z", Some(951_825_600)),
            ("2000-03-01T00:00:00Z", Some(951_868_800)),
            ("2026-01-01T00:00:00Z", Some(1_767_225_600)),
            ("2026-01-01T02:00:00+02:00", Some(1_767_225_600)),
            ("2100-03-01T00:00:00Z", Some(4_107_542_400)),
            ("1969-12-31T23:59:59Z", None),
            ("2026-01-01T00:00:00", None),
            ("2026-01-01", None),
        ] {
            let moment = text.parse().expect("a moment");
            assert_eq!(since_epoch(&moment).map(|time| time.as_secs()), seconds, "{text}");
        }
    }

    #[test]
    fn what_has_no_unit_or_too_much_is_refused() {
        for text in ["", "5", "ms", "5 ms", "-5ms", "99999999999999999999s", "18446744073709551615h", "1.5s"] {
            assert!(parse_time(text).is_err(), "{text}");
        }
        for text in ["", "5", "5MB", "18446744073709551615GiB"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
        for text in ["", "5", "0/s", "5/d", "/s", "-1/s"] {
            assert!(parse_rate(text).is_err(), "{text}");
        }
    }
}
