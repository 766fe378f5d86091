//! Operators that set numbers in relation to those around them.

mod batch;
mod layer;
mod length;
mod local;
mod planes;
mod shares;
mod variance;

use crate::operator::{Definition, define};
use shares::Shares;

pub(crate) const DEFINITIONS: &[Definition] = define! { "":
    "BatchNormalization" 1, 5..=5 => 1..=5, batch::build;
    "BatchNormalization" 14, 5..=5 => 1..=3, batch::build;
    "GroupNormalization" 18, 3..=3 => 1..=1, planes::build_group;
    "Hardmax" 1, 1..=1 => 1..=1, |setup| shares::build(setup, Shares::Hardmax);
    "InstanceNormalization" 1, 3..=3 => 1..=1, planes::build_instance;
    "LRN" 1, 1..=1 => 1..=1, local::build;
    "LayerNormalization" 17, 2..=3 => 1..=3, layer::build;
    "LogSoftmax" 1, 1..=1 => 1..=1, |setup| shares::build(setup, Shares::LogSoftmax);
    "LpNormalization" 1, 1..=1 => 1..=1, length::build;
    "MeanVarianceNormalization" 9, 1..=1 => 1..=1, variance::build;
    "RMSNormalization" 23, 2..=2 => 1..=1, layer::build_root_mean_square;
    "Softmax" 1, 1..=1 => 1..=1, |setup| shares::build(setup, Shares::Softmax);
};
