//! How large files may be, and what is in them.

/// Bounds for a model file. What is larger is refused, before it is read or as soon as it shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the file. Default 512 MiB: a thousand trees of 255 leaves are 40 MB as XGBoost's JSON, the longest of these
    /// formats.
    pub bytes: usize,
    /// Objects and arrays within one another. Default 128: XGBoost has 8, a tree of CatBoost that is not symmetric two for
    /// each level, of which it has at most 16.
    pub depth: usize,
    /// Features. Default 65 536: more than anybody computes for a request, and each costs memory by its name alone.
    pub features: usize,
    /// Trees. Default 100 000: ten times the largest ensembles that are trained, and each row visits all of them.
    pub trees: usize,
    /// Nodes and leaves of all trees together, and the numbers in these. Default 20 million: about 3 GB while it is loaded.
    /// This bounds the memory that a file takes: a node is at least two bytes of it.
    pub nodes: usize,
    /// Scores of a row: classes, quantiles, targets. Default 4096.
    pub outputs: usize,
    /// Categories that are known by name, entries of tables of target statistics, and words of 32 categories in splits,
    /// together. Default 16 million: 64 MB of words. A single category with the largest code takes half a million words.
    pub categories: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes: 512 << 20,
            depth: 128,
            features: 65_536,
            trees: 100_000,
            nodes: 20_000_000,
            outputs: 4096,
            categories: 16_000_000,
        }
    }
}

impl Limits {
    /// Those of the ensemble that comes of it.
    pub(crate) fn of_trees(&self) -> witgate_trees::Limits {
        witgate_trees::Limits {
            trees: self.trees,
            nodes: self.nodes,
            features: self.features.saturating_mul(2),
            targets: self.outputs,
            ..witgate_trees::Limits::default()
        }
    }
}
