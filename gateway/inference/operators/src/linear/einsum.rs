//! Sums of products, as an equation says.

use smallvec::SmallVec;

use super::equation::{Equation, Symbol};
use crate::attribute::Reader;
use crate::error::{BuildError, OperatorError};
use crate::limits::Budget;
use crate::operator::{Inputs, Kernel, Outputs, Setup, one, ready};
use crate::shape::Shape;
use crate::value::{Element, Number, Tensor, each};

/// Each sum is made in the order of the letters that are summed, as they come in the equation.
#[derive(Debug)]
struct Einsum {
    equation: Equation,
}

pub(super) fn build(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    let text = Reader::required("equation", setup.attributes().text("equation")?)?;
    let equation = Equation::parse(text).map_err(|problem| BuildError::attribute("equation", problem))?;
    let (expected, got) = (equation.operands.len(), setup.inputs().len());
    if expected != got {
        return Err(BuildError::Count { what: "inputs", expected: expected.to_string(), got });
    }
    ready(Einsum { equation })
}

/// A dimension that letters, or places of the ellipsis, stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Index {
    Letter(u8),
    /// Counted from the last.
    Ellipsis(usize),
}

/// A dimension with its size and the stride of each operand.
struct Loop {
    index: Index,
    size: usize,
    strides: SmallVec<[usize; 3]>,
}

/// The loops of the output, then those that are summed.
struct Loops {
    loops: Vec<Loop>,
    kept: usize,
    shape: Shape,
}

impl Einsum {
    fn loops(&self, tensors: &[&Tensor]) -> Result<Loops, OperatorError> {
        let mut loops: Vec<Loop> = Vec::new();
        for (operand, (symbols, tensor)) in self.equation.operands.iter().zip(tensors).enumerate() {
            let shape = tensor.shape();
            let failure = || OperatorError::Shape(format!("input {operand} of {shape} does not fit the equation"));
            let letters = symbols.iter().filter(|symbol| **symbol != Symbol::Ellipsis).count();
            let hidden = shape.rank().checked_sub(letters).ok_or_else(failure)?;
            if hidden > 0 && letters == symbols.len() {
                return Err(failure());
            }
            let indices = symbols.iter().flat_map(|symbol| match symbol {
                Symbol::Letter(letter) => vec![Index::Letter(*letter)],
                Symbol::Ellipsis => (0..hidden).rev().map(Index::Ellipsis).collect(),
            });
            for (index, (size, stride)) in indices.zip(shape.dimensions().iter().zip(shape.strides())) {
                let found = match loops.iter().position(|known| known.index == index) {
                    Some(found) => found,
                    None => {
                        loops.push(Loop { index, size: 1, strides: SmallVec::from_elem(0, tensors.len()) });
                        loops.len() - 1
                    }
                };
                let Some(known) = loops.get_mut(found) else { return Err(failure()) };
                if *size == 1 {
                    continue;
                }
                if known.size != 1 && known.size != *size {
                    return Err(failure());
                }
                known.size = *size;
                // A letter that is repeated walks along the diagonal.
                known.strides.get_mut(operand).into_iter().for_each(|own| *own += stride);
            }
        }
        let hidden = loops.iter().filter(|it| matches!(it.index, Index::Ellipsis(_))).count();
        let output = self.equation.output.iter().flat_map(|symbol| match symbol {
            Symbol::Letter(letter) => vec![Index::Letter(*letter)],
            Symbol::Ellipsis => (0..hidden).rev().map(Index::Ellipsis).collect(),
        });
        let mut ordered = Vec::with_capacity(loops.len());
        for index in output {
            if let Some(at) = loops.iter().position(|known| known.index == index) {
                ordered.push(loops.remove(at));
            }
        }
        let shape = Shape::of(ordered.iter().map(|it| it.size))?;
        let kept = ordered.len();
        ordered.extend(loops);
        Ok(Loops { loops: ordered, kept, shape })
    }
}

impl Loops {
    /// Calls with the place of each operand, for all places of some loops.
    fn walk(loops: &[Loop], start: &[usize], call: &mut impl FnMut(&[usize])) {
        let Some((first, rest)) = loops.split_first() else { return call(start) };
        let mut places: SmallVec<[usize; 3]> = SmallVec::from_slice(start);
        for _ in 0..first.size {
            Self::walk(rest, &places, call);
            places.iter_mut().zip(&first.strides).for_each(|(place, stride)| *place += stride);
        }
    }

    fn sums<T: Number>(&self, tensors: &[&Tensor], _typed: &[T]) -> Vec<T> {
        let operands: Vec<&[T]> = tensors.iter().map(|tensor| tensor.elements().unwrap_or_default()).collect();
        let (kept, summed) = self.loops.split_at(self.kept.min(self.loops.len()));
        let mut made = Vec::with_capacity(self.shape.elements());
        let start: SmallVec<[usize; 3]> = SmallVec::from_elem(0, tensors.len());
        Self::walk(kept, &start, &mut |places| {
            let mut sum = T::sum();
            Self::walk(summed, places, &mut |places| {
                let factors = operands.iter().zip(places).filter_map(|(operand, place)| operand.get(*place));
                sum.add(factors.fold(T::Wide::ONE, |product, factor| product.multiply(factor.wide())));
            });
            made.push(T::narrow(sum.total()));
        });
        made
    }
}

impl Kernel for Einsum {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let tensors = inputs.tensors()?;
        let Some(first) = tensors.first() else { return Err(inputs.unexpected(0, "a tensor")) };
        let other = tensors.iter().position(|tensor| tensor.data_type() != first.data_type());
        if let Some(index) = other {
            return Err(inputs.unexpected(index, &format!("{}, as the first", first.data_type().label())));
        }
        let loops = self.loops(&tensors)?;
        budget.tensor(&loops.shape, first.data_type())?;
        let volume = loops.loops.iter().fold(tensors.len(), |volume, it| volume.saturating_mul(it.size.max(1)));
        budget.work(volume)?;
        // Of no elements the loops around may be any number.
        let data = if loops.shape.elements() == 0 {
            crate::Data::zeros(first.data_type(), 0)
        } else {
            each!(first.data(), number, elements => Element::into_data(loops.sums(&tensors, elements)),
                _ => return Err(inputs.unexpected(0, "numbers")))
        };
        one(Tensor::of_data(loops.shape, data))
    }
}
