//! Nodes that feed each other.

mod build;
mod order;
mod run;
mod scope;

pub use build::{CONSTANT_LIMIT, NODE_LIMIT, UNKNOWN_LIMIT};
pub use scope::DEPTH_LIMIT;
pub(crate) use scope::{Scope, Subgraph};

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::attribute::Attributes;
use crate::error::{GraphError, RunError};
use crate::limits::{Budget, Limits};
use crate::operator::{External, Operator};
use crate::value::Value;

/// A node as a model has it. An empty name among the inputs is an optional one that is left out; one among the outputs is
/// not wanted.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Node {
    pub name: String,
    pub domain: String,
    pub op_type: String,
    pub inputs: Vec<String>,
    pub outputs: Vec<String>,
    pub attributes: Attributes,
}

/// What a graph is made of.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GraphSpec {
    /// Names of values that are given with each run. An initializer is none of them: older models name theirs among the
    /// inputs, too, and the caller leaves those out.
    pub inputs: Vec<String>,
    /// Names of the values that are wanted. What none of them needs is left out of the graph, known or not.
    pub outputs: Vec<String>,
    pub initializers: Vec<(String, Value)>,
    pub nodes: Vec<Node>,
    /// Domains that the model imports, with their versions. ONNX's own is the empty name or `ai.onnx`.
    pub opsets: Vec<(String, u32)>,
}

/// A graph that was checked and planned: which node comes when, which values are constant, where each value lies, and when
/// it is not needed any more.
#[derive(Debug)]
pub struct Graph {
    inputs: Vec<String>,
    outputs: Vec<String>,
    constants: Vec<Value>,
    steps: Vec<Step>,
    slots: usize,
    /// Where each input goes, if anybody needs it.
    input_slots: Vec<Option<usize>>,
    results: Vec<Place>,
    limits: Limits,
}

/// A node, as it is run.
#[derive(Debug)]
struct Step {
    /// In messages.
    name: String,
    operator: Operator,
    inputs: Vec<Place>,
    /// Slots of the outputs that are wanted.
    outputs: Vec<Option<usize>>,
    /// Slots that nobody needs behind this step and that it does not take itself.
    freed: Vec<usize>,
    /// Which outputs of the graph need it: a bit for each, see [`output_bit`].
    needed: u64,
}

/// The bit of an output of the graph; those behind the 64th are made always.
fn output_bit(at: usize) -> u64 {
    u32::try_from(at).ok().and_then(|at| 1_u64.checked_shl(at)).unwrap_or(u64::MAX)
}

/// Where a value lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Nowhere,
    Constant(usize),
    Slot(usize),
    /// In a slot, from which it is taken.
    Taken(usize),
    /// In the graph around this one.
    Outer(usize),
}

impl Graph {
    /// Checks nodes and plans their run. Nodes of constants alone are run now.
    ///
    /// # Errors
    /// [`GraphError`]: all operators that are not known at once; otherwise the first node that is wrong, and what is wrong
    /// with it.
    pub fn new(spec: GraphSpec, external: &dyn External, limits: Limits) -> Result<Self, GraphError> {
        build::build(spec, external, limits, None)
    }

    /// As [`Self::new`], but what is computed of constants ends soon after `stop` has become true.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn new_until(
        spec: GraphSpec,
        external: &dyn External,
        limits: Limits,
        stop: &Arc<AtomicBool>,
    ) -> Result<Self, GraphError> {
        build::build(spec, external, limits, Some(stop))
    }

    /// Runs all nodes. The inputs are in the order of [`Self::inputs`], the outputs in that of [`Self::outputs`].
    ///
    /// # Errors
    /// [`RunError`], with the node that failed: inputs that there is no answer for, or more than the limits allow.
    pub fn run(&self, inputs: Vec<Value>) -> Result<Vec<Value>, RunError> {
        run::run(self, inputs, u64::MAX, Budget::new(self.limits))
    }

    /// As [`Self::run`], but makes the outputs with these indices alone, and ends soon after `stop` has become true. The others
    /// are [`Value::Absent`].
    ///
    /// # Errors
    /// As [`Self::run`]; [`RunError::is_stopped`] if it was stopped.
    pub fn run_until(
        &self,
        inputs: Vec<Value>,
        wanted: &[usize],
        stop: Arc<AtomicBool>,
    ) -> Result<Vec<Value>, RunError> {
        let wanted = wanted.iter().fold(0, |bits, at| bits | output_bit(*at));
        run::run(self, inputs, wanted, Budget::new(self.limits).until(stop))
    }

    pub fn inputs(&self) -> &[String] {
        &self.inputs
    }

    pub fn outputs(&self) -> &[String] {
        &self.outputs
    }

    /// Nodes that are run each time.
    pub fn nodes(&self) -> usize {
        self.steps.len()
    }

    /// Bytes of the constants, without what operators keep for themselves.
    pub fn constant_bytes(&self) -> usize {
        self.constants.iter().map(Value::bytes).sum()
    }
}

#[cfg(test)]
mod tests;
