//! Files of LightGBM, XGBoost and CatBoost as models of the gateway. That scores are those of the libraries is for the tests of
//! `witgate-native`, which has the files.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a failed test panics")]

use std::sync::Arc;
use std::time::Duration;

use witgate_code_cache::CodeCache;
use witgate_inference::backend::{Backend as _, Embedded, Native};
use witgate_inference::features::{Feature, FeatureKind, FeatureSet, Part, Text, Transform};
use witgate_inference::{
    Cancel, Data, Executor, Inference, LoadError, Metadata, ModelOptions, ModelSpec, ModelVersion, RunError, RunOn,
    ScoreStage, SessionOptions, StageSpec, Tensor, When,
};
use witgate_native::{Category, CompileOptions, Limits};

fn file(name: &str) -> Vec<u8> {
    let path = format!("{}/native/tests/models/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn run(name: &str, inputs: &[Tensor]) -> Result<Vec<f64>, RunError> {
    run_with(name, inputs, None)
}

fn run_with(name: &str, inputs: &[Tensor], code: Option<Arc<CodeCache>>) -> Result<Vec<f64>, RunError> {
    let bytes = file(name);
    let metadata = Metadata::read(&bytes).expect("metadata");
    let options = SessionOptions { intra_op_threads: 1, load_timeout: Duration::from_secs(60), code };
    let graph = Native.load(&bytes, &metadata, &options).expect("loads");
    let given = graph.session().expect("a session").run(inputs, &[0], &Cancel::default())?;
    let Data::Float64(scores) = given[0].data() else { panic!("doubles come out") };
    Ok(scores.clone())
}

fn load(bytes: &[u8]) -> Result<Arc<ModelVersion>, LoadError> {
    let options = ModelOptions {
        intra_op_threads: 1,
        concurrency: 1,
        queue: 10,
        queue_timeout: Duration::from_secs(60),
        batch_limit: 4,
        batching: None,
        run_on: RunOn::Threads,
        warm_up: Some(Vec::new()),
        load_timeout: Duration::from_secs(60),
        record: false,
    };
    let inference = Inference::new(Arc::new(Embedded), Executor::start(1, 0).expect("a thread"), 1);
    inference.load(ModelSpec { name: "m", version: 1, path: "m.txt", bytes, options })
}

fn doubles(shape: [usize; 2], numbers: Vec<f64>) -> Tensor {
    Tensor::new(shape, Data::Float64(numbers)).expect("a tensor")
}

#[test]
fn scores_are_those_of_the_room_that_reads_the_file() {
    for name in ["lgb_binary.txt", "xgb_binary_logistic_ubj.ubj", "cb_logloss.json", "lgb_multiclass.txt"] {
        let native = witgate_native::read(&file(name), &Limits::default()).expect("a model");
        let compiled = native.compile(&CompileOptions::default()).expect("compiles");
        let (width, rows) = (compiled.features(), 600);
        // Numbers that are floats of 32 bits and such that are not, which take another way.
        for narrow in [true, false] {
            let number = |at: usize| {
                let number = ((at * 7919) % 2003) as f64 / 17.0 - 50.0;
                if at.is_multiple_of(31) {
                    f64::NAN
                } else if narrow {
                    f64::from(number as f32)
                } else {
                    number
                }
            };
            let numbers: Vec<f64> = (0..rows * width).map(number).collect();
            let mut expected = vec![0.0; rows * compiled.outputs()];
            compiled.predict(&numbers, width, &mut expected).expect("scores");
            let got = run(name, &[doubles([rows, width], numbers)]).expect("a run");
            let bits = |numbers: &[f64]| numbers.iter().map(|number| number.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&got), bits(&expected), "{name}, {narrow}");
        }
    }
}

#[test]
fn categories_that_are_texts_have_inputs_of_their_own() {
    let bytes = file("cb_ctr.json");
    let metadata = Metadata::read(&bytes).expect("metadata");
    let native = witgate_native::read(&bytes, &Limits::default()).expect("a model");
    let kinds: Vec<_> = metadata.signature.inputs.iter().map(|info| info.data_type.label()).collect();
    assert_eq!(kinds, ["FP64", "FP64", "BYTES", "FP64", "FP64", "BYTES"]);
    let texts = |text: &str| Tensor::new([1, 1], Data::String(vec![text.to_owned()])).expect("a tensor");
    let row = |count: &str, port: &str| -> Vec<Tensor> {
        let number = |number: f64| doubles([1, 1], vec![number]);
        vec![number(0.5), number(1.0), texts(count), number(2.0), number(3.0), texts(port)]
    };
    let code = |at, text| native.code(at, Category::Text(text)).expect("a category");
    let compiled = native.compile(&CompileOptions::default()).expect("compiles");
    for (count, port) in [("1", "80"), ("3", "443"), ("none of them", "")] {
        let numbers = [0.5, 1.0, code(2, count), 2.0, 3.0, code(5, port)];
        let mut expected = [0.0];
        compiled.predict(&numbers[..], 6, &mut expected).expect("a score");
        assert_eq!(run("cb_ctr.json", &row(count, port)).expect("a run"), expected, "{count} {port}");
    }
}

#[test]
fn what_the_file_says_is_told() {
    let metadata = Metadata::read(&file("lgb_multiclass.txt")).expect("metadata");
    let native = metadata.native.expect("no ONNX");
    assert_eq!((native.format.as_str(), native.objective.as_str(), native.trees), ("LightGBM's text", "multiclass", 9));
    assert_eq!(metadata.producer, "LightGBM");
    assert_eq!(metadata.signature.outputs[0].to_string(), "`probabilities` FP64 [?, 3]");
    let unknown = Metadata::read(b"CBM1\0\0\0\0").expect_err("binary");
    assert!(unknown.help.contains("format=\"json\""), "{unknown:?}");
    let refused = Metadata::read(&file("refused_xgb_multi_output.json")).expect_err("several outputs in one tree");
    assert!(refused.message.contains("is not supported") && !refused.help.is_empty(), "{refused:?}");
}

#[test]
fn they_are_loaded_beside_onnx_and_refused_rows_say_why() {
    let version = load(&file("lgb_binary.txt"));
    assert_eq!(version.expect("loads").backend, "embedded");
    let refused = run("lgb_binary.txt", &[doubles([1, 2], vec![0.0; 2])]).expect_err("too few");
    assert!(matches!(&refused, RunError::Invalid(why) if why.contains("rows of 5 numbers")), "{refused}");
}

#[test]
fn compiled_trees_are_kept_between_runs_and_made_anew_if_they_are_damaged() {
    let directory = tempfile::tempdir().expect("a directory");
    let folder = directory.path().join("models");
    let scores = || {
        let code = Arc::new(CodeCache::open(&folder).expect("a cache"));
        let rows = doubles([2, 5], (0..10).map(|at| f64::from(at) * 0.3).collect());
        run_with("lgb_binary.txt", &[rows], Some(code)).expect("a run")
    };
    let entries = || -> Vec<_> {
        let entries = std::fs::read_dir(&folder).expect("there").map(|entry| entry.expect("an entry").path());
        let mut entries: Vec<_> = entries.map(|path| (std::fs::read(&path).expect("a file"), path)).collect();
        entries.sort_by(|a, b| a.1.cmp(&b.1));
        entries
    };
    let first = scores();
    let kept = entries();
    assert_eq!(kept.len(), 2, "for rows of 32 bits and of 64");
    assert_eq!(scores(), first);
    assert_eq!(entries(), kept, "nothing was compiled");
    for (content, path) in &kept {
        std::fs::write(path, &content[..content.len() / 2]).expect("a file");
    }
    assert_eq!(scores(), first);
    assert!(entries().iter().zip(&kept).all(|(now, then)| now.0.len() == then.0.len()), "they were made anew");
}

#[test]
fn columns_that_are_named_as_features_have_to_stand_where_they_do() {
    let text = |part| Text { part, decode: 0, lower: false };
    let kinds = [
        FeatureKind::Length(text(Part::Path)),
        FeatureKind::Length(text(Part::Query)),
        FeatureKind::Entropy(text(Part::Path)),
        FeatureKind::Entropy(text(Part::Query)),
        FeatureKind::Present(Part::Query),
    ];
    let features = kinds.map(|kind| Feature { kind, transform: Transform::default() });
    let features = Arc::new(FeatureSet::new(features.into()).expect("features"));
    let names = features.names().join(" ");
    assert_eq!(names, "length_path length_query entropy_path entropy_query present_query");
    let stage = |columns: &str| {
        let model = String::from_utf8(file("lgb_binary.txt")).expect("text");
        assert!(model.contains("feature_names=score hits count sparse time\n"));
        let model = model.replace("feature_names=score hits count sparse time", &format!("feature_names={columns}"));
        let stage = ScoreStage::new(StageSpec {
            name: "m".into(),
            version: load(model.as_bytes()).expect("loads"),
            inputs: vec![Arc::clone(&features)],
            output: None,
            when: When::default(),
            deadline: Duration::from_secs(60),
            fallback: None,
            refuse: None,
            tag: None,
            levels: Vec::new(),
            shadow: false,
            rates: None,
        });
        stage.map(drop).map_err(|mistake| mistake.message)
    };
    assert_eq!(stage(&names), Ok(()));
    assert_eq!(stage("score hits count sparse time"), Ok(()), "names of a team's own");
    assert_eq!(
        stage("length_path entropy_path length_query entropy_query present_query"),
        Err("column 1 of model `m`, counted from 0, is `entropy_path`, which is the number 2 of the features; they have \
             `length_query` there"
            .to_owned())
    );
    assert_eq!(
        stage("length_path length_query entropy_path entropy_query sparse"),
        Err("column 4 of model `m`, counted from 0, is `sparse`, which none of the features is called; they have \
             `present_query` there"
            .to_owned())
    );
}
