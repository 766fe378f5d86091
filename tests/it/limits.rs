//! Deadlines, body limits, and upstreams that fail.

use std::io::Write;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use witgate_tests::client::request;
use witgate_tests::{Connection, Gateway, Upstream};

#[test]
fn a_body_over_the_limit_of_its_route_is_refused() {
    let upstream = Upstream::saying("ok");
    let gateway = Gateway::with(&format!(
        "{}[[routes]]\nname = \"all\"\nupstream = \"u\"\nbody_limit = \"1KiB\"\n",
        upstream.config("u")
    ));
    let send = |size: usize| {
        request(gateway.address(), "POST", "/", &[("content-length", &size.to_string())], &vec![b'x'; size])
    };
    assert_eq!(send(1024).status, 200);
    let refused = send(1025);
    assert_eq!((refused.status, refused.code().as_str()), (413, "PAYLOAD_TOO_LARGE"));
    let chunk = format!("401\r\n{}\r\n0\r\n\r\n", "x".repeat(0x401));
    let refused = request(gateway.address(), "POST", "/", &[("transfer-encoding", "chunked")], chunk.as_bytes());
    assert_eq!((refused.status, refused.code().as_str()), (413, "PAYLOAD_TOO_LARGE"));
    assert_eq!(upstream.received().len(), 1);
}

#[test]
fn an_upstream_that_does_not_answer_in_time_gives_504() {
    let (upstream, _hold) = Upstream::held("late");
    let mut gateway = Gateway::with(&format!(
        "{}[[routes]]\nname = \"all\"\nupstream = \"u\"\ndeadline = \"300ms\"\n",
        upstream.config("u")
    ));
    let started = Instant::now();
    let answer = gateway.get_with("/", &[("x-request-id", "late-1")]);
    assert_eq!((answer.status, answer.code().as_str()), (504, "DEADLINE_EXCEEDED"));
    assert!(started.elapsed() >= Duration::from_millis(300));
    let record = gateway.record("late-1");
    assert_eq!((&record["status"], &record["code"]), (&504.into(), &"DEADLINE_EXCEEDED".into()));
}

#[test]
fn an_upstream_that_trickles_is_cut_off_at_the_deadline() {
    let upstream = Upstream::new(|_, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n").expect("written");
        // Each piece comes long before a read would time out.
        while stream.write_all(b"x").is_ok() {
            std::thread::park_timeout(Duration::from_millis(50));
        }
        false
    });
    let mut gateway = Gateway::with(&format!(
        "{}[[routes]]\nname = \"all\"\nupstream = \"u\"\ndeadline = \"500ms\"\n",
        upstream.config("u")
    ));
    let started = Instant::now();
    let mut connection = Connection::open(gateway.address());
    connection.send("GET / HTTP/1.1\r\nhost: a\r\nx-request-id: trickle-1\r\n\r\n");
    assert!(connection.response().is_none(), "the response was completed");
    assert!(started.elapsed() < Duration::from_secs(20));
    assert_eq!(gateway.record("trickle-1")["error"], "cut off at its deadline");
    gateway.eventually("nothing is in flight", |gateway| gateway.metric("witgate_requests_in_flight") == 0.0);
}

#[test]
fn unreachable_and_broken_upstreams_are_told_apart() {
    let closed = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let closed_address = closed.local_addr().expect("bound");
    drop(closed);
    let silent = Upstream::new(|_, _| false);
    let garbage = Upstream::new(|_, stream| stream.write_all(b"SSH-2.0-x\r\n\r\n").is_ok());
    let gateway = Gateway::with(&format!(
        "[upstreams.closed]\nendpoints = [\"{closed_address}\"]\n{}{}\
         [[routes]]\nname = \"closed\"\npath = \"/closed\"\nupstream = \"closed\"\n\
         [[routes]]\nname = \"silent\"\npath = \"/silent\"\nupstream = \"silent\"\n\
         [[routes]]\nname = \"garbage\"\npath = \"/garbage\"\nupstream = \"garbage\"\n",
        silent.config("silent"),
        garbage.config("garbage"),
    ));
    for (path, status) in [("/closed", 503), ("/silent", 502), ("/garbage", 502)] {
        let answer = request(gateway.address(), "POST", path, &[("content-length", "0")], b"");
        assert_eq!((answer.status, answer.code().as_str()), (status, "UPSTREAM_UNAVAILABLE"), "{path}");
        assert!(!answer.text().contains(&closed_address.to_string()), "tells of the inside: {}", answer.text());
    }
    let missing = gateway.get("/nowhere");
    assert_eq!((missing.status, missing.code().as_str()), (404, "NOT_FOUND"));
}

#[test]
fn endpoints_take_turns_and_a_dead_one_is_passed_over() {
    let (first, second) = (Upstream::saying("first"), Upstream::saying("second"));
    let closed = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let closed_address = closed.local_addr().expect("bound");
    drop(closed);
    let gateway = Gateway::with(&format!(
        "[upstreams.u]\nendpoints = [\"{}\", \"{}\", \"{closed_address}\"]\n[[routes]]\nname = \"all\"\nupstream = \"u\"\n",
        first.address(),
        second.address()
    ));
    for _ in 0..12 {
        assert_eq!(gateway.get("/").status, 200);
    }
    let (first, second) = (first.received().len(), second.received().len());
    assert_eq!(first + second, 12);
    assert!(first >= 4 && second >= 4, "{first} and {second}");
}

#[test]
fn error_answers_come_in_the_form_that_the_client_accepts() {
    let upstream = Upstream::saying("ok");
    let gateway =
        Gateway::with(&format!("{}[[routes]]\nname = \"a\"\npath = \"/a\"\nupstream = \"u\"\n", upstream.config("u")));
    let json = gateway.get("/x");
    assert_eq!(json.header("content-type").as_deref(), Some("application/json"));
    let body = json.json();
    for field in ["code", "message", "details", "requestId", "timestamp", "retryable"] {
        assert!(!body[field].is_null(), "{field} is missing in {body}");
    }
    assert_eq!(json.header("x-request-id").as_deref(), body["requestId"].as_str());
    let html = gateway.get_with("/x", &[("accept", "text/html")]);
    assert!(html.text().starts_with("<!doctype html>"));
    let text = gateway.get_with("/x", &[("accept", "text/plain")]);
    assert!(text.text().starts_with("NOT_FOUND: "), "{}", text.text());
    let grpc =
        request(gateway.address(), "POST", "/x", &[("content-type", "application/grpc"), ("content-length", "0")], b"");
    assert_eq!((grpc.status, grpc.header("grpc-status").as_deref()), (200, Some("5")));
    assert_eq!(request(gateway.address(), "HEAD", "/x", &[], b"").status, 404);
}
