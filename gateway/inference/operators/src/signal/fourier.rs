//! The discrete Fourier transform.

use std::f64::consts::PI;

/// A complex number.
pub(super) type Complex = (f64, f64);

fn multiply(one: Complex, other: Complex) -> Complex {
    (one.0 * other.0 - one.1 * other.1, one.0 * other.1 + one.1 * other.0)
}

/// A transform of a length, in either direction and not divided by it.
#[derive(Debug)]
pub(super) struct Fourier {
    /// Roots of one, as many as the length.
    roots: Vec<Complex>,
}

/// The smallest factor of a number that is more than 1.
fn factor(number: usize) -> usize {
    let mut factor = 2;
    while factor * factor <= number {
        if number.is_multiple_of(factor) {
            return factor;
        }
        factor += 1;
    }
    number
}

impl Fourier {
    pub fn new(length: usize, is_inverse: bool) -> Self {
        let sign = if is_inverse { 1.0 } else { -1.0 };
        let root = |at: usize| {
            let (sine, cosine) = (2.0 * PI * at as f64 / length as f64).sin_cos();
            (cosine, sign * sine)
        };
        Self { roots: (0..length).map(root).collect() }
    }

    /// Steps of one transform, about.
    pub fn steps(length: usize) -> usize {
        let (mut left, mut sum) = (length, 1_usize);
        while left > 1 {
            let next = factor(left);
            sum = sum.saturating_add(next);
            left /= next;
        }
        length.saturating_mul(sum).saturating_mul(2)
    }

    /// The transform of a signal as long as this.
    pub fn of(&self, signal: &[Complex]) -> Vec<Complex> {
        let mut made = vec![(0.0, 0.0); signal.len()];
        self.part(signal, 1, &mut made);
        made
    }

    /// Of every so many numbers, by parts of a prime number of them.
    fn part(&self, signal: &[Complex], stride: usize, made: &mut [Complex]) {
        let length = made.len();
        if length <= 1 {
            made.iter_mut().zip(signal).for_each(|(made, number)| *made = *number);
            return;
        }
        let parts = factor(length);
        let size = length / parts;
        for (at, part) in made.chunks_mut(size).enumerate() {
            self.part(signal.get(at * stride..).unwrap_or_default(), stride * parts, part);
        }
        let whole = self.roots.len();
        let root = |at: usize| self.roots.get(at % whole.max(1)).copied().unwrap_or((1.0, 0.0));
        let mut turned: Vec<Complex> = Vec::with_capacity(parts);
        for place in 0..size {
            turned.clear();
            let numbers = made.iter().skip(place).step_by(size).enumerate();
            turned.extend(numbers.map(|(part, number)| multiply(*number, root(part * place * (whole / length)))));
            for (output, made) in made.iter_mut().skip(place).step_by(size).enumerate() {
                let terms = turned.iter().enumerate();
                *made = terms.fold((0.0, 0.0), |sum, (part, number)| {
                    let term = multiply(*number, root(part * output % parts * (whole / parts)));
                    (sum.0 + term.0, sum.1 + term.1)
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transforms_are_those_of_the_definition() {
        for length in [1, 2, 3, 4, 6, 7, 12, 30] {
            let signal: Vec<Complex> = (0..length).map(|at| ((at * at % 7) as f64, (at % 3) as f64)).collect();
            let made = Fourier::new(length, false).of(&signal);
            for (output, got) in made.iter().enumerate() {
                let expected = signal.iter().enumerate().fold((0.0, 0.0), |sum: Complex, (at, number)| {
                    let angle = -2.0 * PI * (at * output) as f64 / length as f64;
                    let term = multiply(*number, (angle.cos(), angle.sin()));
                    (sum.0 + term.0, sum.1 + term.1)
                });
                let distance = (got.0 - expected.0).hypot(got.1 - expected.1);
                assert!(distance < 1e-10, "{length}: {got:?} instead of {expected:?}");
            }
            let back = Fourier::new(length, true).of(&made);
            for (number, back) in signal.iter().zip(back) {
                assert!((number.0 - back.0 / length as f64).abs() < 1e-10);
            }
        }
        assert!(Fourier::new(0, false).of(&[]).is_empty());
    }
}
