//! What elements of each type can do.

use half::{bf16, f16};

use super::{Data, DataType};

/// A type of elements.
pub(crate) trait Element: Clone + Default + PartialEq + Send + Sync + 'static {
    const TYPE: DataType;

    fn of_data(data: &Data) -> Option<&[Self]>;
    fn into_data(elements: Vec<Self>) -> Data;
}

macro_rules! elements {
    ($($type:ty => $variant:ident),* $(,)?) => {$(
        impl Element for $type {
            const TYPE: DataType = DataType::$variant;

            fn of_data(data: &Data) -> Option<&[Self]> {
                if let Data::$variant(elements) = data { Some(elements) } else { None }
            }

            fn into_data(elements: Vec<Self>) -> Data {
                Data::$variant(elements)
            }
        }
    )*};
}

elements! {
    bool => Bool,
    u8 => Uint8,
    u16 => Uint16,
    u32 => Uint32,
    u64 => Uint64,
    i8 => Int8,
    i16 => Int16,
    i32 => Int32,
    i64 => Int64,
    f16 => Float16,
    bf16 => Bfloat16,
    f32 => Float32,
    f64 => Float64,
    String => String,
}

/// Adds up numbers of a type, in the order in which they come.
///
/// Whole numbers wrap around. Numbers of 16 and 32 bits are summed in 64 bits and rounded once, at the end; those of 64
/// bits with a second number for what is lost (Neumaier), which makes the order matter little.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sum<T> {
    total: T,
    lost: T,
}

/// Numbers, whole or not. Whole numbers wrap around, as they do in `numpy`.
pub(crate) trait Number: Element + Copy + PartialOrd {
    /// What it is summed in.
    type Wide: Number;

    const ONE: Self;
    /// Smaller than or equal to all others: minus infinity, if there is one.
    const LOWEST: Self;
    const HIGHEST: Self;

    fn add(self, other: Self) -> Self;
    fn subtract(self, other: Self) -> Self;
    fn multiply(self, other: Self) -> Self;
    /// Of whole numbers, towards zero; never by zero.
    fn divide(self, other: Self) -> Self;
    fn to_f64(self) -> f64;
    /// Rounded to nearest; of whole numbers, towards zero and to the nearest that there is.
    fn from_f64(number: f64) -> Self;
    fn wide(self) -> Self::Wide;
    fn narrow(wide: Self::Wide) -> Self;
    fn is_nan(self) -> bool;
    fn is_zero(self) -> bool {
        self == Self::default()
    }

    fn sum() -> Sum<Self::Wide> {
        Sum::default()
    }

    /// Adds to a sum, exactly or nearly so.
    fn accumulate(sum: &mut Sum<Self>, number: Self) {
        sum.total = sum.total.add(number);
    }

    fn total(sum: Sum<Self>) -> Self {
        sum.total
    }
}

impl<T: Number> Sum<T> {
    pub fn add(&mut self, number: T) {
        T::accumulate(self, number);
    }

    pub fn total(self) -> T {
        T::total(self)
    }
}

/// Whole numbers.
pub(crate) trait Integer: Number {
    /// The remainder that has the sign of the divisor, which is not zero.
    fn modulo(self, other: Self) -> Self;
    /// The remainder that has the sign of the dividend; the divisor is not zero.
    fn remainder(self, other: Self) -> Self;
    /// A power of whole exponent, wrapping around; a fraction is cut off.
    fn power(self, exponent: i64) -> Self;
}

/// Numbers with fractions.
pub(crate) trait Float: Number<Wide = f64> {
    /// Whether it is no wider than 32 bits, so that products are exact in 64.
    const IS_SHORT: bool = size_of::<Self>() <= size_of::<f32>();
}

macro_rules! integers {
    ($($type:ty),*) => {$(
        impl Number for $type {
            type Wide = Self;

            const ONE: Self = 1;
            const LOWEST: Self = Self::MIN;
            const HIGHEST: Self = Self::MAX;

            fn add(self, other: Self) -> Self {
                self.wrapping_add(other)
            }

            fn subtract(self, other: Self) -> Self {
                self.wrapping_sub(other)
            }

            fn multiply(self, other: Self) -> Self {
                self.wrapping_mul(other)
            }

            fn divide(self, other: Self) -> Self {
                if other == 0 { 0 } else { self.wrapping_div(other) }
            }

            fn to_f64(self) -> f64 {
                self as f64
            }

            fn from_f64(number: f64) -> Self {
                number as Self
            }

            fn wide(self) -> Self {
                self
            }

            fn narrow(wide: Self) -> Self {
                wide
            }

            fn is_nan(self) -> bool {
                false
            }
        }

        impl Integer for $type {
            #[allow(unused_comparisons, reason = "the type may have no sign")]
            fn modulo(self, other: Self) -> Self {
                let remainder = self.remainder(other);
                if remainder != 0 && (remainder < 0) != (other < 0) { remainder.wrapping_add(other) } else { remainder }
            }

            fn remainder(self, other: Self) -> Self {
                if other == 0 { 0 } else { self.wrapping_rem(other) }
            }

            #[allow(unused_comparisons, reason = "the type may have no sign")]
            fn power(self, exponent: i64) -> Self {
                let is_odd = exponent & 1 == 1;
                if exponent < 0 {
                    return match self {
                        1 => 1,
                        other if other < 0 && other.wrapping_add(1) == 0 => if is_odd { other } else { 1 },
                        _ => 0,
                    };
                }
                let (mut result, mut factor, mut left) = (1 as Self, self, exponent);
                while left > 0 {
                    if left & 1 == 1 {
                        result = result.wrapping_mul(factor);
                    }
                    factor = factor.wrapping_mul(factor);
                    left >>= 1;
                }
                result
            }
        }
    )*};
}

integers!(u8, u16, u32, u64, i8, i16, i32, i64);

macro_rules! floats {
    ($($type:ty, $to:ident, $from:expr, $one:expr, [$($exact:tt)*]);* $(;)?) => {$(
        impl Number for $type {
            type Wide = f64;

            const ONE: Self = $one;
            const LOWEST: Self = <$type>::NEG_INFINITY;
            const HIGHEST: Self = <$type>::INFINITY;

            // Of 16-bit numbers by way of 32 bits, which rounds as if it had been done at once.
            fn add(self, other: Self) -> Self {
                self + other
            }

            fn subtract(self, other: Self) -> Self {
                self - other
            }

            fn multiply(self, other: Self) -> Self {
                self * other
            }

            fn divide(self, other: Self) -> Self {
                self / other
            }

            fn to_f64(self) -> f64 {
                self.$to()
            }

            fn from_f64(number: f64) -> Self {
                $from(number)
            }

            fn wide(self) -> f64 {
                self.$to()
            }

            fn narrow(wide: f64) -> Self {
                $from(wide)
            }

            fn is_nan(self) -> bool {
                <$type>::is_nan(self)
            }

            $($exact)*
        }

        impl Float for $type {}
    )*};
}

floats! {
    f16, to_f64, f16::from_f64, f16::ONE, [];
    bf16, to_f64, bf16::from_f64, bf16::ONE, [];
    f32, widened, (|number: f64| number as f32), 1.0, [];
    f64, same, (|number: f64| number), 1.0, [
        fn accumulate(sum: &mut Sum<f64>, number: f64) {
            let total = sum.total + number;
            sum.lost += if sum.total.abs() >= number.abs() {
                (sum.total - total) + number
            } else {
                (number - total) + sum.total
            };
            sum.total = total;
        }

        fn total(sum: Sum<f64>) -> f64 {
            let exact = sum.total + sum.lost;
            // Beyond the largest number nothing is lost, but what is lost cannot be told.
            if exact.is_nan() { sum.total } else { exact }
        }
    ];
}

/// Ways of a number to 64 bits, under names that the macro can use for each type.
trait Widen {
    fn widened(self) -> f64;
}

impl Widen for f32 {
    fn widened(self) -> f64 {
        f64::from(self)
    }
}

trait Same {
    fn same(self) -> f64;
}

impl Same for f64 {
    fn same(self) -> f64 {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(numbers: &[f64]) -> f64 {
        let mut sum = f64::sum();
        numbers.iter().for_each(|number| sum.add(*number));
        sum.total()
    }

    #[test]
    fn sums_of_64_bits_lose_nothing_that_comes_back() {
        assert!((sum(&[1.0, 1e100, 1.0, -1e100]) - 2.0).abs() < f64::EPSILON);
        assert!(sum(&[f64::INFINITY, 1.0]).is_infinite());
        assert!(sum(&[f64::INFINITY, f64::NEG_INFINITY]).is_nan());
        assert!(sum(&[f64::MAX, f64::MAX]).is_infinite());
        assert!(sum(&[1.0, f64::NAN]).is_nan());
    }

    #[test]
    fn whole_numbers_wrap_around() {
        assert_eq!(Number::add(250_u8, 10), 4);
        assert_eq!(i8::MIN.divide(-1), i8::MIN);
        assert_eq!((-7_i32).modulo(3), 2);
        assert_eq!(7_i32.modulo(-3), -2);
        assert_eq!((-7_i32).remainder(3), -1);
        assert_eq!(i64::MIN.modulo(-1), 0);
    }

    #[test]
    fn powers_of_whole_numbers() {
        assert_eq!(3_i64.power(4), 81);
        assert_eq!(2_u8.power(9), 0);
        assert_eq!((-1_i32).power(-3), -1);
        assert_eq!(2_i32.power(-1), 0);
        assert_eq!(255_u8.power(-1), 0);
    }
}
