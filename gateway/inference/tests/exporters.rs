//! Models as exporters write them (`tests/models/exporters/make.py` in the root has the versions): what is known of them, which
//! number is their score, and what is said of those that cannot be served.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a failed test panics")]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use witgate_inference::backend::{Embedded, OnnxRuntime};
use witgate_inference::features::{Feature, FeatureKind, FeatureSet, Part, Text, Transform};
use witgate_inference::validate::{self, NonFinite};
use witgate_inference::{
    Backend, Batching, Cancel, Chosen, Classes, Data, Element, Executor, Inference, LoadError, Metadata, ModelOptions,
    ModelSpec, ModelVersion, RunOn, ScoreStage, SessionOptions, StageMistake, StageSpec, Tensor, Wanted, When,
};

/// Long enough for any machine that is busy.
const PATIENCE: Duration = Duration::from_secs(120);

fn model(name: &str) -> Vec<u8> {
    let path = format!("{}/../../tests/models/{name}.onnx", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn exported(name: &str) -> Vec<u8> {
    model(&format!("exporters/{name}"))
}

fn metadata(name: &str) -> Metadata {
    Metadata::read(&exported(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn onnx_runtime() -> Arc<dyn Backend> {
    let library = std::env::var_os("WITGATE_ONNXRUNTIME").map(PathBuf::from);
    let library = library.expect("`cargo xtask test` installs ONNX Runtime and sets WITGATE_ONNXRUNTIME");
    OnnxRuntime::open(&library).unwrap_or_else(|error| panic!("{error}"))
}

fn options() -> ModelOptions {
    ModelOptions {
        intra_op_threads: 1,
        concurrency: 1,
        queue: 10,
        queue_timeout: PATIENCE,
        batch_limit: 4,
        batching: None,
        run_on: RunOn::Threads,
        warm_up: Some(Vec::new()),
        load_timeout: PATIENCE,
        record: false,
    }
}

fn load_with(backend: Arc<dyn Backend>, bytes: &[u8], options: ModelOptions) -> Result<Arc<ModelVersion>, LoadError> {
    let inference = Inference::new(backend, Executor::start(1, 0).expect("a thread"), 1);
    inference.load(ModelSpec { name: "m", version: 1, path: "m.onnx", bytes, options })
}

fn load(bytes: &[u8]) -> Arc<ModelVersion> {
    load_with(onnx_runtime(), bytes, options()).unwrap_or_else(|error| panic!("{error}: {}", error.help))
}

/// Numbers that are called as the columns of those models are.
fn features(width: usize) -> FeatureSet {
    let text = |part| Text { part, decode: 0, lower: false };
    let kinds = [
        FeatureKind::Length(text(Part::Path)),
        FeatureKind::Length(text(Part::Query)),
        FeatureKind::Tokens { text: text(Part::Path), separators: "/".to_owned() },
        FeatureKind::Tokens { text: text(Part::Query), separators: "&".to_owned() },
    ];
    let kinds = kinds.into_iter().take(width).map(|kind| Feature { kind, transform: Transform::default() });
    FeatureSet::new(kinds.collect()).expect("features")
}

fn stage(version: Arc<ModelVersion>, inputs: Vec<FeatureSet>, output: Option<Wanted>) -> Result<Chosen, StageMistake> {
    let stage = ScoreStage::new(StageSpec {
        name: "m".into(),
        version,
        inputs: inputs.into_iter().map(Arc::new).collect(),
        output,
        when: When::default(),
        deadline: PATIENCE,
        fallback: None,
        refuse: None,
        tag: None,
        levels: Vec::new(),
        shadow: false,
        rates: None,
    });
    stage.map(|stage| stage.score().clone())
}

fn wanted(output: &str, element: Option<Element>) -> Wanted {
    Wanted { output: output.to_owned(), element }
}

fn class(output: &str, class: &str) -> Wanted {
    wanted(output, Some(Element::Class(class.to_owned())))
}

fn column(output: &str, column: usize) -> Wanted {
    wanted(output, Some(Element::Column(column)))
}

/// Of a model of four numbers, as both runtimes run it.
fn chosen(name: &str, output: Option<Wanted>) -> Result<String, String> {
    let [ours, theirs] = [Arc::new(Embedded), onnx_runtime()].map(|backend: Arc<dyn Backend>| {
        let version = load_with(backend, &exported(name), options());
        let version = version.unwrap_or_else(|error| panic!("{name}: {error}: {}", error.help));
        let chosen = stage(version, vec![features(4)], output.clone());
        chosen.map(|chosen| chosen.to_string()).map_err(|StageMistake { message, help }| format!("{message} / {help}"))
    });
    assert_eq!(ours, theirs, "{name}");
    ours
}

#[test]
fn classes_are_read_from_wherever_an_exporter_puts_them() {
    let names = |names: &[&str]| Classes::Names(names.iter().map(ToString::to_string).collect());
    for (name, output, classes) in [
        ("lightgbm", "probabilities", Classes::Numbers(vec![0, 1])),
        ("lightgbm_map", "probabilities", Classes::Numbers(vec![0, 1])),
        ("lightgbm_names", "probabilities", names(&["bot", "human"])),
        ("xgboost", "probabilities", Classes::Numbers(vec![0, 1])),
        ("catboost", "probability_tensor", Classes::Numbers(vec![0, 1])),
        ("catboost_map", "probabilities", Classes::Numbers(vec![0, 1])),
        ("forest_map", "output_probability", Classes::Numbers(vec![0, 1])),
        ("forest", "probabilities", Classes::Numbers(vec![0, 1])),
        ("forest_from_1", "probabilities", Classes::Numbers(vec![1, 2])),
        ("histogram", "probabilities", Classes::Numbers(vec![0, 1])),
        ("logistic_names", "probabilities", names(&["bot", "crawler", "human"])),
        ("network", "probabilities", Classes::Numbers(vec![0, 1])),
        ("network_names", "probabilities", names(&["bot", "human"])),
        ("scaled_double", "probabilities", Classes::Numbers(vec![0, 1])),
    ] {
        assert_eq!(metadata(name).classes.into_iter().collect::<Vec<_>>(), [(output.to_owned(), classes)], "{name}");
    }
    assert!(metadata("isolation").classes.is_empty());
    for name in ["machine", "machine_map"] {
        assert!(metadata(name).classes.is_empty(), "{name}: the margin of class 1 is in the first column");
    }
    assert!(metadata("forest_columns").classes.is_empty(), "they are columns no more");
}

#[test]
fn without_output_the_score_is_the_only_number_that_it_can_be() {
    for (name, score) in [
        ("lightgbm", "`probabilities[1]`, the class `1`"),
        ("lightgbm_map", "`probabilities[1]`, the class `1`"),
        ("forest_map", "`output_probability[1]`, the class `1`"),
        ("catboost_map", "`probabilities[1]`, the class `1`"),
        ("xgboost", "`probabilities[1]`, the class `1`"),
        ("catboost", "`probability_tensor[1]`, the class `1`"),
        ("forest", "`probabilities[1]`, the class `1`"),
        ("histogram", "`probabilities[1]`, the class `1`"),
        ("network", "`probabilities[1]`, the class `1`"),
        ("scaled_double", "`probabilities[1]`, the class `1`"),
        ("columns", "`probabilities[1]`, the class `1`"),
        ("columns_double", "`probabilities[1]`, the class `1`"),
        ("isolation", "`scores`"),
    ] {
        assert_eq!(chosen(name, None).as_deref(), Ok(score), "{name}");
    }
    for (name, choices) in [
        ("lightgbm_names", "`probabilities[bot]`, `probabilities[human]`"),
        ("network_names", "`probabilities[bot]`, `probabilities[human]`"),
        ("logistic_names", "`probabilities[bot]`, `probabilities[crawler]`, `probabilities[human]`"),
        ("forest_from_1", "`probabilities[\"1\"]`, `probabilities[\"2\"]`, `label`"),
        ("forest_columns", "`i0`, `i1`, `output_label`"),
        ("machine", "`probabilities[0]`, `probabilities[1]`, `label`"),
        ("machine_map", "`output_probability[0]`, `output_probability[1]`, `output_label`"),
    ] {
        let refused = chosen(name, None).expect_err(name);
        assert!(refused.starts_with("expected `output`: model `m` does not say which of its numbers"), "{refused}");
        assert!(refused.contains(choices), "{name}: {refused}");
    }
}

#[test]
fn an_output_is_held_to_what_the_model_gives() {
    for (name, output, score) in [
        ("lightgbm", wanted("probabilities", None), "`probabilities[1]`, the class `1`"),
        ("lightgbm", column("probabilities", 0), "`probabilities[0]`, the class `0`"),
        ("lightgbm", wanted("label", None), "`label`"),
        ("lightgbm_names", class("probabilities", "bot"), "`probabilities[0]`, the class `bot`"),
        ("network_names", class("probabilities", "human"), "`probabilities[1]`, the class `human`"),
        ("forest_from_1", class("probabilities", "1"), "`probabilities[0]`, the class `1`"),
        ("forest_columns", wanted("i1", None), "`i1`"),
        ("isolation", column("scores", 0), "`scores`"),
    ] {
        assert_eq!(chosen(name, Some(output)).as_deref(), Ok(score), "{name}");
    }
    for (name, output, message) in [
        ("lightgbm", column("probabilities", 9), "has no column 9: it has 2, counted from 0"),
        ("lightgbm", class("probabilities", "bot"), "has no class `bot`: it has `0`, `1`"),
        ("lightgbm", wanted("score", None), "model `m` has no output `score`"),
        ("lightgbm_names", wanted("label", None), "is text, and a score is a number"),
        (
            "lightgbm_names",
            wanted("probabilities", None),
            "which number of `probabilities` is the score: it has 2 numbers",
        ),
        ("logistic_names", wanted("probabilities", None), "it has 3 numbers"),
        ("forest_from_1", column("probabilities", 1), "can be the column 1, which is the class `2`, or the class `1`"),
        ("isolation", class("scores", "bot"), "has no class `bot`: it names no classes"),
        ("isolation", column("scores", 1), "has no column 1: it has 1"),
    ] {
        let refused = chosen(name, Some(output)).expect_err(name);
        assert!(refused.contains(message), "{name}: {refused}");
        assert!(refused.contains(" / write `output = "), "{name}: {refused}");
    }
}

#[test]
fn what_was_never_run_is_held_to_what_its_file_declares() {
    let untried = |name: &str, output| {
        let options = ModelOptions { warm_up: None, ..options() };
        let version = load_with(Arc::new(Embedded), &model(name), options).expect("loads");
        let width = if name == "mlp" { vec![] } else { vec![features(1)] };
        stage(version, width, output).map(|chosen| chosen.to_string()).map_err(|mistake| mistake.message)
    };
    assert_eq!(untried("identity_float", Some(column("y", 3))).as_deref(), Ok("`y[3]`"), "any size is declared");
    let refused = untried("identity_float", None).expect_err("it may be any number");
    assert!(refused.contains("does not say which of its numbers is the score"), "{refused}");
    let refused = untried("identity_float", Some(wanted("y", None))).expect_err("it may be any number");
    assert!(refused.contains("may have several numbers"), "{refused}");
    assert!(untried("identity_string", Some(wanted("y", None))).is_err());
}

#[test]
fn features_go_into_inputs_of_doubles_and_into_an_input_for_each_by_its_name() {
    let version = load(&exported("columns"));
    let refused = stage(Arc::clone(&version), vec![features(3)], None).expect_err("one is missing");
    assert!(refused.message.ends_with("by its name, and the features have no `tokens_query`"), "{}", refused.message);
    assert!(refused.help.contains("columns=features.names()"), "{}", refused.help);
    let refused = stage(Arc::clone(&version), vec![features(4), features(1)], None).expect_err("one is there twice");
    assert!(refused.message.starts_with("two of the feature sets have a number `length_path`"), "{}", refused.message);
    let refused = stage(load(&model("two_by_two")), vec![features(3)], None).expect_err("no columns");
    assert!(
        refused.message.contains("one feature set for each input of model `m`, got 1 for 2"),
        "{}",
        refused.message
    );
    let refused = stage(load(&model("identity_bool")), vec![features(1)], None).expect_err("another type");
    assert!(refused.message.ends_with("features can be FP32, FP64, INT32 or INT64, not BOOL"), "{}", refused.message);
}

#[test]
fn rows_are_limited_and_put_together_although_a_label_is_declared_as_one() {
    let version = load(&exported("lightgbm"));
    let signature = &version.metadata.signature;
    assert!(signature.has_batch_axis(), "{signature:?}");
    let rows = |count: usize| {
        let inputs = Tensor::new([count, 4], Data::Float32(vec![0.5; count * 4])).expect("a tensor");
        validate::check(signature, NonFinite::Refuse, version.batch_limit, vec![("input".to_owned(), inputs)])
    };
    assert!(rows(4).is_ok());
    assert!(rows(5).expect_err("more than the limit").to_string().contains("takes at most 4 in one request"));
    let batching = Some(Batching { rows: 4, wait: Duration::ZERO });
    let batched = load_with(onnx_runtime(), &exported("lightgbm"), ModelOptions { batching, ..options() });
    assert!(batched.is_ok(), "{batched:?}");
    // A single row at a time is what its file says.
    let metadata = Metadata::read(&model("fixed_batch")).expect("metadata");
    assert!(!metadata.signature.has_rows());
}

#[test]
fn maps_come_out_as_the_tensors_that_they_are_made_of() {
    for (name, output) in
        [("lightgbm_map", "probabilities"), ("forest_map", "output_probability"), ("catboost_map", "probabilities")]
    {
        let metadata = metadata(name);
        assert_eq!(metadata.maps.iter().collect::<Vec<_>>(), [output], "{name}");
        let info = metadata.signature.outputs.iter().find(|info| info.name == output).expect("the output");
        assert!(info.to_string().ends_with(", 2]"), "{info}");
        for backend in [Arc::new(Embedded) as Arc<dyn Backend>, onnx_runtime()] {
            let [map, tensor] = [name, name.trim_end_matches("_map")].map(|name| scores(&*backend, name));
            assert_eq!(map, tensor, "{name} on {}", backend.name());
        }
    }
}

/// The first output of floats for some rows: NaN, infinities, huge and tiny numbers among them.
fn scores(backend: &dyn Backend, name: &str) -> Vec<f32> {
    let (bytes, metadata) = (exported(name), metadata(name));
    let options = SessionOptions { intra_op_threads: 1, load_timeout: PATIENCE, code: None };
    let graph = backend.load(&bytes, &metadata, &options).unwrap_or_else(|error| panic!("{name}: {error}"));
    let output = metadata.signature.outputs.iter().position(|info| info.data_type.is_float()).expect("floats");
    let numbers = numbers();
    let inputs = metadata.signature.inputs.iter().enumerate().map(|(index, info)| {
        let of_all = metadata.signature.inputs.len() == 1;
        let numbers: Vec<f32> =
            if of_all { numbers.clone() } else { numbers.iter().skip(index).step_by(4).copied().collect() };
        let shape = [ROWS, numbers.len() / ROWS];
        let data = FeatureSet::in_type(numbers, info.data_type).expect("a type of features");
        Tensor::new(shape, data).expect("a tensor")
    });
    let given = graph.session().expect("a session").run(&inputs.collect::<Vec<_>>(), &[output], &Cancel::default());
    let given = given.unwrap_or_else(|error| panic!("{name} on {}: {error}", backend.name()));
    match given[0].data() {
        Data::Float32(scores) => scores.clone(),
        Data::Float64(scores) => scores.iter().map(|score| *score as f32).collect(),
        other => panic!("{name}: {other:?}"),
    }
}

const ROWS: usize = 500;

/// Four for each row.
fn numbers() -> Vec<f32> {
    let mut state = 7_u32;
    let mut random = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 24) as f32
    };
    (0..ROWS * 4)
        .map(|index| match index % 97 {
            0 => f32::NAN,
            1 => f32::INFINITY,
            2 => f32::NEG_INFINITY,
            3 => 1e30,
            4 => -1e30,
            5 => 1e-40,
            6 => 1_764_547_200.0,
            7 => -0.0,
            _ => random() * 6.0 - 3.0,
        })
        .collect()
}

#[test]
fn both_runtimes_give_the_same_scores() {
    for name in [
        "lightgbm",
        "lightgbm_names",
        "xgboost",
        "catboost",
        "forest",
        "forest_columns",
        "forest_from_1",
        "boosted_raw",
        "histogram",
        "isolation",
        "logistic_names",
        "network",
        "network_names",
        "scaled_double",
        "columns",
        "columns_double",
        "polynomial",
    ] {
        let [ours, theirs] = [Arc::new(Embedded) as Arc<dyn Backend>, onnx_runtime()].map(|it| scores(&*it, name));
        assert_eq!(ours.len(), theirs.len(), "{name}");
        let differ: Vec<_> = ours
            .iter()
            .zip(&theirs)
            .enumerate()
            .filter(|(_, (ours, theirs))| !((*ours - *theirs).abs() <= 1e-6 || ours.is_nan() && theirs.is_nan()))
            .take(5)
            .collect();
        assert!(differ.is_empty(), "{name}: {differ:?}");
    }
}

#[test]
fn the_margin_of_two_support_vector_classes_is_in_the_first_column_in_both_runtimes() {
    let [ours, theirs] = [Arc::new(Embedded) as Arc<dyn Backend>, onnx_runtime()].map(|it| scores(&*it, "machine"));
    let rows = numbers();
    let mut told = 0;
    for ((row, ours), theirs) in rows.chunks(4).zip(ours.chunks(2)).zip(theirs.chunks(2)) {
        if row.iter().any(|number| number.abs() > 3.0 || number.is_nan()) {
            continue;
        }
        // ONNX Runtime sums in 32 bits what nearly cancels out.
        assert!((ours[0] - theirs[0]).abs() <= 1e-4 && ours[1] == -ours[0], "{row:?}: {ours:?}, {theirs:?}");
        if row[0].abs() > 0.5 {
            assert_eq!(ours[0] > 0.0, row[0] > 0.0, "{row:?}: {ours:?}");
            told += 1;
        }
    }
    assert!(told > 200, "{told}");
}

#[test]
fn a_refusal_names_a_remedy_of_the_exporter_that_wrote_the_file() {
    let refused = load_with(onnx_runtime(), &model("locale"), options()).expect_err("no machine has the locale");
    assert!(refused.help.contains("the locale `xx_XX.UTF-8` of this machine"), "{refused:?}");
    assert!(refused.help.contains("{TfidfVectorizer: {\"locale\": \"C.UTF-8\"}}"), "{refused:?}");
    let refused = load_with(Arc::new(Embedded), &model("reshape"), options()).expect_err("pairs");
    assert!(refused.message.contains("tried out on zeros of the shapes [1]"), "{}", refused.message);
    assert!(refused.help.contains("`dimensions = { n = 16 }`"), "{}", refused.help);
    // ONNX Runtime takes neither of these.
    let refused = load_with(Arc::new(Embedded), &exported("xgboost_forest"), options()).expect_err("a class too many");
    assert!(refused.message.contains("votes for the target 2"), "{}", refused.message);
    assert!(refused.help.contains("`model.save_model(\"model.json\")`"), "{}", refused.help);
    let refused = load_with(Arc::new(Embedded), &exported("boosted_double"), options()).expect_err("declares doubles");
    assert!(refused.help.contains("X[:1].astype(\"float32\")"), "{}", refused.help);
    for name in ["xgboost_forest", "boosted_double"] {
        load_with(onnx_runtime(), &exported(name), options()).expect_err(name);
    }
}

#[test]
fn an_operator_of_many_inputs_does_not_make_loading_slow() {
    let wide = Metadata::read(&exported("polynomial")).expect("metadata");
    assert!(wide.operators.contains(&"Concat".to_owned()));
    for backend in [Arc::new(Embedded) as Arc<dyn Backend>, onnx_runtime()] {
        let version = load_with(Arc::clone(&backend), &exported("polynomial"), options()).expect("loads");
        let chosen = stage(version, vec![features(4)], None).expect("a stage");
        assert_eq!(chosen.to_string(), "`probabilities[1]`, the class `1`", "{}", backend.name());
    }
}

#[test]
fn loading_and_trying_out_end_when_their_time_is_over() {
    let options = |millis| ModelOptions { load_timeout: Duration::from_millis(millis), ..options() };
    let sized = ModelOptions { warm_up: Some(vec![("n".to_owned(), 1500)]), ..options(2000) };
    let slow = load_with(Arc::new(Embedded), &model("slow"), sized).expect_err("400 products of large matrices");
    assert_eq!(slow.message, "loading it takes longer than 2s");
    assert!(slow.help.contains("`load_timeout`") && slow.help.contains("`dimensions`"), "{}", slow.help);
    let version = load_with(Arc::new(Embedded), &model("mlp"), options(60_000)).expect("loads");
    assert!(version.model.as_ref().expect("loaded").loading() > Duration::ZERO);
}
