//! Walking on bytes with AVX-512: 16 trees in each register, and four of these at a time.
#![expect(unsafe_code, reason = "nodes are gathered by address, and instructions may not be there")]

use std::arch::x86_64::*;

use super::bytes::Table;
use crate::layout::STRIP;

/// Whether the processor and the operating system have what is used here: since Ice Lake (2019) and Zen 4 (2022).
pub(super) fn is_supported() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vbmi")
}

/// The lowest byte of each four.
const LOWEST: u64 = 0x1111_1111_1111_1111;

/// The leaves of a row in the trees of a strip. `row` has 64, 128 or 256 bytes.
#[inline]
pub(super) fn strip(table: &Table, strip: usize, row: &[u8], out: &mut [u32; STRIP]) {
    // SAFETY: a table for these instructions is only made if `is_supported` says so, and rows are made for the table.
    unsafe {
        match row.len() {
            64 => walk::<1>(table, strip, row, out),
            128 => walk::<2>(table, strip, row, out),
            _ => walk::<4>(table, strip, row, out),
        }
    }
}

/// # Safety
/// `row` has 64 bytes times `TABLES`, which is 1, 2 or 4.
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
unsafe fn walk<const TABLES: usize>(table: &Table, strip: usize, row: &[u8], out: &mut [u32; STRIP]) {
    let roots = table.roots(strip);
    let first = roots.first().copied().unwrap_or_default();
    let mut places = [first.node; STRIP];
    places.iter_mut().zip(roots).for_each(|(place, root)| *place = root.node);
    let start = row.as_ptr().cast::<__m512i>();
    // SAFETY: the row has so many bytes.
    let row: [__m512i; TABLES] = std::array::from_fn(|index| unsafe { _mm512_loadu_si512(start.add(index)) });
    // SAFETY: a strip has 64 trees.
    let load = |index: usize| unsafe { _mm512_loadu_si512(places.as_ptr().cast::<__m512i>().add(index)) };
    let mut lanes: [__m512i; 4] = std::array::from_fn(load);
    let (nodes, one) = (table.nodes().as_ptr().cast::<i32>(), _mm512_set1_epi32(1));
    // The second byte of each four, where shuffles count within 16.
    let second = _mm512_set4_epi32(13, 9, 5, 1);
    loop {
        let mut moved = _mm512_setzero_si512();
        for place in &mut lanes {
            // SAFETY: roots and what nodes lead to are nodes, as `Steps` has laid them out and nothing changes them.
            let node = unsafe { _mm512_i32gather_epi32::<4>(*place, nodes) };
            let key = look_up(&row, node);
            let cut = _mm512_maskz_shuffle_epi8(LOWEST, node, second);
            let next = _mm512_srli_epi32::<16>(node);
            let right = _mm512_cmpgt_epu32_mask(key, cut);
            *place = _mm512_add_epi32(*place, next);
            *place = _mm512_mask_add_epi32(*place, right, *place, one);
            moved = _mm512_or_si512(moved, next);
        }
        if _mm512_test_epi32_mask(moved, moved) == 0 {
            break;
        }
    }
    let leaves = table.leaves().as_ptr().cast::<i32>();
    for (place, out) in lanes.into_iter().zip(out.as_chunks_mut::<16>().0) {
        // SAFETY: there are as many leaves as nodes.
        let leaf = unsafe { _mm512_i32gather_epi32::<4>(place, leaves) };
        // SAFETY: these are 16 numbers.
        unsafe { _mm512_storeu_si512(out.as_mut_ptr().cast(), leaf) };
    }
}

/// The byte of the row that the lowest byte of each four names, as a number.
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
#[inline]
fn look_up<const TABLES: usize>(row: &[__m512i; TABLES], node: __m512i) -> __m512i {
    match row.as_slice() {
        [row] => _mm512_maskz_permutexvar_epi8(LOWEST, node, *row),
        [low, high] => _mm512_maskz_permutex2var_epi8(LOWEST, *low, node, *high),
        [a, b, c, d] => _mm512_mask_blend_epi8(
            _mm512_movepi8_mask(node),
            _mm512_maskz_permutex2var_epi8(LOWEST, *a, node, *b),
            _mm512_maskz_permutex2var_epi8(LOWEST, *c, node, *d),
        ),
        _ => _mm512_setzero_si512(),
    }
}
