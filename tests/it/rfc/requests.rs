//! What requests ask for: targets, hosts, methods, expectations (RFC 9110, sections 4, 7, 9 and 10.1; RFC 9112,
//! section 3).

use std::io::{Read, Write};

use witgate_tests::client::{raw, request};
use witgate_tests::{Connection, Gateway, Upstream};

use super::{answering, before, everything, http2};

#[test]
fn the_host_of_an_absolute_target_counts() {
    let upstream = Upstream::saying("ok");
    let gateway = before(upstream.address());
    for (target, host) in [
        ("http://shop.example/a", "shop.example"),
        ("http://shop.example:80/a", "shop.example"),
        ("http://shop.example/a", "shop.example:80"),
        ("HTTP://Shop.Example/a", "shop.example"),
        ("http://shop.example./a", "shop.example."),
    ] {
        let answer =
            raw(gateway.address(), format!("GET {target} HTTP/1.1\r\nhost: {host}\r\n\r\n")).expect("an answer");
        assert_eq!(answer.status, 200, "{target} with {host}: {}", answer.text());
        let received = upstream.last();
        assert_eq!(received.target, "/a", "{target} with {host}");
        let name = received.header("host").expect("a host").to_ascii_lowercase();
        let name = name.strip_suffix(":80").unwrap_or(&name);
        assert_eq!(name.strip_suffix('.').unwrap_or(name), "shop.example", "{target} with {host}");
    }
    let other = raw(gateway.address(), "GET http://a.example/ HTTP/1.1\r\nhost: b.example\r\n\r\n").expect("an answer");
    assert_eq!(other.status, 400, "two names for one request");
}

#[test]
fn targets_without_a_host_or_with_somebody_in_it_are_refused() {
    let upstream = Upstream::saying("ok");
    let gateway = before(upstream.address());
    for target in [
        "http:///x",
        "http://:80/x",
        "https://?q",
        "http://",
        "http://user@a/",
        "http://user:secret@a/",
        "http://a@/",
        "ftp://a/",
        "http:/a",
        "a/b",
        "?q",
        "//\x7f",
        "http://a/#part",
        "*",
    ] {
        let answer = raw(gateway.address(), format!("GET {target} HTTP/1.1\r\nhost: a\r\n\r\n")).expect("an answer");
        assert_eq!((answer.status, answer.code().as_str()), (400, "INVALID_REQUEST"), "{target:?}");
    }
    for host in ["user@a", "a b", "a/b", "a,b", "a:port", "[::1", "a:99999", "http://a"] {
        let answer = raw(gateway.address(), format!("GET / HTTP/1.1\r\nhost: {host}\r\n\r\n")).expect("an answer");
        assert_eq!((answer.status, answer.code().as_str()), (400, "INVALID_REQUEST"), "{host:?}");
    }
    assert!(upstream.received().is_empty(), "{:?}", upstream.received());
}

#[test]
fn a_scheme_that_a_client_claims_is_not_believed() {
    let upstream = Upstream::saying("ok");
    let gateway = before(upstream.address());
    let answer = raw(gateway.address(), "GET https://a/ HTTP/1.1\r\nhost: a\r\n\r\n").expect("an answer");
    assert!(matches!(answer.status, 200 | 400 | 421), "{}", answer.status);
    for received in upstream.received() {
        assert_eq!(received.header("x-forwarded-proto").as_deref(), Some("http"));
    }
}

#[test]
fn queries_arrive_octet_by_octet() {
    let upstream = Upstream::saying("ok");
    let gateway = before(upstream.address());
    for target in ["/a?", "/a?b=%2F%2f&&c=;d", "/?a=/../b", "/a?b?c=%00", "/a//b", "/a;b=c/d", "/~a/%7C"] {
        let answer = raw(gateway.address(), format!("GET {target} HTTP/1.1\r\nhost: a\r\n\r\n")).expect("an answer");
        assert_eq!(answer.status, 200, "{target}");
        assert_eq!(upstream.last().target, target);
    }
    let empty = raw(gateway.address(), "GET http://a HTTP/1.1\r\nhost: a\r\n\r\n").expect("an answer");
    assert_eq!((empty.status, upstream.last().target.as_str()), (200, "/"));
    let query = raw(gateway.address(), "GET http://a?b=c HTTP/1.1\r\nhost: a\r\n\r\n").expect("an answer");
    assert_eq!((query.status, upstream.last().target.as_str()), (200, "/?b=c"));
}

#[test]
fn methods_pass_as_they_are_written_with_and_without_a_body() {
    let upstream = Upstream::saying("ok");
    let gateway = before(upstream.address());
    for method in ["GET", "get", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "X-own!"] {
        assert_eq!(request(gateway.address(), method, "/", &[], b"").status, 200, "{method}");
        assert_eq!(upstream.last().method, method);
        assert_eq!(request(gateway.address(), method, "/", &[], b"body").status, 200, "{method} with a body");
        assert_eq!((upstream.last().method.as_str(), &upstream.last().body[..]), (method, &b"body"[..]));
    }
    let head = request(gateway.address(), "HEAD", "/", &[], b"body");
    assert_eq!((head.status, head.header("content-length").as_deref()), (200, Some("2")));
}

#[test]
fn tunnels_are_refused_with_what_is_allowed() {
    let upstream = Upstream::saying("ok");
    let gateway = before(upstream.address());
    for target in ["a.example:443", "a.example:", "a.example", "a.example:0", "a.example:99999", "/", "*"] {
        let answer = raw(gateway.address(), format!("CONNECT {target} HTTP/1.1\r\nhost: {target}\r\n\r\n"));
        let answer = answer.expect("an answer");
        assert!(matches!(answer.status, 400 | 405), "{target}: {}", answer.status);
        assert!(answer.status != 405 || answer.header("allow").is_some_and(|allow| allow.contains("GET")), "{target}");
    }
    assert_eq!(raw(gateway.address(), "CONNECT a:443 HTTP/1.1\r\nhost: a:443\r\n\r\n").expect("an answer").status, 405);
    assert!(upstream.received().is_empty());
}

#[test]
fn options_for_the_server_itself_are_answered_by_it() {
    let upstream = Upstream::saying("ok");
    let gateway = before(upstream.address());
    for target in ["*", "http://a.example"] {
        let answer =
            raw(gateway.address(), format!("OPTIONS {target} HTTP/1.1\r\nhost: a.example\r\n\r\n")).expect("an answer");
        assert!(matches!(answer.status, 200 | 204), "{target}: {} {}", answer.status, answer.text());
        assert!(answer.header("allow").is_some_and(|allow| allow.contains("GET")), "{target}: {:?}", answer.headers);
    }
    let answer = request(gateway.address(), "OPTIONS", "/a", &[], b"");
    assert_eq!((answer.status, answer.text().as_str()), (200, "ok"), "of a resource, by whoever has it");
    assert_eq!(upstream.received().len(), 1);
    assert_eq!(upstream.last().header("max-forwards"), None, "none is made up");
}

#[test]
fn max_forwards_counts_down_and_ends_here_at_zero() {
    let upstream = Upstream::saying("ok");
    let gateway = before(upstream.address());
    for method in ["OPTIONS", "TRACE"] {
        for (received, forwarded) in [("1", "0"), ("70", "69"), ("007", "6")] {
            assert_eq!(request(gateway.address(), method, "/", &[("max-forwards", received)], b"").status, 200);
            assert_eq!(upstream.last().header("max-forwards").as_deref(), Some(forwarded), "{method} {received}");
        }
    }
    let before = upstream.received().len();
    let options = request(gateway.address(), "OPTIONS", "/a", &[("max-forwards", "0")], b"");
    assert!(matches!(options.status, 200 | 204), "{}", options.status);
    let fields =
        [("max-forwards", "0"), ("x-seen", "yes"), ("authorization", "Basic c2VjcmV0"), ("cookie", "secret=1")];
    let trace = request(gateway.address(), "TRACE", "/a?b", &fields, b"");
    assert_eq!((trace.status, trace.header("content-type").as_deref()), (200, Some("message/http")));
    let text = trace.text();
    assert!(text.starts_with("TRACE /a?b HTTP/1.1\r\n") && text.to_ascii_lowercase().contains("x-seen: yes"), "{text}");
    assert!(!text.contains("c2VjcmV0") && !text.contains("secret="), "{text}");
    for method in ["OPTIONS", "TRACE"] {
        let answer = http2(gateway.address(), method, "/", &[("max-forwards", "0")], "");
        assert!(matches!(answer.status, 200 | 204), "HTTP/2 {method}: {}", answer.status);
    }
    assert_eq!(upstream.received().len(), before, "went on at zero");
    for method in ["GET", "POST", "X"] {
        assert_eq!(request(gateway.address(), method, "/", &[("max-forwards", "0")], b"").status, 200);
        assert_eq!(upstream.last().header("max-forwards").as_deref(), Some("0"), "{method}: it means nothing there");
    }
}

#[test]
fn a_client_is_told_once_to_go_on_and_never_after_its_answer() {
    let upstream = Upstream::saying("ok");
    let gateway = Gateway::with(&format!(
        "{}[[routes]]\nname = \"a\"\npath_prefix = \"/a\"\nupstream = \"u\"\nbody_limit = \"1KiB\"\n",
        upstream.config("u")
    ));
    for expect in ["100-continue", "100-Continue", "100-continue, 100-continue"] {
        let mut connection = Connection::open(gateway.address());
        connection.send(format!("PUT /a HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\nexpect: {expect}\r\n\r\n"));
        assert_eq!(connection.head().expect("an interim response").status, 100, "{expect}");
        connection.send("body");
        assert_eq!(connection.head().expect("the final one").status, 200, "{expect}");
        assert_eq!(upstream.last().body, b"body");
    }
    let sent = upstream.received().len();
    for (path, length, status) in [("/b", 4, 404), ("/a", 4096, 413)] {
        let request =
            format!("PUT {path} HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\nexpect: 100-continue\r\n\r\n");
        let got = everything(gateway.address(), request);
        assert!(got.starts_with(&format!("HTTP/1.1 {status} ")), "at once, and nothing before: {got}");
        assert!(got.to_ascii_lowercase().contains("\r\nconnection: close\r\n"), "{got}");
    }
    assert_eq!(upstream.received().len(), sent);
    // Without a body, and with one that has come already, there is nothing to wait for.
    let none = "GET /a HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\nconnection: close\r\n\r\n";
    let here = "PUT /a HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 2\r\nconnection: close\r\n\r\nhi";
    for request in [none, here] {
        let got = everything(gateway.address(), request);
        assert!(got.contains("HTTP/1.1 200 ") && got.matches("HTTP/1.1 ").count() <= 2, "{got}");
    }
    assert!(!everything(gateway.address(), none).contains("100 Continue"));
}

#[test]
fn expectations_that_nobody_knows_are_refused() {
    let upstream = Upstream::saying("ok");
    let gateway = before(upstream.address());
    for expect in ["x-own", "100-continue, x-own", "100-continue=x", "200-ok"] {
        let request = format!("GET / HTTP/1.1\r\nhost: a\r\nexpect: {expect}\r\n\r\n");
        assert_eq!(raw(gateway.address(), request).expect("an answer").status, 417, "{expect}");
    }
    assert!(upstream.received().is_empty());
    let old = raw(gateway.address(), "GET / HTTP/1.0\r\nexpect: 100-continue\r\n\r\n").expect("an answer");
    assert_eq!((old.status, upstream.last().header("expect")), (200, None));
}

#[test]
fn a_request_that_failed_is_sent_again_once_at_most() {
    // Every connection serves one request and closes under the next.
    let upstream = Upstream::new(|request, stream| {
        request.target == "/first" && stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").is_ok()
    });
    let gateway = Gateway::with(&format!(
        "[[listeners]]\naddress = \"127.0.0.1:0\"\n[admin]\naddress = \"127.0.0.1:0\"\n[runtime]\nthreads = 1\n{}",
        super::in_front_of(upstream.address(), "")
    ));
    for (method, tries) in [("GET", 2), ("PUT", 2), ("POST", 1), ("PATCH", 1), ("X-own", 1)] {
        assert_eq!(gateway.get("/first").status, 200);
        let before = upstream.received().len();
        let answer = request(gateway.address(), method, "/again", &[("content-length", "0")], b"");
        assert_eq!((answer.status, upstream.received().len() - before), (502, tries), "{method}");
    }
}

#[test]
fn the_rest_of_a_request_is_sent_while_its_response_comes() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let gateway = before(listener.local_addr().expect("bound"));
    let upstream = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        super::head_of(&mut stream).expect("a head");
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n").expect("written");
        let mut body = [0; 6];
        stream.read_exact(&mut body).expect("the whole body");
        stream.write_all(&body).expect("written");
    });
    let mut connection = Connection::open(gateway.address());
    connection.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 6\r\n\r\n");
    assert_eq!(connection.head().expect("a head before the body").status, 200);
    connection.send("abc");
    connection.send("def");
    let mut body = [0; 6];
    connection.stream().read_exact(&mut body).expect("the body");
    assert_eq!(&body, b"abcdef");
    upstream.join().expect("no panic");
}

#[test]
fn statuses_pass_as_they_are() {
    let upstream = answering(&[
        ("/205", "HTTP/1.1 205 Reset\r\ncontent-length: 0\r\n\r\n"),
        ("/206", "HTTP/1.1 206 Partial\r\ncontent-range: bytes 0-1/9\r\ncontent-length: 2\r\n\r\nhi"),
        ("/300", "HTTP/1.1 300 Choose\r\nlocation: /x\r\ncontent-length: 0\r\n\r\n"),
        ("/401", "HTTP/1.1 401 Who\r\nwww-authenticate: Own x=\"y\"\r\ncontent-length: 0\r\n\r\n"),
        ("/407", "HTTP/1.1 407 Who\r\nproxy-authenticate: Own\r\ncontent-length: 0\r\n\r\n"),
        ("/421", "HTTP/1.1 421 Not here\r\ncontent-length: 0\r\n\r\n"),
        ("/499", "HTTP/1.1 499 Odd\r\ncontent-length: 0\r\n\r\n"),
        ("/599", "HTTP/1.1 599 Odd\r\ncontent-length: 0\r\n\r\n"),
        ("/999", "HTTP/1.1 999 Denied\r\ncontent-length: 0\r\n\r\n"),
    ]);
    let gateway = before(upstream.address());
    for (path, status) in [
        ("/205", 205),
        ("/206", 206),
        ("/300", 300),
        ("/401", 401),
        ("/407", 407),
        ("/421", 421),
        ("/499", 499),
        ("/599", 599),
        ("/999", 999),
    ] {
        assert_eq!(gateway.get(path).status, status);
        assert_eq!(http2(gateway.address(), "GET", path, &[], "").status, status);
    }
}
