//! Values by keys.

use std::sync::Arc;

use super::Data;

/// Keys of a map. They are the classes of a model, the same for all its rows, and are shared.
#[derive(Debug, Clone, PartialEq)]
pub enum Keys {
    Int64(Arc<[i64]>),
    String(Arc<[String]>),
}

impl Keys {
    pub fn len(&self) -> usize {
        match self {
            Self::Int64(keys) => keys.len(),
            Self::String(keys) => keys.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A map of ONNX: keys, and a value for each.
#[derive(Debug, Clone, PartialEq)]
pub struct Map {
    keys: Keys,
    values: Data,
}

impl Map {
    /// None if there are more of the ones than of the others.
    pub fn new(keys: Keys, values: Data) -> Option<Self> {
        if keys.len() == values.len() { Some(Self { keys, values }) } else { None }
    }

    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// In the order of the keys.
    pub fn values(&self) -> &Data {
        &self.values
    }

    pub fn into_parts(self) -> (Keys, Data) {
        (self.keys, self.values)
    }
}
