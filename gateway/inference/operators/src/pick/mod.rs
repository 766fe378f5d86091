//! Operators that pick elements by place or by value.

mod compress;
mod gather;
mod one_hot;
mod place;
mod scatter;
mod top;
mod unique;

use crate::operator::{Definition, define};

pub(crate) const DEFINITIONS: &[Definition] = define! { "":
    "Compress" 9, 2..=2 => 1..=1, compress::build;
    "Gather" 1, 2..=2 => 1..=1, gather::build;
    "GatherElements" 11, 2..=2 => 1..=1, gather::build_elements;
    "GatherND" 11, 2..=2 => 1..=1, gather::build_nd;
    "NonZero" 9, 1..=1 => 1..=1, compress::build_non_zero;
    "OneHot" 9, 3..=3 => 1..=1, one_hot::build;
    "Scatter" 9, 3..=3 => 1..=1, scatter::build;
    "ScatterElements" 11, 3..=3 => 1..=1, scatter::build;
    "ScatterND" 11, 3..=3 => 1..=1, scatter::build_nd;
    "TopK" 1, 1..=1 => 2..=2, top::build;
    "TopK" 10, 2..=2 => 2..=2, top::build;
    "Unique" 11, 1..=1 => 1..=4, unique::build;
};
