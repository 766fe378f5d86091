//! Operators that make tensors of no elements but their own: constants, ranges, shapes.

mod constant;
mod range;
mod sizes;

use crate::operator::{Definition, define};

pub(crate) const DEFINITIONS: &[Definition] = define! { "":
    "Constant" 1, 0..=0 => 1..=1, constant::build;
    "ConstantOfShape" 9, 1..=1 => 1..=1, constant::build_of_shape;
    "EyeLike" 9, 1..=1 => 1..=1, range::build_eye_like;
    "Range" 11, 3..=3 => 1..=1, range::build;
    "Shape" 1, 1..=1 => 1..=1, sizes::build_shape;
    "Size" 1, 1..=1 => 1..=1, sizes::build_size;
};
