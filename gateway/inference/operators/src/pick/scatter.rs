//! Elements put to the places that indices name.

use super::place::{along, fits, places, tuples};
use crate::error::{BuildError, OperatorError};
use crate::limits::Budget;
use crate::operator::{Inputs, Kernel, Outputs, Setup, one, ready};
use crate::shape::Shape;
use crate::value::{Data, Number, Tensor, pair};

/// What an element becomes where another is put. If one place is named twice, the later counts last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reduction {
    None,
    Add,
    Mul,
    Max,
    Min,
}

fn reduction(setup: &Setup<'_>) -> Result<Reduction, BuildError> {
    const KNOWN: [(&str, Reduction); 5] = [
        ("none", Reduction::None),
        ("add", Reduction::Add),
        ("mul", Reduction::Mul),
        ("max", Reduction::Max),
        ("min", Reduction::Min),
    ];
    match setup.opset() {
        ..16 => Ok(Reduction::None),
        16..18 => setup.attributes().choice("reduction", KNOWN.get(..3).unwrap_or_default()),
        _ => setup.attributes().choice("reduction", &KNOWN),
    }
}

impl Reduction {
    fn of<T: Number>(self, old: T, new: T) -> T {
        match self {
            Self::None => new,
            Self::Add => old.add(new),
            Self::Mul => old.multiply(new),
            Self::Max => {
                if old.is_nan() || old >= new {
                    old
                } else {
                    new
                }
            }
            Self::Min => {
                if old.is_nan() || old <= new {
                    old
                } else {
                    new
                }
            }
        }
    }

    /// Puts slices of a length to where they begin.
    fn put(self, data: &mut Data, updates: &Data, starts: &[usize], length: usize) -> Option<()> {
        if self == Self::None {
            pair!(data, updates, any, old, new => replace(old, new, starts, length), _ => return None);
            return Some(());
        }
        pair!(data, updates, number, old, new => {
            each_place(old, new, starts, length, |old, new| *old = self.of(*old, *new));
        }, _ => return None);
        Some(())
    }
}

fn replace<T: Clone>(old: &mut [T], new: &[T], starts: &[usize], length: usize) {
    each_place(old, new, starts, length, T::clone_from);
}

fn each_place<T>(old: &mut [T], new: &[T], starts: &[usize], length: usize, put: impl Fn(&mut T, &T)) {
    if length == 0 {
        return;
    }
    for (start, new) in starts.iter().zip(new.chunks_exact(length)) {
        let slice = old.get_mut(*start..start + length).unwrap_or_default();
        slice.iter_mut().zip(new).for_each(|(old, new)| put(old, new));
    }
}

#[derive(Debug)]
enum Scatter {
    Elements { axis: i64, reduction: Reduction },
    Slices { reduction: Reduction },
}

pub(super) fn build(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    if setup.op_type() == "Scatter" && setup.opset() >= 11 {
        return Err(BuildError::Unsupported("Scatter is ScatterElements since version 11".to_owned()));
    }
    ready(Scatter::Elements { axis: setup.attributes().int_or("axis", 0)?, reduction: reduction(setup)? })
}

pub(super) fn build_nd(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    ready(Scatter::Slices { reduction: reduction(setup)? })
}

impl Kernel for Scatter {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let (tensor, indices, updates) = (inputs.tensor(0)?, inputs.tensor(1)?, inputs.tensor(2)?);
        let shape = *tensor.shape();
        budget.tensor(&shape, tensor.data_type())?;
        budget.elements(indices.shape().elements(), 2 * size_of::<usize>())?;
        let (starts, length, expected, reduction) = match self {
            Self::Elements { axis, reduction } => {
                let at = shape.axis(*axis).ok_or_else(|| OperatorError::axis(*axis, &shape))?;
                if !fits(&shape, at, indices.shape()) {
                    let got = indices.shape();
                    return Err(OperatorError::Shape(format!("indices of {got} do not fit a tensor of {shape}")));
                }
                let places = places(inputs, 1, shape.dimension(at))?;
                (along(&shape, at, indices.shape(), &places), 1, *indices.shape(), *reduction)
            }
            Self::Slices { reduction } => {
                let (starts, length) = tuples(inputs, &shape, 0)?;
                let indices = indices.shape();
                let width = indices.dimensions().last().copied().unwrap_or(0);
                let outer = indices.dimensions().iter().take(indices.rank().saturating_sub(1));
                let expected = Shape::of(outer.chain(shape.dimensions().iter().skip(width)).copied())?;
                (starts, length, expected, *reduction)
            }
        };
        if *updates.shape() != expected || updates.data_type() != tensor.data_type() {
            return Err(inputs.unexpected(2, &format!("{} of {expected}", tensor.data_type().label())));
        }
        budget.work(updates.shape().elements())?;
        let updates = updates.data().clone();
        let mut data = inputs.take_tensor(0)?.into_data();
        match reduction.put(&mut data, &updates, &starts, length) {
            Some(()) => one(Tensor::of_data(shape, data)),
            None => Err(inputs.unexpected(2, "numbers")),
        }
    }
}
