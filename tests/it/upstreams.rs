//! Upstreams: their protocols, and what may be expected of them.

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};

use witgate_tests::client::request;
use witgate_tests::nginx::Nginx;
use witgate_tests::{Gateway, Site, Upstream};

fn site(upstream: &str) -> Site {
    Site::new(&format!("[upstreams.u]\n{upstream}[[routes]]\nname = \"all\"\nupstream = \"u\"\n"))
}

#[test]
fn an_upstream_can_speak_http2() {
    let nginx = Nginx::listening("http2", "location / { return 200 $server_protocol; }");
    let gateway = site(&format!("endpoints = [\"{}\"]\nprotocol = \"http2\"\n", nginx.address)).start();
    for _ in 0..3 {
        let answer = gateway.get("/");
        assert_eq!((answer.status, answer.text().as_str()), (200, "HTTP/2.0"));
    }
}

#[test]
fn an_upstream_behind_tls_is_checked_against_the_authorities_that_are_named() {
    let folder = Site::new("");
    let nginx = Nginx::with_certificate_in(&folder);
    let path = |name: &str| folder.path(name).display().to_string();
    let gateway = |ca: &str, name: &str| -> Gateway {
        let tls = format!("tls = {{ server_name = \"{name}\", ca = \"{}\" }}\n", path(ca));
        site(&format!("endpoints = [\"{}\"]\n{tls}", nginx.address)).start()
    };
    assert_eq!(gateway("backend.pem", "backend.example").get("/").text(), "backend.example");
    // As an editor of Windows writes them, one after the other.
    let marked = ["other.pem", "backend.pem"].map(|name| {
        let file = std::fs::read(folder.path(name)).expect("readable");
        [&b"\xef\xbb\xbf"[..], &file].concat()
    });
    folder.write("marked.pem", marked.concat());
    folder.write("only_other.pem", &marked[0]);
    assert_eq!(gateway("marked.pem", "backend.example").get("/").text(), "backend.example");
    for (ca, name) in
        [("other.pem", "backend.example"), ("only_other.pem", "backend.example"), ("backend.pem", "other.example")]
    {
        let answer = gateway(ca, name).get("/");
        assert_eq!((answer.status, answer.code().as_str()), (503, "UPSTREAM_UNAVAILABLE"), "{ca} {name}");
    }
}

#[test]
fn a_connection_that_other_authorities_vouched_for_is_not_taken_up_after_a_reload() {
    let folder = Site::new("");
    let nginx = Nginx::with_certificate_in(&folder);
    // One thread, for threads do not share connections.
    let config = |ca: &str| {
        format!(
            "[[listeners]]\naddress = \"127.0.0.1:0\"\n[admin]\naddress = \"127.0.0.1:0\"\n[runtime]\nthreads = 1\n\
             [upstreams.u]\nendpoints = [\"{}\"]\ntls = {{ server_name = \"backend.example\", ca = \"{}\" }}\n\
             [[routes]]\nname = \"all\"\nupstream = \"u\"\n",
            nginx.address,
            folder.path(ca).display()
        )
    };
    let gateway = Gateway::with(&config("backend.pem"));
    assert_eq!(gateway.get("/").text(), "backend.example");
    gateway.reconfigure(&config("other.pem"));
    assert_eq!(gateway.get("/").status, 503);
    gateway.reconfigure(&config("backend.pem"));
    assert_eq!(gateway.get("/").text(), "backend.example");
}

#[test]
fn a_request_that_met_a_closed_connection_is_sent_again_if_that_does_no_harm() {
    let answered = AtomicUsize::new(0);
    let upstream = Upstream::new(move |_, stream| {
        // Every second request finds its connection closed under it.
        answered.fetch_add(1, Ordering::SeqCst).is_multiple_of(2)
            && stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").is_ok()
    });
    // One thread, for threads do not share connections.
    let gateway = Gateway::with(&format!(
        "[[listeners]]\naddress = \"127.0.0.1:0\"\n[admin]\naddress = \"127.0.0.1:0\"\n[runtime]\nthreads = 1\n\
         {}[[routes]]\nname = \"all\"\nupstream = \"u\"\n",
        upstream.config("u")
    ));
    assert_eq!(gateway.get("/1").text(), "ok");
    assert_eq!(gateway.get("/2").text(), "ok", "sent again on a new connection");
    assert_eq!((upstream.received().len(), upstream.connections()), (3, 2));
    let post = request(gateway.address(), "POST", "/3", &[("content-length", "0")], b"");
    assert_eq!((post.status, post.code().as_str()), (502, "UPSTREAM_UNAVAILABLE"), "it may have had an effect");
    assert_eq!(upstream.received().len(), 4);
}

#[test]
fn a_response_that_two_readers_could_read_differently_is_not_passed_on() {
    let upstream = Upstream::new(|request, stream| {
        let fields = match request.target.as_str() {
            "/both" => "content-length: 5\r\ntransfer-encoding: chunked\r\n",
            "/twice" => "content-length: 5\r\ncontent-length: 6\r\n",
            "/coding" => "transfer-encoding: gzip\r\n",
            "/number" => "content-length: 0x5\r\n",
            "/switch" => return stream.write_all(b"HTTP/1.1 101 Surprise\r\nupgrade: x\r\n\r\n").is_ok(),
            "/large" => {
                return stream
                    .write_all(format!("HTTP/1.1 200 OK\r\nx: {}\r\n", "x".repeat(100_000)).as_bytes())
                    .is_ok();
            }
            _ => return stream.write_all(b"HTTP/1.1 200 OK\r\nx\0y: z\r\n\r\n").is_ok(),
        };
        stream.write_all(format!("HTTP/1.1 200 OK\r\n{fields}\r\nhello").as_bytes()).is_ok()
    });
    let gateway = Gateway::with(&format!("{}[[routes]]\nname = \"all\"\nupstream = \"u\"\n", upstream.config("u")));
    for path in ["/both", "/twice", "/coding", "/number", "/switch", "/large", "/name"] {
        let answer = gateway.get(path);
        assert_eq!((answer.status, answer.code().as_str()), (502, "UPSTREAM_UNAVAILABLE"), "{path}");
    }
}

#[test]
fn bytes_that_nobody_asked_for_end_a_connection_to_an_upstream() {
    let upstream = Upstream::new(|_, stream| {
        stream
            .write_all(
                b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison",
            )
            .is_ok()
    });
    let gateway = Gateway::with(&format!("{}[[routes]]\nname = \"all\"\nupstream = \"u\"\n", upstream.config("u")));
    for _ in 0..3 {
        assert_eq!(gateway.get("/").text(), "ok");
    }
    assert_eq!(upstream.connections(), 3);
}

/// A service of HTTP/2 that sends every piece of a request back as soon as it has it, and a status behind them.
async fn echo(listener: tokio::net::TcpListener) {
    let (socket, _) = listener.accept().await.expect("a connection");
    let mut connection = h2::server::handshake(socket).await.expect("HTTP/2");
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        tokio::spawn(async move {
            let te = request.headers().get("te").cloned();
            let authority = request.uri().authority().map(ToString::to_string).unwrap_or_default();
            let mut body = request.into_body();
            let mut head = http::Response::builder().header("x-authority", authority);
            if let Some(te) = te {
                head = head.header("x-te", te);
            }
            let mut answer = respond.send_response(head.body(()).expect("valid"), false).expect("sent");
            while let Some(Ok(piece)) = body.data().await {
                let _ = body.flow_control().release_capacity(piece.len());
                answer.send_data(piece, false).expect("sent");
            }
            let status =
                http::HeaderMap::from_iter([("grpc-status".parse().expect("valid"), "0".parse().expect("valid"))]);
            answer.send_trailers(status).expect("sent");
        });
    }
}

#[test]
fn a_stream_of_http2_goes_both_ways_at_once_and_ends_with_trailers() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let upstream = listener.local_addr().expect("bound");
        tokio::spawn(echo(listener));
        let gateway = tokio::task::spawn_blocking(move || {
            site(&format!("endpoints = [\"{upstream}\"]\nprotocol = \"http2\"\n")).start()
        });
        let gateway = gateway.await.expect("started");
        let socket = tokio::net::TcpStream::connect(gateway.address()).await.expect("connected");
        let (mut client, connection) = h2::client::handshake(socket).await.expect("HTTP/2");
        tokio::spawn(connection);
        let request = http::Request::post("http://grpc.example/Service/Call").header("te", "trailers");
        let request = request.header("content-type", "application/grpc").body(()).expect("valid");
        let (response, mut sender) = client.send_request(request, false).expect("sent");
        sender.send_data("one".into(), false).expect("sent");
        let response = response.await.expect("a head before the request's end");
        assert_eq!(response.headers()["x-te"], "trailers");
        assert_eq!(response.headers()["x-authority"], "grpc.example");
        let mut body = response.into_body();
        assert_eq!(body.data().await.expect("a piece").expect("whole"), "one");
        sender.send_data("two".into(), true).expect("sent");
        assert_eq!(body.data().await.expect("a piece").expect("whole"), "two");
        assert!(body.data().await.is_none());
        let trailers = body.trailers().await.expect("whole").expect("trailers");
        assert_eq!(trailers["grpc-status"], "0");
    });
}
