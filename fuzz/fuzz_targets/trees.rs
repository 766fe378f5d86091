#![no_main]

use libfuzzer_sys::fuzz_target;
use witgate_fuzz::trees::scores;

fuzz_target!(|decisions: &[u8]| scores(decisions));
