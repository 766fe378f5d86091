//! Walking on bytes: a node is four bytes, so that large ensembles stay in the cache, and a row of up to 64 fits into one
//! register.

#[cfg(target_arch = "x86_64")]
use super::avx512;
use super::{Root, Steps, count};
use crate::CompileError;
use crate::layout::rank::{ROW_BYTES, Ranks};
use crate::layout::{LayoutKind, Rows, STRIP};
use crate::lower::FlatTree;
use crate::number::Key;

/// Ways that are walked at the same time.
const LANES: usize = 16;
/// Steps between looks at whether all have arrived.
const STRIDE: u32 = 4;

/// An ensemble as tables.
#[derive(Debug)]
pub(crate) struct WalkBytes<K> {
    ranks: Ranks<K>,
    table: Table,
    /// How many bytes a row has: 64, 128 or 256 with AVX-512, or else 256, so that every byte is an index.
    row_bytes: usize,
    avx512: bool,
}

/// Nodes of all trees.
#[derive(Debug)]
pub(super) struct Table {
    nodes: Vec<Node>,
    /// For each node that is a leaf, its number over all trees.
    leaves: Vec<u32>,
    roots: Vec<Root>,
}

/// From the lowest byte: which byte of the row it looks at, the largest that goes left, and, in 16 bits, how far it is to
/// the left child.
#[derive(Debug, Clone, Copy)]
#[repr(transparent)]
pub(super) struct Node(u32);

impl Node {
    fn new(byte: u8, cut: u8, next: u16) -> Self {
        let [low, high] = next.to_le_bytes();
        Self(u32::from_le_bytes([byte, cut, low, high]))
    }
}

impl<K: Key> WalkBytes<K> {
    /// # Errors
    /// [`CompileError::Layout`] if there are too many different tests, a tree is too large or the processor lacks the
    /// instructions; [`CompileError::Tables`] if it takes more than `limit` bytes.
    pub(crate) fn new(
        kind: LayoutKind,
        trees: &[FlatTree<K>],
        columns: usize,
        limit: usize,
    ) -> Result<Self, CompileError> {
        let refuse = |reason: String| CompileError::Layout { layout: kind.label(), reason };
        let avx512 = kind == LayoutKind::WalkAvx512;
        #[cfg(target_arch = "x86_64")]
        let supported = avx512::is_supported();
        #[cfg(not(target_arch = "x86_64"))]
        let supported = false;
        if avx512 && !supported {
            return Err(refuse("the processor has no such instructions".to_owned()));
        }
        let bytes = count(trees).saturating_mul(size_of::<Node>() + size_of::<u32>());
        // Gathering takes signed numbers.
        if bytes > limit || i32::try_from(count(trees)).is_err() {
            return Err(CompileError::Tables { bytes, limit });
        }
        let mut ranks = Ranks::new(trees, columns, 0);
        if ranks.len() > ROW_BYTES {
            let reason = format!("rows would have {} bytes, and nodes can tell {ROW_BYTES}", ranks.len());
            return Err(refuse(reason));
        }
        let Steps { nodes, leaves, roots } = Steps::new(trees);
        let nodes: Option<Vec<Node>> = nodes
            .iter()
            .map(|step| match step.next {
                // No byte is larger, so a leaf leads to itself.
                0 => Some(Node::new(0, 0xff, 0)),
                next => {
                    let (byte, cut) = ranks.place(step.column, step.cut)?;
                    Some(Node::new(u8::try_from(byte).ok()?, cut, u16::try_from(next).ok()?))
                }
            })
            .collect();
        let nodes = nodes.ok_or_else(|| refuse("a tree has more than 65 535 nodes".to_owned()))?;
        ranks.forget_cuts();
        let row_bytes = if avx512 { ranks.len().next_power_of_two().max(64) } else { ROW_BYTES };
        Ok(Self { ranks, table: Table { nodes, leaves, roots }, row_bytes, avx512 })
    }

    pub(crate) fn kind(&self) -> LayoutKind {
        if self.avx512 { LayoutKind::WalkAvx512 } else { LayoutKind::WalkBytes }
    }

    pub(crate) fn bytes(&self) -> usize {
        let Table { nodes, leaves, roots } = &self.table;
        let table = size_of_val(nodes.as_slice()) + size_of_val(leaves.as_slice()) + size_of_val(roots.as_slice());
        table + self.ranks.bytes()
    }

    pub(crate) fn row_bytes(&self) -> usize {
        self.row_bytes
    }

    #[inline]
    pub(crate) fn prepare(&self, keys: &[K], bytes: &mut [u8]) {
        self.ranks.fill(keys, bytes);
    }

    pub(crate) fn leaves(&self, strip: usize, rows: Rows<'_, K>, leaves: &mut [u32]) {
        let (outs, _) = leaves.as_chunks_mut::<STRIP>();
        for (row, out) in rows.bytes.chunks_exact(self.row_bytes).zip(outs).take(rows.count) {
            #[cfg(target_arch = "x86_64")]
            if self.avx512 {
                avx512::strip(&self.table, strip, row, out);
                continue;
            }
            if let Ok(row) = row.try_into() {
                self.table.strip(strip, row, out);
            }
        }
    }
}

impl Table {
    /// The roots of a strip.
    pub(super) fn roots(&self, strip: usize) -> &[Root] {
        self.roots.chunks(STRIP).nth(strip).unwrap_or_default()
    }

    /// All nodes. What they lead to is among them.
    pub(super) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// For each node that is a leaf, its number over all trees.
    pub(super) fn leaves(&self) -> &[u32] {
        &self.leaves
    }

    /// The leaves of a row in the trees of a strip.
    fn strip(&self, strip: usize, row: &[u8; ROW_BYTES], out: &mut [u32; STRIP]) {
        for (roots, out) in self.roots(strip).chunks(LANES).zip(out.chunks_mut(LANES)) {
            let mut lanes = [roots.first().copied().unwrap_or_default().node; LANES];
            lanes.iter_mut().zip(roots).for_each(|(lane, root)| *lane = root.node);
            let depth = roots.iter().map(|root| root.depth).max().unwrap_or_default();
            let ends = down(&self.nodes, lanes, depth, row);
            for (out, end) in out.iter_mut().zip(ends) {
                *out = self.leaves.get(end as usize).copied().unwrap_or_default();
            }
        }
    }
}

/// Walks down from each place, at most `depth` steps. The places are nodes.
#[inline(always)]
fn down(nodes: &[Node], mut places: [u32; LANES], depth: u32, row: &[u8; ROW_BYTES]) -> [u32; LANES] {
    let mut left = depth;
    while left > 0 {
        let before = places;
        for _ in 0..left.min(STRIDE) {
            for place in &mut places {
                #[expect(unsafe_code, reason = "a check would take as long as half a step")]
                // SAFETY: roots and what nodes lead to are nodes, as `Steps` has laid them out and nothing changes them.
                let Node(node) = unsafe { *nodes.get_unchecked(*place as usize) };
                let [byte, cut, ..] = node.to_le_bytes();
                let key = row.get(usize::from(byte)).copied().unwrap_or_default();
                *place += (node >> 16) + u32::from(cut < key);
            }
        }
        left = left.saturating_sub(STRIDE);
        if places == before {
            break;
        }
    }
    places
}
