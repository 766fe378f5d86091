//! Values that go into models and come out of them.

pub use witgate_operators::{Data, DataType};

/// Runs an expression with the elements, of whatever type.
#[macro_export]
macro_rules! for_each_type {
    ($data:expr, $elements:ident => $body:expr) => {
        match $data {
            $crate::Data::Bool($elements) => $body,
            $crate::Data::Uint8($elements) => $body,
            $crate::Data::Uint16($elements) => $body,
            $crate::Data::Uint32($elements) => $body,
            $crate::Data::Uint64($elements) => $body,
            $crate::Data::Int8($elements) => $body,
            $crate::Data::Int16($elements) => $body,
            $crate::Data::Int32($elements) => $body,
            $crate::Data::Int64($elements) => $body,
            $crate::Data::Float16($elements) => $body,
            $crate::Data::Bfloat16($elements) => $body,
            $crate::Data::Float32($elements) => $body,
            $crate::Data::Float64($elements) => $body,
            $crate::Data::String($elements) => $body,
        }
    };
}

/// A shape that does not go with the number of elements.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the shape {shape:?} does not go with {elements} elements")]
pub struct TensorError {
    pub shape: Vec<usize>,
    pub elements: usize,
}

/// Elements in the order of a shape; as many as the shape says.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    shape: Vec<usize>,
    data: Data,
}

impl Tensor {
    /// # Errors
    /// There are more or fewer elements than the shape has room for.
    pub fn new(shape: impl Into<Vec<usize>>, data: Data) -> Result<Self, TensorError> {
        let shape = shape.into();
        if count(&shape) == Some(data.len()) {
            Ok(Self { shape, data })
        } else {
            Err(TensorError { elements: data.len(), shape })
        }
    }

    /// Outermost dimension first; empty for a scalar.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    pub fn data(&self) -> &Data {
        &self.data
    }

    pub fn data_type(&self) -> DataType {
        self.data.data_type()
    }

    pub fn into_parts(self) -> (Vec<usize>, Data) {
        (self.shape, self.data)
    }
}

/// Elements that a shape has room for; none: more than can be counted.
pub fn count(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1_usize, |count, dimension| count.checked_mul(*dimension))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tensor_has_as_many_elements_as_its_shape_says() {
        let made = |shape: &[usize], elements| Tensor::new(shape, Data::zeros(DataType::Int8, elements)).is_ok();
        assert!(made(&[], 1) && made(&[2, 3], 6) && made(&[0, 3], 0));
        assert!(!made(&[], 0) && !made(&[2, 3], 5) && !made(&[usize::MAX, 2], 0));
    }
}
