//! Probabilities of classes of those between pairs of them, as libsvm couples them (Wu, Lin and Weng 2004, second method).

use crate::special::sigmoid;

/// Probabilities stay away from 0 and 1 by this.
const MARGIN: f64 = 1e-7;

/// Rounds before what there is counts.
const ROUNDS: usize = 100;

/// That the first of two classes is right, of a score and Platt's numbers.
fn of_pair(score: f64, a: f64, b: f64) -> f64 {
    sigmoid(-(score * a + b)).clamp(MARGIN, 1.0 - MARGIN)
}

/// A square of numbers.
struct Square {
    size: usize,
    numbers: Vec<f64>,
}

impl Square {
    fn new(size: usize) -> Self {
        Self { size, numbers: vec![0.0; size * size] }
    }

    fn at(&self, row: usize, column: usize) -> f64 {
        self.numbers.get(row * self.size + column).copied().unwrap_or(0.0)
    }

    fn set(&mut self, row: usize, column: usize, number: f64) {
        self.numbers.get_mut(row * self.size + column).into_iter().for_each(|it| *it = number);
    }

    fn row(&self, row: usize) -> &[f64] {
        self.numbers.get(row * self.size..(row + 1) * self.size).unwrap_or_default()
    }
}

/// Of so many classes, from the scores of their pairs: (0, 1), (0, 2), …, (1, 2), …
pub(super) fn couple(classes: usize, scores: &[f64], a: &[f64], b: &[f64]) -> Vec<f64> {
    let mut pairs = Square::new(classes);
    let mut numbers = scores.iter().zip(a.iter().zip(b));
    for first in 0..classes {
        for second in first + 1..classes {
            let Some((score, (a, b))) = numbers.next() else { continue };
            let probability = of_pair(*score, *a, *b);
            pairs.set(first, second, probability);
            pairs.set(second, first, 1.0 - probability);
        }
    }
    let mut q = Square::new(classes);
    for row in 0..classes {
        let others = || (0..classes).filter(move |other| *other != row);
        q.set(row, row, others().map(|other| pairs.at(other, row) * pairs.at(other, row)).sum());
        others().for_each(|other| q.set(row, other, -pairs.at(other, row) * pairs.at(row, other)));
    }
    solve(&q)
}

/// Minimizes the quadratic form among what adds up to one.
fn solve(q: &Square) -> Vec<f64> {
    let classes = q.size;
    let close = 0.005 / classes as f64;
    let mut shares = vec![1.0 / classes as f64; classes];
    for _ in 0..ROUNDS.max(classes) {
        let product =
            |row: usize, shares: &[f64]| q.row(row).iter().zip(shares).map(|(q, share)| q * share).sum::<f64>();
        let mut products: Vec<f64> = (0..classes).map(|row| product(row, &shares)).collect();
        let mut form: f64 = shares.iter().zip(&products).map(|(share, product)| share * product).sum();
        let farthest = products.iter().map(|product| (product - form).abs()).fold(0.0, f64::max);
        if farthest < close {
            break;
        }
        for row in 0..classes {
            let own = products.get(row).copied().unwrap_or(0.0);
            let step = (form - own) / q.at(row, row);
            shares.get_mut(row).into_iter().for_each(|share| *share += step);
            let shrink = 1.0 + step;
            form = (form + step * (step * q.at(row, row) + 2.0 * own)) / shrink / shrink;
            for (product, q) in products.iter_mut().zip(q.row(row)) {
                *product = (*product + step * q) / shrink;
            }
            shares.iter_mut().for_each(|share| *share /= shrink);
        }
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_classes_have_the_probabilities_of_their_pair() {
        let shares = couple(2, &[0.3], &[-1.2], &[0.1]);
        let expected = of_pair(0.3, -1.2, 0.1);
        assert!((shares[0] - expected).abs() < 3e-3 && (shares[0] + shares[1] - 1.0).abs() < 1e-12);
    }

    /// Seen of ONNX Runtime 1.32, 2026-12; it computes in 32 bits.
    #[test]
    fn three_classes_are_coupled() {
        let scores = [0.264_451, -0.094_078, 0.116_266];
        let shares = couple(3, &scores, &[-1.2, -1.0, -0.5], &[0.1, 0.2, 0.3]);
        for (share, expected) in shares.iter().zip([0.317_18, 0.286_622, 0.396_198]) {
            assert!((share - expected).abs() < 1e-5, "{shares:?}");
        }
    }
}
