//! Why a command has no report.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

use serde_json::{Value, json};
use witgate_config::Diagnostic;
use witgate_plugin_host::{HostError, LoadError};

/// The command could not do what it is for. What it was asked to find out (a failing case, a configuration that does not
/// fit) is no error but in its report.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    #[error("{what} {path:?} cannot be read: {source}; expected the path of a file")]
    Read { what: &'static str, path: PathBuf, source: io::Error },
    #[error("{path:?} cannot be written: {source}")]
    Write { path: PathBuf, source: io::Error },
    #[error("the plugin host does not start: {0}")]
    Host(#[from] HostError),
    #[error("a place for temporary files cannot be had: {0}")]
    Temporary(io::Error),
    #[error("{path}: {source}", path = path.display())]
    Plugin { path: PathBuf, source: LoadError },
    #[error("{}", diagnostic.render(Some(text)))]
    Cases { diagnostic: Box<Diagnostic>, text: String },
    #[error("`{command}` in {folder} failed ({status})", folder = folder.display())]
    Build { command: String, folder: PathBuf, status: ExitStatus, output: String },
    #[error("a replay cannot go on: {0}")]
    Replay(io::Error),
    #[error("{0}")]
    Usage(String),
}

impl CommandError {
    /// For tools: `ok` (false) and `error`; of a mistake in a cases file `diagnostics` besides, as `witgate check` has
    /// them, and of a build that failed `output`.
    pub fn to_json(&self) -> Value {
        match self {
            Self::Cases { diagnostic, .. } => {
                json!({ "ok": false, "error": diagnostic.message, "diagnostics": [diagnostic.to_json()] })
            }
            Self::Build { output, .. } => json!({ "ok": false, "error": self.to_string(), "output": output }),
            other => json!({ "ok": false, "error": other.to_string() }),
        }
    }
}
