//! Which scale belongs to which element.

use crate::error::OperatorError;
use crate::shape::Shape;

/// Parts of a tensor with a scale each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Parts {
    Whole,
    /// Places of an axis: their number, and elements from one to the next.
    Axis {
        size: usize,
        inner: usize,
    },
    /// Blocks of so many places of an axis; the other axes have a scale for each place.
    Blocks {
        size: usize,
        inner: usize,
        block: usize,
    },
}

impl Parts {
    pub fn of(shape: &Shape, scales: &Shape, axis: i64, block: usize) -> Result<Self, OperatorError> {
        let failure = || {
            let blocks = if block > 0 { format!(" in blocks of {block}") } else { String::new() };
            OperatorError::Shape(format!("scales of {scales} do not fit a tensor of {shape} along axis {axis}{blocks}"))
        };
        if scales.elements() == 1 && scales.rank() <= 1 && block == 0 {
            return Ok(Self::Whole);
        }
        let at = shape.axis(axis).ok_or_else(failure)?;
        let (_, size, inner) = shape.around(at);
        if block == 0 {
            let fits = scales.dimensions() == [size];
            return if fits { Ok(Self::Axis { size, inner }) } else { Err(failure()) };
        }
        let fits = shape.with(at, size.div_ceil(block))? == *scales;
        if fits { Ok(Self::Blocks { size, inner, block }) } else { Err(failure()) }
    }

    /// The scale of an element.
    pub fn scale_of(self, element: usize) -> usize {
        match self {
            Self::Whole => 0,
            Self::Axis { size, inner } => element / inner.max(1) % size.max(1),
            Self::Blocks { size, inner, block } => {
                let (size, inner) = (size.max(1), inner.max(1));
                let (outer, place) = (element / (size * inner), element / inner % size);
                (outer * size.div_ceil(block) + place / block) * inner + element % inner
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scales(shape: &[usize], scales: &[usize], axis: i64, block: usize) -> Vec<usize> {
        let shape = Shape::new(shape).unwrap();
        let parts = Parts::of(&shape, &Shape::new(scales).unwrap(), axis, block).unwrap();
        (0..shape.elements()).map(|element| parts.scale_of(element)).collect()
    }

    #[test]
    fn elements_have_the_scale_of_their_part() {
        assert_eq!(scales(&[2, 2], &[], 1, 0), [0; 4]);
        assert_eq!(scales(&[2, 2], &[1], 7, 0), [0; 4]);
        assert_eq!(scales(&[2, 2], &[2], -2, 0), [0, 0, 1, 1]);
        assert_eq!(scales(&[3, 2], &[2, 2], 0, 2), [0, 1, 0, 1, 2, 3]);
        assert_eq!(scales(&[2, 3], &[2, 2], 1, 2), [0, 0, 1, 2, 2, 3]);
        assert_eq!(scales(&[0, 3], &[3], 1, 0), [0; 0]);
    }

    #[test]
    fn scales_that_fit_no_parts_are_refused() {
        let fits = |shape: &[usize], scales: &[usize], axis, block| {
            Parts::of(&Shape::new(shape).unwrap(), &Shape::new(scales).unwrap(), axis, block).is_ok()
        };
        assert!(!fits(&[2, 3], &[2], 1, 0));
        assert!(!fits(&[2, 3], &[3], 2, 0));
        assert!(!fits(&[2, 3], &[2, 1], 1, 2));
        assert!(fits(&[2, 3], &[2, 1], 1, usize::MAX));
    }
}
