//! Elements of tensors in JSON: arrays in each other, or one flat array.

use half::{bf16, f16};

use super::json::{JsonError, Reader};
use super::whole::whole;
use crate::validate::{InputError, first_not_finite};
use crate::{Data, DataType, for_each_type};

/// Bytes that the shortest element takes in JSON, with the comma after it.
const SHORTEST: usize = 2;

/// Elements, and the shape that their arrays have.
#[derive(Debug)]
pub struct Nested {
    pub shape: Vec<usize>,
    pub data: Data,
}

/// Why elements were not read.
#[derive(Debug)]
pub enum ElementsError {
    Json(JsonError),
    Input(InputError),
    /// There are more elements, or more strings, than is allowed.
    TooMany {
        limit: usize,
    },
}

impl From<JsonError> for ElementsError {
    fn from(error: JsonError) -> Self {
        Self::Json(error)
    }
}

/// Most elements of a tensor.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    pub elements: usize,
    /// Strings are counted apart, for the shortest takes ten times its place in a body.
    pub strings: usize,
}

impl Room {
    pub fn of(self, data_type: DataType) -> usize {
        if data_type == DataType::String { self.strings.min(self.elements) } else { self.elements }
    }
}

/// Reads the elements of an input. `expected`: how many there will be, if that is known.
pub fn read(
    reader: &mut Reader<'_>,
    input: &str,
    data_type: DataType,
    expected: Option<usize>,
    room: Room,
) -> Result<Nested, ElementsError> {
    macro_rules! read_as {
        ($variant:ident) => {{
            let mut arrays = Arrays::new(input);
            let elements = arrays.read(reader, expected, room.of(data_type))?;
            Ok(Nested { shape: arrays.shape(), data: Data::$variant(elements) })
        }};
    }
    match data_type {
        DataType::Bool => read_as!(Bool),
        DataType::Uint8 => read_as!(Uint8),
        DataType::Uint16 => read_as!(Uint16),
        DataType::Uint32 => read_as!(Uint32),
        DataType::Uint64 => read_as!(Uint64),
        DataType::Int8 => read_as!(Int8),
        DataType::Int16 => read_as!(Int16),
        DataType::Int32 => read_as!(Int32),
        DataType::Int64 => read_as!(Int64),
        DataType::Float16 => read_as!(Float16),
        DataType::Bfloat16 => read_as!(Bfloat16),
        DataType::Float32 => read_as!(Float32),
        DataType::Float64 => read_as!(Float64),
        DataType::String => read_as!(String),
    }
}

/// Arrays in each other, while they are read.
struct Arrays<'a> {
    input: &'a str,
    /// Elements so far of each array that is open, outermost first: the place of the next value.
    open: Vec<usize>,
    /// By depth: the length that all arrays there have, once one has ended.
    lengths: Vec<Option<usize>>,
    /// Depth of the elements, once one was met.
    leaves: Option<usize>,
}

impl<'a> Arrays<'a> {
    fn new(input: &'a str) -> Self {
        Self { input, open: Vec::new(), lengths: Vec::new(), leaves: None }
    }

    fn shape(&self) -> Vec<usize> {
        self.lengths.iter().map(|length| length.unwrap_or_default()).collect()
    }

    fn read<T: Element>(
        &mut self,
        reader: &mut Reader<'_>,
        expected: Option<usize>,
        limit: usize,
    ) -> Result<Vec<T>, ElementsError> {
        let possible = (reader.remaining() / SHORTEST).saturating_add(1);
        let mut elements = Vec::with_capacity(expected.unwrap_or_default().min(possible).min(limit));
        loop {
            if reader.take(b'[') {
                self.begin(reader)?;
                if reader.peek() != Some(b']') {
                    continue;
                }
                self.finish(reader)?;
            } else {
                if self.leaves != Some(self.open.len()) {
                    self.first_leaf(reader)?;
                }
                if elements.len() == limit {
                    return Err(ElementsError::TooMany { limit });
                }
                match T::read(reader) {
                    Some(element) => elements.push(element),
                    None => return Err(self.not_a_value(T::EXPECTED, reader)),
                }
            }
            loop {
                let Some(length) = self.open.last_mut() else { return Ok(elements) };
                *length += 1;
                if reader.take(b',') {
                    break;
                }
                if reader.peek() != Some(b']') {
                    return Err(reader.error("expected `,` or `]` in an array of elements").into());
                }
                self.finish(reader)?;
            }
        }
    }

    /// An array has begun.
    fn begin(&mut self, reader: &mut Reader<'_>) -> Result<(), ElementsError> {
        let depth = self.open.len();
        if self.leaves.is_some_and(|leaves| leaves <= depth) {
            return Err(self.ragged("a value, like those before it", "an array".to_owned()));
        }
        if depth == reader.depth_limit() {
            return Err(reader.error(format!("expected at most {depth} arrays in each other")).into());
        }
        self.open.push(0);
        if self.lengths.len() < self.open.len() {
            self.lengths.push(None);
        }
        Ok(())
    }

    /// The innermost array ends here.
    fn finish(&mut self, reader: &mut Reader<'_>) -> Result<(), ElementsError> {
        reader.take(b']');
        let length = self.open.pop().unwrap_or_default();
        let Some(known) = self.lengths.get_mut(self.open.len()) else { return Ok(()) };
        match *known.get_or_insert(length) {
            known if known == length => Ok(()),
            known => {
                let expected = "an array as long as those before it";
                Err(self.ragged(expected, format!("one of {length} elements instead of {known}")))
            }
        }
    }

    /// A value stands where none has stood so far.
    fn first_leaf(&mut self, reader: &mut Reader<'_>) -> Result<(), ElementsError> {
        if self.leaves.is_some() || self.lengths.len() > self.open.len() {
            let got = reader.describe();
            return Err(self.ragged("an array, like those before it", got));
        }
        self.leaves = Some(self.open.len());
        Ok(())
    }

    fn ragged(&self, expected: &'static str, got: String) -> ElementsError {
        let (name, place) = (crate::validate::clip(self.input), self.place("the data"));
        ElementsError::Input(InputError::Element { name, place, expected, got })
    }

    fn not_a_value(&self, expected: &'static str, reader: &mut Reader<'_>) -> ElementsError {
        if reader.peek().is_none() {
            return reader.error("expected the end of an array of elements").into();
        }
        let (name, got) = (crate::validate::clip(self.input), reader.describe());
        ElementsError::Input(InputError::Element { name, place: self.place("the element"), expected, got })
    }

    fn place(&self, what: &str) -> String {
        self.open.iter().fold(what.to_owned(), |place, index| format!("{place}[{index}]"))
    }
}

/// What stands in JSON as one value of a tensor.
trait Element: Sized {
    const EXPECTED: &'static str;

    /// None where something else stands, with the reader before it.
    fn read(reader: &mut Reader<'_>) -> Option<Self>;
}

/// What has to stand in JSON, or on any way, as an element of a type.
pub fn expected(data_type: DataType) -> &'static str {
    match data_type {
        DataType::Bool => bool::EXPECTED,
        DataType::Uint8 => u8::EXPECTED,
        DataType::Uint16 => u16::EXPECTED,
        DataType::Uint32 => u32::EXPECTED,
        DataType::Uint64 => u64::EXPECTED,
        DataType::Int8 => i8::EXPECTED,
        DataType::Int16 => i16::EXPECTED,
        DataType::Int32 => i32::EXPECTED,
        DataType::Int64 => i64::EXPECTED,
        DataType::Float16 => f16::EXPECTED,
        DataType::Bfloat16 => bf16::EXPECTED,
        DataType::Float32 => f32::EXPECTED,
        DataType::Float64 => f64::EXPECTED,
        DataType::String => String::EXPECTED,
    }
}

/// Parses a number; leaves the reader before it if it is none, or not one of the type.
#[inline]
fn number<T>(reader: &mut Reader<'_>, parse: impl FnOnce(&str) -> Option<T>) -> Option<T> {
    let before = reader.mark();
    let value = reader.number().ok().and_then(parse);
    if value.is_none() {
        reader.back(before);
    }
    value
}

macro_rules! integers {
    ($($type:ty: $expected:literal),* $(,)?) => {$(
        impl Element for $type {
            const EXPECTED: &'static str = $expected;

            #[inline]
            fn read(reader: &mut Reader<'_>) -> Option<Self> {
                number(reader, whole)
            }
        }
    )*};
}

integers! {
    u8: "a whole number from 0 to 255 (UINT8)",
    u16: "a whole number from 0 to 65535 (UINT16)",
    u32: "a whole number from 0 to 4294967295 (UINT32)",
    u64: "a whole number from 0 to 18446744073709551615 (UINT64)",
    i8: "a whole number from -128 to 127 (INT8)",
    i16: "a whole number from -32768 to 32767 (INT16)",
    i32: "a whole number from -2147483648 to 2147483647 (INT32)",
    i64: "a whole number from -9223372036854775808 to 9223372036854775807 (INT64)",
}

macro_rules! floats {
    ($($type:ty: $parse:expr, $expected:literal),* $(,)?) => {$(
        impl Element for $type {
            const EXPECTED: &'static str = $expected;

            #[inline]
            fn read(reader: &mut Reader<'_>) -> Option<Self> {
                // A number that is too large for the type would become infinite.
                number(reader, |text| $parse(text).filter(|value: &Self| value.is_finite()))
            }
        }
    )*};
}

floats! {
    f16: |text: &str| text.parse().ok().map(f16::from_f64), "a number of at most 65504 (FP16)",
    bf16: |text: &str| text.parse().ok().map(bf16::from_f64), "a number of at most 3.39e38 (BF16)",
    f32: |text: &str| text.parse().ok(), "a number of at most 3.4028235e38 (FP32)",
    f64: |text: &str| text.parse().ok(), "a number of at most 1.7976931348623157e308 (FP64)",
}

impl Element for bool {
    const EXPECTED: &'static str = "true or false (BOOL)";

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        reader.boolean()
    }
}

impl Element for String {
    const EXPECTED: &'static str = "a string (BYTES)";

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        reader.string().ok().map(Into::into)
    }
}

/// Writes elements as arrays in each other by a shape; flat, for a shape of one dimension. Floating-point numbers are
/// the shortest that give the same value again.
///
/// # Errors
/// An element is NaN or infinite: which, and what it is.
pub fn write(out: &mut Vec<u8>, shape: &[usize], data: &Data) -> Result<(), (usize, &'static str)> {
    if let Some(trouble) = first_not_finite(data) {
        return Err(trouble);
    }
    for_each_type!(data, elements => write_nested(out, shape, elements));
    Ok(())
}

fn write_nested<T: Written>(out: &mut Vec<u8>, shape: &[usize], elements: &[T]) {
    let Some((&length, inner)) = shape.split_first() else {
        if let Some(element) = elements.first() {
            element.write(out);
        }
        return;
    };
    out.push(b'[');
    if inner.is_empty() {
        for (index, element) in elements.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            element.write(out);
        }
    } else {
        let size = elements.len().checked_div(length).unwrap_or_default();
        for index in 0..length {
            if index > 0 {
                out.push(b',');
            }
            let part = elements.get(index * size..(index + 1) * size).unwrap_or_default();
            write_nested(out, inner, part);
        }
    }
    out.push(b']');
}

trait Written {
    fn write(&self, out: &mut Vec<u8>);
}

macro_rules! written_integers {
    ($($type:ty),*) => {$(
        impl Written for $type {
            #[inline]
            fn write(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(itoa::Buffer::new().format(*self).as_bytes());
            }
        }
    )*};
}

written_integers!(u8, u16, u32, u64, i8, i16, i32, i64);

macro_rules! written_floats {
    ($($type:ty: $widen:expr),* $(,)?) => {$(
        impl Written for $type {
            #[inline]
            fn write(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(zmij::Buffer::new().format_finite($widen(*self)).as_bytes());
            }
        }
    )*};
}

written_floats! {
    f16: f16::to_f32,
    bf16: bf16::to_f32,
    f32: std::convert::identity,
    f64: std::convert::identity,
}

impl Written for bool {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(if *self { b"true" } else { b"false" });
    }
}

impl Written for String {
    fn write(&self, out: &mut Vec<u8>) {
        write_string(out, self);
    }
}

/// Writes a JSON string.
pub fn write_string(out: &mut Vec<u8>, string: &str) {
    // Writing a string into memory cannot fail.
    let _ = serde_json::to_writer(out, string);
}

/// Writes a flat array of whole numbers.
pub fn write_sizes(out: &mut Vec<u8>, sizes: &[usize]) {
    out.push(b'[');
    for (index, size) in sizes.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(itoa::Buffer::new().format(*size).as_bytes());
    }
    out.push(b']');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ROOM: Room = Room { elements: 1000, strings: 10 };

    fn nested(data_type: DataType, text: &str) -> Result<Nested, String> {
        let mut reader = Reader::new(text.as_bytes(), 8).unwrap();
        let nested = read(&mut reader, "x", data_type, None, ROOM).map_err(|error| match error {
            ElementsError::Json(error) => error.to_string(),
            ElementsError::Input(error) => error.to_string(),
            ElementsError::TooMany { limit } => format!("more than {limit}"),
        })?;
        reader.end().map_err(|error| error.to_string())?;
        Ok(nested)
    }

    fn written(shape: &[usize], data: &Data) -> String {
        let mut out = Vec::new();
        write(&mut out, shape, data).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn nesting_gives_the_shape() {
        for (text, shape) in [
            ("5", &[][..]),
            ("[]", &[0]),
            ("[1, 2 ,3]", &[3]),
            ("[[1,2],[3,4],[5,6]]", &[3, 2]),
            ("[[[1]],[[2]]]", &[2, 1, 1]),
            ("[[],[]]", &[2, 0]),
            ("[[[]],[[]]]", &[2, 1, 0]),
        ] {
            assert_eq!(nested(DataType::Int32, text).unwrap().shape, shape, "{text}");
        }
    }

    #[test]
    fn what_is_ragged_is_refused_with_its_place() {
        let long = "an array as long as those before it";
        for (text, expected) in [
            (
                "[[1,2],[3]]",
                format!("the data[1] of the input `x` has to be {long}, got one of 1 elements instead of 2"),
            ),
            ("[[1],[]]", format!("the data[1] of the input `x` has to be {long}, got one of 0 elements instead of 1")),
            ("[[],[[]]]", format!("the data[1] of the input `x` has to be {long}, got one of 1 elements instead of 0")),
            (
                "[1,[2]]",
                "the data[1] of the input `x` has to be a value, like those before it, got an array".to_owned(),
            ),
            ("[[1],2]", "the data[1] of the input `x` has to be an array, like those before it, got 2".to_owned()),
            ("[[],2]", "the data[1] of the input `x` has to be an array, like those before it, got 2".to_owned()),
        ] {
            assert_eq!(nested(DataType::Int32, text).unwrap_err(), expected, "{text}");
        }
    }

    #[test]
    fn numbers_may_be_written_as_json_allows() {
        for (data_type, text, data) in [
            (
                DataType::Int64,
                "[1.0, 1e3, -0, -2.5e1, 9.007199254740993e15]",
                Data::Int64(vec![1, 1000, 0, -25, 9_007_199_254_740_993]),
            ),
            (DataType::Uint64, "[18446744073709551615, 1.8446744073709551615e19]", Data::Uint64(vec![u64::MAX; 2])),
            (DataType::Uint8, "[-0.0, 2.55E+2, 100e-2]", Data::Uint8(vec![0, 255, 1])),
            (
                DataType::Float32,
                "[1, 1E0, -0, 1e-50, 16777217]",
                Data::Float32(vec![1.0, 1.0, -0.0, 0.0, 16_777_216.0]),
            ),
            (DataType::Float64, "[123456789012345678901234567890]", Data::Float64(vec![1.234_567_890_123_456_8e29])),
        ] {
            assert_eq!(nested(data_type, text).unwrap().data, data, "{text}");
        }
    }

    #[test]
    fn an_element_of_another_type_is_refused_with_what_it_is() {
        for (data_type, text, expected) in [
            (
                DataType::Uint8,
                "[300]",
                "the element[0] of the input `x` has to be a whole number from 0 to 255 (UINT8), got 300",
            ),
            (
                DataType::Int32,
                "[1,1.5]",
                "the element[1] of the input `x` has to be a whole number from -2147483648 to 2147483647 (INT32), got 1.5",
            ),
            (
                DataType::Float32,
                "[[true]]",
                "the element[0][0] of the input `x` has to be a number of at most 3.4028235e38 (FP32), got true",
            ),
            (
                DataType::Float32,
                "[1e39]",
                "the element[0] of the input `x` has to be a number of at most 3.4028235e38 (FP32), got 1e39",
            ),
            (
                DataType::Float32,
                "[NaN]",
                "the element[0] of the input `x` has to be a number of at most 3.4028235e38 (FP32), got NaN, which JSON does not have (binary tensor data does)",
            ),
            (
                DataType::Float64,
                "[null]",
                "the element[0] of the input `x` has to be a number of at most 1.7976931348623157e308 (FP64), got null",
            ),
            (DataType::Bool, "[1]", "the element[0] of the input `x` has to be true or false (BOOL), got 1"),
            (DataType::String, "[1]", "the element[0] of the input `x` has to be a string (BYTES), got 1"),
            (
                DataType::Int64,
                "[\"1\"]",
                "the element[0] of the input `x` has to be a whole number from -9223372036854775808 to 9223372036854775807 (INT64), got the string \"1\"",
            ),
        ] {
            assert_eq!(nested(data_type, text).unwrap_err(), expected, "{text}");
        }
    }

    #[test]
    fn elements_and_depth_are_limited() {
        assert_eq!(nested(DataType::Bool, &format!("[{}true]", "true,".repeat(1000))).unwrap_err(), "more than 1000");
        assert_eq!(nested(DataType::String, &format!("[{}\"\"]", "\"\",".repeat(10))).unwrap_err(), "more than 10");
        assert!(nested(DataType::Bool, &"[".repeat(9)).unwrap_err().contains("at most 8 arrays"));
    }

    #[test]
    fn elements_are_written_in_their_shape() {
        assert_eq!(written(&[2, 2], &Data::Int8(vec![1, -2, 3, 4])), "[[1,-2],[3,4]]");
        assert_eq!(written(&[], &Data::Bool(vec![true])), "true");
        assert_eq!(written(&[2, 0], &Data::Bool(vec![])), "[[],[]]");
        assert_eq!(written(&[3], &Data::Float32(vec![1.0, 0.1, f32::MIN_POSITIVE])), "[1.0,0.1,1.1754944e-38]");
        assert_eq!(written(&[1], &Data::String(vec!["a\"\n".to_owned()])), r#"["a\"\n"]"#);
    }

    #[test]
    fn what_json_cannot_say_is_not_written() {
        let data = Data::Float32(vec![1.0, f32::NEG_INFINITY]);
        assert_eq!(write(&mut Vec::new(), &[2], &data), Err((1, "infinite")));
    }

    proptest! {
        #[test]
        fn floats_come_back_bit_by_bit(bits in prop::collection::vec(any::<u32>(), 0..20), wide in any::<u64>()) {
            let floats: Vec<f32> = bits.into_iter().map(f32::from_bits).filter(|value| value.is_finite()).collect();
            let data = Data::Float32(floats.clone());
            let Data::Float32(read) = nested(DataType::Float32, &written(&[floats.len()], &data)).unwrap().data else { panic!() };
            prop_assert!(floats.iter().zip(&read).all(|(a, b)| a.to_bits() == b.to_bits()) && floats.len() == read.len());
            let wide = f64::from_bits(wide);
            prop_assume!(wide.is_finite());
            let Data::Float64(read) = nested(DataType::Float64, &written(&[1], &Data::Float64(vec![wide]))).unwrap().data else { panic!() };
            prop_assert_eq!(read[0].to_bits(), wide.to_bits());
        }

        #[test]
        fn strings_and_integers_come_back(strings in prop::collection::vec(".*", 1..10), integers in prop::collection::vec(any::<i64>(), 1..10)) {
            for data in [Data::String(strings), Data::Int64(integers)] {
                let shape = [1, data.len()];
                let read = nested(data.data_type(), &written(&shape, &data)).unwrap();
                prop_assert_eq!(&read.data, &data);
                prop_assert_eq!(read.shape, shape);
            }
        }

        #[test]
        fn halves_come_back(bits in any::<u16>()) {
            let (half, brain) = (f16::from_bits(bits), bf16::from_bits(bits));
            prop_assume!(half.is_finite() && brain.is_finite());
            for data in [Data::Float16(vec![half]), Data::Bfloat16(vec![brain])] {
                prop_assert_eq!(nested(data.data_type(), &written(&[1], &data)).unwrap().data, data);
            }
        }
    }
}
