//! Places as rotations.

use super::heads::{Heads, narrowed, wide};
use crate::error::{BuildError, OperatorError};
use crate::limits::Budget;
use crate::operator::{Inputs, Kernel, Outputs, Setup, one, ready};
use crate::shape::{Shape, resolve_axis};
use crate::view::View;

/// Pairs of numbers, turned by the angle of their place.
#[derive(Debug)]
struct Rotary {
    heads: Option<usize>,
    /// Numbers of a row that are turned; all if none are told.
    turned: Option<usize>,
    /// Whether the two of a pair stand side by side, and not half a row apart.
    is_interleaved: bool,
}

pub(super) fn build(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    let reader = setup.attributes();
    let number = |name: &str| {
        let number = usize::try_from(reader.int_or(name, 0)?).ok();
        let number = number.ok_or_else(|| BuildError::attribute(name, "expected a number of at least 0"))?;
        Ok(Some(number).filter(|number| *number > 0))
    };
    let (heads, turned) = (number("num_heads")?, number("rotary_embedding_dim")?);
    ready(Rotary { heads, turned, is_interleaved: reader.flag("interleaved", false)? })
}

impl Rotary {
    fn turn(&self, row: &mut [f64], cosines: &[f64], sines: &[f64]) {
        let half = cosines.len();
        for (at, (cosine, sine)) in cosines.iter().zip(sines).enumerate() {
            let (one, other) = if self.is_interleaved { (2 * at, 2 * at + 1) } else { (at, half + at) };
            let (Some(x), Some(y)) = (row.get(one).copied(), row.get(other).copied()) else { continue };
            row.get_mut(one).into_iter().for_each(|place| *place = cosine * x - sine * y);
            row.get_mut(other).into_iter().for_each(|place| *place = sine * x + cosine * y);
        }
    }
}

impl Kernel for Rotary {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let heads = Heads::of(inputs, 0, self.heads, budget)?;
        let turned = self.turned.unwrap_or(heads.width);
        if turned > heads.width || !turned.is_multiple_of(2) {
            return Err(inputs.unexpected(0, &format!("rows of at least {turned} numbers, turned in pairs")));
        }
        let half = turned / 2;
        let (cosines, sines) = (wide(inputs, 1, budget)?, wide(inputs, 2, budget)?);
        let told = inputs.optional(3)?.map(|positions| *positions.shape());
        let caches = inputs.tensor(1)?.shape();
        let fits = match (caches.dimensions(), told) {
            ([_, width], Some(told)) => *width == half && told.dimensions() == [heads.batch, heads.rows],
            ([batch, rows, width], None) => (*batch, *rows, *width) == (heads.batch, heads.rows, half),
            _ => false,
        };
        if !fits || inputs.tensor(2)?.shape() != caches {
            return Err(inputs.unexpected(1, &format!("{half} numbers for each place, as the third input")));
        }
        let positions = inputs.optional_integers(3)?;
        let shape = heads.shape()?;
        budget.elements(shape.elements(), size_of::<f64>())?;
        let mut made = Vec::with_capacity(shape.elements());
        for batch in 0..heads.batch {
            for head in 0..heads.heads {
                for (row, numbers) in heads.head(batch, head).chunks(heads.width.max(1)).enumerate() {
                    let at = batch * heads.rows + row;
                    let place = match &positions {
                        None => at,
                        Some(positions) => {
                            let told = positions.get(at).copied().unwrap_or(-1);
                            let place = if told < 0 { None } else { resolve_axis(told, caches.dimension(0)) };
                            place.ok_or_else(|| OperatorError::Element(format!("place {told} has no angles")))?
                        }
                    };
                    let angles = place * half..(place + 1) * half;
                    let start = made.len();
                    made.extend_from_slice(numbers);
                    let row = made.get_mut(start..).unwrap_or_default();
                    let cosines = cosines.get(angles.clone()).unwrap_or_default();
                    self.turn(row, cosines, sines.get(angles).unwrap_or_default());
                }
            }
        }
        let (own, data_type) = (*inputs.tensor(0)?.shape(), inputs.tensor(0)?.data_type());
        if own.rank() == 3 {
            budget.elements(shape.elements(), size_of::<f64>())?;
            let heads_first: Shape = shape;
            return one(narrowed(own, View::of(&heads_first).permute([0, 2, 1, 3]).copy(&made), data_type)?);
        }
        one(narrowed(own, made, data_type)?)
    }
}
