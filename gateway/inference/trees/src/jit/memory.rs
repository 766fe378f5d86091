//! Memory for machine code: it is written first and executable then, never both.
#![expect(unsafe_code, reason = "maps memory")]

use std::ffi::c_void;
use std::io;
use std::ptr::{self, NonNull};

use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect, munmap};

/// Machine code in pages of its own, which nobody can write to any more.
#[derive(Debug)]
pub(crate) struct Code {
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: the memory belongs to the value, and is only read and executed.
unsafe impl Send for Code {}
// SAFETY: the same.
unsafe impl Sync for Code {}

impl Code {
    /// Copies code to executable memory.
    ///
    /// # Errors
    /// There is no memory, or the system does not let it become executable.
    pub(crate) fn new(code: &[u8]) -> io::Result<Self> {
        // No mapping may be empty.
        let length = code.len().max(1);
        // SAFETY: the kernel chooses the place, so nothing that exists is touched.
        let start =
            unsafe { mmap_anonymous(ptr::null_mut(), length, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE) }?;
        let start = NonNull::new(start.cast::<u8>()).ok_or(io::ErrorKind::OutOfMemory)?;
        // From here on it is given back if something fails.
        let memory = Self { start, length };
        // SAFETY: the mapping is as long as the code, is writable, was made just now, and nobody else knows it.
        unsafe { ptr::copy_nonoverlapping(code.as_ptr(), start.as_ptr(), code.len()) };
        // SAFETY: these are the pages of the mapping, and nobody writes to them any more.
        unsafe { mprotect(start.as_ptr().cast::<c_void>(), length, MprotectFlags::READ | MprotectFlags::EXEC) }?;
        synchronise()?;
        Ok(memory)
    }

    /// The place of a byte of the code.
    pub(crate) fn at(&self, offset: usize) -> Option<*const u8> {
        // SAFETY: within the mapping.
        (offset < self.length).then(|| unsafe { self.start.as_ptr().add(offset) }.cast_const())
    }
}

impl Drop for Code {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's, and whoever calls its code borrows it.
        let unmapped = unsafe { munmap(self.start.as_ptr().cast::<c_void>(), self.length) };
        debug_assert!(unmapped.is_ok(), "{unmapped:?}");
    }
}

/// Lets no processor go on with instructions that it has fetched from these pages before. Making pages executable has the
/// kernel write caches back, so what is left is what is in the pipeline already.
#[cfg(target_arch = "aarch64")]
fn synchronise() -> io::Result<()> {
    use rustix::io::Errno;
    use rustix::thread::{MembarrierCommand, membarrier};

    match membarrier(MembarrierCommand::PrivateExpeditedSyncCore) {
        Err(Errno::PERM) => {
            membarrier(MembarrierCommand::RegisterPrivateExpeditedSyncCore)?;
            membarrier(MembarrierCommand::PrivateExpeditedSyncCore)?;
        }
        // Kernels before 4.16.
        Err(Errno::INVAL) => membarrier(MembarrierCommand::Global)?,
        other => other?,
    }
    Ok(())
}

/// Caches of instructions see what is written.
#[cfg(not(target_arch = "aarch64"))]
#[expect(clippy::unnecessary_wraps, reason = "it may fail elsewhere")]
fn synchronise() -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Permissions of the mapping that an address is in.
    fn permissions(address: usize) -> Option<String> {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        maps.lines().find_map(|line| {
            let (range, rest) = line.split_once(' ')?;
            let (from, to) = range.split_once('-')?;
            let within = |text| usize::from_str_radix(text, 16).unwrap();
            (within(from)..within(to)).contains(&address).then(|| rest[..4].to_owned())
        })
    }

    #[test]
    fn code_is_executable_and_not_writable() {
        let code = Code::new(&[0xc3; 5000]).unwrap();
        let start = code.at(0).unwrap();
        assert_eq!(permissions(start as usize).as_deref(), Some("r-xp"));
        assert_eq!(permissions(start as usize + 4999).as_deref(), Some("r-xp"));
        assert_eq!(code.at(5000), None);
        assert_eq!(unsafe { *start }, 0xc3);
    }

    #[test]
    fn no_mapping_is_writable_and_executable() {
        let _code: Vec<Code> = (0..4).map(|_| Code::new(&[0xc3]).unwrap()).collect();
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        assert!(
            !maps.lines().any(|line| line.split(' ').nth(1).is_some_and(|flags| flags.starts_with("rwx"))),
            "{maps}"
        );
    }
}
