//! The sample and the examples are what a newcomer meets first: each is valid, and its commands do what they say.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use witgate_tests::gateway::binary;
use witgate_tests::{Gateway, Redis, Site, Upstream};

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests stand below the root")
}

/// The sample, then each example.
fn configurations() -> Vec<PathBuf> {
    let examples = fs::read_dir(root().join("examples")).expect("there are examples");
    let examples = examples.map(|entry| entry.expect("readable").path().join("gateway.toml"));
    let mut files: Vec<PathBuf> = examples.filter(|file| file.is_file()).collect();
    files.sort();
    files.insert(0, root().join("gateway.toml"));
    files
}

/// What a comment line `#   curl …` says to do, and the status that the line before it starts with.
pub(crate) struct Trial {
    pub status: String,
    pub command: String,
}

pub(crate) fn trials(text: &str) -> Vec<Trial> {
    let lines: Vec<&str> = text.lines().collect();
    let pairs = lines.windows(2).filter(|pair| pair[1].starts_with("#   curl "));
    pairs
        .map(|pair| {
            let (expectation, command) = (pair[0].trim_start_matches(['#', ' ']), &pair[1]["#   ".len()..]);
            let status: String = expectation.chars().take_while(char::is_ascii_digit).collect();
            assert_eq!(status.len(), 3, "{expectation:?} should begin with the status that `{command}` shows");
            Trial { status, command: command.to_owned() }
        })
        .collect()
}

/// Where examples expect Redis.
const REDIS: &str = "127.0.0.1:6379";

/// Serves a configuration of the repository as it is, except for its addresses: free ports, and one upstream for all but Redis.
pub(crate) fn serve(file: &Path, text: &str, upstream: &Upstream, redis: Option<&Redis>) -> Gateway {
    let folder = file.parent().expect("a folder");
    let mut config = String::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let line = line.replace("../../", &format!("{}/", root().display()));
        let line = match line.split_once(['=', ' ']).map_or("", |(key, _)| key) {
            "address" => "address = \"127.0.0.1:0\"".to_owned(),
            "endpoints" if line.contains(REDIS) => {
                line.replace(REDIS, &redis.expect("a Redis for this example").address.to_string())
            }
            "endpoints" => format!("endpoints = [\"{}\"]", upstream.address()),
            _ => line,
        };
        config.push_str(&line);
        config.push('\n');
    }
    if !config.contains("[admin]") {
        config.push_str("\n[admin]\naddress = \"127.0.0.1:0\"\n");
    }
    let site = Site::new(&config);
    for entry in fs::read_dir(folder).expect("readable") {
        let entry = entry.expect("readable");
        if entry.file_name() != "gateway.toml" {
            symlink(entry.path(), site.path(&entry.file_name().to_string_lossy())).expect("linked");
        }
    }
    site.start()
}

#[test]
fn the_sample_and_all_examples_pass_the_check() {
    for file in configurations() {
        let output = Command::new(binary()).args(["check", "-c"]).arg(&file).output().expect("witgate runs");
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
