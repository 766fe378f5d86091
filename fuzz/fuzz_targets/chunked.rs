#![no_main]

use libfuzzer_sys::fuzz_target;
use witgate_fuzz::http::chunked_body;

// The first byte says how large the pieces are.
fuzz_target!(|input: &[u8]| {
    let Some((piece, bytes)) = input.split_first() else { return };
    chunked_body(bytes, usize::from(*piece));
});
