//! Changes to header fields, made together.

use crate::bindings::imports::witgate::plugin::http::{Field, FieldOp};

/// A list of changes; all are made, or none. One call for several changes is cheaper than one for each.
#[derive(Debug, Default)]
pub struct Edits(Vec<FieldOp>);

impl Edits {
    pub fn new() -> Self {
        Self::default()
    }

    /// Replaces every field of this name by one.
    #[must_use]
    pub fn set(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.0.push(FieldOp::Set(Field { name: name.into(), value: value.into() }));
        self
    }

    /// Adds a field and keeps those of the same name.
    #[must_use]
    pub fn append(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.0.push(FieldOp::Append(Field { name: name.into(), value: value.into() }));
        self
    }

    /// Removes every field of this name; no error if there is none.
    #[must_use]
    pub fn remove(mut self, name: impl Into<String>) -> Self {
        self.0.push(FieldOp::Remove(name.into()));
        self
    }

    pub(crate) fn operations(&self) -> &[FieldOp] {
        &self.0
    }
}
