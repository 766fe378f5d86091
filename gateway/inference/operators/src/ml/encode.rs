//! Labels as other labels.

use super::lookup::Lookup;
use crate::attribute::{Attribute, Reader};
use crate::error::{BuildError, OperatorError};
use crate::limits::Budget;
use crate::operator::{Inputs, Kernel, Outputs, Setup, one, ready};
use crate::value::{Data, DataType, Element, Tensor, each};

/// A value for each key, and one for what is no key.
#[derive(Debug)]
struct Mapping {
    keys: Lookup,
    /// The values, and the one for what is no key behind them.
    values: Data,
}

impl Mapping {
    fn new(keys: &Data, values: &Data, other: &Data) -> Option<Self> {
        let values = match (values, other) {
            (Data::String(values), Data::String(other)) => Data::String([values.as_slice(), other].concat()),
            (Data::Int64(values), Data::Int64(other)) => Data::Int64([values.as_slice(), other].concat()),
            (Data::Int32(values), Data::Int32(other)) => Data::Int32([values.as_slice(), other].concat()),
            (Data::Int16(values), Data::Int16(other)) => Data::Int16([values.as_slice(), other].concat()),
            (Data::Float32(values), Data::Float32(other)) => Data::Float32([values.as_slice(), other].concat()),
            (Data::Float64(values), Data::Float64(other)) => Data::Float64([values.as_slice(), other].concat()),
            _ => return None,
        };
        Some(Self { keys: Lookup::of(keys)?, values })
    }

    fn apply(&self, data: &Data) -> Option<Data> {
        let places = self.keys.places(data)?;
        let last = self.values.len().saturating_sub(1);
        Some(each!(&self.values, values => {
            let value = |place: &Option<usize>| values.get(place.unwrap_or(last)).cloned().unwrap_or_default();
            Element::into_data(places.iter().map(value).collect())
        }))
    }
}

/// One mapping, or two: which is applied is told by the type of the input.
#[derive(Debug)]
struct Encoder(Vec<Mapping>);

impl Kernel for Encoder {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let tensor = inputs.tensor(0)?;
        let mapping = self.0.iter().find(|mapping| mapping.keys.data_type() == tensor.data_type());
        let expected =
            || self.0.iter().map(|mapping| mapping.keys.data_type().label()).collect::<Vec<_>>().join(" or ");
        let mapping = mapping.ok_or_else(|| inputs.unexpected(0, &expected()))?;
        budget.tensor(tensor.shape(), mapping.values.data_type())?;
        budget.elements(tensor.shape().elements(), size_of::<Option<usize>>())?;
        match mapping.apply(tensor.data()) {
            Some(data) => one(Tensor::of_data(*tensor.shape(), data)),
            None => Err(inputs.unexpected(0, &expected())),
        }
    }
}

const UNUSED: &str = "_Unused";

fn default_text(reader: &Reader<'_>) -> Result<Data, BuildError> {
    Ok(Data::String(vec![reader.text("default_string")?.unwrap_or(UNUSED).to_owned()]))
}

fn default_integer(reader: &Reader<'_>) -> Result<Data, BuildError> {
    Ok(Data::Int64(vec![reader.int_or("default_int64", -1)?]))
}

/// Both ways between numbers and texts.
fn both_ways(reader: &Reader<'_>, numbers: Vec<i64>, texts: Vec<String>) -> Result<Box<dyn Kernel>, BuildError> {
    let (numbers, texts) = (Data::Int64(numbers), Data::String(texts));
    let mappings = [
        Mapping::new(&numbers, &texts, &default_text(reader)?),
        Mapping::new(&texts, &numbers, &default_integer(reader)?),
    ];
    ready(Encoder(mappings.into_iter().flatten().collect()))
}

/// The first version of `LabelEncoder`: a text's number is its place.
pub(super) fn build_by_place(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    let reader = setup.attributes();
    let texts = Reader::required("classes_strings", reader.strings("classes_strings")?)?;
    both_ways(reader, (0..).take(texts.len()).collect(), texts)
}

pub(super) fn build_category_mapper(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    let reader = setup.attributes();
    let texts = Reader::required("cats_strings", reader.strings("cats_strings")?)?;
    let numbers = Reader::required("cats_int64s", reader.ints("cats_int64s")?)?.to_vec();
    if numbers.len() != texts.len() {
        let problem = format!("expected {}, as many as of 'cats_strings', got {}", texts.len(), numbers.len());
        return Err(BuildError::attribute("cats_int64s", problem));
    }
    both_ways(reader, numbers, texts)
}

/// Keys or values: one of these attributes has them.
fn listed(setup: &Setup<'_>, side: &str) -> Result<Data, BuildError> {
    let reader = setup.attributes();
    let name = |suffix: &str| format!("{side}_{suffix}");
    let tensor = if setup.opset() >= 4 { reader.tensor(&name("tensor"))? } else { None };
    let lists = [
        reader.strings(&name("strings"))?.map(Data::String),
        reader.ints(&name("int64s"))?.map(|list| Data::Int64(list.to_vec())),
        reader.floats(&name("floats"))?.map(|list| Data::Float32(list.to_vec())),
        tensor.map(|tensor| tensor.data().clone()),
    ];
    let mut filled = lists.into_iter().flatten().filter(|list| !list.is_empty());
    match (filled.next(), filled.next()) {
        (Some(list), None) => Ok(list),
        _ => Err(BuildError::attribute(&name("strings"), "exactly one attribute of these is required")),
    }
}

/// The value for what is no key.
fn default(setup: &Setup<'_>, data_type: DataType) -> Result<Data, BuildError> {
    let reader = setup.attributes();
    // Exporters write the defaults of other types, too.
    let by_type = [
        default_text(reader)?,
        default_integer(reader)?,
        Data::Float32(vec![reader.float("default_float")?.unwrap_or(-0.0)]),
    ];
    let told = if setup.opset() >= 4 { reader.get("default_tensor") } else { None };
    match told {
        Some(Attribute::Tensor(tensor)) if tensor.data_type() == data_type && tensor.shape().elements() == 1 => {
            return Ok(tensor.data().clone());
        }
        Some(_) => {
            let problem = format!("expected one {}, as the values are", data_type.label());
            return Err(BuildError::attribute("default_tensor", problem));
        }
        None => {}
    }
    let own = by_type.into_iter().find(|value| value.data_type() == data_type);
    let other = match data_type {
        DataType::Int32 => Some(Data::Int32(vec![-1])),
        DataType::Int16 => Some(Data::Int16(vec![-1])),
        DataType::Float64 => Some(Data::Float64(vec![-0.0])),
        _ => None,
    };
    own.or(other)
        .ok_or_else(|| BuildError::attribute("values_tensor", format!("{} is no type of labels", data_type.label())))
}

/// `LabelEncoder` since version 2.
pub(super) fn build(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    let (keys, values) = (listed(setup, "keys")?, listed(setup, "values")?);
    if keys.len() != values.len() {
        let problem = format!("expected {}, one for each key, got {}", keys.len(), values.len());
        return Err(BuildError::attribute("values_*", problem));
    }
    let other = default(setup, values.data_type())?;
    let mapping = Mapping::new(&keys, &values, &other).ok_or_else(|| {
        BuildError::attribute("keys_tensor", format!("{} is no type of labels", keys.data_type().label()))
    })?;
    // Since version 4 the last of equal keys counts; before, runtimes take either.
    if setup.opset() < 4 && mapping.apply(&keys).as_ref().is_none_or(|mapped| !is_same(mapped, &values)) {
        return Err(BuildError::attribute("keys_*", "a key is there twice, with different values"));
    }
    ready(Encoder(vec![mapping]))
}

/// Equal, where NaN equals itself.
fn is_same(one: &Data, other: &Data) -> bool {
    let same = |one: f32, other: f32| one == other || one.is_nan() && other.is_nan();
    match (one, other) {
        (Data::Float32(one), Data::Float32(other)) => one.iter().zip(other).all(|(one, other)| same(*one, *other)),
        (one, other) => one == other,
    }
}
