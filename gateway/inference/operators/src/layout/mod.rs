//! Operators that move elements and change none.

mod blocks;
mod join;
mod pad;
mod repeat;
mod reshape;
mod slice;
mod split;

use crate::operator::{Definition, define};

pub(crate) const DEFINITIONS: &[Definition] = define! { "":
    "Concat" 1, 1..=usize::MAX => 1..=1, join::build;
    "DepthToSpace" 1, 1..=1 => 1..=1, blocks::build_depth_to_space;
    "Dropout" 1, 1..=1 => 1..=2, reshape::build_dropout;
    "Dropout" 12, 1..=3 => 1..=2, reshape::build_dropout;
    "Expand" 8, 2..=2 => 1..=1, repeat::build_expand;
    "Flatten" 1, 1..=1 => 1..=1, reshape::build_flatten;
    "Identity" 1, 1..=1 => 1..=1, reshape::build_identity;
    "Pad" 1, 1..=1 => 1..=1, pad::build;
    "Pad" 11, 2..=4 => 1..=1, pad::build;
    "Reshape" 1, 1..=1 => 1..=1, reshape::build;
    "Reshape" 5, 2..=2 => 1..=1, reshape::build;
    "ReverseSequence" 10, 2..=2 => 1..=1, slice::build_reverse;
    "Slice" 1, 1..=1 => 1..=1, slice::build;
    "Slice" 10, 3..=5 => 1..=1, slice::build;
    "SpaceToDepth" 1, 1..=1 => 1..=1, blocks::build_space_to_depth;
    "Split" 1, 1..=2 => 1..=usize::MAX, split::build;
    "Split" 2, 1..=1 => 1..=usize::MAX, split::build;
    "Split" 13, 1..=2 => 1..=usize::MAX, split::build;
    "Squeeze" 1, 1..=1 => 1..=1, reshape::build_squeeze;
    "Squeeze" 13, 1..=2 => 1..=1, reshape::build_squeeze;
    "Tile" 1, 3..=3 => 1..=1, repeat::build_tile_along;
    "Tile" 6, 2..=2 => 1..=1, repeat::build_tile;
    "Transpose" 1, 1..=1 => 1..=1, slice::build_transpose;
    "Trilu" 14, 1..=2 => 1..=1, blocks::build_triangle;
    "Unsqueeze" 1, 1..=1 => 1..=1, reshape::build_unsqueeze;
    "Unsqueeze" 13, 2..=2 => 1..=1, reshape::build_unsqueeze;
};

pub(crate) use join::concatenate;
pub(crate) use split::cut;
