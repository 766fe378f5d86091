//! Masks with AVX2: 32 nodes at a time.
#![expect(unsafe_code, reason = "vectors are loaded by address, and instructions may not be there")]

use std::arch::x86_64::*;

use super::table::{BlockHead, Table};
use crate::layout::STRIP;

/// Whether the processor and the operating system have what is used here: since Haswell (2013) and Zen (2017).
pub(super) fn is_supported() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("bmi1")
}

/// The leaves of a row in the trees of a strip. `row` has 16 bytes times a power of two, up to 256.
#[inline]
pub(super) fn strip(table: &Table, strip: usize, row: &[u8], firsts: &[u32; STRIP], out: &mut [u32; STRIP]) {
    debug_assert_eq!(table.shape.vector, 32);
    let (blocks, start) = (table.blocks(strip), table.start());
    // SAFETY: the table has a shape for these vectors, all groups of its blocks are there, the row has at least as many
    // bytes as are looked at, and a table for these instructions is only made if `is_supported` says so.
    unsafe {
        match (table.shape.bits, row.len()) {
            (16, 16) => strip_of::<16, 1>(start, blocks, row, firsts, out),
            (16, 32) => strip_of::<16, 2>(start, blocks, row, firsts, out),
            (16, 64) => strip_of::<16, 4>(start, blocks, row, firsts, out),
            (16, 128) => strip_of::<16, 8>(start, blocks, row, firsts, out),
            (16, _) => strip_of::<16, 16>(start, blocks, row, firsts, out),
            (32, 16) => strip_of::<32, 1>(start, blocks, row, firsts, out),
            (32, 32) => strip_of::<32, 2>(start, blocks, row, firsts, out),
            (32, 64) => strip_of::<32, 4>(start, blocks, row, firsts, out),
            (32, 128) => strip_of::<32, 8>(start, blocks, row, firsts, out),
            (32, _) => strip_of::<32, 16>(start, blocks, row, firsts, out),
            (_, 16) => strip_of::<64, 1>(start, blocks, row, firsts, out),
            (_, 32) => strip_of::<64, 2>(start, blocks, row, firsts, out),
            (_, 64) => strip_of::<64, 4>(start, blocks, row, firsts, out),
            (_, 128) => strip_of::<64, 8>(start, blocks, row, firsts, out),
            (_, _) => strip_of::<64, 16>(start, blocks, row, firsts, out),
        }
    }
}

/// Which of the 32 tests of a group say yes: all bits of their bytes.
///
/// # Safety
/// There are 64 bytes at `group`, at a multiple of 32.
#[target_feature(enable = "avx2")]
#[inline]
unsafe fn answers<const PIECES: usize>(row: &[__m256i; PIECES], group: *const u8) -> __m256i {
    let group = group.cast::<__m256i>();
    // SAFETY: there are so many bytes.
    let (columns, bounds) = unsafe { (_mm256_load_si256(group), _mm256_load_si256(group.add(1))) };
    let mut bytes = _mm256_setzero_si256();
    for (index, piece) in row.iter().enumerate() {
        // A shuffle looks at four bits, and gives 0 if the highest is set: so it is set where the column is in another piece.
        let own = match (PIECES, index) {
            (1 | 2, 0) => columns,
            (2, _) => _mm256_xor_si256(columns, _mm256_set1_epi8(-0x80)),
            (_, _) => {
                let own = _mm256_xor_si256(columns, _mm256_set1_epi8((index * 16) as i8));
                _mm256_adds_epu8(own, _mm256_set1_epi8(0x70))
            }
        };
        bytes = _mm256_or_si256(bytes, _mm256_shuffle_epi8(*piece, own));
    }
    _mm256_cmpgt_epi8(bounds, bytes)
}

/// # Safety
/// All groups of the blocks lie behind `start`, and have masks of `BITS` bits. `row` has 16 bytes times `PIECES`.
#[target_feature(enable = "avx2,bmi1")]
unsafe fn strip_of<const BITS: usize, const PIECES: usize>(
    start: *const u8,
    blocks: &[BlockHead],
    row: &[u8],
    firsts: &[u32; STRIP],
    out: &mut [u32; STRIP],
) {
    let trees = 256 / BITS;
    // SAFETY: as for this function. Each group has two vectors, and then `BITS / 8` of masks; as many as the bytes of a
    // vector make when they are widened to masks.
    unsafe {
        let mut pieces = [_mm256_setzero_si256(); PIECES];
        for (piece, bytes) in pieces.iter_mut().zip(row.as_chunks::<16>().0) {
            *piece = _mm256_broadcastsi128_si256(_mm_loadu_si128(bytes.as_ptr().cast()));
        }
        for ((block, firsts), out) in blocks.iter().zip(firsts.chunks(trees)).zip(out.chunks_mut(trees)) {
            let mut left = [_mm256_set1_epi8(-1); 2];
            let mut group = start.add(block.offset as usize);
            for _ in 0..block.groups {
                let yes = answers(&pieces, group);
                let masks = group.add(64).cast::<__m256i>();
                // What is said yes to, or is in the mask, stays.
                let struck = |left, yes, slot: usize| {
                    _mm256_and_si256(left, _mm256_or_si256(yes, _mm256_load_si256(masks.add(slot))))
                };
                let (low, high) = (_mm256_unpacklo_epi8(yes, yes), _mm256_unpackhi_epi8(yes, yes));
                let [even, odd] = left;
                left = match BITS {
                    16 => [struck(even, low, 0), struck(odd, high, 1)],
                    32 => {
                        let even = struck(even, _mm256_unpacklo_epi16(low, low), 0);
                        let odd = struck(odd, _mm256_unpackhi_epi16(low, low), 1);
                        let even = struck(even, _mm256_unpacklo_epi16(high, high), 2);
                        [even, struck(odd, _mm256_unpackhi_epi16(high, high), 3)]
                    }
                    _ => {
                        let mut left = left;
                        let quarters = [
                            _mm256_unpacklo_epi16(low, low),
                            _mm256_unpackhi_epi16(low, low),
                            _mm256_unpacklo_epi16(high, high),
                            _mm256_unpackhi_epi16(high, high),
                        ];
                        for (index, quarter) in quarters.into_iter().enumerate() {
                            let [even, odd] = left;
                            let even = struck(even, _mm256_unpacklo_epi32(quarter, quarter), index * 2);
                            left = [even, struck(odd, _mm256_unpackhi_epi32(quarter, quarter), index * 2 + 1)];
                        }
                        left
                    }
                };
                group = group.add(32 * (2 + BITS / 8));
            }
            let [even, odd] = left;
            let mut masks = [0u64; 4];
            _mm256_storeu_si256(masks.as_mut_ptr().cast(), _mm256_and_si256(even, odd));
            for (tree, (out, first)) in out.iter_mut().zip(firsts).enumerate() {
                let word = masks.get(tree * BITS / 64).copied().unwrap_or_default();
                *out = first + (word >> (tree * BITS % 64)).trailing_zeros();
            }
        }
    }
}
