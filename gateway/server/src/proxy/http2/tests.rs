//! A gateway with a faulty stage, and a client beside it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use pingora::protocols::Stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;
use witgate_route::{Matcher, Path as RoutePath, RouteTable};
use witgate_stage::{Exchange, FailurePolicy, Hook, Pipeline, Response, Run, Stage, Step, Verdict};

use super::connection::serve_patiently;
use super::frames::{ACK, END_HEADERS, END_STREAM, GOAWAY, HEAD_SIZE, HEADERS, Head, PING, SETTINGS, WINDOW_UPDATE};
use crate::app;
use crate::gateway::Gateway;
use crate::proxy::connection::serve_subrequest;
use crate::proxy::origin::Origin;
use crate::proxy::transport::Transport;
use crate::snapshot::{self, Route, Target};
use crate::telemetry::{AccessLog, Metrics};
use crate::upstream::System;

/// Panics, or waits for ever, where the path says so, and answers everything else.
struct Faulty;

impl Stage for Faulty {
    fn name(&self) -> &str {
        "faulty"
    }

    fn has(&self, hook: Hook) -> bool {
        hook == Hook::RequestHeaders
    }

    fn run(&self, _hook: Hook, exchange: Box<Exchange>) -> Run<'_> {
        match exchange.request.path.path() {
            "/at-once" => panic!("broken at once"),
            "/never" => Run::Waits(Box::pin(std::future::pending())),
            "/later" => Run::Waits(Box::pin(async {
                tokio::task::yield_now().await;
                panic!("broken later")
            })),
            _ => {
                let response =
                    Response { status: StatusCode::OK, headers: HeaderMap::new(), body: Bytes::from("fine") };
                Run::Ended(exchange, Ok(Verdict::Respond(Box::new(response))))
            }
        }
    }
}

fn gateway(folder: &Path) -> Arc<Gateway> {
    let (file, log) = (folder.join("gateway.toml"), folder.join("access.log"));
    let config = format!(
        "[[listeners]]\naddress = \"127.0.0.1:0\"\n[access_log]\noutput = \"file\"\npath = {log:?}\n\
         [upstreams.u]\nendpoints = [\"127.0.0.1:9\"]\n[[routes]]\nname = \"all\"\nupstream = \"u\"\n"
    );
    std::fs::write(&file, config).unwrap();
    let sources = snapshot::read(&file).unwrap();
    let (_, mut snapshot) = app::build_first(&sources, Arc::new(System)).unwrap();
    let route = Route {
        name: Arc::from("all"),
        target: Target::Script,
        choices: Default::default(),
        pipeline: Pipeline::new(vec![Step::new(Arc::new(Faulty), FailurePolicy::default())]),
        deadline: None,
        body_limit: None,
        buffer_limit: 1024,
        tunnel_idle_timeout: None,
        metrics: Arc::clone(&snapshot.unmatched),
        stage_metrics: Vec::new(),
    };
    let everything = Matcher { host: None, path: RoutePath::Prefix("/".to_owned()) };
    snapshot.routes = RouteTable::build([(everything, Arc::new(route))]).unwrap();
    let metrics = Metrics::new().unwrap();
    let log = AccessLog::open(&sources.config.access_log, &metrics).unwrap();
    Gateway::new(Arc::new(snapshot), metrics, log)
}

#[tokio::test]
async fn a_panic_costs_one_request_and_neither_its_connection_nor_others() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = gateway(folder.path());
    let (_keep, shutdown) = watch::channel(false);
    let (near, far) = tokio::io::duplex(64 * 1024);
    let serving = Arc::clone(&gateway);
    let far: Stream = Box::new(far);
    let origin = Origin::new(&far);
    let wire = (Transport::new(far), bytes::BytesMut::new());
    tokio::spawn(async move { super::serve(&serving, wire, origin, &shutdown).await });
    let (mut client, connection) = h2::client::handshake(near).await.unwrap();
    tokio::spawn(connection);
    let mut responses = Vec::new();
    for path in ["/at-once", "/fine", "/later", "/at-once", "/fine"] {
        let request = Request::get(format!("http://a.test{path}")).header("x-request-id", path).body(()).unwrap();
        responses.push((path, client.send_request(request, true).unwrap().0));
    }
    for (path, response) in responses {
        let (head, mut body) = response.await.unwrap().into_parts();
        let text = String::from_utf8(body.data().await.unwrap().unwrap().to_vec()).unwrap();
        if path == "/fine" {
            assert_eq!((head.status, text.as_str()), (StatusCode::OK, "fine"));
        } else {
            assert_eq!(head.status, StatusCode::INTERNAL_SERVER_ERROR);
            assert!(text.contains("\"code\":\"INTERNAL\"") && !text.contains("broken"), "{text}");
            assert_eq!(head.headers["x-request-id"], path);
        }
    }
    // And over HTTP/1.
    let (mut near, far) = tokio::io::duplex(64 * 1024);
    near.write_all(b"GET /later HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let far: Stream = Box::new(far);
    let origin = Origin::new(&far);
    serve_subrequest(&gateway, far, &origin).await;
    let mut answer = String::new();
    near.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 500 ") && answer.contains("\"code\":\"INTERNAL\""), "{answer}");

    assert_eq!(gateway.metrics.panics.get(), 4);
    drop(client);
    gateway.idle().await;
    let path = folder.path().join("access.log");
    // Records are written by a thread; the last one is the last line.
    let records = loop {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        if text.lines().count() == 6 {
            break text;
        }
        tokio::task::yield_now().await;
    };
    let broken = records.lines().filter(|line| line.contains("\"status\":500"));
    assert_eq!(broken.filter(|line| line.contains("please report it: broken")).count(), 4, "{records}");
}

fn frame(head: Head, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    Head { length: payload.len() as u32, ..head }.write(&mut bytes);
    bytes.extend_from_slice(payload);
    bytes
}

#[tokio::test]
async fn a_client_with_a_request_that_does_not_answer_a_ping_is_let_go() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = gateway(folder.path());
    let (_keep, shutdown) = watch::channel(false);
    let (mut near, far) = tokio::io::duplex(64 * 1024);
    tokio::spawn(async move {
        let silence = Duration::from_millis(100);
        let far: Stream = Box::new(far);
        let origin = Origin::new(&far);
        serve_patiently(&gateway, (Transport::new(far), bytes::BytesMut::new()), origin, (&shutdown, silence)).await
    });
    near.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    near.write_all(&frame(Head { kind: SETTINGS, ..Head::default() }, b"")).await.unwrap();
    // GET, http, the path and the authority, as the static table names them (RFC 7541, appendix A).
    let get = [&[0x82, 0x86, 4, 6][..], b"/never", &[1, 6], b"a.test"].concat();
    let head = Head { kind: HEADERS, flags: END_HEADERS | END_STREAM, stream: 1, ..Head::default() };
    near.write_all(&frame(head, &get)).await.unwrap();
    let (mut asked, mut goodbyes) = (0, Vec::new());
    let conversation = async {
        let mut head = [0; HEAD_SIZE];
        while near.read_exact(&mut head).await.is_ok() {
            let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
            near.read_exact(&mut payload).await.unwrap();
            match (head[3], head[4] & ACK) {
                (PING, 0) => {
                    assert_eq!(goodbyes, Vec::<Vec<u8>>::new());
                    asked += 1;
                    // Twice it is there.
                    if asked <= 2 {
                        let answer = Head { kind: PING, flags: ACK, ..Head::default() };
                        near.write_all(&frame(answer, &payload)).await.unwrap();
                    }
                }
                (GOAWAY, _) => goodbyes.push(payload),
                (SETTINGS | WINDOW_UPDATE, _) => {}
                (kind, _) => panic!("a frame of kind {kind}"),
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(120), conversation).await.expect("it is let go");
    // No more than it has taken, and no error.
    assert_eq!((asked, goodbyes), (3, vec![vec![0, 0, 0, 1, 0, 0, 0, 0]]));
}
