//! A run of a planned graph.

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

/// Steps that a node takes whatever it does, about a tenth of a microsecond: a loop of nodes of little work has an end, too.
const NODE_STEPS: usize = 128;

fn run_step(
    graph: &Graph,
    step: &Step,
    (slots, outer): (&mut [Value], &[&Value]),
    budget: &mut Budget,
) -> Result<(), OperatorError> {
    budget.work(NODE_STEPS)?;
    // Those that are taken first: the others are borrowed from where they lie.
    let (mut inputs, mut released) = (Inputs::empty(), 0);
    for place in &step.inputs {
        let Place::Taken(slot) = place else {
            inputs.push(Input::Borrowed(&Value::Absent));
            continue;
        };
        let value = slots.get_mut(*slot).map(std::mem::take).unwrap_or_default();
        released += value.bytes();
        inputs.push(Input::Owned(value));
    }
    for (place, input) in step.inputs.iter().zip(inputs.iter_mut()) {
        let value = match *place {
            Place::Nowhere | Place::Taken(_) => continue,
            Place::Constant(at) => graph.constants.get(at),
            Place::Slot(slot) => slots.get(slot),
            Place::Outer(at) => outer.get(at).copied(),
        };
        *input = Input::Borrowed(value.unwrap_or(&Value::Absent));
    }
    let mut made = step.operator.kernel().run(&mut inputs, budget)?;
    drop(inputs);
    for slot in &step.freed {
        if let Some(value) = slots.get_mut(*slot).map(std::mem::take) {
            released += value.bytes();
        }
    }
    budget.release(released);
    for (value, slot) in made.iter_mut().zip(&step.outputs) {
        if let Some(place) = slot.and_then(|slot| slots.get_mut(slot)) {
            budget.hold(value.bytes());
            // Not a swap: that moves words of 8 bytes, and the next step would wait for each of them.
            *place = std::mem::take(value);
        }
    }
    Ok(())
}
