//! What a reload refuses, by name.

#![allow(clippy::unwrap_used, reason = "a helper of tests may panic like a test")]

use std::path::Path;

use witgate_config::parse;

const RUNNING: &str = "\
[[listeners]]
address = \"127.0.0.1:8080\"
[admin]
address = \"127.0.0.1:9901\"
[runtime]
threads = 2
drain_timeout = \"30s\"
[access_log]
output = \"off\"
[downstream]
idle_timeout = \"60s\"
";

/// Path and line of each static setting in which the running configuration differs from `new`.
fn changes(new: &str) -> Vec<(String, usize)> {
    let file = Path::new("gateway.toml");
    let running = parse(RUNNING, file).unwrap();
    let changes = parse(new, file).unwrap().static_changes(&running, file);
    let named = changes.into_iter().map(|change| {
        assert!(change.help.unwrap().contains("restart to apply"), "{}", change.message);
        let spot = change.spot.unwrap();
        (spot.path, spot.line)
    });
    named.collect()
}

#[test]
fn what_is_not_static_can_be_reloaded() {
    assert_eq!(changes(RUNNING), []);
    assert_eq!(changes(&RUNNING.replace("60s", "10s")), []);
}

#[test]
fn moving_a_static_setting_is_no_change() {
    assert_eq!(changes(&format!("# A comment.\n\n{RUNNING}")), []);
}

#[test]
fn writing_a_default_out_is_no_change() {
    assert_eq!(changes(&RUNNING.replace("drain_timeout = \"30s\"\n", "")), []);
}

#[test]
fn each_static_setting_that_changed_is_named_with_its_line() {
    for (from, to, path, line) in [
        ("127.0.0.1:8080", "127.0.0.1:8081", "listeners", 2),
        ("\"127.0.0.1:9901\"", "\"off\"", "admin.address", 4),
        ("threads = 2", "threads = 3", "runtime.threads", 6),
        ("\"30s\"", "\"5s\"", "runtime.drain_timeout", 7),
        ("threads = 2", "threads = 2\naccept_timeout = \"0ms\"", "runtime.accept_timeout", 7),
        ("threads = 2", "threads = 2\nplugin_cache = \"cache\"", "runtime.plugin_cache", 7),
        ("\"off\"", "\"stdout\"", "access_log", 8),
        ("\"off\"", "\"file\"\npath = \"access.log\"", "access_log", 8),
    ] {
        assert_eq!(changes(&RUNNING.replacen(from, to, 1)), [(path.to_owned(), line)], "{from} -> {to}");
    }
}

#[test]
fn a_certificate_added_to_a_listener_is_a_change_of_the_listeners() {
    let tls = "127.0.0.1:8080\"\ntls = { certificate = \"cert.pem\", key = \"key.pem\" }\n#\"";
    assert_eq!(changes(&RUNNING.replacen("127.0.0.1:8080\"", tls, 1)), [("listeners".to_owned(), 2)]);
}

#[test]
fn all_static_changes_are_named_at_once() {
    let paths: Vec<_> =
        changes("[[listeners]]\naddress = \"127.0.0.1:8081\"\n").into_iter().map(|(path, _)| path).collect();
    assert_eq!(paths, ["listeners", "runtime.threads", "access_log"]);
}

/// What is said of the only change: line, column, and message.
fn only(new: &str) -> (usize, usize, String) {
    let file = Path::new("gateway.toml");
    let running = parse(RUNNING, file).unwrap();
    let changes = parse(new, file).unwrap().static_changes(&running, file);
    assert_eq!(changes.len(), 1, "{changes:?}");
    let change = changes.first().unwrap();
    let spot = change.spot.clone().unwrap();
    (spot.line, spot.column, change.message.clone())
}

#[test]
fn a_static_setting_that_is_gone_is_told_where_it_could_stand() {
    let (line, column, message) = only(&RUNNING.replace("[access_log]\noutput = \"off\"\n", ""));
    assert_eq!((line, column), (9, 21), "the end of the file");
    assert_eq!(
        message,
        "`access_log` cannot change while the gateway runs: expected \"off\", as it was started with, got \"stdout\""
    );
    let (line, _, message) = only(&RUNNING.replace("threads = 2\n", ""));
    assert_eq!(line, 5, "the table that it was in");
    assert!(message.ends_with("expected 2, as it was started with, got none"), "{message}");
}

#[test]
fn the_listener_that_changed_is_told_of_many() {
    let second = "[[listeners]]\naddress = \"127.0.0.1:8443\"\n";
    let (line, column, message) = only(&format!("{RUNNING}{second}"));
    assert_eq!((line, column), (13, 11));
    assert!(
        message.ends_with("expected no more, as it was started with, got also 127.0.0.1:8443 without `tls`"),
        "{message}"
    );
    let file = Path::new("gateway.toml");
    let running = parse(&format!("{RUNNING}{second}"), file).unwrap();
    let moved = parse(&format!("{RUNNING}{}", second.replace("8443", "8444")), file).unwrap();
    let changes = moved.static_changes(&running, file);
    assert_eq!(changes[0].spot.as_ref().unwrap().line, 13);
    assert!(changes[0].message.starts_with("`listeners[1]` cannot change"), "{}", changes[0].message);
    let gone = parse(RUNNING, file).unwrap().static_changes(&running, file);
    assert!(gone[0].message.contains("expected 127.0.0.1:8443 without `tls`"), "{}", gone[0].message);
}
