//! Batch normalization, as it is after training.

use crate::elementwise::convert;
use crate::error::{BuildError, OperatorError};
use crate::limits::Budget;
use crate::operator::{Inputs, Kernel, Outputs, Setup, one, ready};
use crate::value::{Data, DataType, Element, Float, Tensor, each};

/// `(x - mean) / sqrt(variance + epsilon) * scale + bias` by channel, rounded once.
#[derive(Debug)]
struct BatchNormalization {
    epsilon: f64,
}

pub(super) fn build(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    let reader = setup.attributes();
    reader.ignore(&["momentum"]);
    let trains =
        if setup.opset() < 7 { !reader.flag("is_test", false)? } else { reader.flag("training_mode", false)? };
    if trains || (1..setup.outputs()).any(|index| setup.wants(index)) {
        return Err(BuildError::Unsupported("BatchNormalization is asked to train".to_owned()));
    }
    if setup.opset() < 9 && !reader.flag("spatial", true)? {
        return Err(BuildError::attribute("spatial", "expected 1: statistics by channel"));
    }
    ready(BatchNormalization { epsilon: reader.float_or("epsilon", 1e-5)? })
}

/// Numbers of a channel.
struct Channel {
    mean: f64,
    deviation: f64,
    scale: f64,
    bias: f64,
}

fn normalized<T: Float>(elements: &[T], channels: &[Channel], inner: usize) -> Vec<T> {
    let blocks = elements.chunks(inner.max(1)).zip(channels.iter().cycle());
    let apply = |(block, channel): (&[T], &Channel)| {
        let Channel { mean, deviation, scale, bias } = *channel;
        let each = move |element: &T| T::narrow((element.wide() - mean) / deviation * scale + bias);
        block.iter().map(each).collect::<Vec<T>>()
    };
    blocks.flat_map(apply).collect()
}

impl Kernel for BatchNormalization {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let tensor = inputs.tensor(0)?;
        let shape = *tensor.shape();
        let (count, inner) = match shape.dimensions() {
            [] => return Err(inputs.unexpected(0, "a batch")),
            [_] => (1, 1),
            _ => {
                let (_, channels, inner) = shape.around(1);
                (channels, inner)
            }
        };
        budget.tensor(&shape, tensor.data_type())?;
        let numbers = |index: usize| match convert(inputs.tensor(index)?.data(), DataType::Float64) {
            Some(Data::Float64(numbers)) if numbers.len() == count => Ok(numbers),
            _ => Err(inputs.unexpected(index, &format!("{count} numbers"))),
        };
        let (scales, biases, means, variances) = (numbers(1)?, numbers(2)?, numbers(3)?, numbers(4)?);
        let all = scales.into_iter().zip(biases).zip(means.into_iter().zip(variances));
        let channels: Vec<Channel> = all
            .map(|((scale, bias), (mean, variance))| {
                let deviation = (variance + self.epsilon).sqrt();
                Channel { mean, deviation, scale, bias }
            })
            .collect();
        let data = each!(tensor.data(), float, elements => Element::into_data(normalized(elements, &channels, inner)),
            _ => return Err(inputs.unexpected(0, "FP32 or another type with fractions")));
        one(Tensor::of_data(shape, data))
    }
}
