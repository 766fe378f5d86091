//! The exponential function and what is made of it, for many numbers at a time.
//!
//! Written so that compilers make vector instructions of loops over it: no branches, no calls. All processors give the same
//! bits, and a number has the same value alone and among others. Errors are below 2 units in the last place of 64 bits, and
//! below 4 for what is made of it.

use std::f64::consts::LOG2_E;

use crate::processor::{self, Processor, Work};

/// Added to a number it leaves the nearest whole number in the last bits.
const WHOLE: f64 = 6_755_399_441_055_744.0;

/// The natural logarithm of 2, the first 33 bits and what they leave.
const LN_2: [f64; 2] = [0.693_147_180_369_123_8, 1.908_214_929_270_587_7e-10];

/// 1/0! to 1/13!: of e^x for |x| up to half the logarithm of 2 they leave less than 1 in 2^57.
const TERMS: [f64; 14] = [
    1.0,
    1.0,
    1.0 / 2.0,
    1.0 / 6.0,
    1.0 / 24.0,
    1.0 / 120.0,
    1.0 / 720.0,
    1.0 / 5_040.0,
    1.0 / 40_320.0,
    1.0 / 362_880.0,
    1.0 / 3_628_800.0,
    1.0 / 39_916_800.0,
    1.0 / 479_001_600.0,
    1.0 / 6_227_020_800.0,
];

/// 2 to a whole number from -1022 to 1023.
#[inline(always)]
fn power_of_two(number: f64) -> f64 {
    f64::from_bits((number + (WHOLE + 1023.0)).to_bits() << 52)
}

/// e^x.
#[inline(always)]
pub(crate) fn exp(x: f64) -> f64 {
    // Beyond these all is infinity or zero. NaN stays.
    let x = x.clamp(-746.0, 710.0);
    let whole = (x * LOG2_E + WHOLE) - WHOLE;
    let [high, low] = LN_2;
    let rest = (x - whole * high) - whole * low;
    let mut sum = 0.0;
    for term in TERMS.iter().rev() {
        sum = sum * rest + term;
    }
    // In two steps, as the largest powers and the smallest are no numbers of their own.
    let half = (whole * 0.5 + WHOLE) - WHOLE;
    sum * power_of_two(half) * power_of_two(whole - half)
}

/// 1 / (1 + e^-x), of no exponential that could overflow.
#[inline(always)]
pub(crate) fn sigmoid(x: f64) -> f64 {
    let exponential = exp(-x.abs());
    (if x < 0.0 { exponential } else { 1.0 }) / (1.0 + exponential)
}

/// Of numbers near zero by a quotient of polynomials (Cody and Waite's, with the coefficients of Cephes).
#[inline(always)]
pub(crate) fn tanh(x: f64) -> f64 {
    let (magnitude, square) = (x.abs(), x * x);
    let above = (-0.964_399_179_425_052_2 * square - 99.287_723_100_191_86) * square - 1_614.687_684_417_084_5;
    let below = ((square + 112.811_678_491_632_93) * square + 2_235.488_390_601_004_5) * square + 4_844.063_053_251_255;
    let near = x + x * square * (above / below);
    let far = 1.0 - 2.0 / (exp(2.0 * magnitude) + 1.0);
    (if magnitude < 0.625 { near } else { far }).copysign(x)
}

/// A function for each of some numbers.
struct Each<'a, F> {
    numbers: &'a mut [f64],
    function: F,
}

impl<F: Fn(f64) -> f64> Work for Each<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<P: Processor>(self) {
        for number in self.numbers {
            *number = (self.function)(*number);
        }
    }
}

/// Applies a function, which has to be made of those above, to each number.
#[inline]
pub(crate) fn for_each(numbers: &mut [f64], function: impl Fn(f64) -> f64) {
    // The scores of a row: less than a vector.
    if numbers.len() < 4 {
        return numbers.iter_mut().for_each(|number| *number = function(*number));
    }
    processor::run(Each { numbers, function });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::processor::run_at_all_levels;

    /// Numbers of all magnitudes, and what is special.
    fn numbers() -> Vec<f64> {
        let near = (-40_000..40_000).map(|at| f64::from(at) * 0.018_7);
        let small = (0..600).map(|at| 1.5_f64.powi(-at) * if at % 2 == 0 { 1.0 } else { -1.0 });
        let special = [0.0, -0.0, f64::INFINITY, f64::NEG_INFINITY, 709.7, 709.8, -708.4, -745.2, 0.625, 1e300, -1e300];
        near.chain(small).chain(special).collect()
    }

    fn is_near(got: f64, expected: f64, units: f64) -> bool {
        // Below the smallest normal number a unit is as large as there.
        let unit = expected.abs().max(f64::MIN_POSITIVE) * f64::EPSILON;
        got.to_bits() == expected.to_bits() || (got - expected).abs() <= units * unit
    }

    #[test]
    fn values_are_those_of_the_library() {
        for x in numbers() {
            assert!(is_near(exp(x), x.exp(), 2.0), "exp({x}) is {} and not {}", exp(x), x.exp());
            assert!(is_near(tanh(x), x.tanh(), 4.0), "tanh({x}) is {} and not {}", tanh(x), x.tanh());
            let expected = if x < 0.0 { x.exp() / (1.0 + x.exp()) } else { 1.0 / (1.0 + (-x).exp()) };
            assert!(is_near(sigmoid(x), expected, 4.0), "sigmoid({x}) is {} and not {expected}", sigmoid(x));
        }
        assert!(exp(f64::NAN).is_nan() && tanh(f64::NAN).is_nan() && sigmoid(f64::NAN).is_nan());
        assert_eq!(tanh(-0.0).to_bits(), (-0.0_f64).to_bits());
        assert_eq!((exp(0.0), exp(f64::NEG_INFINITY), exp(f64::INFINITY)), (1.0, 0.0, f64::INFINITY));
    }

    /// Numbers that are changed and kept.
    struct Kept<F>(Vec<f64>, F);

    impl<F: Fn(f64) -> f64> Work for Kept<F> {
        type Output = Vec<u64>;

        #[inline(always)]
        fn run<P: Processor>(mut self) -> Vec<u64> {
            Each { numbers: &mut self.0, function: self.1 }.run::<P>();
            self.0.iter().map(|number| number.to_bits()).collect()
        }
    }

    fn check(function: impl Fn(f64) -> f64 + Copy) {
        let alone: Vec<u64> = numbers().into_iter().map(|x| function(x).to_bits()).collect();
        for made in run_at_all_levels(|| Kept(numbers(), function)) {
            assert_eq!(made, alone);
        }
    }

    #[test]
    fn all_processors_and_a_number_alone_give_the_same_bits() {
        check(exp);
        check(tanh);
        check(sigmoid);
    }
}
