//! Shared libraries for trusted scripts.
#![expect(unsafe_code, reason = "loads machine code, as the operator has asked for")]

use std::ffi::{CStr, CString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Loads a library for the rest of the process, so that `ffi.C` sees its symbols.
///
/// # Errors
/// What the dynamic linker says.
pub(crate) fn load_for_all(library: &Path) -> Result<(), String> {
    let name = CString::new(library.as_os_str().as_bytes()).map_err(|_| "the name has a zero byte".to_owned())?;
    // SAFETY: the name ends in a zero; what the library does when it is loaded is what the operator has asked for.
    let handle = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL) };
    if !handle.is_null() {
        return Ok(());
    }
    // SAFETY: after a failure the text is there until the next call of the linker on this thread.
    let told = unsafe { libc::dlerror() };
    if told.is_null() {
        return Err("cannot be loaded".to_owned());
    }
    // SAFETY: it is not null, and ends in a zero.
    Err(unsafe { CStr::from_ptr(told) }.to_string_lossy().into_owned())
}
