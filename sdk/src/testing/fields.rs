//! Header fields of a double, with the host's rules for changing them.

use std::cell::{Cell, RefCell};

use crate::FieldError;
use crate::bindings::imports::witgate::plugin::http::{Field, FieldOp};
use crate::header::{is_framing, is_owned_in_requests, is_token};

/// Longest value that a plugin may set, in bytes; of a path as well.
pub(super) const VALUE_LIMIT: usize = 16 * 1024;
/// Most bytes that one hook may set in all.
const EDITS_LIMIT: usize = 64 * 1024;
/// What each change counts on top of its bytes.
const CHANGE_OVERHEAD: usize = 32;
/// Most names of one `get-many`; more are a trap.
const NAMES_LIMIT: usize = 1024;

/// Which head the fields belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Request,
    Response,
}

/// The fields of one head, and what the hook has changed so far.
#[derive(Debug)]
pub(super) struct Fields {
    side: Side,
    list: RefCell<Vec<(String, Vec<u8>)>>,
    changed_bytes: Cell<usize>,
    read_only: Cell<bool>,
}

impl Fields {
    pub(super) fn new(side: Side) -> Self {
        Self { side, list: RefCell::default(), changed_bytes: Cell::new(0), read_only: Cell::new(false) }
    }

    /// A hook starts: it may change as much as any.
    pub(super) fn start(&self, read_only: bool) {
        self.changed_bytes.set(0);
        self.read_only.set(read_only);
    }

    pub(super) fn is_read_only(&self) -> bool {
        self.read_only.get()
    }

    /// Adds a field without a check, as the other side sent it.
    pub(super) fn receive(&self, name: &str, value: &[u8]) {
        self.list.borrow_mut().push((name.to_ascii_lowercase(), value.to_owned()));
    }

    pub(super) fn get(&self, name: &str) -> Option<Vec<u8>> {
        self.get_all(name).into_iter().next()
    }

    pub(super) fn get_all(&self, name: &str) -> Vec<Vec<u8>> {
        let list = self.list.borrow();
        list.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone()).collect()
    }

    pub(super) fn get_many(&self, names: &[String]) -> Vec<Option<Vec<u8>>> {
        assert!(
            names.len() <= NAMES_LIMIT,
            "the host traps a plugin that asks for more than {NAMES_LIMIT} names at once"
        );
        names.iter().map(|name| self.get(name)).collect()
    }

    pub(super) fn entries(&self) -> Vec<Field> {
        let list = self.list.borrow();
        list.iter().map(|(name, value)| Field { name: name.clone(), value: value.clone() }).collect()
    }

    /// Makes all changes, or none.
    pub(super) fn apply(&self, operations: &[FieldOp]) -> Result<(), FieldError> {
        let before = self.changed_bytes.get();
        let counted = operations.iter().try_for_each(|operation| {
            let bytes = self.check(operation)?;
            self.count(bytes)
        });
        if counted.is_err() {
            self.changed_bytes.set(before);
            return counted;
        }
        let mut list = self.list.borrow_mut();
        for operation in operations {
            match operation {
                FieldOp::Set(Field { name, value }) => {
                    list.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
                    list.push((name.to_ascii_lowercase(), value.clone()));
                }
                FieldOp::Append(Field { name, value }) => list.push((name.to_ascii_lowercase(), value.clone())),
                FieldOp::Remove(name) => list.retain(|(n, _)| !n.eq_ignore_ascii_case(name)),
            }
        }
        Ok(())
    }

    /// Counts a change of this many bytes.
    pub(super) fn count(&self, bytes: usize) -> Result<(), FieldError> {
        if self.read_only.get() {
            return Err(FieldError::ReadOnly);
        }
        let bytes = self.changed_bytes.get() + bytes + CHANGE_OVERHEAD;
        if bytes > EDITS_LIMIT {
            return Err(FieldError::TooLarge);
        }
        self.changed_bytes.set(bytes);
        Ok(())
    }

    /// Checks a change as the host does, in its order, and tells its bytes.
    fn check(&self, operation: &FieldOp) -> Result<usize, FieldError> {
        if self.read_only.get() {
            return Err(FieldError::ReadOnly);
        }
        let (name, value) = match operation {
            FieldOp::Set(field) | FieldOp::Append(field) => (&field.name, field.value.as_slice()),
            FieldOp::Remove(name) => (name, &b""[..]),
        };
        if !is_token(name) {
            return Err(FieldError::InvalidName);
        }
        if is_forbidden(&name.to_ascii_lowercase(), self.side) {
            return Err(FieldError::Forbidden);
        }
        if value.len() > VALUE_LIMIT {
            return Err(FieldError::TooLarge);
        }
        if value.iter().any(|byte| (*byte < b' ' && *byte != b'\t') || *byte == 0x7f) {
            return Err(FieldError::InvalidValue);
        }
        Ok(name.len() + value.len())
    }
}

fn is_forbidden(name: &str, side: Side) -> bool {
    match side {
        Side::Request => is_owned_in_requests(name),
        Side::Response => is_framing(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the host has its rules. The SDK must not link the gateway, and its double must not drift from it.
    const HOST: &str = include_str!("../../../gateway/stage/src/edit.rs");

    #[test]
    fn the_limits_are_those_of_the_host() {
        for (name, limit) in
            [("VALUE_LIMIT", VALUE_LIMIT), ("EDITS_LIMIT", EDITS_LIMIT), ("FIELD_OVERHEAD", CHANGE_OVERHEAD)]
        {
            let (_, rest) = HOST.split_once(&format!("const {name}: usize = ")).unwrap();
            let (product, _) = rest.split_once(';').unwrap();
            assert_eq!(product.split(" * ").map(|factor| factor.parse::<usize>().unwrap()).product::<usize>(), limit);
        }
    }
}
