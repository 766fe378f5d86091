//! Recurrent layers.

use super::activation::Activation;
use super::cell::{Cell, Direction, Matrices};
use super::sides::{Numbers, Sides, States};
use crate::elementwise::convert;
use crate::error::{BuildError, OperatorError};
use crate::limits::Budget;
use crate::linear::{WIDENED_LIMIT, multiply_rows};
use crate::operator::{Inputs, Kernel, Outputs, Setup, ready};
use crate::value::{Data, DataType, Tensor, Value};

/// In 64 bits from one end of the sequence to the other; outputs are rounded once, and the state never.
#[derive(Debug)]
pub(super) struct Layer {
    pub cell: Cell,
    /// Whether each direction walks from the end.
    pub directions: Vec<bool>,
    pub hidden: Option<usize>,
    /// Whether the first dimension is the batch, and not the sequence.
    pub is_batch_first: bool,
    /// Of all directions.
    activations: Vec<Activation>,
    clip: Option<f64>,
    constant: Option<Vec<Matrices>>,
    wanted: [bool; 3],
}

pub(super) fn build_rnn(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    build(setup, Cell::Rnn)
}

pub(super) fn build_gru(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    let resets_late = setup.opset() >= 3 && setup.attributes().flag("linear_before_reset", false)?;
    build(setup, Cell::Gru { resets_late })
}

pub(super) fn build_lstm(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    let is_coupled = setup.attributes().flag("input_forget", false)?;
    build(setup, Cell::Lstm { is_coupled })
}

fn build(setup: &Setup<'_>, cell: Cell) -> Result<Box<dyn Kernel>, BuildError> {
    let reader = setup.attributes();
    if setup.opset() < 7 {
        // Which outputs there are is told by the outputs.
        reader.ignore(&["output_sequence"]);
    }
    let choices: [(&str, &[bool]); 3] =
        [("forward", &[false]), ("reverse", &[true]), ("bidirectional", &[false, true])];
    let directions = reader.choice("direction", &choices)?.to_vec();
    let clip = reader.float("clip")?.map(f64::from);
    if clip.is_some_and(|clip| clip.is_nan() || clip < 0.0) {
        return Err(BuildError::attribute("clip", "expected a number of at least 0"));
    }
    let hidden = reader.int("hidden_size")?.map(|hidden| {
        let size = usize::try_from(hidden).ok();
        size.ok_or_else(|| BuildError::attribute("hidden_size", "expected a number of at least 0"))
    });
    let mut layer = Layer {
        cell,
        hidden: hidden.transpose()?,
        is_batch_first: setup.opset() >= 14 && reader.flag("layout", false)?,
        activations: Activation::list(setup, cell.activations(), directions.len())?,
        directions,
        clip,
        constant: None,
        wanted: [setup.wants(0), setup.wants(1), setup.wants(2)],
    };
    if let (Some(input), Some(state)) = (setup.constant(1), setup.constant(2)) {
        layer.constant = layer.kept(setup, input, state);
    }
    ready(layer)
}

impl Layer {
    /// Weights that are the same in each run, widened once.
    fn kept(&self, setup: &Setup<'_>, input: &Tensor, state: &Tensor) -> Option<Vec<Matrices>> {
        let ([directions, rows, size], [_, _, hidden]) = (input.shape().dimensions(), state.shape().dimensions())
        else {
            return None;
        };
        let elements = input.shape().elements().saturating_add(state.shape().elements());
        let fits = *directions == self.directions.len()
            && *rows == self.cell.gates() * hidden
            && state.shape().dimensions() == [*directions, *rows, *hidden];
        if elements > WIDENED_LIMIT || !fits || !setup.may_keep(elements * size_of::<f64>()) {
            return None;
        }
        match (convert(input.data(), DataType::Float64)?, convert(state.data(), DataType::Float64)?) {
            (Data::Float64(input), Data::Float64(state)) => Some(self.matrices(&input, &state, *size, *hidden)),
            _ => None,
        }
    }

    fn matrices(&self, input: &[f64], state: &[f64], size: usize, hidden: usize) -> Vec<Matrices> {
        let rows = self.cell.gates() * hidden;
        let part = |all: &[f64], at: usize, length: usize| {
            Vec::from(all.get(at * length..(at + 1) * length).unwrap_or_default())
        };
        let directions = 0..self.directions.len();
        let each = |at| {
            let (input, state) = (part(input, at, rows * size), part(state, at, rows * hidden));
            Matrices::new(self.cell, &input, &state, size, hidden)
        };
        directions.map(each).collect()
    }

    /// Walks along one direction.
    fn walk(
        &self,
        at: usize,
        (sides, numbers): (&Sides, &Numbers),
        direction: &Direction<'_>,
        states: &mut States,
        budget: &Budget,
    ) -> Result<(), OperatorError> {
        let Sides { steps, batch, hidden, .. } = *sides;
        let width = self.cell.gates() * hidden;
        // What does not depend on the state, for all places at once.
        let mut gates = multiply_rows(&numbers.input, steps * batch, &direction.matrices.input, budget)?;
        let bias = numbers.bias_of(at, width);
        if width > 0 {
            for row in gates.chunks_exact_mut(width) {
                row.iter_mut().zip(&bias).for_each(|(gate, bias)| *gate += bias);
            }
        }
        let is_backward = self.directions.get(at).copied().unwrap_or(false);
        for place in 0..batch {
            let length = numbers.lengths.get(place).copied().unwrap_or(steps);
            let (mut state, mut cell) = (numbers.first_state(at, place, sides), numbers.first_cell(at, place, sides));
            for step in 0..length {
                budget.go_on()?;
                let step = if is_backward { length - 1 - step } else { step };
                let row = sides.row(step, place, self.is_batch_first);
                if let Some(gates) = gates.get_mut(row * width..(row + 1) * width) {
                    direction.step(gates, &mut state, &mut cell);
                }
                states.set_step(sides.output(step, at, place, self.is_batch_first), &state);
            }
            states.set_last(sides.last(at, place, self.is_batch_first), &state, &cell);
        }
        Ok(())
    }
}

impl Kernel for Layer {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let sides = Sides::of(self, inputs)?;
        let data_type = inputs.tensor(0)?.data_type();
        sides.ask(self, budget)?;
        let numbers = Numbers::of(self, inputs, &sides)?;
        let made;
        let matrices = match &self.constant {
            Some(matrices) => matrices,
            None => {
                let (input, state) = (Numbers::wide(inputs, 1)?, Numbers::wide(inputs, 2)?);
                made = self.matrices(&input, &state, sides.size, sides.hidden);
                &made
            }
        };
        let mut states = States::new(&sides, self.directions.len());
        let per_direction = self.cell.activations().len();
        for (at, matrices) in matrices.iter().enumerate() {
            let activations = self.activations.get(at * per_direction..(at + 1) * per_direction);
            let peepholes = numbers.peepholes.get(at * 3 * sides.hidden..(at + 1) * 3 * sides.hidden);
            let late_bias = numbers.late_bias(at, self.cell, sides.hidden);
            let direction = Direction {
                cell: self.cell,
                hidden: sides.hidden,
                matrices,
                activations: activations.unwrap_or_default(),
                clip: self.clip,
                late_bias: &late_bias,
                peepholes: peepholes.unwrap_or_default(),
            };
            self.walk(at, (&sides, &numbers), &direction, &mut states, budget)?;
        }
        let outputs = states.into_tensors(self, &sides)?.into_iter().zip(self.wanted);
        outputs
            .map(|((shape, numbers), is_wanted)| {
                if !is_wanted {
                    return Ok(Value::Absent);
                }
                let data = convert(&Data::Float64(numbers), data_type);
                let data = data.ok_or_else(|| inputs.unexpected(0, "FP32 or another type with fractions"))?;
                Ok(Value::Tensor(Tensor::of_data(shape, data)))
            })
            .collect()
    }
}
