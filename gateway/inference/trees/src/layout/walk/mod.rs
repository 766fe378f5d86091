//! Tables of nodes, walked down without branches.
//!
//! Which way a row goes is as good as random to a processor, and guessing wrong costs as much as twenty instructions. So the
//! way is computed: children lie next to each other, and the answer is added to the place of the first. That takes a
//! dozen cycles of waiting for each node, in which other trees take their step. Leaves lead to themselves, so all can take
//! as many steps as the one that needs most.

#[cfg(target_arch = "x86_64")]
mod avx512;
pub(crate) mod bytes;
pub(crate) mod keys;

use crate::lower::{FlatTree, Next};
use crate::number::Key;

/// A node as both tables are made from it. How far it is to the left child is counted from its own place, so that the place
/// is all that a way has to know; the right child is the one after that. Leaves lead to themselves.
#[derive(Debug, Clone, Copy)]
struct Step<K> {
    cut: K,
    next: u32,
    column: u32,
}

/// Where a tree begins, and how many steps it takes at most.
#[derive(Debug, Clone, Copy, Default)]
struct Root {
    node: u32,
    depth: u32,
}

/// All trees one after the other, each level by level: children lie near each other, and those that most rows come by lie
/// together.
#[derive(Debug)]
struct Steps<K> {
    nodes: Vec<Step<K>>,
    /// For each node that is a leaf, its number over all trees.
    leaves: Vec<u32>,
    roots: Vec<Root>,
}

/// Nodes and leaves of all trees.
fn count<K>(trees: &[FlatTree<K>]) -> usize {
    trees.iter().map(|tree| tree.nodes.len() * 2 + 1).sum()
}

impl<K: Key> Steps<K> {
    fn new(trees: &[FlatTree<K>]) -> Self {
        let count = count(trees);
        let mut steps = Self { nodes: Vec::with_capacity(count), leaves: Vec::with_capacity(count), roots: Vec::new() };
        for tree in trees {
            steps.roots.push(Root { node: steps.nodes.len() as u32, depth: tree.depth });
            steps.lay_out(tree);
        }
        steps
    }

    fn lay_out(&mut self, tree: &FlatTree<K>) {
        let base = self.nodes.len();
        let mut level = vec![if tree.nodes.is_empty() { Next::Leaf(0) } else { Next::Node(0) }];
        // Places that are given away already.
        let mut given = 1;
        while !level.is_empty() {
            let mut below = Vec::new();
            for place in level {
                let own = (self.nodes.len() - base) as u32;
                let node = match place {
                    Next::Node(index) => tree.nodes.get(index as usize),
                    Next::Leaf(_) => None,
                };
                if let Some(node) = node {
                    below.extend([node.left, node.right]);
                    self.nodes.push(Step { cut: node.cut, next: given - own, column: node.column });
                    self.leaves.push(0);
                    given += 2;
                } else {
                    self.nodes.push(Step { cut: K::HIGHEST, next: 0, column: 0 });
                    self.leaves.push(match place {
                        Next::Leaf(leaf) => tree.first_leaf + leaf,
                        Next::Node(_) => 0,
                    });
                }
            }
            level = below;
        }
    }
}
