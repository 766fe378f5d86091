//! The access log as a file: rotated, without its folder, and full.

use std::fs;
use std::path::Path;

use witgate_tests::{Gateway, Site, Upstream};

fn gateway(log: &str, upstream: &Upstream) -> Gateway {
    let site = Site::new(&format!(
        "[[listeners]]\naddress = \"127.0.0.1:0\"\n[admin]\naddress = \"127.0.0.1:0\"\n[runtime]\naccept_timeout = \"0ms\"\n\
         [access_log]\noutput = \"file\"\npath = \"{log}\"\n{}[[routes]]\nname = \"all\"\nupstream = \"u\"\n",
        upstream.config("u")
    ));
    if let Some(folder) = site.path(log).parent() {
        fs::create_dir_all(folder).expect("made");
    }
    site.start()
}

/// Paths of the requests in a log.
fn paths(log: &Path) -> Vec<String> {
    let text = fs::read_to_string(log).unwrap_or_default();
    let records = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("a record"));
    records.map(|record| record["path"].as_str().expect("a path").to_owned()).collect()
}

#[test]
fn a_renamed_log_is_followed_by_a_new_one_when_somebody_says_so() {
    let upstream = Upstream::saying("ok");
    let mut gateway = gateway("access.log", &upstream);
    let [log, first, second, third] =
        ["access.log", "access.log.1", "access.log.2", "access.log.3"].map(|name| gateway.site().path(name));
    gateway.get("/one");
    fs::rename(&log, &first).expect("renamed");
    gateway.get("/two");
    // A record follows its response.
    gateway.eventually("the request is counted", |gateway| {
        gateway.metric_sum("witgate_requests_total", &["route=\"all\""]) == 2.0
    });
    assert_eq!(gateway.reload().status, 200);
    assert_eq!(paths(&first), ["/one", "/two"], "it is whole when the reload is answered");
    gateway.get("/three");
    gateway.eventually("the new log has a record", |_| paths(&log) == ["/three"]);

    fs::rename(&log, &second).expect("renamed");
    gateway.signal(libc::SIGHUP);
    gateway.await_line(|line| line.contains("nothing has changed") && line.contains("SIGHUP"));
    gateway.get("/four");
    gateway.eventually("the new log has a record", |_| paths(&log) == ["/four"]);

    // Whatever becomes of the configuration.
    fs::rename(&log, &third).expect("renamed");
    gateway.site().write("gateway.toml", "[[routes]]\nnam = \"\"\n");
    assert_eq!(gateway.reload().status, 422);
    gateway.get("/five");
    gateway.eventually("the new log has a record", |_| paths(&log) == ["/five"]);
    assert_eq!((paths(&second), paths(&third)), (vec!["/three".to_owned()], vec!["/four".to_owned()]));
}

#[test]
fn without_its_folder_records_go_on_to_the_old_file_and_the_log_says_so_once() {
    let upstream = Upstream::saying("ok");
    let mut gateway = gateway("logs/access.log", &upstream);
    let [logs, away] = ["logs", "away"].map(|name| gateway.site().path(name));
    gateway.get("/one");
    fs::rename(&logs, &away).expect("renamed");
    assert_eq!(gateway.reload().status, 200);
    gateway.get("/two");
    gateway.eventually("nothing is lost", |_| paths(&away.join("access.log")) == ["/one", "/two"]);
    let line = gateway.await_line(|line| line.contains("cannot be opened anew"));
    assert!(line.contains("logs/access.log") && line.contains("Make its folder"), "{line}");
    // It is tried again, and says nothing until it has worked.
    let failures = r#"witgate_access_log_failures_total{operation="open"}"#;
    gateway.eventually("it is tried again", |gateway| gateway.metric(failures) >= 2.0);
    fs::create_dir(&logs).expect("made");
    let line = gateway.await_line(|line| line.contains("cannot be opened anew") || line.contains("is open again"));
    assert!(line.contains("is open again"), "{line}");
    gateway.get("/three");
    gateway.eventually("the new log has a record", |_| paths(&logs.join("access.log")) == ["/three"]);
    assert_eq!(gateway.metric("witgate_access_records_dropped_total"), 0.0);
}

#[test]
fn a_log_without_a_folder_keeps_the_gateway_from_starting_and_is_named() {
    let upstream = Upstream::saying("ok");
    let site = Site::new(&format!(
        "[[listeners]]\naddress = \"127.0.0.1:0\"\n[access_log]\noutput = \"file\"\npath = \"none/access.log\"\n\
         {}[[routes]]\nname = \"all\"\nupstream = \"u\"\n",
        upstream.config("u")
    ));
    let output = std::process::Command::new(witgate_tests::gateway::binary())
        .args(["run", "-c"])
        .arg(site.config())
        .output()
        .expect("runs");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(1) && text.contains("none/access.log"), "{text}");
}
