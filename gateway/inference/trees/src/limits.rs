//! How large things may be.

use std::time::Duration;

/// Bounds for an ensemble. What is larger is refused before anything is built from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Trees. Default 100 000: ten times the largest ensembles that are trained, and each row visits all of them.
    pub trees: usize,
    /// Nodes and leaves of all trees together. Default 20 million: about 2 GB while it is loaded.
    pub nodes: usize,
    /// Votes of all leaves, members and words of all sets, and terms of all linear leaves, together. Default 50 million: a
    /// forest for fifty classes has that many with a million leaves.
    pub values: usize,
    /// Nodes on the way from a root to a leaf. Default 4096: trees that are grown without a limit have less than a hundred,
    /// chains of tests for single categories some hundreds.
    pub depth: usize,
    /// Features. Default one million.
    pub features: usize,
    /// Targets. Default 65 536.
    pub targets: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            trees: 100_000,
            nodes: 20_000_000,
            values: 50_000_000,
            depth: 4096,
            features: 1_000_000,
            targets: 65_536,
        }
    }
}

/// Bounds for what is made from an ensemble.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompileLimits {
    /// Bytes of machine code. Default 16 MiB: beyond that code is slower than tables, as it comes from memory each time.
    pub code: usize,
    /// Bytes of tables of a layout. Default 1 GiB: a forest with twenty million nodes has half of that.
    pub tables: usize,
    /// Processor time for generating code. Default 10 s: the largest ensembles whose code is within its bound take less than half
    /// of that.
    pub time: Duration,
}

impl Default for CompileLimits {
    fn default() -> Self {
        Self { code: 16 << 20, tables: 1 << 30, time: Duration::from_secs(10) }
    }
}
