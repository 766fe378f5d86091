use super::*;
use crate::processor::{Processor, Work, run_at_all_levels};

fn product<T: Float>(rows: &[T], count: usize, weights: &Weights<T>) -> Vec<f64> {
    multiply_rows(rows, count, weights, &Budget::default()).unwrap()
}

fn numbers(count: usize, step: f64) -> Vec<f64> {
    (0..count).map(|at| ((at as f64 + 0.5) * step).sin() * 3.0).collect()
}

fn short(count: usize, step: f64) -> Vec<f32> {
    numbers(count, step).into_iter().map(|number| number as f32).collect()
}

/// Sizes around those of blocks, panels and lines.
const SIZES: [(usize, usize, usize); 12] = [
    (1, 1, 1),
    (1, 600, 70),
    (2, 3, 7),
    (3, 17, 4),
    (4, 16, 16),
    (5, 256, 17),
    (7, 257, 33),
    (8, 40, 65),
    (9, 300, 2),
    (15, 16, 1),
    (17, 5, 130),
    (33, 513, 20),
];

#[test]
fn rows_meet_columns() {
    let weights = Weights::of(&[1.0_f32, 2.0, 3.0, 4.0, 5.0, 6.0], 3, 2, false);
    assert_eq!(product(&[1.0_f32, 10.0, 100.0], 1, &weights), [531.0, 642.0]);
    let transposed = Weights::of(&[1.0_f32, 3.0, 5.0, 2.0, 4.0, 6.0], 3, 2, true);
    assert_eq!(product(&[1.0_f32, 10.0, 100.0], 1, &transposed), [531.0, 642.0]);
    assert_eq!(product::<f32>(&[], 2, &Weights::of(&[], 0, 2, false)), [0.0; 4]);
    assert_eq!(product::<f32>(&[1.0, 2.0], 2, &Weights::of(&[], 1, 0, false)), [0.0; 0]);
    assert_eq!(product::<f64>(&[], 0, &Weights::of(&[1.0], 1, 1, false)), [0.0; 0]);
}

/// What is summed one product after the other, in 64 bits.
fn simply(row: &[f64], matrix: &[f64], columns: usize) -> Vec<f64> {
    let mut sums = vec![0.0; columns];
    for (factor, weights) in row.iter().zip(matrix.chunks_exact(columns)) {
        sums.iter_mut().zip(weights).for_each(|(sum, weight)| *sum += factor * weight);
    }
    sums
}

#[test]
fn sums_are_made_from_the_first_product_to_the_last() {
    for (count, length, columns) in SIZES {
        let (matrix, rows) = (short(length * columns, 0.7), short(count * length, 0.3));
        let (wide_matrix, wide_rows) = (numbers(length * columns, 0.7), numbers(count * length, 0.3));
        let is_along = columns <= FEW && length >= LONG;
        let equal = |made: &[f64], expected: Vec<f64>| {
            made.len() == expected.len()
                && made.iter().zip(expected).all(|(one, other)| {
                    one.to_bits() == other.to_bits() || is_along && (one - other).abs() < 1e-12 * length as f64
                })
        };
        let widened = |numbers: &[f32]| numbers.iter().copied().map(f64::from).collect::<Vec<_>>();
        let all = |rows: &[f64], matrix: &[f64]| {
            rows.chunks_exact(length).flat_map(|row| simply(row, matrix, columns)).collect::<Vec<_>>()
        };
        let made = product(&rows, count, &Weights::of(&matrix, length, columns, false));
        assert!(equal(&made, all(&widened(&rows), &widened(&matrix))), "{count} {length} {columns}");
        let made = product(&wide_rows, count, &Weights::of(&wide_matrix, length, columns, false));
        assert!(equal(&made, all(&wide_rows, &wide_matrix)), "{count} {length} {columns}, of 64 bits");
    }
}

#[test]
fn a_row_has_the_same_sums_alone_and_among_others_and_of_a_transposed_matrix() {
    for (count, length, columns) in SIZES {
        let (matrix, rows) = (short(length * columns, 0.7), short(count * length, 0.3));
        let weights = Weights::of(&matrix, length, columns, false);
        let turned: Vec<f32> =
            (0..columns).flat_map(|column| matrix.iter().skip(column).step_by(columns)).copied().collect();
        let together = product(&rows, count, &weights);
        let alone: Vec<f64> = rows.chunks_exact(length).flat_map(|row| product(row, 1, &weights)).collect();
        assert_eq!(together, alone, "{count} {length} {columns}");
        assert_eq!(together, product(&rows, count, &Weights::of(&turned, length, columns, true)));
    }
}

#[test]
fn all_processors_make_the_same_sums() {
    let (depth, length, columns) = (100, 100, 70);
    let rows = numbers(7 * depth, 0.3);
    let matrix = numbers(length * columns, 0.7);
    let (panels, line) = (
        Matrix { elements: &matrix, length, columns, is_transposed: false }.panels(|number| number),
        Matrix { elements: &matrix, length, columns, is_transposed: false }.panels(|number| number as f32),
    );
    let short_rows: Vec<f64> = rows.iter().map(|number| f64::from(*number as f32)).collect();
    for (rows, wide) in [(&rows, Some(&panels)), (&short_rows, None)] {
        let made = run_at_all_levels(|| Blocks { rows, depth, wide, short: &line, length, sums: vec![0.0; 7 * 80] });
        assert!(made.iter().all(|sums| *sums == made[0] && sums[0] != 0.0), "wide: {}", wide.is_some());
    }
    for count in [16, 50, 300] {
        let (row, line) = (numbers(count, 0.3), short(count, 0.7));
        let row: Vec<f64> = row.iter().map(|number| f64::from(*number as f32)).collect();
        let made = run_at_all_levels(|| Lanes { row: &row, line: &line });
        assert!(made.iter().all(|lanes| *lanes == made[0] && lanes[0] != 0.0));
    }
}

/// Sums along a line.
struct Lanes<'a> {
    row: &'a [f64],
    line: &'a [f32],
}

impl Work for Lanes<'_> {
    type Output = [f64; LANES];

    #[inline(always)]
    fn run<P: Processor>(self) -> [f64; LANES] {
        let mut lanes = [0.0; LANES];
        let length = self.row.len();
        Along { rows: self.row, depth: length, lines: self.line, length, first: 0, sums: &mut lanes }.run::<P>();
        lanes
    }
}

/// A block that keeps its sums.
struct Blocks<'a> {
    rows: &'a [f64],
    depth: usize,
    wide: Option<&'a Vec<Panel<f64>>>,
    short: &'a [Panel<f32>],
    length: usize,
    sums: Vec<f64>,
}

impl Work for Blocks<'_> {
    type Output = Vec<f64>;

    #[inline(always)]
    fn run<P: Processor>(mut self) -> Vec<f64> {
        let Self { rows, depth, length, .. } = self;
        match self.wide {
            Some(panels) => Block { rows, depth, panels, length, first: 0, sums: &mut self.sums }.run::<P>(),
            None => Block { rows, depth, panels: self.short, length, first: 0, sums: &mut self.sums }.run::<P>(),
        }
        self.sums
    }
}

#[test]
fn sums_of_32_bits_keep_what_cancels() {
    let weights = Weights::of(&[1.0_f32; 3], 3, 1, false);
    assert_eq!(product(&[1e8_f32, 1.0, -1e8], 1, &weights), [1.0]);
}

#[test]
fn sums_go_on_from_what_is_there() {
    let weights = Weights::of(&numbers(300 * 20, 0.7), 300, 20, false);
    let row = numbers(300, 0.3);
    let mut sums = vec![1.0; 20];
    weights.accumulate(&row, &mut sums);
    assert!(sums.iter().zip(product(&row, 1, &weights)).all(|(sum, made)| (sum - 1.0 - made).abs() < 1e-9));
}

#[test]
fn whole_numbers_wrap_around() {
    let made = multiply_integers(&[1_i64, 2, 3, i64::MAX], (4, 1, 2), &[1, 2], &Budget::default()).unwrap();
    assert_eq!(made[6..], [i64::MAX, -2]);
}
