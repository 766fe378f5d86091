//! Inference requests and answers over gRPC.

use std::time::Instant;

use bytes::Bytes;

use super::messages::{Choice, InferTensor, InferTensorContents, ModelInferRequest, ModelInferResponse};
use crate::protocol::elements::{ElementsError, Room, expected};
use crate::protocol::failure::Failure;
use crate::protocol::v2::{data_type, is_left_out, left_out, sized, timeout};
use crate::protocol::{Rules, Wanted, binary, earlier};
use crate::validate::{InputError, clip};
use crate::{Data, DataType, Tensor};

/// Makes tensors of a request.
pub fn decode(request: ModelInferRequest, deadline: Option<Instant>, rules: &Rules) -> Result<Wanted, Failure> {
    let ModelInferRequest { parameters, inputs: named, outputs, raw_input_contents: raw, .. } = request;
    let mut own = None;
    for (key, parameter) in &parameters {
        refuse_left_out(key)?;
        if key == "timeout" {
            own = match parameter.choice {
                Some(Choice::Int64(microseconds)) => timeout(u64::try_from(microseconds).unwrap_or_default()),
                Some(Choice::Uint64(microseconds)) => timeout(microseconds),
                _ => return Err(Failure::invalid("the parameter `timeout` has to be a number of microseconds")),
            };
        }
    }
    outputs.iter().flat_map(|output| output.parameters.keys()).try_for_each(|key| refuse_left_out(key))?;
    if !raw.is_empty() && raw.len() != named.len() {
        let (raw, inputs) = (raw.len(), named.len());
        return Err(Failure::invalid(format!(
            "the request has {inputs} inputs and {raw} `raw_input_contents`: expected one for each input, or \
             none at all"
        )));
    }
    let mut raw = raw.into_iter();
    let mut inputs = Vec::with_capacity(named.len());
    for input in named {
        inputs.push(read_input(input, raw.next(), rules.room(&inputs))?);
    }
    let inputs = rules.check(inputs)?;
    let outputs = rules.outputs(outputs.iter().map(|output| output.name.as_str()))?;
    Ok(Wanted { inputs, outputs, deadline: earlier(deadline, own) })
}

fn refuse_left_out(key: &str) -> Result<(), Failure> {
    if is_left_out(key) { Err(left_out(key)) } else { Ok(()) }
}

fn read_input(input: InferTensor, raw: Option<Bytes>, room: Room) -> Result<(String, Tensor), Failure> {
    let InferTensor { name, datatype, shape, parameters, contents } = input;
    parameters.keys().try_for_each(|key| refuse_left_out(key))?;
    let data_type = data_type(&datatype)?;
    let sizes = shape.iter().map(|size| usize::try_from(*size)).collect::<Result<Vec<_>, _>>();
    let sizes = sizes.map_err(|_| {
        Failure::invalid(format!("the input `{}` has a negative size in its shape {shape:?}", clip(&name)))
    })?;
    // An empty message of contents is as good as none: there are libraries that always send one.
    let contents = contents.filter(|contents| filled(contents).next().is_some());
    let data = match (raw, contents) {
        (Some(_), Some(_)) => {
            return Err(Failure::invalid(format!(
                "the input `{}` has both `contents` and `raw_input_contents`: give one of them",
                clip(&name)
            )));
        }
        (Some(raw), None) => binary::read(&name, data_type, &raw, room)?,
        (None, contents) => typed(&name, data_type, contents.unwrap_or_default())?,
    };
    let tensor = sized(&name, sizes, data)?;
    Ok((name, tensor))
}

/// Elements in the field for their type.
fn typed(name: &str, data_type: DataType, contents: InferTensorContents) -> Result<Data, Failure> {
    let field = match data_type {
        DataType::Bool => "bool_contents",
        DataType::Int8 | DataType::Int16 | DataType::Int32 => "int_contents",
        DataType::Int64 => "int64_contents",
        DataType::Uint8 | DataType::Uint16 | DataType::Uint32 => "uint_contents",
        DataType::Uint64 => "uint64_contents",
        DataType::Float32 => "fp32_contents",
        DataType::Float64 => "fp64_contents",
        DataType::String => "bytes_contents",
        DataType::Float16 | DataType::Bfloat16 => "raw_input_contents",
    };
    if let Some(other) = filled(&contents).find(|other| *other != field) {
        let (name, label) = (clip(name), data_type.label());
        return Err(Failure::invalid(format!("the input `{name}` is {label}: expected `{field}`, got `{other}`")));
    }
    Ok(match data_type {
        DataType::Bool => Data::Bool(contents.bool_contents),
        DataType::Int8 => Data::Int8(narrow(name, data_type, &contents.int_contents)?),
        DataType::Int16 => Data::Int16(narrow(name, data_type, &contents.int_contents)?),
        DataType::Int32 => Data::Int32(contents.int_contents),
        DataType::Int64 => Data::Int64(contents.int64_contents),
        DataType::Uint8 => Data::Uint8(narrow(name, data_type, &contents.uint_contents)?),
        DataType::Uint16 => Data::Uint16(narrow(name, data_type, &contents.uint_contents)?),
        DataType::Uint32 => Data::Uint32(contents.uint_contents),
        DataType::Uint64 => Data::Uint64(contents.uint64_contents),
        DataType::Float32 => Data::Float32(contents.fp32_contents),
        DataType::Float64 => Data::Float64(contents.fp64_contents),
        DataType::Float16 => Data::Float16(Vec::new()),
        DataType::Bfloat16 => Data::Bfloat16(Vec::new()),
        DataType::String => {
            let strings = contents.bytes_contents.iter().enumerate();
            let read = strings.map(|(place, bytes)| binary::utf8(name, place, bytes));
            Data::String(read.collect::<Result<_, ElementsError>>()?)
        }
    })
}

/// Fields that have elements.
fn filled(contents: &InferTensorContents) -> impl Iterator<Item = &'static str> {
    let lengths = [
        ("bool_contents", contents.bool_contents.len()),
        ("int_contents", contents.int_contents.len()),
        ("int64_contents", contents.int64_contents.len()),
        ("uint_contents", contents.uint_contents.len()),
        ("uint64_contents", contents.uint64_contents.len()),
        ("fp32_contents", contents.fp32_contents.len()),
        ("fp64_contents", contents.fp64_contents.len()),
        ("bytes_contents", contents.bytes_contents.len()),
    ];
    lengths.into_iter().filter(|(_, length)| *length > 0).map(|(field, _)| field)
}

/// Numbers of a type that the protocol sends as a wider one.
fn narrow<W: Copy + ToString, N: TryFrom<W>>(
    name: &str,
    data_type: DataType,
    wide: &[W],
) -> Result<Vec<N>, InputError> {
    let narrow = |(place, wide): (usize, &W)| {
        N::try_from(*wide).map_err(|_| InputError::Element {
            name: clip(name),
            place: format!("the element[{place}]"),
            expected: expected(data_type),
            got: wide.to_string(),
        })
    };
    wide.iter().enumerate().map(narrow).collect()
}

/// Makes an answer, with all elements as bytes.
pub fn encode(rules: &Rules, id: String, outputs: &[usize], tensors: &[Tensor]) -> ModelInferResponse {
    let output = |(output, tensor): (&usize, &Tensor)| InferTensor {
        name: rules.output_name(*output).to_owned(),
        datatype: tensor.data_type().label().to_owned(),
        shape: tensor.shape().iter().map(|size| i64::try_from(*size).unwrap_or(i64::MAX)).collect(),
        ..InferTensor::default()
    };
    let raw = |tensor: &Tensor| {
        let mut bytes = Vec::with_capacity(binary::size(tensor.data()));
        binary::write(&mut bytes, tensor.data());
        Bytes::from(bytes)
    };
    ModelInferResponse {
        model_name: rules.model.name.clone(),
        model_version: rules.model.version.to_string(),
        id,
        outputs: outputs.iter().zip(tensors).map(output).collect(),
        raw_output_contents: tensors.iter().map(raw).collect(),
        ..ModelInferResponse::default()
    }
}
