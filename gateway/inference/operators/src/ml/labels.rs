//! Names of classes.

use crate::attribute::Reader;
use crate::error::BuildError;
use crate::value::{Data, DataType};

/// Classes of a model, numbers or texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Labels {
    Int64(Vec<i64>),
    String(Vec<String>),
}

impl Labels {
    /// From one of two attributes. An empty list counts as none.
    pub fn of(reader: &Reader<'_>, integers: &str, texts: &str) -> Result<Self, BuildError> {
        let numbers = reader.ints(integers)?.filter(|numbers| !numbers.is_empty());
        let words = reader.strings(texts)?.filter(|words| !words.is_empty());
        match (numbers, words) {
            (Some(numbers), None) => Ok(Self::Int64(numbers.to_vec())),
            (None, Some(words)) => Ok(Self::String(words)),
            _ => Err(BuildError::attribute(integers, format!("or '{texts}' is required, and not both"))),
        }
    }

    pub fn len(&self) -> usize {
        match self {
            Self::Int64(labels) => labels.len(),
            Self::String(labels) => labels.len(),
        }
    }

    pub fn data_type(&self) -> DataType {
        match self {
            Self::Int64(_) => DataType::Int64,
            Self::String(_) => DataType::String,
        }
    }

    /// Whether a label comes twice.
    pub fn has_duplicates(&self) -> bool {
        fn any<T: Ord>(labels: &[T]) -> bool {
            let mut sorted: Vec<&T> = labels.iter().collect();
            sorted.sort_unstable();
            sorted.windows(2).any(|pair| pair.first() == pair.last())
        }
        match self {
            Self::Int64(labels) => any(labels),
            Self::String(labels) => any(labels),
        }
    }

    /// The labels of classes, by their places.
    pub fn pick(&self, classes: &[usize]) -> Data {
        match self {
            Self::Int64(labels) => Data::Int64(picked(labels, classes)),
            Self::String(labels) => Data::String(picked(labels, classes)),
        }
    }
}

fn picked<T: Clone + Default>(labels: &[T], classes: &[usize]) -> Vec<T> {
    classes.iter().map(|class| labels.get(*class).cloned().unwrap_or_default()).collect()
}
