//! What a model takes and gives.

use std::collections::{BTreeMap, BTreeSet};

use crate::backend::native;
use crate::{DataType, LoadError, onnx};

/// One dimension of a declared shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dimension {
    Fixed(usize),
    /// Any size, the same wherever the name stands.
    Named(String),
    Any,
}

/// A declared input or output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    pub name: String,
    pub data_type: DataType,
    /// Outermost dimension first; none: of any rank.
    pub shape: Option<Vec<Dimension>>,
}

impl TensorInfo {
    /// Whether its first dimension can have any size.
    fn has_rows(&self) -> bool {
        let first = self.shape.as_ref().and_then(|shape| shape.first());
        matches!(first, Some(Dimension::Named(_) | Dimension::Any))
    }
}

impl std::fmt::Display for TensorInfo {
    /// `name FP32 [batch, 64]`
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}` {} ", self.name, self.data_type.label())?;
        match &self.shape {
            Some(shape) => f.write_str(&dimensions(shape)),
            None => f.write_str("of any shape"),
        }
    }
}

/// `[batch, 64]`
pub(crate) fn dimensions(shape: &[Dimension]) -> String {
    let sizes = shape.iter().map(|dimension| match dimension {
        Dimension::Fixed(size) => size.to_string(),
        Dimension::Named(name) => name.clone(),
        Dimension::Any => "?".to_owned(),
    });
    format!("[{}]", sizes.collect::<Vec<_>>().join(", "))
}

/// What a model takes and gives, in the order of its graph.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Signature {
    /// Those without a default value in the model.
    pub inputs: Vec<TensorInfo>,
    pub outputs: Vec<TensorInfo>,
}

impl Signature {
    /// Indices of all outputs.
    pub fn all_outputs(&self) -> Vec<usize> {
        (0..self.outputs.len()).collect()
    }

    /// Whether the first dimension of everything that goes in and comes out can have any size: then rows of several
    /// requests can be run as one batch.
    pub fn has_batch_axis(&self) -> bool {
        self.has_rows() && self.outputs.iter().all(TensorInfo::has_rows)
    }

    /// Whether the first dimension of everything that goes in and of something that comes out can have any size: then it counts
    /// the rows of a request.
    pub fn has_rows(&self) -> bool {
        let (inputs, outputs) = (&self.inputs, &self.outputs);
        !inputs.is_empty() && inputs.iter().all(TensorInfo::has_rows) && outputs.iter().any(TensorInfo::has_rows)
    }
}

/// What a model's file says about it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metadata {
    pub signature: Signature,
    pub ir_version: i64,
    /// Version of each operator set; the default one has the empty name.
    pub opsets: BTreeMap<String, i64>,
    /// Operators of the graph and of the graphs in it, as `domain::Type`, or `Type` in the default domain.
    pub operators: Vec<String>,
    pub producer: String,
    pub producer_version: String,
    pub graph: String,
    pub description: String,
    /// Classes that the columns of an output stand for, in their order, by the output's name: of those that the graph tells.
    pub classes: BTreeMap<String, Classes>,
    /// Outputs that the file has as maps from classes to numbers, and that come out as tensors: the numbers of a row in the order
    /// of the classes.
    pub maps: BTreeSet<String>,
    /// Samples that the file carries.
    pub samples: Option<CarriedSamples>,
    /// Of a file that is not ONNX.
    pub native: Option<NativeFormat>,
}

impl Metadata {
    /// Reads what a file says about the model in it.
    ///
    /// # Errors
    /// It is neither an ONNX model nor a file of LightGBM, XGBoost or CatBoost; it is damaged; it means something that is not run
    /// here, or takes or gives what models cannot be served with.
    pub fn read(model: &[u8]) -> Result<Self, LoadError> {
        if native::is_native(model) {
            return native::metadata(model);
        }
        onnx::metadata(model).map_err(|error| match native::unknown(model) {
            Some(advice) => LoadError { help: advice.to_owned(), ..error },
            None => error,
        })
    }
}

/// A file of the library that trained the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NativeFormat {
    /// `LightGBM's text`
    pub format: String,
    /// What it was trained for, in the library's words; may be empty.
    pub objective: String,
    /// None for linear models.
    pub trees: usize,
    /// Names of all columns in their order, if the file has them.
    pub names: Option<Vec<String>>,
}

/// Rows and scores in a model's file, which it has to meet wherever it is loaded: its metadata `witgate.samples` and
/// `witgate.tolerance`.
#[derive(Debug, Clone, PartialEq)]
pub struct CarriedSamples {
    /// CSV, see [`samples`](crate::samples).
    pub text: String,
    pub tolerance: f64,
}

/// Classes that a classifier knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Classes {
    Numbers(Vec<i64>),
    Names(Vec<String>),
}

impl Classes {
    pub fn len(&self) -> usize {
        match self {
            Self::Numbers(numbers) => numbers.len(),
            Self::Names(names) => names.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// As texts.
    pub fn labels(&self) -> Vec<String> {
        match self {
            Self::Numbers(numbers) => numbers.iter().map(ToString::to_string).collect(),
            Self::Names(names) => names.clone(),
        }
    }

    /// Whether the last of two classes is the yes of a question: 0 and 1, or -1 and 1. Names are in the order of the alphabet,
    /// which says nothing of what they mean.
    pub fn is_yes_or_no(&self) -> bool {
        matches!(self.labels().iter().map(String::as_str).collect::<Vec<_>>()[..], ["0" | "-1", "1"])
    }
}
