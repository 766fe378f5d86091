//! Filters over images.

use super::filters::{Filters, WIDTH};
use crate::error::OperatorError;
use crate::limits::Budget;
use crate::value::{Element, Number};
use crate::window::{OUTSIDE, Windows};

/// Images that filters slide over.
pub(super) struct Slide<'a> {
    pub images: usize,
    /// Channels of one group.
    pub channels: usize,
    pub windows: &'a Windows,
    pub filters: &'a Filters,
    /// The number that stands for zero.
    pub zero: f64,
}

impl Slide<'_> {
    /// Asks for the steps and for the memory beside the output.
    pub fn ask(&self, budget: &mut Budget) -> Result<(), OperatorError> {
        let outputs = self.images.saturating_mul(self.windows.outputs());
        budget.work(outputs.saturating_mul(self.filters.outputs()).saturating_mul(self.filters.length().max(1)))?;
        let columns = self.filters.length().saturating_add(self.windows.places());
        budget.elements(columns.saturating_mul(WIDTH), size_of::<f64>())
    }

    /// Makes of the sum of each filter at each place an element; sums are told with the filter that made them.
    pub fn over<T: Number, R: Element>(&self, image: &[T], make: impl Fn(usize, f64) -> R) -> Vec<R> {
        let (outputs, places) = (self.windows.outputs(), self.windows.places());
        let filters = self.filters.outputs();
        let plane: usize = self.windows.axes().iter().map(|axis| axis.input).product();
        let mut made = vec![R::default(); self.images * filters * outputs];
        if made.is_empty() {
            return made;
        }
        let mut sources = vec![OUTSIDE; places * WIDTH];
        let mut columns = vec![0.0; self.filters.length() * WIDTH];
        for first in (0..outputs).step_by(WIDTH) {
            let count = WIDTH.min(outputs - first);
            for at in 0..count {
                let mut side = sources.iter_mut().skip(at).step_by(WIDTH);
                self.windows.walk(first + at, |place| side.next().into_iter().for_each(|source| *source = place));
            }
            for at in count..WIDTH {
                sources.iter_mut().skip(at).step_by(WIDTH).for_each(|source| *source = OUTSIDE);
            }
            for number in 0..self.images {
                for group in 0..self.filters.groups() {
                    let start = (number * self.filters.groups() + group) * self.channels;
                    for (channel, columns) in columns.chunks_mut((places * WIDTH).max(1)).enumerate() {
                        let from = (start + channel) * plane;
                        let plane = image.get(from..from + plane).unwrap_or_default();
                        for (column, source) in columns.iter_mut().zip(&sources) {
                            *column = plane.get(*source).map_or(0.0, |element| element.to_f64() - self.zero);
                        }
                    }
                    self.filters.multiply(group, &columns, |filter, sums| {
                        let to = (number * filters + filter) * outputs + first;
                        for (place, sum) in made.iter_mut().skip(to).take(count).zip(sums) {
                            *place = make(filter, *sum);
                        }
                    });
                }
            }
        }
        made
    }
}
