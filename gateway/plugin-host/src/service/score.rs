//! Models that plugins ask.

use std::future::Future;
use std::pin::Pin;

/// Shape and values, the last dimension varying fastest.
#[derive(Debug, Clone, PartialEq)]
pub enum ScoreTensor {
    Floats(Vec<u32>, Vec<f32>),
    Integers(Vec<u32>, Vec<i64>),
    Strings(Vec<u32>, Vec<String>),
}

/// Why a model gave no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScoreError {
    /// The values do not go with the model.
    Invalid,
    Timeout,
    /// Too many ask, or the model failed.
    Unavailable,
}

/// What a model gives: outputs by name.
pub type Scores = Vec<(String, ScoreTensor)>;

/// A running call: dropping it gives it up.
pub type ScoreFuture = Pin<Box<dyn Future<Output = Result<Scores, ScoreError>> + Send>>;

/// A model that plugins may be granted.
pub trait ScoreTarget: std::fmt::Debug + Send + Sync {
    /// Equal for targets that can take each other's place.
    fn identity(&self) -> Vec<u8>;

    /// Runs the model on named inputs.
    fn score(&self, inputs: Vec<(String, ScoreTensor)>) -> ScoreFuture;
}
