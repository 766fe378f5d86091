//! What a model takes and gives.

use std::collections::BTreeMap;

use crate::DataType;

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
        let leads = |info: &TensorInfo| {
            let first = info.shape.as_ref().and_then(|shape| shape.first());
            matches!(first, Some(Dimension::Named(_) | Dimension::Any))
        };
        !self.inputs.is_empty() && self.inputs.iter().all(leads) && self.outputs.iter().all(leads)
    }
}

/// What a model's file says about it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
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
}
