//! Whole numbers, however JSON writes them: 1000, 1e3, 1.0e+3 and 100000e-2 are one number (RFC 8259, section 6).

/// Digits of the largest number that is read: 2^64 has 20.
const DIGITS: usize = 20;

/// The whole number that `text`, a number by JSON's grammar, stands for. None: it has a fraction, or does not fit.
///
/// Exact: nothing goes by way of a floating-point number, which could not tell the largest ones apart.
#[inline]
pub fn whole<T: std::str::FromStr + TryFrom<i128>>(text: &str) -> Option<T> {
    // Nearly all are written plainly.
    text.parse().ok().or_else(|| by_parts(text).and_then(|number| T::try_from(number).ok()))
}

fn by_parts(text: &str) -> Option<i128> {
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent_of(exponent)),
        None => (text, 0),
    };
    let (before, after) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = || before.bytes().chain(after.bytes());
    let total = before.len() + after.len();
    let leading = digits().take_while(|digit| *digit == b'0').count();
    if leading == total {
        return Some(0);
    }
    let trailing = digits().rev().take_while(|digit| *digit == b'0').count();
    let significant = total.checked_sub(leading + trailing)?;
    // What the significant digits have to be multiplied by, as a power of ten.
    let places = i64::try_from(trailing).ok()?.checked_sub(i64::try_from(after.len()).ok()?)?.saturating_add(exponent);
    let zeros = usize::try_from(places).ok()?;
    if significant > DIGITS || zeros > DIGITS - significant {
        return None;
    }
    let add = |number: i128, digit: u8| number * 10 + i128::from(digit - b'0');
    let number = digits().skip(leading).take(significant).chain(std::iter::repeat_n(b'0', zeros)).fold(0, add);
    Some(if negative { -number } else { number })
}

/// One that is too large to be counted is as good as the largest.
fn exponent_of(text: &str) -> i64 {
    let limit = if text.starts_with('-') { i64::MIN } else { i64::MAX };
    text.parse().unwrap_or(limit)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_number_can_be_written_in_many_ways() {
        for (text, number) in [
            ("0", 0),
            ("-0", 0),
            ("0.000", 0),
            ("-0e5", 0),
            ("0e999999999999999999999", 0),
            ("0.0e-999999999999999999999", 0),
            ("1.0", 1),
            ("1e3", 1000),
            ("1E+3", 1000),
            ("1.5e1", 15),
            ("100e-2", 1),
            ("0.01e2", 1),
            ("120.00e-1", 12),
            ("-2.50e2", -250),
            ("1e18", 1_000_000_000_000_000_000),
            ("9223372036854775807.0", i64::MAX),
            ("-9.223372036854775808e18", i64::MIN),
        ] {
            assert_eq!(whole::<i64>(text), Some(number), "{text}");
        }
        assert_eq!(whole::<u64>("1.8446744073709551615e19"), Some(u64::MAX));
        assert_eq!(whole::<u64>("-0"), Some(0));
        assert_eq!(whole::<u8>("2.55e2"), Some(255));
        let long = format!("1{}e-{}", "0".repeat(100_000), 100_000);
        assert_eq!(whole::<u8>(&long), Some(1));
    }

    #[test]
    fn what_has_a_fraction_or_does_not_fit_is_none() {
        for text in ["1.5", "1e-1", "15e-1", "0.1", "1e19", "1e999999999999999999999", "1e-999999999999999999999"] {
            assert_eq!(whole::<i64>(text), None, "{text}");
        }
        for text in ["9223372036854775808.0", "-9223372036854775809", "18446744073709551616"] {
            assert_eq!(whole::<i64>(text), None, "{text}");
        }
        assert_eq!(whole::<u64>("-1.0"), None);
        assert_eq!(whole::<u64>("18446744073709551616.0"), None);
        assert_eq!(whole::<u8>("256e0"), None);
        assert_eq!(whole::<i8>("-1.29e2"), None);
    }

    proptest! {
        #[test]
        fn moving_the_point_changes_nothing(number in any::<i64>(), places in 0..30_usize, zeros in 0..30_usize) {
            let digits = number.unsigned_abs().to_string();
            let sign = if number < 0 { "-" } else { "" };
            let padded = format!("{digits:0>width$}", width = places + 1);
            let (before, after) = padded.split_at(padded.len() - places);
            let point = if places == 0 { "" } else { "." };
            let zeros = if places == 0 { String::new() } else { "0".repeat(zeros) };
            prop_assert_eq!(whole::<i64>(&format!("{sign}{before}{point}{after}{zeros}e{places}")), Some(number));
            prop_assert_eq!(whole::<i64>(&format!("{sign}{digits}{}E-{places}", "0".repeat(places))), Some(number));
        }

        #[test]
        fn it_agrees_with_another_library(text in "-?(0|[1-9][0-9]{0,3})(\\.[0-9]{1,3})?([eE][+-]?[0-9]{1,2})?") {
            let float: f64 = serde_json::from_str(&text).unwrap();
            // These are exact.
            let expected = (float.fract() == 0.0 && float.abs() < 9e15).then_some(float as i64);
            match whole::<i64>(&text) {
                Some(number) if expected.is_none() => prop_assert!(number.unsigned_abs() >= 9_000_000_000_000_000, "{}", text),
                number => prop_assert_eq!(number, expected, "{}", text),
            }
        }
    }
}
