//! Functions of one number, accurate over their whole range.
//!
//! All are computed in 64 bits. What has no answer of its own gives NaN, and NaN gives NaN.

mod exponential;

use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_PI, PI, SQRT_2};

pub(crate) use exponential::{exp, for_each, sigmoid, tanh};

/// ln(1 + e^x).
pub(crate) fn softplus(x: f64) -> f64 {
    if x.is_nan() { x } else { x.max(0.0) + exp(-x.abs()).ln_1p() }
}

/// x times the normal distribution's share below x. By way of the complement, so that no digits are lost far below zero.
pub(crate) fn gelu(x: f64) -> f64 {
    if x == f64::NEG_INFINITY { -0.0 } else { 0.5 * x * libm::erfc(-x * FRAC_1_SQRT_2) }
}

/// The approximation of [`gelu`] by a hyperbolic tangent, which is a sigmoid of twice its argument.
#[inline(always)]
pub(crate) fn gelu_tanh(x: f64) -> f64 {
    let argument = FRAC_2_PI.sqrt() * (x + 0.044_715 * x * x * x);
    if x == f64::NEG_INFINITY { -0.0 } else { x * sigmoid(2.0 * argument) }
}

pub(crate) fn mish(x: f64) -> f64 {
    if x == f64::NEG_INFINITY { -0.0 } else { x * tanh(softplus(x)) }
}

/// -1, 0 or 1.
pub(crate) fn sign(x: f64) -> f64 {
    if x > 0.0 {
        1.0
    } else if x < 0.0 {
        -1.0
    } else {
        x.abs()
    }
}

/// The quantile of the normal distribution, by the approximation that ONNX means (Winitzki's of the inverse error
/// function, with 0.147).
pub(crate) fn probit(x: f64) -> f64 {
    let (argument, a) = (2.0 * x - 1.0, 0.147);
    let logarithm = ((1.0 - argument) * (1.0 + argument)).ln();
    let middle = 2.0 / (PI * a) + 0.5 * logarithm;
    let magnitude = if logarithm == f64::NEG_INFINITY {
        f64::INFINITY
    } else {
        (-middle + (middle * middle - logarithm / a).sqrt()).sqrt()
    };
    SQRT_2 * if argument < 0.0 { -magnitude } else { magnitude }
}

/// The larger of two; NaN if one is.
pub(crate) fn largest(numbers: impl Iterator<Item = f64>) -> f64 {
    numbers
        .fold(f64::NEG_INFINITY, |largest, number| if number > largest || number.is_nan() { number } else { largest })
}

/// Makes shares of numbers, by their exponentials.
pub(crate) fn softmax(numbers: &mut [f64]) {
    let largest = largest(numbers.iter().copied());
    for_each(numbers, |number| exp(number - largest));
    let sum = numbers.iter().fold(0.0, |sum, number| sum + number);
    for_each(numbers, |number| number / sum);
}

/// ln of the sum of exponentials, without the exponentials of large numbers.
pub(crate) fn log_sum_exp(numbers: impl Iterator<Item = f64> + Clone) -> f64 {
    let largest = largest(numbers.clone());
    if largest.is_infinite() || largest.is_nan() {
        return largest;
    }
    largest + numbers.map(|number| exp(number - largest)).sum::<f64>().ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(got: f64, expected: f64) {
        let error = (got - expected).abs();
        assert!(error <= 1e-14 * expected.abs() || got.to_bits() == expected.to_bits(), "{got} instead of {expected}");
    }

    #[test]
    fn nothing_overflows_and_no_digits_are_lost() {
        near(sigmoid(-800.0), 0.0);
        near(sigmoid(800.0), 1.0);
        near(sigmoid(-40.0), 4.248_354_255_291_589e-18);
        near(softplus(1000.0), 1000.0);
        near(softplus(-40.0), 4.248_354_255_291_589e-18);
        near(gelu(-10.0), -7.619_853_024_160_527e-23);
        near(gelu(f64::INFINITY), f64::INFINITY);
        near(gelu_tanh(3.0), 2.996_362_607_918_227_3);
        assert!(gelu(f64::NAN).is_nan() && softplus(f64::NAN).is_nan() && sigmoid(f64::NAN).is_nan());
        near(log_sum_exp([1000.0, 1000.0].into_iter()), 1000.0 + 2_f64.ln());
        near(log_sum_exp([].into_iter()), f64::NEG_INFINITY);
        near(log_sum_exp([f64::INFINITY, 1.0].into_iter()), f64::INFINITY);
    }

    #[test]
    fn shares_add_up() {
        let mut numbers = [1e300, 1e300, -1e300];
        softmax(&mut numbers);
        assert_eq!(numbers, [0.5, 0.5, 0.0]);
    }

    #[test]
    fn quantiles_are_symmetric() {
        near(probit(0.5), 0.0);
        near(probit(0.25), -probit(0.75));
        assert!((probit(0.975) - 1.96).abs() < 1e-2);
        assert_eq!(probit(0.0), f64::NEG_INFINITY);
        assert_eq!(probit(1.0), f64::INFINITY);
        assert!(probit(1.5).is_nan());
    }
}
