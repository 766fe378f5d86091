//! Tables of nodes, walked down without branches.
//!
//! Which way a row goes is as good as random to a processor, and guessing wrong costs as much as twenty instructions. So the
//! way is computed: children lie next to each other, and the answer is added to the index of the first. That takes a
//! dozen cycles of waiting for each node, in which fifteen other trees (or, for many rows, the same tree for fifteen other
//! rows) take their step. Leaves lead to themselves, so all can take as many steps as the deepest.

use super::{BLOCK, Rows, STRIP};
use crate::CompileError;
use crate::lower::{FlatTree, Next};
use crate::number::Key;

/// Ways that are walked at the same time: enough to fill the time of waiting, few enough for registers and first-level
/// cache. Measured: 4 take twice as long, 8 a third longer, 32 as long.
const LANES: usize = 16;
/// Steps between looks at whether all have arrived.
const STRIDE: u32 = 4;

/// An ensemble as tables.
#[derive(Debug)]
pub(crate) struct Walk<K> {
    columns: usize,
    nodes: Nodes<K>,
    /// For each node that is a leaf, its number over all trees.
    leaves: Vec<u32>,
    trees: Vec<Root>,
}

/// Where a tree begins, and how many steps it takes at most.
#[derive(Debug, Clone, Copy, Default)]
struct Root {
    node: u32,
    depth: u32,
}

#[derive(Debug)]
enum Nodes<K> {
    /// Trees and columns can be counted in 16 bits: a node of f32 is 8 bytes.
    Narrow(Vec<Narrow<K>>),
    Wide(Vec<Wide<K>>),
}

/// A node. Which one is next, is counted from the root of its tree.
#[derive(Debug, Clone, Copy)]
struct Narrow<K> {
    cut: K,
    next: u16,
    column: u16,
}

#[derive(Debug, Clone, Copy)]
struct Wide<K> {
    cut: K,
    next: u32,
    column: u32,
}

trait Node<K>: Copy {
    fn cut(self) -> K;

    fn next(self) -> u32;

    fn column(self) -> usize;
}

impl<K: Key> Node<K> for Narrow<K> {
    #[inline(always)]
    fn cut(self) -> K {
        self.cut
    }

    #[inline(always)]
    fn next(self) -> u32 {
        self.next.into()
    }

    #[inline(always)]
    fn column(self) -> usize {
        self.column.into()
    }
}

impl<K: Key> Node<K> for Wide<K> {
    #[inline(always)]
    fn cut(self) -> K {
        self.cut
    }

    #[inline(always)]
    fn next(self) -> u32 {
        self.next
    }

    #[inline(always)]
    fn column(self) -> usize {
        self.column as usize
    }
}

impl<K: Key> Walk<K> {
    /// # Errors
    /// It takes more memory than `limit` bytes.
    pub(crate) fn new(trees: &[FlatTree<K>], columns: usize, limit: usize) -> Result<Self, CompileError> {
        let sizes = || trees.iter().map(|tree| tree.nodes.len() * 2 + 1);
        let (count, most) = (sizes().sum::<usize>(), sizes().max().unwrap_or_default());
        let narrow = most <= 1 << 16 && columns <= 1 << 16;
        let node = if narrow { size_of::<Narrow<K>>() } else { size_of::<Wide<K>>() };
        let bytes = count.saturating_mul(node + size_of::<u32>());
        if bytes > limit || u32::try_from(count).is_err() {
            return Err(CompileError::Tables { bytes, limit });
        }
        let (mut nodes, mut leaves, mut roots) = (Vec::with_capacity(count), Vec::with_capacity(count), Vec::new());
        for tree in trees {
            roots.push(Root { node: nodes.len() as u32, depth: tree.depth });
            lay_out(tree, &mut nodes, &mut leaves);
        }
        let nodes = if narrow {
            let narrow = |node: Wide<K>| Narrow { cut: node.cut, next: node.next as u16, column: node.column as u16 };
            Nodes::Narrow(nodes.into_iter().map(narrow).collect())
        } else {
            Nodes::Wide(nodes)
        };
        Ok(Self { columns, nodes, leaves, trees: roots })
    }

    pub(crate) fn bytes(&self) -> usize {
        let nodes = match &self.nodes {
            Nodes::Narrow(nodes) => size_of_val(nodes.as_slice()),
            Nodes::Wide(nodes) => size_of_val(nodes.as_slice()),
        };
        nodes + size_of_val(self.leaves.as_slice()) + size_of_val(self.trees.as_slice())
    }

    pub(crate) fn leaves(&self, strip: usize, rows: Rows<'_, K>, leaves: &mut [u32]) {
        let trees = self.trees.chunks(STRIP).nth(strip).unwrap_or_default();
        match &self.nodes {
            Nodes::Narrow(nodes) => self.walk(nodes, trees, rows, leaves),
            Nodes::Wide(nodes) => self.walk(nodes, trees, rows, leaves),
        }
    }

    fn walk<N: Node<K>>(&self, nodes: &[N], trees: &[Root], rows: Rows<'_, K>, leaves: &mut [u32]) {
        let rows_of = |count: usize| rows.keys.chunks_exact(self.columns.max(1)).take(count);
        if self.columns == 0 {
            // All trees are leaves.
            for out in leaves.chunks_mut(STRIP).take(rows.count) {
                for (out, tree) in out.iter_mut().zip(trees) {
                    *out = self.leaves.get(tree.node as usize).copied().unwrap_or_default();
                }
            }
            return;
        }
        let mut start = 0;
        while rows.count - start >= LANES {
            let keys = rows.keys.get(start * self.columns..(start + LANES) * self.columns).unwrap_or_default();
            let out = leaves.get_mut(start * STRIP..(start + LANES) * STRIP).unwrap_or_default();
            for (at, tree) in trees.iter().enumerate() {
                let ends = down(nodes, [*tree; LANES], tree.depth, keys, self.columns, self.columns);
                for (out, end) in out.chunks_exact_mut(STRIP).zip(ends) {
                    if let Some(out) = out.get_mut(at) {
                        *out = self.leaves.get(end as usize).copied().unwrap_or_default();
                    }
                }
            }
            start += LANES;
        }
        debug_assert!(rows.count <= BLOCK, "{} rows", rows.count);
        for (keys, out) in rows_of(rows.count).zip(leaves.chunks_exact_mut(STRIP)).skip(start) {
            for (trees, out) in trees.chunks(LANES).zip(out.chunks_mut(LANES)) {
                let mut lanes = [trees.first().copied().unwrap_or_default(); LANES];
                let depth = trees.iter().map(|tree| tree.depth).max().unwrap_or_default();
                lanes.iter_mut().zip(trees).for_each(|(lane, tree)| *lane = *tree);
                let ends = down(nodes, lanes, depth, keys, 0, self.columns);
                for (out, end) in out.iter_mut().zip(ends) {
                    *out = self.leaves.get(end as usize).copied().unwrap_or_default();
                }
            }
        }
    }
}

/// Walks down from each root, at most `depth` steps. Lane `n` looks at the `columns` keys from `n * step` on.
#[inline]
fn down<K: Key, N: Node<K>>(
    nodes: &[N],
    roots: [Root; LANES],
    depth: u32,
    keys: &[K],
    step: usize,
    columns: usize,
) -> [u32; LANES] {
    let mut places = roots.map(|root| root.node);
    if keys.len() < step * (LANES - 1) + columns {
        return places;
    }
    let mut left = depth;
    while left > 0 {
        let before = places;
        for _ in 0..left.min(STRIDE) {
            for (lane, (place, root)) in places.iter_mut().zip(&roots).enumerate() {
                #[expect(unsafe_code, reason = "checks would take as long as the rest of a step")]
                // SAFETY: roots and what nodes lead to are nodes, and what they look at is below `columns`, as `lay_out` has
                // put them there and nothing changes them; that there are so many keys for each lane is checked above.
                let (node, key) = unsafe {
                    let node = *nodes.get_unchecked(*place as usize);
                    (node, *keys.get_unchecked(lane * step + node.column()))
                };
                *place = root.node + node.next() + u32::from(key > node.cut());
            }
        }
        left = left.saturating_sub(STRIDE);
        if places == before {
            break;
        }
    }
    places
}

/// Appends the nodes of a tree, level by level. Children are counted from the root.
fn lay_out<K: Key>(tree: &FlatTree<K>, nodes: &mut Vec<Wide<K>>, leaves: &mut Vec<u32>) {
    let base = nodes.len();
    let mut level = vec![if tree.nodes.is_empty() { Next::Leaf(0) } else { Next::Node(0) }];
    // Places that are given away already.
    let mut given = 1;
    while !level.is_empty() {
        let mut below = Vec::new();
        for place in level {
            let own = (nodes.len() - base) as u32;
            let node = match place {
                Next::Node(index) => tree.nodes.get(index as usize),
                Next::Leaf(_) => None,
            };
            if let Some(node) = node {
                below.extend([node.left, node.right]);
                nodes.push(Wide { cut: node.cut, next: given, column: node.column });
                leaves.push(0);
                given += 2;
            } else {
                nodes.push(Wide { cut: K::HIGHEST, next: own, column: 0 });
                leaves.push(match place {
                    Next::Leaf(leaf) => tree.first_leaf + leaf,
                    Next::Node(_) => 0,
                });
            }
        }
        level = below;
    }
}
