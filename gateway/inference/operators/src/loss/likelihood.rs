//! Losses of the logarithms of probabilities.

use crate::elementwise::convert;
use crate::error::{BuildError, OperatorError};
use crate::limits::Budget;
use crate::lines::map_lines;
use crate::operator::{Inputs, Kernel, Outputs, Setup, ready};
use crate::shape::Shape;
use crate::special::log_sum_exp;
use crate::value::{Data, DataType, Element, Float, Tensor, Value, each};

#[derive(Debug, Clone, Copy)]
enum Reduction {
    Mean,
    None,
    Sum,
}

/// In 64 bits, rounded once.
#[derive(Debug)]
struct Likelihood {
    reduction: Reduction,
    ignored: Option<i64>,
    /// Whether the input is scores, whose shares are taken first.
    of_scores: bool,
    tells_logarithms: bool,
}

pub(super) fn build(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    build_as(setup, false)
}

pub(super) fn build_of_scores(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    build_as(setup, true)
}

fn build_as(setup: &Setup<'_>, of_scores: bool) -> Result<Box<dyn Kernel>, BuildError> {
    const REDUCTIONS: [(&str, Reduction); 3] =
        [("mean", Reduction::Mean), ("none", Reduction::None), ("sum", Reduction::Sum)];
    let reduction = setup.attributes().choice("reduction", &REDUCTIONS)?;
    let ignored = setup.attributes().int("ignore_index")?;
    ready(Likelihood { reduction, ignored, of_scores, tells_logarithms: setup.wants(1) })
}

/// The loss of each place, and what it weighs.
struct Losses {
    losses: Vec<f64>,
    weights: Vec<f64>,
}

impl Likelihood {
    /// Logarithms of shares along the classes.
    fn logarithms<T: Float>(elements: &[T], shape: &Shape) -> Vec<f64> {
        map_lines(elements, shape, 1, shape.dimension(1), |line, made: &mut [f64]| {
            let total = log_sum_exp(line.iter().map(|score| score.wide()));
            made.iter_mut().zip(line).for_each(|(made, score)| *made = score.wide() - total);
        })
    }

    fn losses(
        &self,
        numbers: &[f64],
        shape: &Shape,
        classes: &[i64],
        weights: Option<&[f64]>,
    ) -> Result<Losses, OperatorError> {
        let (_, count, inner) = shape.around(1);
        let mut made = Losses { losses: Vec::with_capacity(classes.len()), weights: Vec::with_capacity(classes.len()) };
        for (at, class) in classes.iter().enumerate() {
            if Some(*class) == self.ignored {
                made.losses.push(0.0);
                made.weights.push(0.0);
                continue;
            }
            let known = usize::try_from(*class).ok().filter(|class| *class < count);
            let known = known
                .ok_or_else(|| OperatorError::Element(format!("class {class} is out of range for {count} classes")))?;
            let place = (at / inner.max(1) * count + known) * inner + at % inner.max(1);
            let weight = weights.map_or(1.0, |weights| weights.get(known).copied().unwrap_or(f64::NAN));
            made.losses.push(-numbers.get(place).copied().unwrap_or(f64::NAN) * weight);
            made.weights.push(weight);
        }
        Ok(made)
    }

    fn reduced(&self, made: Losses, shape: Shape) -> (Shape, Vec<f64>) {
        let total = |numbers: &[f64]| numbers.iter().sum::<f64>();
        match self.reduction {
            Reduction::None => (shape, made.losses),
            Reduction::Sum => (Shape::SCALAR, vec![total(&made.losses)]),
            Reduction::Mean => (Shape::SCALAR, vec![total(&made.losses) / total(&made.weights)]),
        }
    }
}

impl Kernel for Likelihood {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let (tensor, targets) = (inputs.tensor(0)?, inputs.tensor(1)?);
        let (shape, data_type) = (*tensor.shape(), tensor.data_type());
        let [images, classes, inner @ ..] = shape.dimensions() else {
            return Err(inputs.unexpected(0, "a tensor of [N, C, ..]"));
        };
        let targeted = Shape::of([images].into_iter().chain(inner).copied())?;
        if *targets.shape() != targeted {
            return Err(inputs.unexpected(1, &format!("classes of {targeted}")));
        }
        budget.elements(shape.elements(), 2 * size_of::<f64>())?;
        budget.elements(targeted.elements(), 4 * size_of::<f64>())?;
        let weights = match inputs.optional(2)? {
            Some(weights) if weights.shape().dimensions() == [*classes] => convert(weights.data(), DataType::Float64)
                .and_then(|data| match data {
                    Data::Float64(weights) => Some(weights),
                    _ => None,
                }),
            Some(_) => return Err(inputs.unexpected(2, &format!("{classes} weights"))),
            None => None,
        };
        let numbers: Vec<f64> = each!(tensor.data(), float, elements => if self.of_scores {
            Self::logarithms(elements, &shape)
        } else {
            elements.iter().map(|element| crate::value::Number::wide(*element)).collect()
        }, _ => return Err(inputs.unexpected(0, "FP32 or another type with fractions")));
        let losses = self.losses(&numbers, &shape, &inputs.integers(1)?, weights.as_deref())?;
        let (made, losses) = self.reduced(losses, targeted);
        let narrowed = |shape: Shape, numbers: Vec<f64>| {
            let data = convert(&f64::into_data(numbers), data_type);
            data.map(|data| Value::Tensor(Tensor::of_data(shape, data))).unwrap_or_default()
        };
        let mut outputs = Outputs::new();
        outputs.push(narrowed(made, losses));
        if self.tells_logarithms {
            outputs.push(narrowed(shape, numbers));
        }
        Ok(outputs)
    }
}
