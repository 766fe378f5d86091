//! Numbers of one type as numbers of another.

use half::{bf16, f16};

use crate::value::{Data, DataType, Element};

/// A number of any type, as wide as it needs.
#[derive(Debug, Clone, Copy)]
enum Wide {
    Signed(i64),
    Unsigned(u64),
    Float(f64),
}

trait FromWide: Element {
    fn from_wide(wide: Wide) -> Self;
}

/// A fraction cut off. ONNX leaves open what becomes of a number that the type cannot hold. The runtimes leave it to the
/// processor, and models are tried on x86-64, so it is what happens there: the smallest number with a sign, or what is
/// left of it in a narrower type; NaN in particular becomes no category by chance.
fn signed_32(number: f64) -> i32 {
    let whole = number.trunc();
    if (f64::from(i32::MIN)..=f64::from(i32::MAX)).contains(&whole) { whole as i32 } else { i32::MIN }
}

/// As [`signed_32`].
fn signed_64(number: f64) -> i64 {
    const END: f64 = 9_223_372_036_854_775_808.0;
    if (-END..END).contains(&number) { number as i64 } else { i64::MIN }
}

/// As [`signed_32`]: numbers beyond those with a sign are converted less by half the range.
fn unsigned_32(number: f64) -> u32 {
    const HALF: u32 = 1 << 31;
    if number < f64::from(HALF) || number.is_nan() {
        signed_32(number).cast_unsigned()
    } else {
        signed_32(number - f64::from(HALF)).cast_unsigned() ^ HALF
    }
}

/// As [`unsigned_32`].
fn unsigned_64(number: f64) -> u64 {
    const HALF: u64 = 1 << 63;
    let end = 9_223_372_036_854_775_808.0;
    if number < end || number.is_nan() {
        signed_64(number).cast_unsigned()
    } else {
        signed_64(number - end).cast_unsigned() ^ HALF
    }
}

macro_rules! from_wide {
    ($($type:ty: $float:ident => $value:expr);* $(;)?) => {$(
        impl FromWide for $type {
            fn from_wide(wide: Wide) -> Self {
                match wide {
                    // Higher bits are discarded; a number with fractions is rounded once.
                    Wide::Signed(number) => number as Self,
                    Wide::Unsigned(number) => number as Self,
                    Wide::Float($float) => $value,
                }
            }
        }
    )*};
}

from_wide! {
    u8: number => signed_32(number) as u8;
    u16: number => signed_32(number) as u16;
    u32: number => unsigned_32(number);
    u64: number => unsigned_64(number);
    i8: number => signed_32(number) as i8;
    i16: number => signed_32(number) as i16;
    i32: number => signed_32(number);
    i64: number => signed_64(number);
    f32: number => number as f32;
    f64: number => number;
}

impl FromWide for bool {
    fn from_wide(wide: Wide) -> Self {
        match wide {
            Wide::Signed(number) => number != 0,
            Wide::Unsigned(number) => number != 0,
            Wide::Float(number) => number != 0.0,
        }
    }
}

impl FromWide for f16 {
    fn from_wide(wide: Wide) -> Self {
        Self::from_f64(f64::from_wide(wide))
    }
}

impl FromWide for bf16 {
    fn from_wide(wide: Wide) -> Self {
        match wide {
            Wide::Float(number) => Self::from_f64(number),
            other => Self::from_f32(f32::from_wide(other)),
        }
    }
}

/// Elements that are widened at one time, on the stack: code is then made for each type to wide ones and from there, and
/// not for each pair of types.
const WIDE: usize = 64;

/// Some elements, widened.
enum Part<'a> {
    Signed(&'a [i64]),
    Unsigned(&'a [u64]),
    Float(&'a [f64]),
}

fn widen<S: Copy, W: Copy + Default>(elements: &[S], widen: impl Fn(S) -> W, tell: &mut dyn FnMut(&[W])) {
    let mut room = [W::default(); WIDE];
    for elements in elements.chunks(WIDE) {
        let wide = room.get_mut(..elements.len()).unwrap_or_default();
        wide.iter_mut().zip(elements).for_each(|(wide, element)| *wide = widen(*element));
        tell(wide);
    }
}

/// Tells all numbers and truth values, some at a time.
fn in_parts(data: &Data, tell: &mut dyn FnMut(Part<'_>)) {
    match data {
        Data::Bool(elements) => widen(elements, i64::from, &mut |wide| tell(Part::Signed(wide))),
        Data::Uint8(elements) => widen(elements, i64::from, &mut |wide| tell(Part::Signed(wide))),
        Data::Uint16(elements) => widen(elements, i64::from, &mut |wide| tell(Part::Signed(wide))),
        Data::Uint32(elements) => widen(elements, i64::from, &mut |wide| tell(Part::Signed(wide))),
        Data::Uint64(elements) => tell(Part::Unsigned(elements)),
        Data::Int8(elements) => widen(elements, i64::from, &mut |wide| tell(Part::Signed(wide))),
        Data::Int16(elements) => widen(elements, i64::from, &mut |wide| tell(Part::Signed(wide))),
        Data::Int32(elements) => widen(elements, i64::from, &mut |wide| tell(Part::Signed(wide))),
        Data::Int64(elements) => tell(Part::Signed(elements)),
        Data::Float16(elements) => widen(elements, f16::to_f64, &mut |wide| tell(Part::Float(wide))),
        Data::Bfloat16(elements) => widen(elements, bf16::to_f64, &mut |wide| tell(Part::Float(wide))),
        Data::Float32(elements) => widen(elements, f64::from, &mut |wide| tell(Part::Float(wide))),
        Data::Float64(elements) => tell(Part::Float(elements)),
        Data::String(_) => {}
    }
}

fn to<T: FromWide>(data: &Data) -> Data {
    let mut made: Vec<T> = Vec::with_capacity(data.len());
    in_parts(data, &mut |part| match part {
        Part::Signed(wide) => made.extend(wide.iter().map(|number| T::from_wide(Wide::Signed(*number)))),
        Part::Unsigned(wide) => made.extend(wide.iter().map(|number| T::from_wide(Wide::Unsigned(*number)))),
        Part::Float(wide) => made.extend(wide.iter().map(|number| T::from_wide(Wide::Float(*number)))),
    });
    T::into_data(made)
}

/// Converts numbers and truth values. None for strings.
pub(crate) fn convert(data: &Data, data_type: DataType) -> Option<Data> {
    if let (Data::Float32(elements), DataType::Float64) = (data, data_type) {
        return Some(Data::Float64(elements.iter().copied().map(f64::from).collect()));
    }
    if let Data::String(_) = data {
        return None;
    }
    Some(match data_type {
        DataType::Bool => to::<bool>(data),
        DataType::Uint8 => to::<u8>(data),
        DataType::Uint16 => to::<u16>(data),
        DataType::Uint32 => to::<u32>(data),
        DataType::Uint64 => to::<u64>(data),
        DataType::Int8 => to::<i8>(data),
        DataType::Int16 => to::<i16>(data),
        DataType::Int32 => to::<i32>(data),
        DataType::Int64 => to::<i64>(data),
        DataType::Float16 => to::<f16>(data),
        DataType::Bfloat16 => to::<bf16>(data),
        DataType::Float32 => to::<f32>(data),
        DataType::Float64 => to::<f64>(data),
        DataType::String => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ODD: [f32; 8] = [1e30, -1e30, f32::NAN, f32::INFINITY, 300.9, -300.9, 3e9, -1.0];

    fn converted(data_type: DataType) -> Data {
        convert(&Data::Float32(ODD.to_vec()), data_type).unwrap()
    }

    /// Seen of `numpy` 2.4 and ONNX Runtime 1.32 on x86-64, 2026-12.
    #[test]
    fn numbers_that_do_not_fit_become_what_they_become_elsewhere() {
        let low = i64::MIN;
        assert_eq!(converted(DataType::Int64), Data::Int64(vec![low, low, low, low, 300, -300, 3_000_000_000, -1]));
        let low = i32::MIN;
        assert_eq!(converted(DataType::Int32), Data::Int32(vec![low, low, low, low, 300, -300, low, -1]));
        assert_eq!(converted(DataType::Uint8), Data::Uint8(vec![0, 0, 0, 0, 44, 212, 0, 255]));
        assert_eq!(converted(DataType::Int8), Data::Int8(vec![0, 0, 0, 0, 44, -44, 0, -1]));
        let half = 1 << 63;
        let wide = vec![0, half, half, 0, 300, 18_446_744_073_709_551_316, 3_000_000_000, u64::MAX];
        assert_eq!(converted(DataType::Uint64), Data::Uint64(wide));
        let half = 1 << 31;
        let narrow = vec![0, half, half, 0, 300, 4_294_966_996, 3_000_000_000, u32::MAX];
        assert_eq!(converted(DataType::Uint32), Data::Uint32(narrow));
    }

    #[test]
    fn whole_numbers_lose_their_higher_bits_and_are_rounded_once() {
        let numbers = Data::Int64(vec![200, -1, (1 << 53) + 1, 0x7fff_ffff_ffff_ffff]);
        assert_eq!(convert(&numbers, DataType::Int8), Some(Data::Int8(vec![-56, -1, 1, -1])));
        // By way of 64 bits it would be rounded down first and to even then.
        let tie = Data::Int64(vec![(1 << 54) + (1 << 30) + 1]);
        let rounded = ((1_u64 << 54) + (1 << 31)) as f32;
        assert_eq!(convert(&tie, DataType::Float32), Some(Data::Float32(vec![rounded])));
        assert_eq!(
            convert(&Data::Uint64(vec![u64::MAX]), DataType::Float64),
            Some(Data::Float64(vec![1.8446744073709552e19]))
        );
        assert_eq!(convert(&Data::Float32(vec![1e6]), DataType::Float16), Some(Data::Float16(vec![f16::INFINITY])));
    }
}
