//! Attention by products of queries and keys.

use super::heads::{Heads, narrowed};
use super::mask::{Bounds, Mask, softmax_precision};
use crate::error::{BuildError, OperatorError};
use crate::limits::Budget;
use crate::linear::{Weights, multiply_each, multiply_rows};
use crate::operator::{Inputs, Kernel, Outputs, Setup, ready};
use crate::shape::Shape;
use crate::special::{for_each, softmax, tanh};
use crate::value::{Tensor, Value};
use crate::view::View;

/// What the last output shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    Scores,
    Capped,
    Masked,
    Shares,
}

/// In 64 bits, outputs rounded once.
#[derive(Debug)]
struct Attention {
    bounds: Bounds,
    query_heads: Option<usize>,
    key_heads: Option<usize>,
    scale: Option<f64>,
    cap: f64,
    shown: Option<Shown>,
    tells_keys: bool,
    tells_values: bool,
}

pub(super) fn build(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    let reader = setup.attributes();
    let heads = |name: &str| {
        let told = reader.int(name)?.map(|heads| usize::try_from(heads).ok().filter(|heads| *heads > 0));
        told.map(|heads| heads.ok_or_else(|| BuildError::attribute(name, "expected a number of at least 1")))
            .transpose()
    };
    softmax_precision(setup)?;
    let shown = match reader.int_or("qk_matmul_output_mode", 0)? {
        0 => Shown::Scores,
        1 => Shown::Capped,
        2 => Shown::Masked,
        3 => Shown::Shares,
        other => return Err(BuildError::attribute("qk_matmul_output_mode", format!("expected 0 to 3, got {other}"))),
    };
    ready(Attention {
        bounds: Bounds::of(setup)?,
        query_heads: heads("q_num_heads")?,
        key_heads: heads("kv_num_heads")?,
        scale: reader.float("scale")?.map(f64::from),
        cap: reader.float_or("softcap", 0.0)?,
        shown: setup.wants(3).then_some(shown),
        tells_keys: setup.wants(1),
        tells_values: setup.wants(2),
    })
}

/// The inputs, by heads.
struct Sides {
    queries: Heads,
    keys: Heads,
    values: Heads,
    past: Option<usize>,
}

impl Attention {
    fn sides(&self, inputs: &Inputs<'_>, budget: &mut Budget) -> Result<Sides, OperatorError> {
        let queries = Heads::of(inputs, 0, self.query_heads, budget)?;
        let keys = Heads::of(inputs, 1, self.key_heads, budget)?;
        let values = Heads::of(inputs, 2, self.key_heads, budget)?;
        if inputs.tensor(1)?.data_type() != inputs.tensor(0)?.data_type() {
            return Err(inputs.unexpected(1, inputs.tensor(0)?.data_type().label()));
        }
        let fits = |one: &Heads, other: &Heads| one.batch == other.batch && one.heads == other.heads;
        if keys.batch != queries.batch || keys.width != queries.width || !queries.heads.is_multiple_of(keys.heads) {
            let width = queries.width;
            return Err(inputs.unexpected(1, &format!("keys of {width} numbers, of heads that the queries share")));
        }
        if !fits(&values, &keys) || values.rows != keys.rows {
            return Err(inputs.unexpected(2, &format!("a value for each of {} keys", keys.rows)));
        }
        let (keys, values, past) = match (inputs.optional(4)?, inputs.optional(5)?) {
            (None, None) => (keys, values, None),
            (Some(_), Some(_)) => {
                let before = (Heads::of(inputs, 4, None, budget)?, Heads::of(inputs, 5, None, budget)?);
                for (index, (past, now)) in [(4, (&before.0, &keys)), (5, (&before.1, &values))] {
                    let data_type = inputs.tensor(index - 3)?.data_type();
                    let is_same = fits(past, now) && past.width == now.width && past.rows == before.0.rows;
                    if !is_same || inputs.tensor(index)?.data_type() != data_type {
                        let (heads, width) = (now.heads, now.width);
                        return Err(inputs.unexpected(index, &format!("rows of {width} numbers of {heads} heads")));
                    }
                }
                let past = before.0.rows;
                (keys.behind(&before.0, budget)?, values.behind(&before.1, budget)?, Some(past))
            }
            (one, _) => {
                let index = if one.is_some() { 5 } else { 4 };
                return Err(inputs.unexpected(index, "the past of both keys and values"));
            }
        };
        Ok(Sides { queries, keys, values, past })
    }

    /// Shares of the keys for each query of a head, from their scores. Shows what is asked for on the way.
    fn shares(&self, scores: &mut [f64], keys: usize, show: &mut Vec<f64>, mut mask: impl FnMut(usize, &mut [f64])) {
        let shows = |shown: Shown| self.shown == Some(shown);
        if shows(Shown::Scores) {
            show.extend_from_slice(scores);
        }
        if self.cap != 0.0 {
            for_each(scores, |score| self.cap * tanh(score / self.cap));
        }
        if shows(Shown::Capped) {
            show.extend_from_slice(scores);
        }
        for (query, scores) in scores.chunks_mut(keys.max(1)).enumerate() {
            mask(query, scores);
            if shows(Shown::Masked) {
                show.extend_from_slice(scores);
            }
            if scores.iter().all(|score| *score == f64::NEG_INFINITY) {
                scores.fill(0.0);
            } else {
                softmax(scores);
            }
        }
        if shows(Shown::Shares) {
            show.extend_from_slice(scores);
        }
    }
}

impl Kernel for Attention {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let Sides { queries, keys, values, past } = self.sides(inputs, budget)?;
        let sizes = [queries.batch, queries.heads, queries.rows, keys.rows];
        let mask = Mask::of(&self.bounds, inputs, sizes, past, budget)?;
        let shape = Shape::new(&[queries.batch, queries.heads, queries.rows, values.width])?;
        let scores = Shape::new(&sizes)?;
        budget.elements(shape.elements(), 2 * size_of::<f64>())?;
        budget.elements(scores.elements(), size_of::<f64>())?;
        budget.work(scores.elements().saturating_mul(queries.width.saturating_add(values.width)))?;
        budget.elements(keys.rows.saturating_mul(keys.width.saturating_add(values.width)), size_of::<f64>())?;
        let scale = self.scale.unwrap_or_else(|| (queries.width as f64).sqrt().recip());
        let group = queries.heads.checked_div(keys.heads).unwrap_or(1).max(1);
        let mut made = Vec::with_capacity(shape.elements());
        let mut shown = Vec::new();
        for batch in 0..queries.batch {
            let mut weights: Option<(Weights<f64>, Weights<f64>)> = None;
            for head in 0..queries.heads {
                let pair = match &weights {
                    Some(pair) if head % group != 0 => pair,
                    _ => weights.insert((
                        Weights::of(keys.head(batch, head / group), keys.width, keys.rows, true),
                        Weights::of(values.head(batch, head / group), values.rows, values.width, false),
                    )),
                };
                let mut scores = multiply_rows(queries.head(batch, head), queries.rows, &pair.0, budget)?;
                scores.iter_mut().for_each(|score| *score *= scale);
                self.shares(&mut scores, keys.rows, &mut shown, |query, scores| mask.add(batch, head, query, scores));
                multiply_each(&scores, queries.rows, &pair.1, budget, &mut |sums| made.extend_from_slice(sums))?;
            }
        }
        let data_type = inputs.tensor(0)?.data_type();
        let made = if inputs.tensor(0)?.shape().rank() == 3 {
            let packed = Shape::new(&[queries.batch, queries.rows, queries.heads * values.width])?;
            narrowed(packed, View::of(&shape).permute([0, 2, 1, 3]).copy(&made), data_type)?
        } else {
            narrowed(shape, made, data_type)?
        };
        let wanted = |is_wanted: bool, heads: Heads, index: usize| -> Result<Option<Tensor>, OperatorError> {
            if is_wanted { heads.into_tensor(inputs.tensor(index)?.data_type()).map(Some) } else { Ok(None) }
        };
        let (keys, values) = (wanted(self.tells_keys, keys, 1)?, wanted(self.tells_values, values, 2)?);
        let shown = self.shown.map(|_| narrowed(scores, shown, data_type)).transpose()?;
        Ok([Some(made), keys, values, shown]
            .into_iter()
            .map(|tensor| tensor.map_or(Value::Absent, Value::Tensor))
            .collect())
    }
}
