//! From margins to scores, as each library computes them.

/// What becomes of the margins of a row.
///
/// XGBoost computes in float, the others in double. The exponential is the platform's, as it is the libraries' own, but for
/// CatBoost's softmax, which has one that is vectorized.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Link {
    Identity,
    /// `1 / (1 + exp(-slope * x))`: LightGBM and CatBoost.
    Logistic {
        slope: f64,
    },
    /// `exp(x)`.
    Exp,
    /// `log1p(exp(x))`: LightGBM's `cross_entropy_lambda`.
    SoftPlus,
    /// `sign(x) * x * x`: LightGBM's `reg_sqrt`.
    SignedSquare,
    Softmax,
    /// CatBoost's `RMSEWithUncertainty`: the second output is the logarithm of a deviation, and becomes a variance.
    Variance,
    SingleLogistic,
    SingleExp,
    SingleSoftmax,
    /// XGBoost's `binary:hinge`: 1 above 0, or else 0.
    Sign,
}

impl Link {
    /// Turns the margins of a row into scores.
    pub(crate) fn apply(self, row: &mut [f64]) {
        match self {
            Self::Identity => {}
            Self::Logistic { slope } => {
                row.iter_mut().for_each(|value| *value = 1.0 / (1.0 + (-slope * *value).exp()));
            }
            Self::Exp => row.iter_mut().for_each(|value| *value = value.exp()),
            Self::SoftPlus => row.iter_mut().for_each(|value| *value = value.exp().ln_1p()),
            Self::SignedSquare => {
                let sign = |value: f64| f64::from(i8::from(value > 0.0) - i8::from(value < 0.0));
                row.iter_mut().for_each(|value| *value = sign(*value) * *value * *value);
            }
            Self::Softmax => {
                let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let mut sum = 0.0;
                for value in row.iter_mut() {
                    *value = (*value - largest).exp();
                    sum += *value;
                }
                row.iter_mut().for_each(|value| *value /= sum);
            }
            Self::Variance => {
                if let Some(value) = row.get_mut(1) {
                    *value = (2.0 * *value).exp();
                }
            }
            Self::SingleLogistic => row.iter_mut().for_each(|value| *value = single_logistic(*value as f32).into()),
            Self::SingleExp => row.iter_mut().for_each(|value| *value = (*value as f32).exp().into()),
            Self::SingleSoftmax => {
                let largest = row.iter().fold(f32::NEG_INFINITY, |largest, value| largest.max(*value as f32));
                let mut sum = 0.0;
                for value in row.iter_mut() {
                    *value = (*value as f32 - largest).exp().into();
                    sum += *value;
                }
                let sum = sum as f32;
                row.iter_mut().for_each(|value| *value = (*value as f32 / sum).into());
            }
            Self::Sign => row.iter_mut().for_each(|value| *value = f64::from(u8::from(*value > 0.0))),
        }
    }
}

/// XGBoost's: its exponent has a bound below that of float, so that no division by infinity is needed.
fn single_logistic(margin: f32) -> f32 {
    const BOUND: f32 = 88.7;
    // Not `min`: NaN has to stay NaN.
    let exponent = if BOUND < -margin { BOUND } else { -margin };
    1.0 / (exponent.exp() + 1.0 + 1e-16)
}
