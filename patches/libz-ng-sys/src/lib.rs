//! The part of zlib-ng's native interface that flate2 calls, served by `libz-rs-sys`.
//!
//! zlib-rs is laid out as zlib is, with two spellings that differ from what flate2 expects of zlib-ng: the
//! allocator fields are `Option`s and `next_in` points to const. Both have the same representation in memory, so a
//! pointer cast is enough; the assertions below fail the build if a new version changes that.
#![allow(non_camel_case_types, non_snake_case, clippy::missing_safety_doc)]

use core::ffi::{c_char, c_int, c_uint, c_ulong, c_void};
use core::mem::{align_of, offset_of, size_of};

pub use libz_rs_sys::{
    Z_BLOCK, Z_BUF_ERROR, Z_DATA_ERROR, Z_DEFAULT_STRATEGY, Z_DEFLATED, Z_FINISH, Z_FULL_FLUSH, Z_MEM_ERROR,
    Z_NEED_DICT, Z_NO_FLUSH, Z_OK, Z_PARTIAL_FLUSH, Z_STREAM_END, Z_STREAM_ERROR, Z_SYNC_FLUSH, zlibVersion,
};

pub type Bytef = u8;
pub type uInt = c_uint;
pub type uLong = c_ulong;
pub type voidpf = *mut c_void;
pub type alloc_func = unsafe extern "C" fn(voidpf, uInt, uInt) -> voidpf;
pub type free_func = unsafe extern "C" fn(voidpf, voidpf);
pub enum internal_state {}

#[repr(C)]
#[derive(Copy, Clone)]
pub struct z_stream {
    pub next_in: *mut Bytef,
    pub avail_in: uInt,
    pub total_in: c_ulong,
    pub next_out: *mut Bytef,
    pub avail_out: uInt,
    pub total_out: c_ulong,
    pub msg: *mut c_char,
    pub state: *mut internal_state,
    pub zalloc: alloc_func,
    pub zfree: free_func,
    pub opaque: voidpf,
    pub data_type: c_int,
    pub adler: c_ulong,
    pub reserved: uLong,
}
pub type z_streamp = *mut z_stream;

const _: () = {
    use libz_rs_sys::z_stream as rs;
    assert!(size_of::<z_stream>() == size_of::<rs>() && align_of::<z_stream>() == align_of::<rs>());
    assert!(offset_of!(z_stream, next_out) == offset_of!(rs, next_out));
    assert!(offset_of!(z_stream, zalloc) == offset_of!(rs, zalloc));
    assert!(offset_of!(z_stream, zfree) == offset_of!(rs, zfree));
    assert!(offset_of!(z_stream, adler) == offset_of!(rs, adler));
};

/// Declares each function with flate2's stream type and forwards it unchanged.
macro_rules! forward {
    ($(fn $name:ident($($arg:ident: $type:ty),*);)*) => {$(
        pub unsafe extern "C" fn $name(strm: z_streamp $(, $arg: $type)*) -> c_int {
            // SAFETY: the two stream types have one layout (asserted above), and the caller keeps zlib's contract.
            unsafe { libz_rs_sys::$name(strm.cast() $(, $arg)*) }
        }
    )*};
}

forward! {
    fn deflate(flush: c_int);
    fn deflateEnd();
    fn deflateReset();
    fn deflateParams(level: c_int, strategy: c_int);
    fn deflateSetDictionary(dictionary: *const Bytef, length: uInt);
    fn deflateInit2_(level: c_int, method: c_int, bits: c_int, memory: c_int, strategy: c_int, version: *const c_char, size: c_int);
    fn inflate(flush: c_int);
    fn inflateEnd();
    fn inflateReset();
    fn inflateReset2(bits: c_int);
    fn inflateSetDictionary(dictionary: *const Bytef, length: uInt);
    fn inflateInit2_(bits: c_int, version: *const c_char, size: c_int);
}
