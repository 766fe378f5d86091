//! Sizes of tensors, and how elements of different tensors meet.

use std::fmt;

/// Dimensions that a tensor can have. Models of tables and texts have up to three, and shapes are kept in place of this
/// size, so that making a tensor of one row allocates once.
pub const RANK_LIMIT: usize = 8;

/// Largest product of a shape's dimensions, those of zero left out. No tensor comes near it ([`crate::Limits`]); below it,
/// offsets and strides are whole numbers that cannot overflow.
pub const VOLUME_LIMIT: usize = 1 << 48;

/// Dimensions of a tensor, the last varying fastest.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    rank: usize,
    elements: usize,
    /// Those beyond the rank are 0.
    dimensions: [usize; RANK_LIMIT],
}

/// Dimensions that no tensor can have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    #[error("expected at most {RANK_LIMIT} dimensions, got {0}")]
    Rank(usize),
    #[error("a tensor of {0:?} is too large")]
    Volume(Vec<usize>),
}

impl Shape {
    /// One element, no dimensions.
    pub const SCALAR: Self = Self { rank: 0, elements: 1, dimensions: [0; RANK_LIMIT] };

    /// At most [`RANK_LIMIT`] dimensions, of a product of at most [`VOLUME_LIMIT`].
    pub fn new(dimensions: &[usize]) -> Result<Self, ShapeError> {
        Self::of(dimensions.iter().copied())
    }

    /// As [`Self::new`], of dimensions that are told one by one.
    pub fn of(dimensions: impl IntoIterator<Item = usize>) -> Result<Self, ShapeError> {
        let (mut kept, mut rank, mut volume, mut is_empty) = ([0; RANK_LIMIT], 0, 1_usize, false);
        let mut dimensions = dimensions.into_iter();
        while let Some(dimension) = dimensions.next() {
            let Some(place) = kept.get_mut(rank) else {
                return Err(ShapeError::Rank(rank + 1 + dimensions.count()));
            };
            *place = dimension;
            rank += 1;
            is_empty |= dimension == 0;
            volume = volume.saturating_mul(dimension.max(1));
        }
        let shape = Self { rank, elements: if is_empty { 0 } else { volume }, dimensions: kept };
        if volume > VOLUME_LIMIT { Err(ShapeError::Volume(shape.dimensions().to_vec())) } else { Ok(shape) }
    }

    /// A vector of so many elements, of any number that memory can hold.
    pub fn vector(elements: usize) -> Self {
        let mut shape = Self { rank: 1, elements, dimensions: [0; RANK_LIMIT] };
        if let Some(first) = shape.dimensions.first_mut() {
            *first = elements;
        }
        shape
    }

    pub fn dimensions(&self) -> &[usize] {
        self.dimensions.get(..self.rank).unwrap_or_default()
    }

    pub fn rank(&self) -> usize {
        self.rank
    }

    /// Product of the dimensions: 1 if there are none.
    pub fn elements(&self) -> usize {
        self.elements
    }

    /// A dimension; 1 where there is none.
    pub fn dimension(&self, axis: usize) -> usize {
        self.dimensions().get(axis).copied().unwrap_or(1)
    }

    /// An axis as ONNX counts it: negative from the back. None if there is no such axis.
    pub fn axis(&self, axis: i64) -> Option<usize> {
        resolve_axis(axis, self.rank)
    }

    /// Product of the dimensions before an axis, that dimension, and the product of those after it.
    pub fn around(&self, axis: usize) -> (usize, usize, usize) {
        let product = |dimensions: &[usize]| dimensions.iter().product();
        let (before, rest) = self.dimensions().split_at(axis.min(self.rank));
        let (dimension, after) = rest.split_first().map_or((1, rest), |(first, after)| (*first, after));
        (product(before), dimension, product(after))
    }

    /// The same with one dimension exchanged.
    pub fn with(&self, axis: usize, dimension: usize) -> Result<Self, ShapeError> {
        Self::of(self.dimensions().iter().enumerate().map(|(at, old)| if at == axis { dimension } else { *old }))
    }

    /// Elements from one place of a dimension to the next, for each of the dimensions.
    pub fn strides(&self) -> [usize; RANK_LIMIT] {
        let (mut strides, mut step) = ([0; RANK_LIMIT], 1_usize);
        for (stride, dimension) in strides.iter_mut().zip(self.dimensions()).rev() {
            *stride = step;
            step = step.saturating_mul(*dimension);
        }
        strides
    }

    /// The shape that elements of both meet in: dimensions are aligned at the last, and those of 1 are repeated (ONNX's
    /// multidirectional broadcasting). None if two differ and neither is 1.
    pub fn broadcast(&self, other: &Self) -> Option<Self> {
        if self == other {
            return Some(*self);
        }
        let rank = self.rank.max(other.rank);
        let (mut dimensions, mut fits) = ([0; RANK_LIMIT], true);
        for (at, dimension) in dimensions.iter_mut().take(rank).enumerate() {
            let of = |shape: &Self| (at + shape.rank).checked_sub(rank).map_or(1, |axis| shape.dimension(axis));
            *dimension = match (of(self), of(other)) {
                (1, size) | (size, 1) => size,
                (one, two) => {
                    fits &= one == two;
                    one
                }
            };
        }
        if fits { Self::new(dimensions.get(..rank)?).ok() } else { None }
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}", self.dimensions())
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}", self.dimensions())
    }
}

/// An axis as ONNX counts it, of so many: negative from the back.
pub fn resolve_axis(axis: i64, rank: usize) -> Option<usize> {
    let rank = i64::try_from(rank).ok()?;
    let counted = if axis < 0 { axis.checked_add(rank)? } else { axis };
    if (0..rank).contains(&counted) { usize::try_from(counted).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(dimensions: &[usize]) -> Shape {
        Shape::new(dimensions).unwrap()
    }

    #[test]
    fn elements_are_the_product_of_the_dimensions() {
        assert_eq!(shape(&[]).elements(), 1);
        assert_eq!(shape(&[2, 3]).elements(), 6);
        assert_eq!(shape(&[2, 0, 3]).elements(), 0);
    }

    #[test]
    fn shapes_that_no_memory_holds_are_refused() {
        assert_eq!(Shape::new(&[1; 9]), Err(ShapeError::Rank(9)));
        assert!(Shape::new(&[1 << 30, 1 << 30]).is_err());
        assert!(Shape::new(&[usize::MAX, 0, usize::MAX]).is_err(), "strides of empty tensors must not overflow either");
    }

    #[test]
    fn dimensions_of_one_are_repeated_in_both_directions() {
        assert_eq!(shape(&[2, 1, 3]).broadcast(&shape(&[4, 1])), Some(shape(&[2, 4, 3])));
        assert_eq!(shape(&[]).broadcast(&shape(&[0])), Some(shape(&[0])));
        assert_eq!(shape(&[0]).broadcast(&shape(&[1])), Some(shape(&[0])));
        assert_eq!(shape(&[2]).broadcast(&shape(&[3])), None);
    }

    #[test]
    fn axes_are_counted_from_either_end() {
        assert_eq!(shape(&[2, 3]).axis(-1), Some(1));
        assert_eq!(shape(&[2, 3]).axis(2), None);
        assert_eq!(shape(&[2, 3]).axis(i64::MIN), None);
    }
}
