//! Rows times a matrix.

use std::any::Any;

use ndarray::linalg::general_mat_mul;
use ndarray::{ArrayView2, ArrayViewMut2};

use crate::error::OperatorError;
use crate::limits::Budget;
use crate::value::Number;

/// A matrix to multiply by, as wide as products are summed: 64 bits for numbers with fractions. Constant matrices are
/// widened once, when a model is loaded.
#[derive(Debug, Clone)]
pub(crate) struct Weights<W> {
    /// Row by row; there is a row for each column of what is multiplied.
    elements: Vec<W>,
    columns: usize,
}

/// Elements of a constant matrix that are kept wide: 1 Mi, 8 MiB.
pub(crate) const WIDENED_LIMIT: usize = 1 << 20;

impl<W: Number> Weights<W> {
    /// Of `rows` × `columns` elements, or of `columns` × `rows` if they are transposed.
    pub fn of<T: Number<Wide = W>>(elements: &[T], rows: usize, columns: usize, is_transposed: bool) -> Self {
        let elements = if is_transposed {
            let columns_of = |row: usize| elements.iter().skip(row).step_by(rows.max(1)).take(columns);
            (0..if columns == 0 { 0 } else { rows }).flat_map(columns_of).map(|element| element.wide()).collect()
        } else {
            elements.iter().map(|element| element.wide()).collect()
        };
        Self { elements, columns }
    }

    pub fn columns(&self) -> usize {
        self.columns
    }

    /// The sums of a row's products with each column, added to what is there. In the order of the row: each sum is made
    /// from its first product to its last, in 64 bits for numbers with fractions.
    pub fn accumulate<T: Number<Wide = W>>(&self, row: impl Iterator<Item = T>, sums: &mut [W]) {
        if self.columns == 0 {
            return;
        }
        // Wider vectors where the processor has them: what is computed is the same.
        pulp::Arch::new().dispatch(
            #[inline(always)]
            || {
                for (factor, weights) in row.zip(self.elements.chunks_exact(self.columns)) {
                    let factor = factor.wide();
                    for (sum, weight) in sums.iter_mut().zip(weights) {
                        *sum = sum.add(factor.multiply(*weight));
                    }
                }
            },
        );
    }
}

/// Rows of `length` elements times a matrix: sums that are not yet rounded, row by row.
///
/// # Errors
/// The run was stopped.
pub(crate) fn multiply_rows<T: Number>(
    rows: &[T],
    length: usize,
    count: usize,
    weights: &Weights<T::Wide>,
    budget: &Budget,
) -> Result<Vec<T::Wide>, OperatorError> {
    let columns = weights.columns();
    let mut sums = vec![T::Wide::default(); count * columns];
    if length == 0 || columns == 0 {
        return Ok(sums);
    }
    if count >= BLOCK_FROM && multiply_blocks(rows, length, weights, &mut sums, budget)? {
        return Ok(sums);
    }
    for (row, sums) in rows.chunks_exact(length).zip(sums.chunks_exact_mut(columns)) {
        budget.go_on()?;
        weights.accumulate(row.iter().copied(), sums);
    }
    Ok(sums)
}

/// Rows from which on it pays to pack both sides for the caches, as libraries of linear algebra do.
const BLOCK_FROM: usize = 4;
/// Rows between two looks at whether the run goes on.
const BLOCK_ROWS: usize = 128;

/// Many rows of numbers with fractions times a matrix; `sums` is a vector of as many as come out. False if there is nothing for them here: whole numbers are summed in
/// their own type.
///
/// # Errors
/// The run was stopped.
fn multiply_blocks<T: Number>(
    rows: &[T],
    length: usize,
    weights: &Weights<T::Wide>,
    sums: &mut dyn Any,
    budget: &Budget,
) -> Result<bool, OperatorError> {
    let weights = (weights as &dyn Any).downcast_ref::<Weights<f64>>();
    let sums = sums.downcast_mut::<Vec<f64>>();
    let (Some(Weights { elements, columns }), Some(sums)) = (weights, sums) else { return Ok(false) };
    let Ok(matrix) = ArrayView2::from_shape((length, *columns), elements) else { return Ok(false) };
    let mut wide = Vec::with_capacity(rows.len().min(length * BLOCK_ROWS));
    for (rows, sums) in rows.chunks(length * BLOCK_ROWS).zip(sums.chunks_mut(columns * BLOCK_ROWS)) {
        budget.go_on()?;
        wide.clear();
        wide.extend(rows.iter().map(|element| element.to_f64()));
        let count = wide.len() / length;
        let rows = ArrayView2::from_shape((count, length), &wide);
        let (Ok(rows), Ok(mut sums)) = (rows, ArrayViewMut2::from_shape((count, *columns), sums)) else {
            return Ok(false);
        };
        general_mat_mul(1.0, &rows, &matrix, 0.0, &mut sums);
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn product<T: Number>(rows: &[T], length: usize, count: usize, weights: &Weights<T::Wide>) -> Vec<T::Wide> {
        multiply_rows(rows, length, count, weights, &Budget::default()).unwrap()
    }

    #[test]
    fn rows_meet_columns() {
        let weights = Weights::of(&[1.0_f32, 2.0, 3.0, 4.0, 5.0, 6.0], 3, 2, false);
        assert_eq!(product(&[1.0_f32, 10.0, 100.0], 3, 1, &weights), [531.0, 642.0]);
        let transposed = Weights::of(&[1.0_f32, 3.0, 5.0, 2.0, 4.0, 6.0], 3, 2, true);
        assert_eq!(product(&[1.0_f32, 10.0, 100.0], 3, 1, &transposed), [531.0, 642.0]);
        let empty = Weights::of::<f32>(&[], 0, 2, false);
        assert_eq!(product::<f32>(&[], 0, 2, &empty), [0.0; 4]);
    }

    #[test]
    fn many_rows_give_what_each_gives_by_itself() {
        let numbers = |count: usize, step: f32| (0..count).map(|at| (at as f32 * step).sin()).collect::<Vec<_>>();
        for (count, length, columns) in [(4, 1, 1), (5, 3, 7), (130, 17, 5), (300, 2, 2)] {
            let weights = Weights::of(&numbers(length * columns, 0.7), length, columns, false);
            let rows = numbers(count * length, 0.3);
            let together = product(&rows, length, count, &weights);
            let alone = rows.chunks_exact(length).flat_map(|row| product(row, length, 1, &weights));
            assert!(
                together.iter().zip(alone).all(|(one, other)| (one - other).abs() < 1e-12),
                "{count} {length} {columns}"
            );
            assert_eq!(together.len(), count * columns);
        }
        let whole = Weights::of(&[1_i64, 2], 1, 2, false);
        assert_eq!(product(&[1_i64, 2, 3, i64::MAX], 1, 4, &whole)[6..], [i64::MAX, -2]);
    }

    #[test]
    fn sums_of_32_bits_keep_what_cancels() {
        let weights = Weights::of(&[1.0_f32; 3], 3, 1, false);
        assert_eq!(product(&[1e8_f32, 1.0, -1e8], 3, 1, &weights), [1.0]);
    }
}
