//! Rows that are scored, in each form in which a contender takes them, so that no contender has to convert them.

use crate::Failed;
use crate::manifest::RowsFile;

pub struct Rows {
    pub width: usize,
    pub count: usize,
    pub numbers: Numbers,
}

pub enum Numbers {
    Floats { single: Vec<f32>, double: Vec<f64> },
    Integers(Vec<i32>),
}

/// Which rows are scored by one call.
#[derive(Clone, Copy)]
pub struct Batch {
    pub first: usize,
    pub count: usize,
}

impl Rows {
    pub fn read(from: &RowsFile, integers: bool) -> Result<Self, Failed> {
        let bytes = std::fs::read(&from.file).map_err(|error| format!("{}: {error}", from.file.display()))?;
        let (words, _) = bytes.as_chunks::<4>();
        if words.len() != from.count * from.width {
            return Err(format!("{}: expected {} rows of {}", from.file.display(), from.count, from.width).into());
        }
        let numbers = if integers {
            Numbers::Integers(words.iter().map(|word| i32::from_le_bytes(*word)).collect())
        } else {
            let single: Vec<f32> = words.iter().map(|word| f32::from_le_bytes(*word)).collect();
            Numbers::Floats { double: single.iter().map(|number| f64::from(*number)).collect(), single }
        };
        Ok(Self { width: from.width, count: from.count, numbers })
    }

    /// All rows, in batches of this size.
    pub fn batches(&self, size: usize) -> impl Iterator<Item = Batch> {
        (0..self.count / size).map(move |at| Batch { first: at * size, count: size })
    }

    pub fn single(&self, batch: Batch) -> &[f32] {
        match &self.numbers {
            Numbers::Floats { single, .. } => &single[batch.first * self.width..][..batch.count * self.width],
            Numbers::Integers(_) => &[],
        }
    }

    pub fn double(&self, batch: Batch) -> &[f64] {
        match &self.numbers {
            Numbers::Floats { double, .. } => &double[batch.first * self.width..][..batch.count * self.width],
            Numbers::Integers(_) => &[],
        }
    }

    pub fn integers(&self, batch: Batch) -> &[i32] {
        match &self.numbers {
            Numbers::Integers(numbers) => &numbers[batch.first * self.width..][..batch.count * self.width],
            Numbers::Floats { .. } => &[],
        }
    }
}
