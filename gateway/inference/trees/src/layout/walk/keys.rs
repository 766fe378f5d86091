//! Walking on keys: for every ensemble, however large trees are and however many cuts there are.

use super::{Root, Step, Steps, count};
use crate::CompileError;
use crate::layout::{BLOCK, Rows, STRIP};
use crate::lower::FlatTree;
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
    roots: Vec<Root>,
}

#[derive(Debug)]
enum Nodes<K> {
    /// Trees and columns can be counted in 16 bits: a node of f32 is 8 bytes.
    Narrow(Vec<Narrow<K>>),
    Wide(Vec<Step<K>>),
}

/// A [`Step`] in less bytes.
#[derive(Debug, Clone, Copy)]
struct Narrow<K> {
    cut: K,
    next: u16,
    column: u16,
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

impl<K: Key> Node<K> for Step<K> {
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
        let most = trees.iter().map(|tree| tree.nodes.len() * 2 + 1).max().unwrap_or_default();
        let narrow = most <= 1 << 16 && columns <= 1 << 16;
        let node = if narrow { size_of::<Narrow<K>>() } else { size_of::<Step<K>>() };
        let bytes = count(trees).saturating_mul(node + size_of::<u32>());
        if bytes > limit || u32::try_from(count(trees)).is_err() {
            return Err(CompileError::Tables { bytes, limit });
        }
        let Steps { nodes, leaves, roots } = Steps::new(trees);
        let nodes = if narrow {
            let narrow = |node: Step<K>| Narrow { cut: node.cut, next: node.next as u16, column: node.column as u16 };
            Nodes::Narrow(nodes.into_iter().map(narrow).collect())
        } else {
            Nodes::Wide(nodes)
        };
        Ok(Self { columns, nodes, leaves, roots })
    }

    pub(crate) fn bytes(&self) -> usize {
        let nodes = match &self.nodes {
            Nodes::Narrow(nodes) => size_of_val(nodes.as_slice()),
            Nodes::Wide(nodes) => size_of_val(nodes.as_slice()),
        };
        nodes + size_of_val(self.leaves.as_slice()) + size_of_val(self.roots.as_slice())
    }

    pub(crate) fn leaves(&self, strip: usize, rows: Rows<'_, K>, leaves: &mut [u32]) {
        let roots = self.roots.chunks(STRIP).nth(strip).unwrap_or_default();
        match &self.nodes {
            _ if self.columns == 0 => {
                // All trees are leaves.
                for out in leaves.chunks_mut(STRIP).take(rows.count) {
                    out.iter_mut().zip(roots).for_each(|(out, root)| *out = self.leaf(root.node));
                }
            }
            Nodes::Narrow(nodes) => self.walk(nodes, roots, rows, leaves),
            Nodes::Wide(nodes) => self.walk(nodes, roots, rows, leaves),
        }
    }

    fn leaf(&self, node: u32) -> u32 {
        self.leaves.get(node as usize).copied().unwrap_or_default()
    }

    fn walk<N: Node<K>>(&self, nodes: &[N], roots: &[Root], rows: Rows<'_, K>, leaves: &mut [u32]) {
        debug_assert!(rows.count <= BLOCK, "{} rows", rows.count);
        let many = rows.count / LANES * LANES;
        // Many rows in the same tree.
        let blocks = rows.keys.chunks_exact(self.columns * LANES).zip(leaves.chunks_exact_mut(STRIP * LANES));
        for (keys, out) in blocks.take(many / LANES) {
            for (at, root) in roots.iter().enumerate() {
                let ends = down(nodes, [root.node; LANES], root.depth, keys, self.columns, self.columns);
                for (out, end) in out.chunks_exact_mut(STRIP).zip(ends) {
                    if let Some(out) = out.get_mut(at) {
                        *out = self.leaf(end);
                    }
                }
            }
        }
        // The rest one by one, each in many trees.
        let rest = rows.keys.chunks_exact(self.columns).zip(leaves.chunks_exact_mut(STRIP)).take(rows.count).skip(many);
        for (keys, out) in rest {
            for (roots, out) in roots.chunks(LANES).zip(out.chunks_mut(LANES)) {
                let mut lanes = [roots.first().copied().unwrap_or_default().node; LANES];
                lanes.iter_mut().zip(roots).for_each(|(lane, root)| *lane = root.node);
                let depth = roots.iter().map(|root| root.depth).max().unwrap_or_default();
                let ends = down(nodes, lanes, depth, keys, 0, self.columns);
                out.iter_mut().zip(ends).for_each(|(out, end)| *out = self.leaf(end));
            }
        }
    }
}

/// Walks down from each place, at most `depth` steps. Lane `n` looks at the `columns` keys from `n * step` on.
#[inline(always)]
fn down<K: Key, N: Node<K>>(
    nodes: &[N],
    mut places: [u32; LANES],
    depth: u32,
    keys: &[K],
    step: usize,
    columns: usize,
) -> [u32; LANES] {
    if keys.len() < step * (LANES - 1) + columns {
        return places;
    }
    let mut left = depth;
    while left > 0 {
        let before = places;
        for _ in 0..left.min(STRIDE) {
            for (lane, place) in places.iter_mut().enumerate() {
                #[expect(unsafe_code, reason = "checks would take as long as the rest of a step")]
                // SAFETY: roots and what nodes lead to are nodes, and what they look at is below `columns`, as `Steps` has
                // laid them out and nothing changes them; that there are so many keys for each lane is checked above.
                let (node, key) = unsafe {
                    let node = *nodes.get_unchecked(*place as usize);
                    (node, *keys.get_unchecked(lane * step + node.column()))
                };
                *place += node.next() + u32::from(key > node.cut());
            }
        }
        left = left.saturating_sub(STRIDE);
        if places == before {
            break;
        }
    }
    places
}
