//! An ensemble in the form that all layouts are made from: every node asks whether the key in a column is at most its cut,
//! and goes left if so.
//!
//! A column is a feature together with what becomes of missing values, or a set: so neither NaN nor sets are heard of
//! any more. Leaves are numbered from left to right, over all trees.

mod columns;
mod sets;

use std::collections::HashMap;

pub(crate) use columns::Columns;
use columns::{ColumnBuilder, Slot};

use crate::ensemble::{Child, Comparison, Missing, Node, Parts, Test, Tree, ZERO};
use crate::number::Key;

/// An ensemble without scores.
#[derive(Debug)]
pub(crate) struct Lowered<K> {
    pub(crate) columns: Columns<K>,
    pub(crate) trees: Vec<FlatTree<K>>,
    /// For each leaf, over all trees, its index in its own tree of the ensemble.
    pub(crate) origins: Vec<u32>,
}

/// A tree.
#[derive(Debug)]
pub(crate) struct FlatTree<K> {
    /// Number of its leftmost leaf, over all trees.
    pub(crate) first_leaf: u32,
    /// How many leaves it has: one more than nodes.
    pub(crate) leaves: u32,
    /// Nodes on its longest way.
    pub(crate) depth: u32,
    /// Each before those below it, and those to its left before those to its right; the first is the root. Empty if the
    /// tree is a leaf.
    pub(crate) nodes: Vec<FlatNode<K>>,
}

/// A node: left if the key in its column is at most its cut.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FlatNode<K> {
    pub(crate) column: u32,
    pub(crate) cut: K,
    pub(crate) left: Next,
    pub(crate) right: Next,
    /// The leaves below it to the left, as numbers in the tree: from the first…
    pub(crate) begin: u32,
    /// … to before this one, which is the first to the right.
    pub(crate) split: u32,
}

/// Index of a node in its tree, or number of a leaf in its tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    Node(u32),
    Leaf(u32),
}

/// Where a node of the ensemble goes when it is turned so that small numbers go left.
struct Turned<K> {
    slot: Slot,
    cut: K,
    left: Child,
    right: Child,
}

impl<K: Key> Lowered<K> {
    pub(crate) fn new(parts: &Parts) -> Self {
        let mut columns = ColumnBuilder::default();
        let mut origins = Vec::new();
        let mut trees: Vec<FlatTree<K>> =
            parts.trees.iter().map(|tree| flatten(tree, &mut columns, &mut origins)).collect();
        let columns = columns.build(|slots| {
            for node in trees.iter_mut().flat_map(|tree| &mut tree.nodes) {
                node.column = slots.column(node.column);
            }
        });
        Self { columns, trees, origins }
    }
}

/// What is left to do, from the last to the first.
enum Step {
    /// Enter a child; it is this child of that node, or the root.
    Enter { child: Child, parent: Option<(u32, bool)>, depth: u32 },
    /// All leaves to the left of a node are numbered.
    Split { node: u32 },
}

fn flatten<K: Key>(tree: &Tree, columns: &mut ColumnBuilder<K>, origins: &mut Vec<u32>) -> FlatTree<K> {
    let first_leaf = origins.len() as u32;
    let (mut nodes, mut leaves, mut deepest) = (Vec::<FlatNode<K>>::with_capacity(tree.nodes.len()), 0, 0);
    let mut steps = vec![Step::Enter { child: tree.root, parent: None, depth: 0 }];
    while let Some(step) = steps.pop() {
        let (child, parent, depth) = match step {
            Step::Enter { child, parent, depth } => (child, parent, depth),
            Step::Split { node } => {
                if let Some(node) = nodes.get_mut(node as usize) {
                    node.split = leaves;
                }
                continue;
            }
        };
        let next = match child {
            Child::Leaf(origin) => {
                origins.push(origin);
                leaves += 1;
                deepest = deepest.max(depth);
                Next::Leaf(leaves - 1)
            }
            Child::Node(index) => {
                // Validation has seen to it that the node is there.
                let Some(node) = tree.nodes.get(index as usize) else { continue };
                let turned = turn(node, columns);
                let at = nodes.len() as u32;
                let leaf = Next::Leaf(0);
                let Slot(column) = turned.slot;
                nodes.push(FlatNode { column, cut: turned.cut, left: leaf, right: leaf, begin: leaves, split: leaves });
                steps.extend([
                    Step::Enter { child: turned.right, parent: Some((at, true)), depth: depth + 1 },
                    Step::Split { node: at },
                    Step::Enter { child: turned.left, parent: Some((at, false)), depth: depth + 1 },
                ]);
                Next::Node(at)
            }
        };
        if let Some((parent, right)) = parent
            && let Some(parent) = nodes.get_mut(parent as usize)
        {
            *(if right { &mut parent.right } else { &mut parent.left }) = next;
        }
    }
    FlatTree { first_leaf, leaves, depth: deepest, nodes }
}

fn turn<K: Key>(node: &Node, columns: &mut ColumnBuilder<K>) -> Turned<K> {
    let zero = matches!(node.missing, Missing::NanOrZero { .. });
    let nan_yes = match node.missing {
        Missing::Nan { yes } | Missing::NanOrZero { yes } => yes,
        Missing::Nothing => matches!(node.test, Test::Compare { comparison: Comparison::Unequal, .. }),
        Missing::NanAsZero => holds_for_zero(&node.test),
    };
    let (yes, no) = (node.yes, node.no);
    let (comparison, threshold) = match &node.test {
        Test::Compare { comparison, threshold } => (*comparison, *threshold),
        Test::Member(members) => {
            let slot = columns.values(node.feature, zero, nan_yes, members);
            return Turned { slot, cut: K::default(), left: yes, right: no };
        }
        Test::Category(words) => {
            let slot = columns.categories(node.feature, zero, nan_yes, words);
            return Turned { slot, cut: K::default(), left: yes, right: no };
        }
    };
    // The keys to the left: of numbers at most as large, or of smaller ones.
    let at_most = K::at_most(threshold);
    let below = at_most.map(|key| if K::exactly(threshold).is_some() { key.before() } else { key });
    // A threshold of NaN: the answer is no for all numbers, which then go to the right, or to the left.
    let (never, always) = (K::LOWEST, K::HIGHEST.before());
    let (cut, yes_left) = match comparison {
        Comparison::AtMost => (at_most.unwrap_or(never), true),
        Comparison::Below => (below.unwrap_or(never), true),
        Comparison::Above => (at_most.unwrap_or(always), false),
        Comparison::AtLeast => (below.unwrap_or(always), false),
        Comparison::Equal | Comparison::Unequal => {
            let equal = comparison == Comparison::Equal;
            let slot = columns.values(node.feature, zero, nan_yes == equal, &[threshold]);
            let (left, right) = if equal { (yes, no) } else { (no, yes) };
            return Turned { slot, cut: K::default(), left, right };
        }
    };
    let slot = columns.number(node.feature, zero, nan_yes == yes_left);
    let (left, right) = if yes_left { (yes, no) } else { (no, yes) };
    Turned { slot, cut, left, right }
}

/// The answer of a test for the number 0.
fn holds_for_zero(test: &Test) -> bool {
    match test {
        Test::Compare { comparison, threshold } => match comparison {
            Comparison::AtMost => 0.0 <= *threshold,
            Comparison::Below => 0.0 < *threshold,
            Comparison::AtLeast => 0.0 >= *threshold,
            Comparison::Above => 0.0 > *threshold,
            Comparison::Equal => *threshold == 0.0,
            Comparison::Unequal => *threshold != 0.0,
        },
        Test::Member(members) => members.contains(&0.0),
        Test::Category(words) => words.first().is_some_and(|word| word & 1 == 1),
    }
}

/// Whether a number is as good as missing to nodes that say so.
fn is_nearly_zero(number: f64) -> bool {
    (-ZERO..=ZERO).contains(&number)
}

/// Numbers what is met for the first time, and finds it again.
#[derive(Debug)]
struct Interner<T>(HashMap<T, u32>);

impl<T> Default for Interner<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T: std::hash::Hash + Eq> Interner<T> {
    /// The number of a thing, and whether it is new.
    fn number(&mut self, thing: T) -> (u32, bool) {
        let next = self.0.len() as u32;
        let number = *self.0.entry(thing).or_insert(next);
        (number, number == next)
    }
}
