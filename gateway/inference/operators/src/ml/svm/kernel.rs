//! How alike a row and a support vector are.

use super::super::rows::dot;
use crate::attribute::Reader;
use crate::error::BuildError;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Linear,
    Poly,
    Rbf,
    Sigmoid,
}

/// The attributes `kernel_type` and `kernel_params`.
#[derive(Debug, Clone, Copy)]
pub(super) struct KernelFunction {
    kind: Kind,
    gamma: f64,
    coefficient: f64,
    degree: f64,
}

impl KernelFunction {
    pub fn of(reader: &Reader<'_>) -> Result<Self, BuildError> {
        const KINDS: [(&str, Kind); 4] =
            [("LINEAR", Kind::Linear), ("POLY", Kind::Poly), ("RBF", Kind::Rbf), ("SIGMOID", Kind::Sigmoid)];
        let kind = reader.choice("kernel_type", &KINDS)?;
        let numbers = reader.floats("kernel_params")?.unwrap_or_default();
        let [gamma, coefficient, degree] = match numbers {
            [] if kind == Kind::Linear => [0.0; 3],
            [gamma, coefficient, degree] => [gamma, coefficient, degree].map(|number| f64::from(*number)),
            other => {
                let problem = format!("expected gamma, coef0 and degree, got {} numbers", other.len());
                return Err(BuildError::attribute("kernel_params", problem));
            }
        };
        if kind == Kind::Poly && degree.fract() != 0.0 {
            return Err(BuildError::attribute("kernel_params", format!("expected a whole degree, got {degree}")));
        }
        Ok(Self { kind, gamma, coefficient, degree })
    }

    pub fn of_linear() -> Self {
        Self { kind: Kind::Linear, gamma: 0.0, coefficient: 0.0, degree: 0.0 }
    }

    pub fn between(&self, row: &[f64], vector: &[f64]) -> f64 {
        match self.kind {
            Kind::Linear => dot(row, vector),
            Kind::Poly => (self.gamma * dot(row, vector) + self.coefficient).powf(self.degree),
            Kind::Rbf => {
                let square = |(one, other): (&f64, &f64)| (one - other) * (one - other);
                (-self.gamma * row.iter().zip(vector).map(square).sum::<f64>()).exp()
            }
            Kind::Sigmoid => (self.gamma * dot(row, vector) + self.coefficient).tanh(),
        }
    }
}
