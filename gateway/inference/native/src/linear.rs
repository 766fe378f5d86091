//! XGBoost's `gblinear`.

/// A linear function for each output, computed in float.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LinearModel {
    /// For each feature in turn, one weight for each output.
    pub(crate) weights: Vec<f32>,
    /// Of each output, with the base score added.
    pub(crate) biases: Vec<f32>,
}

impl LinearModel {
    /// Margins of a row. Missing values are passed over.
    pub(crate) fn margins(&self, row: impl Iterator<Item = f32>, margins: &mut [f64]) {
        let count = self.biases.len();
        margins.iter_mut().zip(&self.biases).for_each(|(margin, bias)| *margin = (*bias).into());
        for (number, weights) in row.zip(self.weights.chunks_exact(count.max(1))) {
            if number.is_nan() {
                continue;
            }
            for (margin, weight) in margins.iter_mut().zip(weights) {
                *margin = (*margin as f32 + number * weight).into();
            }
        }
    }
}
