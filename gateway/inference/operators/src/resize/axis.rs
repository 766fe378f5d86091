//! One axis of another length.

use super::coordinate::Length;
use super::filter::{Taps, Weighing};
use crate::error::OperatorError;
use crate::limits::Budget;
use crate::lines::map_lines;
use crate::shape::Shape;

/// What all outputs along an axis are made of.
pub(super) fn taps(weighing: &Weighing, length: &Length, budget: &mut Budget) -> Result<Vec<Taps>, OperatorError> {
    weighing.coordinate.check(length)?;
    if length.input == 0 && length.output > 0 {
        return Err(OperatorError::Shape(format!("an axis without places cannot have {}", length.output)));
    }
    let width = size_of::<Taps>() + weighing.width(length).saturating_mul(size_of::<(usize, f64)>());
    budget.elements(length.output, width)?;
    budget.work(length.output.saturating_mul(weighing.width(length)))?;
    Ok((0..length.output).map(|place| weighing.taps(length, place)).collect())
}

/// Sums of an axis. What is made of anything outside is NaN here, and told so to the caller by its taps.
pub(super) fn weighed(numbers: &[f64], shape: &Shape, axis: usize, taps: &[Taps]) -> Vec<f64> {
    map_lines(numbers, shape, axis, taps.len(), |line, made: &mut [f64]| {
        for (made, taps) in made.iter_mut().zip(taps) {
            *made = match taps {
                Taps::Outside => f64::NAN,
                Taps::Inside(taps) => taps.iter().filter_map(|(place, weight)| Some(line.get(*place)? * weight)).sum(),
            };
        }
    })
}
