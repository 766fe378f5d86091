//! Operators of boxes in images.

mod suppression;

use crate::operator::{Definition, define};

pub(crate) const DEFINITIONS: &[Definition] = define! { "":
    "NonMaxSuppression" 10, 2..=5 => 1..=1, suppression::build;
};
