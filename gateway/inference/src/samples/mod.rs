//! Rows with the scores that the training side gave them, and what a model gives here.
//!
//! A file of samples is CSV (RFC 4180, UTF-8) with a head. A column whose name begins with `=` holds what should come out, named as
//! `output` names it in `gateway.toml` (`=probabilities[1]`); `=` alone is the number that is the score without `output`. All
//! others go in: in their order, if the model has one input, or else by the name of an input, or `NAME[0]`, `NAME[1]`… for one of
//! several columns. Numbers are decimal, `nan`, `inf` or `-inf`; nothing is NaN.

mod compare;
mod read;

use std::fmt::{self, Display, Formatter};

use serde_json::{Value, json};

pub use compare::compare;
pub use read::Samples;

/// Rows of a file: a comparison of more says nothing more.
pub const ROWS_LIMIT: usize = 1_000_000;
/// Bytes of a file.
pub const BYTES_LIMIT: usize = 512 << 20;
/// Bytes of samples in a model: it is loaded at each start, and read with it.
pub(crate) const CARRIED_LIMIT: usize = 4 << 20;
/// Largest difference that is nothing to speak of, unless another is given.
pub const TOLERANCE: f64 = 1e-6;
/// Rows that a report shows of a column.
const SHOWN: usize = 5;

/// Why samples cannot be read or compared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SamplesError {
    pub message: String,
    /// What to do about it.
    pub help: String,
}

impl SamplesError {
    pub(crate) fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { message: message.into(), help: help.into() }
    }
}

/// What a model gives for samples.
#[derive(Debug, Clone, PartialEq)]
pub struct Compared {
    pub rows: usize,
    pub columns: Vec<Column>,
}

/// One of the columns that should come out.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// The number or text that it was compared with.
    pub of: String,
    /// The largest difference: absolute for numbers between -1 and 1, in proportion to the expected number beyond. Infinite where
    /// one is no number and the other is, or texts differ.
    pub difference: f64,
    /// Rows that differ by more than the tolerance.
    pub beyond: usize,
    /// The rows that differ most.
    pub worst: Vec<Worst>,
}

/// A row that differs.
#[derive(Debug, Clone, PartialEq)]
pub struct Worst {
    /// Counted from 1, without the head.
    pub row: usize,
    pub expected: String,
    pub got: String,
    pub difference: f64,
}

impl Compared {
    /// Whether no row differs by more than the tolerance.
    pub fn is_ok(&self) -> bool {
        self.columns.iter().all(|column| column.beyond == 0)
    }

    pub fn to_json(&self) -> Value {
        let number = |number: f64| if number.is_finite() { json!(number) } else { json!(number.to_string()) };
        let worst = |worst: &Worst| {
            let Worst { row, expected, got, difference } = worst;
            json!({ "row": row, "expected": expected, "got": got, "difference": number(*difference) })
        };
        let column = |column: &Column| {
            json!({
                "of": column.of, "difference": number(column.difference), "beyond": column.beyond,
                "worst": column.worst.iter().map(worst).collect::<Vec<_>>(),
            })
        };
        let columns: Vec<_> = self.columns.iter().map(column).collect();
        json!({ "ok": self.is_ok(), "rows": self.rows, "columns": columns })
    }
}

impl Display for Compared {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for Column { of, difference, beyond, worst } in &self.columns {
            write!(f, "  {of}: largest difference {difference:.3e} in {} rows", self.rows)?;
            writeln!(f, ", {beyond} beyond the tolerance")?;
            for Worst { row, expected, got, difference } in worst {
                writeln!(f, "    row {row}: expected {expected}, got {got} ({difference:.3e})")?;
            }
        }
        Ok(())
    }
}
