//! Which backend runs the models.

use std::path::PathBuf;
use std::sync::Arc;

use super::{Backend, Embedded, LoadError, OnnxRuntime};
use crate::install;

/// What the configuration asks for: `[inference] runtime`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Runtime {
    #[default]
    Embedded,
    /// ONNX Runtime from this library; nothing else will do.
    Path(PathBuf),
    /// ONNX Runtime from this library, or from where `witgate model runtime install` puts one; else the embedded one.
    Auto(Option<PathBuf>),
}

/// A backend, and for [`Runtime::Auto`] why it is not ONNX Runtime.
#[derive(Debug, Clone)]
pub struct Choice {
    pub backend: Arc<dyn Backend>,
    /// For the log.
    pub fallback: Option<String>,
}

impl Runtime {
    /// Opens it. Blocks for some tens of milliseconds, the first time.
    ///
    /// # Errors
    /// What is configured cannot be loaded. Never for [`Self::Embedded`] and [`Self::Auto`].
    pub fn open(&self) -> Result<Choice, LoadError> {
        match self {
            Self::Embedded => Ok(Choice { backend: Arc::new(Embedded), fallback: None }),
            Self::Path(path) => Ok(Choice { backend: OnnxRuntime::open(path)?, fallback: None }),
            Self::Auto(path) => {
                let path = path.clone().or_else(install::installed);
                let opened = path.ok_or_else(|| {
                    let looked = install::data_directory().map_or_else(
                        || "and neither XDG_DATA_HOME nor HOME says where to look for one".to_owned(),
                        |folder| format!("there is none in `{}`", folder.display()),
                    );
                    LoadError::new(format!("no ONNX Runtime is installed: {looked}"), "`witgate model runtime install`")
                });
                match opened.and_then(|path| OnnxRuntime::open(&path)) {
                    Ok(backend) => Ok(Choice { backend, fallback: None }),
                    Err(LoadError { message, help }) => {
                        let fallback = format!("models run with the embedded runtime, since {message} ({help})");
                        Ok(Choice { backend: Arc::new(Embedded), fallback: Some(fallback) })
                    }
                }
            }
        }
    }
}
