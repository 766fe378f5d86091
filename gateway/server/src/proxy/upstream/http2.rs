//! Endpoints that speak HTTP/2: one stream.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use h2::client::ResponseFuture;
use h2::{Reason, RecvStream};
use http::header::{CONTENT_LENGTH, HOST, HeaderMap, HeaderValue, TE};
use http::uri::PathAndQuery;
use http::{Method, Request, Uri, response};
use witgate_http::http1::field::Names;
use witgate_http::http1::response::is_bodiless;

use super::UpstreamError;
use super::http1::ResponseParts;
use super::http2_pool::Place;
use crate::proxy::h2_sender::{Sender, is_of_http1};

/// A stream of a connection to an endpoint.
pub struct Http2 {
    place: Place,
    /// The connection is encrypted.
    tls: bool,
    response: Option<ResponseFuture>,
    sender: Option<Sender>,
    body: Option<RecvStream>,
    /// The request's method has responses without a body.
    bodiless: bool,
    length: Option<u64>,
    chunk: Bytes,
    body_done: bool,
    /// Something of the response has arrived.
    answered: bool,
    /// The connection has broken.
    lost: bool,
    trailers: Option<HeaderMap>,
}

impl Http2 {
    pub fn new(place: Place, tls: bool) -> Self {
        Self {
            place,
            tls,
            response: None,
            sender: None,
            body: None,
            bodiless: false,
            length: None,
            chunk: Bytes::new(),
            body_done: false,
            answered: false,
            lost: false,
            trailers: None,
        }
    }

    /// Whether the connection was used before, has broken, and nothing of a response had come. A stream that was reset is another
    /// matter: the endpoint has seen the request.
    pub fn may_be_stale(&self) -> bool {
        self.place.reused && self.lost && !self.answered
    }

    /// Sends the head of a request.
    ///
    /// # Errors
    /// The connection does not take it: nothing was sent.
    pub fn send(
        &mut self,
        method: &Method,
        path: &PathAndQuery,
        headers: &HeaderMap,
        end: bool,
    ) -> Result<(), UpstreamError> {
        // `:authority` stands for `Host`; some servers refuse a request with both (RFC 9113, section 8.3.1).
        let authority = headers.get(HOST).map(HeaderValue::as_bytes).unwrap_or_default();
        let uri = Uri::builder().scheme(if self.tls { "https" } else { "http" }).authority(authority);
        let uri = uri.path_and_query(path.clone()).build();
        let uri = uri.map_err(|error| UpstreamError::Invalid(format!("no valid request for HTTP/2: {error}")))?;
        let mut request = Request::new(());
        (*request.method_mut(), *request.uri_mut()) = (method.clone(), uri);
        let fields = request.headers_mut();
        fields.reserve(headers.len());
        for (name, value) in headers {
            if *name != HOST && (!is_of_http1(name) || (*name == TE && value == "trailers")) {
                fields.append(name, value.clone());
            }
        }
        let sent = self.place.sender.send_request(request, end);
        let (response, stream) = sent.map_err(|error| {
            if error.is_go_away() || error.is_io() {
                UpstreamError::Unprocessed(io::Error::other(error))
            } else {
                UpstreamError::Invalid(format!("no valid request for HTTP/2: {error}"))
            }
        })?;
        (self.response, self.sender) = (Some(response), Some(Sender::new(stream, end)));
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

    /// Ready with a head: of an interim response, or of the final one.
    pub fn poll_head(&mut self, context: &mut Context<'_>) -> Poll<Result<Box<ResponseParts>, UpstreamError>> {
        let Some(response) = &mut self.response else {
            return Poll::Ready(Err(UpstreamError::Invalid("no response head".to_owned())));
        };
        let lost = &mut self.lost;
        let mut broken = |error: h2::Error| {
            *lost = error.is_io();
            broken(error)
        };
        if let Some(interim) = ready!(response.poll_informational(context)) {
            let interim = interim.map_err(&mut broken)?;
            self.answered = true;
            return Poll::Ready(parts_of(interim.into_parts().0));
        }
        let (head, body) = ready!(Pin::new(response).poll(context)).map_err(broken)?.into_parts();
        self.answered = true;
        self.response = None;
        self.length = match head.headers.get(CONTENT_LENGTH) {
            _ if self.bodiless || is_bodiless(head.status) || body.is_end_stream() => Some(0),
            // `h2` has read it, and counts the body against it.
            length => length.and_then(|length| length.to_str().ok()?.parse().ok()),
        };
        self.body = Some(body);
        Poll::Ready(parts_of(head))
    }

    /// Bytes of the response's body, if they are known beforehand.
    pub fn body_left(&self) -> Option<u64> {
        self.length
    }

    /// Ready with the number of body bytes at hand, or none at the body's end.
    pub fn poll_body(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<usize>, UpstreamError>> {
        let Some(body) = &mut self.body else { return Poll::Ready(Ok(None)) };
        while self.chunk.is_empty() && !self.body_done {
            match ready!(body.poll_data(context)) {
                Some(chunk) => self.chunk = chunk.map_err(broken)?,
                None => {
                    self.trailers = ready!(body.poll_trailers(context)).map_err(broken)?;
                    self.body_done = true;
                }
            }
        }
        Poll::Ready(Ok((!self.chunk.is_empty()).then_some(self.chunk.len())))
    }

    pub fn data(&self, count: usize) -> &[u8] {
        self.chunk.get(..count).unwrap_or_default()
    }

    /// Lets the endpoint send as much again.
    pub fn consume(&mut self, count: usize) {
        self.chunk.advance(count);
        if let Some(body) = &mut self.body {
            // It cannot be more than has come.
            let _ = body.flow_control().release_capacity(count);
        }
    }

    pub fn take_trailers(&mut self) -> Option<HeaderMap> {
        self.trailers.take()
    }
}

impl Drop for Http2 {
    fn drop(&mut self) {
        if self.response.is_some() && !self.answered {
            self.place.doubt();
        }
    }
}

fn parts_of(head: response::Parts) -> Result<Box<ResponseParts>, UpstreamError> {
    // RFC 9113, section 8.2.1; `h2` takes it.
    let ends_blank = |value: &HeaderValue| {
        let value = value.as_bytes();
        [value.first(), value.last()].iter().flatten().any(|byte| matches!(byte, b' ' | b'\t'))
    };
    if head.headers.values().any(ends_blank) {
        let what = "malformed HTTP/2: a field value begins or ends with white space";
        return Err(UpstreamError::Invalid(what.to_owned()));
    }
    let reason = Bytes::from_static(head.status.canonical_reason().unwrap_or_default().as_bytes());
    Ok(Box::new(ResponseParts { status: head.status, reason, headers: head.headers, names: Names::default() }))
}

/// What became of the stream.
fn broken(error: h2::Error) -> UpstreamError {
    let reason = error.reason();
    // Streams above what a GOAWAY says was processed, or refused before anything was done (RFC 9113, section 8.7). Of a GOAWAY,
    // `h2` tells no other streams.
    if error.is_remote() && (error.is_go_away() || reason == Some(Reason::REFUSED_STREAM)) {
        return UpstreamError::Unprocessed(io::Error::other(error));
    }
    if error.is_library() {
        return UpstreamError::Invalid(format!("malformed HTTP/2: {error}"));
    }
    UpstreamError::Closed(io::Error::other(error))
}
