//! Products of matrices.

mod einsum;
mod equation;
mod gemm;
mod matmul;
mod product;

use crate::operator::{Definition, define};

pub(crate) const DEFINITIONS: &[Definition] = define! { "":
    "Einsum" 12, 1..=usize::MAX => 1..=1, einsum::build;
    "Gemm" 1, 3..=3 => 1..=1, gemm::build;
    "Gemm" 11, 2..=3 => 1..=1, gemm::build;
    "MatMul" 1, 2..=2 => 1..=1, matmul::build;
};

pub(crate) use product::{Weights, multiply_each, multiply_rows};

/// Elements of constant weights that are kept wide: 1 Mi, 8 MiB.
pub(crate) const WIDENED_LIMIT: usize = 1 << 20;
