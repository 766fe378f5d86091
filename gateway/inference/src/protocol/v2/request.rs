//! Inference requests over HTTP: JSON, and binary data behind it.

use std::time::{Duration, Instant};

use crate::protocol::elements::{self, Nested};
use crate::protocol::failure::{Failure, Kind};
use crate::protocol::json::Reader;
use crate::protocol::{Rules, Text, Wanted, binary, earlier, needed, once, unknown_key};
use crate::validate::{InputError, clip, quoted};
use crate::{Data, DataType, Tensor, tensor};

/// How the client wants its answer.
#[derive(Debug)]
pub struct Reply {
    pub id: Option<String>,
    /// Of each output: whether it is wanted as bytes.
    pub binary: Vec<bool>,
}

/// An output that is asked for by name.
struct Named {
    name: String,
    binary: Option<bool>,
}

/// Parameters of a whole request.
#[derive(Default)]
struct Parameters {
    binary_output: Option<bool>,
    deadline: Option<Instant>,
}

/// Reads a request. `json_length`: where its JSON ends; none: there is nothing else.
pub fn decode(
    body: &[u8],
    json_length: Option<usize>,
    deadline: Option<Instant>,
    rules: &Rules,
) -> Result<(Wanted, Reply), Failure> {
    let length = json_length.unwrap_or(body.len());
    let Some((json, mut rest)) = body.split_at_checked(length) else {
        let have = body.len();
        return Err(Failure::invalid(format!(
            "the body has {have} bytes, fewer than the {length} that its JSON should have"
        )));
    };
    let mut reader = Reader::new(json, rules.limits.depth).map_err(|error| match json_length {
        Some(_) => error.into(),
        None => {
            let header = super::JSON_LENGTH;
            Failure::invalid(format!("{error}; if binary data follows the JSON, the header {header} has to say where"))
        }
    })?;
    let (mut id, mut inputs, mut outputs, mut parameters) = (None, None, None, None);
    reader.object(|reader, key| match key {
        "id" | "inputs" | "outputs" | "parameters" if reader.null() => Ok(()),
        "id" => {
            let value = reader.string()?.into_owned();
            once(&mut id, key, value)
        }
        "inputs" => {
            let value = read_inputs(reader, &mut rest, rules)?;
            once(&mut inputs, key, value)
        }
        "outputs" => {
            let value = read_outputs(reader, rules)?;
            once(&mut outputs, key, value)
        }
        "parameters" => {
            let value = read_parameters(reader)?;
            once(&mut parameters, key, value)
        }
        // Said by the path; examples of the protocol repeat it.
        "model_name" | "model_version" => Ok(reader.skip()?),
        key => Err(unknown_key(key, "the request", "`id`, `inputs`, `outputs`, `parameters`")),
    })?;
    reader.end()?;
    if !rest.is_empty() {
        let left = rest.len();
        return Err(Failure::invalid(format!(
            "{left} bytes are left behind the JSON and the binary data that it speaks of"
        )));
    }
    let parameters = parameters.unwrap_or_default();
    let named: Vec<Named> = outputs.unwrap_or_default();
    let outputs = rules.outputs(named.iter().map(|output| output.name.as_str()))?;
    let default = parameters.binary_output.unwrap_or(false);
    let binary =
        (0..outputs.len()).map(|index| named.get(index).and_then(|named| named.binary).unwrap_or(default)).collect();
    let reply = Reply { id, binary };
    check_reply(rules, &outputs, &reply)?;
    let inputs = rules.check(needed(inputs, "the request", "inputs")?)?;
    Ok((Wanted { inputs, outputs, deadline: earlier(deadline, parameters.deadline) }, reply))
}

/// What cannot be answered in JSON is said before the model runs.
fn check_reply(rules: &Rules, outputs: &[usize], reply: &Reply) -> Result<(), Failure> {
    for (output, binary) in outputs.iter().zip(&reply.binary) {
        let info = rules.model.metadata.signature.outputs.get(*output);
        if let Some(info) = info.filter(|info| !binary && is_half(info.data_type)) {
            let (name, label) = (&info.name, info.data_type.label());
            return Err(Failure::invalid(format!(
                "the output `{name}` is {label}, which the protocol has no JSON for: ask for it with `binary_data` or \
                 `binary_data_output`"
            )));
        }
    }
    Ok(())
}

fn is_half(data_type: DataType) -> bool {
    matches!(data_type, DataType::Float16 | DataType::Bfloat16)
}

/// `rest`: binary data that has not been used by inputs.
fn read_inputs(reader: &mut Reader<'_>, rest: &mut &[u8], rules: &Rules) -> Result<Vec<(String, Tensor)>, Failure> {
    let mut inputs = Vec::new();
    reader.array(|reader| {
        if inputs.len() == rules.limits.tensors {
            return Err(rules.too_many_tensors("inputs"));
        }
        let input = read_input(reader, rest, rules, &inputs)?;
        inputs.push(input);
        Ok(())
    })?;
    Ok(inputs)
}

/// What has been read of an input.
#[derive(Default)]
struct Input<'a> {
    name: Option<Text<'a>>,
    data_type: Option<DataType>,
    shape: Option<Vec<usize>>,
    binary_size: Option<usize>,
    /// Where its elements are in the JSON, and the elements if they could be read there at once.
    data: Option<(usize, Option<Nested>)>,
}

fn read_input(
    reader: &mut Reader<'_>,
    rest: &mut &[u8],
    rules: &Rules,
    before: &[(String, Tensor)],
) -> Result<(String, Tensor), Failure> {
    let (place, room) = (format!("inputs[{}]", before.len()), rules.room(before));
    let mut input = Input::default();
    let read = |input: &Input<'_>, reader: &mut Reader<'_>, data_type: DataType| {
        let name = input.name.as_deref().unwrap_or(&place);
        if is_half(data_type) {
            let label = data_type.label();
            return Err(Failure::invalid(format!(
                "the input `{}` is {label}, which the protocol has no JSON for: send it as binary data \
                 (`binary_data_size`)",
                clip(name)
            )));
        }
        let expected = input.shape.as_deref().and_then(tensor::count);
        Ok(elements::read(reader, name, data_type, expected, room)?)
    };
    reader.object(|reader, key| match key {
        "name" | "datatype" | "shape" | "parameters" | "data" if reader.null() => Ok(()),
        "name" => {
            let value = Text::Owned(reader.string()?.into_owned());
            once(&mut input.name, key, value)
        }
        "datatype" => {
            let value = read_data_type(reader)?;
            once(&mut input.data_type, key, value)
        }
        "shape" => {
            let value = read_shape(reader)?;
            once(&mut input.shape, key, value)
        }
        "parameters" => read_input_parameters(reader, &mut input.binary_size),
        "data" => {
            reader.peek();
            let mark = reader.mark();
            let nested = match input.data_type {
                Some(data_type) => Some(read(&input, reader, data_type)?),
                None => {
                    reader.skip()?;
                    None
                }
            };
            once(&mut input.data, key, (mark, nested))
        }
        key => Err(unknown_key(key, &place, "`name`, `shape`, `datatype`, `parameters`, `data`")),
    })?;
    let data_type = needed(input.data_type, &place, "datatype")?;
    let shape = needed(input.shape.clone(), &place, "shape")?;
    let data = match (input.data.take(), input.binary_size) {
        (Some((mark, nested)), None) => {
            let nested = match nested {
                Some(nested) => nested,
                None => {
                    let mut reader = reader.clone();
                    reader.back(mark);
                    read(&input, &mut reader, data_type)?
                }
            };
            check_nesting(input.name.as_deref().unwrap_or(&place), &shape, &nested)?;
            nested.data
        }
        (None, Some(size)) => {
            let Some((bytes, after)) = rest.split_at_checked(size) else {
                let left = rest.len();
                return Err(Failure::invalid(format!(
                    "{place} has `binary_data_size` {size}, and {left} bytes are left behind the JSON: its length has \
                     to be in the header {}, and the data of the inputs to follow in their order",
                    super::JSON_LENGTH
                )));
            };
            *rest = after;
            binary::read(input.name.as_deref().unwrap_or(&place), data_type, bytes, room)?
        }
        (Some(_), Some(_)) => {
            return Err(Failure::invalid(format!("{place} has both `data` and `binary_data_size`: give one of them")));
        }
        (None, None) => {
            return Err(Failure::invalid(format!(
                "{place} has neither `data` nor `binary_data_size`: give one of them"
            )));
        }
    };
    let name = needed(input.name, &place, "name")?.into_owned();
    let tensor = sized(&name, shape, data)?;
    Ok((name, tensor))
}

/// Puts a shape and elements together.
pub fn sized(name: &str, shape: Vec<usize>, data: Data) -> Result<Tensor, InputError> {
    Tensor::new(shape, data).map_err(|error| InputError::Count {
        name: clip(name),
        room: tensor::count(&error.shape).map_or_else(|| "more than all".to_owned(), |room| room.to_string()),
        shape: error.shape,
        got: error.elements,
    })
}

/// Elements stand in one flat array, or in arrays by the shape.
fn check_nesting(name: &str, shape: &[usize], nested: &Nested) -> Result<(), Failure> {
    if nested.shape.len() == 1 || nested.shape == shape {
        return Ok(());
    }
    let (name, got) = (clip(name), &nested.shape);
    Err(Failure::invalid(format!(
        "the data of the input `{name}` has to be one flat array, or arrays of the shape {shape:?}, \
         got arrays of the shape {got:?}"
    )))
}

fn read_data_type(reader: &mut Reader<'_>) -> Result<DataType, Failure> {
    let label = reader.string()?;
    data_type(&label)
}

/// A type by its name in the protocol.
pub fn data_type(label: &str) -> Result<DataType, Failure> {
    DataType::ALL.into_iter().find(|data_type| data_type.label() == label).ok_or_else(|| {
        let known = quoted(DataType::ALL.into_iter().map(DataType::label));
        Failure::invalid(format!("there is no datatype `{}`: it can be one of {known}", clip(label)))
    })
}

fn read_shape(reader: &mut Reader<'_>) -> Result<Vec<usize>, Failure> {
    let (mut shape, limit) = (Vec::new(), reader.depth_limit());
    reader.array(|reader| {
        if shape.len() == limit {
            return Err(Failure::from(reader.error(format!("expected at most {limit} dimensions"))));
        }
        shape.push(reader.size()?);
        Ok(())
    })?;
    Ok(shape)
}

fn read_input_parameters(reader: &mut Reader<'_>, binary_size: &mut Option<usize>) -> Result<(), Failure> {
    reader.object(|reader, key| match key {
        "binary_data_size" if reader.null() => Ok(()),
        "binary_data_size" => {
            let size = reader.size()?;
            once(binary_size, key, size)
        }
        key if is_left_out(key) => Err(left_out(key)),
        _ => Ok(reader.skip()?),
    })
}

fn read_outputs(reader: &mut Reader<'_>, rules: &Rules) -> Result<Vec<Named>, Failure> {
    let mut outputs = Vec::new();
    reader.array(|reader| {
        if outputs.len() == rules.limits.tensors {
            return Err(rules.too_many_tensors("outputs"));
        }
        let place = format!("outputs[{}]", outputs.len());
        let (mut name, mut binary) = (None, None);
        reader.object(|reader, key| match key {
            "name" | "parameters" if reader.null() => Ok(()),
            "name" => {
                let value = reader.string()?.into_owned();
                once(&mut name, key, value)
            }
            "parameters" => reader.object(|reader, key| match key {
                "binary_data" if reader.null() => Ok(()),
                "binary_data" => {
                    let value = read_boolean(reader, key)?;
                    once(&mut binary, key, value)
                }
                key if is_left_out(key) => Err(left_out(key)),
                _ => Ok(reader.skip()?),
            }),
            key => Err(unknown_key(key, &place, "`name`, `parameters`")),
        })?;
        outputs.push(Named { name: needed(name, &place, "name")?, binary });
        Ok(())
    })?;
    Ok(outputs)
}

fn read_parameters(reader: &mut Reader<'_>) -> Result<Parameters, Failure> {
    let mut parameters = Parameters::default();
    reader.object(|reader, key| match key {
        "binary_data_output" | "timeout" if reader.null() => Ok(()),
        "binary_data_output" => {
            let value = read_boolean(reader, key)?;
            once(&mut parameters.binary_output, key, value)
        }
        "timeout" => {
            let microseconds = reader.size()?;
            parameters.deadline = timeout(u64::try_from(microseconds).unwrap_or(u64::MAX));
            Ok(())
        }
        key if is_left_out(key) => Err(left_out(key)),
        _ => Ok(reader.skip()?),
    })?;
    Ok(parameters)
}

/// Triton's parameter `timeout`: microseconds, or 0 for none.
pub fn timeout(microseconds: u64) -> Option<Instant> {
    let timeout = Some(Duration::from_micros(microseconds)).filter(|timeout| !timeout.is_zero())?;
    Instant::now().checked_add(timeout)
}

/// Whether a parameter asks for what would change the answer and is not served. Others are the client's own, or advice.
pub fn is_left_out(key: &str) -> bool {
    key.starts_with("sequence_") || key.starts_with("shared_memory_") || key == "classification"
}

pub fn left_out(key: &str) -> Failure {
    Failure::new(Kind::NotServed, format!("the parameter `{}` is not served here", clip(key)))
}

fn read_boolean(reader: &mut Reader<'_>, key: &str) -> Result<bool, Failure> {
    match reader.boolean() {
        Some(value) => Ok(value),
        None => Err(reader.error(format!("expected true or false as `{key}`")).into()),
    }
}
