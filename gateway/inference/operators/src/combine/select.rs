//! One element of two, by a truth value.

use crate::broadcast::Broadcast;
use crate::error::{BuildError, OperatorError};
use crate::limits::Budget;
use crate::operator::{Inputs, Kernel, Outputs, Setup, one, ready};
use crate::value::{Element, Tensor, pair};

#[derive(Debug)]
struct Where;

pub(super) fn build(_setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    ready(Where)
}

fn either<T: Clone>(is_first: bool, first: &T, second: &T) -> T {
    if is_first { first.clone() } else { second.clone() }
}

impl Kernel for Where {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let conditions = inputs.elements::<bool>(0)?;
        let (first, second) = (inputs.tensor(1)?, inputs.tensor(2)?);
        let met = Broadcast::<3>::of([inputs.tensor(0)?.shape(), first.shape(), second.shape()])?;
        budget.tensor(met.shape(), first.data_type())?;
        let data = pair!(first.data(), second.data(), any, a, b => {
            Element::into_data(met.map(conditions, a, b, |is, a, b| either(*is, a, b)))
        }, _ => return Err(inputs.unexpected(2, &format!("{}, as the other", first.data_type().label()))));
        one(Tensor::of_data(*met.shape(), data))
    }
}
