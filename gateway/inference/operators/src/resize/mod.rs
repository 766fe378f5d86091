//! Images of other sizes.

mod axis;
mod coordinate;
mod filter;
mod kernel;
mod sizes;

use crate::operator::{Definition, define};

pub(crate) const DEFINITIONS: &[Definition] = define! { "":
    "Resize" 10, 2..=2 => 1..=1, kernel::build_simple;
    "Resize" 11, 3..=4 => 1..=1, kernel::build;
    "Resize" 13, 1..=4 => 1..=1, kernel::build;
    "Upsample" 7, 1..=1 => 1..=1, kernel::build_simple;
    "Upsample" 9, 2..=2 => 1..=1, kernel::build_simple;
};
