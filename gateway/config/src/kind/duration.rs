//! Durations, such as `"250ms"`.

use std::time::Duration;

use toml::de::DeValue;

use super::units::{self, Units};
use super::{Kind, Shown};
use crate::node::Node;
use crate::source::Read;

const UNITS: Units = &[("us", 1), ("ms", 1_000), ("s", 1_000_000), ("m", 60_000_000), ("h", 3_600_000_000)];

/// A duration within bounds, both included.
pub(crate) struct Time {
    pub(crate) least: Duration,
    pub(crate) most: Duration,
}

impl Kind for Time {
    type Value = Duration;

    fn expected(&self) -> String {
        format!("a duration from \"{}\" to \"{}\"", show(self.least), show(self.most))
    }

    fn read(&self, node: &Node<'_>) -> Read<Duration> {
        if let DeValue::Integer(number) = node.value {
            let help = format!("a bare number has no unit: write \"{number}s\" or \"{number}ms\"");
            return Err(node.wrong(&self.expected(), help));
        }
        let Some(text) = node.text() else {
            return Err(node.wrong(&self.expected(), "write a string such as \"250ms\""));
        };
        let Some(duration) = parse(text) else {
            return Err(node.wrong(&self.expected(), units::advise(text, UNITS, "250ms")));
        };
        if duration < self.least || duration > self.most {
            let nearest = duration.clamp(self.least, self.most);
            return Err(node.wrong(&self.expected(), format!("the nearest that is allowed is \"{}\"", show(nearest))));
        }
        Ok(duration)
    }
}

impl Shown for Time {
    fn show(&self, value: &Duration) -> String {
        format!("\"{}\"", show(*value))
    }
}

/// Whole microseconds, milliseconds, seconds, minutes or hours.
fn parse(text: &str) -> Option<Duration> {
    units::parse(text, UNITS).map(Duration::from_micros)
}

pub(crate) fn show(duration: Duration) -> String {
    if duration.is_zero() {
        return "0ms".into();
    }
    units::show(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX), UNITS)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_duration_reads_back_as_it_was_shown(micros: u64) {
            let duration = Duration::from_micros(micros);
            prop_assert_eq!(parse(&show(duration)), Some(duration));
        }

        #[test]
        fn any_text_is_read_or_refused(text: String) {
            let _ = parse(&text);
            prop_assert!(!units::advise(&text, UNITS, "250ms").is_empty());
        }
    }

    #[test]
    fn durations_are_a_whole_number_and_a_unit() {
        let examples: [(&str, Option<u64>); 15] = [
            ("250ms", Some(250)),
            ("5s", Some(5_000)),
            ("2m", Some(120_000)),
            ("1h", Some(3_600_000)),
            ("0s", Some(0)),
            ("", None),
            ("5", None),
            ("s", None),
            ("5 s", None),
            ("5S", None),
            ("-5s", None),
            ("+5s", None),
            ("1.5s", None),
            ("1m30s", None),
            ("99999999999999999h", None),
        ];
        for (text, millis) in examples {
            assert_eq!(parse(text), millis.map(Duration::from_millis), "{text}");
        }
    }

    #[test]
    fn durations_are_shown_in_the_largest_unit_that_needs_no_fraction() {
        for (millis, text) in [(0, "0ms"), (250, "250ms"), (1_500, "1500ms"), (90_000, "90s"), (7_200_000, "2h")] {
            assert_eq!(show(Duration::from_millis(millis)), text);
        }
    }
}
