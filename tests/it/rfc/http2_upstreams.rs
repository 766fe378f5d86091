//! Upstreams of HTTP/2: what they are asked, and what of their answers is passed on (RFC 9113, sections 3 to 8).

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};

use witgate_tests::client::{get as get_of, raw, request};
use witgate_tests::http2::*;
use witgate_tests::{Connection, Gateway};

use super::{everything, http2, in_front_of};

fn in_front_of_http2(listener: &TcpListener) -> Gateway {
    let address = listener.local_addr().expect("bound");
    Gateway::with(&in_front_of(address, "protocol = \"http2\"\n"))
}

/// A service of HTTP/2 that sends these frames for every request, whose stream is 1 in them, on a connection of its own.
fn sending(frames: impl Fn(&mut Http2) + Send + 'static) -> TcpListener {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let own = listener.try_clone().expect("cloned");
    std::thread::spawn(move || {
        loop {
            let mut server = Http2::accept(&own, &[]);
            let Some(head) = server.await_frame(HEADERS) else { continue };
            assert_eq!(head.stream, 1);
            frames(&mut server);
            // Until the gateway has had enough.
            std::thread::spawn(move || while server.any().is_some() {});
        }
    });
    listener
}

/// A gateway with a service for each case, which sends these frames for a request of the case's number.
fn in_front_of_each(cases: &[(&str, Vec<u8>)]) -> Gateway {
    let config = cases.iter().enumerate().map(|(case, (_, bytes))| {
        let bytes = bytes.clone();
        let address = sending(move |server| server.send(&bytes)).local_addr().expect("bound");
        format!(
            "[upstreams.u{case}]\nendpoints = [\"{address}\"]\nprotocol = \"http2\"\n\
             [[routes]]\nname = \"r{case}\"\npath = \"/{case}\"\nupstream = \"u{case}\"\n"
        )
    });
    Gateway::with(&config.collect::<String>())
}

/// A service that keeps the heads of requests as the library reads them, and answers each with `200`.
fn keeping() -> (TcpListener, Receiver<http::request::Parts>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let own = listener.try_clone().expect("cloned");
    let (sender, heads) = channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            own.set_nonblocking(true).expect("set");
            let listener = tokio::net::TcpListener::from_std(own).expect("a listener");
            while let Ok((socket, _)) = listener.accept().await {
                let sender = sender.clone();
                tokio::spawn(async move {
                    let Ok(mut connection) = h2::server::handshake(socket).await else { return };
                    while let Some(Ok((request, mut respond))) = connection.accept().await {
                        let _ = sender.send(request.into_parts().0);
                        let _ = respond.send_response(http::Response::new(()), true);
                    }
                });
            }
        });
    });
    (listener, heads)
}

#[test]
fn requests_of_both_versions_are_written_as_http2_has_them() {
    let (listener, heads) = keeping();
    let gateway = in_front_of_http2(&listener);
    let answer = raw(
        gateway.address(),
        "PUT http://A.example:8080/x?y HTTP/1.1\r\nHost: a.example:8080\r\nX-CamelCase: 1\r\nConnection: close, X-Hop, TE\r\nX-Hop: 1\r\n\
         TE: trailers, gzip\r\nKeep-Alive: timeout=5\r\nProxy-Connection: x\r\nUpgrade: x\r\nTransfer-Encoding: chunked\r\n\
         Cookie: a=1; b=2\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    );
    assert_eq!(answer.expect("an answer").status, 200);
    let head = heads.recv().expect("a request");
    assert_eq!((head.method.as_str(), head.uri.path_and_query().expect("a path").as_str()), ("PUT", "/x?y"));
    let authority = head.uri.authority().expect("an authority").as_str();
    assert!(authority.eq_ignore_ascii_case("a.example:8080"), "{authority}");
    assert_eq!(head.uri.scheme_str(), Some("http"), "of this connection");
    for name in ["connection", "x-hop", "keep-alive", "proxy-connection", "upgrade", "transfer-encoding", "host"] {
        assert!(!head.headers.contains_key(name), "{name}");
    }
    assert_eq!(head.headers["x-camelcase"], "1");
    assert_eq!(head.headers["te"], "trailers");
    http2(gateway.address(), "GET", "/z", &[("cookie", "a=1"), ("cookie", "b=2"), ("te", "trailers")], "");
    let head = heads.recv().expect("a request");
    assert_eq!(head.uri.authority().map(|authority| authority.as_str()), Some("a.example"));
    assert_eq!(head.headers["te"], "trailers");
    let cookies: Vec<&str> = head.headers.get_all("cookie").iter().map(|value| value.to_str().expect("text")).collect();
    assert_eq!(cookies.join("; "), "a=1; b=2");
    assert_eq!(request(gateway.address(), "OPTIONS", "/o", &[], b"").status, 200);
    assert_eq!(heads.recv().expect("a request").uri.path(), "/o");
}

#[test]
fn the_gateway_begins_as_a_client_should_and_wants_no_pushes() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let gateway = in_front_of_http2(&listener);
    let server = std::thread::spawn(move || {
        // A peer that announces what nobody knows, and frames that are as large as they may be.
        let mut server = Http2::accept(&listener, &[(0xf000, 7), (3, 1)]);
        let first = server.any().expect("a frame");
        assert_eq!((first.kind, first.flags & ACK), (SETTINGS, 0));
        let settings = first.settings();
        assert!(settings.contains(&(2, 0)), "SETTINGS_ENABLE_PUSH is not 0: {settings:?}");
        server.frame(SETTINGS, ACK, 0, &[]);
        server.frame(PING, 0, 0, b"12345678");
        let (mut acknowledged, mut ponged, mut head) = (false, false, None);
        while !acknowledged || !ponged || head.is_none() {
            let frame = server.any().expect("a frame");
            acknowledged |= frame.kind == SETTINGS && frame.flags & ACK != 0;
            ponged |= frame.kind == PING && frame.flags & ACK != 0 && frame.payload == b"12345678";
            if frame.kind == HEADERS {
                head = Some(frame);
            }
        }
        let head = head.expect("a head");
        assert_eq!((head.stream % 2, head.flags & END_STREAM), (1, END_STREAM));
        server.headers(head.stream, &[(":status", "200")], true);
        while server.any().is_some() {}
    });
    assert_eq!(gateway.get("/").status, 200);
    drop(gateway);
    server.join().expect("no panic");
}

#[test]
fn malformed_responses_are_not_passed_on() {
    let whole = |fields: &[(&str, &str)]| frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(fields));
    let open = |fields: &[(&str, &str)]| frame(HEADERS, END_HEADERS, 1, &block(fields));
    let ok = (":status", "200");
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("no status", whole(&[("x", "y")])),
        ("two statuses", whole(&[ok, ok])),
        ("a status behind a field", whole(&[("x", "y"), ok])),
        ("a status that is none", whole(&[(":status", "abc")])),
        ("a status of two digits", whole(&[(":status", "20")])),
        ("a pseudo field that nobody knows", whole(&[ok, (":own", "x")])),
        ("an upper case", whole(&[ok, ("X-Upper", "1")])),
        ("a space in a name", whole(&[ok, ("x y", "1")])),
        ("a colon in a name", whole(&[ok, ("x:y", "1")])),
        ("a line break", whole(&[ok, ("x", "a\r\nset-cookie: b")])),
        ("a NUL", whole(&[ok, ("x", "a\0")])),
        ("white space in front", whole(&[ok, ("x", " a")])),
        ("white space behind", whole(&[ok, ("x", "a\t")])),
        ("connection", whole(&[ok, ("connection", "close")])),
        ("keep-alive", whole(&[ok, ("keep-alive", "timeout=5")])),
        ("proxy-connection", whole(&[ok, ("proxy-connection", "x")])),
        ("transfer-encoding", whole(&[ok, ("transfer-encoding", "chunked")])),
        ("upgrade", whole(&[ok, ("upgrade", "x")])),
        ("a length without a body", whole(&[ok, ("content-length", "5")])),
        ("a length that is none", whole(&[ok, ("content-length", "x")])),
        ("a switch of protocols", whole(&[(":status", "101")])),
        ("data before a head", frame(DATA, END_STREAM, 1, b"x")),
        ("an end of the interim", whole(&[(":status", "103")])),
        ("a push", [frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2]), open(&[ok])].concat()),
        ("a head on another stream", frame(HEADERS, END_HEADERS | END_STREAM, 3, &block(&[ok]))),
        ("a block that cannot be read", frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0x80])),
        ("settings that are none", frame(SETTINGS, 0, 0, &[0; 5])),
    ];
    let gateway = in_front_of_each(&cases);
    let answers = (0..cases.len())
        .map(|case| request(gateway.address(), "POST", &format!("/{case}"), &[("content-length", "0")], b""));
    let passed = answers.zip(&cases).filter(|(answer, _)| answer.status != 502);
    let passed: Vec<String> = passed.map(|(answer, (what, _))| format!("{what}: {}", answer.status)).collect();
    assert!(passed.is_empty(), "{passed:#?}");
}

#[test]
fn responses_that_turn_out_malformed_are_not_completed() {
    let head = |more: &[(&str, &str)]| frame(HEADERS, END_HEADERS, 1, &block(&[&[(":status", "200")], more].concat()));
    let trailers = |fields: &[(&str, &str)], flags: u8| frame(HEADERS, END_HEADERS | flags, 1, &block(fields));
    let length = [("content-length", "5")];
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("shorter than it said", [head(&length), frame(DATA, END_STREAM, 1, b"hi")].concat()),
        ("longer than it said", [head(&length), frame(DATA, END_STREAM, 1, b"hello!")].concat()),
        ("a reset", [head(&[]), frame(DATA, 0, 1, b"hi"), frame(RST_STREAM, 0, 1, &[0, 0, 0, 2])].concat()),
        ("a second head", [head(&[]), trailers(&[(":status", "200")], 0)].concat()),
        ("trailers without an end", [head(&[]), trailers(&[("x", "y")], 0)].concat()),
    ];
    let gateway = in_front_of_each(&cases);
    let answers = (0..cases.len()).map(|case| {
        let mut connection = Connection::open(gateway.address());
        connection.send(format!("GET /{case} HTTP/1.1\r\nhost: a\r\n\r\n"));
        connection.response()
    });
    let whole = answers.zip(&cases).filter_map(|(answer, (what, _))| Some((answer?, what)));
    let whole: Vec<String> =
        whole.filter(|(answer, _)| answer.status != 502).map(|(answer, what)| format!("{what}: {answer:?}")).collect();
    assert!(whole.is_empty(), "{whole:#?}");
}

#[test]
fn a_whole_response_counts_though_the_rest_of_the_request_is_not_wanted() {
    let listener = sending(|server| {
        server.headers(1, &[(":status", "413"), ("content-length", "2")], false);
        server.data(1, b"no", true);
        server.frame(RST_STREAM, 0, 1, &[0, 0, 0, 0]);
    });
    let gateway = in_front_of_http2(&listener);
    let mut connection = Connection::open(gateway.address());
    connection.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\n");
    connection.send(vec![b'x'; 1000]);
    let answer = connection.response().expect("an answer");
    assert_eq!((answer.status, answer.text().as_str()), (413, "no"));
}

#[test]
fn interim_responses_of_http2_reach_both_versions() {
    let listener = sending(|server| {
        server.headers(1, &[(":status", "103"), ("link", "</a.css>")], false);
        server.headers(1, &[(":status", "200"), ("content-length", "2")], false);
        server.data(1, b"ok", true);
    });
    let gateway = in_front_of_http2(&listener);
    let mut connection = Connection::open(gateway.address());
    connection.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    let hints = connection.head().expect("an interim response");
    assert_eq!((hints.status, hints.header("link").as_deref()), (103, Some("</a.css>")));
    assert_eq!(connection.response().expect("the final one").text(), "ok");
}

#[test]
fn an_upstreams_windows_are_kept() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    // One thread, for threads may have connections of their own.
    let gateway = Gateway::with(&format!(
        "[[listeners]]\naddress = \"127.0.0.1:0\"\n[admin]\naddress = \"127.0.0.1:0\"\n[runtime]\nthreads = 1\n{}",
        in_front_of(address, "protocol = \"http2\"\n")
    ));
    let server = std::thread::spawn(move || {
        let mut server = Http2::accept(&listener, &[(4, 4)]);
        // What was sent before the settings came may have gone by the default window.
        let first = server.await_frame(HEADERS).expect("a first request");
        server.headers(first.stream, &[(":status", "200")], true);
        let stream = server.await_frame(HEADERS).expect("a second request on the same connection").stream;
        let mut body = Vec::new();
        loop {
            let data = server.await_frame(DATA).expect("data");
            body.extend_from_slice(&data.payload);
            if data.flags & END_STREAM != 0 {
                break;
            }
            assert!(body.len() <= 4 || body.len() == 8, "{} octets in windows of 4", body.len());
            if body.len() % 4 == 0 && !data.payload.is_empty() {
                assert_eq!(server.ping(), Ok(()), "nothing comes before there is room");
                server.frame(WINDOW_UPDATE, 0, stream, &[0, 0, 0, 4]);
            }
        }
        server.headers(stream, &[(":status", "200")], true);
        while server.any().is_some() {}
        body
    });
    assert_eq!(gateway.get("/").status, 200);
    let answer = request(gateway.address(), "POST", "/", &[("content-length", "10")], b"0123456789");
    assert_eq!(answer.status, 200);
    drop(gateway);
    assert_eq!(server.join().expect("no panic"), b"0123456789");
}

#[test]
fn pseudo_fields_where_they_do_not_belong_are_not_passed_on() {
    let trailers = frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(&[(":status", "200"), ("x-sum", "1")]));
    let cases = [
        (
            "a field of requests",
            frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(&[(":status", "200"), (":path", "/")])),
        ),
        ("in trailers", [frame(HEADERS, END_HEADERS, 1, &block(&[(":status", "200")])), trailers].concat()),
    ];
    let gateway = in_front_of_each(&cases);
    for (case, (what, _)) in cases.iter().enumerate() {
        let got = everything(
            gateway.address(),
            format!("GET /{case} HTTP/1.1\r\nhost: a\r\nte: trailers\r\nconnection: close\r\n\r\n"),
        );
        assert!(!got.contains("\r\n:") && !got.contains(":path") && !got.contains(":status"), "{what}: {got}");
    }
}

#[test]
fn an_upstream_that_has_not_seen_a_request_gets_it_again() {
    for (what, refusal) in
        [("refused", frame(RST_STREAM, 0, 1, &[0, 0, 0, 7])), ("behind the last", frame(GOAWAY, 0, 0, &[0; 8]))]
    {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let gateway = in_front_of_http2(&listener);
        let requests = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&requests);
        std::thread::spawn(move || {
            loop {
                let mut server = Http2::accept(&listener, &[]);
                let (seen, refusal) = (Arc::clone(&seen), refusal.clone());
                std::thread::spawn(move || {
                    while let Some(head) = server.await_frame(HEADERS) {
                        match seen.fetch_add(1, Ordering::SeqCst) {
                            0 => server.send(&refusal),
                            _ => server.headers(head.stream, &[(":status", "200")], true),
                        }
                    }
                });
            }
        });
        let answer = request(gateway.address(), "POST", "/", &[("content-length", "0")], b"");
        assert_eq!((answer.status, requests.load(Ordering::SeqCst)), (200, 2), "{what}");
    }
}

/// Serves a connection of which one stream at once may be open, and answers once nobody asks for more; counts streams that were
/// opened beside another. What was opened before the limit was known does not count.
fn serve_one_by_one(mut server: Http2, beside: &AtomicUsize) {
    let (mut limited, mut open) = (false, Vec::new());
    while let Some(frame) = server.any() {
        match (frame.kind, frame.flags & ACK != 0) {
            (SETTINGS, true) => limited = true,
            (SETTINGS, false) => server.frame(SETTINGS, ACK, 0, &[]),
            (HEADERS, _) => {
                beside.fetch_add(usize::from(limited && !open.is_empty()), Ordering::SeqCst);
                open.push(frame.stream);
                server.frame(PING, 0, 0, b"anybody?");
            }
            (PING, true) => {
                for stream in open.drain(..) {
                    server.headers(stream, &[(":status", "200")], true);
                }
            }
            (PING, false) => server.frame(PING, ACK, 0, &frame.payload),
            _ => {}
        }
    }
}

#[test]
fn an_upstreams_limit_of_streams_is_kept() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let gateway = in_front_of_http2(&listener);
    let beside = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&beside);
    std::thread::spawn(move || {
        loop {
            let server = Http2::accept(&listener, &[(3, 1)]);
            let counted = Arc::clone(&counted);
            std::thread::spawn(move || serve_one_by_one(server, &counted));
        }
    });
    let address = gateway.address();
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                for _ in 0..4 {
                    assert_eq!(get_of(address, "/", &[]).status, 200);
                }
            });
        }
    });
    assert_eq!(beside.load(Ordering::SeqCst), 0, "streams beside another on one connection");
}

#[test]
fn an_upstream_that_says_goodbye_gets_no_further_stream() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let gateway = in_front_of_http2(&listener);
    let server = std::thread::spawn(move || {
        for _ in 0..2 {
            let mut server = Http2::accept(&listener, &[]);
            let head = server.await_frame(HEADERS).expect("a head");
            assert_eq!(head.stream, 1, "each connection serves one request");
            server.frame(GOAWAY, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 0]);
            server.headers(1, &[(":status", "200")], true);
            while server.any().is_some_and(|frame| frame.kind != HEADERS) {}
        }
    });
    for _ in 0..2 {
        assert_eq!(gateway.get("/").status, 200);
    }
    drop(gateway);
    server.join().expect("no panic");
}
