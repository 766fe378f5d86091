//! A run of a planned graph.

use smallvec::SmallVec;

use super::{Graph, Place, Step, output_bit};
use crate::error::{OperatorError, RunError};
use crate::limits::Budget;
use crate::operator::{Input, Inputs};
use crate::value::Value;

pub(super) fn run(graph: &Graph, inputs: Vec<Value>, wanted: u64, mut budget: Budget) -> Result<Vec<Value>, RunError> {
    run_within(graph, (inputs, &[]), wanted, &mut budget)
}

/// Runs a graph that may need values of the graph around it. What the run holds at its end is for the caller to release.
pub(super) fn run_within(
    graph: &Graph,
    (inputs, outer): (Vec<Value>, &[&Value]),
    wanted: u64,
    budget: &mut Budget,
) -> Result<Vec<Value>, RunError> {
    if inputs.len() != graph.inputs.len() {
        return Err(RunError::Inputs { expected: graph.inputs.len(), got: inputs.len() });
    }
    let mut slots: Vec<Value> = Vec::new();
    slots.resize_with(graph.slots, Value::default);
    for (value, slot) in inputs.into_iter().zip(&graph.input_slots) {
        if let Some(place) = slot.and_then(|slot| slots.get_mut(slot)) {
            let bytes = value.bytes();
            budget.bytes(bytes).map_err(RunError::Limit)?;
            budget.hold(bytes);
            *place = value;
        }
    }
    // What a step that is left out would have taken stays where it is until the end.
    for step in graph.steps.iter().filter(|step| step.needed & wanted != 0) {
        run_step(graph, step, (&mut slots, outer), budget)
            .map_err(|problem| RunError::Node { node: step.name.clone(), problem })?;
    }
    let mut result = |place: &Place| match *place {
        Place::Nowhere => Value::Absent,
        Place::Constant(at) => graph.constants.get(at).cloned().unwrap_or_default(),
        Place::Slot(slot) => slots.get(slot).cloned().unwrap_or_default(),
        Place::Taken(slot) => slots.get_mut(slot).map(std::mem::take).unwrap_or_default(),
        Place::Outer(at) => outer.get(at).map(|value| (*value).clone()).unwrap_or_default(),
    };
    let results = graph.results.iter().enumerate();
    Ok(results.map(|(at, place)| if output_bit(at) & wanted == 0 { Value::Absent } else { result(place) }).collect())
}

fn run_step(
    graph: &Graph,
    step: &Step,
    (slots, outer): (&mut [Value], &[&Value]),
    budget: &mut Budget,
) -> Result<(), OperatorError> {
    // Those that are taken first: the others are borrowed from where they lie.
    let mut taken: SmallVec<[Value; 3]> = SmallVec::new();
    let mut released = 0;
    for place in &step.inputs {
        if let Place::Taken(slot) = place {
            let value = slots.get_mut(*slot).map(std::mem::take).unwrap_or_default();
            released += value.bytes();
            taken.push(value);
        }
    }
    let mut taken = taken.into_iter();
    let mut inputs: SmallVec<[Input<'_>; 3]> = SmallVec::with_capacity(step.inputs.len());
    for place in &step.inputs {
        inputs.push(match *place {
            Place::Nowhere => Input::Borrowed(&Value::Absent),
            Place::Constant(at) => Input::Borrowed(graph.constants.get(at).unwrap_or(&Value::Absent)),
            Place::Slot(slot) => Input::Borrowed(slots.get(slot).unwrap_or(&Value::Absent)),
            Place::Taken(_) => Input::Owned(taken.next().unwrap_or_default()),
            Place::Outer(at) => Input::Borrowed(outer.get(at).copied().unwrap_or(&Value::Absent)),
        });
    }
    let made = step.operator.kernel().run(&mut Inputs::new(inputs), budget)?;
    for slot in &step.freed {
        if let Some(value) = slots.get_mut(*slot).map(std::mem::take) {
            released += value.bytes();
        }
    }
    budget.release(released);
    for (value, slot) in made.into_iter().zip(&step.outputs) {
        if let Some(place) = slot.and_then(|slot| slots.get_mut(slot)) {
            budget.hold(value.bytes());
            *place = value;
        }
    }
    Ok(())
}
