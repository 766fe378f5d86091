//! Bit masks of leaves.
//!
//! Every tree has a mask with a bit for each leaf. Every node is tested, whether the row comes by or not; if it says no, the
//! leaves to its left are struck out. What is left has the row's leaf as its first: whoever stands further to the left would
//! have been struck out by the node where the ways part, and no node on the row's way strikes out the row's leaf. (This is
//! QuickScorer: Lucchese et al., SIGIR 2015.)
//!
//! Here it is done with vectors: bytes instead of numbers (see [`rank`](super::rank)), which are put in the order of the nodes by one
//! shuffle and compared 16 to 64 at a time, and the masks of several trees side by side. Nothing branches, so nothing is
//! guessed. The work for a tree grows with nodes times leaves: up to 64 leaves that is less than walking.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod compiled;
mod table;

use compiled::Kernel;
use table::{Shape, Table};

use super::rank::{ROW_BYTES, Ranks};
use super::{LayoutKind, Rows, STRIP};
use crate::CompileError;
use crate::jit::CodeSource;
use crate::lower::FlatTree;
use crate::number::Key;

/// Makes bytes compare as signed numbers.
const BIAS: u8 = 0x80;

/// An ensemble as masks.
#[derive(Debug)]
pub(crate) struct Masks<K> {
    ranks: Ranks<K>,
    table: Table,
    /// Number of the first leaf of each tree, over all trees; filled up to whole strips.
    first_leaves: Vec<[u32; STRIP]>,
    /// How many bytes a row has: 16 times a power of two.
    row_bytes: usize,
    engine: Engine,
}

/// What runs it.
#[derive(Debug)]
enum Engine {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    Compiled(Kernel),
}

impl<K: Key> Masks<K> {
    /// `kind` is one of the three that have masks.
    ///
    /// # Errors
    /// [`CompileError::Layout`] if a tree has too many leaves, there are too many different tests, or the processor cannot
    /// run it; else as generating code does.
    pub(crate) fn new(
        kind: LayoutKind,
        trees: &[FlatTree<K>],
        columns: usize,
        limit: usize,
        source: CodeSource<'_>,
    ) -> Result<Self, CompileError> {
        let refuse = |reason: String| CompileError::Layout { layout: kind.label(), reason };
        let vector = match kind {
            #[cfg(target_arch = "x86_64")]
            LayoutKind::MasksAvx512 if avx512::is_supported() => 64,
            #[cfg(target_arch = "x86_64")]
            LayoutKind::MasksAvx2 if avx2::is_supported() => 32,
            LayoutKind::MasksCompiled => 16,
            _ => return Err(refuse("the processor has no such instructions".to_owned())),
        };
        let leaves = trees.iter().map(|tree| tree.leaves).max().unwrap_or_default();
        let bits = match leaves {
            0..=16 => 16,
            17..=32 => 32,
            33..=64 => 64,
            _ => return Err(refuse(format!("a tree has {leaves} leaves, and masks have 64 bits"))),
        };
        let mut ranks = Ranks::new(trees, columns, BIAS);
        if ranks.len() > ROW_BYTES {
            let reason = format!("rows would have {} bytes, and tests can tell {ROW_BYTES}", ranks.len());
            return Err(refuse(reason));
        }
        let least = if vector == 64 { 64 } else { 16 };
        let row_bytes = ranks.len().next_power_of_two().max(least);
        let shape = Shape { vector, row: row_bytes, bits };
        let Some(table) = Table::new(trees, &ranks, shape, limit.min(u32::MAX as usize)) else {
            return Err(CompileError::Tables { bytes: limit.saturating_add(1), limit });
        };
        ranks.forget_cuts();
        let first_leaves = trees.chunks(STRIP).map(|trees| {
            let mut firsts = [0; STRIP];
            firsts.iter_mut().zip(trees).for_each(|(first, tree)| *first = tree.first_leaf);
            firsts
        });
        let engine = match kind {
            #[cfg(target_arch = "x86_64")]
            LayoutKind::MasksAvx512 => Engine::Avx512,
            #[cfg(target_arch = "x86_64")]
            LayoutKind::MasksAvx2 => Engine::Avx2,
            _ => Engine::Compiled(Kernel::new(bits, row_bytes, source)?),
        };
        Ok(Self { first_leaves: first_leaves.collect(), ranks, table, row_bytes, engine })
    }

    pub(crate) fn kind(&self) -> LayoutKind {
        match self.engine {
            #[cfg(target_arch = "x86_64")]
            Engine::Avx512 => LayoutKind::MasksAvx512,
            #[cfg(target_arch = "x86_64")]
            Engine::Avx2 => LayoutKind::MasksAvx2,
            Engine::Compiled(_) => LayoutKind::MasksCompiled,
        }
    }

    /// Its machine code, if it has some of its own.
    pub(crate) fn code(&self) -> Option<&[u8]> {
        match &self.engine {
            Engine::Compiled(kernel) => Some(kernel.code()),
            #[cfg(target_arch = "x86_64")]
            Engine::Avx512 | Engine::Avx2 => None,
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.ranks.bytes()
            + self.table.bytes()
            + size_of_val(self.first_leaves.as_slice())
            + self.code().map_or(0, <[u8]>::len)
    }

    pub(crate) fn row_bytes(&self) -> usize {
        self.row_bytes
    }

    #[inline]
    pub(crate) fn prepare(&self, keys: &[K], bytes: &mut [u8]) {
        self.ranks.fill(keys, bytes);
    }

    #[inline]
    pub(crate) fn leaves(&self, strip: usize, rows: Rows<'_, K>, leaves: &mut [u32]) {
        let Some(firsts) = self.first_leaves.get(strip) else { return };
        let (outs, _) = leaves.as_chunks_mut::<STRIP>();
        for (row, out) in rows.bytes.chunks_exact(self.row_bytes).zip(outs).take(rows.count) {
            match &self.engine {
                #[cfg(target_arch = "x86_64")]
                Engine::Avx512 => avx512::strip(&self.table, strip, row, firsts, out),
                #[cfg(target_arch = "x86_64")]
                Engine::Avx2 => avx2::strip(&self.table, strip, row, firsts, out),
                Engine::Compiled(kernel) => kernel.strip(&self.table, strip, row, firsts, out),
            }
        }
    }
}
