//! What is not a proper request is refused as the RFCs say, and never reaches an upstream.

use std::time::{Duration, Instant};

use witgate_tests::client::raw;
use witgate_tests::{Connection, Gateway, Upstream};

fn gateway(upstream: &Upstream, more: &str) -> Gateway {
    Gateway::with(&format!("{more}{}[[routes]]\nname = \"all\"\nupstream = \"u\"\n", upstream.config("u")))
}

#[test]
fn ambiguous_or_malformed_heads_get_an_error_envelope_and_go_nowhere() {
    let upstream = Upstream::saying("ok");
    let gateway = gateway(&upstream, "");
    let refused = gateway.metric("witgate_heads_refused_total");
    let cases = [
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3\r\n\r\nabc", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\x0cchunked\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\x0bchunked\r\n\r\n", 400),
        ("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", 400),
        ("GET / HTTP/1.1\nHost: a\n\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: \x00\r\n\r\n", 400),
        ("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/3.0\r\nHost: a\r\n\r\n", 400),
        ("GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", 405),
        ("\x16\x03\x01\x02\x00\x01\x00\x01\x7c\x03\x03\r\n\r\n", 400),
    ];
    for (bytes, status) in cases {
        let answer = raw(gateway.address(), bytes).unwrap_or_else(|| panic!("no answer to {bytes:?}"));
        assert_eq!(answer.status, status, "{bytes:?}: {}", answer.text());
        assert!(answer.json()["requestId"].is_string(), "{bytes:?}: {}", answer.text());
        assert_eq!(answer.header("connection").as_deref(), Some("close"), "{bytes:?}");
    }
    assert!(upstream.received().is_empty(), "forwarded: {:?}", upstream.received());
    assert_eq!(gateway.metric("witgate_heads_refused_total") - refused, cases.len() as f64);
}

#[test]
fn paths_that_hide_where_they_lead_are_refused_or_made_plain() {
    let upstream = Upstream::saying("ok");
    let gateway = gateway(&upstream, "");
    for path in ["/a/%00", "/%zz", "/%2", "/../etc", "/a/../../b", "/a\\b", "/a/x/..%2fc", "/a/..;/b"] {
        let answer = raw(gateway.address(), format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")).expect("an answer");
        assert_eq!(answer.status, 400, "{path}");
        assert_eq!(answer.code(), "INVALID_REQUEST");
    }
    assert!(upstream.received().is_empty());
    for (path, forwarded) in [("/a/./b", "/a/b"), ("/%61?q=%61", "/a?q=%61"), ("/a/%2e%2e/b", "/b")] {
        assert_eq!(gateway.get(path).status, 200, "{path}");
        assert_eq!(upstream.last().target, forwarded, "{path}");
    }
}

#[test]
fn an_absolute_target_is_forwarded_in_origin_form() {
    let upstream = Upstream::saying("ok");
    let gateway = gateway(&upstream, "");
    let answer =
        raw(gateway.address(), "GET http://a.example/x?y HTTP/1.1\r\nHost: a.example\r\n\r\n").expect("an answer");
    assert_eq!(answer.status, 200);
    assert_eq!(upstream.last().target, "/x?y");
    assert_eq!(upstream.last().header("host").as_deref(), Some("a.example"));
}

#[test]
fn a_head_over_the_limit_is_refused() {
    let upstream = Upstream::saying("ok");
    let gateway = gateway(&upstream, "[downstream]\nheader_limit = \"8KiB\"\n");
    let head = |size: usize| format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(size));
    assert_eq!(raw(gateway.address(), head(7 * 1024)).expect("an answer").status, 200);
    for size in [8 * 1024, 200 * 1024] {
        let answer = raw(gateway.address(), head(size)).expect("an answer");
        assert_eq!((answer.status, answer.code().as_str()), (431, "INVALID_REQUEST"));
    }
    assert_eq!(upstream.received().len(), 1);
}

#[test]
fn the_default_head_limit_is_64_kib() {
    let upstream = Upstream::saying("ok");
    let gateway = gateway(&upstream, "");
    let head = |size: usize| format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(size));
    assert_eq!(raw(gateway.address(), head(63 * 1024)).expect("an answer").status, 200);
    assert_eq!(raw(gateway.address(), head(65 * 1024)).expect("an answer").status, 431);
}

#[test]
fn a_head_that_trickles_in_is_cut_off_at_the_time_limit() {
    let upstream = Upstream::saying("ok");
    let gateway = gateway(&upstream, "[downstream]\nheader_timeout = \"1s\"\n");
    let started = Instant::now();
    let mut connection = Connection::open(gateway.address());
    let mut sender = connection.stream().get_ref().try_clone().expect("cloned");
    // A byte now and then resets a timeout that only looks at single reads.
    let trickle = std::thread::spawn(move || {
        for byte in "GET / HTTP/1.1\r\nHost: a\r\nX: ".bytes().chain(std::iter::repeat(b'x')) {
            std::thread::park_timeout(Duration::from_millis(100));
            if std::io::Write::write_all(&mut sender, &[byte]).is_err() {
                break;
            }
        }
    });
    let answer = connection.response().expect("an answer");
    assert_eq!((answer.status, answer.code().as_str()), (408, "INVALID_REQUEST"));
    assert!(started.elapsed() >= Duration::from_secs(1), "too early: {:?}", started.elapsed());
    drop(connection);
    trickle.join().expect("ended");
    assert!(upstream.received().is_empty());
}

#[test]
fn bad_chunks_end_the_request_with_an_error() {
    let upstream = Upstream::saying("ok");
    let gateway = gateway(&upstream, "");
    for chunks in ["zz\r\nabc\r\n0\r\n\r\n", "3\r\nabcde\r\n0\r\n\r\n", "-1\r\n\r\n", "ffffffffffffffffff\r\nx\r\n"] {
        let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        let answer = raw(gateway.address(), format!("{head}{chunks}"));
        assert!(answer.as_ref().is_none_or(|answer| answer.status == 400), "{chunks:?}: {answer:?}");
    }
    assert!(upstream.received().is_empty(), "a broken body was completed: {:?}", upstream.received());
}

#[test]
fn short_requests_are_not_held_up_by_the_look_for_http2() {
    let upstream = Upstream::saying("ok");
    let gateway = gateway(&upstream, "");
    let answer = raw(gateway.address(), "GET / HTTP/1.0\r\n\r\n").expect("an answer");
    assert_eq!(answer.status, 200);
}

#[test]
fn blank_lines_before_a_request_are_ignored() {
    let upstream = Upstream::saying("ok");
    let gateway = gateway(&upstream, "");
    let mut connection = Connection::open(gateway.address());
    for _ in 0..2 {
        connection.send("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(connection.response().expect("an answer").status, 200);
    }
}
