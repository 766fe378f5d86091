//! Values on their way into an operator and out of it.

use smallvec::SmallVec;

use crate::error::OperatorError;
use crate::shape::Shape;
use crate::value::{Data, Element, Number, Tensor, Value};

/// Most operators have one output.
pub type Outputs = SmallVec<[Value; 1]>;

/// A value that an operator is given.
#[derive(Debug)]
pub enum Input<'a> {
    /// Others need it, too.
    Borrowed(&'a Value),
    /// The operator is the last to need it, and may reuse its memory.
    Owned(Value),
}

impl Input<'_> {
    fn value(&self) -> &Value {
        match self {
            Self::Borrowed(value) => value,
            Self::Owned(value) => value,
        }
    }
}

/// The inputs of one run. Inputs behind the last are absent.
#[derive(Debug)]
pub struct Inputs<'a>(SmallVec<[Input<'a>; 3]>);

impl<'a> Inputs<'a> {
    pub fn new(inputs: SmallVec<[Input<'a>; 3]>) -> Self {
        Self(inputs)
    }

    pub(crate) fn empty() -> Self {
        Self(SmallVec::new())
    }

    pub(crate) fn push(&mut self, input: Input<'a>) {
        self.0.push(input);
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Input<'a>> {
        self.0.iter_mut()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn value(&self, index: usize) -> &Value {
        self.0.get(index).map_or(&Value::Absent, Input::value)
    }

    /// Moves a value out if nobody else needs it, and copies it otherwise.
    pub fn take(&mut self, index: usize) -> Value {
        match self.0.get_mut(index) {
            Some(Input::Owned(value)) => std::mem::take(value),
            Some(Input::Borrowed(value)) => value.clone(),
            None => Value::Absent,
        }
    }

    /// A tensor that nobody else needs: its memory may be reused. It is absent then.
    pub(crate) fn owned_tensor(&mut self, index: usize) -> Option<Tensor> {
        match self.0.get_mut(index) {
            Some(Input::Owned(value @ Value::Tensor(_))) => match std::mem::take(value) {
                Value::Tensor(tensor) => Some(tensor),
                _ => None,
            },
            _ => None,
        }
    }

    /// The shape of a tensor that nobody else needs.
    pub(crate) fn owned_shape(&self, index: usize) -> Option<&Shape> {
        match self.0.get(index) {
            Some(Input::Owned(Value::Tensor(tensor))) => Some(tensor.shape()),
            _ => None,
        }
    }

    pub fn tensor(&self, index: usize) -> Result<&Tensor, OperatorError> {
        match self.value(index) {
            Value::Tensor(tensor) => Ok(tensor),
            other => Err(OperatorError::input(index, "a tensor", other)),
        }
    }

    /// An optional tensor.
    pub fn optional(&self, index: usize) -> Result<Option<&Tensor>, OperatorError> {
        match self.value(index) {
            Value::Absent => Ok(None),
            _ => self.tensor(index).map(Some),
        }
    }

    /// A tensor, moved out if nobody else needs it.
    pub fn take_tensor(&mut self, index: usize) -> Result<Tensor, OperatorError> {
        match self.take(index) {
            Value::Tensor(tensor) => Ok(tensor),
            other => Err(OperatorError::input(index, "a tensor", &other)),
        }
    }

    /// All of the inputs, which are tensors.
    pub fn tensors(&self) -> Result<SmallVec<[&Tensor; 4]>, OperatorError> {
        (0..self.len()).map(|index| self.tensor(index)).collect()
    }

    pub(crate) fn elements<T: Element>(&self, index: usize) -> Result<&[T], OperatorError> {
        match self.tensor(index)?.elements::<T>() {
            Some(elements) => Ok(elements),
            None => Err(self.unexpected(index, T::TYPE.label())),
        }
    }

    /// A scalar or vector of whole numbers of 32 or 64 bits: axes, a shape, indices.
    pub(crate) fn integers(&self, index: usize) -> Result<SmallVec<[i64; 8]>, OperatorError> {
        match self.tensor(index)?.data() {
            Data::Int64(numbers) => Ok(SmallVec::from_slice(numbers)),
            Data::Int32(numbers) => Ok(numbers.iter().map(|number| i64::from(*number)).collect()),
            _ => Err(self.unexpected(index, "INT64")),
        }
    }

    pub(crate) fn optional_integers(&self, index: usize) -> Result<Option<SmallVec<[i64; 8]>>, OperatorError> {
        match self.value(index) {
            Value::Absent => Ok(None),
            _ => self.integers(index).map(Some),
        }
    }

    /// A whole number, as a scalar or the one element of a vector.
    pub(crate) fn integer(&self, index: usize) -> Result<i64, OperatorError> {
        match self.integers(index)?.as_slice() {
            [number] => Ok(*number),
            _ => Err(self.unexpected(index, "one integer")),
        }
    }

    /// A number of this type, as a scalar or the one element of a vector.
    pub(crate) fn number<T: Number>(&self, index: usize) -> Result<T, OperatorError> {
        match self.elements::<T>(index)? {
            [number] => Ok(*number),
            _ => Err(self.unexpected(index, "one element")),
        }
    }

    /// An input is not what it should be.
    pub(crate) fn unexpected(&self, index: usize, expected: &str) -> OperatorError {
        OperatorError::input(index, expected, self.value(index))
    }
}
