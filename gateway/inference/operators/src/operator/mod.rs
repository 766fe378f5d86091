//! What a node does.

mod io;
mod registry;
mod setup;

use std::fmt;

pub use io::{Input, Inputs, Outputs};
pub(crate) use registry::define;
pub use registry::{Definition, Lookup, all, lookup};
pub use setup::{Setup, Source};

use crate::attribute::Attributes;
use crate::error::{BuildError, OperatorError};
use crate::limits::Budget;
use crate::value::{Tensor, Value};

/// What an operator of certain attributes does with values.
///
/// It does the same with the same inputs always, whatever else happens, so that it can be run ahead of time if all its
/// inputs are known.
pub trait Kernel: fmt::Debug + Send + Sync {
    /// Makes the outputs of the inputs, in order. An output that is not wanted may be left out or absent.
    ///
    /// # Errors
    /// Inputs that there is no answer for; nothing panics. More than the budget allows.
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError>;
}

/// Operators that another crate makes: what it answers comes before what is known here.
pub trait External {
    /// Makes the operator that a node asks for. None if it is not one of these.
    fn build(&self, setup: &Setup<'_>) -> Option<Result<Box<dyn Kernel>, BuildError>>;
}

/// No operators of other crates.
impl External for () {
    fn build(&self, _setup: &Setup<'_>) -> Option<Result<Box<dyn Kernel>, BuildError>> {
        None
    }
}

/// An operator with its attributes, checked and ready to run.
#[derive(Debug)]
pub struct Operator {
    kernel: Box<dyn Kernel>,
}

impl Operator {
    /// Makes an operator of this crate.
    ///
    /// `opset` is the version of the domain that the model imports. `inputs` tells which inputs there are and which are
    /// constant, `outputs` which are wanted.
    ///
    /// # Errors
    /// [`BuildError`], with the attribute or input at fault and what was expected of it.
    pub fn new(
        domain: &str,
        op_type: &str,
        opset: u32,
        attributes: &Attributes,
        inputs: &[Source<'_>],
        outputs: &[bool],
    ) -> Result<Self, BuildError> {
        Self::build(&Setup::new(domain, op_type, opset, attributes, inputs, outputs)?, &())
    }

    /// As [`Self::new`], with operators of another crate.
    pub fn build(setup: &Setup<'_>, external: &dyn External) -> Result<Self, BuildError> {
        let kernel = match external.build(setup) {
            Some(kernel) => kernel?,
            None => setup.definition()?.build(setup)?,
        };
        match setup.attributes().unread() {
            Some(name) => Err(BuildError::attribute(name, "is not known to the operator")),
            None => Ok(Self { kernel }),
        }
    }

    /// Runs it. An input that is not there is [`Value::Absent`].
    ///
    /// # Errors
    /// [`OperatorError`], for inputs that there is no answer for and for more than the [`crate::Limits`] allow.
    pub fn run(&self, inputs: &[Value], budget: &mut Budget) -> Result<Vec<Value>, OperatorError> {
        let mut inputs = Inputs::new(inputs.iter().map(Input::Borrowed).collect());
        self.kernel.run(&mut inputs, budget).map(Outputs::into_vec)
    }

    pub(crate) fn kernel(&self) -> &dyn Kernel {
        self.kernel.as_ref()
    }
}

/// Boxes a kernel.
#[expect(clippy::unnecessary_wraps, reason = "what makes operators can fail")]
pub(crate) fn ready<K: Kernel + 'static>(kernel: K) -> Result<Box<dyn Kernel>, BuildError> {
    Ok(Box::new(kernel))
}

/// The outputs of an operator that has one.
#[expect(clippy::unnecessary_wraps, reason = "it is the end of what can fail")]
pub(crate) fn one(tensor: Tensor) -> Result<Outputs, OperatorError> {
    let mut outputs = Outputs::new();
    outputs.push(Value::Tensor(tensor));
    Ok(outputs)
}

/// The outputs of an operator that has several.
#[expect(clippy::unnecessary_wraps, reason = "it is the end of what can fail")]
pub(crate) fn several(tensors: impl IntoIterator<Item = Tensor>) -> Result<Outputs, OperatorError> {
    Ok(tensors.into_iter().map(Value::Tensor).collect())
}
