//! How often n-grams are in a sequence.

use std::hash::Hash;

use super::ngrams::Ngrams;
use crate::attribute::Reader;
use crate::elementwise::convert;
use crate::error::{BuildError, OperatorError};
use crate::limits::Budget;
use crate::operator::{Inputs, Kernel, Outputs, Setup, one, ready};
use crate::shape::Shape;
use crate::value::{Data, DataType, Element, Tensor};

/// Items of an n-gram, and items that are skipped within one.
const GRAM_LIMIT: i64 = 64;

/// Columns of the output. Vocabularies of text models have up to some hundred thousand.
const COLUMN_LIMIT: usize = 1 << 24;

/// What stands for an n-gram that was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// How often.
    Count,
    /// Its weight, however often.
    Weight,
    /// Its weight, so often.
    CountTimesWeight,
}

#[derive(Debug)]
enum Pool {
    Integers(Ngrams<i64>),
    Texts(Ngrams<String>),
}

#[derive(Debug)]
struct TfIdfVectorizer {
    mode: Mode,
    shortest: usize,
    longest: usize,
    /// Items from one of an n-gram to the next, at most.
    distance: usize,
    /// Of each n-gram, its column and weight.
    columns: Vec<(usize, f32)>,
    width: usize,
    pool: Pool,
}

pub(super) fn build(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    let reader = setup.attributes();
    let number = |name: &str, least: i64| {
        let number = Reader::required(name, reader.int(name)?)?;
        let is_fine = (least..=GRAM_LIMIT).contains(&number);
        let expected = || BuildError::attribute(name, format!("expected {least} to {GRAM_LIMIT}, got {number}"));
        usize::try_from(number).ok().filter(|_| is_fine).ok_or_else(expected)
    };
    let (shortest, longest) = (number("min_gram_length", 1)?, number("max_gram_length", 1)?);
    if shortest > longest {
        return Err(BuildError::attribute("min_gram_length", format!("expected at most {longest}, got {shortest}")));
    }
    Reader::required("mode", reader.get("mode"))?;
    let mode =
        reader.choice("mode", &[("TF", Mode::Count), ("IDF", Mode::Weight), ("TFIDF", Mode::CountTimesWeight)])?;
    let columns = columns(reader, mode)?;
    let width = columns.iter().map(|(column, _)| column + 1).max().unwrap_or(0);
    let sizes = (shortest, longest);
    let counts = Reader::required("ngram_counts", reader.ints("ngram_counts")?)?;
    let pool = match (reader.ints("pool_int64s")?, reader.strings("pool_strings")?) {
        (Some(items), None) => Pool::Integers(ngrams(items, counts, sizes, columns.len())?),
        (None, Some(items)) => Pool::Texts(ngrams(&items, counts, sizes, columns.len())?),
        _ => return Err(BuildError::attribute("pool_strings", "or 'pool_int64s' is required, and not both")),
    };
    let distance = number("max_skip_count", 0)? + 1;
    ready(TfIdfVectorizer { mode, shortest, longest, distance, columns, width, pool })
}

/// The column and weight of each n-gram.
fn columns(reader: &Reader<'_>, mode: Mode) -> Result<Vec<(usize, f32)>, BuildError> {
    let numbers = Reader::required("ngram_indexes", reader.ints("ngram_indexes")?)?;
    let failure = || BuildError::attribute("ngram_indexes", format!("expected columns below {COLUMN_LIMIT}"));
    let column =
        |number: &i64| usize::try_from(*number).ok().filter(|column| *column < COLUMN_LIMIT).ok_or_else(failure);
    let columns = numbers.iter().map(column).collect::<Result<Vec<_>, _>>()?;
    if columns.is_empty() {
        return Err(failure());
    }
    let weights = reader.floats("weights")?.filter(|weights| !weights.is_empty());
    let weights = weights.map_or_else(|| vec![1.0; columns.len()], <[f32]>::to_vec);
    if weights.len() != columns.len() {
        let problem = format!("expected {}, one for each of ngram_indexes, got {}", columns.len(), weights.len());
        return Err(BuildError::attribute("weights", problem));
    }
    let mut sorted = columns.clone();
    sorted.sort_unstable();
    if mode != Mode::Count && sorted.windows(2).any(|pair| pair.first() == pair.last()) {
        return Err(BuildError::attribute("ngram_indexes", "expected a column of its own for each weight"));
    }
    Ok(columns.into_iter().zip(weights).collect())
}

/// The tree of a pool, in which n-grams of one item come first, then those of two, and so on.
fn ngrams<K: Hash + Eq + Clone>(
    items: &[K],
    counts: &[i64],
    (shortest, longest): (usize, usize),
    expected: usize,
) -> Result<Ngrams<K>, BuildError> {
    let failure = || BuildError::attribute("ngram_counts", format!("expected rising places up to {}", items.len()));
    let starts: Option<Vec<usize>> = counts.iter().map(|start| usize::try_from(*start).ok()).collect();
    let starts = starts.ok_or_else(failure)?;
    let ends = starts.iter().skip(1).copied().chain([items.len()]);
    let (mut ngrams, mut number) = (Ngrams::new(), 0);
    for (size, (start, end)) in (1..).zip(starts.iter().zip(ends)) {
        let part = items.get(*start..end).ok_or_else(failure)?;
        if part.len() % size != 0 {
            let problem = format!("{} items are no whole number of n-grams of {size}", part.len());
            return Err(BuildError::attribute("ngram_counts", problem));
        }
        for ngram in part.chunks_exact(size) {
            if (shortest..=longest).contains(&size) && !ngrams.add(ngram.iter().cloned(), number) {
                return Err(BuildError::attribute("ngram_counts", format!("an n-gram of {size} is in the pool twice")));
            }
            number += 1;
        }
    }
    if number != expected {
        return Err(BuildError::attribute(
            "ngram_indexes",
            format!("expected {number}, one for each n-gram, got {expected}"),
        ));
    }
    Ok(ngrams)
}

impl TfIdfVectorizer {
    fn row<K: Hash + Eq>(&self, ngrams: &Ngrams<K>, items: &[K], row: &mut [f32]) {
        for distance in 1..=self.distance {
            // Single items are counted once, as nothing is skipped within them.
            let shortest = if distance == 1 { self.shortest } else { self.shortest.max(2) };
            if shortest > self.longest {
                break;
            }
            for from in 0..items.len() {
                let rest = items.get(from..).unwrap_or_default();
                ngrams.find(rest, distance, shortest, self.longest, |number| {
                    let Some((column, weight)) = self.columns.get(number) else { return };
                    row.get_mut(*column).into_iter().for_each(|place| match self.mode {
                        Mode::Count => *place += 1.0,
                        Mode::Weight => *place = *weight,
                        // The count, at first.
                        Mode::CountTimesWeight => *place += 1.0,
                    });
                });
            }
        }
        if self.mode == Mode::CountTimesWeight {
            for (column, weight) in &self.columns {
                row.get_mut(*column).into_iter().for_each(|count| *count *= weight);
            }
        }
    }

    fn rows<K: Hash + Eq>(&self, ngrams: &Ngrams<K>, items: &[K], length: usize, count: usize) -> Vec<f32> {
        let mut made = vec![0.0; count * self.width];
        if length > 0 && !ngrams.is_empty() {
            for (items, row) in items.chunks_exact(length).zip(made.chunks_exact_mut(self.width.max(1))) {
                self.row(ngrams, items, row);
            }
        }
        made
    }
}

impl Kernel for TfIdfVectorizer {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let tensor = inputs.tensor(0)?;
        let (count, length, made) = match tensor.shape().dimensions() {
            [length] => (1, *length, Shape::vector(self.width)),
            [count, length] if *count > 0 => (*count, *length, Shape::new(&[*count, self.width])?),
            _ => return Err(inputs.unexpected(0, "a tensor of [C] or [N, C]")),
        };
        budget.tensor(&made, DataType::Float32)?;
        let steps = self.distance.saturating_mul(self.longest);
        budget.work(tensor.shape().elements().saturating_mul(steps))?;
        let made_rows = match (&self.pool, tensor.data()) {
            (Pool::Texts(ngrams), Data::String(texts)) => self.rows(ngrams, texts, length, count),
            (Pool::Integers(ngrams), data @ (Data::Int32(_) | Data::Int64(_))) => {
                let wide = convert(data, DataType::Int64);
                let numbers = wide.as_ref().and_then(i64::of_data).unwrap_or_default();
                self.rows(ngrams, numbers, length, count)
            }
            (Pool::Texts(_), _) => return Err(inputs.unexpected(0, "BYTES")),
            (Pool::Integers(_), _) => return Err(inputs.unexpected(0, "INT64 or INT32")),
        };
        one(Tensor::made(made, made_rows))
    }
}
