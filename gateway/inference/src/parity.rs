//! Whether a new version of a model says what the old one says.

use crate::{Data, Model, Tensor};

/// What two versions of a model say to the same inputs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Parity {
    /// Recorded inputs that both were run on.
    pub inputs: usize,
    /// Largest difference of two numbers in the same place; infinite where outputs are of another shape, type or text, or one
    /// version fails where the other does not.
    pub difference: f64,
}

impl Parity {
    /// Runs both versions on inputs that the old one recorded, and hands these on to the new one. None: nothing was
    /// recorded. Blocks.
    pub fn probe(old: &Model, new: &Model) -> Option<Self> {
        let inputs = old.recorded();
        if inputs.is_empty() {
            return None;
        }
        let differences = inputs.iter().map(|inputs| match (old.run_now(inputs), new.run_now(inputs)) {
            (Ok(old), Ok(new)) => difference(&old, &new),
            (Err(_), Err(_)) => 0.0,
            _ => f64::INFINITY,
        });
        let parity = Self { inputs: inputs.len(), difference: differences.fold(0.0, f64::max) };
        new.inherit(inputs);
        Some(parity)
    }
}

fn difference(old: &[Tensor], new: &[Tensor]) -> f64 {
    if old.len() != new.len() {
        return f64::INFINITY;
    }
    let pairs = old.iter().zip(new);
    pairs
        .map(|(old, new)| if old.shape() == new.shape() { apart(old.data(), new.data()) } else { f64::INFINITY })
        .fold(0.0, f64::max)
}

#[expect(clippy::cast_precision_loss, reason = "differences beyond 2^53 are large in any case")]
fn apart(old: &Data, new: &Data) -> f64 {
    fn largest<T: Copy>(old: &[T], new: &[T], number: impl Fn(T) -> f64) -> f64 {
        let pairs = old.iter().zip(new).map(|(old, new)| (number(*old), number(*new)));
        // What is not a number in both is the same; in one, as different as can be.
        pairs
            .map(|(old, new)| if old == new || (old.is_nan() && new.is_nan()) { 0.0 } else { (old - new).abs() })
            .map(|apart| if apart.is_nan() { f64::INFINITY } else { apart })
            .fold(0.0, f64::max)
    }
    match (old, new) {
        (Data::Float32(old), Data::Float32(new)) => largest(old, new, f64::from),
        (Data::Float64(old), Data::Float64(new)) => largest(old, new, |value| value),
        (Data::Float16(old), Data::Float16(new)) => largest(old, new, f64::from),
        (Data::Bfloat16(old), Data::Bfloat16(new)) => largest(old, new, f64::from),
        (Data::Int64(old), Data::Int64(new)) => largest(old, new, |value| value as f64),
        (Data::Int32(old), Data::Int32(new)) => largest(old, new, f64::from),
        (old, new) if old == new => 0.0,
        _ => f64::INFINITY,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_difference_counts() {
        let floats = |values: &[f32]| vec![Tensor::new([values.len()], Data::Float32(values.to_vec())).unwrap()];
        assert_eq!(difference(&floats(&[1.0, 2.0]), &floats(&[1.0, 2.5])), 0.5);
        assert_eq!(difference(&floats(&[f32::NAN]), &floats(&[f32::NAN])), 0.0);
        assert_eq!(difference(&floats(&[f32::NAN]), &floats(&[0.0])), f64::INFINITY);
        assert_eq!(difference(&floats(&[1.0]), &floats(&[1.0, 2.0])), f64::INFINITY);
        let labels = |label: &str| vec![Tensor::new([1], Data::String(vec![label.to_owned()])).unwrap()];
        assert_eq!(difference(&labels("a"), &labels("a")), 0.0);
        assert_eq!(difference(&labels("a"), &labels("b")), f64::INFINITY);
    }
}
