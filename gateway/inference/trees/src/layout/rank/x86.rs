//! Counting cuts with AVX2 and AVX-512.
#![expect(unsafe_code, reason = "vectors are loaded by address, and instructions may not be there")]

use std::arch::x86_64::*;

use super::Ranks;
use crate::number::Key;

pub(super) fn has_avx512() -> bool {
    is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("popcnt")
}

pub(super) fn has_avx2() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("popcnt")
}

/// The bytes of a row, on a processor that [has AVX-512](has_avx512).
pub(super) fn fill_avx512<K: Key>(ranks: &Ranks<K>, keys: &[K], bytes: &mut [u8]) {
    #[target_feature(enable = "avx512f,popcnt")]
    fn wide<K: Key>(ranks: &Ranks<K>, keys: &[K], bytes: &mut [u8]) {
        ranks.fill_with(keys, bytes, |key, cuts| {
            let cuts = cuts.as_ptr();
            // SAFETY: there are 16 cuts, of 4 or 8 bytes.
            let load = |index: usize| unsafe { _mm512_loadu_si512(cuts.cast::<__m512i>().add(index)) };
            let below = if size_of::<K>() == 4 {
                _mm512_cmplt_epi32_mask(load(0), _mm512_set1_epi32(key.to_i64() as i32))
            } else {
                let key = _mm512_set1_epi64(key.to_i64());
                let halves = [load(0), load(1)].map(|cuts| _mm512_cmplt_epi64_mask(cuts, key));
                u16::from_le_bytes(halves)
            };
            below.count_ones() as usize
        });
    }
    // SAFETY: the instructions are there.
    unsafe { wide(ranks, keys, bytes) }
}

/// The bytes of a row, on a processor that [has AVX2](has_avx2).
pub(super) fn fill_avx2<K: Key>(ranks: &Ranks<K>, keys: &[K], bytes: &mut [u8]) {
    #[target_feature(enable = "avx2,popcnt")]
    fn wide<K: Key>(ranks: &Ranks<K>, keys: &[K], bytes: &mut [u8]) {
        ranks.fill_with(keys, bytes, |key, cuts| {
            let cuts = cuts.as_ptr();
            // SAFETY: there are 16 cuts, of 4 or 8 bytes.
            let load = |index: usize| unsafe { _mm256_loadu_si256(cuts.cast::<__m256i>().add(index)) };
            // Narrowing packs halves of vectors in turn, which does not matter for counting.
            let below = if size_of::<K>() == 4 {
                let key = _mm256_set1_epi32(key.to_i64() as i32);
                let below = |index| _mm256_cmpgt_epi32(key, load(index));
                _mm256_packs_epi32(below(0), below(1))
            } else {
                let key = _mm256_set1_epi64x(key.to_i64());
                let below = |index| _mm256_cmpgt_epi64(key, load(index));
                let halves = [_mm256_packs_epi32(below(0), below(1)), _mm256_packs_epi32(below(2), below(3))];
                _mm256_packs_epi16(halves[0], halves[1])
            };
            // Two bits for each cut.
            _mm256_movemask_epi8(below).count_ones() as usize / 2
        });
    }
    // SAFETY: the instructions are there.
    unsafe { wide(ranks, keys, bytes) }
}
