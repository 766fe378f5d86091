//! From text to a tree of TOML values that know where they stand.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::Spot;
use crate::source::{Read, Source};
use crate::syntax;

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
        let failure = syntax::report(errors, source, text);
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
