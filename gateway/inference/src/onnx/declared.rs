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

pub(super) fn tensor_info(role: &str, value: &[u8]) -> Result<TensorInfo, Problem> {
    let called = value_name(value)?;
    if called.is_empty() {
        return Err(Problem::damaged(format!("an {role} of the model has no name")));
    }
    let not_served = |of_type: &str| {
        let message = format!("the {role} `{called}` is {of_type}: only tensors are served");
        let help = "export the model with tensors only; for classifiers of scikit-learn, \
                    `skl2onnx.to_onnx(model, …, options={'zipmap': False})`";
        Problem::new(message, help)
    };
    let mut tensor = None;
    for field in Fields::of(value) {
        let (2, of_type) = field? else { continue };
        for field in Fields::of(of_type.bytes()?) {
            match field? {
                (1, value) => tensor = Some(value.bytes()?),
                (4, _) => return Err(not_served("a sequence")),
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

impl DataType {
    /// By the number in `TensorProto.DataType`.
    fn from_onnx(number: i64) -> Option<Self> {
        Some(match number {
            1 => Self::Float32,
            2 => Self::Uint8,
            3 => Self::Int8,
            4 => Self::Uint16,
            5 => Self::Int16,
            6 => Self::Int32,
            7 => Self::Int64,
            8 => Self::String,
            9 => Self::Bool,
            10 => Self::Float16,
            11 => Self::Float64,
            12 => Self::Uint32,
            13 => Self::Uint64,
            16 => Self::Bfloat16,
            _ => return None,
        })
    }
}

/// Names of the types that [`DataType`] has none for.
fn type_name(number: i64) -> String {
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
