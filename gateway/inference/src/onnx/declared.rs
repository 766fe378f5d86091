//! Inputs and outputs as a graph declares them: their names, types and shapes.

use super::metadata::{FILE_LIMIT, RANK_LIMIT};
use super::problem::{Problem, name};
use super::wire::Fields;
use crate::{DataType, Dimension, TensorInfo};

pub(super) fn value_name(value: &[u8]) -> Result<&str, Problem> {
    let mut called = "";
    for field in Fields::of(value) {
        if let (1, value) = field? {
            called = name(value)?;
        }
    }
    Ok(called)
}

/// `without`: what to do about a value of this name that is no tensor.
pub(super) fn tensor_info(role: &str, value: &[u8], without: impl Fn(&str) -> String) -> Result<TensorInfo, Problem> {
    let called = value_name(value)?;
    if called.is_empty() {
        return Err(Problem::damaged(format!("an {role} of the model has no name")));
    }
    let not_served = |of_type: &str| {
        let message = format!("the {role} `{called}` is {of_type}: only tensors are served");
        Problem::new(message, without(called))
    };
    let mut tensor = None;
    for field in Fields::of(value) {
        let (2, of_type) = field? else { continue };
        for field in Fields::of(of_type.bytes()?) {
            match field? {
                (1, value) => tensor = Some(value.bytes()?),
                (4, value) => return Err(not_served(sequence(value.bytes()?))),
                (5, _) => return Err(not_served("a map")),
                (7, _) => return Err(not_served("opaque")),
                (8, _) => return Err(not_served("a sparse tensor")),
                (9, _) => return Err(not_served("optional")),
                _ => {}
            }
        }
    }
    let tensor = tensor.ok_or_else(|| Problem::damaged(format!("the {role} `{called}` has no type")))?;
    let (mut of_type, mut shape) = (0, None);
    for field in Fields::of(tensor) {
        match field? {
            (1, value) => of_type = value.integer()?,
            (2, value) => shape = Some(dimensions(called, value.bytes()?)?),
            _ => {}
        }
    }
    let data_type = DataType::from_onnx(of_type).ok_or_else(|| {
        let known: Vec<_> = DataType::ALL.map(DataType::label).to_vec();
        let message = format!(
            "the {role} `{called}` has elements of the type {}; served are {}",
            type_name(of_type),
            known.join(", ")
        );
        Problem::new(message, "add a `Cast` to one of these types to the graph")
    })?;
    Ok(TensorInfo { name: called.to_owned(), data_type, shape })
}

/// What a sequence is one of: classifiers of most exporters give one of maps, with a probability for each class.
fn sequence(of_type: &[u8]) -> &'static str {
    let elements = Fields::of(of_type).flatten().find_map(|(number, value)| value.bytes().ok().filter(|_| number == 1));
    let is_map = elements.is_some_and(|elements| Fields::of(elements).flatten().any(|(number, _)| number == 5));
    if is_map { "a sequence of maps" } else { "a sequence" }
}

fn dimensions(called: &str, shape: &[u8]) -> Result<Vec<Dimension>, Problem> {
    let mut dimensions = Vec::new();
    for field in Fields::of(shape) {
        let (1, value) = field? else { continue };
        let mut dimension = Dimension::Any;
        for field in Fields::of(value.bytes()?) {
            match field? {
                (1, value) => {
                    // Some exporters write -1 for any size.
                    dimension = usize::try_from(value.integer()?).map_or(Dimension::Any, Dimension::Fixed);
                }
                (2, value) => match name(value)? {
                    "" => {}
                    called => dimension = Dimension::Named(called.to_owned()),
                },
                _ => {}
            }
        }
        dimensions.push(dimension);
        if dimensions.len() > RANK_LIMIT {
            return Err(Problem::damaged(format!("`{called}` has more than {RANK_LIMIT} dimensions")));
        }
    }
    // The same bound that shapes of requests have: nobody can send as many elements.
    let least = dimensions.iter().try_fold(1_usize, |elements, dimension| match dimension {
        Dimension::Fixed(0) => Some(0),
        Dimension::Fixed(size) => elements.checked_mul(*size).filter(|elements| *elements <= FILE_LIMIT),
        Dimension::Named(_) | Dimension::Any => Some(elements),
    });
    if least.is_none() {
        return Err(Problem::damaged(format!("the shape of `{called}` has room for more than {FILE_LIMIT} elements")));
    }
    Ok(dimensions)
}

/// Names of the types that [`DataType`] has none for.
pub(super) fn type_name(number: i64) -> String {
    let name = match number {
        14 => "COMPLEX64",
        15 => "COMPLEX128",
        17 => "FLOAT8E4M3FN",
        18 => "FLOAT8E4M3FNUZ",
        19 => "FLOAT8E5M2",
        20 => "FLOAT8E5M2FNUZ",
        21 => "UINT4",
        22 => "INT4",
        23 => "FLOAT4E2M1",
        24 => "FLOAT8E8M0",
        25 => "UINT2",
        26 => "INT2",
        other => return format!("number {other}"),
    };
    name.to_owned()
}
