//! Exchanges without a proxy.

use std::any::Any;
use std::sync::Arc;

use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use witgate_plugin_host::{LoadedPlugin, PluginStage};
use witgate_stage::{
    Attributes, Client, Edit, Edits, Exchange, FailureKind, RequestHead, ResponseHead, Stage, StageError, Verdict,
};

pub struct Head {
    pub method: Method,
    pub path: PathAndQuery,
    pub headers: HeaderMap,
    pub status: StatusCode,
}

impl Head {
    fn change(&mut self, edits: Edits) {
        edits.apply_to(&mut self.headers);
        for edit in edits {
            match edit {
                Edit::Path(path) => self.path = path,
                Edit::Status(status) => self.status = status,
                _ => {}
            }
        }
    }
}

impl RequestHead for Head {
    fn method(&self) -> &Method {
        &self.method
    }
    fn path_and_query(&self) -> &PathAndQuery {
        &self.path
    }
    fn headers(&self) -> &HeaderMap {
        &self.headers
    }
    fn apply(&mut self, edits: Edits) {
        self.change(edits);
    }
    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

impl ResponseHead for Head {
    fn status(&self) -> StatusCode {
        self.status
    }
    fn headers(&self) -> &HeaderMap {
        &self.headers
    }
    fn apply(&mut self, edits: Edits) {
        self.change(edits);
    }
    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

fn head(fields: &[(&'static str, &str)]) -> Box<Head> {
    let field =
        |&(name, value): &(&'static str, &str)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
    Box::new(Head {
        method: Method::GET,
        path: PathAndQuery::from_static("/path?query"),
        headers: fields.iter().map(field).collect(),
        status: StatusCode::OK,
    })
}

/// A request with these fields.
pub fn request(fields: &[(&'static str, &str)]) -> Box<Exchange> {
    Box::new(Exchange {
        request: head(fields),
        response: None,
        end_of_stream: false,
        id: "request-1".into(),
        route: "route-1".into(),
        authority: Some("example.com".into()),
        client: Client { address: ([192, 0, 2, 1], 4711).into(), tls: false, sni: None },
        attributes: Attributes::default(),
        holds: Vec::new(),
    })
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
    exchange.response = Some(head(fields));
    exchange
}

pub fn stage(plugin: &Arc<LoadedPlugin>) -> PluginStage {
    PluginStage::new(Arc::clone(plugin))
}

pub async fn run(plugin: &Arc<LoadedPlugin>, exchange: Box<Exchange>) -> (Box<Exchange>, Result<Verdict, StageError>) {
    stage(plugin).on_request(exchange).await
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
