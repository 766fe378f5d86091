#![no_main]

use libfuzzer_sys::fuzz_target;

// An ONNX file is refused with a text, or makes a model that runs, or says at a run why it does not.
fuzz_target!(|file: &[u8]| witgate_fuzz::model::run(file));
