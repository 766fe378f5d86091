#![no_main]

use libfuzzer_sys::fuzz_target;
use witgate_fuzz::call;

fuzz_target!(|message: &[u8]| {
    for method in ["ModelInfer", "ModelMetadata", "ModelReady", "RepositoryModelLoad"] {
        call(method, message);
    }
});
