//! Functions that the gates of a recurrent layer are put through.

use crate::error::BuildError;
use crate::operator::Setup;
use crate::special;

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Activation {
    Affine { alpha: f64, beta: f64 },
    Elu { alpha: f64 },
    HardSigmoid { alpha: f64, beta: f64 },
    LeakyRelu { alpha: f64 },
    Relu,
    ScaledTanh { alpha: f64, beta: f64 },
    Sigmoid,
    Softplus,
    Softsign,
    Tanh,
    ThresholdedRelu { alpha: f64 },
}

/// Parameters, of which each function takes those that it has.
struct Parameters<'a> {
    name: &'static str,
    left: &'a [f32],
}

impl Parameters<'_> {
    /// The next one; if there are none at all, what the operator of the same name has.
    fn next(&mut self, function: &str, default: Option<f32>) -> Result<f64, BuildError> {
        let next = match self.left.split_first() {
            Some((first, rest)) => {
                self.left = rest;
                Some(*first)
            }
            None => default,
        };
        next.map(f64::from).ok_or_else(|| BuildError::attribute(self.name, format!("expected a number for {function}")))
    }
}

impl Activation {
    /// The functions of all directions; those of a direction are repeated for the next if none are told.
    pub fn list(setup: &Setup<'_>, defaults: &[Self], directions: usize) -> Result<Vec<Self>, BuildError> {
        let reader = setup.attributes();
        let names = reader.strings("activations")?.unwrap_or_default();
        let (alphas, betas) = (reader.floats("activation_alpha")?, reader.floats("activation_beta")?);
        let mut alphas = Parameters { name: "activation_alpha", left: alphas.unwrap_or_default() };
        let mut betas = Parameters { name: "activation_beta", left: betas.unwrap_or_default() };
        let count = defaults.len() * directions;
        if names.is_empty() {
            return Ok(defaults.iter().copied().cycle().take(count).collect());
        }
        if names.len() != count {
            let problem = format!("expected {count} functions, got {}", names.len());
            return Err(BuildError::attribute("activations", problem));
        }
        let functions = names.iter().map(|name| Self::named(name, &mut alphas, &mut betas));
        let functions = functions.collect::<Result<Vec<_>, _>>()?;
        // Of more numbers than the functions have, it is not told which are whose.
        match [alphas, betas].into_iter().find(|parameters| !parameters.left.is_empty()) {
            Some(Parameters { name, .. }) => {
                Err(BuildError::attribute(name, "expected a number for each function that has one, and no more"))
            }
            None => Ok(functions),
        }
    }

    fn named(name: &str, alphas: &mut Parameters<'_>, betas: &mut Parameters<'_>) -> Result<Self, BuildError> {
        let mut alpha = |default| alphas.next(name, default);
        let mut beta = |default| betas.next(name, default);
        Ok(match name.to_ascii_lowercase().as_str() {
            "affine" => Self::Affine { alpha: alpha(None)?, beta: beta(None)? },
            "elu" => Self::Elu { alpha: alpha(Some(1.0))? },
            "hardsigmoid" => Self::HardSigmoid { alpha: alpha(Some(0.2))?, beta: beta(Some(0.5))? },
            "leakyrelu" => Self::LeakyRelu { alpha: alpha(Some(0.01))? },
            "relu" => Self::Relu,
            "scaledtanh" => Self::ScaledTanh { alpha: alpha(None)?, beta: beta(None)? },
            "sigmoid" => Self::Sigmoid,
            "softplus" => Self::Softplus,
            "softsign" => Self::Softsign,
            "tanh" => Self::Tanh,
            "thresholdedrelu" => Self::ThresholdedRelu { alpha: alpha(Some(1.0))? },
            _ => return Err(BuildError::attribute("activations", format!("'{name}' is not known"))),
        })
    }

    pub fn of(self, x: f64) -> f64 {
        match self {
            Self::Affine { alpha, beta } => alpha * x + beta,
            Self::Elu { alpha } if x < 0.0 => alpha * x.exp_m1(),
            Self::LeakyRelu { alpha } if x < 0.0 => alpha * x,
            Self::Elu { .. } | Self::LeakyRelu { .. } => x,
            Self::HardSigmoid { alpha, beta } => (alpha * x + beta).clamp(0.0, 1.0),
            Self::Relu if x < 0.0 => 0.0,
            Self::Relu => x,
            Self::ScaledTanh { alpha, beta } => alpha * special::tanh(beta * x),
            Self::Sigmoid => special::sigmoid(x),
            Self::Softplus => special::softplus(x),
            Self::Softsign if x.is_infinite() => x.signum(),
            Self::Softsign => x / (1.0 + x.abs()),
            Self::Tanh => special::tanh(x),
            Self::ThresholdedRelu { alpha } if x < alpha => 0.0,
            Self::ThresholdedRelu { .. } => x,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_keep_what_is_not_a_number() {
        let all = [
            Activation::Elu { alpha: 1.0 },
            Activation::HardSigmoid { alpha: 0.2, beta: 0.5 },
            Activation::LeakyRelu { alpha: 0.1 },
            Activation::Relu,
            Activation::Sigmoid,
            Activation::Softplus,
            Activation::Softsign,
            Activation::Tanh,
            Activation::ThresholdedRelu { alpha: 1.0 },
        ];
        assert!(all.iter().all(|function| function.of(f64::NAN).is_nan()));
        let near = |function: Activation, x: f64, expected: f64| assert!((function.of(x) - expected).abs() < 1e-15);
        near(Activation::Affine { alpha: 2.0, beta: 1.0 }, 3.0, 7.0);
        near(Activation::ScaledTanh { alpha: 2.0, beta: 0.5 }, 1.0, 2.0 * 0.5_f64.tanh());
        near(Activation::ThresholdedRelu { alpha: 1.0 }, 1.0, 1.0);
        near(Activation::ThresholdedRelu { alpha: 1.0 }, 0.9, 0.0);
        near(Activation::Softsign, f64::NEG_INFINITY, -1.0);
    }
}
