//! What can be wrong with a model file.

use std::fmt;

use witgate_trees::{CompileError, EnsembleError, PredictError};

use crate::Format;

/// Why a file makes no model. The text says where, what, and what to do.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum NativeError {
    /// It is no file of these libraries, or not one that holds a model that can be run. With advice if it is known what it is.
    #[error("this is no model file of LightGBM (text), XGBoost (JSON, UBJ) or CatBoost (JSON){advice}")]
    Unknown { advice: Advice },
    #[error("the file has {count} {what}, and at most {limit} are taken")]
    TooMany { what: &'static str, count: usize, limit: usize },
    /// It cannot be read as what it begins like.
    #[error("{format}, {place}: {problem}")]
    Malformed { format: Format, place: Place, problem: String },
    /// It can be read, and means something that is not run here.
    #[error("{format}: {what} is not supported{advice}")]
    Unsupported { format: Format, what: String, advice: Advice },
    /// Its trees are none.
    #[error("{format}: {source}")]
    Trees {
        format: Format,
        #[source]
        source: EnsembleError,
    },
}

/// Where something is in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// From 1, for text of several lines.
    pub line: Option<usize>,
    /// In bytes, from 0.
    pub offset: usize,
    /// The way through objects and arrays, or the tree and the key. May be empty.
    pub path: String,
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(formatter, "line {line}")?,
            None => write!(formatter, "byte {}", self.offset)?,
        }
        if !self.path.is_empty() {
            write!(formatter, ", {}", self.path)?;
        }
        Ok(())
    }
}

/// What to do about it. May be empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Advice(pub &'static str);

impl fmt::Display for Advice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(formatter, ": {}", self.0) }
    }
}

/// Why a model was not compiled.
#[derive(Debug, thiserror::Error)]
#[error("the model cannot be compiled: {0}")]
pub struct CompileNativeError(#[from] pub CompileError);

/// Why rows were not scored.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PredictNativeError {
    /// The sizes do not go together, or the rows are not what was promised when the model was compiled.
    #[error(transparent)]
    Rows(#[from] PredictError),
    #[error("some columns hold hashes of categories, which are whole numbers of 32 bits: give rows of f64")]
    Hashes,
}

/// A text of a file as it may stand in a message: not too long, and printable.
pub(crate) fn shown(text: &str) -> String {
    const MOST: usize = 60;
    let mut shown: String = text.chars().take(MOST).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if text.chars().nth(MOST).is_some() {
        shown.push('…');
    }
    shown
}
