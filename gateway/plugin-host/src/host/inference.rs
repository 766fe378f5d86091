//! `inference`: models that are granted, by name.

use std::sync::Arc;

use super::{HostCall, Weight};
use crate::bindings::witgate::plugin::inference::{Host, ScoreError, Tensor};
use crate::service::{self, ScoreTensor};

/// Calls of one hook: more are better put into one, as rows of a batch.
pub(super) const CALLS_LIMIT: u32 = 8;
/// Bytes of values and names in one call: they are copied out of the guest, whose memory is bounded, and into the model.
const BYTES_LIMIT: usize = 4 << 20;

impl Host for HostCall<'_> {
    async fn score(
        &mut self,
        model: String,
        inputs: Vec<(String, Tensor)>,
    ) -> wasmtime::Result<Result<Vec<(String, Tensor)>, ScoreError>> {
        let bytes = model.len() + inputs.iter().map(Weight::weight).sum::<usize>();
        self.passed(bytes);
        self.require_hook()?;
        let Some(target) = self.binding.grants.models.get(&model).map(Arc::clone) else {
            return Ok(Err(ScoreError::NotGranted));
        };
        let Some(left) = self.call.scores_left.checked_sub(1) else { return Ok(Err(ScoreError::Unavailable)) };
        self.call.scores_left = left;
        if bytes > BYTES_LIMIT {
            return Ok(Err(ScoreError::Invalid));
        }
        let inputs = inputs.into_iter().map(|(name, tensor)| (name, taken(tensor))).collect();
        Ok(match self.wait_for(target.score(inputs)).await {
            Ok(outputs) => {
                let outputs: Vec<_> = outputs.into_iter().map(|(name, tensor)| (name, given(tensor))).collect();
                Ok(self.give(outputs))
            }
            Err(service::ScoreError::Invalid) => Err(ScoreError::Invalid),
            Err(service::ScoreError::Timeout) => Err(ScoreError::Timeout),
            Err(service::ScoreError::Unavailable) => Err(ScoreError::Unavailable),
        })
    }
}

fn taken(tensor: Tensor) -> ScoreTensor {
    match tensor {
        Tensor::Floats((shape, values)) => ScoreTensor::Floats(shape, values),
        Tensor::Integers((shape, values)) => ScoreTensor::Integers(shape, values),
        Tensor::Strings((shape, values)) => ScoreTensor::Strings(shape, values),
    }
}

fn given(tensor: ScoreTensor) -> Tensor {
    match tensor {
        ScoreTensor::Floats(shape, values) => Tensor::Floats((shape, values)),
        ScoreTensor::Integers(shape, values) => Tensor::Integers((shape, values)),
        ScoreTensor::Strings(shape, values) => Tensor::Strings((shape, values)),
    }
}

impl Weight for Vec<(String, Tensor)> {
    fn weight(&self) -> usize {
        self.as_slice().weight()
    }
}

impl Weight for (String, Tensor) {
    fn weight(&self) -> usize {
        let (shape, values) = match &self.1 {
            Tensor::Floats((shape, values)) => (shape, values.len() * 4),
            Tensor::Integers((shape, values)) => (shape, values.len() * 8),
            Tensor::Strings((shape, values)) => (shape, values.iter().map(|value| value.len() + 8).sum()),
        };
        self.0.len() + shape.len() * 4 + values
    }
}
