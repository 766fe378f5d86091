//! Masks with AVX-512: 64 nodes at a time.
#![expect(unsafe_code, reason = "vectors are loaded by address, and instructions may not be there")]

use std::arch::x86_64::*;

use super::table::{BlockHead, Table};
use crate::layout::STRIP;

/// Whether the processor and the operating system have what is used here: since Ice Lake (2019) and Zen 4 (2022).
pub(super) fn is_supported() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512cd")
        && is_x86_feature_detected!("avx512vbmi")
}

/// The leaves of a row in the trees of a strip. `row` has 64, 128 or 256 bytes.
#[inline]
pub(super) fn strip(table: &Table, strip: usize, row: &[u8], firsts: &[u32; STRIP], out: &mut [u32; STRIP]) {
    debug_assert_eq!(table.shape.vector, 64);
    let (blocks, start) = (table.blocks(strip), table.start());
    // SAFETY: the table has the shape that the function is for, all groups of its blocks are there, and a table for these
    // instructions is only made if `is_supported` says so.
    unsafe {
        match table.shape.bits {
            16 => strip_16(start, blocks, row, firsts, out),
            32 => strip_32(start, blocks, row, firsts, out),
            _ => strip_64(start, blocks, row, firsts, out),
        }
    }
}

/// A row in registers.
#[derive(Clone, Copy)]
enum Row {
    One(__m512i),
    Two([__m512i; 2]),
    Four([__m512i; 4]),
}

/// # Safety
/// `row` has 64, 128 or 256 bytes.
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
#[inline]
unsafe fn load_row(row: &[u8]) -> Row {
    let start = row.as_ptr().cast::<__m512i>();
    // SAFETY: there are so many bytes.
    unsafe {
        let at = |index: usize| _mm512_loadu_si512(start.add(index));
        match row.len() {
            64 => Row::One(at(0)),
            128 => Row::Two([at(0), at(1)]),
            _ => Row::Four([at(0), at(1), at(2), at(3)]),
        }
    }
}

/// Which of the 64 tests of a group say no.
///
/// # Safety
/// There are 128 bytes at `group`, on a line of the cache.
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
#[inline]
unsafe fn refusals(row: Row, group: *const u8) -> u64 {
    let group = group.cast::<__m512i>();
    // SAFETY: there are so many bytes.
    let (columns, bounds) = unsafe { (_mm512_load_si512(group), _mm512_load_si512(group.add(1))) };
    let bytes = match row {
        Row::One(row) => _mm512_permutexvar_epi8(columns, row),
        Row::Two([low, high]) => _mm512_permutex2var_epi8(low, columns, high),
        Row::Four([a, b, c, d]) => _mm512_mask_blend_epi8(
            _mm512_movepi8_mask(columns),
            _mm512_permutex2var_epi8(a, columns, b),
            _mm512_permutex2var_epi8(c, columns, d),
        ),
    };
    _mm512_cmpge_epi8_mask(bytes, bounds)
}

/// The place of the lowest bit in each of 16 numbers that are not 0.
#[target_feature(enable = "avx512f,avx512cd")]
#[inline]
fn lowest_bits(masks: __m512i) -> __m512i {
    let lowest = _mm512_and_si512(masks, _mm512_sub_epi32(_mm512_setzero_si512(), masks));
    _mm512_sub_epi32(_mm512_set1_epi32(31), _mm512_lzcnt_epi32(lowest))
}

/// # Safety
/// All groups of the blocks lie behind `start`, and have masks of 32 bits. `row` has 64, 128 or 256 bytes.
#[target_feature(enable = "avx512f,avx512bw,avx512cd,avx512vbmi")]
unsafe fn strip_32(start: *const u8, blocks: &[BlockHead], row: &[u8], firsts: &[u32; STRIP], out: &mut [u32; STRIP]) {
    // SAFETY: as for this function. A strip has at most four blocks of 16 trees, and each group has two vectors, and then
    // four of masks.
    unsafe {
        let row = load_row(row);
        for ((block, firsts), out) in blocks.iter().zip(firsts.as_chunks::<16>().0).zip(out.as_chunks_mut::<16>().0) {
            let (mut even, mut odd) = (_mm512_set1_epi32(-1), _mm512_set1_epi32(-1));
            let mut group = start.add(block.offset as usize);
            for _ in 0..block.groups {
                let no = refusals(row, group);
                let masks = group.add(128).cast::<__m512i>();
                even = _mm512_mask_and_epi32(even, no as u16, even, _mm512_load_si512(masks));
                odd = _mm512_mask_and_epi32(odd, (no >> 16) as u16, odd, _mm512_load_si512(masks.add(1)));
                even = _mm512_mask_and_epi32(even, (no >> 32) as u16, even, _mm512_load_si512(masks.add(2)));
                odd = _mm512_mask_and_epi32(odd, (no >> 48) as u16, odd, _mm512_load_si512(masks.add(3)));
                group = group.add(384);
            }
            let leaves = lowest_bits(_mm512_and_si512(even, odd));
            let leaves = _mm512_add_epi32(leaves, _mm512_loadu_si512(firsts.as_ptr().cast()));
            _mm512_storeu_si512(out.as_mut_ptr().cast(), leaves);
        }
    }
}

/// # Safety
/// All groups of the blocks lie behind `start`, and have masks of 64 bits. `row` has 64, 128 or 256 bytes.
#[target_feature(enable = "avx512f,avx512bw,avx512cd,avx512vbmi,avx512vl")]
unsafe fn strip_64(start: *const u8, blocks: &[BlockHead], row: &[u8], firsts: &[u32; STRIP], out: &mut [u32; STRIP]) {
    // SAFETY: as for this function. A strip has at most eight blocks of 8 trees, and each group has two vectors, and then
    // eight of masks.
    unsafe {
        let row = load_row(row);
        for ((block, firsts), out) in blocks.iter().zip(firsts.as_chunks::<8>().0).zip(out.as_chunks_mut::<8>().0) {
            let mut left = [_mm512_set1_epi64(-1); 2];
            let mut group = start.add(block.offset as usize);
            for _ in 0..block.groups {
                let no = refusals(row, group);
                let masks = group.add(128).cast::<__m512i>();
                for slot in (0..8).step_by(2) {
                    let [even, odd] = left;
                    let struck = |left, slot: usize| {
                        let masks = _mm512_load_si512(masks.add(slot));
                        _mm512_mask_and_epi64(left, (no >> (slot * 8)) as u8, left, masks)
                    };
                    left = [struck(even, slot), struck(odd, slot + 1)];
                }
                group = group.add(640);
            }
            let [even, odd] = left;
            let masks = _mm512_and_si512(even, odd);
            let lowest = _mm512_and_si512(masks, _mm512_sub_epi64(_mm512_setzero_si512(), masks));
            let leaves = _mm512_sub_epi64(_mm512_set1_epi64(63), _mm512_lzcnt_epi64(lowest));
            let leaves = _mm256_add_epi32(_mm512_cvtepi64_epi32(leaves), _mm256_loadu_si256(firsts.as_ptr().cast()));
            _mm256_storeu_si256(out.as_mut_ptr().cast(), leaves);
        }
    }
}

/// # Safety
/// All groups of the blocks lie behind `start`, and have masks of 16 bits. `row` has 64, 128 or 256 bytes.
#[target_feature(enable = "avx512f,avx512bw,avx512cd,avx512vbmi")]
unsafe fn strip_16(start: *const u8, blocks: &[BlockHead], row: &[u8], firsts: &[u32; STRIP], out: &mut [u32; STRIP]) {
    // SAFETY: as for this function. A strip has at most two blocks of 32 trees, and each group has two vectors, and then two
    // of masks.
    unsafe {
        let row = load_row(row);
        let all = _mm512_set1_epi32(-1);
        for ((block, firsts), out) in blocks.iter().zip(firsts.as_chunks::<32>().0).zip(out.as_chunks_mut::<32>().0) {
            let (mut even, mut odd) = (all, all);
            let mut group = start.add(block.offset as usize);
            for _ in 0..block.groups {
                let no = refusals(row, group);
                let masks = group.add(128).cast::<__m512i>();
                // There is no AND of 16 bits with a mask, but loading with one, which leaves all bits elsewhere.
                even = _mm512_and_si512(even, _mm512_mask_loadu_epi16(all, no as u32, masks.cast()));
                odd = _mm512_and_si512(odd, _mm512_mask_loadu_epi16(all, (no >> 32) as u32, masks.add(1).cast()));
                group = group.add(256);
            }
            let masks = _mm512_and_si512(even, odd);
            let halves = [_mm512_castsi512_si256(masks), _mm512_extracti64x4_epi64::<1>(masks)];
            for ((half, firsts), out) in
                halves.into_iter().zip(firsts.as_chunks::<16>().0).zip(out.as_chunks_mut::<16>().0)
            {
                let leaves = lowest_bits(_mm512_cvtepu16_epi32(half));
                let leaves = _mm512_add_epi32(leaves, _mm512_loadu_si512(firsts.as_ptr().cast()));
                _mm512_storeu_si512(out.as_mut_ptr().cast(), leaves);
            }
        }
    }
}
