//! A graph, run again and again.

use super::choice::truth;
use super::stack::Stack;
use crate::error::{BuildError, OperatorError};
use crate::graph::Subgraph;
use crate::limits::Budget;
use crate::operator::{Inputs, Kernel, Outputs, Setup, ready};
use crate::value::{Tensor, Value};

#[derive(Debug)]
struct Loop {
    body: Subgraph,
    /// Values that a turn hands to the next.
    carried: usize,
    /// Whether each output that is collected is wanted.
    collected: Vec<bool>,
}

/// A body that has as many inputs and outputs as it should.
fn body(setup: &Setup<'_>, inputs: usize, outputs: usize) -> Result<Subgraph, BuildError> {
    let body = setup.subgraph("body")?;
    let got = (body.inputs(), body.outputs());
    if got == (inputs, outputs) {
        return Ok(body);
    }
    let problem = format!("expected a graph of {inputs} inputs and {outputs} outputs, got {} and {}", got.0, got.1);
    Err(BuildError::attribute("body", problem))
}

pub(super) fn build(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    let carried = setup.inputs().len().saturating_sub(2);
    let collected: Vec<bool> = (carried..setup.outputs()).map(|index| setup.wants(index)).collect();
    let body = body(setup, carried + 2, 1 + carried + collected.len())?;
    ready(Loop { body, carried, collected })
}

impl Kernel for Loop {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let turns = inputs.optional(0)?.map(|_| inputs.integer(0)).transpose()?;
        // A condition that is not there is not asked for in later turns, either.
        let asks = *inputs.value(1) != Value::Absent;
        let mut goes_on = !asks || truth(inputs.value(1), 1)?;
        let mut carried: Vec<Value> = (0..self.carried).map(|index| inputs.take(index + 2)).collect();
        let mut stacks: Vec<Stack> = self.collected.iter().map(|_| Stack::default()).collect();
        let held = budget.held();
        let mut turn = 0_i64;
        while goes_on && turns.is_none_or(|turns| turn < turns) {
            let mut own = Vec::with_capacity(self.carried + 2);
            own.push(Value::Tensor(Tensor::scalar(turn)));
            own.push(Value::Tensor(Tensor::scalar(goes_on)));
            own.append(&mut carried);
            let mut made = self.body.run(own, inputs, budget)?.into_iter();
            let condition = made.next().unwrap_or_default();
            if asks {
                goes_on = truth(&condition, 0)?;
            }
            carried.extend(made.by_ref().take(self.carried));
            for ((stack, value), is_wanted) in stacks.iter_mut().zip(made).zip(&self.collected) {
                if *is_wanted {
                    stack.push(value, budget)?;
                }
            }
            turn = turn.saturating_add(1);
        }
        let mut outputs: Outputs = carried.into_iter().collect();
        for (stack, is_wanted) in stacks.into_iter().zip(&self.collected) {
            outputs.push(if *is_wanted { Value::Tensor(stack.joined(0, false, budget)?) } else { Value::Absent });
        }
        budget.release(budget.held().saturating_sub(held));
        Ok(outputs)
    }
}

/// A graph for each value of a sequence.
#[derive(Debug)]
struct Map {
    body: Subgraph,
    inputs: usize,
    outputs: usize,
}

pub(super) fn build_map(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    let (inputs, outputs) = (setup.inputs().len(), setup.outputs());
    ready(Map { body: body(setup, inputs, outputs)?, inputs, outputs })
}

impl Kernel for Map {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let Value::Sequence(first) = inputs.value(0) else { return Err(inputs.unexpected(0, "a sequence")) };
        let count = first.len();
        let differs = |index: &usize| matches!(inputs.value(*index), Value::Sequence(values) if values.len() != count);
        if let Some(index) = (1..self.inputs).find(differs) {
            return Err(inputs.unexpected(index, &format!("a sequence of {count}, as the first, or a tensor")));
        }
        let held = budget.held();
        let mut made: Vec<Vec<Value>> = vec![Vec::new(); self.outputs];
        for at in 0..count {
            let own = (0..self.inputs).map(|index| match inputs.value(index) {
                Value::Sequence(values) => values.get(at).cloned().unwrap_or_default(),
                other => other.clone(),
            });
            let values = self.body.run(own.collect(), inputs, budget)?;
            for (all, value) in made.iter_mut().zip(values) {
                budget.bytes(value.bytes())?;
                budget.hold(value.bytes());
                all.push(value);
            }
        }
        budget.release(budget.held().saturating_sub(held));
        Ok(made.into_iter().map(Value::Sequence).collect())
    }
}
