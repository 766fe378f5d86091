//! Header fields on their way through (RFC 9110, sections 5, 6.6 and 7.6).

use std::io::Write;

use witgate_tests::client::raw;
use witgate_tests::{Connection, Gateway, Upstream};

use super::{Tap, answering, before, everything, http2, in_front_of};

/// Fields of requests that are for whoever answers them, and mean nothing to a gateway that keeps nothing.
const REQUEST_FIELDS: [(&str, &str); 30] = [
    ("accept", "text/html;q=0.5, */*;q=0.1"),
    ("accept-charset", "utf-8"),
    ("accept-encoding", "gzip;q=1.0, identity; q=0.5, *;q=0"),
    ("accept-language", "de, en;q=0.7"),
    ("authorization", "Basic dGVzdDoxMjPCow=="),
    ("cache-control", "no-store, max-age=0, x-unknown=\"a, b\""),
    ("content-encoding", "gzip"),
    ("content-language", "de"),
    ("content-location", "/elsewhere"),
    ("content-range", "bytes 0-1/2"),
    ("content-type", "text/plain; charset=\"utf-8\""),
    ("cookie", "a=b; c=d"),
    ("date", "Sunday, 06-Nov-94 08:49:37 GMT"),
    ("from", "user@example.org"),
    ("if-match", "\"a\", W/\"b\""),
    ("if-modified-since", "not a date"),
    ("if-none-match", "*"),
    ("if-range", "W/\"weak\""),
    ("if-unmodified-since", "Sat, 29 Oct 1994 19:43:31 GMT"),
    ("max-forwards", "0"),
    ("origin", "http://b.example"),
    ("pragma", "no-cache"),
    ("priority", "u=1, i"),
    ("proxy-authorization", "Basic eDp5"),
    ("range", "pages=1-2"),
    ("referer", "http://a.example/before#not"),
    ("user-agent", "Test/1.0 (a (nested \\) comment))"),
    ("warning", "199 - \"x\""),
    ("x-unknown", "as, it \"is\""),
    ("~odd!#$%&'*+.^_`|", "a token, too"),
];

/// The same for responses.
const RESPONSE_FIELDS: [(&str, &str); 26] = [
    ("accept-ranges", "none"),
    ("age", "17"),
    ("allow", "GET, X-OWN"),
    ("authentication-info", "nextnonce=\"x\""),
    ("cache-control", "private=\"x\", no-transform, x-unknown"),
    ("cdn-cache-control", "max-age=1"),
    ("clear-site-data", "\"cache\""),
    ("content-encoding", "x-gzip"),
    ("content-language", "de"),
    ("content-location", "/elsewhere"),
    ("content-range", "pages 1-2/3"),
    ("content-type", "text/plain"),
    ("date", "Sun, 06 Nov 1994 08:49:37 GMT"),
    ("etag", "W/\"e\""),
    ("expires", "0"),
    ("last-modified", "Sat, 29 Oct 1994 19:43:31 GMT"),
    ("location", "../relative#part"),
    ("priority", "u=5"),
    ("proxy-authenticate", "Basic realm=\"x\""),
    ("proxy-authentication-info", "x=1"),
    ("retry-after", "120"),
    ("server", "Old/1.0 (x)"),
    ("vary", "*"),
    ("warning", "110 - \"stale\""),
    ("www-authenticate", "Basic realm=\"a, b\", Digest realm=\"c\""),
    ("~odd!#$%&'*+.^_`|", "a token, too"),
];

#[test]
fn fields_for_others_pass_unchanged_in_both_directions_and_versions() {
    let upstream = Upstream::new(|_, stream| {
        let fields: String = RESPONSE_FIELDS.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        write!(stream, "HTTP/1.1 200 OK\r\n{fields}content-length: 2\r\n\r\nok").is_ok()
    });
    let gateway = before(upstream.address());
    let lines: String = REQUEST_FIELDS.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let request = format!("POST / HTTP/1.1\r\nhost: a\r\n{lines}content-length: 0\r\nconnection: close\r\n\r\n");
    let answer = raw(gateway.address(), request).expect("an answer");
    for (name, value) in REQUEST_FIELDS {
        assert_eq!(upstream.last().header(name).as_deref(), Some(value), "HTTP/1.1: {name}");
    }
    for (name, value) in RESPONSE_FIELDS {
        assert_eq!(answer.header(name).as_deref(), Some(value), "HTTP/1.1: {name}");
    }
    let answer = http2(gateway.address(), "POST", "/", &REQUEST_FIELDS, "x");
    for (name, value) in REQUEST_FIELDS {
        assert_eq!(upstream.last().header(name).as_deref(), Some(value), "HTTP/2: {name}");
    }
    for (name, value) in RESPONSE_FIELDS {
        assert_eq!(answer.header(name).as_deref(), Some(value), "HTTP/2: {name}");
    }
}

#[test]
fn lines_of_one_field_stay_lines_in_their_order() {
    let tap = Tap::answering(
        b"HTTP/1.1 200 OK\r\nset-cookie: a=1\r\nx: 1\r\nset-cookie: b=2, c\r\nx: 2\r\nx: 0\r\ncontent-length: 0\r\n\r\n",
    );
    let gateway = before(tap.address);
    let request = "GET / HTTP/1.1\r\nhost: a\r\nx: 3\r\ny: 1\r\nx: 1, 2\r\nx: \r\nx: 4\r\nconnection: close\r\n\r\n";
    let got = everything(gateway.address(), request);
    let lines = |head: &str, name: &str| -> Vec<String> {
        let lines = head.lines().filter_map(|line| line.strip_prefix(name)).map(|value| value.trim().to_owned());
        lines.collect()
    };
    assert_eq!(lines(&tap.text(), "x:"), ["3", "1, 2", "", "4"]);
    assert_eq!(lines(&got, "x:"), ["1", "2", "0"]);
    assert_eq!(lines(&got, "set-cookie:"), ["a=1", "b=2, c"]);
}

#[test]
fn a_response_without_a_date_gets_one_and_others_keep_theirs() {
    let upstream = answering(&[
        ("/none", "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
        ("/304", "HTTP/1.1 304 Not Modified\r\n\r\n"),
        ("/500", "HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n"),
        ("/own", "HTTP/1.1 200 OK\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\ncontent-length: 0\r\n\r\n"),
    ]);
    let gateway = before(upstream.address());
    for path in ["/none", "/304", "/500"] {
        let dates = [gateway.get(path).header("date"), http2(gateway.address(), "GET", path, &[], "").header("date")];
        for (date, version) in dates.into_iter().zip(["HTTP/1.1", "HTTP/2"]) {
            assert!(date.as_deref().is_some_and(is_date), "{path} over {version}: {date:?}");
        }
    }
    let own = Some("Sun, 06 Nov 1994 08:49:37 GMT");
    assert_eq!(gateway.get("/own").header("date").as_deref(), own);
    assert_eq!(http2(gateway.address(), "GET", "/own", &[], "").header("date").as_deref(), own);
}

/// IMF-fixdate (RFC 9110, section 5.6.7), and of today or about it.
pub fn is_date(date: &str) -> bool {
    let shape = date.bytes().map(|byte| match byte {
        b'0'..=b'9' => '0',
        b'A'..=b'Z' => 'A',
        b'a'..=b'z' => 'a',
        other => char::from(other),
    });
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    let year = 1970 + since.as_secs() / 31_556_952;
    let said = date.get(12..16).and_then(|digits| digits.parse::<u64>().ok()).unwrap_or(0);
    shape.collect::<String>() == "Aaa, 00 Aaa 0000 00:00:00 AAA" && date.ends_with(" GMT") && said.abs_diff(year) <= 1
}

#[test]
fn connection_options_count_in_any_case_on_any_line_among_empty_elements() {
    let upstream = Upstream::new(|_, stream| {
        stream
            .write_all(
                b"HTTP/1.1 200 OK\r\nConnection: ,, X-ONE ,\r\nconnection:\r\nCONNECTION: x-Two\r\nx-one: 1\r\nX-Two: 2\r\n\
                  x-three: 3\r\ncontent-length: 0\r\n\r\n",
            )
            .is_ok()
    });
    let gateway = before(upstream.address());
    let answer = raw(
        gateway.address(),
        "GET / HTTP/1.1\r\nhost: a\r\nConnection: , X-ONE ,,\r\nconnection:\r\nCONNECTION: x-Two, CLOSE\r\nx-one: 1\r\n\
         X-Two: 2\r\nx-three: 3\r\n\r\n",
    )
    .expect("an answer");
    let received = upstream.last();
    for name in ["x-one", "x-two", "connection"] {
        assert_eq!(received.header(name), None, "request: {name}");
    }
    for name in ["x-one", "x-two"] {
        assert_eq!(answer.header(name), None, "response: {name}");
    }
    assert_eq!(answer.header("connection").as_deref(), Some("close"));
    assert_eq!((received.header("x-three"), answer.header("x-three")), (Some("3".into()), Some("3".into())));
}

#[test]
fn connection_cannot_take_away_what_every_recipient_needs() {
    let upstream = Upstream::saying("ok");
    let gateway = before(upstream.address());
    let request = "POST / HTTP/1.1\r\nhost: a.example\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\
                   connection: close, host, content-length, content-type, x-forwarded-for, x-request-id, via\r\n\r\nhi";
    assert_eq!(raw(gateway.address(), request).expect("an answer").status, 200);
    let received = upstream.last();
    assert_eq!(received.body, b"hi");
    for (name, value) in [("host", "a.example"), ("content-type", "text/plain"), ("x-forwarded-for", "127.0.0.1")] {
        assert_eq!(received.header(name).as_deref(), Some(value));
    }
    for name in ["x-request-id", "via"] {
        assert!(received.header(name).is_some(), "{name}");
    }
}

#[test]
fn via_names_the_version_received_behind_what_was_there() {
    let upstream = Upstream::saying("ok");
    let gateway = before(upstream.address());
    for (version, entry) in [("1.0", "1.0 witgate"), ("1.1", "1.1 witgate")] {
        let request = format!("GET / HTTP/{version}\r\nhost: a\r\nvia: 1.0 fred, 1.1 p.example\r\nvia: 2 (x)\r\n\r\n");
        raw(gateway.address(), request).expect("an answer");
        let via = upstream.last().header("via");
        assert_eq!(via, Some(format!("1.0 fred, 1.1 p.example, 2 (x), {entry}")));
    }
    http2(gateway.address(), "GET", "/", &[("via", "1.1 x")], "");
    assert_eq!(upstream.last().header("via").as_deref(), Some("1.1 x, 2 witgate"));
}

#[test]
fn a_request_that_goes_round_in_circles_is_stopped() {
    let upstream = Upstream::saying("ok");
    let gateway = before(upstream.address());
    // The gateway becomes its own upstream.
    gateway.reconfigure(&in_front_of(gateway.address(), ""));
    let answer = gateway.get("/");
    assert!(matches!(answer.status, 502 | 508), "{} {}", answer.status, answer.text());
    let hops = gateway.metric_sum("witgate_requests_total", &[]);
    assert!(hops < 100.0, "{hops} requests were made of one");
    // Several gateways in a row are no circle.
    gateway.reconfigure(&in_front_of(upstream.address(), ""));
    assert_eq!(gateway.get_with("/", &[("via", "1.1 witgate, 1.1 witgate")]).status, 200);
}

#[test]
fn cookies_from_several_lines_of_http2_are_one_for_http1() {
    let upstream = Upstream::saying("ok");
    let gateway = before(upstream.address());
    http2(
        gateway.address(),
        "GET",
        "/",
        &[("cookie", "a=1"), ("x", "y"), ("cookie", "b=2"), ("cookie", "c=3; d=4")],
        "",
    );
    let lines: Vec<_> =
        upstream.last().headers.into_iter().filter(|(name, _)| name.eq_ignore_ascii_case("cookie")).collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!(lines[0].1, "a=1; b=2; c=3; d=4");
}

#[test]
fn sections_over_the_limits_are_refused_with_a_status_of_the_clients() {
    let upstream = Upstream::saying("ok");
    let gateway = before(upstream.address());
    let line = format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "x".repeat(70_000));
    let many = format!("GET / HTTP/1.1\r\nhost: a\r\n{}\r\n", "x: y\r\n".repeat(200));
    let name = format!("GET / HTTP/1.1\r\nhost: a\r\n{}: y\r\n\r\n", "x".repeat(70_000));
    for (what, request) in [("a value", line), ("lines", many), ("a name", name)] {
        let answer = raw(gateway.address(), request).expect("an answer");
        assert_eq!((answer.status, answer.code().as_str()), (431, "INVALID_REQUEST"), "{what}");
    }
    let head = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n";
    for trailers in [format!("x: {}\r\n", "x".repeat(70_000)), "x: y\r\n".repeat(200)] {
        let answer = raw(gateway.address(), format!("{head}{trailers}\r\n")).expect("an answer");
        assert!((400..500).contains(&answer.status), "trailers: {}", answer.status);
    }
    assert!(upstream.received().is_empty());
}

#[test]
fn interim_responses_pass_without_what_concerned_the_upstreams_connection() {
    let upstream = Upstream::new(|_, stream| {
        stream
            .write_all(
                b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nConnection: keep-alive, X-Hop\r\nKeep-Alive: timeout=5\r\n\
                  X-Hop: 1\r\nProxy-Connection: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n\
                  HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 199 Odd\r\nx: y\r\n\r\n\
                  HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
            )
            .is_ok()
    });
    let gateway = before(upstream.address());
    let mut connection = Connection::open(gateway.address());
    connection.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    let hints = connection.head().expect("an interim response");
    assert_eq!((hints.status, hints.header("link").as_deref()), (103, Some("</a.css>")));
    let hop = ["connection", "keep-alive", "x-hop", "proxy-connection", "content-length", "transfer-encoding", "date"];
    for name in hop {
        assert_eq!(hints.header(name), None, "{name}");
    }
    assert_eq!(connection.head().expect("another").status, 102);
    assert_eq!(connection.head().expect("a third").status, 199);
    assert_eq!(connection.response().expect("the final one").text(), "ok");
    let answer = http2(gateway.address(), "GET", "/", &[], "");
    let statuses: Vec<u16> = answer.interim.iter().map(|early| early.status().as_u16()).collect();
    assert_eq!((statuses, answer.text().as_str()), (vec![103, 102, 199], "ok"));
    assert_eq!(answer.interim[0].headers()["link"], "</a.css>");
    for name in hop {
        assert!(!answer.interim[0].headers().contains_key(name), "HTTP/2: {name}");
    }
}

#[test]
fn a_client_of_http_1_0_sees_no_interim_response() {
    let upstream = Upstream::new(|_, stream| {
        stream.write_all(b"HTTP/1.1 103 Early\r\nx: y\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").is_ok()
    });
    let gateway: Gateway = before(upstream.address());
    let got = everything(gateway.address(), "POST / HTTP/1.0\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\nhi");
    assert!(got.starts_with("HTTP/1.1 200 ") && got.ends_with("ok"), "{got}");
    assert_eq!(got.matches("HTTP/1.").count(), 1, "{got}");
}
