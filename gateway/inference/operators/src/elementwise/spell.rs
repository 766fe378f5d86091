//! Numbers as texts.

use half::f16;

/// A number with fractions as the reference spells it: the fewest digits that tell it from its neighbours, with a point,
/// and with an exponent where it is very large or small for its type.
pub(super) trait Spell {
    fn spell(self) -> String;
}

impl Spell for f64 {
    fn spell(self) -> String {
        spelled(&format!("{self:e}"), self, 1e16, self.abs() < 1e-4)
    }
}

impl Spell for f32 {
    fn spell(self) -> String {
        let wide = f64::from(self);
        spelled(&format!("{self:e}"), wide, 1e6, wide.abs() < 1e-4)
    }
}

impl Spell for f16 {
    fn spell(self) -> String {
        let wide = self.to_f64();
        // Five digits tell any two apart.
        let shortest = (0..5).map(|digits| format!("{wide:.digits$e}"));
        let mut exact = shortest.filter(|text| text.parse::<f64>().is_ok_and(|number| Self::from_f64(number) == self));
        spelled(&exact.next().unwrap_or_default(), wide, 1e3, wide.abs() < 1e-4)
    }
}

/// Of digits and exponent, as Rust writes them.
fn spelled(scientific: &str, number: f64, large: f64, is_small: bool) -> String {
    if number.is_nan() {
        return "nan".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if number != 0.0 && (number.abs() >= large || is_small) {
        return format!("{mantissa}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.unsigned_abs());
    }
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    if exponent < 0 {
        let zeros = "0".repeat(usize::try_from(-exponent - 1).unwrap_or(0));
        return format!("{sign}0.{zeros}{digits}");
    }
    let before = usize::try_from(exponent).unwrap_or(0) + 1;
    let padded = format!("{digits:0<before$}");
    let (whole, fraction) = padded.split_at_checked(before).unwrap_or((&padded, ""));
    format!("{sign}{whole}.{}", if fraction.is_empty() { "0" } else { fraction })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `numpy` 2.4 spells them, 2026-12.
    #[test]
    fn numbers_are_spelled_as_the_reference_does() {
        let wide = [
            (1.0, "1.0"),
            (-0.0, "-0.0"),
            (100.25, "100.25"),
            (0.1, "0.1"),
            (0.0001, "0.0001"),
            (9.9e-5, "9.9e-05"),
            (9.9e15, "9900000000000000.0"),
            (1e16, "1e+16"),
            (1.5e-100, "1.5e-100"),
            (-123.0, "-123.0"),
            (f64::NAN, "nan"),
            (f64::NEG_INFINITY, "-inf"),
        ];
        wide.into_iter().for_each(|(number, text)| assert_eq!(number.spell(), text));
        let narrow = [
            (2.25_f32, "2.25"),
            (123_456.79, "123456.79"),
            (1e6, "1e+06"),
            (16_777_216.0, "1.6777216e+07"),
            (1.0 / 3.0, "0.33333334"),
            (1e-4, "1e-04"),
            (0.001, "0.001"),
            (1e-45, "1e-45"),
        ];
        narrow.into_iter().for_each(|(number, text)| assert_eq!(number.spell(), text));
        let half = [(1000.0, "1e+03"), (0.333_333, "0.3333"), (1.5, "1.5"), (1e-4, "0.0001"), (2e-7, "2e-07")];
        half.into_iter().for_each(|(number, text)| assert_eq!(f16::from_f64(number).spell(), text));
    }
}
