//! Numbers of whole numbers.

use super::parts::Parts;
use super::quantize::{block, optional_type};
use crate::DataType;
use crate::elementwise::convert;
use crate::error::{BuildError, OperatorError};
use crate::limits::Budget;
use crate::operator::{Inputs, Kernel, Outputs, Setup, one, ready};
use crate::value::{Data, Integer, Tensor};

/// Products of a scale and the distance from a zero point, rounded once.
#[derive(Debug)]
struct Dequantize {
    axis: i64,
    block: usize,
    made: Option<DataType>,
}

pub(super) fn build(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    let axis = if setup.opset() < 13 { 1 } else { setup.attributes().int_or("axis", 1)? };
    ready(Dequantize { axis, block: block(setup)?, made: optional_type(setup, "output_dtype", 23)? })
}

fn products<T: Integer>(elements: &[T], zeros: &[T], scales: &[f64], parts: Parts) -> Vec<f64> {
    let product = |(at, element): (usize, &T)| {
        let part = parts.scale_of(at);
        let zero = zeros.get(part).map_or(0.0, |zero| zero.to_f64());
        (element.to_f64() - zero) * scales.get(part).copied().unwrap_or(f64::NAN)
    };
    elements.iter().enumerate().map(product).collect()
}

impl Kernel for Dequantize {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let (tensor, scales, zeros) = (inputs.tensor(0)?, inputs.tensor(1)?, inputs.optional(2)?);
        let shape = *tensor.shape();
        let parts = Parts::of(&shape, scales.shape(), self.axis, self.block)?;
        if zeros.is_some_and(|zeros| zeros.shape() != scales.shape() || zeros.data_type() != tensor.data_type()) {
            return Err(inputs.unexpected(2, &format!("{} of {}", tensor.data_type().label(), scales.shape())));
        }
        if let Some(Data::Int32(zeros)) = zeros.map(Tensor::data)
            && zeros.iter().any(|zero| *zero != 0)
        {
            return Err(OperatorError::Element("the zero point of 32-bit numbers is 0".to_owned()));
        }
        let made = self.made.unwrap_or(scales.data_type());
        let is_float = |data_type| matches!(data_type, DataType::Float16 | DataType::Bfloat16 | DataType::Float32);
        if !is_float(scales.data_type()) || !is_float(made) {
            return Err(inputs.unexpected(1, "FP32, FP16 or BF16"));
        }
        budget.elements(shape.elements(), size_of::<f64>() + made.size())?;
        budget.elements(scales.shape().elements(), size_of::<f64>())?;
        let Some(Data::Float64(scales)) = convert(scales.data(), DataType::Float64) else {
            return Err(inputs.unexpected(1, "numbers"));
        };
        let none = Data::zeros(tensor.data_type(), 0);
        let zeros = zeros.map_or(&none, Tensor::data);
        let numbers = crate::value::pair!(tensor.data(), zeros, [Uint8, Uint16, Int8, Int16, Int32], elements, zeros => {
            products(elements, zeros, &scales, parts)
        }, _ => return Err(inputs.unexpected(0, "UINT8, INT8, UINT16, INT16 or INT32")));
        match convert(&Data::Float64(numbers), made) {
            Some(data) => one(Tensor::of_data(shape, data)),
            None => Err(inputs.unexpected(1, "numbers")),
        }
    }
}
