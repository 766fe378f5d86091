//! Tensors that stand in the model.

use crate::attribute::{Attribute, Reader};
use crate::error::{BuildError, OperatorError};
use crate::limits::Budget;
use crate::operator::{Inputs, Kernel, Outputs, Setup, one, ready};
use crate::shape::Shape;
use crate::value::{Data, Element, Tensor, each};

#[derive(Debug)]
struct Constant(Tensor);

pub(super) fn build(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    const NAMES: [&str; 7] =
        ["value", "value_float", "value_floats", "value_int", "value_ints", "value_string", "value_strings"];
    let reader = setup.attributes();
    let mut given = NAMES.iter().filter(|name| reader.get(name).is_some());
    let (Some(name), None) = (given.next(), given.next()) else {
        return Err(BuildError::Unsupported(format!("expected exactly one attribute of {}", NAMES.join(", "))));
    };
    let scalar =
        |data: Data| Tensor::new(Shape::SCALAR, data).map_err(|error| BuildError::attribute(name, error.to_string()));
    let tensor = match *name {
        "value" => Reader::required(name, reader.tensor(name)?)?.clone(),
        "value_float" => scalar(Data::Float32(reader.float(name)?.into_iter().collect()))?,
        "value_floats" => Tensor::vector(Data::Float32(reader.floats(name)?.unwrap_or_default().to_vec())),
        "value_int" => scalar(Data::Int64(reader.int(name)?.into_iter().collect()))?,
        "value_ints" => Tensor::vector(Data::Int64(reader.ints(name)?.unwrap_or_default().to_vec())),
        "value_string" => scalar(Data::String(reader.text(name)?.map(str::to_owned).into_iter().collect()))?,
        _ => Tensor::vector(Data::String(reader.strings(name)?.unwrap_or_default())),
    };
    ready(Constant(tensor))
}

impl Kernel for Constant {
    fn run(&self, _inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        budget.tensor(self.0.shape(), self.0.data_type())?;
        one(self.0.clone())
    }
}

/// One element, repeated to a shape.
#[derive(Debug)]
struct ConstantOfShape(Data);

pub(super) fn build_of_shape(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    let data = match setup.attributes().get("value") {
        None => Data::Float32(vec![0.0]),
        Some(Attribute::Tensor(tensor)) if tensor.shape().elements() == 1 => tensor.data().clone(),
        Some(_) => return Err(BuildError::attribute("value", "expected a tensor of one element")),
    };
    ready(ConstantOfShape(data))
}

impl Kernel for ConstantOfShape {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let sizes = inputs.integers(0)?;
        let sizes = sizes.iter().map(|size| {
            usize::try_from(*size).map_err(|_| OperatorError::Shape(format!("a dimension of {size} is negative")))
        });
        let shape = Shape::new(&sizes.collect::<Result<Vec<_>, _>>()?)?;
        budget.tensor(&shape, self.0.data_type())?;
        let data = each!(&self.0, elements => {
            let element = elements.first().cloned().unwrap_or_default();
            Element::into_data(vec![element; shape.elements()])
        });
        one(Tensor::of_data(shape, data))
    }
}
