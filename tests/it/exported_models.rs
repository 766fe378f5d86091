//! Models as exporters write them (`tests/models/exporters`), through the binary: which number is the score, where features
//! go, and what is told of it.

use witgate_tests::{Gateway, Site, Upstream};

use crate::scoring::model;

/// The configuration of a stage with a model on a runtime. Its features are four fields.
fn config(upstream: &Upstream, runtime: &str, name: &str, stage: &str) -> String {
    let numbers = ["a", "b", "c", "d"].map(|field| format!("{{ number = \"header:x-{field}\" }}"));
    format!(
        "[inference]\nruntime = \"{runtime}\"\n{}[models.m]\npath = \"{}\"\n[features.f]\nvalues = [{}]\n\
         [[routes]]\nname = \"all\"\nupstream = \"u\"\n\
         stages = [{{ inference = \"m\", inputs = [\"f\"], deadline = \"30s\", tag = \"x-tag\", {stage} }}]\n",
        upstream.config("u"),
        model(name).display(),
        numbers.join(", ")
    )
}

const EMBEDDED: &str = "embedded";

fn onnx_runtime() -> String {
    std::env::var("WITGATE_ONNXRUNTIME").expect("`cargo xtask test` installs ONNX Runtime and sets WITGATE_ONNXRUNTIME")
}

/// The score that the upstream is told, or the status of a refusal.
fn scored(gateway: &Gateway, upstream: &Upstream, fields: &[(&str, &str)]) -> Result<f64, u16> {
    let answer = gateway.get_with("/", fields);
    if answer.status == 200 {
        Ok(upstream.last().header("x-tag").expect("tagged").parse().expect("a number"))
    } else {
        Err(answer.status)
    }
}

#[test]
fn the_score_is_the_class_that_is_meant_and_the_log_says_which() {
    let upstream = Upstream::saying("ok");
    for (name, output, says) in [
        ("lightgbm", "", "the score is `probabilities[1]`, the class `1`"),
        ("lightgbm_map", "", "the score is `probabilities[1]`, the class `1`"),
        ("lightgbm_names", "output = \"probabilities[bot]\"", "the score is `probabilities[0]`, the class `bot`"),
        ("xgboost", "", "the score is `probabilities[1]`, the class `1`"),
        ("catboost", "output = \"probability_tensor[1]\"", "the score is `probability_tensor[1]`, the class `1`"),
        ("forest_columns", "output = \"i1\"", "the score is `i1`"),
        ("forest_from_1", "output = 'probabilities[\"2\"]'", "the score is `probabilities[1]`, the class `2`"),
        ("network_names", "output = \"probabilities[bot]\"", "the score is `probabilities[0]`, the class `bot`"),
        ("scaled_double", "", "the score is `probabilities[1]`, the class `1`"),
    ] {
        // They have learned whether the first number is above 0.
        let judged = |gateway: &Gateway| {
            let of = |number: &str| scored(gateway, &upstream, &[("x-a", number)]).expect("a score");
            [of("3"), of("-3")]
        };
        let of_other = Gateway::with(&config(&upstream, &onnx_runtime(), &format!("exporters/{name}"), output));
        let gateway = Gateway::with(&config(&upstream, EMBEDDED, &format!("exporters/{name}"), output));
        let [bad, good] = judged(&gateway);
        assert!(bad > 0.6 && good < 0.4, "{name}: {bad} {good}");
        assert_eq!(judged(&of_other), [bad, good], "{name}");
        assert_eq!(gateway.reload().status, 200);
        gateway.signal(libc::SIGTERM);
        let (_, lines) = gateway.last_words();
        let said = |words: &str| lines.iter().filter(|line| line.contains(words)).count();
        assert_eq!(said(says), 1, "{name}: told once, and not with every reload: {lines:?}");
        assert_eq!(said("loading="), 1, "{name}: how long it took is told: {lines:?}");
    }
}

#[test]
fn what_is_strange_to_an_isolation_forest_is_refused_by_its_low_score() {
    let upstream = Upstream::saying("ok");
    let gateway = Gateway::with(&config(&upstream, EMBEDDED, "exporters/isolation", "refuse_below = 0"));
    assert!(scored(&gateway, &upstream, &[]).is_ok_and(|score| score > 0.0));
    let strange = [("x-a", "9"), ("x-b", "-9"), ("x-c", "9"), ("x-d", "-9")];
    assert_eq!(scored(&gateway, &upstream, &strange), Err(403));
}

#[test]
fn an_input_for_each_column_gets_the_number_of_its_name() {
    let upstream = Upstream::saying("ok");
    let set = "[features.f]\nvalues = [{ length = \"path\" }, { number = \"header:x-score\" }]\n";
    let config = format!(
        "{}[models.m]\npath = \"{}\"\n{set}[[routes]]\nname = \"all\"\nupstream = \"u\"\n\
         stages = [{{ inference = \"m\", inputs = [\"f\"], tag = \"x-tag\" , deadline = \"30s\" }}]\n",
        upstream.config("u"),
        model("columns").display(),
    );
    let gateway = Gateway::with(&config);
    // A hundred for each byte of the path: the model's inputs stand the other way round.
    assert_eq!(gateway.get_with("/abc", &[("x-score", "7")]).status, 200);
    assert_eq!(upstream.last().header("x-tag").as_deref(), Some("407.0000"));
    let site = Site::new(&config.replace("header:x-score", "header:x-other"));
    let (status, text) = site.check(&[]);
    assert!(!status.success() && text.contains("the features have no `number_header_x_score_`"), "{text}");
}

#[test]
fn loading_that_takes_too_long_is_refused_with_the_limit() {
    let site = Site::new(&format!("[models.m]\npath = \"{}\"\nload_timeout = \"1ms\"\n", model("slow").display()));
    let (status, text) = site.check(&[]);
    assert!(!status.success() && text.contains("model `m`: loading it takes longer than 1ms"), "{text}");
    assert!(text.contains("raise `load_timeout`"), "{text}");
}
