//! ONNX models at the edge: loads them, runs them on threads of their own, serves them over HTTP, and scores requests.
//!
//! What runs a model is a [`Backend`]: one in pure Rust that is always there, and ONNX Runtime where the operator has
//! installed it. Everything else in this crate knows models by their [`Signature`] and values as [`Tensor`]s.

pub mod backend;
mod batch;
mod catalogue;
mod executor;
pub mod features;
mod hex;
mod inference;
mod inspect;
pub mod install;
mod layout;
mod model;
mod onnx;
mod parity;
pub mod protocol;
mod queue;
mod repository;
mod roots;
pub mod samples;
mod score;
mod service;
mod signature;
mod stage;
mod stats;
mod tensor;
mod trial;
pub mod validate;
mod verify;

pub use backend::{Backend, Cancel, Choice, Graph, LoadError, RunError, Runtime, Session, SessionOptions};
pub use catalogue::Catalogue;
pub use executor::Executor;
pub use hex::hex;
pub use inference::{Inference, ModelSpec};
pub use inspect::{Inspected, inspect};
pub use model::{Batching, Model, ModelOptions, RunOn};
pub use parity::Parity;
pub use repository::{Control, Repository};
pub use roots::{FILE_LIMIT, Roots};
pub use score::{Chosen, Element, Wanted};
pub use service::{BoxFuture, FindError, InferError, ManageError, ModelService, ModelStatus, ModelVersion};
pub use signature::{CarriedSamples, Classes, Dimension, Metadata, NativeFormat, Signature, TensorInfo};
pub use stage::{ClientRates, Level, ScoreStage, StageMistake, StageSpec, Threshold, When};
pub use stats::{Histogram, HistogramReading, ModelStats, RunOutcome, SCORE_BINS, ScoreReading, population_stability};
pub use tensor::{Data, DataType, Tensor, TensorError};
pub use verify::{Verified, verify};
