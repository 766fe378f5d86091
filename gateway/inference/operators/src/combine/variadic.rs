//! Largest, smallest, sum and mean of any number of tensors.

use std::borrow::Cow;

use crate::broadcast::{Broadcast, Operands};
use crate::common;
use crate::elementwise::convert;
use crate::error::{BuildError, OperatorError};
use crate::limits::Budget;
use crate::operator::{Inputs, Kernel, Outputs, Setup, one, ready};
use crate::shape::Shape;
use crate::value::{Data, DataType, Number, Tensor, each, pair};

/// What is made of elements, from the first tensor to the last. Sums of numbers with fractions are made in 64 bits and
/// rounded once.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fold {
    Max,
    Mean,
    Min,
    Sum,
}

#[derive(Debug)]
struct Variadic {
    fold: Fold,
    /// Before version 8 all shapes are the same.
    is_repeated: bool,
}

pub(super) fn build(setup: &Setup<'_>, fold: Fold) -> Result<Box<dyn Kernel>, BuildError> {
    if let Some(index) = (0..setup.inputs().len()).find(|index| !setup.has(*index)) {
        return Err(BuildError::Input { index, problem: "is required".to_owned() });
    }
    ready(Variadic { fold, is_repeated: setup.opset() >= 8 })
}

impl Variadic {
    fn pair<T: Number>(&self, met: &Broadcast<2>, operands: Operands<'_, T>) -> Data {
        T::into_data(match self.fold {
            // NaN is larger and smaller than all.
            Fold::Max => met.make(operands, |a, b| if a.is_nan() || *a >= *b { *a } else { *b }),
            Fold::Min => met.make(operands, |a, b| if a.is_nan() || *a <= *b { *a } else { *b }),
            Fold::Sum | Fold::Mean => met.make(operands, |a, b| a.add(*b)),
        })
    }
}

/// Elements as they are summed or compared.
fn operand(tensor: &Tensor, is_sum: bool) -> Cow<'_, Data> {
    let wide = if is_sum { convert(tensor.data(), DataType::Float64) } else { None };
    wide.map_or_else(|| common::widened(tensor.data()), Cow::Owned)
}

impl Kernel for Variadic {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let tensors = inputs.tensors()?;
        let Some((first, rest)) = tensors.split_first() else {
            return Err(inputs.unexpected(0, "a tensor"));
        };
        let data_type = first.data_type();
        let is_sum = matches!(self.fold, Fold::Sum | Fold::Mean);
        let is_float = each!(first.data(), float, _elements => true, _ => false);
        if !each!(first.data(), number, _elements => !is_sum || is_float, _ => false) {
            return Err(inputs.unexpected(0, if is_sum { "numbers with fractions" } else { "numbers" }));
        }
        let mut shape: Shape = *first.shape();
        let mut made = operand(first, is_sum);
        for (before, tensor) in rest.iter().enumerate() {
            if tensor.data_type() != data_type || !self.is_repeated && tensor.shape() != &shape {
                let expected = format!("{} of {shape}, as the first", data_type.label());
                return Err(inputs.unexpected(before + 1, &expected));
            }
            let met = Broadcast::<2>::of([&shape, tensor.shape()])?;
            budget.tensor(met.shape(), if is_sum { DataType::Float64 } else { data_type })?;
            common::ask(budget, met.shape(), [first, tensor])?;
            let other = operand(tensor, is_sum);
            let unlike = || inputs.unexpected(before + 1, data_type.label());
            made = Cow::Owned(match made {
                // What was made so far is nobody else's.
                Cow::Owned(made) if met.shape() == &shape => {
                    pair!(made, other.as_ref(), common, a, b => self.pair(&met, Operands::First(a, b)), _ => return Err(unlike()))
                }
                made => pair!(made.as_ref(), other.as_ref(), common, a, b => self.pair(&met, Operands::Kept(a, b)),
                    _ => return Err(unlike())),
            });
            shape = *met.shape();
        }
        let made = match (made.into_owned(), self.fold) {
            (Data::Float64(mut numbers), Fold::Mean) => {
                let count = tensors.len() as f64;
                numbers.iter_mut().for_each(|number| *number /= count);
                Data::Float64(numbers)
            }
            (made, _) => made,
        };
        match common::narrowed(made, data_type) {
            Some(data) => one(Tensor::of_data(shape, data)),
            None => Err(inputs.unexpected(0, "numbers")),
        }
    }
}
