//! Endpoints that speak HTTP/2.

use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};

use http::{HeaderMap, Request, Response};
use witgate_tests::client::request;
use witgate_tests::gateway::PATIENCE;
use witgate_tests::http2::{DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, Http2, PING, RST_STREAM, SETTINGS, block};
use witgate_tests::{Connection, Gateway};

use crate::http2::{connect, run, whole};

fn site(upstream: SocketAddr, more: &str) -> Gateway {
    Gateway::with(&format!(
        "[upstreams.u]\nendpoints = [\"{upstream}\"]\nprotocol = \"http2\"\n[[routes]]\nname = \"all\"\nupstream = \"u\"\n{more}"
    ))
}

/// Number of the connection and of the stream, for each request.
type Seen = Vec<(usize, u32)>;

/// An endpoint that does what it is told with each stream: (connection, stream).
fn endpoint(answer: impl Fn(&mut Http2, usize, u32) -> bool + Send + Sync + 'static) -> (SocketAddr, Arc<Mutex<Seen>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    let (answer, seen) = (Arc::new(answer), Arc::new(Mutex::new(Vec::new())));
    let log = Arc::clone(&seen);
    std::thread::spawn(move || {
        for (connection, stream) in listener.incoming().map_while(Result::ok).enumerate() {
            let (answer, log) = (Arc::clone(&answer), Arc::clone(&log));
            std::thread::spawn(move || {
                let mut server = Http2::serve(stream);
                while let Some(frame) = server.next() {
                    if frame.kind == HEADERS {
                        log.lock().expect("not poisoned").push((connection, frame.stream));
                        if !answer(&mut server, connection, frame.stream) {
                            return;
                        }
                    }
                }
            });
        }
    });
    (address, seen)
}

fn ok(server: &mut Http2, stream: u32) -> bool {
    server.headers(stream, &[(":status", "200"), ("content-length", "2")], false);
    server.frame(DATA, 1, stream, b"ok");
    true
}

#[test]
fn what_an_endpoint_has_not_processed_is_sent_again() {
    type Refusal = fn(&mut Http2, u32) -> bool;
    let refusals: [(&str, Refusal); 2] = [
        ("GOAWAY below the stream", |server, stream| {
            server.frame(GOAWAY, 0, 0, &[(stream - 2).to_be_bytes(), [0; 4]].concat());
            server.next();
            false
        }),
        ("REFUSED_STREAM", |server, stream| {
            server.frame(RST_STREAM, 0, stream, &[0, 0, 0, 7]);
            true
        }),
    ];
    for (name, refusal) in refusals {
        let (address, seen) =
            endpoint(
                move |server, connection, stream| {
                    if (connection, stream) == (0, 3) { refusal(server, stream) } else { ok(server, stream) }
                },
            );
        let gateway = site(address, "");
        let mut client = Connection::open(gateway.address());
        for path in ["/first", "/second"] {
            client.send(format!("POST {path} HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n"));
            assert_eq!(client.response().expect("an answer").status, 200, "{name}: {path}");
        }
        let seen = seen.lock().expect("not poisoned").clone();
        assert_eq!((&seen[..2], seen.len()), (&[(0, 1), (0, 3)][..], 3), "{name}");
    }
}

#[test]
fn an_endpoint_that_refuses_everything_is_not_asked_for_ever() {
    let (address, seen) = endpoint(|server, _, stream| {
        server.frame(RST_STREAM, 0, stream, &[0, 0, 0, 7]);
        true
    });
    let gateway = site(address, "");
    let answer = gateway.get("/");
    assert_eq!((answer.status, answer.code().as_str()), (503, "UPSTREAM_UNAVAILABLE"));
    assert_eq!(seen.lock().expect("not poisoned").len(), 3);
}

#[test]
fn a_reset_without_an_error_after_a_whole_response_is_none() {
    let (address, _) = endpoint(|server, _, stream| {
        ok(server, stream);
        server.frame(RST_STREAM, 0, stream, &[0; 4]);
        true
    });
    let gateway = site(address, "");
    for _ in 0..3 {
        let mut client = Connection::open(gateway.address());
        client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100000\r\n\r\nonly the beginning");
        let answer = client.response().expect("an answer");
        assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
    }
}

#[test]
fn a_reset_within_a_response_cuts_it() {
    let (address, _) = endpoint(|server, _, stream| {
        server.headers(stream, &[(":status", "200")], false);
        server.frame(DATA, 0, stream, b"half");
        server.frame(RST_STREAM, 0, stream, &[0; 4]);
        true
    });
    let gateway = site(address, "");
    let mut client = Connection::open(gateway.address());
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_eq!(client.head().expect("a head").status, 200);
    let mut rest = String::new();
    let _ = std::io::Read::read_to_string(client.stream(), &mut rest);
    assert!(rest.contains("half") && !rest.contains("\r\n0\r\n"), "{rest:?}");
}

#[test]
fn malformed_responses_are_502() {
    let cases: [(&str, Vec<u8>); 4] = [
        ("no status", block(&[("x", "y")])),
        ("a field of a connection", block(&[(":status", "200"), ("connection", "close")])),
        ("101", block(&[(":status", "101")])),
        ("a far too large head", block(&[(":status", "200"), ("x", &"y".repeat(15_000))]).repeat(1)),
    ];
    for (name, head) in cases {
        let large = name.contains("large");
        let (address, _) = endpoint(move |server, _, stream| {
            if large {
                // 15 kB, eight times, in as many frames.
                let field = block(&[("x", &"y".repeat(15_000))]);
                server.frame(HEADERS, 1, stream, &head);
                for at in 0..8 {
                    server.frame(9, if at == 7 { 4 } else { 0 }, stream, &field);
                }
            } else {
                server.frame(HEADERS, END_HEADERS | END_STREAM, stream, &head);
            }
            true
        });
        let gateway = site(address, "");
        let answer = gateway.get("/");
        assert_eq!((answer.status, answer.code().as_str()), (502, "UPSTREAM_UNAVAILABLE"), "{name}");
    }
}

#[test]
fn a_closed_connection_is_not_used_again() {
    let (address, seen) = endpoint(|server, _, stream| {
        ok(server, stream);
        server.finish();
        false
    });
    let gateway = site(address, "");
    for _ in 0..6 {
        // Not to be sent twice.
        let answer = request(gateway.address(), "POST", "/", &[("content-length", "0")], b"");
        assert_eq!(answer.text(), "ok");
        let count = seen.lock().expect("not poisoned").len();
        gateway
            .eventually("the connection is seen to be closed", |_| seen.lock().expect("not poisoned").len() == count);
    }
}

/// An endpoint that answers no request, and tells of what else it sees: the kinds of frames, and 255 for the end.
fn mute(answers_ping: bool) -> (SocketAddr, Receiver<u8>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    let (seen, has_seen) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut server = Http2::serve(stream);
            let seen = seen.clone();
            std::thread::spawn(move || {
                while let Some(frame) = server.any() {
                    let _ = seen.send(frame.kind);
                    if frame.kind == SETTINGS || (frame.kind == PING && answers_ping) {
                        server.acknowledge(&frame);
                    }
                }
                let _ = seen.send(255);
            });
        }
    });
    (address, has_seen)
}

fn await_kind(seen: &Receiver<u8>, kind: u8) {
    while seen.recv_timeout(PATIENCE).expect("another frame") != kind {}
}

#[test]
fn an_endpoint_that_left_a_request_unanswered_is_asked_whether_it_is_there() {
    let (address, seen) = mute(false);
    let gateway = site(address, "deadline = \"300ms\"\n");
    assert_eq!(gateway.get("/").status, 504);
    await_kind(&seen, PING);
    // It does not say so: the next request would hang as well.
    await_kind(&seen, 255);
    assert_eq!(gateway.get("/").status, 504);
    await_kind(&seen, HEADERS);
    let (address, seen) = mute(true);
    let gateway = site(address, "deadline = \"300ms\"\n");
    let mut client = Connection::open(gateway.address());
    for _ in 0..3 {
        client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
        assert_eq!(client.response().expect("an answer").status, 504);
        await_kind(&seen, PING);
    }
    assert!(seen.try_iter().all(|kind| kind != 255), "it has said that it is there");
}

/// A service of `h2`'s: two interim responses, then the trailers of the request as those of the response.
async fn serve(listener: tokio::net::TcpListener, connections: Arc<AtomicUsize>) {
    while let Ok((socket, _)) = listener.accept().await {
        connections.fetch_add(1, Ordering::SeqCst);
        tokio::spawn(async move {
            let mut connection = h2::server::handshake(socket).await.expect("HTTP/2");
            while let Some(Ok((request, mut respond))) = connection.accept().await {
                tokio::spawn(async move {
                    let hints = Response::builder().status(103).header("link", "</a.css>").body(()).expect("valid");
                    respond.send_informational(hints).expect("sent");
                    let mut body = request.into_body();
                    while let Some(Ok(piece)) = body.data().await {
                        let _ = body.flow_control().release_capacity(piece.len());
                    }
                    let trailers = body.trailers().await.expect("whole").unwrap_or_default();
                    let mut sender = respond.send_response(Response::new(()), false).expect("sent");
                    sender.send_data("ok".into(), false).expect("sent");
                    sender.send_trailers(trailers).expect("sent");
                });
            }
        });
    }
}

async fn served() -> (Gateway, Arc<AtomicUsize>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let connections = Arc::default();
    tokio::spawn(serve(listener, Arc::clone(&connections)));
    (tokio::task::spawn_blocking(move || site(address, "")).await.expect("started"), connections)
}

#[test]
fn interim_responses_and_trailers_pass_between_http2_and_http2() {
    run(async {
        let (gateway, _) = served().await;
        let mut client = connect(&gateway).await;
        let request = Request::post("http://a.test/").header("te", "trailers").body(()).expect("valid");
        let (mut response, mut sender) = client.send_request(request, false).expect("sent");
        let hints = std::future::poll_fn(|context| response.poll_informational(context)).await;
        let hints = hints.expect("hints").expect("whole");
        assert_eq!((hints.status().as_u16(), &hints.headers()["link"]), (103, &"</a.css>".parse().expect("valid")));
        sender.send_data("body".into(), false).expect("sent");
        let sum = HeaderMap::from_iter([("x-sum".parse().expect("valid"), "1".parse().expect("valid"))]);
        sender.send_trailers(sum.clone()).expect("sent");
        assert_eq!(whole(response).await.trailers, Some(sum));
    });
}

#[test]
fn requests_at_once_share_connections() {
    run(async {
        let (gateway, connections) = served().await;
        let mut clients = Vec::new();
        for _ in 0..4 {
            clients.push(connect(&gateway).await);
        }
        let mut responses = Vec::new();
        for client in &mut clients {
            for _ in 0..20 {
                let request = Request::get("http://a.test/").body(()).expect("valid");
                responses.push(client.send_request(request, true).expect("sent").0);
            }
        }
        for response in responses {
            assert_eq!(whole(response).await.body, b"ok");
        }
        // A thread has its own, and makes another one when 64 requests are on one.
        let connections = connections.load(Ordering::SeqCst);
        assert!(connections <= 4, "{connections} connections for 80 requests on two threads");
    });
}

#[test]
fn requests_that_wait_for_a_connection_fail_with_it() {
    let closed = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = closed.local_addr().expect("bound");
    drop(closed);
    let gateway = site(address, "");
    run(async {
        let mut client = connect(&gateway).await;
        let mut responses = Vec::new();
        for _ in 0..30 {
            let request = Request::get("http://a.test/").body(()).expect("valid");
            responses.push(client.send_request(request, true).expect("sent").0);
        }
        for response in responses {
            assert_eq!(whole(response).await.status.as_u16(), 503);
        }
    });
}

#[test]
fn http1_clients_get_interim_responses_of_http2_endpoints() {
    let gateway = run(async {
        let (gateway, connections) = served().await;
        // The service lives as long as its runtime.
        let address = gateway.address();
        tokio::task::spawn_blocking(move || {
            let mut client = Connection::open(address);
            client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
            let hints = client.head().expect("hints");
            assert_eq!((hints.status, hints.header("link").as_deref()), (103, Some("</a.css>")));
            assert_eq!(client.response().expect("an answer").text(), "ok");
        })
        .await
        .expect("served");
        drop(connections);
        gateway
    });
    gateway.eventually("nothing is in flight", |gateway| gateway.metric("witgate_requests_in_flight") == 0.0);
}
