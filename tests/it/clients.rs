//! The model server as clients of others find it: here those that need nothing but Python. Triton's are the suite `clients`.

use std::process::{Command, Output};

use witgate_tests::Upstream;
use witgate_tests::examples::{root, serve};
use witgate_tests::gateway::binary;

fn text_of(output: &Output) -> String {
    [&output.stdout[..], &output.stderr].map(String::from_utf8_lossy).concat()
}

#[test]
fn the_model_server_s_example_tells_files_apart() {
    let file = root().join("examples/model-server/gateway.toml");
    let text = std::fs::read_to_string(&file).expect("readable");
    let gateway = serve(&file, &text, &Upstream::saying("unused"), None);
    let mut classify = Command::new("python3");
    classify.arg(root().join("examples/model-server/classify.py")).args(["--url", &gateway.url("")]);
    let classified =
        classify.args([root().join("README.md"), root().join("Cargo.toml"), binary()]).output().expect("runs");
    let printed = text_of(&classified);
    for (name, kind) in [("README.md", "markdown"), ("Cargo.toml", "toml"), ("witgate", "elf")] {
        let told = printed.lines().any(|line| line.contains(name) && line.contains(&format!(": {kind}")));
        assert!(told, "{name} should be {kind}: {printed}");
    }
}

#[test]
fn the_abuse_example_scores_as_it_was_trained() {
    let file = root().join("examples/abuse-scoring/gateway.toml");
    let config = std::fs::read_to_string(&file).expect("readable").replace("refuse_above = 0.9", "refuse_above = 2.0");
    let upstream = Upstream::saying("ok");
    let gateway = serve(&file, &config, &upstream, None);
    let samples = std::fs::read_to_string(file.with_file_name("samples.jsonl")).expect("readable");
    for line in samples.lines() {
        let sample: serde_json::Value = serde_json::from_str(line).expect("JSON");
        let request = &sample["request"];
        let part = |name: &str| request[name].as_str().map(str::to_owned);
        // The path as it is: what this gateway routes by is normal, and the model sees that.
        let path = part("path").expect("a path");
        if has_dots(&path) {
            continue;
        }
        let target = part("query").map_or(path.clone(), |query| format!("{path}?{query}"));
        assert_eq!(gateway.get(&target).status, 200, "{target}");
        let score: f64 = upstream.last().header("x-abuse-score").expect("a score").parse().expect("a number");
        let trained = sample["score"].as_f64().expect("a number");
        assert!((score - trained).abs() < 0.001, "{target}: {score}, in training {trained}");
    }
    assert!(upstream.received().len() >= 4, "most samples have normal paths");
}

/// Whether a path has segments that a gateway removes.
fn has_dots(path: &str) -> bool {
    path.split('/').any(|segment| segment == ".." || segment == ".")
}
