//! What `prepare.py` has made, as it lists it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::Failed;

#[derive(Deserialize)]
pub struct Manifest {
    pub versions: BTreeMap<String, String>,
    pub libraries: Libraries,
    pub rows: RowsFile,
    pub trees: Vec<Trees>,
    pub dense: Vec<Dense>,
}

/// Shared libraries, as the packages have them.
#[derive(Deserialize)]
pub struct Libraries {
    pub lightgbm: PathBuf,
    pub xgboost: PathBuf,
    pub onnxruntime: PathBuf,
}

/// Elements of 32 bits as they are in memory, row by row.
#[derive(Deserialize)]
pub struct RowsFile {
    pub file: PathBuf,
    pub count: usize,
    pub width: usize,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Library {
    LightGbm,
    XgBoost,
}

/// A model of trees: the library's own file, and what was made of it.
#[derive(Deserialize)]
pub struct Trees {
    pub library: Library,
    pub trees: usize,
    pub file: PathBuf,
    pub onnx: PathBuf,
    /// The output of the graph that has the probabilities of both classes.
    pub probabilities: String,
    /// Made machine code by others, by their names.
    pub compiled: BTreeMap<String, Compiled>,
}

#[derive(Deserialize)]
pub struct Compiled {
    pub file: PathBuf,
    /// Processor time of compiling.
    pub seconds: f64,
}

/// A model without trees: one input `x`, one output `y`.
#[derive(Deserialize)]
pub struct Dense {
    pub name: String,
    pub onnx: PathBuf,
    /// Elements of the input are whole numbers.
    pub integers: bool,
    pub rows: RowsFile,
}

impl Manifest {
    pub fn read(path: &Path) -> Result<Self, Failed> {
        let bytes = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(serde_json::from_slice(&bytes)?)
    }
}
