//! The allocator of guests.
//!
//! A hook allocates a dozen small things and frees them all before it returns. Rust's own allocator for this target takes a
//! third of the time of such a hook, for it splits and merges blocks and goes through four functions that nothing inlines.
//! Here a freed block waits, by its size, for the next one of that size. It is never given back: the host replaces instances
//! after some thousand calls, and long before one has used up its memory.
#![expect(unsafe_code, reason = "allocators are unsafe by nature")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::ptr;

/// Sizes are rounded up to multiples of it, and everything is aligned to it.
const GRAIN: usize = 16;
/// The largest block that is kept, in bytes. Larger ones are rare in hooks, and costly to hoard.
const LARGEST: usize = 512;
/// Bytes that are taken from the system at once.
const CHUNK: usize = 4096;

/// Keeps small blocks for reuse. For one thread.
pub(crate) struct Recycling(UnsafeCell<Blocks>);

struct Blocks {
    /// For each size the first free block, which holds the address of the next.
    free: [*mut u8; LARGEST / GRAIN],
    /// What is left of the last chunk.
    fresh: *mut u8,
    fresh_bytes: usize,
}

// SAFETY: a component without the threads proposal has one thread, and only such components have it as a static. The tests
// keep theirs to one thread.
unsafe impl Sync for Recycling {}

impl Recycling {
    pub(crate) const fn new() -> Self {
        let free = [ptr::null_mut(); LARGEST / GRAIN];
        Self(UnsafeCell::new(Blocks { free, fresh: ptr::null_mut(), fresh_bytes: 0 }))
    }
}

/// Which list a block belongs to, if it is kept.
fn class(layout: Layout) -> Option<usize> {
    // A layout of no bytes is not allowed here.
    (layout.size() <= LARGEST && layout.align() <= GRAIN)
        .then(|| (layout.size().wrapping_sub(1) / GRAIN).min(LARGEST / GRAIN - 1))
}

impl Blocks {
    /// A block of a class whose list is empty, or null.
    #[cold]
    unsafe fn fresh(&mut self, class: usize) -> *mut u8 {
        let size = (class + 1) * GRAIN;
        if self.fresh_bytes < size {
            // What is left of the old chunk is lost: less than the block that did not fit.
            let Ok(layout) = Layout::from_size_align(CHUNK, GRAIN) else { return ptr::null_mut() };
            // SAFETY: the layout is not empty.
            let chunk = unsafe { System.alloc(layout) };
            if chunk.is_null() {
                return chunk;
            }
            (self.fresh, self.fresh_bytes) = (chunk, CHUNK);
        }
        let block = self.fresh;
        // SAFETY: there are as many bytes left in the chunk.
        self.fresh = unsafe { block.add(size) };
        self.fresh_bytes -= size;
        block
    }
}

// SAFETY: blocks of a list have the size of its class and the alignment of all of them. A block is in one list or in use, for
// it enters a list only when it is freed. Memory in use is not touched.
unsafe impl GlobalAlloc for Recycling {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some(class) = class(layout) else {
            // SAFETY: as the caller promises.
            return unsafe { System.alloc(layout) };
        };
        // SAFETY: one thread, and nothing here calls back.
        let blocks = unsafe { &mut *self.0.get() };
        let Some(list) = blocks.free.get_mut(class) else { return ptr::null_mut() };
        let block = *list;
        if block.is_null() {
            // SAFETY: as above.
            return unsafe { blocks.fresh(class) };
        }
        // SAFETY: a free block is large and aligned enough for the address that was written when it was freed.
        *list = unsafe { block.cast::<*mut u8>().read() };
        block
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let Some(class) = class(layout) else {
            // SAFETY: as the caller promises; blocks of this layout come from there.
            return unsafe { System.dealloc(block, layout) };
        };
        // SAFETY: one thread, and nothing here calls back.
        let blocks = unsafe { &mut *self.0.get() };
        if let Some(list) = blocks.free.get_mut(class) {
            // SAFETY: the block is the caller's no more, and large and aligned enough.
            unsafe { block.cast::<*mut u8>().write(*list) };
            *list = block;
        }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller promises that the size is valid with this alignment.
        let wanted = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        match (class(layout), class(wanted)) {
            (Some(old), Some(new)) if old == new => block,
            // SAFETY: as the caller promises; blocks of this layout come from there.
            (None, None) => unsafe { System.realloc(block, layout, size) },
            _ => {
                // SAFETY: the new block is distinct, both hold as many bytes, and the old one is the caller's to give up.
                unsafe {
                    let moved = self.alloc(wanted);
                    if !moved.is_null() {
                        ptr::copy_nonoverlapping(block, moved, layout.size().min(size));
                        self.dealloc(block, layout);
                    }
                    moved
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(size: usize, align: usize) -> Layout {
        Layout::from_size_align(size, align).unwrap()
    }

    #[test]
    fn a_freed_block_serves_the_next_request_of_its_size() {
        let allocator = Recycling::new();
        // SAFETY: each block is freed once, with its layout.
        unsafe {
            let first = allocator.alloc(layout(17, 1));
            allocator.dealloc(first, layout(17, 1));
            assert_eq!(allocator.alloc(layout(32, 8)), first);
            assert_ne!(allocator.alloc(layout(33, 8)), first);
            allocator.dealloc(first, layout(32, 8));
        }
    }

    #[test]
    fn blocks_are_aligned_do_not_overlap_and_keep_their_bytes_over_moves() {
        let allocator = Recycling::new();
        let mut held: Vec<(*mut u8, Layout, u8)> = Vec::new();
        // A generator of its own: every run takes the same steps.
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state % u64::try_from(below).unwrap()).unwrap()
        };
        let check = |(block, layout, fill): &(*mut u8, Layout, u8)| {
            assert_eq!(block.addr() % layout.align(), 0);
            // SAFETY: the block is held, and every byte of it was written.
            let bytes = unsafe { std::slice::from_raw_parts(*block, layout.size()) };
            assert!(bytes.iter().all(|byte| byte == fill), "{layout:?}");
        };
        for step in 0..20_000_usize {
            let fill = u8::try_from(step % 251).unwrap();
            let wanted = layout(1 + random(700), 1 << random(7));
            // SAFETY: blocks are used within their layouts, and freed or moved once with them.
            unsafe {
                if held.len() < 200 || random(2) == 0 {
                    let block = allocator.alloc(wanted);
                    block.write_bytes(fill, wanted.size());
                    held.push((block, wanted, fill));
                } else {
                    let (block, old, fill) = held.swap_remove(random(held.len()));
                    check(&(block, old, fill));
                    if random(2) == 0 {
                        allocator.dealloc(block, old);
                    } else {
                        let size = wanted.size();
                        let moved = allocator.realloc(block, old, size);
                        let kept = old.size().min(size);
                        check(&(moved, layout(kept, old.align()), fill));
                        moved.write_bytes(fill, size);
                        held.push((moved, layout(size, old.align()), fill));
                    }
                }
            }
        }
        held.iter().for_each(check);
        for (block, layout, _) in held {
            // SAFETY: as above.
            unsafe { allocator.dealloc(block, layout) };
        }
    }
}
