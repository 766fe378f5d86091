#![no_main]

use libfuzzer_sys::fuzz_target;
use witgate_fuzz::http::host_and_path;

fuzz_target!(|text: &str| host_and_path(text));
