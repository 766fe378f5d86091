//! A place for each category.

use super::labels::Labels;
use super::lookup::Lookup;
use crate::error::{BuildError, OperatorError};
use crate::limits::Budget;
use crate::operator::{Inputs, Kernel, Outputs, Setup, one, ready};
use crate::shape::Shape;
use crate::value::{Data, DataType, Tensor};

/// An axis more, on which the place of the category is 1.
#[derive(Debug)]
struct OneHotEncoder {
    categories: Lookup,
    count: usize,
    /// Whether a category that is not known has no place, and is no error.
    zeros: bool,
}

pub(super) fn build(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    let labels = Labels::of(setup.attributes(), "cats_int64s", "cats_strings")?;
    if labels.has_duplicates() {
        return Err(BuildError::attribute("cats_int64s", "a category is there twice"));
    }
    let count = labels.len();
    let categories = Lookup::of_labels(&labels);
    ready(OneHotEncoder { categories, count, zeros: setup.attributes().flag("zeros", true)? })
}

impl Kernel for OneHotEncoder {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let tensor = inputs.tensor(0)?;
        let made = Shape::of(tensor.shape().dimensions().iter().copied().chain([self.count]))?;
        budget.tensor(&made, DataType::Float32)?;
        // Fractions are cut off; what is no whole number then is no category.
        let whole = |number: f64| {
            let whole = number.trunc();
            (whole.abs() < 9.2e18).then_some(whole as i64)
        };
        let integer = |number: Option<i64>| number.and_then(|number| self.categories.integer(number));
        let places: Vec<Option<usize>> = match (tensor.data(), self.categories.data_type()) {
            (Data::String(texts), DataType::String) => texts.iter().map(|text| self.categories.text(text)).collect(),
            (Data::Int64(numbers), DataType::Int64) => numbers.iter().map(|number| integer(Some(*number))).collect(),
            (Data::Int32(numbers), DataType::Int64) => {
                numbers.iter().map(|number| integer(Some(i64::from(*number)))).collect()
            }
            (Data::Float32(numbers), DataType::Int64) => {
                numbers.iter().map(|number| integer(whole(f64::from(*number)))).collect()
            }
            (Data::Float64(numbers), DataType::Int64) => numbers.iter().map(|number| integer(whole(*number))).collect(),
            _ => return Err(inputs.unexpected(0, "elements of the categories' type")),
        };
        let mut elements = vec![0.0_f32; made.elements()];
        for (place, row) in places.iter().zip(elements.chunks_exact_mut(self.count.max(1))) {
            match place.and_then(|place| row.get_mut(place)) {
                Some(element) => *element = 1.0,
                None if self.zeros => {}
                None => return Err(OperatorError::Element("a category is not known to the model".to_owned())),
            }
        }
        one(Tensor::made(made, elements))
    }
}
