#![no_main]

use libfuzzer_sys::fuzz_target;

/// Takes four numbers, and has two classes.
const MODEL: &[u8] = include_bytes!("../../tests/models/exporters/logistic_names.onnx");

fuzz_target!(|text: &[u8]| witgate_fuzz::model::compare(MODEL, text));
