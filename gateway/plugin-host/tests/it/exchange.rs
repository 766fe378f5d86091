//! Exchanges without a proxy.

use std::sync::Arc;

use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use witgate_plugin_host::{LoadedPlugin, PluginStage};
use witgate_stage::{
    Client, Edits, Exchange, FailureKind, Hook, RequestHead, ResponseHead, Run, Stage, StageError, Verdict,
};

fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
    let field =
        |&(name, value): &(&'static str, &str)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
    fields.iter().map(field).collect()
}

/// A request with these fields.
pub fn request(fields: &[(&'static str, &str)]) -> Box<Exchange> {
    let path = PathAndQuery::from_static("/path?query");
    let head = RequestHead { method: Method::GET, path, headers: headers(fields) };
    let client =
        Client { address: ([192, 0, 2, 1], 4711).into(), local: ([127, 0, 0, 1], 80).into(), tls: false, sni: None };
    let mut exchange = Box::new(Exchange::new(head, "request-1".into(), "route-1".into(), client));
    exchange.end_of_stream = false;
    exchange.authority = Some("example.com".into());
    exchange
}

/// An exchange that makes [`crate::guest::Guest::when_told`] misbehave.
pub fn told() -> Box<Exchange> {
    let mut exchange = request(&[]);
    exchange.end_of_stream = true;
    exchange
}

/// An exchange whose response has arrived.
pub fn response(fields: &[(&'static str, &str)]) -> Box<Exchange> {
    let mut exchange = request(&[]);
    exchange.response = Some(ResponseHead { status: StatusCode::OK, headers: headers(fields) });
    exchange
}

/// What a hook gives back.
pub type Ran = (Box<Exchange>, Result<Verdict, StageError>);

pub fn stage(plugin: &Arc<LoadedPlugin>) -> PluginStage {
    PluginStage::new(Arc::clone(plugin))
}

/// A hook as a future: nothing runs before it is polled.
pub async fn hook(stage: &PluginStage, hook: Hook, exchange: Box<Exchange>) -> Ran {
    match stage.run(hook, exchange) {
        Run::Ended(exchange, result) => (exchange, result),
        Run::Waits(future) => future.await,
    }
}

pub async fn run(plugin: &Arc<LoadedPlugin>, exchange: Box<Exchange>) -> Ran {
    hook(&stage(plugin), Hook::RequestHeaders, exchange).await
}

/// The kind of failure of a request hook.
pub async fn failure(plugin: &Arc<LoadedPlugin>, exchange: Box<Exchange>) -> FailureKind {
    run(plugin, exchange).await.1.expect_err("the hook succeeds").kind
}

/// The edits of a request hook that continues.
pub async fn edits(plugin: &Arc<LoadedPlugin>, exchange: Box<Exchange>) -> Edits {
    match run(plugin, exchange).await.1 {
        Ok(Verdict::Continue(edits)) => edits,
        other => panic!("{other:?}"),
    }
}

pub async fn succeeds(plugin: &Arc<LoadedPlugin>) {
    assert!(edits(plugin, request(&[])).await.is_empty());
}
