//! Elements with a shape.

use super::{Data, DataType, Element};
use crate::shape::Shape;

/// Elements in a shape, the last dimension varying fastest.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    shape: Shape,
    data: Data,
}

/// Elements that do not fill a shape.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a tensor of {shape} has {} elements, got {got}", shape.elements())]
pub struct TensorError {
    pub shape: Shape,
    pub got: usize,
}

impl Tensor {
    pub fn new(shape: Shape, data: Data) -> Result<Self, TensorError> {
        let got = data.len();
        if got == shape.elements() { Ok(Self { shape, data }) } else { Err(TensorError { shape, got }) }
    }

    /// A vector of all elements.
    pub fn vector(data: Data) -> Self {
        Self { shape: Shape::vector(data.len()), data }
    }

    /// Of elements that an operator has made for this shape.
    pub(crate) fn made<T: Element>(shape: Shape, elements: Vec<T>) -> Self {
        Self::of_data(shape, T::into_data(elements))
    }

    pub(crate) fn of_data(shape: Shape, data: Data) -> Self {
        debug_assert_eq!(shape.elements(), data.len(), "an operator fills the shape that it tells");
        // In a release a wrong shape would be a wrong answer; a vector of what there is makes the next node say so.
        if shape.elements() == data.len() { Self { shape, data } } else { Self::vector(data) }
    }

    pub(crate) fn scalar<T: Element>(element: T) -> Self {
        Self::made(Shape::SCALAR, vec![element])
    }

    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    pub fn data(&self) -> &Data {
        &self.data
    }

    pub fn data_type(&self) -> DataType {
        self.data.data_type()
    }

    pub fn into_data(self) -> Data {
        self.data
    }

    pub fn into_parts(self) -> (Shape, Data) {
        (self.shape, self.data)
    }

    /// The elements, if they are of this type.
    pub(crate) fn elements<T: Element>(&self) -> Option<&[T]> {
        T::of_data(&self.data)
    }
}
