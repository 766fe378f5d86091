//! Operators that make one element of all along axes.

mod arg;
mod cumulative;
mod fold;
mod reduction;

use crate::operator::{Definition, define};
use cumulative::Cumulative;
use reduction::Reduction;

pub(crate) const DEFINITIONS: &[Definition] = define! { "":
    "ArgMax" 1, 1..=1 => 1..=1, |setup| arg::build(setup, true);
    "ArgMin" 1, 1..=1 => 1..=1, |setup| arg::build(setup, false);
    "CumProd" 26, 2..=2 => 1..=1, |setup| cumulative::build(setup, Cumulative::Product);
    "CumSum" 11, 2..=2 => 1..=1, |setup| cumulative::build(setup, Cumulative::Sum);
    "ReduceL1" 1, 1..=1 => 1..=1, |setup| fold::build(setup, Reduction::L1);
    "ReduceL1" 18, 1..=2 => 1..=1, |setup| fold::build(setup, Reduction::L1);
    "ReduceL2" 1, 1..=1 => 1..=1, |setup| fold::build(setup, Reduction::L2);
    "ReduceL2" 18, 1..=2 => 1..=1, |setup| fold::build(setup, Reduction::L2);
    "ReduceLogSum" 1, 1..=1 => 1..=1, |setup| fold::build(setup, Reduction::LogSum);
    "ReduceLogSum" 18, 1..=2 => 1..=1, |setup| fold::build(setup, Reduction::LogSum);
    "ReduceLogSumExp" 1, 1..=1 => 1..=1, |setup| fold::build(setup, Reduction::LogSumExp);
    "ReduceLogSumExp" 18, 1..=2 => 1..=1, |setup| fold::build(setup, Reduction::LogSumExp);
    "ReduceMax" 1, 1..=1 => 1..=1, |setup| fold::build(setup, Reduction::Max);
    "ReduceMax" 18, 1..=2 => 1..=1, |setup| fold::build(setup, Reduction::Max);
    "ReduceMean" 1, 1..=1 => 1..=1, |setup| fold::build(setup, Reduction::Mean);
    "ReduceMean" 18, 1..=2 => 1..=1, |setup| fold::build(setup, Reduction::Mean);
    "ReduceMin" 1, 1..=1 => 1..=1, |setup| fold::build(setup, Reduction::Min);
    "ReduceMin" 18, 1..=2 => 1..=1, |setup| fold::build(setup, Reduction::Min);
    "ReduceProd" 1, 1..=1 => 1..=1, |setup| fold::build(setup, Reduction::Product);
    "ReduceProd" 18, 1..=2 => 1..=1, |setup| fold::build(setup, Reduction::Product);
    "ReduceSum" 1, 1..=1 => 1..=1, |setup| fold::build(setup, Reduction::Sum);
    "ReduceSum" 13, 1..=2 => 1..=1, |setup| fold::build(setup, Reduction::Sum);
    "ReduceSumSquare" 1, 1..=1 => 1..=1, |setup| fold::build(setup, Reduction::SumSquare);
    "ReduceSumSquare" 18, 1..=2 => 1..=1, |setup| fold::build(setup, Reduction::SumSquare);
};
