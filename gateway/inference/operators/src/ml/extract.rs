//! Features picked out of rows, and rows put together.

use crate::error::{BuildError, OperatorError};
use crate::limits::Budget;
use crate::operator::{Inputs, Kernel, Outputs, Setup, one, ready};
use crate::shape::Shape;
use crate::value::{DataType, Tensor, alike, each};

/// Places of the last axis. Of a vector it makes a row.
#[derive(Debug)]
struct ArrayFeatureExtractor;

pub(super) fn build(_setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    ready(ArrayFeatureExtractor)
}

impl Kernel for ArrayFeatureExtractor {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let tensor = inputs.tensor(0)?;
        let (indices, shape) = (inputs.elements::<i64>(1)?, *tensor.shape());
        let Some((width, before)) = shape.dimensions().split_last() else {
            return Err(inputs.unexpected(0, "a tensor of at least one dimension"));
        };
        let place = |index: &i64| {
            let place = usize::try_from(*index).ok().filter(|place| place < width);
            place.ok_or_else(|| OperatorError::Element(format!("index {index} is out of range for rows of {width}")))
        };
        let places = indices.iter().map(place).collect::<Result<Vec<_>, _>>()?;
        if places.is_empty() {
            return Err(inputs.unexpected(1, "at least one index"));
        }
        let before = if before.is_empty() { &[1][..] } else { before };
        let made = Shape::of(before.iter().copied().chain([places.len()]))?;
        budget.tensor(&made, tensor.data_type())?;
        let data = alike!(tensor.data(), elements => {
            let rows = elements.chunks_exact((*width).max(1));
            rows.flat_map(|row| places.iter().filter_map(|place| row.get(*place))).cloned().collect()
        });
        one(Tensor::of_data(made, data))
    }
}

/// Rows behind each other, cut off or filled up with zeros to the lengths that are told.
#[derive(Debug)]
struct FeatureVectorizer {
    widths: Option<Vec<usize>>,
}

pub(super) fn build_vectorizer(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    let failure = |problem: String| BuildError::attribute("inputdimensions", problem);
    let Some(told) = setup.attributes().ints("inputdimensions")? else {
        return ready(FeatureVectorizer { widths: None });
    };
    let widths: Option<Vec<usize>> = told.iter().map(|width| usize::try_from(*width).ok()).collect();
    let widths = widths.ok_or_else(|| failure("expected numbers of at least 0".to_owned()))?;
    if widths.len() != setup.inputs().len() {
        return Err(failure(format!("expected {}, one for each input, got {}", setup.inputs().len(), widths.len())));
    }
    ready(FeatureVectorizer { widths: Some(widths) })
}

impl Kernel for FeatureVectorizer {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let tensors = inputs.tensors()?;
        let mut parts = Vec::with_capacity(tensors.len());
        let mut count = None;
        for (index, tensor) in tensors.iter().enumerate() {
            let (rows, width) = match tensor.shape().dimensions() {
                [width] => (1, *width),
                [rows, width] => (*rows, *width),
                _ => return Err(inputs.unexpected(index, "a tensor of [N, F] or [F]")),
            };
            if *count.get_or_insert(rows) != rows {
                return Err(inputs.unexpected(index, "as many rows as the first"));
            }
            let wanted = self.widths.as_ref().and_then(|widths| widths.get(index)).copied().unwrap_or(width);
            budget.tensor(tensor.shape(), DataType::Float32)?;
            let numbers = match tensor.data_type() {
                DataType::Int32 | DataType::Int64 | DataType::Float32 | DataType::Float64 => {
                    crate::elementwise::convert(tensor.data(), DataType::Float32)
                }
                _ => None,
            };
            parts.push((numbers.ok_or_else(|| inputs.unexpected(index, "FP32, FP64, INT64 or INT32"))?, width, wanted));
        }
        let (count, total) = (count.unwrap_or(0), parts.iter().fold(0, |sum: usize, part| sum.saturating_add(part.2)));
        let shape = Shape::new(&[count, total])?;
        budget.tensor(&shape, DataType::Float32)?;
        let mut made: Vec<f32> = Vec::with_capacity(shape.elements());
        for row in 0..if total == 0 { 0 } else { count } {
            for (numbers, width, wanted) in &parts {
                let taken = each!(numbers, [Float32], numbers => {
                    numbers.get(row * width..row * width + (*width).min(*wanted)).unwrap_or_default()
                }, _ => &[]);
                made.extend_from_slice(taken);
                made.extend(std::iter::repeat_n(0.0, wanted - taken.len()));
            }
        }
        one(Tensor::made(shape, made))
    }
}
