//! Logarithms and circular functions from additions, multiplications and divisions alone.
//!
//! Those are exact to the last bit in every language with IEEE 754 doubles; the functions of C libraries are not, and
//! training and serving would differ by a unit in the last place now and then. The Python package does the same steps.

use std::sync::LazyLock;

/// Terms of the series: the next would be below a tenth of a unit in the last place.
const LOGARITHM_TERMS: u32 = 12;
const CIRCLE_TERMS: u32 = 12;

/// Bytes of a text, at most: [`super::observation::PART_LIMIT`].
const COUNTS: usize = super::observation::PART_LIMIT + 1;

/// Seconds of a quarter of a day.
const QUARTER: i64 = 21_600;

/// c · log2(c) for every count of bytes in a text.
static WEIGHTED_LOGARITHMS: LazyLock<Vec<f64>> = LazyLock::new(|| {
    let weighted = |count: usize| if count == 0 { 0.0 } else { count as f64 * log2(count as f64) };
    (0..COUNTS).map(weighted).collect()
});

/// The exponent, and the natural logarithm of what is left: for positive normal numbers.
///
/// With x = m · 2^e, and m from √½ to √2, ln(m) is twice the area tangent of (m - 1) / (m + 1), whose series is summed
/// from its smallest term on.
fn split_logarithm(x: f64) -> (f64, f64) {
    let bits = x.to_bits();
    let mut exponent = ((bits >> 52) & 0x7ff) as f64 - 1023.0;
    let mut mantissa = f64::from_bits((bits & 0x000f_ffff_ffff_ffff) | 0x3ff0_0000_0000_0000);
    if mantissa > std::f64::consts::SQRT_2 {
        mantissa /= 2.0;
        exponent += 1.0;
    }
    let s = (mantissa - 1.0) / (mantissa + 1.0);
    let z = s * s;
    let mut sum = 0.0;
    for k in (0..=LOGARITHM_TERMS).rev() {
        sum = sum * z + 1.0 / f64::from(2 * k + 1);
    }
    (exponent, 2.0 * s * sum)
}

/// Natural logarithm of a positive normal number.
pub(super) fn ln(x: f64) -> f64 {
    let (exponent, rest) = split_logarithm(x);
    exponent * std::f64::consts::LN_2 + rest
}

/// Binary logarithm of a positive normal number; exact for powers of two.
fn log2(x: f64) -> f64 {
    let (exponent, rest) = split_logarithm(x);
    exponent + rest * std::f64::consts::LOG2_E
}

/// Bits for each byte: the Shannon entropy of how often each byte value occurs. 0 without bytes.
pub(super) fn entropy(counts: &[u16; 256]) -> f64 {
    let logarithms: &[f64] = &WEIGHTED_LOGARITHMS;
    let weighted = |count: usize| logarithms.get(count).copied().unwrap_or(0.0);
    let (mut total, mut sum) = (0, 0.0);
    for count in counts.iter().map(|count| usize::from(*count)).filter(|count| *count > 0) {
        total += count;
        sum += weighted(count);
    }
    if total == 0 { 0.0 } else { (weighted(total) - sum) / total as f64 }
}

/// Sine and cosine of the share of a day, as an angle, that has passed at a second from 0 to 86 399.
pub(super) fn circle(second: i64) -> (f64, f64) {
    let angle = (second % QUARTER) as f64 * std::f64::consts::PI / (2 * QUARTER) as f64;
    let z = angle * angle;
    let (mut sine, mut cosine) = (1.0, 1.0);
    for k in (1..=CIRCLE_TERMS).rev() {
        let k = f64::from(2 * k);
        cosine = 1.0 - z / ((k - 1.0) * k) * cosine;
        sine = 1.0 - z / (k * (k + 1.0)) * sine;
    }
    sine *= angle;
    match second / QUARTER {
        0 => (sine, cosine),
        1 => (cosine, 0.0 - sine),
        2 => (0.0 - sine, 0.0 - cosine),
        _ => (0.0 - cosine, sine),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithms_are_those_of_the_library_to_fifteen_digits() {
        for x in [1e-300, 0.1, 0.5, 0.7, 0.707, 0.708, 1.0, 1.4, 1.5, 2.0, 3.0, 1000.0, 8192.0, 1e9, 1e300] {
            let (own, library) = (ln(x), x.ln());
            assert!((own - library).abs() <= 4e-16 * library.abs().max(1.0), "ln {x}: {own} {library}");
            let (own, library) = (log2(x), x.log2());
            assert!((own - library).abs() <= 4e-16 * library.abs().max(1.0), "log2 {x}: {own} {library}");
        }
        assert_eq!((log2(8192.0), ln(1.0)), (13.0, 0.0));
    }

    #[test]
    fn the_circle_is_that_of_the_library_to_fifteen_digits() {
        for second in 0..86_400 {
            let angle = second as f64 * std::f64::consts::TAU / 86_400.0;
            let (sine, cosine) = circle(second);
            assert!((sine - angle.sin()).abs() < 2e-15 && (cosine - angle.cos()).abs() < 2e-15, "{second}");
        }
        assert_eq!((circle(0), circle(QUARTER).0), ((0.0, 1.0), 1.0));
    }

    #[test]
    fn entropy_is_zero_for_one_byte_value_and_eight_for_all_alike() {
        let mut counts = [0; 256];
        assert_eq!(entropy(&counts).to_bits(), 0.0_f64.to_bits());
        counts[7] = 5;
        assert_eq!(entropy(&counts).to_bits(), 0.0_f64.to_bits());
        assert!((entropy(&[3; 256]) - 8.0).abs() < 1e-12);
    }
}
