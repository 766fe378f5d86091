//! The same elements in other dimensions.

use smallvec::SmallVec;

use crate::error::{BuildError, OperatorError};
use crate::limits::Budget;
use crate::operator::{Inputs, Kernel, Outputs, Setup, one, ready};
use crate::shape::{RANK_LIMIT, Shape, resolve_axis};
use crate::value::{Tensor, Value};

/// What becomes of the shape.
#[derive(Debug)]
enum Reshape {
    /// To sizes: one of -1 is what is left, one of 0 stays if zeros do not mean themselves.
    To { sizes: Option<Vec<i64>>, allow_zero: bool },
    /// To a matrix, the axes before one in its rows.
    Flatten { axis: i64 },
    /// Without axes of one place, or without all such axes.
    Squeeze { axes: Option<Vec<i64>> },
    /// With more axes of one place.
    Unsqueeze { axes: Option<Vec<i64>> },
}

pub(super) fn build(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    let sizes =
        if setup.opset() < 5 { Some(setup.attributes().ints("shape")?.unwrap_or_default().to_vec()) } else { None };
    let allow_zero = setup.opset() >= 14 && setup.attributes().flag("allowzero", false)?;
    ready(Reshape::To { sizes, allow_zero })
}

pub(super) fn build_flatten(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    ready(Reshape::Flatten { axis: setup.attributes().int_or("axis", 1)? })
}

/// Axes are attributes before version 13, and an input since.
fn axes(setup: &Setup<'_>) -> Result<Option<Vec<i64>>, BuildError> {
    Ok(if setup.opset() < 13 { setup.attributes().ints("axes")?.map(<[i64]>::to_vec) } else { None })
}

pub(super) fn build_squeeze(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    ready(Reshape::Squeeze { axes: axes(setup)? })
}

pub(super) fn build_unsqueeze(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    let axes = axes(setup)?;
    if axes.is_none() && setup.opset() < 13 {
        return Err(BuildError::attribute("axes", "is required"));
    }
    ready(Reshape::Unsqueeze { axes })
}

impl Reshape {
    fn shape(&self, shape: &Shape, inputs: &Inputs<'_>) -> Result<Shape, OperatorError> {
        let listed = |own: &Option<Vec<i64>>| -> Result<Option<SmallVec<[i64; 8]>>, OperatorError> {
            match own {
                Some(own) => Ok(Some(SmallVec::from_slice(own))),
                None => inputs.optional_integers(1),
            }
        };
        match self {
            Self::To { sizes, allow_zero } => {
                let sizes = listed(sizes)?.ok_or_else(|| inputs.unexpected(1, "a shape"))?;
                reshaped(shape, &sizes, *allow_zero)
            }
            Self::Flatten { axis } => {
                // One behind the last is allowed.
                let axis = resolve_axis(*axis, shape.rank() + usize::from(*axis >= 0));
                let axis = axis.ok_or_else(|| OperatorError::Shape(format!("axis is out of range for {shape}")))?;
                let (before, size, after) = shape.around(axis);
                Ok(Shape::new(&[before, size * after])?)
            }
            Self::Squeeze { axes } => squeezed(shape, listed(axes)?.as_deref()),
            Self::Unsqueeze { axes } => {
                let axes = listed(axes)?.ok_or_else(|| inputs.unexpected(1, "axes"))?;
                unsqueezed(shape, &axes)
            }
        }
    }
}

fn reshaped(shape: &Shape, sizes: &[i64], allow_zero: bool) -> Result<Shape, OperatorError> {
    let failure = || OperatorError::Shape(format!("a tensor of {shape} cannot have the shape {sizes:?}"));
    let (mut kept, mut open): (SmallVec<[usize; RANK_LIMIT]>, _) = (SmallVec::new(), None);
    for (axis, size) in sizes.iter().enumerate() {
        kept.push(match size {
            -1 if open.is_none() => {
                open = Some(axis);
                1
            }
            0 if !allow_zero => *shape.dimensions().get(axis).ok_or_else(failure)?,
            size => usize::try_from(*size).map_err(|_| failure())?,
        });
    }
    if let Some(axis) = open {
        let rest = Shape::new(&kept)?.elements();
        // Of no elements anything could be left.
        let size = shape.elements().checked_div(rest).ok_or_else(failure)?;
        kept.get_mut(axis).into_iter().for_each(|kept| *kept = size);
    }
    let made = Shape::new(&kept)?;
    if made.elements() == shape.elements() { Ok(made) } else { Err(failure()) }
}

fn squeezed(shape: &Shape, axes: Option<&[i64]>) -> Result<Shape, OperatorError> {
    let mut is_gone = [false; RANK_LIMIT];
    match axes {
        None => is_gone.iter_mut().zip(shape.dimensions()).for_each(|(gone, size)| *gone = *size == 1),
        Some(axes) => {
            for axis in axes {
                let at = shape.axis(*axis).ok_or_else(|| OperatorError::axis(*axis, shape))?;
                if shape.dimension(at) != 1 {
                    return Err(OperatorError::Shape(format!("axis {axis} of {shape} is not of one place")));
                }
                is_gone.get_mut(at).into_iter().for_each(|gone| *gone = true);
            }
        }
    }
    let kept = shape.dimensions().iter().zip(is_gone).filter(|(_, gone)| !gone).map(|(size, _)| *size);
    Ok(Shape::of(kept)?)
}

fn unsqueezed(shape: &Shape, axes: &[i64]) -> Result<Shape, OperatorError> {
    let rank = shape.rank() + axes.len();
    let mut is_new: SmallVec<[bool; RANK_LIMIT]> = SmallVec::from_elem(false, rank.min(2 * RANK_LIMIT));
    for axis in axes {
        let place = resolve_axis(*axis, rank).and_then(|axis| is_new.get_mut(axis)).filter(|new| !**new);
        *place.ok_or_else(|| OperatorError::Shape(format!("axes {axes:?} cannot be added to {shape}")))? = true;
    }
    let mut old = shape.dimensions().iter().copied();
    Ok(Shape::of(is_new.iter().map(|new| if *new { 1 } else { old.next().unwrap_or(1) }))?)
}

impl Kernel for Reshape {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let tensor = inputs.tensor(0)?;
        let shape = self.shape(tensor.shape(), inputs)?;
        budget.tensor(&shape, tensor.data_type())?;
        one(Tensor::of_data(shape, inputs.take_tensor(0)?.into_data()))
    }
}

/// The value as it is, of whatever kind.
#[derive(Debug)]
struct Identity;

pub(super) fn build_identity(_setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    ready(Identity)
}

impl Kernel for Identity {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        budget.bytes(inputs.value(0).bytes())?;
        Ok(std::iter::once(inputs.take(0)).collect())
    }
}

/// What drops nothing, as models are not trained here.
#[derive(Debug)]
struct Dropout {
    wants_mask: bool,
}

pub(super) fn build_dropout(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    setup.attributes().ignore(&["seed", "ratio"]);
    if setup.opset() < 7 && !setup.attributes().flag("is_test", false)? {
        return Err(BuildError::attribute("is_test", "expected 1: models are not trained here"));
    }
    if setup.wants(1) && setup.opset() < 10 {
        return Err(BuildError::Unsupported("the mask of Dropout is supported since version 10".to_owned()));
    }
    ready(Dropout { wants_mask: setup.wants(1) })
}

impl Kernel for Dropout {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        if inputs.optional(2)?.is_some() && inputs.elements::<bool>(2)? != [false] {
            return Err(OperatorError::Element("Dropout is asked to train".to_owned()));
        }
        let tensor = inputs.tensor(0)?;
        budget.tensor(tensor.shape(), tensor.data_type())?;
        let mask = self.wants_mask.then(|| Tensor::made(*tensor.shape(), vec![true; tensor.shape().elements()]));
        let mut outputs: Outputs = std::iter::once(Value::Tensor(inputs.take_tensor(0)?)).collect();
        outputs.extend(mask.map(Value::Tensor));
        Ok(outputs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(dimensions: &[usize]) -> Shape {
        Shape::new(dimensions).unwrap()
    }

    #[test]
    fn sizes_may_be_left_open_or_kept() {
        assert_eq!(reshaped(&shape(&[2, 6]), &[0, -1, 3], false), Ok(shape(&[2, 2, 3])));
        assert_eq!(reshaped(&shape(&[1]), &[], false), Ok(shape(&[])));
        assert_eq!(reshaped(&shape(&[0, 3]), &[3, 0], true), Ok(shape(&[3, 0])));
        assert_eq!(reshaped(&shape(&[0, 3]), &[-1, 3], false), Ok(shape(&[0, 3])));
        for sizes in [&[5, -1][..], &[-1, -1], &[12, 1, 0], &[-2, 6], &[-1, 0]] {
            assert!(reshaped(&shape(&[2, 6]), sizes, sizes.len() == 2).is_err(), "{sizes:?}");
        }
    }

    #[test]
    fn axes_of_one_place_come_and_go() {
        assert_eq!(squeezed(&shape(&[1, 2, 1]), None), Ok(shape(&[2])));
        assert_eq!(squeezed(&shape(&[1, 2, 1]), Some(&[-1])), Ok(shape(&[1, 2])));
        assert!(squeezed(&shape(&[1, 2]), Some(&[1])).is_err());
        assert_eq!(unsqueezed(&shape(&[2, 3]), &[0, -1]), Ok(shape(&[1, 2, 3, 1])));
        assert!(unsqueezed(&shape(&[2]), &[0, 0]).is_err());
        assert!(unsqueezed(&shape(&[2]), &[0; 20]).is_err());
    }
}
