//! One graph or another.

use crate::error::{BuildError, OperatorError};
use crate::graph::Subgraph;
use crate::limits::Budget;
use crate::operator::{Inputs, Kernel, Outputs, Setup, ready};
use crate::value::Value;

#[derive(Debug)]
struct If {
    yes: Subgraph,
    no: Subgraph,
}

pub(super) fn build(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    let branch = |name: &str| {
        let graph = setup.subgraph(name)?;
        let (inputs, outputs) = (graph.inputs(), graph.outputs());
        if inputs != 0 {
            return Err(BuildError::attribute(name, format!("expected a graph without inputs, got {inputs}")));
        }
        if outputs != setup.outputs() {
            let expected = setup.outputs();
            return Err(BuildError::attribute(name, format!("expected a graph of {expected} outputs, got {outputs}")));
        }
        Ok(graph)
    };
    ready(If { yes: branch("then_branch")?, no: branch("else_branch")? })
}

/// The one truth value of an input.
pub(super) fn truth(value: &Value, index: usize) -> Result<bool, OperatorError> {
    match value.tensor().and_then(|tensor| tensor.elements::<bool>()) {
        Some([truth]) => Ok(*truth),
        _ => Err(OperatorError::input(index, "one BOOL", value)),
    }
}

impl Kernel for If {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let branch = if truth(inputs.value(0), 0)? { &self.yes } else { &self.no };
        Ok(branch.run(Vec::new(), inputs, budget)?.into_iter().collect())
    }
}
