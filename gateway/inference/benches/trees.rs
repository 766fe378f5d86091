//! One row and 64 rows through the seam to what runs models: the embedded runtime beside ONNX Runtime. The models and the library
//! are named by the environment, as `tests/bench/README.md` says under "Trees".

#![allow(clippy::expect_used, clippy::panic, reason = "a bench that cannot begin ends")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use witgate_inference::backend::{Embedded, OnnxRuntime};
use witgate_inference::{Backend, Cancel, Data, Dimension, Metadata, SessionOptions, Tensor};

const ROWS: [usize; 2] = [1, 64];

fn benches(criterion: &mut Criterion) {
    let models =
        std::env::var("WITGATE_BENCH_MODELS").expect("WITGATE_BENCH_MODELS names .onnx files, separated by spaces");
    let library =
        std::env::var_os("WITGATE_ONNXRUNTIME").map(PathBuf::from).expect("WITGATE_ONNXRUNTIME names a library");
    let backends: [Arc<dyn Backend>; 2] =
        [Arc::new(Embedded), OnnxRuntime::open(&library).unwrap_or_else(|error| panic!("{error}"))];
    for path in models.split_whitespace().map(Path::new) {
        let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let metadata = Metadata::read(&bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let options = SessionOptions { intra_op_threads: 1, load_timeout: Duration::from_secs(600), code: None };
        let output = metadata.signature.outputs.iter().position(|info| info.data_type.is_float()).expect("a score");
        let [input] = metadata.signature.inputs.as_slice() else { panic!("one input is expected") };
        let Some([_, Dimension::Fixed(width)]) = input.shape.as_deref() else { panic!("rows are expected") };
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let mut group = criterion.benchmark_group(&*name);
        group.sample_size(30).measurement_time(Duration::from_secs(2));
        for backend in &backends {
            let graph = backend.load(&bytes, &metadata, &options).unwrap_or_else(|error| panic!("{error}"));
            let mut session = graph.session().unwrap_or_else(|error| panic!("{error}"));
            for rows in ROWS {
                // Other rows each time: processors learn by heart which way one row goes.
                let inputs: Vec<Tensor> = (0..512).map(|seed| tensor(rows, *width, seed)).collect();
                let mut at = 0;
                group.bench_function(BenchmarkId::new(backend.name(), rows), |bencher| {
                    bencher.iter(|| {
                        at = (at + 1) % inputs.len();
                        let inputs = inputs.get(at).map(std::slice::from_ref).unwrap_or_default();
                        session.run(inputs, &[output], &Cancel::default())
                    });
                });
            }
        }
        group.finish();
    }
}

fn tensor(rows: usize, width: usize, seed: u64) -> Tensor {
    let mut random = fastrand::Rng::with_seed(seed);
    // About as often below 0 as above, and mostly near it, as standardized features are.
    let number = |_| (0..6).map(|_| random.f32()).sum::<f32>() - 3.0;
    let numbers: Vec<f32> = (0..rows * width).map(number).collect();
    Tensor::new([rows, width], Data::Float32(numbers)).expect("a tensor")
}

criterion_group!(trees, benches);
criterion_main!(trees);
