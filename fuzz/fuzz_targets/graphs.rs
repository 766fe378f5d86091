#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|decisions: &[u8]| witgate_fuzz::operators::graph(decisions));
