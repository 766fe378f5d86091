//! Operators that run graphs: conditions and loops.

mod choice;
mod repeat;
mod scan;
mod stack;

use crate::operator::{Definition, define};

pub(crate) const DEFINITIONS: &[Definition] = define! { "":
    "If" 1, 1..=1 => 0..=usize::MAX, choice::build;
    "Loop" 1, 0..=usize::MAX => 0..=usize::MAX, repeat::build;
    "Scan" 9, 1..=usize::MAX => 0..=usize::MAX, scan::build;
    "SequenceMap" 17, 1..=usize::MAX => 1..=usize::MAX, repeat::build_map;
};

#[cfg(test)]
mod tests;
