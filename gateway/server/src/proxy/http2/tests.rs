//! A gateway with a faulty stage, and a client beside it.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use pingora::protocols::Stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;
use witgate_route::{Matcher, Path as RoutePath, RouteTable};
use witgate_stage::{Exchange, FailurePolicy, Hook, Pipeline, Response, Run, Stage, Step, Verdict};

use crate::app;
use crate::gateway::Gateway;
use crate::proxy::connection::serve_subrequest;
use crate::proxy::origin::Origin;
use crate::proxy::transport::Transport;
use crate::snapshot::{self, Route, Target};
use crate::telemetry::{AccessLog, Metrics};
use crate::upstream::System;

/// Panics where the path says so, and answers everything else.
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
