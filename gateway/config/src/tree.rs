//! From text to a tree of TOML values that know where they stand.

use toml::Spanned;
use toml::de::{DeTable, DeValue, Error};

use crate::Spot;
use crate::source::{Read, Source};

/// Bytes of a configuration file. A thousand routes take some 200 KiB.
pub(crate) const FILE_LIMIT: usize = 1024 * 1024;

/// A parsed file. Dotted keys make it nest far deeper than the parser's own limit, so it must not be dropped by
/// recursion: some 6 000 levels fit into one line and would overflow a small stack.
pub(crate) struct Tree<'a> {
    root: DeTable<'a>,
}

impl<'a> Tree<'a> {
    /// All syntax errors, or the tree.
    pub(crate) fn parse(text: &'a str, source: &Source<'_>) -> Read<Self> {
        if text.len() > FILE_LIMIT {
            let message = format!("expected at most {FILE_LIMIT} bytes, got {}", text.len());
            return Err(source.report(&Spot::default(), message, "check that this is the right file"));
        }
        let (root, errors) = DeTable::parse_recoverable(text);
        let tree = Self { root: root.into_inner() };
        let mut failure = None;
        let mut last_line = None;
        for error in errors {
            let offset = error.span().map_or(text.len(), |span| span.start);
            let spot = source.spot(Some(offset), "");
            // What follows the first error of a line is mostly caused by it.
            if last_line.replace(spot.line) != Some(spot.line) {
                failure =
                    Some(source.report(&spot, format!("invalid TOML: {}", one_line(&error)), advise(&error, text)));
            }
        }
        failure.map_or(Ok(tree), Err)
    }

    pub(crate) fn root(&self) -> &DeTable<'a> {
        &self.root
    }
}

impl Drop for Tree<'_> {
    fn drop(&mut self) {
        let mut tables = vec![std::mem::take(&mut self.root)];
        let mut arrays: Vec<Vec<Spanned<DeValue<'_>>>> = Vec::new();
        loop {
            let values: Vec<_> = if let Some(table) = tables.pop() {
                table.into_iter().map(|(_, value)| value).collect()
            } else if let Some(array) = arrays.pop() {
                array
            } else {
                return;
            };
            for value in values {
                match value.into_inner() {
                    DeValue::Table(table) => tables.push(table),
                    DeValue::Array(array) => arrays.push(array.into_iter().collect()),
                    _ => {}
                }
            }
        }
    }
}

fn one_line(error: &Error) -> String {
    error.message().escape_debug().collect::<String>().replace("\\'", "'").replace("\\\"", "\"")
}

fn advise(error: &Error, text: &str) -> String {
    let span = error.span().unwrap_or_default();
    let rest = text.get(span.start..).unwrap_or_default();
    let says = |words: &str| error.message().contains(words);
    let at_end_of_line = rest.is_empty() || rest.starts_with(['\n', '\r', '#']);
    let advice = if says("duplicate key") {
        "remove one of the two, or merge them"
    } else if says("must be quoted") && at_end_of_line {
        "write a value after `=`"
    } else if says("must be quoted") {
        "put quotes around it: values such as \"5s\" are strings"
    } else if says("unclosed") {
        "close what was opened before"
    } else if says("string") && at_end_of_line {
        "close the quotes: a string in one pair of them ends in its line"
    } else if says("string") && rest.starts_with(char::is_control) {
        "write control characters as escapes, such as `\\u001b`"
    } else {
        "mend the syntax, see https://toml.io"
    };
    advice.into()
}
