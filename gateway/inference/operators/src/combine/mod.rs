//! Operators that make one element of several, from tensors that meet in one shape.

mod arithmetic;
mod compare;
mod divide;
mod legacy;
mod select;
mod variadic;

use arithmetic::Arithmetic;
use compare::{Comparison, Connective};
use variadic::Fold;

use crate::operator::{Definition, define};

pub(crate) const DEFINITIONS: &[Definition] = define! { "":
    "Add" 1, 2..=2 => 1..=1, |setup| arithmetic::build(setup, Arithmetic::Add);
    "And" 1, 2..=2 => 1..=1, |setup| compare::build_connective(setup, Connective::And);
    "BitShift" 11, 2..=2 => 1..=1, arithmetic::build_shift;
    "BitwiseAnd" 18, 2..=2 => 1..=1, |setup| arithmetic::build(setup, Arithmetic::BitwiseAnd);
    "BitwiseOr" 18, 2..=2 => 1..=1, |setup| arithmetic::build(setup, Arithmetic::BitwiseOr);
    "BitwiseXor" 18, 2..=2 => 1..=1, |setup| arithmetic::build(setup, Arithmetic::BitwiseXor);
    "Div" 1, 2..=2 => 1..=1, |setup| arithmetic::build(setup, Arithmetic::Div);
    "Equal" 1, 2..=2 => 1..=1, |setup| compare::build(setup, Comparison::Equal);
    "Greater" 1, 2..=2 => 1..=1, |setup| compare::build(setup, Comparison::Greater);
    "GreaterOrEqual" 12, 2..=2 => 1..=1, |setup| compare::build(setup, Comparison::GreaterOrEqual);
    "Less" 1, 2..=2 => 1..=1, |setup| compare::build(setup, Comparison::Less);
    "LessOrEqual" 12, 2..=2 => 1..=1, |setup| compare::build(setup, Comparison::LessOrEqual);
    "Max" 1, 1..=usize::MAX => 1..=1, |setup| variadic::build(setup, Fold::Max);
    "Mean" 1, 1..=usize::MAX => 1..=1, |setup| variadic::build(setup, Fold::Mean);
    "Min" 1, 1..=usize::MAX => 1..=1, |setup| variadic::build(setup, Fold::Min);
    "Mod" 10, 2..=2 => 1..=1, divide::build_modulo;
    "Mul" 1, 2..=2 => 1..=1, |setup| arithmetic::build(setup, Arithmetic::Mul);
    "Or" 1, 2..=2 => 1..=1, |setup| compare::build_connective(setup, Connective::Or);
    "PRelu" 1, 2..=2 => 1..=1, arithmetic::build_prelu;
    "Pow" 1, 2..=2 => 1..=1, divide::build_power;
    "Sub" 1, 2..=2 => 1..=1, |setup| arithmetic::build(setup, Arithmetic::Sub);
    "Sum" 1, 1..=usize::MAX => 1..=1, |setup| variadic::build(setup, Fold::Sum);
    "Where" 9, 3..=3 => 1..=1, select::build;
    "Xor" 1, 2..=2 => 1..=1, |setup| compare::build_connective(setup, Connective::Xor);
};
