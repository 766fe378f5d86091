//! Numbers of bytes, such as `"64KiB"`.

use toml::de::DeValue;

use super::units::{self, Units};
use super::{Kind, Shown};
use crate::node::Node;
use crate::source::Read;

pub(crate) const KIB: u64 = 1024;
pub(crate) const MIB: u64 = 1024 * KIB;
pub(crate) const GIB: u64 = 1024 * MIB;

const UNITS: Units = &[("B", 1), ("KiB", KIB), ("MiB", MIB), ("GiB", GIB)];

/// A size within bounds, both included.
pub(crate) struct Size {
    pub(crate) least: u64,
    pub(crate) most: u64,
}

impl Kind for Size {
    type Value = u64;

    fn expected(&self) -> String {
        format!("a size from \"{}\" to \"{}\"", show(self.least), show(self.most))
    }

    fn read(&self, node: &Node<'_>) -> Read<u64> {
        if let DeValue::Integer(number) = node.value {
            let help = format!("a bare number has no unit: write \"{number}B\" or \"{number}KiB\"");
            return Err(node.wrong(&self.expected(), help));
        }
        let Some(text) = node.text() else {
            return Err(node.wrong(&self.expected(), "write a string such as \"64KiB\""));
        };
        let Some(size) = parse(text) else { return Err(node.wrong(&self.expected(), advise(text))) };
        if size < self.least || size > self.most {
            let nearest = size.clamp(self.least, self.most);
            return Err(node.wrong(&self.expected(), format!("the nearest that is allowed is \"{}\"", show(nearest))));
        }
        Ok(size)
    }
}

impl Shown for Size {
    fn show(&self, value: &u64) -> String {
        format!("\"{}\"", show(*value))
    }
}

/// Whole bytes or powers of 1024 of them. Decimal units are refused: `1MB` means two things to two people.
fn parse(text: &str) -> Option<u64> {
    units::parse(text, UNITS)
}

pub(crate) fn show(size: u64) -> String {
    units::show(size, UNITS)
}

fn advise(text: &str) -> String {
    for (ambiguous, meant) in [("k", "KiB"), ("kb", "KiB"), ("m", "MiB"), ("mb", "MiB"), ("g", "GiB"), ("gb", "GiB")] {
        let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic()).trim();
        let unit = text.get(text.trim_end_matches(|c: char| c.is_ascii_alphabetic()).len()..).unwrap_or_default();
        if unit.eq_ignore_ascii_case(ambiguous) && !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()) {
            return format!("`{unit}` may mean 1000 or 1024: write \"{number}{meant}\" for powers of 1024");
        }
    }
    units::advise(text, UNITS, "64KiB")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_size_reads_back_as_it_was_shown(size: u64) {
            prop_assert_eq!(parse(&show(size)), Some(size));
        }

        #[test]
        fn any_text_is_read_or_refused(text: String) {
            let _ = parse(&text);
            prop_assert!(!advise(&text).is_empty());
        }
    }

    #[test]
    fn sizes_are_a_whole_number_and_a_unit() {
        let examples = [
            ("7B", Some(7)),
            ("64KiB", Some(65_536)),
            ("16MiB", Some(16_777_216)),
            ("1GiB", Some(1_073_741_824)),
            ("0B", Some(0)),
            ("64", None),
            ("64KB", None),
            ("64kib", None),
            ("1.5MiB", None),
            ("18446744073709551615KiB", None),
        ];
        for (text, size) in examples {
            assert_eq!(parse(text), size, "{text}");
        }
    }

    #[test]
    fn advice_names_the_unit_that_was_meant() {
        for (text, advice) in [("64KB", "\"64KiB\""), ("16m", "\"16MiB\""), ("64kib", "\"64KiB\""), ("5s", "`KiB`")] {
            assert!(advise(text).contains(advice), "{text}: {}", advise(text));
        }
    }
}
