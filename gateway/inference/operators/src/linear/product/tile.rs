//! The innermost loops of products: some rows and some columns, whose sums stay in registers.

use crate::processor::{Processor, Work};

/// Columns that lie side by side in a [`Panel`].
pub(super) const PANEL: usize = 16;
/// Rows that are multiplied at one time: so many times less often are weights fetched.
pub(super) const BLOCK: usize = 8;
/// Elements of a row that are multiplied before the next columns' turn: a panel of them and the rows stay in the
/// first-level cache. A multiple of [`LANES`].
pub(super) const DEPTH: usize = 256;
/// Sums that are made side by side along a column, so that they need not wait for each other.
pub(super) const LANES: usize = 16;

/// Weights of 16 columns that meet one element of a row.
pub(super) type Panel<S> = [S; PANEL];

/// Weights as they are kept.
pub(super) trait Stored: Copy + Default + Into<f64> {
    /// Whether their products with numbers of the same type are exact in 64 bits.
    const IS_SHORT: bool;
}

impl Stored for f32 {
    const IS_SHORT: bool = true;
}

impl Stored for f64 {
    const IS_SHORT: bool = false;
}

/// A sum with a product added. Products of short numbers need no rounding, so that the sum is the same in one instruction
/// and in two; others are rounded on any processor.
#[inline(always)]
fn add<P: Processor, S: Stored>(sum: f64, factor: f64, weight: f64) -> f64 {
    if P::FUSED && S::IS_SHORT { factor.mul_add(weight, sum) } else { sum + factor * weight }
}

/// Adds products of rows and columns to sums, each from its first to its last.
pub(super) struct Block<'a, S> {
    /// At most [`BLOCK`] rows of `depth` elements.
    pub rows: &'a [f64],
    /// At most [`DEPTH`].
    pub depth: usize,
    /// All columns: panels, each of `length` elements' weights.
    pub panels: &'a [Panel<S>],
    pub length: usize,
    /// The first of the elements that these rows are a part of.
    pub first: usize,
    /// A row of sums for each row, with room for whole panels.
    pub sums: &'a mut [f64],
}

impl<S: Stored> Work for Block<'_, S> {
    type Output = ();

    #[inline(always)]
    fn run<P: Processor>(self) {
        let width = self.panels.len() / self.length.max(1) * PANEL;
        let panels = Panels { all: self.panels, length: self.length, first: self.first, depth: self.depth };
        let (mut rows, mut sums) = (self.rows, self.sums);
        while rows.len() >= self.depth && !rows.is_empty() && sums.len() >= width {
            // As many sums as there are registers for.
            let count = match (rows.len() / self.depth, P::LANES) {
                (8.., 8) => 8,
                (4.., 4..) => 4,
                (2.., _) => 2,
                _ => 1,
            };
            let (these, rest) = rows.split_at(count * self.depth);
            let (those, others) = sums.split_at_mut((count * width).min(sums.len()));
            match (count, P::LANES) {
                (8, 8) => panels.multiply::<P, 8, 16, 1>(these, those),
                (4, 8) => panels.multiply::<P, 4, 16, 1>(these, those),
                (4, 4) => panels.multiply::<P, 4, 8, 1>(these, those),
                (2, 8) => panels.multiply::<P, 2, 16, 2>(these, those),
                (2, 4) => panels.multiply::<P, 2, 16, 1>(these, those),
                (2, _) => panels.multiply::<P, 2, 4, 1>(these, those),
                (_, 8) => panels.multiply::<P, 1, 16, 4>(these, those),
                (_, 4) => panels.multiply::<P, 1, 16, 2>(these, those),
                _ => panels.multiply::<P, 1, 8, 1>(these, those),
            }
            (rows, sums) = (rest, others);
        }
    }
}

/// The part of all panels that some elements of rows meet.
struct Panels<'a, S> {
    all: &'a [Panel<S>],
    length: usize,
    first: usize,
    depth: usize,
}

impl<'a, S: Stored> Panels<'a, S> {
    fn get(&self, at: usize) -> &'a [Panel<S>] {
        let start = at * self.length + self.first;
        self.all.get(start..start + self.depth).unwrap_or_default()
    }

    /// So many rows with `C` columns of `N` panels at a time.
    #[inline(always)]
    fn multiply<P: Processor, const R: usize, const C: usize, const N: usize>(&self, rows: &[f64], sums: &mut [f64]) {
        let count = self.all.len() / self.length.max(1);
        let rows: [&[f64]; R] = std::array::from_fn(|at| rows.get(at * self.depth..).unwrap_or_default());
        let mut lines = sums.chunks_exact_mut((count * PANEL).max(1));
        let mut sums: [&mut [f64]; R] = std::array::from_fn(|_| lines.next().unwrap_or_default());
        let mut at = 0;
        while at + N <= count {
            let panels: [&[Panel<S>]; N] = std::array::from_fn(|next| self.get(at + next));
            for start in (0..PANEL).step_by(C) {
                tile::<P, S, R, C, N>(&rows, &panels, start, &mut sums, at * PANEL + start);
            }
            at += N;
        }
        for at in at..count {
            for start in (0..PANEL).step_by(C) {
                tile::<P, S, R, C, 1>(&rows, &[self.get(at)], start, &mut sums, at * PANEL + start);
            }
        }
    }
}

/// `R` rows with `C` columns of each of `N` panels, from column `start` on. Their sums lie from `place` on.
#[expect(
    clippy::indexing_slicing,
    clippy::needless_range_loop,
    reason = "sizes are constant, `start + C` is at most a panel's: loops are unrolled to registers only if written so"
)]
#[inline(always)]
fn tile<P: Processor, S: Stored, const R: usize, const C: usize, const N: usize>(
    rows: &[&[f64]; R],
    panels: &[&[Panel<S>]; N],
    start: usize,
    sums: &mut [&mut [f64]; R],
    place: usize,
) {
    let mut kept = [[[0.0; C]; N]; R];
    for row in 0..R {
        for panel in 0..N {
            let part = sums[row].get(place + panel * PANEL..).and_then(|sums| sums.first_chunk::<C>());
            kept[row][panel] = part.copied().unwrap_or([0.0; C]);
        }
    }
    let depth = panels.iter().map(|panel| panel.len()).chain(rows.iter().map(|row| row.len())).min().unwrap_or(0);
    let rows: [&[f64]; R] = std::array::from_fn(|at| &rows[at][..depth]);
    let panels: [&[Panel<S>]; N] = std::array::from_fn(|at| &panels[at][..depth]);
    for place in 0..depth {
        let mut wide = [[0.0; C]; N];
        for panel in 0..N {
            let weights = &panels[panel][place][start..start + C];
            for column in 0..C {
                wide[panel][column] = weights[column].into();
            }
        }
        for row in 0..R {
            let factor = rows[row][place];
            for panel in 0..N {
                for column in 0..C {
                    kept[row][panel][column] = add::<P, S>(kept[row][panel][column], factor, wide[panel][column]);
                }
            }
        }
    }
    for row in 0..R {
        for panel in 0..N {
            let part = sums[row].get_mut(place + panel * PANEL..).and_then(|sums| sums.first_chunk_mut::<C>());
            part.into_iter().for_each(|part| *part = kept[row][panel]);
        }
    }
}

/// Adds products of rows and columns to sums that lie side by side: [`LANES`] for each row and column.
pub(super) struct Along<'a, S> {
    /// Rows of `depth` elements.
    pub rows: &'a [f64],
    pub depth: usize,
    /// Columns of `length` elements.
    pub lines: &'a [S],
    pub length: usize,
    /// The first of the elements that these rows are a part of.
    pub first: usize,
    pub sums: &'a mut [f64],
}

impl<S: Stored> Work for Along<'_, S> {
    type Output = ();

    #[inline(always)]
    fn run<P: Processor>(self) {
        let columns = self.lines.len() / self.length.max(1);
        let sums = self.sums.chunks_exact_mut((columns * LANES).max(1));
        for (row, sums) in self.rows.chunks_exact(self.depth.max(1)).zip(sums) {
            for (line, lanes) in self.lines.chunks_exact(self.length.max(1)).zip(sums.as_chunks_mut().0) {
                let line = line.get(self.first..self.first + self.depth).unwrap_or_default();
                dot::<P, S>(row, line, lanes);
            }
        }
    }
}

#[inline(always)]
fn dot<P: Processor, S: Stored>(row: &[f64], line: &[S], sums: &mut [f64; LANES]) {
    let mut lanes = *sums;
    let ((row, rest), (line, rest_of_line)) = (row.as_chunks::<LANES>(), line.as_chunks::<LANES>());
    for (factors, weights) in row.iter().zip(line) {
        for ((lane, factor), weight) in lanes.iter_mut().zip(factors).zip(weights) {
            *lane = add::<P, S>(*lane, *factor, (*weight).into());
        }
    }
    for ((lane, factor), weight) in lanes.iter_mut().zip(rest).zip(rest_of_line) {
        *lane = add::<P, S>(*lane, *factor, (*weight).into());
    }
    *sums = lanes;
}

/// The sum of sums that lay side by side: in pairs, on any processor the same.
pub(super) fn total(mut lanes: [f64; LANES]) -> f64 {
    let mut count = LANES;
    while count > 1 {
        count /= 2;
        let (left, right) = lanes.split_at_mut(count);
        left.iter_mut().zip(right).for_each(|(left, right)| *left += *right);
    }
    let [total, ..] = lanes;
    total
}
