//! Sizes and numbers of a recurrent layer, and where its outputs lie.

use super::cell::Cell;
use super::layer::Layer;
use crate::elementwise::convert;
use crate::error::OperatorError;
use crate::limits::Budget;
use crate::operator::Inputs;
use crate::shape::Shape;
use crate::value::{Data, DataType, Value};

#[derive(Debug, Clone, Copy)]
pub(super) struct Sides {
    pub steps: usize,
    pub batch: usize,
    pub size: usize,
    pub hidden: usize,
    pub directions: usize,
}

impl Sides {
    pub fn of(layer: &Layer, inputs: &Inputs<'_>) -> Result<Self, OperatorError> {
        let (input, weights) = (inputs.tensor(0)?, inputs.tensor(1)?);
        let (directions, gates) = (layer.directions.len(), layer.cell.gates());
        let (steps, batch, size) = match input.shape().dimensions() {
            [batch, steps, size] if layer.is_batch_first => (*steps, *batch, *size),
            [steps, batch, size] => (*steps, *batch, *size),
            _ => return Err(inputs.unexpected(0, "sequences of three dimensions")),
        };
        let hidden = weights.shape().dimension(1) / gates;
        if layer.hidden.is_some_and(|told| told != hidden) {
            let told = layer.hidden.unwrap_or_default();
            return Err(inputs.unexpected(1, &format!("weights for a hidden_size of {told}")));
        }
        let sides = Self { steps, batch, size, hidden, directions };
        let rows = Shape::new(&[gates, hidden])?.elements();
        expect(inputs, 1, &[directions, rows, size])?;
        expect(inputs, 2, &[directions, rows, hidden])?;
        let mut expected = vec![(3, vec![directions, 2 * rows]), (5, sides.last_shape(layer).to_vec())];
        if let Cell::Lstm { .. } = layer.cell {
            expected.extend([(6, sides.last_shape(layer).to_vec()), (7, vec![directions, 3 * hidden])]);
        }
        for (index, dimensions) in expected {
            if *inputs.value(index) != Value::Absent {
                expect(inputs, index, &dimensions)?;
            }
        }
        Ok(sides)
    }

    fn last_shape(&self, layer: &Layer) -> [usize; 3] {
        if layer.is_batch_first {
            [self.batch, self.directions, self.hidden]
        } else {
            [self.directions, self.batch, self.hidden]
        }
    }

    /// Asks for the steps, and for numbers of 64 bits: inputs and weights, gates of a direction, and outputs.
    pub fn ask(&self, layer: &Layer, budget: &mut Budget) -> Result<(), OperatorError> {
        let width = layer.cell.gates() * self.hidden;
        let of = |dimensions: &[usize]| Shape::new(dimensions).map(|shape| shape.elements());
        let gates = of(&[self.steps, self.batch, width])?;
        let outputs = of(&[self.steps, self.batch, self.directions, self.hidden])?;
        let weights = of(&[self.directions, width, self.size.saturating_add(self.hidden)])?;
        let input = of(&[self.steps, self.batch, self.size])?;
        let states = of(&[self.batch, self.directions, self.hidden])?;
        // Places whose gates are nothing are walked to as well.
        budget.work(of(&[self.steps, self.batch])?)?;
        for count in [gates, outputs, weights.saturating_mul(2), input, states.saturating_mul(4)] {
            budget.elements(count, size_of::<f64>())?;
        }
        budget.bytes(
            [gates, outputs, weights, input].iter().fold(0, |sum: usize, count| sum.saturating_add(count * 8)),
        )?;
        budget.work(gates.saturating_mul(self.directions).saturating_mul(self.size.saturating_add(self.hidden)))
    }

    /// The row of an input.
    pub fn row(&self, step: usize, place: usize, is_batch_first: bool) -> usize {
        if is_batch_first { place * self.steps + step } else { step * self.batch + place }
    }

    /// Where the state of a step begins in the first output.
    pub fn output(&self, step: usize, direction: usize, place: usize, is_batch_first: bool) -> usize {
        let row = if is_batch_first {
            (place * self.steps + step) * self.directions + direction
        } else {
            (step * self.directions + direction) * self.batch + place
        };
        row * self.hidden
    }

    /// Where the state of a place begins among the first or the last ones.
    pub fn last(&self, direction: usize, place: usize, is_batch_first: bool) -> usize {
        let row = if is_batch_first { place * self.directions + direction } else { direction * self.batch + place };
        row * self.hidden
    }
}

fn expect(inputs: &Inputs<'_>, index: usize, dimensions: &[usize]) -> Result<(), OperatorError> {
    let (tensor, data_type) = (inputs.tensor(index)?, inputs.tensor(0)?.data_type());
    if tensor.shape().dimensions() == dimensions && tensor.data_type() == data_type {
        return Ok(());
    }
    Err(inputs.unexpected(index, &format!("{} of {dimensions:?}", data_type.label())))
}

/// Inputs, 64 bits wide.
pub(super) struct Numbers {
    pub input: Vec<f64>,
    bias: Vec<f64>,
    late: Vec<f64>,
    pub lengths: Vec<usize>,
    states: Vec<f64>,
    cells: Vec<f64>,
    pub peepholes: Vec<f64>,
    is_batch_first: bool,
}

impl Numbers {
    pub fn of(layer: &Layer, inputs: &Inputs<'_>, sides: &Sides) -> Result<Self, OperatorError> {
        let bias = Self::wide(inputs, 3)?;
        let rows = layer.cell.gates() * sides.hidden;
        let mut sums = Vec::with_capacity(bias.len() / 2);
        let mut late = Vec::new();
        for both in bias.chunks_exact((2 * rows).max(1)) {
            let (input, state) = both.split_at(rows);
            let early = layer.cell.first_gates() * sides.hidden;
            sums.extend(input.iter().zip(state).enumerate().map(
                |(at, (input, state))| {
                    if at < early { input + state } else { *input }
                },
            ));
            late.extend(state.iter().skip(early));
        }
        let is_lstm = matches!(layer.cell, Cell::Lstm { .. });
        Ok(Self {
            input: Self::wide(inputs, 0)?,
            bias: sums,
            late,
            lengths: lengths(inputs, sides)?,
            states: Self::wide(inputs, 5)?,
            cells: if is_lstm { Self::wide(inputs, 6)? } else { Vec::new() },
            peepholes: if is_lstm { Self::wide(inputs, 7)? } else { Vec::new() },
            is_batch_first: layer.is_batch_first,
        })
    }

    /// An input; nothing if it is not there.
    pub fn wide(inputs: &Inputs<'_>, index: usize) -> Result<Vec<f64>, OperatorError> {
        let Some(tensor) = inputs.optional(index)? else { return Ok(Vec::new()) };
        match (tensor.data(), convert(tensor.data(), DataType::Float64)) {
            (Data::Float16(_) | Data::Bfloat16(_) | Data::Float32(_) | Data::Float64(_), Some(Data::Float64(wide))) => {
                Ok(wide)
            }
            _ => Err(inputs.unexpected(index, "FP32 or another type with fractions")),
        }
    }

    /// The bias of all gates of a direction.
    pub fn bias_of(&self, direction: usize, width: usize) -> Vec<f64> {
        Vec::from(self.bias.get(direction * width..(direction + 1) * width).unwrap_or_default())
    }

    /// The bias that is added with the state, and not before.
    pub fn late_bias(&self, direction: usize, cell: Cell, hidden: usize) -> Vec<f64> {
        let width = (cell.gates() - cell.first_gates()) * hidden;
        Vec::from(self.late.get(direction * width..(direction + 1) * width).unwrap_or_default())
    }

    fn first(&self, all: &[f64], direction: usize, place: usize, sides: &Sides) -> Vec<f64> {
        let start = sides.last(direction, place, self.is_batch_first);
        all.get(start..start + sides.hidden).map_or_else(|| vec![0.0; sides.hidden], Vec::from)
    }

    pub fn first_state(&self, direction: usize, place: usize, sides: &Sides) -> Vec<f64> {
        self.first(&self.states, direction, place, sides)
    }

    pub fn first_cell(&self, direction: usize, place: usize, sides: &Sides) -> Vec<f64> {
        self.first(&self.cells, direction, place, sides)
    }
}

/// Lengths of the sequences; all if they are not told.
fn lengths(inputs: &Inputs<'_>, sides: &Sides) -> Result<Vec<usize>, OperatorError> {
    let Some(told) = inputs.optional_integers(4)? else { return Ok(Vec::new()) };
    // What the last state of an empty sequence is, runtimes answer differently.
    let expected = || inputs.unexpected(4, &format!("{} lengths from 1 to {}", sides.batch, sides.steps));
    if told.len() != sides.batch {
        return Err(expected());
    }
    let length = |length: &i64| usize::try_from(*length).ok().filter(|length| (1..=sides.steps).contains(length));
    told.iter().map(|told| length(told).ok_or_else(expected)).collect()
}

/// Outputs on their way.
pub(super) struct States {
    all: Vec<f64>,
    states: Vec<f64>,
    cells: Vec<f64>,
}

impl States {
    pub fn new(sides: &Sides, directions: usize) -> Self {
        let last = directions * sides.batch * sides.hidden;
        Self { all: vec![0.0; sides.steps * last], states: vec![0.0; last], cells: vec![0.0; last] }
    }

    pub fn set_step(&mut self, start: usize, state: &[f64]) {
        put(&mut self.all, start, state);
    }

    pub fn set_last(&mut self, start: usize, state: &[f64], cell: &[f64]) {
        put(&mut self.states, start, state);
        put(&mut self.cells, start, cell);
    }

    /// The three outputs, with their shapes.
    pub fn into_tensors(self, layer: &Layer, sides: &Sides) -> Result<[(Shape, Vec<f64>); 3], OperatorError> {
        let Sides { steps, batch, hidden, directions, .. } = *sides;
        let all =
            if layer.is_batch_first { [batch, steps, directions, hidden] } else { [steps, directions, batch, hidden] };
        let last = Shape::new(&sides.last_shape(layer))?;
        Ok([(Shape::new(&all)?, self.all), (last, self.states), (last, self.cells)])
    }
}

fn put(all: &mut [f64], start: usize, part: &[f64]) {
    if let Some(place) = all.get_mut(start..start + part.len()) {
        place.copy_from_slice(part);
    }
}
