//! Requests of plugins to upstreams: over the same connections as those of clients.

use std::future::poll_fn;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, HOST};
use witgate_http::hop;
use witgate_http::http1::field::Names;
use witgate_http::http1::write::Framing;
use witgate_plugin_host::{OutboundCall, OutboundError, OutboundFuture, OutboundReply, OutboundTarget};

use crate::proxy::upstream::{ResponseParts, UNPROCESSED_LIMIT, Upstream, UpstreamError};
use crate::snapshot::{self, Attempt, Endpoint};

/// An upstream as plugins reach it.
#[derive(Debug)]
pub struct Target(pub Arc<snapshot::Upstream>);

impl OutboundTarget for Target {
    fn identity(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for endpoint in self.0.all() {
            (endpoint.key, endpoint.http2, endpoint.idle_timeout).hash(&mut hasher);
        }
        hasher.finish()
    }

    fn fetch(&self, call: OutboundCall) -> OutboundFuture {
        let group = Arc::clone(&self.0);
        Box::pin(async move {
            let timeout = call.timeout;
            let reply = tokio::time::timeout(timeout, send(&group, call)).await;
            reply.unwrap_or(Err(OutboundError::Timeout))
        })
    }
}

async fn send(group: &snapshot::Upstream, call: OutboundCall) -> Result<OutboundReply, OutboundError> {
    let mut pick = group.pick();
    let (mut fresh, mut refused) = (false, 0);
    // None: its names do not resolve.
    let mut attempt = pick.next(Instant::now()).ok_or(OutboundError::Unavailable)?;
    loop {
        let reused = if fresh { None } else { Upstream::reuse(&attempt, Instant::now()) };
        let upstream = match reused {
            Some(upstream) => Ok(upstream),
            None => attempt.connecting(Upstream::connect(&attempt)).await,
        };
        let mut upstream = match upstream {
            Ok(upstream) => upstream,
            Err(error) => {
                attempt.failed(error.cause(), Instant::now());
                let unsent = matches!(error, UpstreamError::Unreachable(_) | UpstreamError::ConnectTimeout);
                let next = unsent.then(|| pick.next(Instant::now())).flatten();
                attempt = next.ok_or(OutboundError::Unavailable)?;
                continue;
            }
        };
        match ask(&mut upstream, &attempt, &call).await {
            Ok(head) => {
                attempt.reached();
                let body = read(&mut upstream, call.reply_limit).await.map_err(|error| failed(&attempt, error))?;
                attempt.succeeded();
                upstream.release(Instant::now());
                let ResponseParts { status, mut headers, .. } = *head;
                hop::strip(&mut headers, false);
                return Ok(OutboundReply { status, headers, body });
            }
            // As for a client's request that the endpoint has done nothing with, or that met a closed connection.
            Err(UpstreamError::Unprocessed(_)) if refused < UNPROCESSED_LIMIT => refused += 1,
            Err(UpstreamError::Closed(_)) if !fresh && upstream.may_be_stale() && call.method.is_safe() => fresh = true,
            Err(error) => return Err(failed(&attempt, ReadError::Upstream(error))),
        }
    }
}

/// Why a reply was not read.
enum ReadError {
    Upstream(UpstreamError),
    TooLarge,
}

/// Notes a failure that is the endpoint's.
fn failed(attempt: &Attempt, error: ReadError) -> OutboundError {
    match error {
        ReadError::Upstream(error) => {
            attempt.failed(error.cause(), Instant::now());
            OutboundError::Unavailable
        }
        ReadError::TooLarge => OutboundError::TooLarge,
    }
}

/// Sends a request and waits for the head of the final response.
async fn ask(
    upstream: &mut Upstream,
    endpoint: &Endpoint,
    call: &OutboundCall,
) -> Result<Box<ResponseParts>, UpstreamError> {
    let mut headers = call.headers.clone();
    headers.entry(HOST).or_insert_with(|| endpoint.host.clone());
    let framing = if call.body.is_empty() && call.method.is_safe() {
        Framing::None
    } else {
        headers.insert(CONTENT_LENGTH, call.body.len().into());
        Framing::Length(u64::try_from(call.body.len()).unwrap_or(u64::MAX))
    };
    upstream.send(&call.method, &call.path, (&headers, &Names::default()), framing, false)?;
    if framing != Framing::None {
        upstream.push(&call.body);
        upstream.end(None);
    }
    poll_fn(|context| {
        // A failure to send shows again when the response is read.
        let _ = upstream.poll_flush(context);
        loop {
            let head = ready!(upstream.poll_head(context, &call.method))?;
            if !head.status.is_informational() {
                return Poll::Ready(Ok(head));
            }
        }
    })
    .await
}

async fn read(upstream: &mut Upstream, limit: usize) -> Result<Bytes, ReadError> {
    let mut body = BytesMut::new();
    poll_fn(|context| {
        let _ = upstream.poll_flush(context);
        while let Some(count) = ready!(upstream.poll_body(context)).map_err(ReadError::Upstream)? {
            if body.len() + count > limit {
                return Poll::Ready(Err(ReadError::TooLarge));
            }
            body.extend_from_slice(upstream.data(count));
            upstream.consume(count);
        }
        Poll::Ready(Ok(()))
    })
    .await?;
    Ok(body.freeze())
}
