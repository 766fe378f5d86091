//! The allocator of the process.
#![expect(unsafe_code, reason = "an allocator is an unsafe interface")]

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::ptr;

use libmimalloc_sys as ffi;

/// What `mi_malloc` aligns every block to that is as large; sizes up to [`LARGEST`] are multiples of it.
const ALIGNED: usize = 16;
/// Bytes of the largest block that a thread keeps: room for a request's state, not for buffers, which have their own ways to
/// serve again.
const LARGEST: usize = 4096;
/// What a thread keeps of one size at most: as many blocks as some hundred requests in flight free at once, of the smaller
/// sizes; so many bytes of the others, which a request has one of. All sizes together are 30 MiB; a busy proxy thread has some
/// twenty of these 256 sizes in use.
const BLOCKS_LIMIT: usize = 256;
const BYTES_LIMIT: usize = 128 * 1024;

/// mimalloc, behind blocks that each thread keeps of what it has freed: the last one goes out first, while it is in the
/// processor's cache. mimalloc gives out all the others of a page before it comes back to one, so that each block is in memory
/// again by then: one instruction that waited for it had 1.3 % of all samples of requests to Redis.
///
/// Where there is none, by its plain functions if they align well enough: those for any alignment, which the crate `mimalloc`
/// always calls, take some 40 instructions more.
#[derive(Debug, Clone, Copy)]
pub struct Allocator;

thread_local! {
    static KEPT: Kept = const { Kept { lists: [const { List::new() }; LARGEST / ALIGNED + 1] } };
}

/// The freed blocks of a thread, by their size in units of [`ALIGNED`].
struct Kept {
    lists: [List; LARGEST / ALIGNED + 1],
}

/// Blocks of one size, each with the address of the next in its first bytes.
struct List {
    first: Cell<*mut u8>,
    len: Cell<usize>,
}

impl List {
    const fn new() -> Self {
        Self { first: Cell::new(ptr::null_mut()), len: Cell::new(0) }
    }

    /// Null: there is none.
    #[inline]
    fn pop(&self) -> *mut u8 {
        let block = self.first.get();
        if !block.is_null() {
            // SAFETY: a block of the list has the next one's address in it, and nobody else has the block.
            self.first.set(unsafe { block.cast::<*mut u8>().read() });
            self.len.set(self.len.get() - 1);
        }
        block
    }

    /// # Safety
    /// The block has room for an address, is aligned for one, and is the list's from now on.
    #[inline]
    unsafe fn push(&self, block: *mut u8) {
        // SAFETY: see above.
        unsafe { block.cast::<*mut u8>().write(self.first.get()) };
        self.first.set(block);
        self.len.set(self.len.get() + 1);
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        for list in &self.lists {
            loop {
                let block = list.pop();
                if block.is_null() {
                    break;
                }
                // SAFETY: blocks that are kept are mimalloc's, and nobody else has them.
                unsafe { ffi::mi_free(block.cast()) };
            }
        }
    }
}

/// The size of a block for this layout: blocks of kept sizes serve for all layouts of the same size, whoever asked for them.
#[inline]
fn rounded(size: usize) -> usize {
    if size <= LARGEST { size.next_multiple_of(ALIGNED) } else { size }
}

/// Which list a block of this layout belongs to; none if it is too large or aligned to more than all others.
#[inline]
fn list(layout: Layout) -> Option<usize> {
    (layout.size() <= LARGEST && layout.align() <= ALIGNED).then(|| layout.size().div_ceil(ALIGNED))
}

/// A kept block for this layout; null if there is none, or the thread is about to end.
#[inline]
fn reuse(layout: Layout) -> *mut u8 {
    let block = list(layout).and_then(|at| KEPT.try_with(|kept| kept.lists.get(at).map(List::pop)).ok().flatten());
    block.unwrap_or_default()
}

// SAFETY: blocks come from mimalloc, have the size and the alignment that was asked for, and go back to it; its functions never
// unwind and return null where there is no memory. Blocks of either kind of function are freed and resized by the same ones.
// Every block of a size that is kept has all bytes of that size, and is either kept by one thread or in use.
unsafe impl GlobalAlloc for Allocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let block = reuse(layout);
        if !block.is_null() {
            return block;
        }
        let (size, align) = (rounded(layout.size()), layout.align());
        // SAFETY: any size, and an alignment that is a power of two.
        unsafe { if align <= ALIGNED { ffi::mi_malloc(size) } else { ffi::mi_malloc_aligned(size, align) } }.cast()
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let block = reuse(layout);
        if !block.is_null() {
            // SAFETY: it has as many bytes.
            unsafe { block.write_bytes(0, layout.size()) };
            return block;
        }
        let (size, align) = (rounded(layout.size()), layout.align());
        // SAFETY: as above.
        unsafe { if align <= ALIGNED { ffi::mi_zalloc(size) } else { ffi::mi_zalloc_aligned(size, align) } }.cast()
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let keep = |kept: &Kept, at: usize| {
            let list = kept.lists.get(at)?;
            let len = list.len.get() + 1;
            let fits = len <= BLOCKS_LIMIT && len * layout.size() <= BYTES_LIMIT;
            // SAFETY: it is mimalloc's, of one unit or more, and whoever had it is done with it.
            fits.then(|| unsafe { list.push(block) })
        };
        let kept = list(layout).and_then(|at| KEPT.try_with(|kept| keep(kept, at)).ok().flatten());
        if kept.is_none() {
            // SAFETY: the block is mimalloc's.
            unsafe { ffi::mi_free(block.cast()) };
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let align = layout.align();
        if layout.size() > LARGEST && size > LARGEST {
            let block = block.cast();
            // SAFETY: the block is mimalloc's.
            return unsafe {
                if align <= ALIGNED {
                    ffi::mi_realloc(block, size)
                } else {
                    ffi::mi_realloc_aligned(block, size, align)
                }
            }
            .cast();
        }
        if rounded(layout.size()) == rounded(size) {
            return block;
        }
        // SAFETY: the caller warrants that the new size is one of a layout; both blocks have what is copied, and the old one
        // is not used any more.
        unsafe {
            let moved = self.alloc(Layout::from_size_align_unchecked(size, align));
            if !moved.is_null() {
                ptr::copy_nonoverlapping(block, moved, size.min(layout.size()));
                self.dealloc(block, layout);
            }
            moved
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use proptest::prelude::*;

    use super::*;

    /// How many blocks of this size this thread keeps.
    fn kept(size: usize) -> usize {
        KEPT.with(|kept| kept.lists[size.div_ceil(ALIGNED)].len.get())
    }

    fn layout(size: usize) -> Layout {
        Layout::from_size_align(size, 8).unwrap()
    }

    proptest! {
        #[test]
        fn blocks_are_aligned_and_keep_what_is_in_them(
            blocks in prop::collection::vec((1usize..5000, 1usize..20000, 0u32..13, any::<bool>()), 1..40),
        ) {
            // SAFETY: no size is 0; only bytes within the blocks are touched, and each block is freed by its layout.
            unsafe {
                let mut made = Vec::new();
                for (tag, (size, grown, shift, zeroed)) in (1_u8..).zip(blocks) {
                    let layout = Layout::from_size_align(size, 1 << shift).unwrap();
                    let block = if zeroed { Allocator.alloc_zeroed(layout) } else { Allocator.alloc(layout) };
                    prop_assert!(!block.is_null() && block.addr().is_multiple_of(layout.align()));
                    if zeroed {
                        prop_assert!(std::slice::from_raw_parts(block, size).iter().all(|byte| *byte == 0));
                    }
                    block.write_bytes(tag, size);
                    let block = Allocator.realloc(block, layout, grown);
                    prop_assert!(!block.is_null() && block.addr().is_multiple_of(layout.align()));
                    prop_assert!(std::slice::from_raw_parts(block, size.min(grown)).iter().all(|byte| *byte == tag));
                    block.write_bytes(tag, grown);
                    made.push((tag, block, Layout::from_size_align(grown, layout.align()).unwrap()));
                }
                for (tag, block, layout) in made {
                    prop_assert!(std::slice::from_raw_parts(block, layout.size()).iter().all(|byte| *byte == tag));
                    Allocator.dealloc(block, layout);
                }
            }
        }
    }

    #[test]
    fn what_was_freed_last_is_given_out_first_for_every_layout_of_its_size() {
        // SAFETY: each block is freed once, by its layout.
        unsafe {
            let (first, second) = (Allocator.alloc(layout(3001)), Allocator.alloc(layout(3001)));
            Allocator.dealloc(first, layout(3001));
            Allocator.dealloc(second, layout(3001));
            assert_eq!([Allocator.alloc(layout(3008)), Allocator.alloc_zeroed(layout(2993))], [second, first]);
            assert_eq!(Allocator.realloc(second, layout(3008), 3000), second, "the same size");
            Allocator.dealloc(second, layout(3000));
            Allocator.dealloc(first, layout(2993));
        }
    }

    #[test]
    fn a_thread_keeps_so_much_of_a_size_and_nothing_when_it_ends() {
        let (small, large) = thread::spawn(|| {
            for size in [100, LARGEST] {
                // SAFETY: each block is freed once, by its layout.
                unsafe {
                    let blocks: Vec<_> = (0..300).map(|_| Allocator.alloc(layout(size))).collect();
                    blocks.into_iter().for_each(|block| Allocator.dealloc(block, layout(size)));
                }
            }
            (kept(100), kept(LARGEST))
        })
        .join()
        .unwrap();
        assert_eq!((small, large), (256, 32));

        // A block that outlives the lists of the thread that frees it.
        struct Last(*mut u8);
        impl Drop for Last {
            fn drop(&mut self) {
                // SAFETY: freed once, by its layout.
                unsafe { Allocator.dealloc(self.0, layout(100)) };
            }
        }
        thread_local! {
            static LAST: Cell<Option<Last>> = const { Cell::new(None) };
        }
        thread::spawn(|| {
            // SAFETY: freed once, above.
            LAST.set(Some(Last(unsafe { Allocator.alloc(layout(100)) })));
            assert_eq!(kept(100), 0);
        })
        .join()
        .unwrap();
    }
}
