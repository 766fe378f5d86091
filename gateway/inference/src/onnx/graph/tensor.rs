//! Weights.

use half::{bf16, f16};
use witgate_operators::{Data, DataType, Shape, Tensor};

use super::super::wire::{Fields, Value, packed};
use super::{Unsupported, bytes, damaged, text};

/// The lists of a `TensorProto`, of which one has the elements.
#[derive(Default)]
struct Lists<'a> {
    raw: Option<&'a [u8]>,
    floats: Vec<f32>,
    doubles: Vec<f64>,
    /// Of 32 bits and less, of 64 bits, and of 64 bits without a sign: kept as they are encoded.
    narrow: Vec<i64>,
    wide: Vec<i64>,
    unsigned: Vec<i64>,
    texts: Vec<String>,
}

/// A tensor and its name.
pub(super) fn read(message: &[u8]) -> Result<(String, Tensor), Unsupported> {
    let (mut name, mut of_type, mut dimensions) = (String::new(), 0, Vec::new());
    let mut lists = Lists::default();
    for field in Fields::of(message) {
        let (number, value) = field.map_err(damaged)?;
        match number {
            1 => integers(value, &mut dimensions)?,
            2 => of_type = value.integer().map_err(damaged)?,
            4 => floats(value, &mut lists.floats)?,
            5 => integers(value, &mut lists.narrow)?,
            6 => lists.texts.push(text(value).map_err(|_| "a text that is not UTF-8".to_owned())?),
            7 => integers(value, &mut lists.wide)?,
            8 => name = text(value)?,
            9 => lists.raw = Some(bytes(value)?),
            10 => doubles(value, &mut lists.doubles)?,
            11 => integers(value, &mut lists.unsigned)?,
            _ => {}
        }
    }
    let dimensions: Option<Vec<usize>> = dimensions.into_iter().map(|size| usize::try_from(size).ok()).collect();
    let shape = dimensions.and_then(|dimensions| Shape::new(&dimensions).ok());
    let shape =
        shape.ok_or_else(|| format!("weights `{name}` of a shape that is too large or of too many dimensions"))?;
    let data_type = DataType::from_onnx(of_type)
        .ok_or_else(|| format!("weights `{name}` of the type {}", super::super::declared::type_name(of_type)))?;
    let tensor = Tensor::new(shape, lists.data(data_type)).map_err(|error| format!("weights `{name}`: {error}"))?;
    Ok((name, tensor))
}

impl Lists<'_> {
    fn data(self, data_type: DataType) -> Data {
        macro_rules! little_endian {
            ($raw:expr, $type:ty) => {
                $raw.chunks_exact(size_of::<$type>())
                    .filter_map(|bytes| Some(<$type>::from_le_bytes(bytes.try_into().ok()?)))
                    .collect()
            };
        }
        // Integers of all sizes are encoded as if they had 64 bits.
        macro_rules! integers {
            ($list:expr, $type:ty) => {
                match self.raw {
                    Some(raw) => little_endian!(raw, $type),
                    None => $list.into_iter().map(|number| number as $type).collect(),
                }
            };
        }
        let bits = |list: Vec<i64>| list.into_iter().map(|number| number as u16);
        match data_type {
            DataType::Float32 => Data::Float32(match self.raw {
                Some(raw) => little_endian!(raw, f32),
                None => self.floats,
            }),
            DataType::Float64 => Data::Float64(match self.raw {
                Some(raw) => little_endian!(raw, f64),
                None => self.doubles,
            }),
            DataType::Float16 => Data::Float16(match self.raw {
                Some(raw) => little_endian!(raw, f16),
                None => bits(self.narrow).map(f16::from_bits).collect(),
            }),
            DataType::Bfloat16 => Data::Bfloat16(match self.raw {
                Some(raw) => little_endian!(raw, bf16),
                None => bits(self.narrow).map(bf16::from_bits).collect(),
            }),
            DataType::Bool => Data::Bool(match self.raw {
                Some(raw) => raw.iter().map(|byte| *byte != 0).collect(),
                None => self.narrow.into_iter().map(|number| number != 0).collect(),
            }),
            DataType::Int8 => Data::Int8(integers!(self.narrow, i8)),
            DataType::Int16 => Data::Int16(integers!(self.narrow, i16)),
            DataType::Int32 => Data::Int32(integers!(self.narrow, i32)),
            DataType::Int64 => Data::Int64(integers!(self.wide, i64)),
            DataType::Uint8 => Data::Uint8(integers!(self.narrow, u8)),
            DataType::Uint16 => Data::Uint16(integers!(self.narrow, u16)),
            DataType::Uint32 => Data::Uint32(integers!(self.unsigned, u32)),
            DataType::Uint64 => Data::Uint64(integers!(self.unsigned, u64)),
            DataType::String => Data::String(self.texts),
        }
    }
}

/// Adds whole numbers, packed or one by one.
pub(super) fn integers(value: Value<'_>, list: &mut Vec<i64>) -> Result<(), Unsupported> {
    match value {
        Value::Bytes(bytes) => {
            for number in packed(bytes) {
                list.push(number.map_err(damaged)?);
            }
        }
        value => list.push(value.integer().map_err(damaged)?),
    }
    Ok(())
}

/// Adds floats, packed or one by one.
pub(super) fn floats(value: Value<'_>, list: &mut Vec<f32>) -> Result<(), Unsupported> {
    match value {
        Value::Bytes(bytes) => {
            list.extend(bytes.chunks_exact(4).filter_map(|bytes| Some(f32::from_le_bytes(bytes.try_into().ok()?))));
        }
        Value::Narrow(bytes) => list.push(f32::from_le_bytes(bytes)),
        Value::Number(_) | Value::Wide(_) => return Err("a float that is damaged".to_owned()),
    }
    Ok(())
}

fn doubles(value: Value<'_>, list: &mut Vec<f64>) -> Result<(), Unsupported> {
    match value {
        Value::Bytes(bytes) => {
            list.extend(bytes.chunks_exact(8).filter_map(|bytes| Some(f64::from_le_bytes(bytes.try_into().ok()?))));
        }
        Value::Wide(bytes) => list.push(f64::from_le_bytes(bytes)),
        Value::Number(_) | Value::Narrow(_) => return Err("a double that is damaged".to_owned()),
    }
    Ok(())
}
