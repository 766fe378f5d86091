//! Support vector machines.

pub(super) mod classifier;
mod kernel;
mod probability;
pub(super) mod regressor;

/// Numbers of a machine: support vectors times features, and the rest.
const SIZE_LIMIT: usize = 1 << 28;
