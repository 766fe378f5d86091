//! Sequences of tensors, and what may be absent.

mod change;
mod make;
mod optional;

use crate::operator::{Definition, define};

pub(crate) const DEFINITIONS: &[Definition] = define! { "":
    "ConcatFromSequence" 11, 1..=1 => 1..=1, make::build_concat;
    "OptionalGetElement" 15, 1..=1 => 1..=1, optional::build_get;
    "OptionalHasElement" 15, 0..=1 => 1..=1, optional::build_has;
    "SequenceAt" 11, 2..=2 => 1..=1, change::build_at;
    "SequenceConstruct" 11, 1..=usize::MAX => 1..=1, make::build_construct;
    "SequenceEmpty" 11, 0..=0 => 1..=1, make::build_empty;
    "SequenceErase" 11, 1..=2 => 1..=1, change::build_erase;
    "SequenceInsert" 11, 2..=3 => 1..=1, change::build_insert;
    "SequenceLength" 11, 1..=1 => 1..=1, change::build_length;
    "SplitToSequence" 11, 1..=2 => 1..=1, make::build_split;
};
