//! The best of boxes that overlap.

use crate::error::{BuildError, OperatorError};
use crate::limits::Budget;
use crate::operator::{Inputs, Kernel, Outputs, Setup, one, ready};
use crate::shape::Shape;
use crate::value::Tensor;

/// By falling score, of equal ones the first; boxes that overlap more than a limit with one that is kept are left out.
#[derive(Debug)]
struct Suppression {
    /// Whether boxes are told by their middle and their size, and not by two corners.
    has_middle: bool,
}

pub(super) fn build(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    ready(Suppression { has_middle: setup.attributes().flag("center_point_box", false)? })
}

/// A box by its ends along both axes.
#[derive(Debug, Clone, Copy)]
struct Area {
    from: [f64; 2],
    to: [f64; 2],
}

impl Area {
    fn size(&self) -> f64 {
        (self.to[0] - self.from[0]) * (self.to[1] - self.from[1])
    }

    /// The part of both that they share. Of boxes of no size there is none.
    fn overlap(&self, other: &Self) -> f64 {
        let side = |axis: usize| {
            let ends = [self.to, other.to].map(|to| to.get(axis).copied().unwrap_or(0.0));
            let starts = [self.from, other.from].map(|from| from.get(axis).copied().unwrap_or(0.0));
            (ends[0].min(ends[1]) - starts[0].max(starts[1])).max(0.0)
        };
        let shared = side(0) * side(1);
        if shared > 0.0 { shared / (self.size() + other.size() - shared) } else { 0.0 }
    }
}

impl Suppression {
    fn area(&self, numbers: [f32; 4]) -> Area {
        let [a, b, c, d] = numbers.map(f64::from);
        if self.has_middle {
            return Area { from: [a - c / 2.0, b - d / 2.0], to: [a + c / 2.0, b + d / 2.0] };
        }
        Area { from: [a.min(c), b.min(d)], to: [a.max(c), b.max(d)] }
    }
}

/// What an input tells, if it is there.
fn number(inputs: &Inputs<'_>, index: usize) -> Result<Option<f32>, OperatorError> {
    inputs.optional(index)?.map(|_| inputs.number::<f32>(index)).transpose()
}

impl Kernel for Suppression {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let (boxes, scores) = (inputs.elements::<f32>(0)?, inputs.elements::<f32>(1)?);
        let ([batch, count, 4], [images, classes, scored]) =
            (inputs.tensor(0)?.shape().dimensions(), inputs.tensor(1)?.shape().dimensions())
        else {
            return Err(inputs.unexpected(0, "boxes of [batch, N, 4], with scores of [batch, classes, N]"));
        };
        if batch != images || count != scored {
            return Err(inputs.unexpected(1, &format!("scores of {count} boxes of {batch} images")));
        }
        if scores.iter().any(|score| score.is_nan()) {
            return Err(OperatorError::Element("a score is not a number".to_owned()));
        }
        let most = inputs.optional(2)?.map(|_| inputs.integer(2)).transpose()?.unwrap_or(0);
        let most = usize::try_from(most).unwrap_or(0).min(*count);
        let limit = f64::from(number(inputs, 3)?.unwrap_or(0.0));
        let least = number(inputs, 4)?;
        let all = batch.saturating_mul(*classes);
        budget.elements(boxes.len() / 4, size_of::<Area>())?;
        budget.elements(*count, size_of::<usize>())?;
        budget.elements(all.saturating_mul(most), 3 * size_of::<i64>())?;
        budget.work(all.saturating_mul(count.saturating_mul(most.saturating_add(64))))?;
        let areas: Vec<Area> = boxes.as_chunks::<4>().0.iter().map(|numbers| self.area(*numbers)).collect();
        let mut chosen: Vec<i64> = Vec::new();
        if *count == 0 || most == 0 {
            return one(Tensor::made(Shape::new(&[0, 3])?, chosen));
        }
        for (at, scores) in scores.chunks(*count).enumerate() {
            let (image, class) = (at / classes.max(&1), at % classes.max(&1));
            let score = |index: usize| scores.get(index).copied().unwrap_or(f32::NEG_INFINITY);
            let mut order: Vec<usize> =
                (0..*count).filter(|index| least.is_none_or(|least| score(*index) >= least)).collect();
            order.sort_by(|one, other| score(*other).total_cmp(&score(*one)));
            let mut kept: Vec<Area> = Vec::new();
            for index in order {
                let Some(area) = areas.get(image * count + index).filter(|_| kept.len() < most) else { break };
                if kept.iter().all(|other| area.overlap(other) <= limit) {
                    kept.push(*area);
                    chosen.extend([image as i64, class as i64, index as i64]);
                }
            }
        }
        one(Tensor::made(Shape::new(&[chosen.len() / 3, 3])?, chosen))
    }
}
