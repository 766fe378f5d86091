//! Rows that are written into a cache.

use crate::error::{BuildError, OperatorError};
use crate::limits::Budget;
use crate::operator::{Inputs, Kernel, Outputs, Setup, one, ready};
use crate::value::{Element, Tensor, pair};

/// From a place of an axis on, which each of the batch has.
#[derive(Debug)]
struct Cache {
    axis: i64,
    is_circular: bool,
}

pub(super) fn build(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    let is_circular = setup.attributes().choice("mode", &[("linear", false), ("circular", true)])?;
    ready(Cache { axis: setup.attributes().int_or("axis", -2)?, is_circular })
}

/// A cache, cut along its axis.
struct Sides {
    /// Blocks of one of the batch.
    blocks: usize,
    size: usize,
    written: usize,
    inner: usize,
}

fn written<T: Element>(cache: &[T], update: &[T], starts: &[usize], sides: &Sides) -> Vec<T> {
    let mut made = cache.to_vec();
    for (block, rows) in update.chunks((sides.written * sides.inner).max(1)).enumerate() {
        let start = starts.get(block / sides.blocks.max(1)).copied().unwrap_or(0);
        for (at, row) in rows.chunks(sides.inner.max(1)).enumerate() {
            let to = (block * sides.size + (start + at) % sides.size.max(1)) * sides.inner;
            if let Some(place) = made.get_mut(to..to + row.len()) {
                place.clone_from_slice(row);
            }
        }
    }
    made
}

impl Kernel for Cache {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let (cache, update) = (inputs.tensor(0)?, inputs.tensor(1)?);
        let shape = *cache.shape();
        let axis = shape.axis(self.axis).filter(|axis| *axis > 0);
        let axis = axis.ok_or_else(|| OperatorError::axis(self.axis, &shape))?;
        let (batch, written_rows) = (shape.dimension(0), update.shape().dimension(axis));
        let size = shape.dimension(axis);
        if update.shape().rank() != shape.rank()
            || shape.with(axis, written_rows)? != *update.shape()
            || written_rows > size
        {
            return Err(inputs.unexpected(1, &format!("at most {size} rows along axis {axis} of {shape}")));
        }
        let told = inputs.optional_integers(2)?;
        if told.as_ref().is_some_and(|told| told.len() != batch) {
            return Err(inputs.unexpected(2, &format!("{batch} places")));
        }
        let start = |told: &i64| {
            let start = usize::try_from(*told).ok();
            let start = if self.is_circular {
                start.map(|start| start % size.max(1))
            } else {
                start.filter(|start| start.checked_add(written_rows).is_some_and(|end| end <= size))
            };
            start.ok_or_else(|| OperatorError::Element(format!("rows at {told} do not fit a cache of {size}")))
        };
        let starts = told.unwrap_or_default().iter().map(start).collect::<Result<Vec<usize>, _>>()?;
        budget.tensor(&shape, cache.data_type())?;
        let (before, _, inner) = shape.around(axis);
        let sides = Sides { blocks: before.checked_div(batch).unwrap_or(0), size, written: written_rows, inner };
        let data = pair!(cache.data(), update.data(), any, cache, update => {
            Element::into_data(written(cache, update, &starts, &sides))
        }, _ => return Err(inputs.unexpected(1, cache.data_type().label())));
        one(Tensor::of_data(shape, data))
    }
}
