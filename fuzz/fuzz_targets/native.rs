#![no_main]

use libfuzzer_sys::fuzz_target;
use witgate_native::{CompileOptions, LayoutKind, Limits, Selection, read};

// A file is refused with a text, or makes a model that runs; with bounds that keep a single input quick.
fuzz_target!(|file: &[u8]| {
    let limits =
        Limits { nodes: 20_000, trees: 200, categories: 200_000, features: 500, outputs: 50, ..Limits::default() };
    let model = match read(file, &limits) {
        Ok(model) => model,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    let width = model.features().len().max(1);
    let options = CompileOptions { selection: Selection::Only(LayoutKind::Walk), ..CompileOptions::default() };
    let Ok(compiled) = model.compile(&options) else { return };
    for number in [0.5, f64::NAN, -1e300] {
        let mut scores = vec![0.0; compiled.outputs()];
        compiled.predict(&vec![number; width], width, &mut scores).expect("sizes that fit");
    }
});
