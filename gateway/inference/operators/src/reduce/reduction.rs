//! What is made of a line of elements.

use crate::special;
use crate::value::{Float, Integer, Number};

/// In the order of the line; sums of numbers with fractions in 64 bits, rounded once, those of whole numbers wrapping
/// around in their type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reduction {
    L1,
    L2,
    LogSum,
    LogSumExp,
    Max,
    Mean,
    Min,
    Product,
    Sum,
    SumSquare,
}

impl Reduction {
    /// NaN counts as the largest and the smallest. Of no numbers the largest is the lowest that there is.
    fn extreme<T: Number>(self, line: &[T]) -> T {
        let (is_max, first) = if self == Self::Max { (true, T::LOWEST) } else { (false, T::HIGHEST) };
        let mut extreme = line.first().copied().unwrap_or(first);
        for element in line {
            if element.is_nan() {
                return *element;
            }
            if if is_max { *element > extreme } else { *element < extreme } {
                extreme = *element;
            }
        }
        extreme
    }

    pub fn of_floats<T: Float>(self, line: &[T]) -> T {
        let wide = || line.iter().map(|element| element.wide());
        T::narrow(match self {
            Self::Max | Self::Min => return self.extreme(line),
            Self::L1 => sum::<T>(wide().map(f64::abs)),
            Self::L2 => length(line),
            Self::LogSum => sum::<T>(wide()).ln(),
            Self::LogSumExp => special::log_sum_exp(wide()),
            Self::Mean => sum::<T>(wide()) / line.len() as f64,
            Self::Product => wide().product(),
            Self::Sum => sum::<T>(wide()),
            Self::SumSquare => sum::<T>(wide().map(|number| number * number)),
        })
    }

    pub fn of_integers<T: Integer>(self, line: &[T]) -> T {
        let sum = |of: fn(T) -> T| line.iter().fold(T::default(), |sum, element| sum.add(of(*element)));
        let wide = || line.iter().map(|element| element.to_f64());
        match self {
            Self::Max | Self::Min => self.extreme(line),
            Self::L1 => sum(|element| if element < T::default() { T::default().subtract(element) } else { element }),
            Self::Product => line.iter().fold(T::ONE, |product, element| product.multiply(*element)),
            Self::Sum => sum(|element| element),
            Self::SumSquare => sum(|element| element.multiply(element)),
            // What is between whole numbers is cut off.
            Self::L2 => T::from_f64(wide().map(|number| number * number).sum::<f64>().sqrt()),
            Self::LogSum => T::from_f64(wide().sum::<f64>().ln()),
            Self::LogSumExp => T::from_f64(special::log_sum_exp(wide())),
            Self::Mean => T::from_f64(wide().sum::<f64>() / line.len() as f64),
        }
    }
}

fn sum<T: Float>(numbers: impl Iterator<Item = f64>) -> f64 {
    let mut sum = T::sum();
    numbers.for_each(|number| sum.add(number));
    sum.total()
}

/// The root of the sum of squares. Of 64 bits, squares are taken of numbers near one, so that none overflows or vanishes.
fn length<T: Float>(line: &[T]) -> f64 {
    let largest = special::largest(line.iter().map(|element| element.wide().abs()));
    let is_ordinary = (1e-140..1e140).contains(&largest);
    // A power of two: dividing by it loses nothing.
    let scale = if is_ordinary || largest == 0.0 || !largest.is_finite() { 1.0 } else { largest.log2().floor().exp2() };
    let mut sum = T::sum();
    line.iter().map(|element| element.wide() / scale).for_each(|number| sum.add(number * number));
    sum.total().sqrt() * scale
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_reduced() {
        let line = [3.0_f32, -4.0];
        let of = |reduction: Reduction| reduction.of_floats(&line);
        assert_eq!(
            [of(Reduction::L1), of(Reduction::L2), of(Reduction::Max), of(Reduction::Min)],
            [7.0, 5.0, 3.0, -4.0]
        );
        assert_eq!([of(Reduction::Mean), of(Reduction::Product), of(Reduction::SumSquare)], [-0.5, -12.0, 25.0]);
        for scale in [1e200, 1e-200] {
            let length: f64 = Reduction::L2.of_floats(&[3.0 * scale, 4.0 * scale]);
            assert!((length / scale - 5.0).abs() < 4e-15, "{length}");
        }
        assert_eq!(Reduction::L2.of_floats(&[f64::INFINITY, 1.0]), f64::INFINITY);
        assert_eq!(Reduction::Sum.of_floats(&[1e8_f32, 1.0, -1e8]), 1.0);
        assert_eq!(Reduction::Sum.of_integers(&[200_u8, 100]), 44);
    }

    #[test]
    fn not_a_number_is_not_lost() {
        assert!(Reduction::Max.of_floats(&[1.0, f32::NAN, 2.0]).is_nan());
        assert!(Reduction::Min.of_floats(&[f32::NAN, 2.0]).is_nan());
        assert!(Reduction::LogSumExp.of_floats(&[f32::NAN, 2.0]).is_nan());
    }

    #[test]
    fn nothing_reduces_to_what_changes_nothing() {
        let nothing: [f32; 0] = [];
        assert_eq!(Reduction::Max.of_floats(&nothing), f32::NEG_INFINITY);
        assert_eq!(Reduction::Min.of_floats(&nothing), f32::INFINITY);
        assert_eq!(Reduction::Product.of_floats(&nothing), 1.0);
        assert_eq!(Reduction::LogSum.of_floats(&nothing), f32::NEG_INFINITY);
        assert_eq!(Reduction::LogSumExp.of_floats(&nothing), f32::NEG_INFINITY);
        assert!(Reduction::Mean.of_floats(&nothing).is_nan());
        assert_eq!(Reduction::Max.of_integers::<i32>(&[]), i32::MIN);
    }
}
