//! Endpoints that speak HTTP/2: one stream.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http::header::{CONTENT_LENGTH, HOST, HeaderMap, HeaderValue};
use http::uri::PathAndQuery;
use http::{Method, StatusCode, Uri};
use pingora::http::RequestHeader;
use pingora::protocols::http::v2::client::Http2Session;
use witgate_http::http1::field::Names;

use super::UpstreamError;
use super::http1::ResponseParts;
use crate::proxy::h2_sender::Sender;

/// A stream of a connection to an endpoint.
pub struct Http2 {
    pub session: Http2Session,
    /// The connection is encrypted.
    tls: bool,
    sender: Option<Sender>,
    bodiless: bool,
    chunk: Bytes,
    body_done: bool,
    trailers: Option<HeaderMap>,
}

impl Http2 {
    pub fn new(session: Http2Session, tls: bool) -> Self {
        Self { session, tls, sender: None, bodiless: false, chunk: Bytes::new(), body_done: false, trailers: None }
    }

    /// Sends the head of a request.
    ///
    /// # Errors
    /// The connection does not take it.
    pub fn send(
        &mut self,
        method: &Method,
        path: &PathAndQuery,
        headers: &HeaderMap,
        end: bool,
    ) -> Result<(), UpstreamError> {
        let broken = |error: Box<pingora::Error>| UpstreamError::Closed(io::Error::other(error));
        let mut head = RequestHeader::build_no_case(method.clone(), path.as_str().as_bytes(), Some(headers.len()))
            .map_err(broken)?;
        // `:authority` stands for `Host`; some servers refuse a request with both (RFC 9113, section 8.3.1).
        let authority = headers.get(HOST).map(HeaderValue::as_bytes).unwrap_or_default();
        let uri = Uri::builder().scheme(if self.tls { "https" } else { "http" }).authority(authority);
        let uri = uri.path_and_query(path.clone()).build();
        head.set_uri(uri.map_err(|error| UpstreamError::Invalid(format!("no valid request for HTTP/2: {error}")))?);
        for (name, value) in headers.iter().filter(|(name, _)| *name != HOST) {
            head.append_header(name, value).map_err(broken)?;
        }
        self.session.write_request_header(Box::new(head), end).map_err(broken)?;
        self.sender = self.session.take_request_body_writer().map(|stream| Sender::new(stream, end));
        self.bodiless = *method == Method::HEAD;
        Ok(())
    }

    pub fn push(&mut self, bytes: &[u8]) {
        if let Some(sender) = &mut self.sender {
            sender.push(bytes);
        }
    }

    pub fn end(&mut self, trailers: Option<HeaderMap>) {
        if let Some(sender) = &mut self.sender {
            sender.end(trailers);
        }
    }

    pub fn poll_room(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.sender.as_mut().map_or(Poll::Ready(Ok(())), |sender| sender.poll_room(context))
    }

    pub fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.sender.as_mut().map_or(Poll::Ready(Ok(())), |sender| sender.poll_flush(context))
    }

    /// Ready with the head of the final response.
    pub fn poll_head(&mut self, context: &mut Context<'_>) -> Poll<Result<ResponseParts, UpstreamError>> {
        if let Err(error) = ready!(self.session.poll_read_response_header(context)) {
            return Poll::Ready(Err(UpstreamError::Closed(io::Error::other(error))));
        }
        let Some(head) = self.session.response_header() else {
            return Poll::Ready(Err(UpstreamError::Invalid("no response head".to_owned())));
        };
        Poll::Ready(Ok(ResponseParts {
            status: head.status,
            reason: Bytes::from_static(head.status.canonical_reason().unwrap_or_default().as_bytes()),
            headers: head.headers.clone(),
            names: Names::default(),
        }))
    }

    pub fn body_left(&self, status: StatusCode) -> Option<u64> {
        if self.bodiless || witgate_http::http1::response::is_bodiless(status) || self.session.response_finished() {
            return Some(0);
        }
        let length = self.session.response_header()?.headers.get(CONTENT_LENGTH);
        length.and_then(|length: &HeaderValue| length.to_str().ok()?.parse().ok())
    }

    /// Ready with the number of body bytes at hand, or none at the body's end.
    pub fn poll_body(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<usize>, UpstreamError>> {
        let broken = |error: io::Error| UpstreamError::Closed(error);
        while self.chunk.is_empty() && !self.body_done {
            match ready!(self.session.poll_read_response_body(context)) {
                Some(Ok(chunk)) => self.chunk = chunk,
                Some(Err(error)) => return Poll::Ready(Err(broken(io::Error::other(error)))),
                None => {
                    let trailers = ready!(pin!(self.session.read_trailers()).poll(context));
                    self.trailers = trailers.map_err(|error| broken(io::Error::other(error)))?;
                    self.body_done = true;
                }
            }
        }
        Poll::Ready(Ok((!self.chunk.is_empty()).then_some(self.chunk.len())))
    }

    pub fn data(&self, count: usize) -> &[u8] {
        self.chunk.get(..count).unwrap_or_default()
    }

    pub fn consume(&mut self, count: usize) {
        self.chunk.advance(count);
    }

    pub fn take_trailers(&mut self) -> Option<HeaderMap> {
        self.trailers.take()
    }
}
