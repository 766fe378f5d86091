//! From keys to bytes: a key becomes the number of cuts of its column that are smaller.
//!
//! A byte compares to the rank of a cut as the key does to the cut, and a vector holds four times as many of them. A column
//! with more cuts than a byte can count has several bytes.

use std::collections::BTreeSet;

use crate::lower::FlatTree;
use crate::number::Key;

/// Most cuts that a byte counts.
const CUTS: usize = 255;
/// Cuts that are compared at once, and of which there are as many groups.
const WIDTH: usize = 16;

/// Bytes are stored so that they compare as signed numbers, which is all that SSE and AVX2 can do.
pub(super) const BIAS: u8 = 0x80;

/// The cuts of all columns.
#[derive(Debug)]
pub(super) struct Ranks<K> {
    parts: Vec<Part<K>>,
    groups: Vec<[K; WIDTH]>,
    /// Of each column, its first part, and its cuts in order.
    columns: Vec<(usize, Vec<K>)>,
}

/// What a byte counts.
#[derive(Debug)]
struct Part<K> {
    column: u32,
    /// Where its groups of cuts begin.
    groups: u32,
    /// The last cut of each group.
    lasts: [K; WIDTH],
}

impl<K: Key> Ranks<K> {
    pub(super) fn new(trees: &[FlatTree<K>], columns: usize) -> Self {
        let mut cuts = vec![BTreeSet::new(); columns];
        for node in trees.iter().flat_map(|tree| &tree.nodes) {
            if let Some(cuts) = cuts.get_mut(node.column as usize) {
                cuts.insert(node.cut);
            }
        }
        let mut ranks = Self { parts: Vec::new(), groups: Vec::new(), columns: Vec::new() };
        for (column, cuts) in cuts.into_iter().enumerate() {
            let cuts: Vec<K> = cuts.into_iter().collect();
            let first = ranks.parts.len();
            for part in cuts.chunks(CUTS) {
                let groups = ranks.groups.len() as u32;
                let mut lasts = [K::HIGHEST; WIDTH];
                for (last, cuts) in lasts.iter_mut().zip(part.chunks(WIDTH)) {
                    // No key is larger than what fills the rest.
                    let mut group = [K::HIGHEST; WIDTH];
                    group.iter_mut().zip(cuts).for_each(|(cut, from)| *cut = *from);
                    *last = group.last().copied().unwrap_or(K::HIGHEST);
                    ranks.groups.push(group);
                }
                if part.len().is_multiple_of(WIDTH) {
                    // For keys beyond the last cut of the last group.
                    ranks.groups.push([K::HIGHEST; WIDTH]);
                }
                ranks.parts.push(Part { column: column as u32, groups, lasts });
            }
            ranks.columns.push((first, cuts));
        }
        ranks
    }

    /// How many bytes a row has.
    pub(super) fn len(&self) -> usize {
        self.parts.len()
    }

    pub(super) fn bytes(&self) -> usize {
        size_of_val(self.parts.as_slice()) + size_of_val(self.groups.as_slice())
    }

    /// The byte that stands for a cut, and the rank that the cut has there.
    pub(super) fn place(&self, column: u32, cut: K) -> Option<(usize, u8)> {
        let (first, cuts) = self.columns.get(column as usize)?;
        let rank = cuts.binary_search(&cut).ok()?;
        Some((first + rank / CUTS, (rank % CUTS) as u8))
    }

    /// Forgets what only [`place`](Self::place) needs.
    pub(super) fn forget_cuts(&mut self) {
        self.columns = Vec::new();
    }

    /// The bytes of a row.
    #[inline(always)]
    pub(super) fn fill(&self, keys: &[K], bytes: &mut [u8]) {
        for (byte, part) in bytes.iter_mut().zip(&self.parts) {
            let key = keys.get(part.column as usize).copied().unwrap_or(K::HIGHEST);
            // At most 15, as a part has no 256 cuts.
            let group = count_below(key, &part.lasts);
            let cuts = self.groups.get(part.groups as usize + group);
            let rank = group * WIDTH + cuts.map_or(0, |cuts| count_below(key, cuts));
            *byte = rank as u8 ^ BIAS;
        }
    }
}

#[inline(always)]
fn count_below<K: Key>(key: K, cuts: &[K; WIDTH]) -> usize {
    cuts.iter().map(|cut| usize::from(*cut < key)).sum()
}
