//! The text of a configuration: where things stand in it, and what was found wrong so far.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use crate::reference::Reference;
use crate::{Diagnostic, Spot};

/// Problems reported at once. Nobody mends more in one go, and a file of another format would give thousands.
pub(crate) const PROBLEMS_LIMIT: usize = 100;

/// Distance of the marks that make the column of a byte cheap to find, however long its line.
const MARK_DISTANCE: usize = 256;

/// Proof that a problem was reported: only [`Source::report`] makes one, so a failed read cannot be silent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reported(());

/// What a read gives: a value, or the certainty that the problem is on the list.
pub(crate) type Read<T> = Result<T, Reported>;

/// The file being read.
pub(crate) struct Source<'a> {
    file: &'a Path,
    /// Byte at which each line starts.
    lines: Vec<usize>,
    text: &'a str,
    /// Characters before each multiple of `MARK_DISTANCE` bytes.
    marks: Vec<usize>,
    problems: RefCell<Problems>,
    reference: Option<RefCell<Reference>>,
}

#[derive(Default)]
struct Problems {
    kept: Vec<Problem>,
    left_off: usize,
}

struct Problem {
    diagnostic: Diagnostic,
    /// Path of the table whose keys do not go together; none: it is about one value.
    of_table: Option<String>,
}

impl<'a> Source<'a> {
    pub(crate) fn new(text: &'a str, file: &'a Path) -> Self {
        let newlines = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let lines = std::iter::once(0).chain(newlines.map(|(at, _)| at + 1)).collect();
        let mut characters = 0;
        let marks = text.as_bytes().chunks(MARK_DISTANCE).map(|chunk| {
            let before = characters;
            characters += count_characters(chunk);
            before
        });
        Self { file, lines, marks: marks.collect(), text, problems: RefCell::default(), reference: None }
    }

    /// A source without text that notes every key that is asked for.
    pub(crate) fn recording() -> Self {
        Self { reference: Some(RefCell::default()), ..Self::new("", Path::new("gateway.toml")) }
    }

    pub(crate) fn reference(&self) -> Option<&RefCell<Reference>> {
        self.reference.as_ref()
    }

    pub(crate) fn into_reference(self) -> Reference {
        self.reference.map(RefCell::into_inner).unwrap_or_default()
    }

    /// The text from a byte on.
    pub(crate) fn from(&self, offset: usize) -> &str {
        self.text.get(offset..).unwrap_or_default()
    }

    /// Directory that relative paths start from.
    pub(crate) fn directory(&self) -> PathBuf {
        self.file.parent().map(Path::to_path_buf).unwrap_or_default()
    }

    /// The spot of a byte; none: of something that does not stand in the file.
    pub(crate) fn spot(&self, offset: Option<usize>, path: &str) -> Spot {
        let Some(offset) = offset else { return Spot { path: path.into(), ..Spot::default() } };
        let line = self.lines.partition_point(|start| *start <= offset);
        let start = line.checked_sub(1).and_then(|index| self.lines.get(index)).copied().unwrap_or(0);
        let column = self.characters_before(offset).saturating_sub(self.characters_before(start)) + 1;
        Spot { line, column, path: path.into() }
    }

    fn characters_before(&self, offset: usize) -> usize {
        let offset = offset.min(self.text.len());
        let mark = (offset / MARK_DISTANCE).min(self.marks.len().saturating_sub(1));
        let rest = self.text.as_bytes().get(mark * MARK_DISTANCE..offset).unwrap_or_default();
        self.marks.get(mark).copied().unwrap_or(0) + count_characters(rest)
    }

    pub(crate) fn report(&self, spot: &Spot, message: impl Into<String>, help: impl Into<String>) -> Reported {
        self.add(Problem { diagnostic: Diagnostic::at(self.file, spot, message, help), of_table: None })
    }

    /// Reports that keys of the table at a path do not go together.
    pub(crate) fn report_table(
        &self,
        table: &str,
        spot: &Spot,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Reported {
        self.add(Problem {
            diagnostic: Diagnostic::at(self.file, spot, message, help),
            of_table: Some(table.to_owned()),
        })
    }

    fn add(&self, problem: Problem) -> Reported {
        let mut problems = self.problems.borrow_mut();
        if problems.kept.len() < PROBLEMS_LIMIT {
            problems.kept.push(problem);
        } else {
            problems.left_off += 1;
        }
        Reported(())
    }

    /// How many problems are kept so far.
    pub(crate) fn mark(&self) -> usize {
        self.problems.borrow().kept.len()
    }

    /// Takes back problems since a mark that another one, which is about to be reported, is the cause of: those of the keys at
    /// these paths, and those of keys of `table` that do not go together.
    pub(crate) fn withdraw(&self, mark: usize, table: &str, keys: &[String]) {
        let is_consequence = |problem: &Problem| {
            let at_key = problem.diagnostic.spot.as_ref().is_some_and(|spot| keys.contains(&spot.path));
            // The file as a whole has many keys, which have little to do with each other.
            at_key || (!table.is_empty() && problem.of_table.as_deref() == Some(table))
        };
        let mut index = 0;
        self.problems.borrow_mut().kept.retain(|problem| {
            index += 1;
            index <= mark || !is_consequence(problem)
        });
    }

    /// Where the text ends: what is missing from the file as a whole would stand behind it.
    pub(crate) fn end(&self) -> usize {
        self.text.trim_end().len()
    }

    /// The value if nothing was reported, else all problems in the order of the file.
    pub(crate) fn conclude<T>(self, value: Read<T>) -> Result<T, Vec<Diagnostic>> {
        let Problems { kept, left_off } = self.problems.into_inner();
        let mut kept: Vec<_> = kept.into_iter().map(|problem| problem.diagnostic).collect();
        match value {
            Ok(value) if kept.is_empty() => Ok(value),
            Ok(_) | Err(Reported(())) => {
                kept.sort_by_key(|problem| problem.spot.as_ref().map(|spot| (spot.line, spot.column)));
                if left_off > 0 {
                    let message = format!("{left_off} more problems are not shown");
                    kept.push(Diagnostic::of_file(self.file, message, "fix those above and check again"));
                }
                Err(kept)
            }
        }
    }
}

/// Counts by leading bytes, so that an offset inside a character does no harm.
fn count_characters(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte & 0b1100_0000 != 0b1000_0000).count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn spots_are_those_of_counting_from_the_start(text in "([aé\u{1F600}]{0,3}\n?){0,400}", at in any::<prop::sample::Index>()) {
            let boundaries: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
            let offset = boundaries[at.index(boundaries.len())];
            let before = &text[..offset];
            let spot = Source::new(&text, Path::new("x")).spot(Some(offset), "p");
            let expected = Spot {
                line: before.matches('\n').count() + 1,
                column: before.rsplit('\n').next().unwrap().chars().count() + 1,
                path: "p".into(),
            };
            prop_assert_eq!(spot, expected);
        }
    }

    #[test]
    fn problems_beyond_the_limit_are_counted_instead_of_kept() {
        let source = Source::new("x", Path::new("x"));
        let reported = (0..150).map(|_| source.report(&Spot::default(), "m", "h")).last();
        let problems = source.conclude::<()>(Err(reported.unwrap())).unwrap_err();
        assert_eq!(problems.len(), PROBLEMS_LIMIT + 1);
        assert_eq!(problems.last().unwrap().message, "50 more problems are not shown");
    }
}
