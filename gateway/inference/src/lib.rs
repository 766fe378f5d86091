//! ONNX models at the edge: loads them, runs them on threads of their own, serves them over HTTP, and scores requests.
//!
//! What runs a model is a [`Backend`]: one in pure Rust that is always there, and ONNX Runtime where the operator has
//! installed it. Everything else in this crate knows models by their [`Signature`] and values as [`Tensor`]s.

pub mod backend;
mod service;
mod signature;
mod tensor;

pub use backend::{Backend, Cancel, Graph, LoadError, RunError, Session, SessionOptions};
pub use service::{BoxFuture, FindError, InferError, ManageError, ModelService, ModelStatus, ModelVersion};
pub use signature::{Dimension, Metadata, Signature, TensorInfo};
pub use tensor::{Data, DataType, Tensor, TensorError};
