//! Convolutions of images, and of sequences.

mod conv;
mod filters;
mod integer;
mod slide;
mod transposed;

use crate::operator::{Definition, define};

pub(crate) const DEFINITIONS: &[Definition] = define! { "":
    "Conv" 1, 2..=3 => 1..=1, conv::build;
    "ConvInteger" 10, 2..=4 => 1..=1, integer::build;
    "ConvTranspose" 1, 2..=3 => 1..=1, conv::build_transposed;
    "QLinearConv" 10, 8..=9 => 1..=1, integer::build_scaled;
};
