//! What serves models to those who ask for them: the model server's protocols, stages and plugins.

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use crate::{Metadata, Model, Tensor};

pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// One version of a model, as it can be asked for.
#[derive(Debug, Clone)]
pub struct ModelVersion {
    pub name: String,
    /// Counts from 1 for each name.
    pub version: u64,
    pub metadata: Arc<Metadata>,
    /// SHA-256 of the file.
    pub digest: [u8; 32],
    /// As configured or asked for.
    pub path: String,
    pub loaded_at: SystemTime,
    /// Bytes, roughly: the file's weights, times the sessions that have copies of them.
    pub memory_estimate: u64,
    /// [`crate::Backend::name`].
    pub backend: &'static str,
    /// Most rows of one request.
    pub batch_limit: usize,
    /// What runs it, which lives for as long as anybody holds this; none: it is only described.
    pub model: Option<Arc<Model>>,
}

/// A model by name, with everything that can be said of it.
#[derive(Debug, Clone)]
pub struct ModelStatus {
    pub name: String,
    /// Oldest first.
    pub versions: Vec<Arc<ModelVersion>>,
    /// Other names for versions, such as `latest`.
    pub aliases: Vec<(String, u64)>,
}

/// There is no such model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FindError {
    #[error("no model `{0}`")]
    NoModel(String),
    #[error("model `{name}` has no version `{version}`; it has {present}")]
    NoVersion { name: String, version: String, present: String },
}

/// Why a run gave nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InferError {
    /// The queue is full, or the wait in it too long.
    #[error("the model is busy")]
    Overloaded,
    #[error("the deadline has passed")]
    Deadline,
    /// The values do not go with the model: whoever sent them can mend that.
    #[error("{0}")]
    Invalid(String),
    /// The model failed: the message is for the log.
    #[error("{0}")]
    Failed(String),
}

/// Why a model was not loaded or unloaded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManageError {
    /// Models are not managed over this route.
    #[error("models cannot be loaded or unloaded here")]
    NotAllowed,
    #[error("{0}")]
    Unknown(#[from] FindError),
    /// What was asked for cannot be done; says why and what to do.
    #[error("{0}")]
    Refused(String),
}

/// Finds models and runs them.
pub trait ModelService: Debug + Send + Sync {
    /// By name.
    fn list(&self) -> Vec<ModelStatus>;

    /// A version of a model: a number or an alias; none: the latest.
    ///
    /// # Errors
    /// There is none.
    fn find(&self, name: &str, version: Option<&str>) -> Result<Arc<ModelVersion>, FindError>;

    /// Runs a model on inputs that were checked against its signature, in its order; gives the outputs with these indices, in
    /// this order. Dropping the future cancels.
    fn infer<'a>(
        &'a self,
        model: &'a ModelVersion,
        inputs: Vec<Tensor>,
        outputs: &'a [usize],
        deadline: Option<Instant>,
    ) -> BoxFuture<'a, Result<Vec<Tensor>, InferError>>;

    /// Loads a file below the model roots as the next version of a model.
    fn load<'a>(&'a self, name: &'a str, path: &'a str) -> BoxFuture<'a, Result<Arc<ModelVersion>, ManageError>>;

    /// Unloads all versions of a model, or one.
    fn unload<'a>(&'a self, name: &'a str, version: Option<&'a str>) -> BoxFuture<'a, Result<(), ManageError>>;
}
