//! A graph, run for each slice of tensors.

use super::stack::Stack;
use crate::error::{BuildError, OperatorError};
use crate::graph::Subgraph;
use crate::limits::Budget;
use crate::operator::{Inputs, Kernel, Outputs, Setup, ready};
use crate::shape::Shape;
use crate::value::{Tensor, Value, alike};
use crate::view::View;

/// A tensor that is walked along or collected.
#[derive(Debug, Clone, Copy)]
struct Walk {
    axis: i64,
    is_backward: bool,
}

#[derive(Debug)]
struct Scan {
    body: Subgraph,
    states: usize,
    walked: Vec<Walk>,
    collected: Vec<(Walk, bool)>,
}

/// Axes and directions of so many tensors.
fn walks(setup: &Setup<'_>, axes: &str, directions: &str, count: usize) -> Result<Vec<Walk>, BuildError> {
    let list = |name: &str| {
        let list = setup.attributes().ints(name)?.map_or_else(|| vec![0; count], <[i64]>::to_vec);
        if list.len() == count {
            return Ok(list);
        }
        Err(BuildError::attribute(name, format!("expected {count} numbers, got {}", list.len())))
    };
    let (axes, backward) = (list(axes)?, list(directions)?);
    if let Some(other) = backward.iter().find(|direction| !(0..=1).contains(*direction)) {
        return Err(BuildError::attribute(directions, format!("expected 0 or 1, got {other}")));
    }
    Ok(axes.into_iter().zip(backward).map(|(axis, backward)| Walk { axis, is_backward: backward == 1 }).collect())
}

pub(super) fn build(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    let (inputs, outputs) = (setup.inputs().len(), setup.outputs());
    let told = setup.attributes().int("num_scan_inputs")?.and_then(|count| usize::try_from(count).ok());
    let count = told.filter(|count| (1..=inputs).contains(count)).ok_or_else(|| {
        BuildError::attribute("num_scan_inputs", format!("expected a number from 1 to the {inputs} inputs"))
    })?;
    let states = inputs - count;
    let made = outputs.checked_sub(states);
    let made =
        made.ok_or(BuildError::Count { what: "outputs", expected: format!("at least {states}"), got: outputs })?;
    let body = setup.subgraph("body")?;
    if (body.inputs(), body.outputs()) != (inputs, outputs) {
        let (got, and) = (body.inputs(), body.outputs());
        let problem = format!("expected a graph of {inputs} inputs and {outputs} outputs, got {got} and {and}");
        return Err(BuildError::attribute("body", problem));
    }
    let walked = walks(setup, "scan_input_axes", "scan_input_directions", count)?;
    let collected = walks(setup, "scan_output_axes", "scan_output_directions", made)?;
    let wanted = (states..outputs).map(|index| setup.wants(index));
    ready(Scan { body, states, walked, collected: collected.into_iter().zip(wanted).collect() })
}

/// One place of an axis, without the axis.
fn slice(tensor: &Tensor, axis: usize, at: usize) -> Result<Tensor, OperatorError> {
    let shape = tensor.shape();
    let kept = || (0..shape.rank()).filter(|other| *other != axis);
    let made = Shape::of(kept().map(|axis| shape.dimension(axis)))?;
    let mut view = View::of(shape);
    view.slice(axis, at, 1, 1);
    let view = view.permute(kept());
    Ok(Tensor::of_data(made, alike!(tensor.data(), elements => view.copy(elements))))
}

impl Scan {
    /// The axis of each tensor that is walked along, and how many turns there are.
    fn turns(&self, inputs: &Inputs<'_>) -> Result<(Vec<usize>, usize), OperatorError> {
        let (mut axes, mut turns) = (Vec::with_capacity(self.walked.len()), None);
        for (at, walk) in self.walked.iter().enumerate() {
            let index = self.states + at;
            let shape = inputs.tensor(index)?.shape();
            let axis = shape.axis(walk.axis).ok_or_else(|| OperatorError::axis(walk.axis, shape))?;
            let size = shape.dimension(axis);
            if *turns.get_or_insert(size) != size {
                let expected = format!("{} places along axis {axis}, as the first", turns.unwrap_or_default());
                return Err(inputs.unexpected(index, &expected));
            }
            axes.push(axis);
        }
        Ok((axes, turns.unwrap_or_default()))
    }
}

impl Kernel for Scan {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let (axes, turns) = self.turns(inputs)?;
        let mut states: Vec<Value> = (0..self.states).map(|index| inputs.take(index)).collect();
        let mut stacks: Vec<Stack> = self.collected.iter().map(|_| Stack::default()).collect();
        let held = budget.held();
        for turn in 0..turns {
            let mut own = std::mem::take(&mut states);
            for (at, (walk, axis)) in self.walked.iter().zip(&axes).enumerate() {
                let tensor = inputs.tensor(self.states + at)?;
                budget.elements(tensor.shape().elements() / turns, tensor.data_type().size())?;
                let place = if walk.is_backward { turns - 1 - turn } else { turn };
                own.push(Value::Tensor(slice(tensor, *axis, place)?));
            }
            let mut made = self.body.run(own, inputs, budget)?.into_iter();
            states.extend(made.by_ref().take(self.states));
            for ((stack, value), (_, is_wanted)) in stacks.iter_mut().zip(made).zip(&self.collected) {
                if *is_wanted {
                    stack.push(value, budget)?;
                }
            }
        }
        let mut outputs: Outputs = states.into_iter().collect();
        for (stack, (walk, is_wanted)) in stacks.into_iter().zip(&self.collected) {
            outputs.push(match is_wanted {
                true => Value::Tensor(stack.joined(walk.axis, walk.is_backward, budget)?),
                false => Value::Absent,
            });
        }
        budget.release(budget.held().saturating_sub(held));
        Ok(outputs)
    }
}
