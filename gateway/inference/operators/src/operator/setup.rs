//! What an operator is made of.

use super::registry::{self, Definition};
use crate::attribute::{Attributes, Reader};
use crate::error::BuildError;
use crate::graph::{Scope, Subgraph};
use crate::value::{Tensor, Value};

/// Where an input comes from.
#[derive(Debug, Clone, Copy)]
pub enum Source<'a> {
    /// It is optional, and is not there.
    Absent,
    /// It is known when the operator runs.
    Dynamic,
    /// It is the same in every run.
    Constant(&'a Value),
}

/// What a node says of itself, for those who make operators.
#[derive(Debug)]
pub struct Setup<'a> {
    domain: &'a str,
    op_type: &'a str,
    opset: u32,
    attributes: Reader<'a>,
    inputs: &'a [Source<'a>],
    outputs: &'a [bool],
    scope: Option<&'a Scope<'a>>,
}

impl<'a> Setup<'a> {
    pub fn new(
        domain: &'a str,
        op_type: &'a str,
        opset: u32,
        attributes: &'a Attributes,
        inputs: &'a [Source<'a>],
        outputs: &'a [bool],
    ) -> Result<Self, BuildError> {
        let domain = registry::canonical(domain);
        Ok(Self { domain, op_type, opset, attributes: Reader::new(attributes)?, inputs, outputs, scope: None })
    }

    /// In a graph, whose values graphs within the node can use.
    pub(crate) fn within(mut self, scope: &'a Scope<'a>) -> Self {
        self.scope = Some(scope);
        self
    }

    /// A graph within the node.
    pub(crate) fn subgraph(&self, name: &str) -> Result<Subgraph, BuildError> {
        let spec = Reader::required(name, self.attributes.graph(name)?)?;
        match self.scope {
            Some(scope) => scope.build(name, spec),
            None => Err(BuildError::Unsupported(format!("{} is only run within a graph", self.op_type))),
        }
    }

    /// Empty for ONNX's own.
    pub fn domain(&self) -> &str {
        self.domain
    }

    pub fn op_type(&self) -> &str {
        self.op_type
    }

    /// The version of the domain that the model imports.
    pub fn opset(&self) -> u32 {
        self.opset
    }

    pub fn attributes(&self) -> &Reader<'a> {
        &self.attributes
    }

    pub fn inputs(&self) -> &[Source<'a>] {
        self.inputs
    }

    /// Whether an input is there.
    pub fn has(&self, index: usize) -> bool {
        !matches!(self.inputs.get(index), None | Some(Source::Absent))
    }

    /// An input that is the same in every run.
    pub fn constant(&self, index: usize) -> Option<&'a Tensor> {
        match self.inputs.get(index) {
            Some(Source::Constant(value)) => value.tensor(),
            _ => None,
        }
    }

    /// Whether the operator may keep so many bytes beside its constant. They are counted then: many nodes can share one constant,
    /// and each would keep its own.
    pub(crate) fn may_keep(&self, bytes: usize) -> bool {
        self.scope.is_none_or(|scope| scope.keep(bytes))
    }

    /// Outputs that the node names, wanted or not.
    pub fn outputs(&self) -> usize {
        self.outputs.len()
    }

    /// Whether anybody needs an output.
    pub fn wants(&self, index: usize) -> bool {
        self.outputs.get(index).copied().unwrap_or(false)
    }

    pub(super) fn definition(&self) -> Result<&'static Definition, BuildError> {
        let found = registry::find(self.domain, self.op_type, self.opset);
        found.map_err(|since| BuildError::Unknown {
            domain: self.domain.to_owned(),
            op_type: self.op_type.to_owned(),
            opset: self.opset,
            since,
        })
    }
}
