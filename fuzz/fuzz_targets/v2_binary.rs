#![no_main]

use libfuzzer_sys::fuzz_target;
use witgate_fuzz::{MODELS, post};

// The first two bytes say where the JSON ends.
fuzz_target!(|input: &[u8]| {
    let Some((length, body)) = input.split_first_chunk::<2>() else { return };
    for model in MODELS {
        post(&format!("/v2/models/{model}/infer"), Some(usize::from(u16::from_le_bytes(*length))), body);
    }
});
