//! Text, line by line, with what is wrong with it.

use std::str::FromStr;

use crate::error::{NativeError, Place, shown};
use crate::{Format, Limits};

pub(super) type Result<T> = std::result::Result<T, NativeError>;

/// The lines of a file that are still to be read.
#[derive(Debug, Clone)]
pub(super) struct Lines<'a> {
    bytes: &'a [u8],
    at: usize,
    line: usize,
}

/// A line.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line<'a> {
    pub(super) text: &'a str,
    /// From 1.
    pub(super) number: usize,
    offset: usize,
}

/// `key=value`, and whose line it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry<'a> {
    pub(super) key: &'a str,
    pub(super) value: &'a str,
    pub(super) line: Line<'a>,
}

impl<'a> Lines<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, line: 0 }
    }

    /// The next line that is not empty, or none at the end.
    pub(super) fn next(&mut self) -> Result<Option<Line<'a>>> {
        loop {
            let Some(line) = self.any()? else { return Ok(None) };
            if !line.text.is_empty() {
                return Ok(Some(line));
            }
        }
    }

    /// The next line, without white space at its end; or none at the end.
    pub(super) fn any(&mut self) -> Result<Option<Line<'a>>> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(None);
        }
        let length = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
        let (offset, bytes) = (self.at, rest.get(..length).unwrap_or_default());
        self.at += length + 1;
        self.line += 1;
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Some(Line { text: text.trim_end(), number: self.line, offset })),
            Err(_) => Err(malformed(Some(self.line), offset, "", "the line is not UTF-8".to_owned())),
        }
    }

    /// That the file ends too early.
    pub(super) fn ended(&self, what: &str) -> NativeError {
        malformed(Some(self.line), self.bytes.len(), "", format!("the file ends {what}: it was cut off"))
    }
}

impl<'a> Line<'a> {
    /// The two parts of `key=value`. A line without `=` is a key.
    pub(super) fn entry(self) -> Entry<'a> {
        let (key, value) = self.text.split_once('=').unwrap_or((self.text, ""));
        Entry { key, value, line: self }
    }

    pub(super) fn fail(&self, key: &str, problem: impl Into<String>) -> NativeError {
        malformed(Some(self.number), self.offset, key, problem.into())
    }
}

impl Entry<'_> {
    pub(super) fn fail(&self, problem: impl Into<String>) -> NativeError {
        self.line.fail(self.key, problem)
    }

    /// The value as a number.
    pub(super) fn one<T: FromStr>(&self) -> Result<T> {
        let value = self.value.trim();
        value.parse().map_err(|_| self.fail(format!("a number is expected, and there is '{}'", shown(value))))
    }

    /// The value as numbers, exactly so many.
    pub(super) fn many<T: FromStr>(&self, count: usize) -> Result<Vec<T>> {
        let mut numbers = Vec::new();
        for word in self.value.split_ascii_whitespace() {
            if numbers.len() == count {
                return Err(self.fail(format!("there are more than {count} numbers")));
            }
            let number = word.parse();
            numbers
                .push(number.map_err(|_| self.fail(format!("a number is expected, and there is '{}'", shown(word))))?);
        }
        if numbers.len() < count {
            return Err(self.fail(format!("there are {} numbers, and {count} are expected", numbers.len())));
        }
        Ok(numbers)
    }
}

pub(super) fn malformed(line: Option<usize>, offset: usize, path: &str, problem: String) -> NativeError {
    let place = Place { line, offset, path: path.to_owned() };
    NativeError::Malformed { format: Format::LightGbmText, place, problem }
}

/// # Errors
/// There is more of something than is allowed.
pub(super) fn within(what: &'static str, count: usize, limit: usize) -> Result<()> {
    if count > limit { Err(NativeError::TooMany { what, count, limit }) } else { Ok(()) }
}

/// How much of what is limited has been read of all trees.
#[derive(Debug)]
pub(super) struct Budget<'a> {
    pub(super) limits: &'a Limits,
    pub(super) nodes: usize,
    pub(super) categories: usize,
}
