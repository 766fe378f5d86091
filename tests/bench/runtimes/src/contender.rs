//! Whatever scores rows.

use std::rc::Rc;

use crate::rows::{Batch, Rows};
use crate::{Failed, SIZES};

pub trait Contender {
    /// Writes a score for each row of a batch, whose size is one of [`SIZES`]. What comes out with several columns has its
    /// score in the last.
    fn score(&mut self, batch: Batch, scores: &mut [f64]) -> Result<(), Failed>;
}

/// A contender that can be loaded, as often as wanted.
pub struct Entry {
    pub name: String,
    /// Processor time of what was made before.
    pub compile: Option<f64>,
    pub load: Box<dyn Fn() -> Result<Box<dyn Contender>, Failed>>,
}

impl Entry {
    pub fn new<C: Contender + 'static>(
        name: impl Into<String>,
        load: impl Fn() -> Result<C, Failed> + 'static,
    ) -> Self {
        Self { name: name.into(), compile: None, load: Box::new(move || Ok(Box::new(load()?))) }
    }
}

/// Something for each batch of each size, made ahead.
pub struct Ahead<T>([Vec<T>; SIZES.len()]);

impl<T> Ahead<T> {
    pub fn make(rows: &Rc<Rows>, make: impl Fn(Batch) -> Result<T, Failed>) -> Result<Rc<Self>, Failed> {
        let [one, many] = SIZES.map(|size| rows.batches(size).map(&make).collect::<Result<Vec<_>, _>>());
        Ok(Rc::new(Self([one?, many?])))
    }

    pub fn of(&self, batch: Batch) -> &T {
        let [one, many] = &self.0;
        if batch.count == 1 { &one[batch.first] } else { &many[batch.first / batch.count] }
    }
}

/// The last column of a batch of outputs.
pub fn last_column<N: Copy + Into<f64>>(numbers: &[N], scores: &mut [f64]) {
    let columns = numbers.len() / scores.len();
    for (score, row) in scores.iter_mut().zip(numbers.chunks_exact(columns)) {
        *score = row[columns - 1].into();
    }
}
