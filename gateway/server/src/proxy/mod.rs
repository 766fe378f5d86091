//! The data path: one file for each phase of a request.
//!
//! `connection` reads and checks heads; then Pingora calls, in this order, `request` (route and stages), `upstream`
//! (endpoint), `forward` (the upstream's request), `response` (stages in reverse), and `failure` if something went wrong.
//! The access record is written when the request's `context` is dropped.

pub mod answer;
mod client_stream;
pub mod connection;
pub mod context;
pub mod deadline;
mod failure;
mod forward;
pub mod head;
mod hop;
mod lend;
mod request;
mod response;
mod upstream;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::modules::http::HttpModules;
use pingora::proxy::{FailToProxy, ProxyHttp, Session};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, Result};

use crate::gateway::Gateway;
use context::RequestCtx;

/// Pingora's view of the gateway: every callback goes to the file of its phase.
pub struct Proxy {
    gateway: Arc<Gateway>,
}

impl Proxy {
    pub fn new(gateway: Arc<Gateway>) -> Self {
        Self { gateway }
    }
}

#[async_trait]
impl ProxyHttp for Proxy {
    type CTX = RequestCtx;

    fn new_ctx(&self) -> RequestCtx {
        RequestCtx::new(Arc::clone(&self.gateway))
    }

    /// None: modules are made once, when a listener starts, so nothing that is configurable may live in them.
    fn init_downstream_modules(&self, _modules: &mut HttpModules) {}

    async fn request_filter(&self, session: &mut Session, ctx: &mut RequestCtx) -> Result<bool> {
        request::admit(session, ctx).await
    }

    async fn request_body_filter(
        &self,
        _session: &mut Session,
        body: &mut Option<Bytes>,
        _end_of_stream: bool,
        ctx: &mut RequestCtx,
    ) -> Result<()> {
        request::count_body(body.as_ref(), ctx)
    }

    async fn upstream_peer(&self, _session: &mut Session, ctx: &mut RequestCtx) -> Result<Box<HttpPeer>> {
        upstream::choose(ctx)
    }

    fn fail_to_connect(
        &self,
        _session: &mut Session,
        _peer: &HttpPeer,
        ctx: &mut RequestCtx,
        error: Box<Error>,
    ) -> Box<Error> {
        upstream::connect_failed(ctx, error)
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        ctx: &mut RequestCtx,
    ) -> Result<()> {
        forward::prepare(session, request, ctx)
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut RequestCtx,
    ) -> Result<()> {
        response::prepare(session, response, ctx).await
    }

    async fn fail_to_proxy(&self, session: &mut Session, error: &Error, ctx: &mut RequestCtx) -> FailToProxy {
        failure::answer(session, error, ctx).await
    }

    async fn logging(&self, session: &mut Session, error: Option<&Error>, ctx: &mut RequestCtx) {
        let facts = &mut ctx.facts;
        facts.status = session.response_written().map(|head| head.status);
        facts.bytes_out = u64::try_from(session.body_bytes_sent()).unwrap_or(u64::MAX);
        facts.bytes_in = u64::try_from(session.body_bytes_read()).unwrap_or(u64::MAX);
        if let Some(error) = error.filter(|_| facts.error.is_none()) {
            facts.error = Some(error.to_string());
        }
    }

    /// The access record tells of every failure.
    fn suppress_error_log(&self, _session: &Session, _ctx: &RequestCtx, _error: &Error) -> bool {
        true
    }
}
