//! `outbound`: requests to the upstreams that are granted, and to nowhere else.

use std::sync::Arc;
use std::time::Duration;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use http::{Method, Uri};

use super::{HostCall, Weight};
use crate::bindings::witgate::plugin::http::Field;
use crate::bindings::witgate::plugin::outbound::{Call, CallError, Host, Reply};
use crate::service::{OutboundCall, OutboundError};

/// Calls of one hook: what a decision may need, and not a scan of the network.
pub(super) const CALLS_LIMIT: u32 = 8;
/// Bytes of a body, either way: it is copied into the guest, whose memory is bounded.
const BODY_LIMIT: usize = 1 << 20;
/// Bytes of a request's fields.
const FIELDS_LIMIT: usize = 64 * 1024;
/// For a call that names no timeout.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The longest there is: hooks hold instances, of which there are few.
const LONGEST: Duration = Duration::from_secs(30);

/// Framing, and what belongs to a connection (RFC 9110, section 7.6.1): the gateway's own.
const FORBIDDEN: [HeaderName; 10] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::EXPECT,
    HeaderName::from_static("http2-settings"),
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

impl Host for HostCall<'_> {
    async fn fetch(&mut self, call: Call) -> wasmtime::Result<Result<Reply, CallError>> {
        let Call { upstream, method, path_with_query, fields, body, .. } = &call;
        self.passed(upstream.len() + method.len() + path_with_query.len() + fields.weight() + body.len());
        self.require_hook()?;
        let Some(left) = self.call.fetches_left.checked_sub(1) else { return Ok(Err(CallError::TooMany)) };
        self.call.fetches_left = left;
        let Some(target) = self.binding.grants.outbound.get(&call.upstream).map(Arc::clone) else {
            return Ok(Err(CallError::NotGranted));
        };
        let call = match checked(call) {
            Ok(call) => call,
            Err(error) => return Ok(Err(error)),
        };
        Ok(match self.wait_for(target.fetch(call)).await {
            Ok(reply) => {
                let fields = self.give(reply.headers.iter().map(field).collect());
                Ok(Reply { status: reply.status.as_u16(), fields, body: self.give(reply.body.into()) })
            }
            Err(OutboundError::TooLarge) => Err(CallError::TooLarge),
            Err(OutboundError::Timeout) => Err(CallError::Timeout),
            Err(OutboundError::Unavailable) => Err(CallError::Unavailable),
        })
    }
}

fn field((name, value): (&HeaderName, &HeaderValue)) -> Field {
    Field { name: name.as_str().to_owned(), value: value.as_bytes().to_vec() }
}

/// What can be sent: nothing that a guest says can make two requests of one.
fn checked(call: Call) -> Result<OutboundCall, CallError> {
    let Call { upstream: _, method, path_with_query, fields, body, timeout_ms } = call;
    let method = Method::from_bytes(method.as_bytes()).map_err(|_| CallError::Invalid)?;
    let path = PathAndQuery::try_from(path_with_query.as_str()).map_err(|_| CallError::Invalid)?;
    // The parser takes a fragment off; whoever writes one expects something else.
    if method == Method::CONNECT || !path_with_query.starts_with('/') || path.as_str() != path_with_query {
        return Err(CallError::Invalid);
    }
    if body.len() > BODY_LIMIT
        || fields.iter().map(|field| field.name.len() + field.value.len()).sum::<usize>() > FIELDS_LIMIT
    {
        return Err(CallError::TooLarge);
    }
    let mut headers = HeaderMap::with_capacity(fields.len());
    for Field { name, value } in fields {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| CallError::Invalid)?;
        let value = HeaderValue::from_maybe_shared(bytes::Bytes::from(value)).map_err(|_| CallError::Invalid)?;
        if FORBIDDEN.contains(&name) || (name == header::HOST && !is_host(&value)) {
            return Err(CallError::Invalid);
        }
        headers.append(name, value);
    }
    if headers.get_all(header::HOST).iter().count() > 1 {
        return Err(CallError::Invalid);
    }
    let timeout = match timeout_ms {
        0 => TIMEOUT,
        ms => Duration::from_millis(ms.into()).min(LONGEST),
    };
    Ok(OutboundCall { method, path, headers, body: body.into(), timeout, reply_limit: BODY_LIMIT })
}

fn is_host(value: &HeaderValue) -> bool {
    value
        .to_str()
        .is_ok_and(|host| host.parse::<Uri>().is_ok_and(|uri| uri.authority().is_some_and(|a| a.as_str() == host)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(method: &str, path: &str, fields: &[(&str, &str)]) -> Call {
        let field = |&(name, value): &(&str, &str)| Field { name: name.to_owned(), value: value.as_bytes().to_vec() };
        Call {
            upstream: "u".to_owned(),
            method: method.to_owned(),
            path_with_query: path.to_owned(),
            fields: fields.iter().map(field).collect(),
            body: Vec::new(),
            timeout_ms: 0,
        }
    }

    #[test]
    fn an_ordinary_call_is_sent_as_it_is() {
        let sent = checked(call("POST", "/a?b", &[("X-A", "1"), ("x-a", "2"), ("host", "auth.example:80")])).unwrap();
        assert_eq!((sent.method, sent.path.as_str(), sent.timeout), (Method::POST, "/a?b", TIMEOUT));
        assert_eq!(sent.headers.get_all("x-a").iter().count(), 2);
    }

    #[test]
    fn a_call_that_could_become_two_is_not_sent() {
        for (method, path, fields) in [
            ("G T", "/", &[][..]),
            ("CONNECT", "/", &[]),
            ("GET", "", &[]),
            ("GET", "a", &[]),
            ("GET", "http://elsewhere/", &[]),
            ("GET", "/ HTTP/1.1\r\nx: y", &[]),
            ("GET", "/#x", &[]),
            ("GET", "/", &[("content-length", "1")]),
            ("GET", "/", &[("Transfer-Encoding", "chunked")]),
            ("GET", "/", &[("connection", "close")]),
            ("GET", "/", &[("x y", "1")]),
            ("GET", "/", &[("x", "1\r\ny: 2")]),
            ("GET", "/", &[("host", "a b")]),
            ("GET", "/", &[("host", "a"), ("host", "b")]),
        ] {
            assert_eq!(
                checked(call(method, path, fields)).unwrap_err(),
                CallError::Invalid,
                "{method} {path} {fields:?}"
            );
        }
        let large = Call { body: vec![0; BODY_LIMIT + 1], ..call("POST", "/", &[]) };
        assert_eq!(checked(large).unwrap_err(), CallError::TooLarge);
    }
}
