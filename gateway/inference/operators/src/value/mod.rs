//! What goes into operators and comes out of them.

mod data;
mod map;
mod number;
mod tensor;

use std::fmt;

pub use data::{Data, DataType};
pub(crate) use data::{alike, each, pair};
pub use map::{Keys, Map};
pub(crate) use number::{Element, Float, Integer, Number, Sum};
pub use tensor::{Tensor, TensorError};

/// A value of ONNX.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Value {
    /// An optional input or output that is not there.
    #[default]
    Absent,
    Tensor(Tensor),
    Sequence(Vec<Value>),
    Map(Map),
}

impl Value {
    pub fn tensor(&self) -> Option<&Tensor> {
        if let Self::Tensor(tensor) = self { Some(tensor) } else { None }
    }

    /// Memory of its elements, about; keys of maps are shared and not counted.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Absent => 0,
            Self::Tensor(tensor) => tensor.data().bytes(),
            Self::Sequence(values) => values.iter().map(|value| size_of::<Self>() + value.bytes()).sum(),
            Self::Map(map) => map.values().bytes(),
        }
    }
}

impl From<Tensor> for Value {
    fn from(tensor: Tensor) -> Self {
        Self::Tensor(tensor)
    }
}

/// Its kind, as messages have it.
impl fmt::Display for Value {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => write!(formatter, "nothing"),
            Self::Tensor(tensor) => write!(formatter, "{} of {}", tensor.data_type().label(), tensor.shape()),
            Self::Sequence(values) => write!(formatter, "a sequence of {}", values.len()),
            Self::Map(map) => write!(formatter, "a map of {}", map.values().len()),
        }
    }
}
