//! Attention by a state that is carried from place to place.

use super::heads::{Heads, narrowed, wide};
use crate::attribute::Reader;
use crate::error::{BuildError, OperatorError};
use crate::limits::Budget;
use crate::operator::{Inputs, Kernel, Outputs, Setup, ready, several};
use crate::shape::Shape;
use crate::special::exp;
use crate::value::DataType;

/// The state decays, and what it would tell of a key is replaced by what the value tells, or added to.
#[derive(Debug)]
struct Linear {
    query_heads: usize,
    key_heads: usize,
    scale: f64,
    decays: bool,
    replaces: bool,
}

pub(super) fn build(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    let reader = setup.attributes();
    // A hint for other machines.
    reader.ignore(&["chunk_size"]);
    let heads = |name: &str| {
        let heads = usize::try_from(Reader::required(name, reader.int(name)?)?).ok().filter(|heads| *heads > 0);
        heads.ok_or_else(|| BuildError::attribute(name, "expected a number of at least 1"))
    };
    let rules =
        [("gated_delta", (true, true)), ("linear", (false, false)), ("gated", (true, false)), ("delta", (false, true))];
    let (decays, replaces) = reader.choice("update_rule", &rules)?;
    let (query_heads, key_heads) = (heads("q_num_heads")?, heads("kv_num_heads")?);
    if query_heads % key_heads != 0 {
        return Err(BuildError::attribute("q_num_heads", format!("expected a multiple of {key_heads}")));
    }
    let scale = reader.float_or("scale", 0.0)?;
    ready(Linear { query_heads, key_heads, scale, decays, replaces })
}

/// Numbers for each place and head: one, one of all heads, or one for each of a key's.
struct Gates {
    numbers: Vec<f64>,
    width: usize,
}

impl Gates {
    /// Of the place and head; the same for all of its numbers if there is one.
    fn of(&self, row: usize, head: usize, heads: usize, at: usize) -> f64 {
        let per_head = self.width / heads.max(1);
        let index = match per_head {
            0 => 0,
            1 => head,
            _ => head * per_head + at,
        };
        self.numbers.get(row * self.width + index).copied().unwrap_or(f64::NAN)
    }
}

impl Linear {
    fn gates(
        &self,
        inputs: &Inputs<'_>,
        index: usize,
        keys: &Heads,
        widths: &[usize],
        budget: &mut Budget,
    ) -> Result<Gates, OperatorError> {
        let shape = inputs.tensor(index)?.shape();
        let width = widths.iter().find(|width| shape.dimensions() == [keys.batch, keys.rows, **width]);
        let Some(width) = width else {
            let (batch, rows) = (keys.batch, keys.rows);
            return Err(inputs.unexpected(index, &format!("a tensor of [{batch}, {rows}, {}]", self.key_heads)));
        };
        Ok(Gates { numbers: wide(inputs, index, budget)?, width: *width })
    }
}

/// One place of a head.
struct Step<'a> {
    key: &'a [f64],
    value: &'a [f64],
    decay: &'a dyn Fn(usize) -> f64,
    rate: Option<f64>,
}

/// Moves a state of a row for each of a key's numbers on by one place.
fn advance(state: &mut [f64], step: &Step<'_>, told: &mut [f64]) {
    let width = step.value.len().max(1);
    told.fill(0.0);
    for (at, (row, key)) in state.chunks_mut(width).zip(step.key).enumerate() {
        let decay = (step.decay)(at);
        for (number, told) in row.iter_mut().zip(told.iter_mut()) {
            *number *= decay;
            *told += *number * key;
        }
    }
    for (row, key) in state.chunks_mut(width).zip(step.key) {
        for ((number, value), told) in row.iter_mut().zip(step.value).zip(told.iter()) {
            *number += match step.rate {
                Some(rate) => rate * key * (value - told),
                None => key * value,
            };
        }
    }
}

impl Kernel for Linear {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let queries = Heads::of(inputs, 0, Some(self.query_heads), budget)?;
        let keys = Heads::of(inputs, 1, Some(self.key_heads), budget)?;
        let values = Heads::of(inputs, 2, Some(self.key_heads), budget)?;
        let is_packed = [0, 1, 2].iter().all(|index| inputs.tensor(*index).is_ok_and(|it| it.shape().rank() == 3));
        let fits = |other: &Heads| (other.batch, other.rows) == (queries.batch, queries.rows);
        if !is_packed || !fits(&keys) || !fits(&values) || keys.width != queries.width {
            return Err(inputs.unexpected(1, "queries, keys and values of [batch, rows, heads * width]"));
        }
        let heads = self.key_heads;
        let shape = Shape::new(&[queries.batch, heads, keys.width, values.width])?;
        let decay = match (self.decays, inputs.optional(4)?) {
            (true, _) => Some(self.gates(inputs, 4, &keys, &[heads, heads * keys.width], budget)?),
            (false, None) => None,
            (false, Some(_)) => return Err(inputs.unexpected(4, "nothing for this update_rule")),
        };
        let rate = match (self.replaces, inputs.optional(5)?) {
            (true, _) => Some(self.gates(inputs, 5, &keys, &[heads, 1], budget)?),
            (false, None) => None,
            (false, Some(_)) => return Err(inputs.unexpected(5, "nothing for this update_rule")),
        };
        let (mut states, state_type): (Vec<f64>, DataType) = match inputs.optional(3)? {
            None => {
                budget.elements(shape.elements(), size_of::<f64>())?;
                (vec![0.0; shape.elements()], inputs.tensor(0)?.data_type())
            }
            Some(past) if *past.shape() == shape => (wide(inputs, 3, budget)?, past.data_type()),
            Some(_) => return Err(inputs.unexpected(3, &format!("a state of {shape}"))),
        };
        let made = Shape::new(&[queries.batch, queries.rows, self.query_heads, values.width])?;
        budget.elements(made.elements(), size_of::<f64>())?;
        budget.work(made.elements().saturating_mul(keys.width).saturating_mul(4))?;
        let scale = if self.scale == 0.0 { (keys.width as f64).sqrt().recip() } else { self.scale };
        let group = self.query_heads / heads;
        let (size, width) = (keys.width * values.width, values.width);
        let mut outputs = vec![0.0; made.elements()];
        let mut told = vec![0.0; width];
        for (number, state) in states.chunks_mut(size.max(1)).enumerate() {
            let (batch, head) = (number / heads, number % heads);
            for row in 0..queries.rows {
                let place = batch * queries.rows + row;
                let step = Step {
                    key: part(keys.head(batch, head), row, keys.width),
                    value: part(values.head(batch, head), row, width),
                    decay: &|at| decay.as_ref().map_or(1.0, |decay| exp(decay.of(place, head, heads, at))),
                    rate: rate.as_ref().map(|rate| rate.of(place, head, heads, 0)),
                };
                advance(state, &step, &mut told);
                for query_head in head * group..(head + 1) * group {
                    let start = (place * self.query_heads + query_head) * width;
                    let output = outputs.get_mut(start..start + width).unwrap_or_default();
                    let query = part(queries.head(batch, query_head), row, keys.width);
                    for (row, query) in state.chunks(width.max(1)).zip(query) {
                        output.iter_mut().zip(row).for_each(|(sum, number)| *sum += scale * query * number);
                    }
                }
            }
        }
        let packed = Shape::new(&[queries.batch, queries.rows, self.query_heads * width])?;
        several([narrowed(packed, outputs, inputs.tensor(0)?.data_type())?, narrowed(shape, states, state_type)?])
    }
}

fn part(rows: &[f64], at: usize, width: usize) -> &[f64] {
    rows.get(at * width..(at + 1) * width).unwrap_or_default()
}
