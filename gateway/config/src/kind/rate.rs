//! Rates, such as `"100/s"`.

use std::time::Duration;

use super::Kind;
use crate::node::Node;
use crate::source::Read;

/// Beyond a million tokens per period a bucket limits nothing.
pub(crate) const TOKENS_LIMIT: u32 = 1_000_000;

const PERIODS: [(&str, u64); 3] = [("s", 1), ("m", 60), ("h", 3_600)];

/// A number of tokens per second, minute or hour.
pub(crate) struct TokenRate;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rate {
    pub(crate) tokens: u32,
    pub(crate) period: Duration,
}

impl Kind for TokenRate {
    type Value = Rate;

    fn expected(&self) -> String {
        format!("a rate from \"1/h\" to \"{TOKENS_LIMIT}/s\"")
    }

    fn read(&self, node: &Node<'_>) -> Read<Rate> {
        let advice = "write tokens per `s`, `m` or `h`, for example \"100/s\"";
        let rate = node.text().and_then(parse).ok_or_else(|| node.wrong(&self.expected(), advice))?;
        if rate.tokens == 0 || rate.tokens > TOKENS_LIMIT {
            return Err(node.wrong(&self.expected(), format!("allow from 1 to {TOKENS_LIMIT} tokens per period")));
        }
        Ok(rate)
    }
}

fn parse(text: &str) -> Option<Rate> {
    let (tokens, unit) = text.split_once('/')?;
    let (_, seconds) = PERIODS.iter().find(|(name, _)| *name == unit)?;
    // `parse` would take a plus sign.
    let digits = tokens.bytes().all(|byte| byte.is_ascii_digit());
    let tokens = if digits { tokens.parse().ok()? } else { return None };
    Some(Rate { tokens, period: Duration::from_secs(*seconds) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_rate_is_read_as_it_is_written(tokens: u32, period in 0_usize..3) {
            let (unit, seconds) = PERIODS[period];
            let rate = Rate { tokens, period: Duration::from_secs(seconds) };
            prop_assert_eq!(parse(&format!("{tokens}/{unit}")), Some(rate));
        }

        #[test]
        fn any_text_is_read_or_refused(text: String) {
            let _ = parse(&text);
        }
    }

    #[test]
    fn rates_are_tokens_per_unit() {
        for text in ["", "/", "5", "5/", "/s", "5/d", "5 /s", "+5/s", "-5/s", "5/s/s", "99999999999/s"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
