//! HTTP/1 messages, read and written (RFC 9112, sections 2 to 8; RFC 9110, sections 6 and 8.6).

use std::io::Write;

use witgate_tests::client::raw;
use witgate_tests::{Connection, Gateway, Upstream};

use super::{Tap, answering, before, everything, in_front_of};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

#[test]
fn a_higher_minor_version_is_read_as_the_highest_one_known() {
    let upstream = answering(&[("/new", "HTTP/1.2 200 OK\r\ncontent-length: 3\r\n\r\nnew")]);
    let gateway = before(upstream.address());
    let answer = raw(gateway.address(), "GET /new HTTP/1.2\r\nhost: a\r\n\r\n").expect("an answer");
    assert_eq!((answer.status, answer.text().as_str()), (200, "new"));
    for version in ["HTTP/2.0", "HTTP/0.9", "HTTP/1", "HTTP/11", "http/1.1", "HTTP/1.1 "] {
        let answer = raw(gateway.address(), format!("GET / {version}\r\nhost: a\r\n\r\n")).expect("an answer");
        assert!(matches!(answer.status, 400 | 505), "{version}: {}", answer.status);
    }
    assert_eq!(upstream.received().len(), 1);
}

#[test]
fn both_sides_see_the_gateways_own_version() {
    let tap = Tap::answering(b"HTTP/1.0 200 Fine\r\ncontent-length: 2\r\n\r\nok");
    let gateway = before(tap.address);
    for version in ["1.0", "1.1"] {
        let got =
            everything(gateway.address(), format!("GET /x HTTP/{version}\r\nhost: a\r\nconnection: close\r\n\r\n"));
        assert!(got.starts_with("HTTP/1.1 200 Fine\r\n"), "{version}: {got}");
        assert!(tap.text().starts_with("GET /x HTTP/1.1\r\n"));
    }
}

#[test]
fn the_space_before_a_missing_reason_phrase_is_sent() {
    let upstream = answering(&[
        ("/bare", "HTTP/1.1 200\r\ncontent-length: 2\r\n\r\nok"),
        ("/own", "HTTP/1.1 299 Not bad, \u{e9}h\r\ncontent-length: 0\r\n\r\n"),
        ("/unknown", "HTTP/1.1 299 \r\ncontent-length: 0\r\n\r\n"),
    ]);
    let gateway = before(upstream.address());
    for (path, line) in [
        ("/bare", "HTTP/1.1 200 \r\n"),
        ("/own", "HTTP/1.1 299 Not bad, \u{e9}h\r\n"),
        ("/unknown", "HTTP/1.1 299 \r\n"),
    ] {
        let got = everything(gateway.address(), format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"));
        assert!(got.starts_with(line), "{path}: {got}");
    }
}

#[test]
fn request_lines_of_8000_octets_pass_and_longer_ones_than_the_limit_are_414() {
    let upstream = Upstream::saying("ok");
    let gateway = before(upstream.address());
    let long = "x".repeat(8000);
    for target in [format!("/{long}"), format!("/?{long}"), format!("http://a/{long}")] {
        let answer = raw(gateway.address(), format!("GET {target} HTTP/1.1\r\nhost: a\r\n\r\n")).expect("an answer");
        assert_eq!(answer.status, 200, "{} octets", target.len());
    }
    assert_eq!(upstream.last().target.len(), 8001);
    let before = upstream.received().len();
    for size in [70_000, 200_000] {
        let request = format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "x".repeat(size));
        let answer = raw(gateway.address(), request).expect("an answer");
        assert_eq!(answer.status, 414, "a target of {size} octets: {}", answer.text());
    }
    let wide =
        Gateway::with(&format!("[downstream]\nheader_limit = \"1MiB\"\n{}", in_front_of(upstream.address(), "")));
    let request = format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "x".repeat(100_000));
    let status = raw(wide.address(), request).expect("an answer").status;
    assert!(matches!(status, 200 | 414), "a limit above what URIs can have: {status}");
    assert!(upstream.received().len() - before <= 1);
}

#[test]
fn what_is_behind_a_refused_message_is_not_processed() {
    let upstream = Upstream::saying("ok");
    let gateway = before(upstream.address());
    for refused in [
        "GET /\x01 HTTP/1.1\r\nhost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: x\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip\r\n\r\n",
    ] {
        let got = everything(gateway.address(), format!("{refused}GET /next HTTP/1.1\r\nhost: a\r\n\r\n"));
        assert_eq!(got.matches("HTTP/1.1 ").count(), 1, "{refused:?}: {got}");
        assert!(got.to_ascii_lowercase().contains("\r\nconnection: close\r\n"), "{refused:?}: {got}");
    }
    assert!(upstream.received().is_empty(), "{:?}", upstream.received());
}

#[test]
fn the_last_transfer_coding_of_a_request_has_to_be_chunked() {
    let upstream = Upstream::saying("ok");
    let gateway = before(upstream.address());
    let status = |coding: &str| {
        let request =
            format!("POST / HTTP/1.1\r\nhost: a\r\n{coding}\r\nconnection: close\r\n\r\n2\r\nhi\r\n0\r\n\r\n");
        raw(gateway.address(), request).expect("an answer").status
    };
    for coding in ["gzip", "chunked, gzip", "chunked;q=1", "identity", "xchunked", "\"chunked\""] {
        assert_eq!(status(&format!("transfer-encoding: {coding}")), 400, "{coding}");
    }
    assert_eq!(status("transfer-encoding: chunked\r\ntransfer-encoding: gzip"), 400);
    for coding in ["transfer-encoding: gzip, chunked", "transfer-encoding: gzip\r\ntransfer-encoding: chunked"] {
        assert_eq!(status(coding), 501, "{coding}");
    }
    let twice = status("transfer-encoding: chunked, chunked");
    assert!(matches!(twice, 400 | 501), "{twice}");
    assert!(upstream.received().is_empty());
    for coding in ["chunked", "Chunked", ", chunked,"] {
        assert_eq!(status(&format!("transfer-encoding: {coding}")), 200, "{coding}");
        assert_eq!(upstream.last().body, b"hi", "{coding}");
        assert_eq!(upstream.last().header("transfer-encoding").as_deref(), Some("chunked"), "{coding}");
    }
}

#[test]
fn codings_of_responses_that_are_not_understood_are_not_passed_on() {
    let upstream = answering(&[
        ("/gzip", "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nx"),
        ("/list", "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
        ("/twice", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
        ("/parameter", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked;a=b\r\n\r\n0\r\n\r\n"),
    ]);
    let gateway = before(upstream.address());
    for path in ["/gzip", "/list", "/twice", "/parameter"] {
        assert_eq!(gateway.get(path).status, 502, "{path}");
    }
}

#[test]
fn a_response_of_http_1_0_with_a_transfer_coding_costs_its_connection() {
    let upstream = answering(&[(
        "/old",
        "HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    )]);
    let gateway = Gateway::with(&one_thread(&upstream));
    for _ in 0..3 {
        let answer = gateway.get("/old");
        assert!(answer.status == 502 || answer.text() == "hi", "{} {}", answer.status, answer.text());
    }
    assert_eq!(upstream.connections(), 3, "a connection was used again");
}

/// Threads do not share connections to endpoints.
fn one_thread(upstream: &Upstream) -> String {
    format!(
        "[[listeners]]\naddress = \"127.0.0.1:0\"\n[admin]\naddress = \"127.0.0.1:0\"\n[runtime]\nthreads = 1\n{}",
        in_front_of(upstream.address(), "")
    )
}

#[test]
fn white_space_before_a_colon_is_refused_in_requests_and_taken_from_responses() {
    let upstream = answering(&[(
        "/old",
        "HTTP/1.1 200 OK\r\nX-Spaced : one\r\nX-Tabbed\t: two\r\nContent-Length : 2\r\nX-After: three\r\n\r\nhi",
    )]);
    let gateway = before(upstream.address());
    for field in ["x-spaced : 1", "x-tabbed\t: 1", "content-length : 5", "transfer-encoding : chunked", " x: 1"] {
        let answer =
            raw(gateway.address(), format!("GET / HTTP/1.1\r\nhost: a\r\n{field}\r\n\r\n")).expect("an answer");
        assert_eq!(answer.status, 400, "{field:?}");
    }
    assert!(upstream.received().is_empty());
    let got = everything(gateway.address(), "GET /old HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    assert!(got.starts_with("HTTP/1.1 200 ") && got.ends_with("\r\n\r\nhi"), "{got}");
    for line in ["X-Spaced: one", "X-Tabbed: two", "X-After: three"] {
        assert!(got.contains(&format!("\r\n{line}\r\n")), "{line} is missing in {got}");
    }
}

#[test]
fn folded_fields_and_control_characters_of_responses_are_not_passed_on() {
    let upstream = answering(&[
        ("/folded", "HTTP/1.1 200 OK\r\nx: a\r\n b\r\ncontent-length: 0\r\n\r\n"),
        ("/before", "HTTP/1.1 200 OK\r\n x: a\r\ncontent-length: 0\r\n\r\n"),
        ("/cr", "HTTP/1.1 200 OK\r\nx: a\rb\r\ncontent-length: 0\r\n\r\n"),
        ("/nul", "HTTP/1.1 200 OK\r\nx: a\0b\r\ncontent-length: 0\r\n\r\n"),
        ("/reason", "HTTP/1.1 200 O\rK\r\ncontent-length: 0\r\n\r\n"),
        ("/name", "HTTP/1.1 200 OK\r\nx y: a\r\ncontent-length: 0\r\n\r\n"),
        ("/none", "HTTP/1.1 200 OK\r\n: a\r\ncontent-length: 0\r\n\r\n"),
    ]);
    let gateway = before(upstream.address());
    for path in ["/folded", "/before", "/cr", "/nul", "/reason", "/name", "/none"] {
        let answer = gateway.get(path);
        assert!(
            answer.status == 502 || (path == "/folded" && answer.header("x").as_deref() == Some("a b")),
            "{path}: {} {:?}",
            answer.status,
            answer.headers
        );
        assert_eq!(answer.header("x").filter(|_| path != "/folded"), None, "{path}");
    }
}

#[test]
fn octets_beyond_ascii_pass_as_they_are() {
    let tap = Tap::answering(b"HTTP/1.1 200 OK\r\nx-latin: caf\xe9\r\nx-broken: \xff\xfe\r\ncontent-length: 0\r\n\r\n");
    let gateway = before(tap.address);
    let mut connection = Connection::open(gateway.address());
    connection
        .send(b"GET / HTTP/1.1\r\nhost: a\r\nx-latin: caf\xe9\r\nx-broken: \xff\xfe\r\nconnection: close\r\n\r\n");
    let mut got = Vec::new();
    std::io::Read::read_to_end(connection.stream(), &mut got).expect("read");
    for (side, bytes) in [("the upstream", tap.head()), ("the client", got)] {
        for line in [&b"\r\nx-latin: caf\xe9\r\n"[..], b"\r\nx-broken: \xff\xfe\r\n"] {
            assert!(bytes.windows(line.len()).any(|part| part == line), "{side}: {}", String::from_utf8_lossy(&bytes));
        }
    }
}

#[test]
fn numbers_too_large_for_any_type_are_refused() {
    let upstream = answering(&[
        ("/length", "HTTP/1.1 200 OK\r\ncontent-length: 18446744073709551618\r\n\r\nok"),
        ("/chunk", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n10000000000000002\r\nok\r\n0\r\n\r\n"),
    ]);
    let gateway = before(upstream.address());
    for fields in ["content-length: 18446744073709551618", "content-length: 99999999999999999999999999"] {
        let answer =
            raw(gateway.address(), format!("POST / HTTP/1.1\r\nhost: a\r\n{fields}\r\n\r\nok")).expect("an answer");
        assert_eq!(answer.status, 400, "{fields}");
    }
    let chunk = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n10000000000000002\r\nok\r\n0\r\n\r\n";
    assert_eq!(raw(gateway.address(), chunk).expect("an answer").status, 400);
    assert!(upstream.received().is_empty());
    assert_eq!(gateway.get("/length").status, 502);
    let mut connection = Connection::open(gateway.address());
    connection.send("GET /chunk HTTP/1.1\r\nhost: a\r\n\r\n");
    let answer = connection.response();
    assert!(answer.as_ref().is_none_or(|answer| answer.status == 502), "{answer:?}");
}

#[test]
fn chunk_extensions_are_ignored_and_limited() {
    let upstream = Upstream::saying("ok");
    let gateway = before(upstream.address());
    let send = |extension: &str| {
        let head = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n";
        raw(gateway.address(), format!("{head}2{extension}\r\nhi\r\n0{extension}\r\n\r\n")).expect("an answer").status
    };
    for extension in [";a", ";a=b", "; a=\"b;c\"", ";a=b;c=d", " ;a"] {
        assert_eq!(send(extension), 200, "{extension}");
        assert_eq!(upstream.last().body, b"hi", "{extension}");
    }
    let before = upstream.received().len();
    let status = send(&format!(";a={}", "b".repeat(5000)));
    assert!((400..500).contains(&status), "{status}");
    assert_eq!(send(";a=b\x01"), 400);
    assert_eq!(upstream.received().len(), before);
}

#[test]
fn a_body_has_one_framing_on_every_way() {
    let upstream = answering(&[
        ("/chunks", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2;x=y\r\nhi\r\n0\r\n\r\n"),
        ("/close", "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nhi"),
    ]);
    let gateway = before(upstream.address());
    for path in ["/chunks", "/close"] {
        let got = everything(gateway.address(), format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"));
        let head = got.to_ascii_lowercase();
        let framings = head.matches("\r\ntransfer-encoding:").count() + head.matches("\r\ncontent-length:").count();
        assert_eq!(framings, 1, "{path}: {got}");
    }
    let post =
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n2\r\nhi\r\n0\r\n\r\n";
    assert_eq!(raw(gateway.address(), post).expect("an answer").status, 200);
    let received = upstream.last();
    assert_eq!(received.header("transfer-encoding").as_deref(), Some("chunked"));
    assert_eq!(received.header("content-length"), None);
    let known = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\nconnection: close\r\n\r\nhi";
    assert_eq!(raw(gateway.address(), known).expect("an answer").status, 200);
    assert_eq!(upstream.last().header("content-length").as_deref(), Some("2"), "a length that is known stays one");
    assert_eq!(upstream.last().header("transfer-encoding"), None);
    assert_eq!(gateway.get("/").status, 200);
    assert_eq!(upstream.last().header("content-length"), None, "a request without a body says nothing about one");
    let empty = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    assert_eq!(raw(gateway.address(), empty).expect("an answer").status, 200);
    assert_eq!(upstream.last().header("content-length").as_deref(), Some("0"));
}

#[test]
fn bodiless_responses_end_with_their_heads_whatever_these_say() {
    let upstream = Upstream::new(|request, stream| {
        let answer = match (request.method.as_str(), request.target.as_str()) {
            ("HEAD", "/length") => "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n",
            ("HEAD", "/chunks") => "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
            (_, "/204") => "HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n",
            (_, "/204-coded") => "HTTP/1.1 204 No Content\r\ntransfer-encoding: chunked\r\n\r\n",
            (_, "/304") => "HTTP/1.1 304 Not Modified\r\ncontent-length: 1000\r\netag: \"e\"\r\n\r\n",
            (_, "/304-coded") => "HTTP/1.1 304 Not Modified\r\ntransfer-encoding: chunked\r\n\r\n",
            _ => "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nnext",
        };
        stream.write_all(answer.as_bytes()).is_ok()
    });
    let gateway = Gateway::with(&one_thread(&upstream));
    let mut connection = Connection::open(gateway.address());
    for (method, path, length) in [
        ("HEAD", "/length", Some("1000")),
        ("HEAD", "/chunks", None),
        ("GET", "/204", None),
        ("GET", "/204-coded", None),
        ("GET", "/304", Some("1000")),
        ("GET", "/304-coded", None),
    ] {
        connection.send(format!("{method} {path} HTTP/1.1\r\nhost: a\r\n\r\nGET /next HTTP/1.1\r\nhost: a\r\n\r\n"));
        let answer = connection.response_to(method).expect("an answer");
        assert_eq!(answer.header("content-length").as_deref(), length, "{method} {path}");
        if path.starts_with("/204") {
            assert_eq!(answer.header("transfer-encoding"), None, "{path}");
        }
        assert_eq!(connection.response().expect("the next answer").text(), "next", "{method} {path}");
    }
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn a_response_that_breaks_off_is_not_completed() {
    let upstream = Upstream::new(|request, stream| {
        let start = match request.target.as_str() {
            "/length" => "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello",
            "/chunk" => "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\na\r\nhello",
            "/chunks" => "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
            "/trailers" => "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx: y\r\n",
            _ => "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n",
        };
        let _ = stream.write_all(start.as_bytes());
        false
    });
    let gateway = before(upstream.address());
    for path in ["/length", "/chunk", "/chunks", "/trailers", "/garbage"] {
        let got = everything(gateway.address(), format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n"));
        assert!(!got.ends_with("0\r\n\r\n"), "{path} was completed: {got}");
        let answer = raw(gateway.address(), format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n"));
        assert!(answer.as_ref().is_none_or(|answer| answer.status == 502), "{path}: {answer:?}");
        let request = http::Request::get(format!("http://a.example{path}")).body(()).expect("valid");
        let whole = super::block_on(super::http2_exchange(gateway.address(), request, "", None));
        assert!(whole.as_ref().is_err() || whole.is_ok_and(|answer| answer.status == 502), "{path} over HTTP/2");
    }
}

#[test]
fn a_request_that_breaks_off_is_not_completed() {
    let upstream = Upstream::saying("ok");
    let mut gateway = before(upstream.address());
    for (id, start) in [
        ("broken-1", "content-length: 10\r\n\r\nhello"),
        ("broken-2", "transfer-encoding: chunked\r\n\r\na\r\nhello"),
        ("broken-3", "transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n"),
        ("broken-4", "transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx: y\r\n"),
    ] {
        let mut connection = Connection::open(gateway.address());
        connection.send(format!("POST / HTTP/1.1\r\nhost: a\r\nx-request-id: {id}\r\n{start}"));
        drop(connection);
        gateway.record(id);
    }
    assert!(upstream.received().is_empty(), "{:?}", upstream.received());
}

#[test]
fn a_response_that_ends_with_its_connection_gets_a_framing_that_tells_its_end() {
    let upstream = Upstream::new(|_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nuntil the end");
        false
    });
    let gateway = before(upstream.address());
    let answer = raw(gateway.address(), "GET / HTTP/1.1\r\nhost: a\r\n\r\n").expect("an answer");
    assert_eq!(answer.header("transfer-encoding").as_deref(), Some("chunked"));
    assert_eq!(answer.text(), "until the end");
    let old = raw(gateway.address(), "GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n").expect("an answer");
    assert_eq!((old.header("transfer-encoding"), old.text().as_str()), (None, "until the end"));
    assert_eq!(old.header("connection").as_deref(), Some("close"));
}

#[test]
fn names_values_and_lines_are_written_as_the_grammar_has_them() {
    let tap = Tap::answering(OK);
    let gateway = before(tap.address);
    let request = "GET /x HTTP/1.1\r\nhost: a\r\nx-tight:v\r\nx-wide: \t v w \t \r\nx-empty:\r\nX-Case: Kept\r\n\r\n";
    let mut connection = Connection::open(gateway.address());
    connection.send(request);
    assert_eq!(connection.response().expect("an answer").status, 200);
    let head = tap.text();
    for line in ["x-tight: v", "x-wide: v w", "x-empty: ", "X-Case: Kept"] {
        assert!(head.contains(&format!("\r\n{line}\r\n")), "{line:?} is missing in {head:?}");
    }
    assert!(!head.replace("\r\n", "").contains(['\r', '\n']), "{head:?}");
    assert_eq!(head.matches("\r\n\r\n").count(), 1);
}

#[test]
fn nothing_is_sent_on_before_the_whole_head_has_come() {
    let upstream = Upstream::saying("ok");
    let gateway = before(upstream.address());
    let mut slow = Connection::open(gateway.address());
    slow.send("DELETE /everything HTTP/1.1\r\nhost: a\r\n");
    assert_eq!(gateway.get("/other").status, 200);
    assert_eq!(upstream.received().len(), 1, "{:?}", upstream.received());
    slow.send("content-length: nonsense\r\n\r\n");
    assert_eq!(slow.response().expect("an answer").status, 400);
    assert_eq!(upstream.received().len(), 1);
}
