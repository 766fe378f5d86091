//! How two tensors met before version 7.

use std::borrow::Cow;

use crate::broadcast::Broadcast;
use crate::error::{BuildError, OperatorError};
use crate::operator::Setup;
use crate::shape::Shape;
use crate::value::Tensor;

/// How the second of two tensors meets the first.
#[derive(Debug, Clone, Copy)]
pub(super) enum Meeting {
    /// Both are repeated as needed, aligned at the last dimension. Since version 7.
    Multidirectional,
    /// They have the same shape.
    Equal,
    /// The second is repeated to the shape of the first; its first dimension stands at an axis, or its last at the last.
    Unidirectional { axis: Option<i64> },
}

impl Meeting {
    pub fn of(setup: &Setup<'_>) -> Result<Self, BuildError> {
        if setup.opset() >= 7 {
            return Ok(Self::Multidirectional);
        }
        let axis = setup.attributes().int("axis")?;
        let is_repeated = setup.attributes().flag("broadcast", false)?;
        Ok(if is_repeated { Self::Unidirectional { axis } } else { Self::Equal })
    }

    #[inline]
    pub fn meet(self, one: &Tensor, other: &Tensor) -> Result<Broadcast<2>, OperatorError> {
        match self {
            Self::Multidirectional => Broadcast::<2>::of([one.shape(), other.shape()]),
            _ => self.meet_as_before(one.shape(), other.shape()),
        }
    }

    fn meet_as_before(self, first: &Shape, second: &Shape) -> Result<Broadcast<2>, OperatorError> {
        let failure = || OperatorError::Shape(format!("a tensor of {second} cannot be repeated to {first}"));
        let second = match self {
            Self::Multidirectional => Cow::Borrowed(second),
            Self::Equal if first == second => Cow::Borrowed(second),
            Self::Equal => return Err(failure()),
            Self::Unidirectional { axis: None } => Cow::Borrowed(second),
            Self::Unidirectional { axis: Some(axis) } => {
                let axis = first.axis(axis).ok_or_else(failure)?;
                let after = first.rank().checked_sub(axis + second.rank()).ok_or_else(failure)?;
                Cow::Owned(Shape::of(second.dimensions().iter().copied().chain(std::iter::repeat_n(1, after)))?)
            }
        };
        let met = Broadcast::<2>::of([first, &second])?;
        match self {
            Self::Unidirectional { .. } if met.shape() != first => Err(failure()),
            _ => Ok(met),
        }
    }
}
