//! Values that go into models and come out of them.

use half::{bf16, f16};

/// Types of a tensor's elements (ONNX `TensorProto.DataType`) that models can be served with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DataType {
    Bool,
    Uint8,
    Uint16,
    Uint32,
    Uint64,
    Int8,
    Int16,
    Int32,
    Int64,
    Float16,
    Bfloat16,
    Float32,
    Float64,
    /// UTF-8.
    String,
}

impl DataType {
    pub const ALL: [Self; 14] = [
        Self::Bool,
        Self::Uint8,
        Self::Uint16,
        Self::Uint32,
        Self::Uint64,
        Self::Int8,
        Self::Int16,
        Self::Int32,
        Self::Int64,
        Self::Float16,
        Self::Bfloat16,
        Self::Float32,
        Self::Float64,
        Self::String,
    ];

    /// Bytes of an element; none for strings, whose lengths differ.
    pub fn size(self) -> Option<usize> {
        match self {
            Self::Bool | Self::Uint8 | Self::Int8 => Some(1),
            Self::Uint16 | Self::Int16 | Self::Float16 | Self::Bfloat16 => Some(2),
            Self::Uint32 | Self::Int32 | Self::Float32 => Some(4),
            Self::Uint64 | Self::Int64 | Self::Float64 => Some(8),
            Self::String => None,
        }
    }

    /// Name in the Open Inference Protocol, and in messages.
    pub fn label(self) -> &'static str {
        match self {
            Self::Bool => "BOOL",
            Self::Uint8 => "UINT8",
            Self::Uint16 => "UINT16",
            Self::Uint32 => "UINT32",
            Self::Uint64 => "UINT64",
            Self::Int8 => "INT8",
            Self::Int16 => "INT16",
            Self::Int32 => "INT32",
            Self::Int64 => "INT64",
            Self::Float16 => "FP16",
            Self::Bfloat16 => "BF16",
            Self::Float32 => "FP32",
            Self::Float64 => "FP64",
            Self::String => "BYTES",
        }
    }
}

/// Elements of one type, the last dimension varying fastest.
#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    Bool(Vec<bool>),
    Uint8(Vec<u8>),
    Uint16(Vec<u16>),
    Uint32(Vec<u32>),
    Uint64(Vec<u64>),
    Int8(Vec<i8>),
    Int16(Vec<i16>),
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    Float16(Vec<f16>),
    Bfloat16(Vec<bf16>),
    Float32(Vec<f32>),
    Float64(Vec<f64>),
    String(Vec<String>),
}

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

impl Data {
    /// Elements of a type, all zero: `false`, empty strings.
    pub fn zeros(data_type: DataType, count: usize) -> Self {
        match data_type {
            DataType::Bool => Self::Bool(vec![false; count]),
            DataType::Uint8 => Self::Uint8(vec![0; count]),
            DataType::Uint16 => Self::Uint16(vec![0; count]),
            DataType::Uint32 => Self::Uint32(vec![0; count]),
            DataType::Uint64 => Self::Uint64(vec![0; count]),
            DataType::Int8 => Self::Int8(vec![0; count]),
            DataType::Int16 => Self::Int16(vec![0; count]),
            DataType::Int32 => Self::Int32(vec![0; count]),
            DataType::Int64 => Self::Int64(vec![0; count]),
            DataType::Float16 => Self::Float16(vec![f16::ZERO; count]),
            DataType::Bfloat16 => Self::Bfloat16(vec![bf16::ZERO; count]),
            DataType::Float32 => Self::Float32(vec![0.0; count]),
            DataType::Float64 => Self::Float64(vec![0.0; count]),
            DataType::String => Self::String(vec![String::new(); count]),
        }
    }

    pub fn data_type(&self) -> DataType {
        match self {
            Self::Bool(_) => DataType::Bool,
            Self::Uint8(_) => DataType::Uint8,
            Self::Uint16(_) => DataType::Uint16,
            Self::Uint32(_) => DataType::Uint32,
            Self::Uint64(_) => DataType::Uint64,
            Self::Int8(_) => DataType::Int8,
            Self::Int16(_) => DataType::Int16,
            Self::Int32(_) => DataType::Int32,
            Self::Int64(_) => DataType::Int64,
            Self::Float16(_) => DataType::Float16,
            Self::Bfloat16(_) => DataType::Bfloat16,
            Self::Float32(_) => DataType::Float32,
            Self::Float64(_) => DataType::Float64,
            Self::String(_) => DataType::String,
        }
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        for_each_type!(self, elements => elements.len())
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
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

    #[test]
    fn zeros_are_of_the_type_that_was_asked_for() {
        for data_type in DataType::ALL {
            let zeros = Data::zeros(data_type, 3);
            assert_eq!((zeros.data_type(), zeros.len()), (data_type, 3));
        }
    }
}
