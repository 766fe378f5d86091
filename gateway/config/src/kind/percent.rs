//! Shares, such as `"90%"`.

use super::{Kind, Shown};
use crate::node::Node;
use crate::source::Read;

/// A share in thousandths, from 1 to 1000.
pub(crate) struct Percent;

impl Kind for Percent {
    type Value = u32;

    fn expected(&self) -> String {
        "a share from \"0.1%\" to \"100%\"".into()
    }

    fn read(&self, node: &Node<'_>) -> Read<u32> {
        let permille = node.text().and_then(parse).filter(|permille| (1..=1000).contains(permille));
        permille.ok_or_else(|| node.wrong(&self.expected(), "write a string such as \"90%\", with one decimal at most"))
    }
}

impl Shown for Percent {
    fn show(&self, value: &u32) -> String {
        format!("\"{}\"", show(*value))
    }
}

/// Thousandths of a percentage with at most one decimal.
fn parse(text: &str) -> Option<u32> {
    let number = text.strip_suffix('%')?;
    let (whole, tenths) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(tenths) || tenths.len() != 1 {
        return None;
    }
    whole.parse::<u32>().ok()?.checked_mul(10)?.checked_add(tenths.parse().ok()?)
}

fn show(permille: u32) -> String {
    match (permille / 10, permille % 10) {
        (whole, 0) => format!("{whole}%"),
        (whole, tenths) => format!("{whole}.{tenths}%"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_share_reads_back_as_it_was_shown(permille in 0_u32..2_000) {
            prop_assert_eq!(parse(&show(permille)), Some(permille));
        }
    }

    #[test]
    fn shares_are_percentages_with_one_decimal_at_most() {
        for (text, permille) in [("90%", Some(900)), ("92.5%", Some(925)), ("0.1%", Some(1))] {
            assert_eq!(parse(text), permille, "{text}");
        }
        for text in ["", "%", "90", "0.9", ".5%", "5.%", "1.25%", "-1%", "+1%", "99999999999%"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
