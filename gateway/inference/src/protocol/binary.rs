//! Elements of tensors as bytes: little endian, without padding; a string after its length in 4 bytes.

use half::{bf16, f16};

use super::elements::{ElementsError, Room};
use crate::validate::{InputError, clip};
use crate::{Data, DataType};

/// Bytes before a string that say its length.
const LENGTH: usize = 4;

/// Reads the elements of an input.
pub fn read(input: &str, data_type: DataType, bytes: &[u8], room: Room) -> Result<Data, ElementsError> {
    let limit = room.of(data_type);
    if data_type != DataType::String && bytes.len() / data_type.size() > limit {
        return Err(ElementsError::TooMany { limit });
    }
    let element = |place: String, expected, got: String| {
        ElementsError::Input(InputError::Element { name: clip(input), place, expected, got })
    };
    macro_rules! numbers {
        ($variant:ident, $type:ty, $size:literal) => {{
            let (elements, rest) = bytes.as_chunks::<$size>();
            if !rest.is_empty() {
                let expected = concat!("a multiple of ", $size, " bytes");
                return Err(element("the data".to_owned(), expected, format!("{} bytes", bytes.len())));
            }
            Ok(Data::$variant(elements.iter().map(|bytes| <$type>::from_le_bytes(*bytes)).collect()))
        }};
    }
    match data_type {
        DataType::Bool => match bytes.iter().position(|byte| *byte > 1) {
            None => Ok(Data::Bool(bytes.iter().map(|byte| *byte == 1).collect())),
            Some(place) => {
                let got = bytes.get(place).copied().unwrap_or_default();
                Err(element(format!("the element[{place}]"), "0 or 1 (BOOL)", format!("the byte {got}")))
            }
        },
        DataType::Uint8 => Ok(Data::Uint8(bytes.to_vec())),
        DataType::Uint16 => numbers!(Uint16, u16, 2),
        DataType::Uint32 => numbers!(Uint32, u32, 4),
        DataType::Uint64 => numbers!(Uint64, u64, 8),
        DataType::Int8 => numbers!(Int8, i8, 1),
        DataType::Int16 => numbers!(Int16, i16, 2),
        DataType::Int32 => numbers!(Int32, i32, 4),
        DataType::Int64 => numbers!(Int64, i64, 8),
        DataType::Float16 => numbers!(Float16, f16, 2),
        DataType::Bfloat16 => numbers!(Bfloat16, bf16, 2),
        DataType::Float32 => numbers!(Float32, f32, 4),
        DataType::Float64 => numbers!(Float64, f64, 8),
        DataType::String => read_strings(input, bytes, limit).map(Data::String),
    }
}

fn read_strings(input: &str, bytes: &[u8], limit: usize) -> Result<Vec<String>, ElementsError> {
    let mut strings = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        if strings.len() == limit {
            return Err(ElementsError::TooMany { limit });
        }
        let string = rest
            .split_first_chunk::<LENGTH>()
            .and_then(|(length, rest)| rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?));
        let Some((string, after)) = string else {
            let place = format!("the element[{}]", strings.len());
            let (expected, got) = ("4 bytes of length and as many bytes", format!("the last {} bytes", rest.len()));
            return Err(ElementsError::Input(InputError::Element { name: clip(input), place, expected, got }));
        };
        strings.push(utf8(input, strings.len(), string)?);
        rest = after;
    }
    Ok(strings)
}

/// A string of a tensor.
pub fn utf8(input: &str, place: usize, bytes: &[u8]) -> Result<String, ElementsError> {
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|error| {
        let (name, place) = (clip(input), format!("the element[{place}]"));
        let got = format!("bytes of which those from {} are not", error.valid_up_to());
        ElementsError::Input(InputError::Element { name, place, expected: "UTF-8", got })
    })
}

/// Bytes that elements take.
pub fn size(data: &Data) -> usize {
    match data {
        Data::String(strings) => strings.iter().map(|string| LENGTH + string.len()).sum(),
        _ => data.len() * data.data_type().size(),
    }
}

/// Writes elements.
pub fn write(out: &mut Vec<u8>, data: &Data) {
    macro_rules! numbers {
        ($elements:expr, $size:literal) => {{
            let start = out.len();
            out.resize(start + $elements.len() * $size, 0);
            let room = out.get_mut(start..).unwrap_or_default().as_chunks_mut::<$size>().0;
            for (room, element) in room.iter_mut().zip($elements) {
                *room = element.to_le_bytes();
            }
        }};
    }
    match data {
        Data::Bool(elements) => out.extend(elements.iter().map(|element| u8::from(*element))),
        Data::Uint8(elements) => out.extend_from_slice(elements),
        Data::Uint16(elements) => numbers!(elements, 2),
        Data::Uint32(elements) => numbers!(elements, 4),
        Data::Uint64(elements) => numbers!(elements, 8),
        Data::Int8(elements) => numbers!(elements, 1),
        Data::Int16(elements) => numbers!(elements, 2),
        Data::Int32(elements) => numbers!(elements, 4),
        Data::Int64(elements) => numbers!(elements, 8),
        Data::Float16(elements) => numbers!(elements, 2),
        Data::Bfloat16(elements) => numbers!(elements, 2),
        Data::Float32(elements) => numbers!(elements, 4),
        Data::Float64(elements) => numbers!(elements, 8),
        Data::String(strings) => {
            for string in strings {
                // A string of 4 GiB would not fit into any response.
                let length = u32::try_from(string.len()).unwrap_or(u32::MAX);
                out.extend_from_slice(&length.to_le_bytes());
                out.extend_from_slice(string.as_bytes());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ROOM: Room = Room { elements: 64, strings: 4 };

    fn refused(data_type: DataType, bytes: &[u8]) -> String {
        match read("x", data_type, bytes, ROOM).unwrap_err() {
            ElementsError::Input(error) => error.to_string(),
            ElementsError::TooMany { limit } => format!("more than {limit}"),
            ElementsError::Json(error) => panic!("{error}"),
        }
    }

    #[test]
    fn bytes_that_are_no_elements_are_refused() {
        for (data_type, bytes, expected) in [
            (DataType::Float32, &[0; 7][..], "the data of the input `x` has to be a multiple of 4 bytes, got 7 bytes"),
            (DataType::Bool, &[0, 1, 2], "the element[2] of the input `x` has to be 0 or 1 (BOOL), got the byte 2"),
            (
                DataType::String,
                &[5, 0, 0, 0, b'a'],
                "the element[0] of the input `x` has to be 4 bytes of length and as many bytes, got the last 5 bytes",
            ),
            (
                DataType::String,
                &[0, 0, 0, 0, 1, 0, 0, 0, 0xff],
                "the element[1] of the input `x` has to be UTF-8, got bytes of which those from 0 are not",
            ),
            (DataType::String, &[0; 20], "more than 4"),
            (DataType::Int8, &[0; 65], "more than 64"),
        ] {
            assert_eq!(refused(data_type, bytes), expected);
        }
    }

    proptest! {
        #[test]
        fn bytes_come_back(bytes in prop::collection::vec(any::<u8>(), 0..8), strings in prop::collection::vec(".*", 0..4)) {
            let bytes = bytes.repeat(8);
            for data_type in DataType::ALL {
                if matches!(data_type, DataType::Bool | DataType::String) {
                    continue;
                }
                let data = read("x", data_type, &bytes, ROOM).unwrap();
                let mut written = Vec::new();
                write(&mut written, &data);
                prop_assert_eq!(&written, &bytes);
                prop_assert_eq!(size(&data), bytes.len());
            }
            let data = Data::String(strings);
            let mut written = Vec::new();
            write(&mut written, &data);
            prop_assert_eq!(written.len(), size(&data));
            prop_assert_eq!(read("x", DataType::String, &written, ROOM).unwrap(), data);
        }
    }
}
