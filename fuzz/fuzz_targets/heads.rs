#![no_main]

use libfuzzer_sys::fuzz_target;
use witgate_fuzz::http::{request_head, response_head};

fuzz_target!(|bytes: &[u8]| {
    request_head(bytes);
    response_head(bytes);
});
