//! Operators of models that attend to places of a sequence.

mod cache;
mod gate;
mod heads;
mod kernel;
mod linear;
mod mask;
mod rotary;
mod short;

use crate::operator::{Definition, define};

pub(crate) const DEFINITIONS: &[Definition] = define! { "":
    "Attention" 23, 3..=6 => 1..=4, kernel::build;
    "Attention" 24, 3..=7 => 1..=4, kernel::build;
    "CausalConvWithState" 27, 2..=4 => 2..=2, short::build;
    "LinearAttention" 27, 3..=6 => 2..=2, linear::build;
    "RotaryEmbedding" 23, 3..=4 => 1..=1, rotary::build;
    "SwiGLU" 28, 2..=2 => 1..=1, gate::build;
    "TensorScatter" 24, 2..=3 => 1..=1, cache::build;
};
