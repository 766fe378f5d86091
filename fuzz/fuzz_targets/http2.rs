#![no_main]

use libfuzzer_sys::fuzz_target;
use witgate_fuzz::http::http2_head_of_bytes;

fuzz_target!(|bytes: &[u8]| http2_head_of_bytes(bytes));
