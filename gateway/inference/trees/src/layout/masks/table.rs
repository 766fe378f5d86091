//! The table of tests and masks, in the order in which a vector of some width goes through it.

use super::BIAS;
use crate::layout::rank::Ranks;
use crate::lower::FlatTree;
use crate::number::Key;

/// Widths that vectors, masks and rows may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    /// Bytes of a vector: so many nodes are tested at once.
    pub(super) vector: usize,
    /// Bytes of a row.
    pub(super) row: usize,
    /// Bits of a mask: so many leaves a tree may have. 16, 32 or 64.
    pub(super) bits: usize,
}

impl Shape {
    /// Trees whose masks fill a vector.
    pub(super) fn trees(self) -> usize {
        self.vector * 8 / self.bits
    }

    /// Nodes of each of these trees that are tested at once.
    pub(super) fn slots(self) -> usize {
        self.bits / 8
    }

    /// How a byte of the row is named. Short vectors look up pieces of 16 bytes, by four bits, and give 0 if the highest bit
    /// is set: with two pieces it tells them apart.
    fn name(self, byte: u8) -> u8 {
        if self.vector < 64 && self.row <= 32 && byte >= 16 { 0x80 | (byte - 16) } else { byte }
    }

    /// Tree and slot of a byte of a vector. AVX2 and SSE widen bytes to masks by doubling them within each 16 bytes, and what
    /// comes out of that has to be in the order of trees. AVX-512 has no need to.
    fn place(self, byte: usize) -> (usize, usize) {
        let lane = if self.vector == 64 { 64 } else { 16 };
        let trees = lane * 8 / self.bits;
        (byte / lane * trees + byte % lane % trees, byte % lane / trees)
    }
}

/// 64 bytes of the table, on a line of the cache.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Line(pub(super) [u8; 64]);

/// Trees that lie side by side in vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub(super) struct BlockHead {
    /// Where its groups begin, in bytes.
    pub(super) offset: u32,
    /// How many groups there are.
    pub(super) groups: u32,
}

/// Tests and masks of all trees.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) shape: Shape,
    lines: Vec<Line>,
    blocks: Vec<BlockHead>,
}

/// A test of a tree: it strikes out the leaves that are not in `mask` unless the byte is below `bound`.
#[derive(Debug, Clone, Copy)]
struct Test {
    byte: u8,
    bound: u8,
    mask: u64,
}

/// Strikes out nothing.
const IDLE: Test = Test { byte: 0, bound: 0xff, mask: u64::MAX };

impl Table {
    /// `None` if it does not fit: a tree with too many leaves, more bytes than a row can have, or more than `limit` bytes.
    pub(super) fn new<K: Key>(trees: &[FlatTree<K>], ranks: &Ranks<K>, shape: Shape, limit: usize) -> Option<Self> {
        let (mut bytes, mut blocks) = (Vec::new(), Vec::new());
        for trees in trees.chunks(shape.trees()) {
            let tests: Option<Vec<Vec<Test>>> = trees.iter().map(|tree| tests(tree, ranks, shape.bits)).collect();
            let tests = tests?;
            let slots = tests.iter().map(Vec::len).max().unwrap_or_default();
            // At least one, so that loops need not look whether there are any.
            let groups = slots.div_ceil(shape.slots()).max(1);
            blocks.push(BlockHead { offset: u32::try_from(bytes.len()).ok()?, groups: groups as u32 });
            for group in 0..groups {
                let at = |tree: usize, slot: usize| {
                    let tests = tests.get(tree).map(Vec::as_slice).unwrap_or_default();
                    tests.get(group * shape.slots() + slot).copied().unwrap_or(IDLE)
                };
                let order = || (0..shape.vector).map(|byte| shape.place(byte)).map(|(tree, slot)| at(tree, slot));
                bytes.extend(order().map(|test| shape.name(test.byte)));
                bytes.extend(order().map(|test| test.bound ^ BIAS));
                for slot in 0..shape.slots() {
                    for tree in 0..shape.trees() {
                        let mask = at(tree, slot).mask.to_le_bytes();
                        bytes.extend(mask.into_iter().take(shape.bits / 8));
                    }
                }
            }
            if bytes.len() > limit {
                return None;
            }
        }
        let lines = bytes.chunks(64).map(|from| {
            let mut line = Line([0; 64]);
            line.0.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
            line
        });
        Some(Self { shape, lines: lines.collect(), blocks })
    }

    /// Blocks of a strip of trees.
    pub(super) fn blocks(&self, strip: usize) -> &[BlockHead] {
        self.blocks.chunks(crate::layout::STRIP / self.shape.trees()).nth(strip).unwrap_or_default()
    }

    /// Where groups begin, by the offsets of blocks. All groups of all blocks lie there.
    pub(super) fn start(&self) -> *const u8 {
        self.lines.as_ptr().cast()
    }

    pub(super) fn bytes(&self) -> usize {
        size_of_val(self.lines.as_slice()) + size_of_val(self.blocks.as_slice())
    }
}

/// The tests of a tree; equal ones are one. `None` if masks or bytes do not suffice for it.
fn tests<K: Key>(tree: &FlatTree<K>, ranks: &Ranks<K>, bits: usize) -> Option<Vec<Test>> {
    if tree.leaves as usize > bits {
        return None;
    }
    let mut tests: Vec<Test> = Vec::with_capacity(tree.nodes.len());
    for node in &tree.nodes {
        let (byte, cut) = ranks.place(node.column, node.cut)?;
        // Ranks are below 255.
        let (byte, bound) = (u8::try_from(byte).ok()?, cut + 1);
        // The leaves to the left, which are less than 64.
        let left = (1u64 << node.split) - (1u64 << node.begin);
        match tests.iter_mut().find(|test| test.byte == byte && test.bound == bound) {
            Some(test) => test.mask &= !left,
            None => tests.push(Test { byte, bound, mask: !left }),
        }
    }
    Some(tests)
}
