//! Requests over HTTP/2, and the responses to them (RFC 9113, section 8; RFC 8441; RFC 9218).

use std::io::Write;

use http::{HeaderMap, Request};
use witgate_tests::http2::*;
use witgate_tests::upstream::hold;
use witgate_tests::{Gateway, Upstream};

use super::{answering, before, block_on, http2, http2_exchange, in_front_of};

const PLAIN: &[(u16, u32)] = &[(1, 0)];

/// What becomes of these frames' first stream on a connection of its own.
fn outcome(gateway: &Gateway, frames: &[Vec<u8>]) -> Outcome {
    let mut client = Http2::client(gateway.address(), PLAIN);
    for frame in frames {
        client.send(frame);
    }
    client.outcome(1)
}

fn whole(fields: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(fields))
}

fn open(fields: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, 1, &block(fields))
}

/// Names of the cases that were not refused.
fn not_refused<C: std::fmt::Debug>(
    gateway: &Gateway,
    cases: impl IntoIterator<Item = (C, Vec<Vec<u8>>)>,
) -> Vec<String> {
    let outcomes = cases.into_iter().map(|(what, frames)| (what, outcome(gateway, &frames)));
    outcomes
        .filter(|(_, outcome)| !is_refused(*outcome))
        .map(|(what, outcome)| format!("{what:?}: {outcome:?}"))
        .collect()
}

/// Refused: by a status, or by an error of the stream.
fn is_refused(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Status(400) | Outcome::Reset(PROTOCOL_ERROR) | Outcome::GoAway(PROTOCOL_ERROR))
}

#[test]
fn malformed_fields_are_refused_and_go_nowhere() {
    let upstream = Upstream::saying("ok");
    let gateway = before(upstream.address());
    let fields = [
        ("X-Upper", "1"),
        ("x upper", "1"),
        ("", "1"),
        ("x\x7f", "1"),
        ("x\u{e9}", "1"),
        ("x:y", "1"),
        ("x\r\ny", "1"),
        ("x\0", "1"),
        ("x", "a\0b"),
        ("x", "a\rb"),
        ("x", "a\nb"),
        ("x", "a\r\nhost: b"),
        ("x", "\r\n"),
        ("x", " a"),
        ("x", "a "),
        ("x", "\ta"),
        ("x", "a\t"),
        ("x", " "),
    ];
    let taken = not_refused(&gateway, fields.map(|field| (field, vec![whole(&get("/", &[field]))])));
    assert!(taken.is_empty(), "{taken:#?}");
    assert!(upstream.received().is_empty(), "{:?}", upstream.received());
    for value in ["", "a b\tc", "caf\u{e9}", "\"a, b\""] {
        assert_eq!(outcome(&gateway, &[whole(&get("/", &[("x", value)]))]), Outcome::Status(200), "{value:?}");
        assert_eq!(upstream.last().header("x").as_deref(), Some(value));
    }
}

#[test]
fn fields_of_a_connection_are_refused() {
    let upstream = Upstream::saying("ok");
    let gateway = before(upstream.address());
    let fields = [
        ("connection", "close"),
        ("connection", "keep-alive"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "websocket"),
        ("te", "gzip"),
        ("te", "trailers, gzip"),
    ];
    let taken = not_refused(&gateway, fields.map(|field| (field, vec![whole(&get("/", &[field]))])));
    assert!(taken.is_empty(), "{taken:#?}");
    assert!(upstream.received().is_empty(), "{:?}", upstream.received());
    assert_eq!(outcome(&gateway, &[whole(&get("/", &[("te", "trailers")]))]), Outcome::Status(200));
}

#[test]
fn pseudo_fields_have_to_be_there_once_and_first_and_known() {
    let upstream = Upstream::saying("ok");
    let gateway = before(upstream.address());
    let (method, scheme, path) = ((":method", "GET"), (":scheme", "http"), (":path", "/"));
    let authority = (":authority", "a.example");
    let cases: [(&str, &[(&str, &str)]); 20] = [
        ("no method", &[scheme, path, authority]),
        ("no scheme", &[method, path, authority]),
        ("no path", &[method, scheme, authority]),
        ("an empty path", &[method, scheme, (":path", ""), authority]),
        ("a path that is none", &[method, scheme, (":path", "a"), authority]),
        ("a path with a space", &[method, scheme, (":path", "/a b"), authority]),
        ("a path with a line break", &[method, scheme, (":path", "/a\r\nx: y"), authority]),
        ("a method that is none", &[(":method", "GE T"), scheme, path, authority]),
        ("an empty method", &[(":method", ""), scheme, path, authority]),
        ("a scheme that is none", &[method, (":scheme", "ht tp"), path, authority]),
        ("two methods", &[method, method, scheme, path, authority]),
        ("two schemes", &[method, scheme, scheme, path, authority]),
        ("two paths", &[method, scheme, path, (":path", "/b"), authority]),
        ("two authorities", &[method, scheme, path, authority, authority]),
        ("one behind a field", &[method, scheme, path, ("x", "y"), authority]),
        ("one that nobody knows", &[method, scheme, path, authority, (":own", "x")]),
        ("one of responses", &[method, scheme, path, authority, (":status", "200")]),
        ("one of tunnels that were not offered", &[method, scheme, path, authority, (":protocol", "websocket")]),
        ("an authority with a user", &[method, scheme, path, (":authority", "user@a.example")]),
        ("an authority with a path", &[method, scheme, path, (":authority", "a.example/b")]),
    ];
    let taken = not_refused(&gateway, cases.map(|(what, fields)| (what, vec![whole(fields)])));
    assert!(taken.is_empty(), "{taken:#?}");
    assert!(upstream.received().is_empty(), "{:?}", upstream.received());
}

#[test]
fn the_authority_is_the_host_and_a_host_beside_it_has_to_be_the_same() {
    let upstream = Upstream::saying("ok");
    let gateway = before(upstream.address());
    let ask = |authority: Option<&str>, host: Option<&str>| {
        let mut fields = vec![(":method", "GET"), (":scheme", "http"), (":path", "/")];
        fields.extend(authority.map(|authority| (":authority", authority)));
        fields.extend(host.map(|host| ("host", host)));
        outcome(&gateway, &[whole(&fields)])
    };
    for (authority, host) in [
        (Some("a.example"), None),
        (Some("a.example"), Some("a.example")),
        (Some("a.example:80"), Some("a.example")),
        (Some("a.example"), Some("a.example:80")),
        (Some("A.Example"), Some("a.example")),
        (None, Some("a.example")),
    ] {
        assert_eq!(ask(authority, host), Outcome::Status(200), "{authority:?} and {host:?}");
        let hosts: Vec<_> =
            upstream.last().headers.into_iter().filter(|(name, _)| name.eq_ignore_ascii_case("host")).collect();
        assert_eq!(hosts.len(), 1, "{hosts:?}");
        let name = hosts[0].1.to_ascii_lowercase();
        assert_eq!(name.strip_suffix(":80").unwrap_or(&name), "a.example", "{authority:?} and {host:?}");
    }
    let before = upstream.received().len();
    for (authority, host) in
        [("a.example", "b.example"), ("a.example:81", "a.example"), ("a.example", "a.example:443"), ("a.example", "")]
    {
        let outcome = ask(Some(authority), Some(host));
        assert!(is_refused(outcome), "{authority:?} and {host:?}: {outcome:?}");
    }
    assert_eq!(upstream.received().len(), before);
}

#[test]
fn a_body_has_the_length_that_its_head_says() {
    let upstream = Upstream::saying("ok");
    let gateway = before(upstream.address());
    let post = |length: &str| open(&asking("POST", "/", &[("content-length", length)]));
    let data = |data: &[u8], flags: u8| frame(DATA, flags, 1, data);
    let twice = open(&asking("POST", "/", &[("content-length", "2"), ("content-length", "3")]));
    let cases = [
        ("less", vec![post("3"), data(b"hi", END_STREAM)]),
        ("more", vec![post("1"), data(b"hi", END_STREAM)]),
        ("more in pieces", vec![post("3"), data(b"hi", 0), data(b"ho", END_STREAM)]),
        ("none at all", vec![whole(&asking("POST", "/", &[("content-length", "3")]))]),
        ("no number", vec![post("x"), data(b"hi", END_STREAM)]),
        ("a sign", vec![post("+2"), data(b"hi", END_STREAM)]),
        ("two lengths", vec![twice, data(b"hi", END_STREAM)]),
    ];
    let taken = not_refused(&gateway, cases);
    assert!(taken.is_empty(), "{taken:#?}");
    assert!(upstream.received().is_empty(), "{:?}", upstream.received());
    assert_eq!(outcome(&gateway, &[post("2"), data(b"hi", END_STREAM)]), Outcome::Status(200));
    assert_eq!(upstream.last().header("content-length").as_deref(), Some("2"));
}

#[test]
fn trailers_end_a_request_and_are_held_to_the_rules_for_fields() {
    let upstream = Upstream::saying("ok");
    let gateway = before(upstream.address());
    let post = || open(&asking("POST", "/", &[]));
    let trailers = |fields: &[(&str, &str)], flags: u8| frame(HEADERS, END_HEADERS | flags, 1, &block(fields));
    let cases = [
        ("a second head", vec![post(), trailers(&get("/x", &[]), 0)]),
        ("trailers without an end", vec![post(), trailers(&[("x", "y")], 0)]),
        ("an upper case", vec![post(), trailers(&[("X", "y")], END_STREAM)]),
        ("a field of a connection", vec![post(), trailers(&[("connection", "x")], END_STREAM)]),
    ];
    let taken = not_refused(&gateway, cases);
    assert!(taken.is_empty(), "{taken:#?}");
    assert!(upstream.received().is_empty(), "{:?}", upstream.received());
}

#[test]
fn pseudo_fields_in_trailers_are_not_passed_on() {
    let upstream = Upstream::saying("ok");
    let gateway = before(upstream.address());
    let trailers = frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(&[(":path", "/x"), ("x-sum", "1")]));
    let outcome = outcome(&gateway, &[open(&asking("POST", "/a", &[])), trailers]);
    assert!(is_refused(outcome) || outcome == Outcome::Status(200), "{outcome:?}");
    for received in upstream.received() {
        assert_eq!(received.target, "/a");
        assert!(received.trailers.iter().chain(&received.headers).all(|(name, _)| !name.contains("path")));
    }
}

#[test]
fn a_request_that_is_given_up_is_not_completed() {
    let upstream = Upstream::saying("ok");
    let mut gateway = before(upstream.address());
    let mut client = Http2::client(gateway.address(), PLAIN);
    client.headers(1, &asking("POST", "/", &[("x-request-id", "given-up")]), false);
    client.data(1, b"half", false);
    client.frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]);
    assert_eq!(client.ping(), Ok(()));
    gateway.record("given-up");
    assert!(upstream.received().is_empty());
}

#[test]
fn tunnels_are_neither_offered_nor_opened() {
    let upstream = Upstream::saying("ok");
    let gateway = before(upstream.address());
    let mut client = Http2::client(gateway.address(), PLAIN);
    let settings = client.await_frame(SETTINGS).expect("settings").settings();
    assert!(settings.iter().all(|(id, value)| *id != 8 || *value == 0), "SETTINGS_ENABLE_CONNECT_PROTOCOL");
    for (fields, statuses) in [
        (&[(":method", "CONNECT"), (":authority", "a.example:443")][..], &[405][..]),
        (&[(":method", "CONNECT"), (":authority", "a.example:443"), (":scheme", "http"), (":path", "/")], &[400, 405]),
        (
            &[
                (":method", "CONNECT"),
                (":protocol", "websocket"),
                (":scheme", "http"),
                (":path", "/"),
                (":authority", "a.example"),
            ],
            &[400, 405, 501],
        ),
    ] {
        match outcome(&gateway, &[open(fields)]) {
            Outcome::Status(status) => assert!(statuses.contains(&status), "{fields:?}: {status}"),
            other => assert!(is_refused(other) && fields.len() > 2, "{fields:?}: {other:?}"),
        }
    }
    assert!(upstream.received().is_empty());
}

#[test]
fn options_for_the_server_itself_have_an_asterisk_for_a_path() {
    let upstream = Upstream::saying("ok");
    let gateway = before(upstream.address());
    let outcome = outcome(&gateway, &[whole(&asking("OPTIONS", "*", &[]))]);
    assert!(matches!(outcome, Outcome::Status(200 | 204)), "{outcome:?}");
    assert!(upstream.received().is_empty());
}

#[test]
fn a_client_that_waits_to_send_its_body_is_told_to() {
    let upstream = Upstream::saying("ok");
    let gateway = before(upstream.address());
    let mut client = Http2::client(gateway.address(), PLAIN);
    client.headers(1, &asking("POST", "/", &[("expect", "100-continue"), ("content-length", "4")]), false);
    let interim = client.await_frame(HEADERS).expect("an interim response");
    assert_eq!((interim.stream, interim.flags & END_STREAM), (1, 0));
    let told: &[u8] = &interim.payload;
    assert!(told.windows(3).any(|part| part == b"100") || told.len() < 16, "a status alone: {told:02x?}");
    client.data(1, b"body", true);
    assert_eq!(client.outcome(1), Outcome::Status(200));
    assert_eq!(upstream.last().body, b"body");
}

#[test]
fn responses_have_names_in_lower_case_and_nothing_of_http1() {
    let upstream = answering(&[(
        "/old",
        "HTTP/1.1 200 Fine\r\nX-CamelCase: 1\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n\
         Proxy-Connection: x\r\nUpgrade: x\r\nTransfer-Encoding: chunked\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    )]);
    let gateway = before(upstream.address());
    // The library refuses a response with any of them, or with an upper case.
    let answer = http2(gateway.address(), "GET", "/old", &[], "");
    assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
    assert_eq!(answer.header("x-camelcase").as_deref(), Some("1"));
    for name in ["connection", "x-hop", "keep-alive", "proxy-connection", "upgrade", "transfer-encoding"] {
        assert_eq!(answer.header(name), None, "{name}");
    }
    assert_eq!(answer.headers.get_all("set-cookie").iter().count(), 2);
}

#[test]
fn bodiless_responses_end_with_their_heads() {
    let upstream = Upstream::new(|request, stream| {
        let answer = match request.target.as_str() {
            "/204" => "HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n",
            "/304" => "HTTP/1.1 304 Not Modified\r\ncontent-length: 1000\r\n\r\n",
            "/empty" => "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            _ => "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n",
        };
        stream.write_all(answer.as_bytes()).is_ok()
    });
    let gateway = before(upstream.address());
    for (method, path, status, length) in [
        ("GET", "/204", 204, None),
        ("GET", "/304", 304, Some("1000")),
        ("GET", "/empty", 200, Some("0")),
        ("HEAD", "/head", 200, Some("1000")),
    ] {
        let answer = http2(gateway.address(), method, path, &[], "");
        assert_eq!((answer.status, answer.body.len()), (status, 0), "{path}");
        assert_eq!(answer.header("content-length").as_deref(), length, "{path}");
        let mut client = Http2::client(gateway.address(), PLAIN);
        client.headers(1, &asking(method, path, &[]), true);
        let head = client.await_frame(HEADERS).expect("a head");
        assert_eq!(head.flags & END_STREAM, END_STREAM, "{path}: the head is the end");
    }
}

#[test]
fn an_answer_before_the_end_of_a_request_is_whole() {
    let upstream = Upstream::saying("ok");
    let gateway = Gateway::with(&format!(
        "{}[[routes]]\nname = \"a\"\npath = \"/a\"\nupstream = \"u\"\nbody_limit = \"1KiB\"\n",
        upstream.config("u")
    ));
    for (path, status) in [("/missing", 404), ("/a", 413)] {
        let mut client = Http2::client(gateway.address(), PLAIN);
        client.headers(1, &asking("POST", path, &[]), false);
        client.data(1, &[b'x'; 2000], false);
        assert_eq!(client.outcome(1), Outcome::Status(status), "{path}");
        let mut body = Vec::new();
        loop {
            let data = client.await_frame(DATA).expect("the body");
            body.extend_from_slice(&data.payload);
            if data.flags & END_STREAM != 0 {
                break;
            }
        }
        assert!(String::from_utf8_lossy(&body).contains("requestId"), "{path}");
        // Only without an error, once everything is said.
        client.data(1, b"more", false);
        client.headers(3, &get("/a", &[]), true);
        assert_eq!(client.outcome(3), Outcome::Status(200), "{path}: the connection goes on");
    }
}

#[test]
fn requests_beside_each_other_do_not_wait_for_each_other() {
    let (hold, wait) = hold();
    let upstream = Upstream::new(move |request, stream| {
        if request.target == "/slow" {
            wait();
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").is_ok()
    });
    let gateway = before(upstream.address());
    let mut client = Http2::client(gateway.address(), PLAIN);
    client.headers(1, &get("/slow", &[]), true);
    client.headers(3, &get("/quick", &[("priority", "u=0")]), true);
    assert_eq!(client.outcome(3), Outcome::Status(200));
    hold.release();
    assert_eq!(client.outcome(1), Outcome::Status(200));
    let quick = upstream.received().into_iter().find(|request| request.target == "/quick").expect("received");
    assert_eq!(quick.header("priority").as_deref(), Some("u=0"), "it is for every hop");
}

#[test]
fn nothing_is_pushed() {
    let upstream = answering(&[("/", "HTTP/1.1 200 OK\r\nlink: </a.css>; rel=preload\r\ncontent-length: 2\r\n\r\nok")]);
    let gateway = before(upstream.address());
    let mut client = Http2::client(gateway.address(), &[(1, 0), (2, 1)]);
    client.headers(1, &get("/", &[]), true);
    assert_eq!(client.outcome(1), Outcome::Status(200));
    client.frame(PING, 0, 0, b"12345678");
    loop {
        let frame = client.any().expect("a frame");
        assert_ne!(frame.kind, PUSH_PROMISE);
        if frame.kind == PING {
            break;
        }
    }
}

#[test]
fn a_request_over_http2_can_have_an_upstream_of_each_version() {
    let upstream = Upstream::saying("ok");
    let gateway = Gateway::with(&in_front_of(upstream.address(), ""));
    let trailers = HeaderMap::from_iter([(http::HeaderName::from_static("x-sum"), "1".parse().expect("a value"))]);
    let request = Request::put("http://a.example/x?y").header("x", "1").body(()).expect("valid");
    let answer = block_on(http2_exchange(gateway.address(), request, "body", Some(trailers))).expect("a response");
    assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
    let received = upstream.last();
    assert_eq!((received.method.as_str(), received.target.as_str(), &received.body[..]), ("PUT", "/x?y", &b"body"[..]));
    assert_eq!(received.header("transfer-encoding").as_deref(), Some("chunked"), "its length was not known");
}
