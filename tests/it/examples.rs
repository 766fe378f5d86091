//! The sample and the examples are what a newcomer meets first: each is valid, and its commands do what they say.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Instant;

use witgate_tests::examples::{REDIS, Trial, root, serve, trials};
use witgate_tests::gateway::{PATIENCE, binary};
use witgate_tests::{Redis, Upstream, client};

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

/// A request of `examples/bot-score/samples.jsonl`, and the score that it had in training.
struct Client {
    headers: Vec<(String, String)>,
    score: f64,
}

impl Client {
    fn all() -> Vec<Self> {
        let samples = fs::read_to_string(root().join("examples/bot-score/samples.jsonl")).expect("readable");
        let read = |line: &str| {
            let sample: serde_json::Value = serde_json::from_str(line).expect("JSON");
            let headers = serde_json::from_value(sample["request"]["headers"].clone()).expect("pairs");
            Self { headers, score: sample["score"].as_f64().expect("a number") }
        };
        samples.lines().map(read).collect()
    }

    /// Whether the example refuses it, as soon as it refuses at all.
    fn is_bot(&self) -> bool {
        self.score > 0.9
    }

    fn status(&self, address: std::net::SocketAddr) -> u16 {
        let headers: Vec<_> = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        client::get(address, "/", &headers).status
    }
}

fn bot_score(change: impl Fn(String) -> String, upstream: &Upstream) -> witgate_tests::Gateway {
    let file = root().join("examples/bot-score/gateway.toml");
    let text = fs::read_to_string(&file).expect("readable");
    serve(&file, &change(text), upstream, None)
}

#[test]
fn the_bot_example_scores_as_it_was_trained_and_its_drift_is_the_gateway_s() {
    let upstream = Upstream::saying("ok");
    let tagging =
        |text: String| text.replace("mode = \"shadow\"\n", "").replace("refuse_above = 0.9\n", "refuse_above = 2.0\n");
    let gateway = bot_score(tagging, &upstream);
    let clients = Client::all();
    assert!(clients.iter().any(Client::is_bot) && !clients.iter().all(Client::is_bot));
    // As many as the index needs.
    for _ in 0..=200 / clients.len() {
        for client in &clients {
            assert_eq!(client.status(gateway.address()), 200);
            let score: f64 = upstream.last().header("x-bot-score").expect("a score").parse().expect("a number");
            assert!((score - client.score).abs() < 1e-4, "{:?}: {score}, {} in training", client.headers, client.score);
        }
    }
    let index = gateway.metric("witgate_model_score_psi{model=\"bot\"}");
    assert!(index > 0.25, "nine clients are not the traffic of the training: {index}");
    let metrics = gateway.site().write("metrics", gateway.admin("/metrics").text());
    let drift = |limit: &str| {
        let script = root().join("examples/bot-score/drift.py");
        let output = Command::new("python3").arg(script).args(["--limit", limit, "--metrics"]).arg(&metrics).output();
        let output = output.expect("python3 runs");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (status, printed) = drift("0.25");
    assert!(status == Some(1) && printed.contains(&format!("{index:.4}")), "{index}: {status:?} {printed}");
    assert_eq!(drift("100").0, Some(0));
}

#[test]
fn the_bot_example_refuses_when_a_line_is_gone_and_browsers_notice_nothing() {
    let upstream = Upstream::saying("ok");
    let gateway = bot_score(|text| text, &upstream);
    let shadow = fs::read_to_string(gateway.site().config()).expect("readable");
    let enforcing = shadow.replace("mode = \"shadow\"\n", "");
    assert_ne!(shadow, enforcing);
    let (address, clients) = (gateway.address(), Client::all());
    for client in &clients {
        assert_eq!(client.status(address), 200, "{:?} in shadow", client.headers);
        assert_eq!(upstream.last().header("x-bot-score"), None, "in shadow the upstream is told nothing");
    }
    let (begun, beginnings) = channel();
    let (end, over) = (Instant::now() + PATIENCE, AtomicBool::new(false));
    thread::scope(|scope| {
        let (bots, browsers): (Vec<_>, Vec<_>) = clients.iter().partition(|client| client.is_bot());
        for client in browsers {
            let over = &over;
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) && Instant::now() < end {
                    assert_eq!(client.status(address), 200, "{:?}", client.headers);
                }
            });
        }
        let refused = bots.into_iter().map(|client| {
            let begun = begun.clone();
            scope.spawn(move || {
                while client.status(address) == 200 {
                    assert!(Instant::now() < end, "{:?} still passes", client.headers);
                    let _ = begun.send(());
                }
                assert!((0..20).all(|_| client.status(address) == 403), "{:?}", client.headers);
            })
        });
        let refused: Vec<_> = refused.collect();
        beginnings.recv_timeout(PATIENCE).expect("a request is answered");
        gateway.reconfigure(&enforcing);
        let refused: Vec<_> = refused.into_iter().map(thread::ScopedJoinHandle::join).collect();
        over.store(true, Ordering::Relaxed);
        assert!(refused.iter().all(Result::is_ok));
    });
}
