//! Rows times a matrix.

mod tile;

use std::marker::PhantomData;

use smallvec::SmallVec;

use tile::{Along, BLOCK, Block, DEPTH, LANES, PANEL, Panel, Stored, total};

use crate::error::OperatorError;
use crate::limits::Budget;
use crate::processor;
use crate::value::{Float, Integer};

/// A matrix to multiply by, as it is quick to fetch. Constant matrices are laid out once, when a model is loaded; they take
/// as much memory again as they have in the file.
#[derive(Debug, Clone)]
pub(crate) struct Weights<T> {
    /// Elements of a row that is multiplied.
    length: usize,
    columns: usize,
    layout: Layout,
    elements: PhantomData<T>,
}

/// Numbers of up to 32 bits are widened when they are multiplied: fetching them takes longer than that.
#[derive(Debug, Clone)]
enum Layout {
    /// 16 columns side by side, filled up with zeros; `length` panels for each 16.
    Panels(Vec<Panel<f32>>),
    WidePanels(Vec<Panel<f64>>),
    /// Column by column: a sum then runs along a column.
    Lines(Vec<f32>),
    WideLines(Vec<f64>),
}

/// Columns that are so few that panels would be empty for the most part, and elements from which on it pays to sum along
/// them.
const FEW: usize = 4;
const LONG: usize = LANES;

impl<T: Float> Weights<T> {
    /// Of `length` × `columns` elements, or of `columns` × `length` if they are transposed.
    pub fn of(elements: &[T], length: usize, columns: usize, is_transposed: bool) -> Self {
        let matrix = Matrix { elements, length, columns, is_transposed };
        let is_few = (1..=FEW).contains(&columns) && length >= LONG;
        let layout = match (T::IS_SHORT, is_few) {
            (true, true) => Layout::Lines(matrix.lines(|element| element.to_f64() as f32)),
            (true, false) => Layout::Panels(matrix.panels(|element| element.to_f64() as f32)),
            (false, true) => Layout::WideLines(matrix.lines(T::to_f64)),
            (false, false) => Layout::WidePanels(matrix.panels(T::to_f64)),
        };
        Self { length, columns, layout, elements: PhantomData }
    }

    /// Bytes that they take for so many elements, at most.
    pub fn bytes(length: usize, columns: usize) -> usize {
        let size = if T::IS_SHORT { size_of::<f32>() } else { size_of::<f64>() };
        length.saturating_mul(columns.next_multiple_of(PANEL)).saturating_mul(size)
    }

    pub fn columns(&self) -> usize {
        self.columns
    }
}

impl Weights<f64> {
    /// Adds the products of a row with each column to what is there.
    pub fn accumulate(&self, row: &[f64], sums: &mut [f64]) {
        let mut room = vec![0.0; self.room()];
        let is_panels = matches!(self.layout, Layout::WidePanels(_));
        if is_panels {
            room.iter_mut().zip(&*sums).for_each(|(room, sum)| *room = *sum);
        }
        for (at, part) in row.chunks(DEPTH).enumerate() {
            self.add(part, part.len(), at * DEPTH, &mut room);
        }
        self.finish(&mut room);
        for (sum, made) in sums.iter_mut().zip(room) {
            *sum = if is_panels { made } else { *sum + made };
        }
    }
}

impl<T> Weights<T> {
    /// Adds the products of some rows' elements from `first` on to rows of sums.
    fn add(&self, rows: &[f64], depth: usize, first: usize, sums: &mut [f64]) {
        let length = self.length;
        match &self.layout {
            Layout::Panels(panels) => processor::run(Block { rows, depth, panels, length, first, sums }),
            Layout::WidePanels(panels) => processor::run(Block { rows, depth, panels, length, first, sums }),
            Layout::Lines(lines) => processor::run(Along { rows, depth, lines, length, first, sums }),
            Layout::WideLines(lines) => processor::run(Along { rows, depth, lines, length, first, sums }),
        }
    }

    /// Numbers that a row of sums has room for while they are made.
    fn room(&self) -> usize {
        match &self.layout {
            Layout::Panels(_) | Layout::WidePanels(_) => self.columns.next_multiple_of(PANEL),
            Layout::Lines(_) | Layout::WideLines(_) => self.columns * LANES,
        }
    }

    /// Puts the sums of a row to its beginning.
    fn finish<'a>(&self, room: &'a mut [f64]) -> &'a mut [f64] {
        if let Layout::Lines(_) | Layout::WideLines(_) = &self.layout {
            for column in 0..self.columns {
                let lanes = room.get(column * LANES..).and_then(|room| room.first_chunk()).copied();
                if let (Some(place), Some(lanes)) = (room.get_mut(column), lanes) {
                    *place = total(lanes);
                }
            }
        }
        room.get_mut(..self.columns).unwrap_or_default()
    }
}

/// A matrix as it is given.
struct Matrix<'a, T> {
    elements: &'a [T],
    length: usize,
    columns: usize,
    is_transposed: bool,
}

impl<T: Float> Matrix<'_, T> {
    fn lines<S>(&self, of: impl Fn(T) -> S) -> Vec<S> {
        if self.is_transposed {
            return self.elements.iter().map(|element| of(*element)).collect();
        }
        let columns = (0..self.columns).flat_map(|column| self.elements.iter().skip(column).step_by(self.columns));
        columns.map(|element| of(*element)).collect()
    }

    fn panels<S: Stored>(&self, of: impl Fn(T) -> S) -> Vec<Panel<S>> {
        if self.columns == 0 || self.length == 0 {
            return Vec::new();
        }
        let mut panels = vec![[S::default(); PANEL]; self.columns.div_ceil(PANEL) * self.length];
        if self.is_transposed {
            let columns = self.elements.chunks_exact(self.length);
            for (columns, panels) in in_groups(columns, PANEL).zip(panels.chunks_exact_mut(self.length)) {
                for (at, column) in columns.enumerate() {
                    for (element, panel) in column.iter().zip(panels.iter_mut()) {
                        panel.get_mut(at).into_iter().for_each(|place| *place = of(*element));
                    }
                }
            }
            return panels;
        }
        for (at, row) in self.elements.chunks_exact(self.columns).enumerate() {
            let places = panels.iter_mut().skip(at).step_by(self.length);
            for (elements, panel) in row.chunks(PANEL).zip(places) {
                panel.iter_mut().zip(elements).for_each(|(place, element)| *place = of(*element));
            }
        }
        panels
    }
}

/// Items so many at a time.
fn in_groups<'a, T>(
    columns: std::slice::ChunksExact<'a, T>,
    count: usize,
) -> impl Iterator<Item = std::iter::Take<std::slice::ChunksExact<'a, T>>> {
    let groups = columns.len().div_ceil(count);
    (0..groups).map(move |group| {
        let mut rest = columns.clone();
        if group > 0 {
            rest.nth(group * count - 1);
        }
        rest.take(count)
    })
}

/// Rows of `length` elements times a matrix. Tells the sums of each row, which are not yet rounded, one row after the other.
/// They are made in an order that depends on the matrix's size alone, so that a row has the same sums in any batch and on any
/// processor.
///
/// # Errors
/// The run was stopped.
pub(crate) fn multiply_each<T: Float>(
    rows: &[T],
    count: usize,
    weights: &Weights<T>,
    budget: &Budget,
    tell: &mut dyn FnMut(&mut [f64]),
) -> Result<(), OperatorError> {
    let length = weights.length;
    if weights.columns == 0 {
        return Ok(());
    }
    let (room, depth, block) = (weights.room(), length.min(DEPTH), BLOCK.min(count));
    // On the stack for one row of a small model.
    let mut sums = SmallVec::<[f64; 64]>::from_elem(0.0, block * room);
    let mut wide = Vec::with_capacity(block * depth);
    let mut rest = rows;
    for done in (0..count).step_by(BLOCK) {
        budget.go_on()?;
        let block = block.min(count - done);
        let (these, later) = rest.split_at((block * length).min(rest.len()));
        rest = later;
        if done > 0 {
            sums.fill(0.0);
        }
        let mut first = 0;
        while first < length {
            let depth = depth.min(length - first);
            wide.clear();
            for row in these.chunks_exact(length) {
                let part = row.get(first..first + depth).unwrap_or_default();
                wide.extend(part.iter().map(|element| element.to_f64()));
            }
            weights.add(&wide, depth, first, &mut sums);
            first += depth;
        }
        sums.chunks_exact_mut(room).take(block).for_each(|room| tell(weights.finish(room)));
    }
    Ok(())
}

/// The sums of [`multiply_each`], row by row.
///
/// # Errors
/// The run was stopped.
pub(crate) fn multiply_rows<T: Float>(
    rows: &[T],
    count: usize,
    weights: &Weights<T>,
    budget: &Budget,
) -> Result<Vec<f64>, OperatorError> {
    let mut made = Vec::with_capacity(count * weights.columns);
    multiply_each(rows, count, weights, budget, &mut |sums| made.extend_from_slice(sums))?;
    Ok(made)
}

/// Rows times a matrix of whole numbers, which wrap around.
///
/// # Errors
/// The run was stopped.
pub(crate) fn multiply_integers<T: Integer>(
    rows: &[T],
    (count, length, columns): (usize, usize, usize),
    matrix: &[T],
    budget: &Budget,
) -> Result<Vec<T>, OperatorError> {
    let mut sums = vec![T::default(); count * columns];
    if length == 0 || columns == 0 {
        return Ok(sums);
    }
    for (row, sums) in rows.chunks_exact(length).zip(sums.chunks_exact_mut(columns)) {
        budget.go_on()?;
        for (factor, weights) in row.iter().zip(matrix.chunks_exact(columns)) {
            sums.iter_mut().zip(weights).for_each(|(sum, weight)| *sum = sum.add(factor.multiply(*weight)));
        }
    }
    Ok(sums)
}

#[cfg(test)]
mod tests;
