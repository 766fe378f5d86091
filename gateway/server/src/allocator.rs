//! The allocator of the process.
#![expect(unsafe_code, reason = "an allocator is an unsafe interface")]

use std::alloc::{GlobalAlloc, Layout};

use libmimalloc_sys as ffi;

/// What `mi_malloc` aligns every block to that is as large.
const ALIGNED: usize = 16;

/// mimalloc, by its plain functions where they align well enough: those for any alignment, which the crate `mimalloc` always
/// calls, take some 40 instructions more, 27 times in a request.
#[derive(Debug, Clone, Copy)]
pub struct Allocator;

/// Whether a plain block of so many bytes has this alignment anyway.
fn is_plain(size: usize, align: usize) -> bool {
    align <= ALIGNED && align <= size
}

// SAFETY: blocks come from mimalloc, have the size and the alignment that was asked for, and go back to it; its functions never
// unwind and return null where there is no memory. Blocks of either kind of function are freed and resized by the same ones.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let (size, align) = (layout.size(), layout.align());
        // SAFETY: any size, and an alignment that is a power of two.
        unsafe { if is_plain(size, align) { ffi::mi_malloc(size) } else { ffi::mi_malloc_aligned(size, align) } }.cast()
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let (size, align) = (layout.size(), layout.align());
        // SAFETY: as above.
        unsafe { if is_plain(size, align) { ffi::mi_zalloc(size) } else { ffi::mi_zalloc_aligned(size, align) } }.cast()
    }

    unsafe fn dealloc(&self, block: *mut u8, _: Layout) {
        // SAFETY: the block is mimalloc's.
        unsafe { ffi::mi_free(block.cast()) };
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let align = layout.align();
        let block = block.cast();
        // SAFETY: the block is mimalloc's.
        unsafe {
            if is_plain(size, align) {
                ffi::mi_realloc(block, size)
            } else {
                ffi::mi_realloc_aligned(block, size, align)
            }
        }
        .cast()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn blocks_are_aligned_and_keep_what_is_in_them(
            size in 1usize..5000,
            grown in 1usize..20000,
            shift in 0u32..13,
            zeroed in any::<bool>(),
        ) {
            let layout = Layout::from_size_align(size, 1 << shift).unwrap();
            // SAFETY: the size is not 0; only bytes within the blocks are touched, and each block is freed by its layout.
            unsafe {
                let block = if zeroed { Allocator.alloc_zeroed(layout) } else { Allocator.alloc(layout) };
                prop_assert!(!block.is_null() && block.addr().is_multiple_of(layout.align()));
                if zeroed {
                    prop_assert!(std::slice::from_raw_parts(block, size).iter().all(|byte| *byte == 0));
                }
                block.write_bytes(7, size);
                let block = Allocator.realloc(block, layout, grown);
                prop_assert!(!block.is_null() && block.addr().is_multiple_of(layout.align()));
                prop_assert!(std::slice::from_raw_parts(block, size.min(grown)).iter().all(|byte| *byte == 7));
                Allocator.dealloc(block, Layout::from_size_align(grown, layout.align()).unwrap());
            }
        }
    }
}
