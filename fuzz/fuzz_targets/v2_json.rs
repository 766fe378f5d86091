#![no_main]

use libfuzzer_sys::fuzz_target;
use witgate_fuzz::{MODELS, post};

fuzz_target!(|body: &[u8]| {
    for model in MODELS {
        post(&format!("/v2/models/{model}/infer"), None, body);
    }
    post("/v2/repository/index", None, body);
});
