//! Elements of one type as elements of another.

use super::spell::Spell;
use super::{convert, type_attribute};
use crate::attribute::Reader;
use crate::error::{BuildError, OperatorError};
use crate::limits::Budget;
use crate::operator::{Inputs, Kernel, Outputs, Setup, one, ready};
use crate::value::{Data, DataType, Tensor, each};

/// To a type, or to that of the second input.
#[derive(Debug)]
struct Cast {
    to: Option<DataType>,
}

pub(super) fn build(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    // What these change are types of 8 bits.
    setup.attributes().ignore(&["saturate", "round_mode"]);
    ready(Cast { to: Some(Reader::required("to", type_attribute(setup.attributes(), "to")?)?) })
}

/// The first version spelled the type.
pub(super) fn build_by_name(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    const NAMES: [(&str, DataType); 13] = [
        ("FLOAT", DataType::Float32),
        ("UINT8", DataType::Uint8),
        ("INT8", DataType::Int8),
        ("UINT16", DataType::Uint16),
        ("INT16", DataType::Int16),
        ("INT32", DataType::Int32),
        ("INT64", DataType::Int64),
        ("STRING", DataType::String),
        ("BOOL", DataType::Bool),
        ("FLOAT16", DataType::Float16),
        ("DOUBLE", DataType::Float64),
        ("UINT32", DataType::Uint32),
        ("UINT64", DataType::Uint64),
    ];
    Reader::required("to", setup.attributes().get("to"))?;
    ready(Cast { to: Some(setup.attributes().choice("to", &NAMES)?) })
}

pub(super) fn build_like(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    setup.attributes().ignore(&["saturate", "round_mode"]);
    ready(Cast { to: None })
}

impl Kernel for Cast {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let to = match self.to {
            Some(to) => to,
            None => inputs.tensor(1)?.data_type(),
        };
        let tensor = inputs.tensor(0)?;
        budget.tensor(tensor.shape(), to)?;
        if tensor.data_type() == to {
            return one(inputs.take_tensor(0)?);
        }
        let data = match (tensor.data(), to) {
            (Data::String(texts), _) => read(texts, to)?,
            (data, DataType::String) => Data::String(
                spell(data)
                    .ok_or_else(|| OperatorError::input(0, "numbers that all runtimes spell alike", inputs.value(0)))?,
            ),
            (data, _) => convert(data, to).ok_or_else(|| inputs.unexpected(0, "numbers"))?,
        };
        one(Tensor::of_data(*tensor.shape(), data))
    }
}

/// Texts of numbers. The reference has none for numbers of bfloat16; of truth values it has other texts than ONNX
/// Runtime.
fn spell(data: &Data) -> Option<Vec<String>> {
    Some(match data {
        Data::Float16(elements) => elements.iter().map(|number| number.spell()).collect(),
        Data::Float32(elements) => elements.iter().map(|number| number.spell()).collect(),
        Data::Float64(elements) => elements.iter().map(|number| number.spell()).collect(),
        data => each!(data, integer, elements => elements.iter().map(ToString::to_string).collect(), _ => return None),
    })
}

/// Numbers that texts spell, with white space around them; `inf` and `nan` in any case.
fn read(texts: &[String], to: DataType) -> Result<Data, OperatorError> {
    let failure = |text: &str| OperatorError::Element(format!("'{text}' is no number of type {}", to.label()));
    let float = |text: &String| text.trim_ascii().parse::<f64>().map_err(|_| failure(text));
    match to {
        DataType::Float32 => {
            // Not by way of 64 bits: it would be rounded twice.
            let narrow = |text: &String| text.trim_ascii().parse::<f32>().map_err(|_| failure(text));
            texts.iter().map(narrow).collect::<Result<_, _>>().map(Data::Float32)
        }
        DataType::Float64 => texts.iter().map(float).collect::<Result<_, _>>().map(Data::Float64),
        DataType::Float16 | DataType::Bfloat16 => {
            let numbers = texts.iter().map(float).collect::<Result<_, _>>()?;
            convert(&Data::Float64(numbers), to).ok_or_else(|| failure(""))
        }
        DataType::Bool | DataType::String => {
            Err(OperatorError::Shape("texts of truth values differ between runtimes: compare with the text".to_owned()))
        }
        _ => {
            let whole = |text: &String| whole(text).filter(|number| fits(*number, to)).ok_or_else(|| failure(text));
            let numbers: Vec<i128> = texts.iter().map(whole).collect::<Result<_, _>>()?;
            if to == DataType::Uint64 {
                return Ok(Data::Uint64(numbers.into_iter().filter_map(|number| number.try_into().ok()).collect()));
            }
            let numbers = numbers.into_iter().filter_map(|number| number.try_into().ok()).collect();
            convert(&Data::Int64(numbers), to).ok_or_else(|| failure(""))
        }
    }
}

/// A whole number, or one with a fraction, which is cut off.
fn whole(text: &str) -> Option<i128> {
    let text = text.trim_ascii();
    if let Ok(number) = text.parse::<i128>() {
        return Some(number);
    }
    let (number, _) =
        text.split_once('.').filter(|(_, fraction)| fraction.bytes().all(|digit| digit.is_ascii_digit()))?;
    number.parse().ok()
}

fn fits(number: i128, to: DataType) -> bool {
    let range = match to {
        DataType::Uint8 => 0..=i128::from(u8::MAX),
        DataType::Uint16 => 0..=i128::from(u16::MAX),
        DataType::Uint32 => 0..=i128::from(u32::MAX),
        DataType::Uint64 => 0..=i128::from(u64::MAX),
        DataType::Int8 => i128::from(i8::MIN)..=i128::from(i8::MAX),
        DataType::Int16 => i128::from(i16::MIN)..=i128::from(i16::MAX),
        DataType::Int32 => i128::from(i32::MIN)..=i128::from(i32::MAX),
        _ => i128::from(i64::MIN)..=i128::from(i64::MAX),
    };
    range.contains(&number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn texts_are_read_as_numbers() {
        let read = |list: &[&str], to| read(&texts(list), to);
        assert_eq!(read(&["1", " -7 ", "100.5"], DataType::Int64), Ok(Data::Int64(vec![1, -7, 100])));
        assert_eq!(read(&["18446744073709551615"], DataType::Uint64), Ok(Data::Uint64(vec![u64::MAX])));
        assert_eq!(
            read(&["1e3", "+INF", "-inf"], DataType::Float32),
            Ok(Data::Float32(vec![1000.0, f32::INFINITY, f32::NEG_INFINITY]))
        );
        assert!(matches!(read(&["NaN"], DataType::Float64), Ok(Data::Float64(numbers)) if numbers[0].is_nan()));
        let problem = |list: &[&str], to| read(list, to).unwrap_err().to_string();
        assert_eq!(problem(&["1", "x"], DataType::Float32), "'x' is no number of type FP32");
        assert_eq!(problem(&["300"], DataType::Int8), "'300' is no number of type INT8");
        assert_eq!(problem(&["nan"], DataType::Int32), "'nan' is no number of type INT32");
    }
}
