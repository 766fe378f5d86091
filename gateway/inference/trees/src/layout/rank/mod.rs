//! From keys to bytes: a key becomes the number of cuts of its column that are smaller.
//!
//! A byte compares to the rank of a cut as the key does to the cut, and a vector holds four times as many of them. A column
//! with more cuts than a byte can count has several bytes.

#[cfg(target_arch = "x86_64")]
mod x86;

use crate::lower::FlatTree;
use crate::number::Key;

/// Most bytes that a row may have: so many can be named by a byte.
pub(super) const ROW_BYTES: usize = 256;
/// Most cuts that a byte counts.
const CUTS: usize = 255;
/// Cuts that are compared at once, and of which there are as many groups.
const WIDTH: usize = 16;

/// The cuts of all columns.
#[derive(Debug)]
pub(super) struct Ranks<K> {
    parts: Vec<Part<K>>,
    groups: Vec<[K; WIDTH]>,
    /// Of each column, its first part, and its cuts in order.
    columns: Vec<(usize, Vec<K>)>,
    /// What bytes are turned by: 0x80 makes their order one of signed numbers, which is all that SSE and AVX2 can compare.
    bias: u8,
    counter: Counter,
}

/// The widest vectors that the processor has for counting.
#[derive(Debug, Clone, Copy)]
enum Counter {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    Any,
}

impl Counter {
    fn widest() -> Self {
        #[cfg(target_arch = "x86_64")]
        if x86::has_avx512() {
            return Self::Avx512;
        } else if x86::has_avx2() {
            return Self::Avx2;
        }
        Self::Any
    }
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
    pub(super) fn new(trees: &[FlatTree<K>], columns: usize, bias: u8) -> Self {
        let mut cuts = vec![Vec::new(); columns];
        for node in trees.iter().flat_map(|tree| &tree.nodes) {
            if let Some(cuts) = cuts.get_mut(node.column as usize) {
                cuts.push(node.cut);
            }
        }
        let counter = Counter::widest();
        let mut ranks = Self { parts: Vec::new(), groups: Vec::new(), columns: Vec::new(), bias, counter };
        for (column, mut cuts) in cuts.into_iter().enumerate() {
            cuts.sort_unstable();
            cuts.dedup();
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
    #[inline]
    pub(super) fn fill(&self, keys: &[K], bytes: &mut [u8]) {
        match self.counter {
            #[cfg(target_arch = "x86_64")]
            Counter::Avx512 => x86::fill_avx512(self, keys, bytes),
            #[cfg(target_arch = "x86_64")]
            Counter::Avx2 => x86::fill_avx2(self, keys, bytes),
            Counter::Any => {
                self.fill_with(keys, bytes, |key, cuts| cuts.iter().map(|cut| usize::from(*cut < key)).sum());
            }
        }
    }

    /// The same, with a way to count how many cuts of a group are smaller than a key.
    #[inline(always)]
    fn fill_with(&self, keys: &[K], bytes: &mut [u8], count_below: impl Fn(K, &[K; WIDTH]) -> usize) {
        for (byte, part) in bytes.iter_mut().zip(&self.parts) {
            let key = keys.get(part.column as usize).copied().unwrap_or(K::HIGHEST);
            // At most 15, as a part has no 256 cuts.
            let group = count_below(key, &part.lasts);
            let cuts = self.groups.get(part.groups as usize + group);
            let rank = group * WIDTH + cuts.map_or(0, |cuts| count_below(key, cuts));
            *byte = rank as u8 ^ self.bias;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lower::{FlatNode, Next};

    /// A tree with these cuts in the first of two columns, and others, below all keys but the lowest, in the second.
    fn trees<K: Key>(cuts: &[K]) -> Vec<FlatTree<K>> {
        let node = |(column, cut)| {
            let (left, right) = (Next::Leaf(0), Next::Leaf(1));
            FlatNode { column, cut, left, right, begin: 0, split: 1 }
        };
        let mut low = K::LOWEST;
        let others = std::iter::repeat_with(|| {
            low = low.after();
            (1, low)
        });
        let nodes = cuts.iter().map(|cut| (0, *cut)).chain(others.take(40)).map(node).collect();
        vec![FlatTree { first_leaf: 0, leaves: 2, depth: 1, nodes }]
    }

    /// That a byte is larger than the rank of a cut if and only if the key is larger than the cut, with each counter.
    fn check<K: Key>(number: fn(i64) -> K) {
        for count in [1, 2, 15, 16, 17, 32, 240, 254, 255, 256, 271, 510, 511, 700] {
            let cuts: Vec<K> = (0..count).map(|cut| number(cut * 3)).collect();
            let mut ranks = Ranks::new(&trees(&cuts), 2, 0);
            let keys = (-2..count * 3 + 2).map(number).chain([K::LOWEST, K::HIGHEST]);
            for key in keys {
                let mut bytes = vec![0; ranks.len()];
                ranks.counter = Counter::Any;
                ranks.fill(&[key, K::HIGHEST], &mut bytes);
                for cut in &cuts {
                    let (byte, rank) = ranks.place(0, *cut).unwrap();
                    assert_eq!(bytes[byte] > rank, key > *cut, "{key:?} of {count}");
                }
                let counters = [
                    #[cfg(target_arch = "x86_64")]
                    x86::has_avx2().then_some(Counter::Avx2),
                    #[cfg(target_arch = "x86_64")]
                    x86::has_avx512().then_some(Counter::Avx512),
                    Some(Counter::Any),
                ];
                for counter in counters.into_iter().flatten() {
                    let mut same = vec![0; ranks.len()];
                    ranks.counter = counter;
                    ranks.fill(&[key, K::HIGHEST], &mut same);
                    assert_eq!(same, bytes, "{counter:?}: {key:?} of {count}");
                }
            }
        }
    }

    #[test]
    fn bytes_are_ordered_as_keys_on_either_side_of_each_cut() {
        check::<i32>(|number| number as i32);
        check::<i64>(|number| number << 40);
    }

    #[test]
    fn the_bias_turns_the_highest_bit() {
        let ranks = Ranks::new(&trees(&[5]), 2, 0x80);
        let mut bytes = [0; 2];
        for (key, byte) in [(5, 0x80), (6, 0x81)] {
            ranks.fill(&[key, i64::LOWEST], &mut bytes);
            assert_eq!(bytes, [byte, 0x80]);
        }
    }
}
