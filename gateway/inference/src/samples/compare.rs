//! What a model gives for samples, beside what it should.

use super::read::{Samples, number};
use super::{Column, Compared, SHOWN, SamplesError, Worst};
use crate::score::Outputs;
use crate::{Cancel, Data, Metadata, Session, Tensor};

/// Rows of one run, of models that take several.
const BATCH: usize = 256;

/// Runs a model on samples, and compares what comes out. A number may differ from the expected one by `tolerance`, in proportion
/// to it if it is beyond -1 and 1.
///
/// # Errors
/// The samples do not go with the model, or it fails on them.
pub fn compare(
    samples: &Samples,
    session: &mut dyn Session,
    metadata: &Metadata,
    tolerance: f64,
) -> Result<Compared, SamplesError> {
    let batch = if metadata.signature.has_batch_axis() { BATCH } else { 1 };
    let mut run = |from: usize, count: usize| {
        let inputs = samples.tensors(from, count)?;
        let given = session.run(&inputs, &metadata.signature.all_outputs(), &Cancel::default());
        given.map_err(|error| {
            let message = format!("it fails on the rows {} to {}: {error}", from + 1, from + count);
            SamplesError::new(message, "compare the columns of the samples with `witgate model inspect FILE`")
        })
    };
    // One row tells the shapes, and so which number is meant.
    let first = run(0, 1)?;
    let shapes: Vec<_> = first.iter().map(|tensor| tensor.shape().to_vec()).collect();
    let outputs = Outputs::new("it", metadata, Some(&shapes));
    let chosen = samples.expected.iter().map(|expected| expected.choose(&outputs)).collect::<Result<Vec<_>, _>>()?;
    let column =
        |(_, _, of): &(usize, usize, String)| Column { of: of.clone(), difference: 0.0, beyond: 0, worst: Vec::new() };
    let mut columns: Vec<Column> = chosen.iter().map(column).collect();
    let mut from = 0;
    while from < samples.rows {
        let count = batch.min(samples.rows - from);
        let given = run(from, count)?;
        for ((expected, (output, place, _)), column) in samples.expected.iter().zip(&chosen).zip(&mut columns) {
            let tensor = given.get(*output);
            for row in 0..count {
                let cell = expected.cells.get(from + row).map_or("", String::as_str);
                let got = tensor.and_then(|tensor| element(tensor, (row, count), *place));
                let (got, difference) = match got {
                    Some(Got::Number(got)) => {
                        (got.to_string(), number(cell).map_or(f64::INFINITY, |it| apart(it, got)))
                    }
                    Some(Got::Text(got)) => (got.to_owned(), if got == cell { 0.0 } else { f64::INFINITY }),
                    None => ("nothing".to_owned(), f64::INFINITY),
                };
                column.add(Worst { row: from + row + 1, expected: cell.to_owned(), got, difference }, tolerance);
            }
        }
        from += count;
    }
    Ok(Compared { rows: samples.rows, columns })
}

impl Column {
    fn add(&mut self, row: Worst, tolerance: f64) {
        self.beyond += usize::from(row.difference > tolerance);
        self.difference = self.difference.max(row.difference);
        let is_shown = row.difference > 0.0
            && (self.worst.len() < SHOWN || self.worst.last().is_some_and(|last| row.difference > last.difference));
        if is_shown {
            let at = self.worst.partition_point(|other| other.difference >= row.difference);
            self.worst.insert(at, row);
            self.worst.truncate(SHOWN);
        }
    }
}

fn apart(expected: f64, got: f64) -> f64 {
    if expected.to_bits() == got.to_bits() || expected == got || expected.is_nan() && got.is_nan() {
        return 0.0;
    }
    let apart = (expected - got).abs() / expected.abs().max(1.0);
    if apart.is_nan() { f64::INFINITY } else { apart }
}

enum Got<'t> {
    Number(f64),
    Text(&'t str),
}

/// The element of a row that came out.
#[expect(clippy::cast_precision_loss, reason = "integers beyond 2^53 are compared as the nearest doubles")]
fn element(tensor: &Tensor, (row, rows): (usize, usize), column: usize) -> Option<Got<'_>> {
    let at = (tensor.data().len() / rows.max(1)).checked_mul(row)?.checked_add(column)?;
    Some(Got::Number(match tensor.data() {
        Data::Bool(values) => f64::from(u8::from(*values.get(at)?)),
        Data::Uint8(values) => f64::from(*values.get(at)?),
        Data::Uint16(values) => f64::from(*values.get(at)?),
        Data::Uint32(values) => f64::from(*values.get(at)?),
        Data::Uint64(values) => *values.get(at)? as f64,
        Data::Int8(values) => f64::from(*values.get(at)?),
        Data::Int16(values) => f64::from(*values.get(at)?),
        Data::Int32(values) => f64::from(*values.get(at)?),
        Data::Int64(values) => *values.get(at)? as f64,
        Data::Float16(values) => f64::from(*values.get(at)?),
        Data::Bfloat16(values) => f64::from(*values.get(at)?),
        Data::Float32(values) => f64::from(*values.get(at)?),
        Data::Float64(values) => *values.get(at)?,
        Data::String(values) => return Some(Got::Text(values.get(at)?)),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_absolute_for_shares_and_in_proportion_beyond() {
        assert_eq!(apart(0.5, 0.25), 0.25);
        assert_eq!(apart(1000.0, 1001.0), 0.001);
        assert_eq!(apart(f64::NAN, f64::NAN), 0.0);
        assert_eq!(apart(f64::INFINITY, f64::INFINITY), 0.0);
        assert_eq!(apart(f64::NAN, 1.0), f64::INFINITY);
        assert_eq!(apart(f64::INFINITY, 1.0), f64::INFINITY);
    }

    #[test]
    fn the_rows_that_differ_most_are_shown() {
        let mut column = Column { of: "y".to_owned(), difference: 0.0, beyond: 0, worst: Vec::new() };
        for (row, difference) in [0.0, 0.3, 0.1, 0.5, 0.2, 0.4, 0.6].into_iter().enumerate() {
            column.add(Worst { row, expected: String::new(), got: String::new(), difference }, 0.25);
        }
        assert_eq!((column.difference, column.beyond), (0.6, 4));
        assert_eq!(column.worst.iter().map(|worst| worst.row).collect::<Vec<_>>(), [6, 3, 5, 1, 4]);
    }
}
