//! Maps of scores by class.

use std::sync::Arc;

use super::labels::Labels;
use crate::error::{BuildError, OperatorError};
use crate::limits::Budget;
use crate::operator::{Inputs, Kernel, Outputs, Setup, one, ready};
use crate::shape::Shape;
use crate::value::{Data, Keys, Map, Tensor, Value};

/// A map for each row. All rows share the keys.
#[derive(Debug)]
struct ZipMap {
    keys: Keys,
}

pub(super) fn build(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    let labels = Labels::of(setup.attributes(), "classlabels_int64s", "classlabels_strings")?;
    if labels.has_duplicates() {
        return Err(BuildError::attribute("classlabels_int64s", "a class is there twice"));
    }
    ready(ZipMap {
        keys: match labels {
            Labels::Int64(labels) => Keys::Int64(Arc::from(labels)),
            Labels::String(labels) => Keys::String(Arc::from(labels)),
        },
    })
}

impl Kernel for ZipMap {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let (scores, width) = (inputs.elements::<f32>(0)?, self.keys.len());
        let count = match inputs.tensor(0)?.shape().dimensions() {
            [columns] if *columns == width => 1,
            [rows, columns] if *columns == width => *rows,
            _ => return Err(inputs.unexpected(0, &format!("FP32 of [N, {width}]"))),
        };
        budget.elements(count, size_of::<Value>())?;
        budget.elements(scores.len(), size_of::<f32>())?;
        let rows = scores.chunks_exact(width.max(1));
        let maps = rows.filter_map(|row| Map::new(self.keys.clone(), Data::Float32(row.to_vec()))).map(Value::Map);
        Ok(std::iter::once(Value::Sequence(maps.collect())).collect())
    }
}

#[derive(Debug, Clone, Copy)]
enum To {
    Float,
    String,
    Int64,
}

/// The values of a map in the order of its keys, or each at the place of its key.
#[derive(Debug)]
struct CastMap {
    to: To,
    /// How many places there are, if keys are places.
    places: Option<usize>,
}

/// Places of a sparse map.
const PLACE_LIMIT: i64 = 1 << 24;

pub(super) fn build_cast(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    let reader = setup.attributes();
    let to =
        reader.choice("cast_to", &[("TO_FLOAT", To::Float), ("TO_STRING", To::String), ("TO_INT64", To::Int64)])?;
    let is_sparse = reader.choice("map_form", &[("DENSE", false), ("SPARSE", true)])?;
    let most = reader.int_or("max_map", 1)?;
    let places = usize::try_from(most).ok().filter(|_| (1..=PLACE_LIMIT).contains(&most));
    if is_sparse && places.is_none() {
        return Err(BuildError::attribute("max_map", format!("expected 1 to {PLACE_LIMIT}, got {most}")));
    }
    if is_sparse && matches!(to, To::String) {
        return Err(BuildError::Unsupported("texts of a sparse map differ between runtimes".to_owned()));
    }
    ready(CastMap { to, places: places.filter(|_| is_sparse) })
}

impl CastMap {
    fn cast(&self, data: &Data) -> Option<Data> {
        let numbers = |texts: &[String]| texts.iter().map(|text| text.trim_ascii().parse::<f32>().ok()).collect();
        Some(match (self.to, data) {
            (To::Float, Data::Float32(values)) => Data::Float32(values.clone()),
            (To::Int64, Data::Float32(values)) => Data::Int64(values.iter().map(|value| *value as i64).collect()),
            (To::String, Data::String(values)) => Data::String(values.clone()),
            (To::Float, Data::String(values)) => {
                Data::Float32(Option::<Vec<f32>>::from_iter::<Vec<_>>(numbers(values))?)
            }
            (To::Int64, Data::String(values)) => {
                Data::Int64(values.iter().map(|text| text.trim_ascii().parse().ok()).collect::<Option<_>>()?)
            }
            _ => return None,
        })
    }
}

impl Kernel for CastMap {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let Value::Map(map) = inputs.value(0) else { return Err(inputs.unexpected(0, "a map")) };
        let Keys::Int64(keys) = map.keys() else { return Err(inputs.unexpected(0, "a map by INT64")) };
        let failure = || inputs.unexpected(0, "a map of values that can be cast so");
        let values = self.cast(map.values()).ok_or_else(failure)?;
        let mut order: Vec<(i64, usize)> = keys.iter().copied().zip(0..).collect();
        order.sort_unstable();
        let count = self.places.unwrap_or(order.len());
        budget.elements(count, values.data_type().size())?;
        let places = |from: usize| match self.places {
            Some(_) => keys.get(from).and_then(|key| usize::try_from(*key).ok()),
            None => order.iter().position(|(_, at)| *at == from),
        };
        let data = match values {
            Data::Float32(values) => Data::Float32(placed(&values, count, places)),
            Data::Int64(values) => Data::Int64(placed(&values, count, places)),
            Data::String(values) => Data::String(placed(&values, count, places)),
            _ => return Err(failure()),
        };
        one(Tensor::of_data(Shape::new(&[1, count])?, data))
    }
}

/// Values at their places; a place beyond the last is none.
fn placed<T: Clone + Default>(values: &[T], count: usize, place: impl Fn(usize) -> Option<usize>) -> Vec<T> {
    let mut made = vec![T::default(); count];
    for (from, value) in values.iter().enumerate() {
        if let Some(to) = place(from).and_then(|at| made.get_mut(at)) {
            to.clone_from(value);
        }
    }
    made
}
