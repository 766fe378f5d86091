//! Post transforms of `ai.onnx.ml`, as the operators' reference implementation defines them.
//!
//! Each is computed in the type of the scores, from left to right, with the exponential and the logarithm of the platform.

use crate::Transform;

/// Within this of zero, `SOFTMAX_ZERO` takes a score for zero.
const NEARLY_ZERO: f64 = 0.000_000_1;
/// The constant of Winitzki's approximation of the inverse error function.
const WINITZKI: f64 = 0.147;
/// The root of two, to as many places as the definition has it.
#[expect(clippy::approx_constant, reason = "the exact value is not what is defined")]
const ROOT_OF_TWO: f64 = 1.414_213_56;

macro_rules! transforms {
    ($name:ident, $type:ident) => {
        /// Transforms the scores of a row.
        pub(crate) fn $name(transform: Transform, scores: &mut [$type]) {
            use std::$type::consts::PI;

            fn logistic(score: $type) -> $type {
                let upper = 1.0 / (1.0 + (-score.abs()).exp());
                if score < 0.0 { 1.0 - upper } else { upper }
            }

            fn probit(score: $type) -> $type {
                let (two, constant) = (2.0 as $type, WINITZKI as $type);
                let x = score * two - 1.0;
                let sign = if x < 0.0 { -1.0 } else { 1.0 };
                let product = (1.0 - x) * (1.0 + x);
                if product == 0.0 {
                    return 0.0;
                }
                let log = product.ln();
                let v = two / (PI * constant) + 0.5 * log;
                let inverse = -v + (v * v - 1.0 / constant * log).sqrt();
                (ROOT_OF_TWO as $type) * (sign * inverse.sqrt())
            }

            fn largest(scores: &[$type]) -> $type {
                // NaN stays NaN.
                let larger = |a: $type, &b: &$type| if a >= b || a.is_nan() { a } else { b };
                scores.iter().fold($type::NEG_INFINITY, larger)
            }

            match transform {
                Transform::None => {}
                Transform::Logistic => scores.iter_mut().for_each(|score| *score = logistic(*score)),
                Transform::Probit => scores.iter_mut().for_each(|score| *score = probit(*score)),
                Transform::Softmax => {
                    let largest = largest(scores);
                    let mut sum = 0.0;
                    for score in scores.iter_mut() {
                        *score = (*score - largest).exp();
                        sum += *score;
                    }
                    scores.iter_mut().for_each(|score| *score /= sum);
                }
                Transform::SoftmaxZero => {
                    let largest = largest(scores);
                    let (scale, bound) = ((-largest).exp(), NEARLY_ZERO as $type);
                    let mut sum = 0.0;
                    for score in scores.iter_mut() {
                        *score = if score.abs() > bound { (*score - largest).exp() } else { *score * scale };
                        sum += *score;
                    }
                    let even = sum == 0.0;
                    scores.iter_mut().for_each(|score| *score = if even { 0.5 } else { *score / sum });
                }
            }
        }
    };
}

transforms!(single, f32);
transforms!(double, f64);

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed by `onnx.reference` 1.23.
    #[test]
    fn transforms_are_those_of_the_reference_implementation() {
        fn check(transform: Transform, scores: [f64; 3], expected: [f64; 3]) {
            let (mut double_scores, mut single_scores) = (scores, scores.map(|score| score as f32));
            double(transform, &mut double_scores);
            single(transform, &mut single_scores);
            for ((got, single), expected) in double_scores.iter().zip(single_scores).zip(expected) {
                assert!((got - expected).abs() <= 1e-12, "{transform:?} {scores:?}: {double_scores:?}");
                assert!((f64::from(single) - expected).abs() <= 1e-6, "{transform:?} {scores:?}: {single_scores:?}");
            }
        }
        check(Transform::Softmax, [-1.0, 0.0, 2.5], [0.027149026101416524, 0.07379870431184087, 0.8990522695867426]);
        check(Transform::Softmax, [0.0, 0.0, 0.0], [0.3333333333333333, 0.3333333333333333, 0.3333333333333333]);
        check(Transform::Softmax, [1000.0, -1000.0, 0.0], [1.0, 0.0, 0.0]);
        check(Transform::Logistic, [-1.0, 0.0, 2.5], [0.2689414213699951, 0.5, 0.9241418199787566]);
        check(Transform::Logistic, [-100.0, 1e-09, 100.0], [0.0, 0.50000000025, 1.0]);
        check(Transform::SoftmaxZero, [-1.0, 0.0, 2.5], [0.029312230751356316, 0.0, 0.9706877692486436]);
        check(Transform::SoftmaxZero, [0.0, 0.0, 0.0], [0.5, 0.5, 0.5]);
        check(
            Transform::SoftmaxZero,
            [1e-08, 3.0, -3.0],
            [4.966396368505152e-10, 0.9975273763479537, 0.0024726231554067723],
        );
        check(Transform::Probit, [0.1, 0.5, 0.975], [-1.281712896987819, 0.0, 1.9590489347358608]);
        check(Transform::Probit, [0.0, 1.0, 0.25], [0.0, 0.0, -0.6745742457433284]);
    }
}
