//! What both runtimes make of the same models (`tests/models/make.py` in the root makes them).

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a failed test panics")]

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use witgate_inference::Runtime;
use witgate_inference::backend::{Embedded, OnnxRuntime};
use witgate_inference::{
    Backend, Cancel, Data, DataType, Dimension, Graph, LoadError, Metadata, RunError, Session, SessionOptions, Tensor,
};

/// Long enough for any machine that is busy.
const PATIENCE: Duration = Duration::from_secs(120);

fn model(name: &str) -> Vec<u8> {
    let path = format!("{}/../../tests/models/{name}.onnx", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn load(backend: &dyn Backend, name: &str) -> Result<Arc<dyn Graph>, LoadError> {
    let model = model(name);
    let metadata = Metadata::read(&model)?;
    backend.load(&model, &metadata, &SessionOptions { intra_op_threads: 1, load_timeout: PATIENCE, code: None })
}

fn session(backend: &dyn Backend, name: &str) -> Box<dyn Session> {
    let graph = load(backend, name).unwrap_or_else(|error| panic!("{name}: {error}"));
    graph.session().unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn floats(shape: &[usize], elements: impl IntoIterator<Item = f32>) -> Tensor {
    Tensor::new(shape, Data::Float32(elements.into_iter().collect())).expect("a tensor")
}

fn some_floats(shape: &[usize]) -> Tensor {
    let count = shape.iter().product::<usize>();
    floats(shape, (0..count).map(|index| ((index * 37 + 11) % 101) as f32 / 50.0 - 1.0))
}

fn run(session: &mut dyn Session, inputs: &[Tensor], outputs: &[usize]) -> Result<Vec<Tensor>, RunError> {
    session.run(inputs, outputs, &Cancel::default())
}

/// The library that tests run with. They fail without it: a runtime that is not tested is one that is not there.
fn library() -> PathBuf {
    std::env::var_os("WITGATE_ONNXRUNTIME").map(PathBuf::from).unwrap_or_else(|| {
        panic!("WITGATE_ONNXRUNTIME is not set to the path of libonnxruntime.so: `cargo xtask test` installs one and sets it")
    })
}

fn onnx_runtime() -> Arc<OnnxRuntime> {
    OnnxRuntime::open(&library()).unwrap_or_else(|error| panic!("{error}"))
}

fn backends() -> Vec<Arc<dyn Backend>> {
    vec![Arc::new(Embedded), onnx_runtime()]
}

fn refusal<T>(result: Result<T, LoadError>) -> String {
    let LoadError { message, help } = result.map(drop).expect_err("refused");
    format!("{message} / {help}")
}

#[test]
fn metadata_says_what_the_file_says() {
    let metadata = Metadata::read(&model("mlp")).expect("metadata");
    assert_eq!((metadata.producer.as_str(), metadata.producer_version.as_str()), ("witgate-tests", "1"));
    assert_eq!((metadata.ir_version, metadata.graph.as_str()), (8, "mlp"));
    assert_eq!(metadata.description, "64 hidden units, one score for each row");
    assert_eq!(metadata.opsets.into_iter().collect::<Vec<_>>(), [(String::new(), 17)]);
    assert_eq!(metadata.operators, ["Gemm", "Relu", "Sigmoid"]);
    let [input] = metadata.signature.inputs.as_slice() else { panic!("one input") };
    assert_eq!((input.name.as_str(), input.data_type), ("x", DataType::Float32));
    assert_eq!(input.shape.as_deref(), Some(&[Dimension::Named("batch".to_owned()), Dimension::Fixed(8)][..]));
    assert!(metadata.signature.has_batch_axis());
}

#[test]
fn operators_of_inner_graphs_are_listed_and_weights_are_not_inputs() {
    let metadata = Metadata::read(&model("loop")).expect("metadata");
    assert_eq!(metadata.operators, ["Clip", "Expand", "Identity", "Loop", "MatMul", "ReduceMean"]);
    let metadata = Metadata::read(&model("default_input")).expect("metadata");
    assert_eq!(metadata.signature.inputs.len(), 1);
    assert_eq!(Metadata::read(&model("any_rank")).expect("metadata").signature.inputs[0].shape, None);
    assert_eq!(Metadata::read(&model("scaler")).expect("metadata").operators, ["ai.onnx.ml::Scaler"]);
}

#[test]
fn what_cannot_be_served_is_refused_with_what_to_do() {
    let refused = |bytes: &[u8]| {
        let error = Metadata::read(bytes).expect_err("refused");
        format!("{} / {}", error.message, error.help)
    };
    for (name, message, help) in [
        ("bad_sequence", "the output `y` is a sequence: only tensors are served", "tensors only"),
        ("bad_float8", "the input `x` has elements of the type FLOAT8E4M3FN; served are BOOL, UINT8", "Cast"),
        ("bad_external", "the weights `w` are in another file", "save_as_external_data=False"),
    ] {
        let refused = refused(&model(name));
        assert!(refused.contains(message) && refused.contains(help), "{name}: {refused}");
    }
    let mlp = model("mlp");
    assert!(refused(&mlp[..mlp.len() - 9]).contains("ends in the middle of the model"));
    for not_onnx in [&b""[..], b"# a text\n", b"\x7fELF\x02\x01\x01", b"PK\x03\x04", b"{\"model\": 1}", b"<html>"] {
        assert!(refused(not_onnx).contains("not an ONNX model"), "{not_onnx:?}");
    }
}

#[test]
fn all_types_go_in_and_come_out_as_they_are() {
    let elements = |data_type| match data_type {
        DataType::Bool => Data::Bool(vec![true, false, true, true, false, false]),
        DataType::Uint8 => Data::Uint8(vec![0, 1, 2, 3, 254, u8::MAX]),
        DataType::Uint16 => Data::Uint16(vec![0, 1, 2, 3, 4, u16::MAX]),
        DataType::Uint32 => Data::Uint32(vec![0, 1, 2, 3, 4, u32::MAX]),
        DataType::Uint64 => Data::Uint64(vec![0, 1, 2, 3, 4, u64::MAX]),
        DataType::Int8 => Data::Int8(vec![0, 1, 2, 3, i8::MIN, i8::MAX]),
        DataType::Int16 => Data::Int16(vec![0, 1, 2, 3, i16::MIN, i16::MAX]),
        DataType::Int32 => Data::Int32(vec![0, 1, 2, 3, i32::MIN, i32::MAX]),
        DataType::Int64 => Data::Int64(vec![0, 1, 2, 3, i64::MIN, i64::MAX]),
        DataType::Float16 => Data::Float16([0.0, -1.5, 2.0, 3.0, 4.0, 65504.0].map(half::f16::from_f32).to_vec()),
        DataType::Bfloat16 => Data::Bfloat16([0.0, -1.5, 2.0, 3.0, 4.0, 1e30].map(half::bf16::from_f32).to_vec()),
        DataType::Float32 => Data::Float32(vec![0.0, -1.5, 2.0, f32::INFINITY, f32::MIN_POSITIVE, f32::MAX]),
        DataType::Float64 => Data::Float64(vec![0.0, -1.5, 2.0, 1e-300, 4.0, f64::MAX]),
        DataType::String => Data::String(["", "a", "ä\u{1f600}", "b c", "d", "e\n"].map(str::to_owned).to_vec()),
    };
    let name = |data_type| match data_type {
        DataType::Float32 => "float".to_owned(),
        DataType::Float64 => "double".to_owned(),
        DataType::Float16 => "float16".to_owned(),
        DataType::Bfloat16 => "bfloat16".to_owned(),
        DataType::String => "string".to_owned(),
        other => other.label().to_lowercase(),
    };
    for backend in backends() {
        for data_type in DataType::ALL {
            let name = format!("identity_{}", name(data_type));
            let mut session = session(backend.as_ref(), &name);
            for shape in [[2, 3], [3, 2], [1, 6]] {
                let tensor = Tensor::new(shape, elements(data_type)).expect("a tensor");
                let output = run(session.as_mut(), std::slice::from_ref(&tensor), &[0]);
                assert_eq!(output, Ok(vec![tensor]), "{name} on {}", backend.name());
            }
            let empty = Tensor::new([0, 3], Data::zeros(data_type, 0)).expect("a tensor");
            assert_eq!(run(session.as_mut(), std::slice::from_ref(&empty), &[0]), Ok(vec![empty]), "{name}, no rows");
        }
    }
}

#[test]
fn a_list_without_items_adds_nothing() {
    for backend in backends() {
        let mut session = session(backend.as_ref(), "total");
        for (items, total) in [(&[1.0, 2.0][..], 3.5), (&[], 0.5)] {
            let inputs = [floats(&[1], [0.5]), floats(&[items.len()], items.iter().copied())];
            assert_eq!(run(session.as_mut(), &inputs, &[0]), Ok(vec![floats(&[1], [total])]), "{}", backend.name());
        }
    }
}

#[test]
fn batches_of_any_size_give_what_single_rows_give() {
    for backend in backends() {
        let mut session = session(backend.as_ref(), "mlp");
        let rows: Vec<_> = (0..33).map(|row| some_floats(&[33, 8]).into_parts().1.rows(row, 8)).collect();
        let single: Vec<f32> = rows
            .iter()
            .map(|row| {
                let outputs = run(session.as_mut(), &[floats(&[1, 8], row.clone())], &[0]).expect("a run");
                outputs[0].data().floats()[0]
            })
            .collect();
        for count in [33, 1, 8, 32] {
            let outputs = run(session.as_mut(), &[floats(&[count, 8], rows[..count].concat())], &[0]).expect("a run");
            assert_eq!(outputs[0].shape(), [count, 1]);
            for (got, expected) in outputs[0].data().floats().iter().zip(&single) {
                assert!((got - expected).abs() < 1e-6, "{got} {expected}");
            }
        }
    }
}

#[test]
fn both_runtimes_give_the_same() {
    let int64 =
        |shape: &[usize], elements: &[i64]| Tensor::new(shape, Data::Int64(elements.to_vec())).expect("a tensor");
    let cases = [
        ("mlp", vec![some_floats(&[5, 8])], vec![0]),
        ("two_by_two", vec![some_floats(&[4, 3]), some_floats(&[4, 3])], vec![0, 1]),
        ("two_by_two", vec![some_floats(&[4, 3]), some_floats(&[4, 3])], vec![1, 0]),
        ("two_by_two", vec![some_floats(&[1, 3]), some_floats(&[1, 3])], vec![1]),
        ("fixed_batch", vec![some_floats(&[1, 4])], vec![0]),
        ("scalar", vec![some_floats(&[7, 2])], vec![0]),
        ("default_input", vec![some_floats(&[3, 2])], vec![0]),
        ("any_rank", vec![some_floats(&[2, 3, 4])], vec![0]),
        ("any_rank", vec![some_floats(&[])], vec![0]),
        ("linear_classifier", vec![some_floats(&[6, 2])], vec![0, 1]),
        ("gather", vec![int64(&[3], &[3, 0, -1])], vec![0]),
        ("reshape", vec![some_floats(&[6])], vec![0]),
        ("slow", vec![some_floats(&[3, 3])], vec![0]),
        ("scaler", vec![some_floats(&[3, 2])], vec![0]),
        ("reverse_gru", vec![some_floats(&[4, 1, 2])], vec![0]),
        ("loop", vec![int64(&[], &[3])], vec![0]),
    ];
    let backends = backends();
    for (name, inputs, wanted) in cases {
        let outputs = backends.iter().map(|backend| {
            let outputs = run(session(backend.as_ref(), name).as_mut(), &inputs, &wanted);
            outputs.unwrap_or_else(|error| panic!("{name} on {}: {error}", backend.name()))
        });
        let [ours, theirs] = outputs.collect::<Vec<_>>().try_into().expect("two");
        assert_eq!(ours.len(), wanted.len(), "{name}");
        for (ours, theirs) in ours.iter().zip(&theirs) {
            assert_eq!((ours.shape(), ours.data_type()), (theirs.shape(), theirs.data_type()), "{name}");
            match (ours.data(), theirs.data()) {
                (Data::Float32(ours), Data::Float32(theirs)) => {
                    for (ours, theirs) in ours.iter().zip(theirs) {
                        assert!((ours - theirs).abs() < 1e-5, "{name}: {ours} {theirs}");
                    }
                }
                (ours, theirs) => assert_eq!(ours, theirs, "{name}"),
            }
        }
    }
}

#[test]
fn what_a_runtime_cannot_run_names_the_operator_and_the_other_runtime() {
    let refused = refusal(load(&Embedded, "own_domain"));
    assert!(
        refused.contains("it has no com.example::Gelu") && refused.contains("witgate model runtime install"),
        "{refused}"
    );
    let runtime = onnx_runtime();
    let refused = refusal(load(runtime.as_ref(), "own_domain"));
    assert!(refused.contains("com.example") && refused.contains("runtime = \"embedded\""), "{refused}");
}

#[test]
fn a_session_that_failed_can_be_used_again() {
    for backend in backends() {
        let outside = Tensor::new([1], Data::Int64(vec![9])).expect("a tensor");
        let inside = Tensor::new([1], Data::Int64(vec![2])).expect("a tensor");
        for (name, bad, good) in [
            ("gather", outside, inside),
            ("reshape", some_floats(&[3]), some_floats(&[4])),
            ("mlp", some_floats(&[2, 7]), some_floats(&[2, 8])),
            ("fixed_batch", some_floats(&[2, 4]), some_floats(&[1, 4])),
        ] {
            let mut session = session(backend.as_ref(), name);
            for _ in 0..3 {
                let failed = run(session.as_mut(), std::slice::from_ref(&bad), &[0]);
                let failed = failed.expect_err("values that the model cannot be run on");
                assert_ne!(failed, RunError::Cancelled, "{name} on {}", backend.name());
                run(session.as_mut(), std::slice::from_ref(&good), &[0])
                    .unwrap_or_else(|error| panic!("{name} on {}: {error}", backend.name()));
            }
            assert!(matches!(run(session.as_mut(), &[], &[0]), Err(RunError::Invalid(_))));
        }
    }
}

/// Cancels a run that would take minutes, once it has begun.
fn cancelled(mut session: Box<dyn Session>, input: Tensor) -> (Result<Vec<Tensor>, RunError>, Box<dyn Session>) {
    let cancel = Arc::new(Cancel::default());
    let (begins, begun) = mpsc::channel();
    let of_run = Arc::clone(&cancel);
    let run = std::thread::spawn(move || {
        begins.send(()).expect("the test waits");
        (session.run(&[input], &[0], &of_run), session)
    });
    begun.recv().expect("the run begins");
    cancel.cancel();
    run.join().expect("no panic")
}

#[test]
fn a_cancelled_run_ends_and_its_session_goes_on() {
    let count = |count: i64| Tensor::new([], Data::Int64(vec![count])).expect("a tensor");
    let runtime = onnx_runtime();
    let cases: [(Arc<dyn Backend>, _, _, _); 4] = [
        (Arc::new(Embedded), "slow", some_floats(&[700, 700]), some_floats(&[2, 2])),
        (Arc::new(Embedded), "loop", count(100_000_000), count(3)),
        (runtime.clone(), "slow", some_floats(&[700, 700]), some_floats(&[2, 2])),
        (runtime, "loop", count(100_000_000), count(3)),
    ];
    for (backend, name, slow, quick) in cases {
        let begun = Instant::now();
        let (result, mut session) = cancelled(session(backend.as_ref(), name), slow);
        assert_eq!(result, Err(RunError::Cancelled), "{name} on {}", backend.name());
        assert!(begun.elapsed() < Duration::from_secs(30), "{name} on {}: {:?}", backend.name(), begun.elapsed());
        run(session.as_mut(), &[quick], &[0]).unwrap_or_else(|error| panic!("{name} on {}: {error}", backend.name()));
        let before = Cancel::default();
        before.cancel();
        assert_eq!(session.run(&[some_floats(&[2, 2])], &[0], &before), Err(RunError::Cancelled));
    }
}

#[test]
fn sessions_of_a_model_run_at_once() {
    for backend in backends() {
        let graph = load(backend.as_ref(), "mlp").expect("loads");
        let expected = run(graph.clone().session().expect("a session").as_mut(), &[some_floats(&[9, 8])], &[0]);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                let mut session = graph.clone().session().expect("a session");
                let expected = &expected;
                scope.spawn(move || {
                    for _ in 0..200 {
                        assert_eq!(&run(session.as_mut(), &[some_floats(&[9, 8])], &[0]), expected);
                    }
                });
            }
        });
    }
}

#[test]
fn a_run_may_use_several_threads() {
    for backend in backends() {
        let model = model("slow");
        let metadata = Metadata::read(&model).expect("metadata");
        let results = [1, 2].map(|intra_op_threads| {
            let graph = backend
                .load(&model, &metadata, &SessionOptions { intra_op_threads, load_timeout: PATIENCE, code: None })
                .expect("loads");
            run(graph.session().expect("a session").as_mut(), &[some_floats(&[64, 64])], &[0]).expect("a run")
        });
        let [one, two] = results.each_ref().map(|outputs| outputs[0].data().floats());
        assert!(one.iter().zip(two).all(|(one, two)| (one - two).abs() < 1e-4), "{}", backend.name());
    }
}

#[test]
fn loading_and_unloading_again_and_again_keeps_memory() {
    let resident = || {
        let pages = std::fs::read_to_string("/proc/self/statm").expect("Linux");
        pages.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).expect("pages") * 4096
    };
    for backend in backends() {
        let cycle = |count: usize| {
            for batch in (1..=count).map(|turn| turn * 37 % 128 + 1) {
                let mut session = session(backend.as_ref(), "mlp");
                run(session.as_mut(), &[some_floats(&[batch, 8])], &[0]).expect("a run");
            }
        };
        // What allocators keep is kept after the first cycles; other tests run beside this one and are allowed for.
        cycle(100);
        let before = resident();
        cycle(300);
        let grown = resident().saturating_sub(before);
        assert!(grown < 32 << 20, "{} grew by {grown} bytes in 300 cycles", backend.name());
    }
}

#[test]
fn loading_ends_when_its_time_is_over() {
    let model = model("slow");
    let metadata = Metadata::read(&model).expect("metadata");
    let options = SessionOptions { intra_op_threads: 1, load_timeout: Duration::from_micros(1), code: None };
    let refused = refusal(Embedded.load(&model, &metadata, &options));
    assert!(refused.starts_with("loading it takes longer than 1µs") && refused.contains("`load_timeout`"), "{refused}");
    assert!(load(&Embedded, "slow").is_ok(), "with more time it loads");
}

#[test]
fn only_auto_falls_back_and_says_why() {
    let missing = || PathBuf::from("/nowhere/libonnxruntime.so");
    let refused = refusal(Runtime::Path(missing()).open());
    assert!(
        refused.contains("/nowhere/libonnxruntime.so") && refused.contains("witgate model runtime install"),
        "{refused}"
    );
    let auto = Runtime::Auto(Some(missing())).open().expect("falls back");
    assert_eq!(auto.backend.name(), "embedded");
    assert!(auto.fallback.is_some_and(|why| why.contains("embedded") && why.contains("/nowhere/libonnxruntime.so")));
    let auto = Runtime::Auto(Some(library())).open().expect("opens");
    assert_eq!((auto.backend.name(), auto.fallback), ("onnxruntime", None));
    let embedded = Runtime::default().open().expect("is always there");
    assert_eq!((embedded.backend.name(), embedded.fallback), ("embedded", None));
}

trait Elements {
    fn floats(&self) -> &[f32];
    fn rows(&self, row: usize, width: usize) -> Vec<f32>;
}

impl Elements for Data {
    fn floats(&self) -> &[f32] {
        let Self::Float32(elements) = self else { panic!("not floats: {self:?}") };
        elements
    }

    fn rows(&self, row: usize, width: usize) -> Vec<f32> {
        self.floats()[row * width..(row + 1) * width].to_vec()
    }
}
