//! The sample and the examples are what a newcomer meets first: each is valid, and its commands do what they say.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use witgate_tests::examples::{REDIS, Trial, root, serve, trials};
use witgate_tests::gateway::binary;
use witgate_tests::{Redis, Upstream};

/// The sample, then each example.
fn configurations() -> Vec<PathBuf> {
    let examples = fs::read_dir(root().join("examples")).expect("there are examples");
    let examples = examples.map(|entry| entry.expect("readable").path().join("gateway.toml"));
    let mut files: Vec<PathBuf> = examples.filter(|file| file.is_file()).collect();
    files.sort();
    files.insert(0, root().join("gateway.toml"));
    files
}

#[test]
fn the_sample_and_all_examples_pass_the_check() {
    for file in configurations() {
        let output = Command::new(binary())
            .args(["check", "--skip", "addresses", "-c"])
            .arg(&file)
            .output()
            .expect("witgate runs");
        assert!(output.status.success(), "{}:\n{}", file.display(), String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn each_command_to_try_shows_the_status_it_promises() {
    for file in configurations() {
        let text = fs::read_to_string(&file).expect("readable");
        let trials = trials(&text);
        assert!(trials.len() >= 3, "{} should offer at least three commands to try", file.display());
        let upstream = Upstream::saying("hello");
        let redis = text.contains(REDIS).then(Redis::start);
        let gateway = serve(&file, &text, &upstream, redis.as_ref());
        for Trial { status, command } in trials {
            let here = command.replace("127.0.0.1:8080", &gateway.address().to_string());
            let output = Command::new("sh").args(["-c", &here]).output().expect("a shell runs");
            let output = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(output.contains(&status), "{}: `{command}` should show {status}, but:\n{output}", file.display());
        }
    }
}

#[test]
fn the_sample_offers_a_request_that_passes_one_without_a_key_and_one_too_many() {
    let text = fs::read_to_string(root().join("gateway.toml")).expect("readable");
    let statuses: Vec<String> = trials(&text).into_iter().map(|trial| trial.status).collect();
    assert_eq!(statuses, ["200", "401", "429"]);
}
