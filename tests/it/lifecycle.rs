//! Start, check, drain, exit.

use std::process::Command;

use witgate_tests::gateway::binary;
use witgate_tests::http2::{DATA, GOAWAY, HEADERS, Http2, get};
use witgate_tests::{Connection, Gateway, Site, Upstream};

fn all(upstream: &Upstream) -> String {
    format!("{}[[routes]]\nname = \"all\"\nupstream = \"u\"\n", upstream.config("u"))
}

#[test]
fn sigterm_lets_requests_in_flight_end_and_refuses_new_connections() {
    let (upstream, hold) = Upstream::held("done");
    let gateway = Gateway::with(&all(&upstream));
    let mut idle = Connection::open(gateway.address());
    let mut busy = Connection::open(gateway.address());
    busy.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    hold.arrived();
    assert_eq!(gateway.admin("/ready").status, 200);
    gateway.signal(libc::SIGTERM);
    assert!(idle.is_closed(), "an idle connection is closed");
    gateway
        .eventually("new connections are refused", |gateway| std::net::TcpStream::connect(gateway.address()).is_err());
    assert_eq!(gateway.admin("/ready").status, 503);
    assert_eq!(gateway.admin("/live").status, 200);
    hold.release();
    let answer = busy.response().expect("the request in flight is answered");
    assert_eq!(answer.text(), "done");
    assert!(gateway.exit().success());
}

#[test]
fn a_drain_ends_at_its_time_limit() {
    let (upstream, hold) = Upstream::held("done");
    let site = Site::new(&format!(
        "[[listeners]]\naddress = \"127.0.0.1:0\"\n[admin]\naddress = \"off\"\n[runtime]\naccept_timeout = \"0ms\"\n\
         drain_timeout = \"1s\"\n{}",
        all(&upstream)
    ));
    let gateway = site.start();
    let mut busy = Connection::open(gateway.address());
    busy.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    hold.arrived();
    gateway.signal(libc::SIGTERM);
    assert!(gateway.exit().success());
    let answer = busy.response().expect("it is told, for nothing had been sent");
    assert_eq!((answer.status, answer.code().as_str()), (503, "OVERLOADED"));
}

/// With an accept timeout.
fn accepting(time: &str, upstream: &Upstream) -> Gateway {
    let site = Site::new(&format!(
        "[[listeners]]\naddress = \"127.0.0.1:0\"\n[admin]\naddress = \"127.0.0.1:0\"\n\
         [runtime]\naccept_timeout = \"{time}\"\n{}",
        all(upstream)
    ));
    site.start()
}

#[test]
fn after_sigterm_connections_are_accepted_for_a_while_and_told_to_close() {
    let mut gateway = accepting("1h", &Upstream::saying("done"));
    let mut kept = Connection::open(gateway.address());
    kept.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_eq!(kept.response().expect("an answer").header("connection"), None);
    gateway.signal(libc::SIGTERM);
    gateway.eventually("it is not ready any more", |gateway| gateway.admin("/ready").status == 503);
    let text = gateway.admin("/ready").text();
    assert!(text.starts_with("draining\n") && text.contains("connections are accepted for"), "{text}");
    for (connection, whose) in
        [(&mut kept, "a kept connection"), (&mut Connection::open(gateway.address()), "a new one")]
    {
        connection.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
        let answer = connection.response().expect(whose);
        assert_eq!((answer.status, answer.header("connection").as_deref()), (200, Some("close")), "{whose}");
        assert!(connection.is_closed(), "{whose}");
    }
    let mut client = Http2::open(gateway.address());
    client.headers(1, &get("/", &[]), true);
    let kinds: Vec<u8> = std::iter::from_fn(|| client.next()).map(|frame| frame.kind).collect();
    assert!([HEADERS, DATA, GOAWAY].iter().all(|kind| kinds.contains(kind)), "over HTTP/2: {kinds:?}");
    // A change is still taken, for that may take an hour, and so is a wish for a new log.
    gateway.signal(libc::SIGHUP);
    gateway.await_line(|line| line.contains("nothing has changed") && line.contains("SIGHUP"));
    gateway.signal(libc::SIGTERM);
    gateway.await_line(|line| line.contains("a second time"));
    assert!(gateway.exit().success());
}

#[test]
fn accepting_ends_at_its_time_limit_and_requests_in_flight_still_end() {
    let (upstream, hold) = Upstream::held("done");
    let gateway = accepting("300ms", &upstream);
    let mut idle = Connection::open(gateway.address());
    let mut busy = Connection::open(gateway.address());
    busy.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    hold.arrived();
    gateway.signal(libc::SIGINT);
    gateway
        .eventually("new connections are refused", |gateway| std::net::TcpStream::connect(gateway.address()).is_err());
    assert!(idle.is_closed(), "an idle connection is closed");
    let text = gateway.admin("/ready").text();
    assert!(text.starts_with("draining\nno connections are accepted; requests in flight: 1"), "{text}");
    hold.release();
    assert_eq!(busy.response().expect("the request in flight is answered").text(), "done");
    assert!(gateway.exit().success());
}

#[test]
fn a_second_signal_stops_at_once() {
    let (upstream, hold) = Upstream::held("done");
    let mut gateway = Gateway::with(&all(&upstream));
    let mut busy = Connection::open(gateway.address());
    busy.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    hold.arrived();
    gateway.signal(libc::SIGINT);
    gateway.await_line(|line| line.contains("draining"));
    gateway.signal(libc::SIGINT);
    assert!(gateway.exit().success());
}

#[test]
fn check_lists_every_problem_with_line_path_and_help() {
    let site = Site::new(
        "[upstreams.u]\nendpoints = [\"127.0.0.1:9\"]\n[[routes]]\nname = \"all\"\nupstream = \"v\"\ndeadlin = \"5s\"\n\
         [plugins.p]\npath = \"missing.wasm\"\n",
    );
    let (status, output) = site.check(&[]);
    assert_eq!(status.code(), Some(1));
    for part in ["deadlin", "deadline", "\"v\"", "gateway.toml:", "help:"] {
        assert!(output.contains(part), "{part:?} is missing in:\n{output}");
    }
    let (status, output) = site.check(&["--format", "json"]);
    assert_eq!(status.code(), Some(1));
    let json: serde_json::Value = serde_json::from_str(output.trim()).expect("JSON and nothing else");
    assert_eq!(json["ok"], false);
    let problems = json["diagnostics"].as_array().expect("a list");
    assert!(problems.len() >= 2, "{json}");
    assert!(problems.iter().all(|p| p["line"].is_u64() && p["message"].is_string() && p["path"].is_string()), "{json}");

    site.configure("[upstreams.u]\nendpoints = [\"127.0.0.1:9\"]\n[[routes]]\nname = \"all\"\nupstream = \"u\"\n");
    let (status, output) = site.check(&[]);
    assert!(status.success() && output.contains("ok"), "{output}");
    let (status, output) = site.check(&["--format", "json"]);
    assert!(status.success() && output.contains("\"ok\":true"), "{output}");
}

#[test]
fn a_bad_configuration_does_not_start() {
    let site = Site::new("[[routes]]\nname = \"all\"\nupstream = \"nowhere\"\n");
    let output = Command::new(binary()).args(["run", "-c"]).arg(site.config()).output().expect("runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("nowhere"));
    let output = Command::new(binary()).args(["run", "-c", "no/such/file.toml"]).output().expect("runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no/such/file.toml"));
}

#[test]
fn an_address_in_use_is_named() {
    let upstream = Upstream::saying("ok");
    let site = Site::new(&format!(
        "[[listeners]]\naddress = \"{}\"\n[admin]\naddress = \"off\"\n{}",
        upstream.address(),
        all(&upstream)
    ));
    let output = Command::new(binary()).args(["run", "-c"]).arg(site.config()).output().expect("runs");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(1) && text.contains(&upstream.address().to_string()), "{text}");
}

#[test]
fn version_and_help_are_there() {
    let version = Command::new(binary()).arg("--version").output().expect("runs");
    assert!(String::from_utf8_lossy(&version.stdout).starts_with("witgate 0."));
    let help = Command::new(binary()).args(["run", "--help"]).output().expect("runs");
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    for part in ["SIGHUP", "SIGTERM", "--config", "gateway.toml"] {
        assert!(help.contains(part), "{part} is missing in:\n{help}");
    }
}
