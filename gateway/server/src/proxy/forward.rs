//! The request as the upstream gets it.

use std::net::IpAddr;

use http::Version;
use http::header::{FORWARDED, HOST, HeaderName, HeaderValue, VIA};
use pingora::Result;
use pingora::http::RequestHeader;
use pingora::proxy::Session;

use crate::proxy::context::RequestCtx;
use crate::request_id;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Sets what the gateway vouches for. Hop-by-hop fields are gone already: Pingora's standard forwarding policy removes
/// them and what `Connection` names (RFC 9110, section 7.6.1).
///
/// The forwarded fields are replaced, not extended: this gateway is the edge, and what a client claims about the hops
/// before it could be made up.
pub fn prepare(session: &Session, request: &mut RequestHeader, ctx: &RequestCtx) -> Result<()> {
    if let Ok(id) = HeaderValue::from_str(&ctx.id) {
        request.insert_header(&request_id::FIELD, id)?;
    }
    request.remove_header(&FORWARDED);
    match ctx.facts.client.map(|address| address.ip()) {
        Some(IpAddr::V6(address)) => {
            let text = address.to_ipv4_mapped().map_or_else(|| address.to_string(), |v4| v4.to_string());
            request.insert_header(&X_FORWARDED_FOR, text)?;
        }
        Some(IpAddr::V4(address)) => request.insert_header(&X_FORWARDED_FOR, address.to_string())?,
        None => drop(request.remove_header(&X_FORWARDED_FOR)),
    }
    let encrypted = session.digest().is_some_and(|digest| digest.ssl_digest.is_some());
    let scheme = HeaderValue::from_static(if encrypted { "https" } else { "http" });
    request.insert_header(&X_FORWARDED_PROTO, scheme)?;
    let authority = request.uri.authority().and_then(|name| HeaderValue::from_str(name.as_str()).ok());
    match authority.or_else(|| request.headers.get(HOST).cloned()) {
        Some(host) => request.insert_header(&X_FORWARDED_HOST, host)?,
        None => drop(request.remove_header(&X_FORWARDED_HOST)),
    }
    // RFC 9110, section 7.6.3: the version is that of the message received.
    let via = match session.req_header().version {
        Version::HTTP_2 => "2 witgate",
        Version::HTTP_10 => "1.0 witgate",
        _ => "1.1 witgate",
    };
    request.append_header(&VIA, HeaderValue::from_static(via))?;
    Ok(())
}
