//! Models as plugins reach them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use witgate_inference::validate::{NonFinite, check};
use witgate_inference::{Data, DataType, InferError, ModelVersion, Tensor};
use witgate_plugin_host::{ScoreError, ScoreFuture, ScoreTarget, ScoreTensor, Scores};

/// Longest that a plugin waits for a model, unless its own time is over before.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A model that plugins are granted.
#[derive(Debug)]
pub struct ScoringModel(pub Arc<ModelVersion>);

impl ScoreTarget for ScoringModel {
    fn identity(&self) -> Vec<u8> {
        // A version that is loaded again with other options is another model.
        let model = self.0.model.as_ref().map_or(0, |model| Arc::as_ptr(model) as usize);
        [self.0.digest.as_slice(), &model.to_le_bytes()].concat()
    }

    fn score(&self, inputs: Vec<(String, ScoreTensor)>) -> ScoreFuture {
        let version = Arc::clone(&self.0);
        Box::pin(async move {
            let inputs = typed(&version, inputs).ok_or(ScoreError::Invalid)?;
            let signature = &version.metadata.signature;
            let inputs =
                check(signature, NonFinite::Refuse, version.batch_limit, inputs).map_err(|_| ScoreError::Invalid)?;
            let model = version.model.as_ref().ok_or(ScoreError::Unavailable)?;
            let outputs = signature.all_outputs();
            let answer = model.infer(inputs, &outputs, Some(Instant::now() + TIMEOUT)).await;
            let answer = answer.map_err(|error| match error {
                InferError::Invalid(_) => ScoreError::Invalid,
                InferError::Deadline => ScoreError::Timeout,
                InferError::Overloaded | InferError::Failed(_) => ScoreError::Unavailable,
            })?;
            let named = signature.outputs.iter().zip(answer);
            let scores: Option<Scores> =
                named.map(|(info, tensor)| Some((info.name.clone(), plain(tensor)?))).collect();
            scores.ok_or(ScoreError::Unavailable)
        })
    }
}

/// Inputs in the types that the model takes; none: a value is not one of the type, or values and shape do not go together.
fn typed(version: &ModelVersion, inputs: Vec<(String, ScoreTensor)>) -> Option<Vec<(String, Tensor)>> {
    let wanted = |name: &str| {
        let inputs = &version.metadata.signature.inputs;
        inputs.iter().find(|info| info.name == name).map(|info| info.data_type)
    };
    let convert = |(name, tensor): (String, ScoreTensor)| {
        let wanted = wanted(&name);
        let (shape, data) = match tensor {
            ScoreTensor::Floats(shape, values) => (shape, floats(values, wanted)),
            ScoreTensor::Integers(shape, values) => (shape, integers(values, wanted)?),
            ScoreTensor::Strings(shape, values) => (shape, Data::String(values)),
        };
        let shape: Vec<usize> = shape.into_iter().map(|size| size as usize).collect();
        Some((name, Tensor::new(shape, data).ok()?))
    };
    inputs.into_iter().map(convert).collect()
}

fn floats(values: Vec<f32>, wanted: Option<DataType>) -> Data {
    match wanted {
        Some(DataType::Float64) => Data::Float64(values.into_iter().map(f64::from).collect()),
        Some(DataType::Float16) => Data::Float16(values.into_iter().map(half::f16::from_f32).collect()),
        Some(DataType::Bfloat16) => Data::Bfloat16(values.into_iter().map(half::bf16::from_f32).collect()),
        _ => Data::Float32(values),
    }
}

fn integers(values: Vec<i64>, wanted: Option<DataType>) -> Option<Data> {
    fn all<T: TryFrom<i64>>(values: &[i64]) -> Option<Vec<T>> {
        values.iter().map(|value| T::try_from(*value).ok()).collect()
    }
    Some(match wanted {
        Some(DataType::Bool) => Data::Bool(all::<u8>(&values)?.into_iter().map(|value| value != 0).collect()),
        Some(DataType::Uint8) => Data::Uint8(all(&values)?),
        Some(DataType::Uint16) => Data::Uint16(all(&values)?),
        Some(DataType::Uint32) => Data::Uint32(all(&values)?),
        Some(DataType::Uint64) => Data::Uint64(all(&values)?),
        Some(DataType::Int8) => Data::Int8(all(&values)?),
        Some(DataType::Int16) => Data::Int16(all(&values)?),
        Some(DataType::Int32) => Data::Int32(all(&values)?),
        _ => Data::Int64(values),
    })
}

/// What the contract has a form for; none: a number that is too large for it.
#[expect(clippy::cast_possible_truncation, reason = "the contract's floats are single-precision")]
fn plain(tensor: Tensor) -> Option<ScoreTensor> {
    let (shape, data) = tensor.into_parts();
    let shape: Vec<u32> = shape.into_iter().map(|size| u32::try_from(size).ok()).collect::<Option<_>>()?;
    fn wide<T: Into<i64>>(values: Vec<T>) -> Vec<i64> {
        values.into_iter().map(Into::into).collect()
    }
    Some(match data {
        Data::Float32(values) => ScoreTensor::Floats(shape, values),
        Data::Float64(values) => ScoreTensor::Floats(shape, values.into_iter().map(|value| value as f32).collect()),
        Data::Float16(values) => ScoreTensor::Floats(shape, values.into_iter().map(half::f16::to_f32).collect()),
        Data::Bfloat16(values) => ScoreTensor::Floats(shape, values.into_iter().map(half::bf16::to_f32).collect()),
        Data::Bool(values) => ScoreTensor::Integers(shape, wide(values)),
        Data::Uint8(values) => ScoreTensor::Integers(shape, wide(values)),
        Data::Uint16(values) => ScoreTensor::Integers(shape, wide(values)),
        Data::Uint32(values) => ScoreTensor::Integers(shape, wide(values)),
        Data::Int8(values) => ScoreTensor::Integers(shape, wide(values)),
        Data::Int16(values) => ScoreTensor::Integers(shape, wide(values)),
        Data::Int32(values) => ScoreTensor::Integers(shape, wide(values)),
        Data::Int64(values) => ScoreTensor::Integers(shape, values),
        Data::Uint64(values) => {
            let values = values.into_iter().map(|value| i64::try_from(value).ok()).collect::<Option<Vec<_>>>()?;
            ScoreTensor::Integers(shape, values)
        }
        Data::String(values) => ScoreTensor::Strings(shape, values),
    })
}
