//! How an ensemble lies in memory, and how the leaves that rows reach are found there.
//!
//! All layouts find the same leaves. Which is quickest depends on the trees and on the processor, so it is measured.

pub(crate) mod branches;
pub(crate) mod masks;
mod rank;
pub(crate) mod walk;

use branches::Branches;
use masks::Masks;
use walk::bytes::WalkBytes;
use walk::keys::Walk;

use crate::number::Key;

/// Trees that are dealt with in one go: their leaves fit into the first-level cache for many rows, and while the weights of
/// one strip are added up, which takes one addition after the other, the processor is already at the next strip.
pub(crate) const STRIP: usize = 64;

/// Rows that are dealt with in one go: each strip of trees is fetched once for all of them.
pub(crate) const BLOCK: usize = 64;

/// Rows as keys, and as bytes if the layout wants them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rows<'a, K> {
    /// `[count, columns]`
    pub(crate) keys: &'a [K],
    /// `[count, layout.row_bytes()]`
    pub(crate) bytes: &'a [u8],
    pub(crate) count: usize,
}

/// An ensemble that lies ready in memory.
#[derive(Debug)]
pub(crate) enum Layout<K: Key> {
    Walk(Walk<K>),
    WalkBytes(WalkBytes<K>),
    Masks(Masks<K>),
    Branches(Branches<K>),
}

impl<K: Key> Layout<K> {
    pub(crate) fn kind(&self) -> LayoutKind {
        match self {
            Self::Walk(_) => LayoutKind::Walk,
            Self::WalkBytes(walk) => walk.kind(),
            Self::Masks(masks) => masks.kind(),
            Self::Branches(_) => LayoutKind::Branches,
        }
    }

    /// Bytes that it takes in memory, machine code included.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Walk(walk) => walk.bytes(),
            Self::WalkBytes(walk) => walk.bytes(),
            Self::Masks(masks) => masks.bytes(),
            Self::Branches(branches) => branches.code().len(),
        }
    }

    /// Its machine code, if it was generated for the ensemble.
    pub(crate) fn code(&self) -> Option<&[u8]> {
        match self {
            Self::Walk(_) | Self::WalkBytes(_) => None,
            Self::Masks(masks) => masks.code(),
            Self::Branches(branches) => Some(branches.code()),
        }
    }

    /// How many bytes a row has besides its keys.
    pub(crate) fn row_bytes(&self) -> usize {
        match self {
            Self::Walk(_) | Self::Branches(_) => 0,
            Self::WalkBytes(walk) => walk.row_bytes(),
            Self::Masks(masks) => masks.row_bytes(),
        }
    }

    /// The bytes of a row.
    #[inline]
    pub(crate) fn prepare(&self, keys: &[K], bytes: &mut [u8]) {
        match self {
            Self::Walk(_) | Self::Branches(_) => {}
            Self::WalkBytes(walk) => walk.prepare(keys, bytes),
            Self::Masks(masks) => masks.prepare(keys, bytes),
        }
    }

    /// The leaves that rows reach in the trees of a strip, by their numbers over all trees. `leaves` is `[count, STRIP]`; of
    /// the last strip, which may have less trees, the rest is left undefined.
    #[inline]
    pub(crate) fn leaves(&self, strip: usize, rows: Rows<'_, K>, leaves: &mut [u32]) {
        match self {
            Self::Walk(walk) => walk.leaves(strip, rows, leaves),
            Self::WalkBytes(walk) => walk.leaves(strip, rows, leaves),
            Self::Masks(masks) => masks.leaves(strip, rows, leaves),
            Self::Branches(branches) => branches.leaves(strip, rows, leaves),
        }
    }
}

/// A layout, with what runs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LayoutKind {
    /// Tables of nodes, walked down without branches in sixteen trees, or for sixteen rows, at a time. For every ensemble.
    Walk,
    /// The same, with numbers replaced by bytes, so that a node is four bytes. For ensembles with up to some ten thousand
    /// different tests.
    WalkBytes,
    /// The same, in 64 trees at a time, with AVX-512.
    WalkAvx512,
    /// Bit masks of leaves, as in QuickScorer: every node is tested, 16 at a time, by machine code that is generated for the
    /// ensemble; those that say no strike out the leaves to their left, and the first leaf that is left is the row's. For
    /// trees with up to 64 leaves.
    MasksCompiled,
    /// The same, 32 nodes at a time, with AVX2.
    MasksAvx2,
    /// The same, 64 nodes at a time, with AVX-512.
    MasksAvx512,
    /// A machine instruction to compare, and one to branch, for each node. For ensembles of a few trees, and for rows
    /// that resemble each other.
    Branches,
}

impl LayoutKind {
    pub const ALL: [Self; 7] = [
        Self::MasksAvx512,
        Self::MasksAvx2,
        Self::MasksCompiled,
        Self::WalkAvx512,
        Self::WalkBytes,
        Self::Walk,
        Self::Branches,
    ];

    /// Its name in messages and in reports.
    pub fn label(self) -> &'static str {
        match self {
            Self::Walk => "walk",
            Self::WalkBytes => "walk (bytes)",
            Self::WalkAvx512 => "walk (AVX-512)",
            Self::MasksCompiled => "masks (compiled)",
            Self::MasksAvx2 => "masks (AVX2)",
            Self::MasksAvx512 => "masks (AVX-512)",
            Self::Branches => "branches",
        }
    }
}
