//! Which layout is quickest, found out by running them.
//!
//! It is decided for one row and for many, on the first trees of an ensemble: building every layout for all of it would
//! take longer than what is won. Whatever is chosen, scores are the same.

use std::time::Duration;

use crate::clock::processor_time;
use crate::jit::CodeSource;
use crate::layout::branches::Branches;
use crate::layout::masks::Masks;
use crate::layout::walk::bytes::WalkBytes;
use crate::layout::walk::keys::Walk;
use crate::layout::{BLOCK, Layout, LayoutKind, Rows, STRIP};
use crate::lower::FlatTree;
use crate::number::Key;
use crate::{CompileError, CompileLimits};

/// How the layout is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selection {
    /// Those that can be built are run for about this time, all of them together, and the quickest are taken.
    Measured(Duration),
    /// By rules, the same on each machine with the same features: masks, with the widest vectors that there are; if they
    /// cannot be, walking.
    Rules,
    /// This one.
    Only(LayoutKind),
}

impl Default for Selection {
    /// 20 ms: measuring longer changes the choice only between layouts that are nearly as quick as each other.
    fn default() -> Self {
        Self::Measured(Duration::from_millis(20))
    }
}

/// Trees that are measured.
const SAMPLE_TREES: usize = 2 * STRIP;
/// Nodes of them, for what compiles each: some milliseconds' worth.
const SAMPLE_CODE_NODES: usize = 1000;
/// Rows that are measured with. The predictor of branches learns 128 of them by heart, and what branches looks ten times as
/// quick as it is.
const SAMPLE_ROWS: usize = 1024;
/// How much quicker code has to be on a sample to be compiled in full: it gets slower as it gets larger.
const CODE_ADVANTAGE: f64 = 0.5;
/// Nodes beyond which code is not tried: it takes 30 bytes for each, and would be fetched from beyond the second-level cache
/// for each row.
const CODE_NODES: usize = 20_000;

/// What came out for a layout.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    pub layout: LayoutKind,
    pub outcome: Outcome,
}

/// See [`Candidate`].
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// Nanoseconds for each tree and row, for a row by itself and for one of many.
    Measured { one: f64, many: f64 },
    /// Why it cannot be built.
    Refused(String),
}

/// What is to be built, and why.
#[derive(Debug)]
pub(crate) struct Choice {
    /// From the best to the last resort.
    pub(crate) one: Vec<LayoutKind>,
    pub(crate) many: Vec<LayoutKind>,
    pub(crate) candidates: Vec<Candidate>,
}

/// Builds a layout of trees.
///
/// # Errors
/// It cannot be built for them, or on this machine.
pub(crate) fn build<K: Key>(
    kind: LayoutKind,
    trees: &[FlatTree<K>],
    columns: usize,
    limits: &CompileLimits,
    source: CodeSource<'_>,
) -> Result<Layout<K>, CompileError> {
    Ok(match kind {
        LayoutKind::Walk => Layout::Walk(Walk::new(trees, columns, limits.tables)?),
        LayoutKind::Branches => Layout::Branches(Branches::new(trees, columns, source)?),
        LayoutKind::WalkBytes | LayoutKind::WalkAvx512 => {
            Layout::WalkBytes(WalkBytes::new(kind, trees, columns, limits.tables)?)
        }
        masks => Layout::Masks(Masks::new(masks, trees, columns, limits.tables, source)?),
    })
}

pub(crate) fn choose<K: Key>(
    selection: Selection,
    trees: &[FlatTree<K>],
    columns: usize,
    limits: &CompileLimits,
) -> Choice {
    let time = match selection {
        Selection::Only(kind) => return Choice { one: vec![kind], many: vec![kind], candidates: Vec::new() },
        Selection::Rules => {
            let mut order = LayoutKind::ALL.to_vec();
            order.retain(|kind| *kind != LayoutKind::Branches);
            return Choice { one: order.clone(), many: order, candidates: Vec::new() };
        }
        Selection::Measured(time) => time,
    };
    let keys = sample_rows(trees, columns);
    let share = time / (2 * LayoutKind::ALL.len()) as u32;
    let candidates: Vec<Candidate> = LayoutKind::ALL
        .iter()
        .map(|&layout| {
            let sample = sample(layout, trees);
            let nodes: usize = trees.iter().map(|tree| tree.nodes.len()).sum();
            let built = if layout == LayoutKind::Branches && nodes > CODE_NODES {
                let reason = format!("code for {nodes} nodes would not stay in the cache");
                Err(CompileError::Layout { layout: layout.label(), reason })
            } else {
                build(layout, sample, columns, limits, CodeSource::Generate(limits))
            };
            let outcome = match built {
                Err(error) => Outcome::Refused(error.to_string()),
                Ok(built) => {
                    let per_tree =
                        |rows| measure(&built, &keys, columns, sample.len(), rows, share) / sample.len() as f64;
                    Outcome::Measured { one: per_tree(1), many: per_tree(BLOCK) }
                }
            };
            Candidate { layout, outcome }
        })
        .collect();
    let order = |time: fn(f64, f64) -> f64| {
        let mut order: Vec<(f64, LayoutKind)> = Vec::new();
        for candidate in &candidates {
            if let Outcome::Measured { one, many } = candidate.outcome {
                let whole = sample(candidate.layout, trees).len() == trees.len();
                let handicap =
                    if candidate.layout == LayoutKind::Branches && !whole { 1.0 / CODE_ADVANTAGE } else { 1.0 };
                order.push((time(one, many) * handicap, candidate.layout));
            }
        }
        order.sort_by(|a, b| a.0.total_cmp(&b.0));
        order.into_iter().map(|(_, kind)| kind).collect()
    };
    Choice { one: order(|one, _| one), many: order(|_, many| many), candidates }
}

/// The first trees, as many as a layout is measured with.
fn sample<K>(layout: LayoutKind, trees: &[FlatTree<K>]) -> &[FlatTree<K>] {
    let first = trees.get(..SAMPLE_TREES).unwrap_or(trees);
    if layout != LayoutKind::Branches {
        return first;
    }
    let mut nodes = 0;
    let fitting = first.iter().take_while(|tree| {
        nodes += tree.nodes.len();
        nodes <= SAMPLE_CODE_NODES
    });
    first.get(..fitting.count().max(1)).unwrap_or(first)
}

/// Rows whose keys lie among the cuts, so that nodes say yes and no.
fn sample_rows<K: Key>(trees: &[FlatTree<K>], columns: usize) -> Vec<K> {
    let mut cuts = vec![Vec::new(); columns];
    for node in trees.iter().take(SAMPLE_TREES).flat_map(|tree| &tree.nodes) {
        if let Some(cuts) = cuts.get_mut(node.column as usize) {
            cuts.push(node.cut);
        }
    }
    // Marsaglia's xorshift: any sequence without a pattern does, and it is the same each time.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 16) as usize
    };
    let mut keys = Vec::with_capacity(SAMPLE_ROWS * columns);
    for _ in 0..SAMPLE_ROWS {
        for cuts in &cuts {
            let cut = cuts.get(random() % cuts.len().max(1)).copied().unwrap_or_default();
            keys.push(if random() % 2 == 0 { cut } else { cut.after() });
        }
    }
    keys
}

/// Nanoseconds for a row, in batches of so many: those of the quickest of the passes over all rows for which there is
/// `time`, and of one at least. In processor time: by the clock on the wall, on a machine with other work, one load of a
/// hundred took a layout that is slower by half or more (2026-12).
fn measure<K: Key>(layout: &Layout<K>, keys: &[K], columns: usize, trees: usize, batch: usize, time: Duration) -> f64 {
    let row_bytes = layout.row_bytes();
    let mut bytes = vec![0; batch * row_bytes];
    let mut leaves = vec![0; batch * STRIP];
    let (mut best, began) = (Duration::MAX, processor_time());
    while best == Duration::MAX || processor_time().saturating_sub(began) + best < time {
        let start = processor_time();
        for first in (0..SAMPLE_ROWS).step_by(batch) {
            let keys = keys.get(first * columns..(first + batch) * columns).unwrap_or_default();
            for row in 0..batch {
                let keys = keys.get(row * columns..(row + 1) * columns).unwrap_or_default();
                if let Some(bytes) = bytes.get_mut(row * row_bytes..(row + 1) * row_bytes) {
                    layout.prepare(keys, bytes);
                }
            }
            for strip in 0..trees.div_ceil(STRIP) {
                layout.leaves(strip, Rows { keys, bytes: &bytes, count: batch }, &mut leaves);
                std::hint::black_box(&mut leaves);
            }
        }
        best = best.min(processor_time().saturating_sub(start));
    }
    best.as_secs_f64() * 1e9 / SAMPLE_ROWS as f64
}
