//! Numbers: what rows hold, what is compared, what is added up.

use std::fmt::Debug;

use crate::ensemble::ZERO;
use crate::onnx::Input;

/// A number of a row. Integers are rounded to the nearest number of the type that they are compared in.
pub trait Element: Copy + Send + Sync + 'static {
    /// Whether each value is a number of f32.
    const FITS_F32: bool;
    /// The type.
    const INPUT: Input;

    fn to_f32(self) -> f32;

    fn to_f64(self) -> f64;
}

macro_rules! element {
    ($type:ty, $input:ident, $fits:literal) => {
        impl Element for $type {
            const FITS_F32: bool = $fits;
            const INPUT: Input = Input::$input;

            #[inline(always)]
            fn to_f32(self) -> f32 {
                self as f32
            }

            #[inline(always)]
            fn to_f64(self) -> f64 {
                self as f64
            }
        }
    };
}

element!(f32, F32, true);
element!(f64, F64, false);
element!(i32, I32, false);
element!(i64, I64, false);

/// A score as it is added up and handed out.
pub trait Score: Copy + Default + PartialOrd + Debug + Send + Sync + 'static {
    const LARGEST: Self;
    const SMALLEST: Self;

    fn from_f64(value: f64) -> Self;

    fn to_f64(self) -> f64;

    fn plus(self, other: Self) -> Self;

    fn times(self, other: Self) -> Self;

    fn over(self, count: usize) -> Self;

    /// The scores of a row, transformed in this type.
    fn transform(transform: crate::Transform, scores: &mut [Self]);
}

macro_rules! score {
    ($type:ty, $module:ident) => {
        impl Score for $type {
            const LARGEST: Self = <$type>::MAX;
            const SMALLEST: Self = <$type>::MIN;

            #[inline(always)]
            fn from_f64(value: f64) -> Self {
                value as Self
            }

            #[inline(always)]
            fn to_f64(self) -> f64 {
                self.into()
            }

            #[inline(always)]
            fn plus(self, other: Self) -> Self {
                self + other
            }

            fn times(self, other: Self) -> Self {
                self * other
            }

            fn over(self, count: usize) -> Self {
                self / count as Self
            }

            fn transform(transform: crate::Transform, scores: &mut [Self]) {
                crate::transform::$module(transform, scores);
            }
        }
    };
}

score!(f32, single);
score!(f64, double);

/// A floating-point number as an integer that is ordered as it: what all layouts compare.
///
/// Integers compare in one cycle instead of three or four, NaN has a place in their order (which place, the ensemble
/// says), `x < t` is `x <= t - 1`, and -0 is 0.
pub(crate) trait Key: Copy + Ord + std::hash::Hash + Default + Debug + Send + Sync + 'static {
    /// Before all numbers.
    const LOWEST: Self;
    /// After all numbers.
    const HIGHEST: Self;
    const ONE: Self;

    /// Of a number of a row, or none for NaN.
    fn of<X: Element>(number: X) -> Option<Self>;

    /// Of a number of a row that is at most [`ZERO`] away from 0 or NaN: none.
    fn of_nonzero<X: Element>(number: X) -> Option<Self>;

    /// The largest key of a number that is at most as large as this one, or `None` for NaN.
    fn at_most(threshold: f64) -> Option<Self>;

    /// Of this number, or `None` if it is NaN or no number of the type.
    fn exactly(value: f64) -> Option<Self>;

    /// A number of a row, rounded to the type that it is compared in.
    fn number<X: Element>(number: X) -> f64;

    /// The one before it.
    fn before(self) -> Self;

    /// The one after it.
    fn after(self) -> Self;

    fn to_i64(self) -> i64;
}

#[inline(always)]
fn single(number: f32) -> i32 {
    // Adding 0 makes -0 to 0.
    let bits = (number + 0.0).to_bits().cast_signed();
    bits ^ ((bits >> 31).cast_unsigned() >> 1).cast_signed()
}

#[inline(always)]
fn double(number: f64) -> i64 {
    let bits = (number + 0.0).to_bits().cast_signed();
    bits ^ ((bits >> 63).cast_unsigned() >> 1).cast_signed()
}

impl Key for i32 {
    const LOWEST: Self = Self::MIN;
    const HIGHEST: Self = Self::MAX;
    const ONE: Self = 1;

    #[inline(always)]
    fn of<X: Element>(number: X) -> Option<Self> {
        let number = number.to_f32();
        (!number.is_nan()).then(|| single(number))
    }

    #[inline(always)]
    fn of_nonzero<X: Element>(number: X) -> Option<Self> {
        let number = number.to_f32();
        (f64::from(number.abs()) > ZERO).then(|| single(number))
    }

    fn at_most(threshold: f64) -> Option<Self> {
        if threshold.is_nan() {
            return None;
        }
        let near = threshold as f32;
        Some(if f64::from(near) > threshold { single(near).before() } else { single(near) })
    }

    fn exactly(value: f64) -> Option<Self> {
        let near = value as f32;
        (f64::from(near) == value).then(|| single(near))
    }

    #[inline(always)]
    fn number<X: Element>(number: X) -> f64 {
        number.to_f32().into()
    }

    #[inline(always)]
    fn before(self) -> Self {
        self.saturating_sub(1)
    }

    #[inline(always)]
    fn after(self) -> Self {
        self.saturating_add(1)
    }

    #[inline(always)]
    fn to_i64(self) -> i64 {
        self.into()
    }
}

impl Key for i64 {
    const LOWEST: Self = Self::MIN;
    const HIGHEST: Self = Self::MAX;
    const ONE: Self = 1;

    #[inline(always)]
    fn of<X: Element>(number: X) -> Option<Self> {
        let number = number.to_f64();
        (!number.is_nan()).then(|| double(number))
    }

    #[inline(always)]
    fn of_nonzero<X: Element>(number: X) -> Option<Self> {
        let number = number.to_f64();
        (number.abs() > ZERO).then(|| double(number))
    }

    fn at_most(threshold: f64) -> Option<Self> {
        (!threshold.is_nan()).then(|| double(threshold))
    }

    fn exactly(value: f64) -> Option<Self> {
        Self::at_most(value)
    }

    #[inline(always)]
    fn number<X: Element>(number: X) -> f64 {
        number.to_f64()
    }

    #[inline(always)]
    fn before(self) -> Self {
        self.saturating_sub(1)
    }

    #[inline(always)]
    fn after(self) -> Self {
        self.saturating_add(1)
    }

    #[inline(always)]
    fn to_i64(self) -> i64 {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_ordered_as_their_numbers() {
        let numbers = [f64::NEG_INFINITY, -1e300, -1.0, -1e-310, 0.0, 5e-324, 1e-35, 1.0, 1e300, f64::INFINITY];
        let keys = numbers.map(|number| <i64 as Key>::of(number).unwrap());
        assert!(keys.is_sorted() && keys.windows(2).all(|pair| pair[0] < pair[1]), "{keys:?}");
        assert!(i64::LOWEST < keys[0] && keys[9] < i64::HIGHEST);
        let numbers = [f32::NEG_INFINITY, f32::MIN, -1.0, -1e-45, 0.0, 1e-45, 1.0, f32::MAX, f32::INFINITY];
        let keys = numbers.map(|number| <i32 as Key>::of(number).unwrap());
        assert!(keys.is_sorted() && keys.windows(2).all(|pair| pair[0] < pair[1]), "{keys:?}");
        assert_eq!(<i32 as Key>::of(-0.0f32), <i32 as Key>::of(0.0f32));
        assert_eq!(<i64 as Key>::of(-0.0f64), Some(0));
        assert_eq!((<i32 as Key>::of(f32::NAN), <i64 as Key>::of(-f64::NAN)), (None, None));
    }

    #[test]
    fn thresholds_of_f64_divide_numbers_of_f32_as_they_do_in_f64() {
        let near = [0.1, -0.1, 1e-46, -1e-46, 1e300, -1e300, f64::INFINITY, f64::NEG_INFINITY, 3.0, 1e-35];
        for threshold in near {
            let cut = i32::at_most(threshold).unwrap();
            let around = [threshold as f32, (threshold as f32).next_up(), (threshold as f32).next_down()];
            for number in around.into_iter().chain([0.0, f32::MAX, f32::MIN, f32::INFINITY, f32::NEG_INFINITY]) {
                let key = <i32 as Key>::of(number).unwrap();
                assert_eq!(key <= cut, f64::from(number) <= threshold, "{number} <= {threshold}");
            }
        }
        assert_eq!(i32::exactly(0.1), None);
        assert_eq!(i32::exactly(0.5), <i32 as Key>::of(0.5f32));
    }

    #[test]
    fn what_is_nearly_zero_counts_as_missing_where_zero_does() {
        assert_eq!(<i32 as Key>::of_nonzero(1e-35f32), None);
        assert_eq!(<i32 as Key>::of_nonzero(-1e-36f32), None);
        assert_eq!(<i64 as Key>::of_nonzero(f64::NAN), None);
        assert!(<i64 as Key>::of_nonzero(1.1e-35f64).is_some());
        assert!(<i32 as Key>::of_nonzero(-1i64).is_some());
    }
}
