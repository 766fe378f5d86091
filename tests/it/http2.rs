//! Requests over HTTP/2: what of them arrives, what comes back, and what is refused.

use std::io::Write;

use h2::client::SendRequest;
use http::{HeaderMap, Method, Request, StatusCode};
use witgate_tests::http2::{DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, Http2, PRIORITY, RST_STREAM, block, get};
use witgate_tests::{Gateway, Upstream};

type Client = SendRequest<bytes::Bytes>;

pub fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(test)
}

pub async fn connect(gateway: &Gateway) -> Client {
    let socket = tokio::net::TcpStream::connect(gateway.address()).await.expect("connected");
    let (client, connection) = h2::client::handshake(socket).await.expect("HTTP/2");
    tokio::spawn(connection);
    client.ready().await.expect("ready")
}

/// A whole answer.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    pub trailers: Option<HeaderMap>,
}

impl Answer {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("not JSON: {}", String::from_utf8_lossy(&self.body)))
    }
}

pub async fn whole(response: h2::client::ResponseFuture) -> Answer {
    let (parts, mut stream) = response.await.expect("a response").into_parts();
    let mut body = Vec::new();
    while let Some(piece) = stream.data().await {
        let piece = piece.expect("whole");
        let _ = stream.flow_control().release_capacity(piece.len());
        body.extend_from_slice(&piece);
    }
    let trailers = stream.trailers().await.expect("whole");
    Answer { status: parts.status, headers: parts.headers, body, trailers }
}

pub async fn ask(client: &mut Client, request: Request<()>) -> Answer {
    let (response, _) = client.send_request(request, true).expect("sent");
    whole(response).await
}

pub fn site(upstream: &Upstream, more: &str) -> Gateway {
    Gateway::with(&format!("{more}{}[[routes]]\nname = \"all\"\nupstream = \"u\"\n", upstream.config("u")))
}

fn fields(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (name.parse().expect("valid"), value.parse().expect("valid"))).collect()
}

#[test]
fn trailers_go_both_ways_without_what_must_not_be_one() {
    let upstream = Upstream::new(|request, stream| {
        assert_eq!(request.body, b"hello");
        let sum = request.trailers.iter().map(|(name, value)| format!("{name}={value};")).collect::<String>();
        let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n";
        write!(stream, "{head}x-echo: {sum}\r\nauthorization: no\r\n\r\n").is_ok()
    });
    let gateway = site(&upstream, "");
    run(async {
        let mut client = connect(&gateway).await;
        let request = Request::post("http://a.test/").body(()).expect("valid");
        let (response, mut sender) = client.send_request(request, false).expect("sent");
        sender.send_data("hello".into(), false).expect("sent");
        sender
            .send_trailers(fields(&[("x-sum", "1"), ("authorization", "no"), ("content-length", "7")]))
            .expect("sent");
        let answer = whole(response).await;
        let trailers = answer.trailers.expect("trailers");
        assert_eq!((trailers.len(), &trailers["x-echo"]), (1, &"x-sum=1;".parse().expect("valid")), "{trailers:?}");
    });
}

#[test]
fn a_cookie_in_crumbs_and_the_authority_arrive_as_one_field_each() {
    let upstream = Upstream::saying("ok");
    let gateway = site(&upstream, "");
    run(async {
        let mut client = connect(&gateway).await;
        let mut request = Request::get("http://Shop.test:8080/").body(()).expect("valid");
        for crumb in ["a=1", "b=2", "c=3"] {
            request.headers_mut().append("cookie", crumb.parse().expect("valid"));
        }
        request.headers_mut().insert("priority", "u=1, i".parse().expect("valid"));
        assert_eq!(ask(&mut client, request).await.status, 200);
    });
    let seen = upstream.last();
    let cookies: Vec<_> = seen.headers.iter().filter(|(name, _)| name == "cookie").collect();
    assert_eq!(cookies, [&("cookie".to_owned(), "a=1; b=2; c=3".to_owned())]);
    assert_eq!(seen.header("host").as_deref(), Some("Shop.test:8080"));
    assert_eq!(seen.header("priority").as_deref(), Some("u=1, i"));
}

#[test]
fn a_client_that_expects_to_be_told_is_told_to_go_on() {
    let upstream = Upstream::saying("ok");
    let gateway = site(&upstream, "");
    run(async {
        let mut client = connect(&gateway).await;
        let request = Request::post("http://a.test/").header("expect", "100-continue").body(()).expect("valid");
        let (mut response, mut sender) = client.send_request(request, false).expect("sent");
        let told = std::future::poll_fn(|context| response.poll_informational(context)).await;
        assert_eq!(told.expect("an interim response").expect("whole").status(), StatusCode::CONTINUE);
        sender.send_data("body".into(), true).expect("sent");
        assert_eq!(whole(response).await.status, 200);
        assert_eq!((upstream.last().body, upstream.last().header("expect")), (b"body".to_vec(), None));
        // One that is refused at once is not told to send.
        let request = Request::post("http://a.test/%").header("expect", "100-continue").body(()).expect("valid");
        let (mut response, _sender) = client.send_request(request, false).expect("sent");
        assert!(std::future::poll_fn(|context| response.poll_informational(context)).await.is_none());
        assert_eq!(whole(response).await.status, 400);
    });
}

#[test]
fn interim_responses_arrive_without_what_concerned_the_upstreams_connection() {
    let upstream = Upstream::new(|_, stream| {
        let hints =
            "HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\nconnection: x-hop\r\nx-hop: 1\r\nkeep-alive: 5\r\n\r\n";
        write!(stream, "{hints}HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").is_ok()
    });
    let gateway = site(&upstream, "");
    run(async {
        let mut client = connect(&gateway).await;
        let request = Request::get("http://a.test/").body(()).expect("valid");
        let (mut response, _) = client.send_request(request, true).expect("sent");
        let hints = std::future::poll_fn(|context| response.poll_informational(context)).await;
        let hints = hints.expect("hints").expect("whole");
        assert_eq!((hints.status().as_u16(), hints.headers()), (103, &fields(&[("link", "</a.css>")])));
        let next = std::future::poll_fn(|context| response.poll_informational(context)).await;
        assert_eq!(next.expect("another").expect("whole").status().as_u16(), 102);
        assert_eq!(whole(response).await.body, b"ok");
    });
}

#[test]
fn responses_have_a_date_and_keep_that_of_the_upstream() {
    let upstream = Upstream::new(|request, stream| {
        let date = if request.target == "/own" { "date: Tue, 01 Jan 2030 00:00:00 GMT\r\n" } else { "" };
        write!(stream, "HTTP/1.1 200 OK\r\n{date}content-length: 0\r\n\r\n").is_ok()
    });
    let gateway = site(&upstream, "");
    run(async {
        let mut client = connect(&gateway).await;
        let own = ask(&mut client, Request::get("http://a.test/own").body(()).expect("valid")).await;
        assert_eq!(own.headers["date"], "Tue, 01 Jan 2030 00:00:00 GMT");
        let mut client = connect(&gateway).await;
        let none = ask(&mut client, Request::get("http://a.test/").body(()).expect("valid")).await;
        assert!(none.headers["date"].to_str().expect("text").ends_with("GMT"));
    });
}

#[test]
fn whoever_is_refused_for_its_head_gets_an_envelope_a_record_and_a_count() {
    let upstream = Upstream::saying("ok");
    let mut gateway = site(&upstream, "[downstream]\nheader_limit = \"2KiB\"\n");
    let request = |uri: &str| Request::get(uri).body(()).expect("valid");
    let large = |mut request: Request<()>, count: usize, size: usize| {
        for _ in 0..count {
            request.headers_mut().append("x", "y".repeat(size).parse().expect("valid"));
        }
        request
    };
    let with = |mut request: Request<()>, name: &'static str, value: &'static str| {
        request.headers_mut().append(name, value.parse().expect("valid"));
        request
    };
    let mut connect_to = request("http://a.test/");
    *connect_to.method_mut() = Method::CONNECT;
    *connect_to.uri_mut() = "a.test:443".parse().expect("valid");
    let cases = [
        ("too large", large(request("http://a.test/"), 1, 2500), 431),
        ("far too large", large(request("http://a.test/"), 3, 1000), 431),
        ("another host", with(request("http://a.test/"), "host", "b.test"), 400),
        ("two lengths", with(with(request("http://a.test/"), "content-length", "0"), "content-length", "0"), 400),
        ("white space", with(request("http://a.test/"), "x", "y "), 400),
        ("user information", request("http://u:p@a.test/"), 400),
        ("CONNECT", connect_to, 405),
    ];
    let mut ids = Vec::new();
    run(async {
        let mut client = connect(&gateway).await;
        for (name, request, status) in cases {
            let answer = ask(&mut client, request).await;
            assert_eq!(answer.status.as_u16(), status, "{name}");
            let id = answer.headers["x-request-id"].to_str().expect("text").to_owned();
            assert_eq!(answer.json()["requestId"], id, "{name}");
            ids.push((name, id, status));
        }
        // The connection is as good as before.
        assert_eq!(ask(&mut client, request("http://a.test/")).await.status, 200);
    });
    assert_eq!(gateway.metric("witgate_heads_refused_total"), ids.len() as f64);
    for (name, id, status) in ids {
        let record = gateway.record(&id);
        assert_eq!(record["status"], status, "{name}: {record}");
        assert!(record["error"].is_string() && record["protocol"] == "HTTP/2", "{name}: {record}");
    }
}

#[test]
fn the_form_of_a_refusal_is_what_the_client_accepts() {
    let gateway = site(&Upstream::saying("ok"), "");
    run(async {
        let mut client = connect(&gateway).await;
        let request = Request::get("http://a.test/").header("host", "b").header("accept", "text/plain");
        let answer = ask(&mut client, request.body(()).expect("valid")).await;
        assert!(answer.body.starts_with(b"INVALID_REQUEST: "), "{:?}", answer.body);
        let request = Request::head("http://a.test/").header("host", "b").header("x-request-id", "mine");
        let answer = ask(&mut client, request.body(()).expect("valid")).await;
        assert_eq!(
            (answer.status, &answer.headers["x-request-id"]),
            (StatusCode::BAD_REQUEST, &"mine".parse().expect("valid"))
        );
        assert!(answer.body.is_empty());
    });
}

#[test]
fn what_the_library_refuses_is_answered_recorded_and_counted_too() {
    let upstream = Upstream::saying("ok");
    let mut gateway = site(&upstream, "");
    let no_path = vec![(":method", "GET"), (":scheme", "http"), (":authority", "a.test")];
    let twice =
        vec![(":method", "GET"), (":method", "GET"), (":scheme", "http"), (":authority", "a.test"), (":path", "/")];
    let bad_authority = vec![(":method", "GET"), (":scheme", "http"), (":authority", "a b"), (":path", "/")];
    let websocket = vec![
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "http"),
        (":authority", "a.test"),
        (":path", "/"),
    ];
    let cases = [
        ("Connection", get("/", &[("connection", "close")])),
        ("Transfer-Encoding", get("/", &[("transfer-encoding", "chunked")])),
        ("TE", get("/", &[("te", "gzip")])),
        ("no path", no_path),
        ("a pseudo-header field twice", twice),
        ("a malformed authority", bad_authority),
        ("extended CONNECT", websocket),
        ("a length without a body", get("/", &[("content-length", "5")])),
        ("no length", get("/", &[("content-length", "x")])),
    ];
    let mut client = Http2::open(gateway.address());
    let mut ids = Vec::new();
    for (at, (name, head)) in cases.iter().enumerate() {
        let stream = 1 + 2 * at as u32;
        client.headers(stream, head, true);
        let (status, fields, body) = client.plain_answer(stream);
        let body: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!((status, body["code"].as_str()), (400, Some("INVALID_REQUEST")), "{name}");
        let id = fields.iter().find(|(name, _)| name == "x-request-id").expect("an id").1.clone();
        assert_eq!(body["requestId"], id, "{name}");
        let reset = client.next().expect("a reset");
        assert_eq!((reset.kind, reset.stream, reset.code()), (RST_STREAM, stream, 1), "{name}");
        ids.push(id);
    }
    // The connection and its windows are as good as before.
    let stream = 1 + 2 * cases.len() as u32;
    client.headers(stream, &get("/", &[]), true);
    let head = client.next().expect("a head");
    assert_eq!((head.kind, head.stream), (HEADERS, stream));
    assert_eq!(client.next().expect("a body").payload, b"ok");
    assert_eq!(gateway.metric("witgate_heads_refused_total"), ids.len() as f64);
    for id in ids {
        let record = gateway.record(&id);
        assert_eq!((&record["status"], &record["code"]), (&400.into(), &"INVALID_REQUEST".into()), "{record}");
    }
    assert_eq!(upstream.received().len(), 1);
}

#[test]
fn a_head_that_ends_the_connection_is_answered_before() {
    let mut gateway = site(&Upstream::saying("ok"), "");
    for (name, head) in [
        ("a capital letter", block(&get("/", &[("X-Upper", "1")]))),
        ("a control character", block(&get("/", &[("x", "a\nb")]))),
        ("no compression of ours", vec![0xff; 40]),
    ] {
        let mut client = Http2::open(gateway.address());
        client.frame(HEADERS, END_HEADERS | END_STREAM, 1, &head);
        let (status, fields, _) = client.plain_answer(1);
        assert_eq!(status, 400, "{name}");
        let goaway = client.await_frame(GOAWAY).expect("a GOAWAY");
        assert_ne!(goaway.code(), 0, "{name}");
        assert!(client.next().is_none(), "{name}");
        let id = &fields.iter().find(|(name, _)| name == "x-request-id").expect("an id").1;
        assert_eq!(gateway.record(id)["status"], 400, "{name}");
    }
    assert_eq!(gateway.metric("witgate_heads_refused_total"), 3.0);
    // The library says that it has ended a connection once the client can know it.
    gateway.eventually("three connections are counted", |gateway| {
        gateway.metric_sum("witgate_http2_connections_ended_total", &["_ERROR"]) == 3.0
    });
}

#[test]
fn an_answer_stays_within_the_clients_windows() {
    let mut gateway = site(&Upstream::saying("ok"), "");
    let mut client = Http2::silent(gateway.address());
    client.send(witgate_tests::http2::PREFACE);
    // SETTINGS_INITIAL_WINDOW_SIZE: no body can be sent.
    client.frame(witgate_tests::http2::SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
    client.headers(1, &get("/", &[("connection", "close"), ("x-request-id", "lost")]), true);
    let reset = client.next().expect("a reset");
    assert_eq!((reset.kind, reset.code()), (RST_STREAM, 1));
    let record = gateway.await_line(|line| line.contains("Transfer-Encoding"));
    assert!(record.contains("\"status\":0"), "{record}");
}

#[test]
fn a_body_that_is_not_as_long_as_it_says_is_refused() {
    let upstream = Upstream::saying("ok");
    let mut gateway = site(&upstream, "");
    for (at, body) in ["toolong", "no"].iter().enumerate() {
        let mut client = Http2::open(gateway.address());
        let id = format!("length-{at}");
        let head = [
            (":method", "POST"),
            (":scheme", "http"),
            (":authority", "a.test"),
            (":path", "/"),
            ("content-length", "5"),
            ("x-request-id", &id),
        ];
        client.frame(HEADERS, END_HEADERS, 1, &block(&head));
        client.frame(DATA, END_STREAM, 1, body.as_bytes());
        let reset = client.await_frame(RST_STREAM).expect("a reset");
        assert_eq!((reset.stream, reset.code()), (1, 1), "{body}");
        let record = gateway.record(&id);
        assert_eq!(record["code"], "INVALID_REQUEST", "{record}");
    }
    assert!(upstream.received().is_empty(), "{:?}", upstream.received());
}

#[test]
fn priorities_do_no_harm() {
    let gateway = site(&Upstream::saying("ok"), "");
    let mut client = Http2::open(gateway.address());
    client.frame(PRIORITY, 0, 3, &[0, 0, 0, 1, 16]);
    // PRIORITY_UPDATE (RFC 9218), and a frame of a kind that nobody knows.
    client.frame(0x10, 0, 0, &[&[0, 0, 0, 5][..], b"u=1"].concat());
    client.frame(0xbe, 0xff, 7, b"?");
    client.frame(
        HEADERS,
        END_HEADERS | END_STREAM | 0x20,
        5,
        &[&[0, 0, 0, 3, 200][..], &block(&get("/", &[]))].concat(),
    );
    let head = client.next().expect("a head");
    assert_eq!((head.kind, head.stream), (HEADERS, 5));
}
