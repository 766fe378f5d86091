//! Maps as rows of features.

use super::labels::Labels;
use super::lookup::Lookup;
use crate::error::{BuildError, OperatorError};
use crate::limits::Budget;
use crate::operator::{Inputs, Kernel, Outputs, Setup, one, ready};
use crate::shape::Shape;
use crate::value::{Data, Element, Keys, Map, Tensor, Value, each};

/// Each value at the place of its key in a vocabulary, zeros elsewhere. A key that is not there is left out, as
/// scikit-learn does. Of one map the output is a row `[1, C]`, as ONNX Runtime has it and exporters expect it; of a
/// sequence of maps it is `[N, C]`.
#[derive(Debug)]
struct DictVectorizer {
    vocabulary: Lookup,
    count: usize,
}

pub(super) fn build(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    let labels = Labels::of(setup.attributes(), "int64_vocabulary", "string_vocabulary")?;
    if labels.has_duplicates() {
        return Err(BuildError::attribute("int64_vocabulary", "a key is there twice"));
    }
    ready(DictVectorizer { vocabulary: Lookup::of_labels(&labels), count: labels.len() })
}

impl DictVectorizer {
    /// Places of a map's values.
    fn places(&self, map: &Map) -> Vec<Option<usize>> {
        match map.keys() {
            Keys::Int64(keys) => keys.iter().map(|key| self.vocabulary.integer(*key)).collect(),
            Keys::String(keys) => keys.iter().map(|key| self.vocabulary.text(key)).collect(),
        }
    }
}

impl Kernel for DictVectorizer {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let value = inputs.value(0);
        let maps: Option<Vec<&Map>> = match value {
            Value::Map(map) => Some(vec![map]),
            Value::Sequence(values) => {
                values.iter().map(|value| if let Value::Map(map) = value { Some(map) } else { None }).collect()
            }
            _ => None,
        };
        let maps = maps.ok_or_else(|| inputs.unexpected(0, "a map"))?;
        let Some(first) = maps.first() else { return Err(inputs.unexpected(0, "at least one map")) };
        let data_type = first.values().data_type();
        let is_fitting = |map: &&Map| {
            let keys = match map.keys() {
                Keys::Int64(_) => crate::DataType::Int64,
                Keys::String(_) => crate::DataType::String,
            };
            map.values().data_type() == data_type && keys == self.vocabulary.data_type()
        };
        if !maps.iter().all(is_fitting) {
            return Err(inputs.unexpected(0, &format!("maps by {}", self.vocabulary.data_type().label())));
        }
        let shape = Shape::new(&[maps.len(), self.count])?;
        budget.tensor(&shape, data_type)?;
        let mut data = Data::zeros(data_type, shape.elements());
        each!(&mut data, elements => {
            for (map, row) in maps.iter().zip(elements.chunks_exact_mut(self.count.max(1))) {
                let values = Element::of_data(map.values()).unwrap_or_default();
                for (place, value) in self.places(map).into_iter().zip(values) {
                    place.and_then(|place| row.get_mut(place)).into_iter().for_each(|to| to.clone_from(value));
                }
            }
        });
        one(Tensor::of_data(shape, data))
    }
}
