//! The seam to what runs models.

mod choice;
mod embedded;
mod kept;
pub(crate) mod native;
mod onnx_runtime;

use std::fmt::Debug;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use witgate_code_cache::CodeCache;

use crate::{Metadata, Tensor};

pub use choice::{Choice, Runtime};
pub(crate) use embedded::DECLARES;
pub use embedded::Embedded;
pub use native::Native;
pub use onnx_runtime::OnnxRuntime;

/// Loads models.
pub trait Backend: Debug + Send + Sync {
    /// For logs, metrics and messages.
    fn name(&self) -> &'static str;

    /// Version of the library behind it.
    fn version(&self) -> String;

    /// Loads a model. Blocks, for tens of milliseconds to seconds.
    ///
    /// # Errors
    /// It cannot run this model, or takes too long.
    fn load(&self, model: &[u8], metadata: &Metadata, options: &SessionOptions) -> Result<Arc<dyn Graph>, LoadError>;
}

/// How a model is loaded, and its sessions run.
#[derive(Debug, Clone)]
pub struct SessionOptions {
    /// Threads that one run may use; at least 1.
    pub intra_op_threads: usize,
    /// The longest that loading may take, as far as the backend can tell while it loads; the longest that planning for shapes
    /// may take that come with a request.
    pub load_timeout: Duration,
    /// Where machine code is kept between runs, by those that make some; none: it is made at each load.
    pub code: Option<Arc<CodeCache>>,
}

/// A loaded model, of which sessions are made.
pub trait Graph: Debug + Send + Sync {
    /// # Errors
    /// The backend has no room for another.
    fn session(self: Arc<Self>) -> Result<Box<dyn Session>, LoadError>;
}

/// Runs a model, one run at a time.
pub trait Session: Send {
    /// Runs the model on inputs in the order of its signature, which have the types and ranks that it says; gives the
    /// outputs whose indices in the signature are in `outputs`, in that order. Blocks. A session that failed can be used again.
    ///
    /// # Errors
    /// The model cannot be run on these values, or the run was cancelled.
    fn run(&mut self, inputs: &[Tensor], outputs: &[usize], cancel: &Cancel) -> Result<Vec<Tensor>, RunError>;
}

/// Why a model cannot be loaded: for the operator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct LoadError {
    pub message: String,
    /// What to do about it.
    pub help: String,
}

impl LoadError {
    pub fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { message: message.into(), help: help.into() }
    }
}

/// Loading took longer than it may.
pub(crate) fn too_long(limit: Duration, help: &str) -> LoadError {
    LoadError::new(format!("loading it takes longer than {limit:?}"), help)
}

/// Why a run gave nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    #[error("the run was cancelled")]
    Cancelled,
    /// The values do not go with the model, in a way that its signature does not tell.
    #[error("the model cannot be run on these values: {0}")]
    Invalid(String),
    #[error("the run failed: {0}")]
    Failed(String),
}

/// Tells a run that nobody waits for it any more.
#[derive(Default)]
pub struct Cancel {
    cancelled: Arc<AtomicBool>,
    stop: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl Debug for Cancel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Cancel").field(&self.is_cancelled()).finish()
    }
}

impl Cancel {
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Acquire)
    }

    /// What becomes true when it is cancelled.
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.cancelled)
    }

    /// Cancels: stops the run if its backend has a way to.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Release);
        let stop = self.stop.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(stop) = stop {
            stop();
        }
    }

    /// For backends: what stops the run that begins now, or nothing once it has ended. Called at once if it is cancelled
    /// already.
    pub fn stop_with(&self, stop: Option<Box<dyn FnOnce() + Send>>) {
        *self.stop.lock().unwrap_or_else(PoisonError::into_inner) = stop;
        if self.is_cancelled() {
            self.cancel();
        }
    }
}
