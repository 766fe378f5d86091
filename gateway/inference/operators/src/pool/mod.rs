//! Operators that make one element of all in a window.

mod average;
mod global;
mod max;
mod norm;
mod reach;
mod unpool;

use crate::operator::{Definition, define};
use global::Global;

pub(crate) const DEFINITIONS: &[Definition] = define! { "":
    "AveragePool" 1, 1..=1 => 1..=1, average::build;
    "GlobalAveragePool" 1, 1..=1 => 1..=1, |_| global::build(Global::Average);
    "GlobalLpPool" 1, 1..=1 => 1..=1, norm::build_global;
    "GlobalMaxPool" 1, 1..=1 => 1..=1, |_| global::build(Global::Max);
    "LpPool" 1, 1..=1 => 1..=1, norm::build;
    "MaxPool" 1, 1..=1 => 1..=1, max::build;
    "MaxPool" 8, 1..=1 => 1..=2, max::build;
    "MaxUnpool" 9, 2..=3 => 1..=1, unpool::build;
};
