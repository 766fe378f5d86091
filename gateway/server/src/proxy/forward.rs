//! The request as the upstream gets it.

use http::Version;
use http::header::{EXPECT, FORWARDED, HOST, HeaderMap, HeaderName, HeaderValue, TE, VIA};
use witgate_http::{owned, request_id};

use crate::proxy::origin::Origin;
use crate::snapshot::Endpoint;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Sets what the gateway vouches for.
///
/// The forwarded fields are replaced, not extended: this gateway is the edge, and what a client claims about the hops
/// before it could be made up. Claims of other kinds go as well, unless a stage has set them.
pub fn prepare(headers: &mut HeaderMap, id: HeaderValue, version: Version, origin: &Origin, endpoint: &Endpoint) {
    owned::strip_claims(headers);
    headers.insert(request_id::FIELD, id);
    headers.remove(FORWARDED);
    match &origin.forwarded_for {
        Some(address) => drop(headers.insert(X_FORWARDED_FOR, address.clone())),
        None => drop(headers.remove(X_FORWARDED_FOR)),
    }
    let scheme = HeaderValue::from_static(if origin.client.tls { "https" } else { "http" });
    headers.insert(X_FORWARDED_PROTO, scheme);
    match headers.get(HOST).cloned() {
        Some(host) => drop(headers.insert(X_FORWARDED_HOST, host)),
        None => {
            headers.remove(X_FORWARDED_HOST);
            // HTTP/1.1 does without it no more than the upstream will.
            headers.insert(HOST, endpoint.host.clone());
        }
    }
    // RFC 9110, section 7.6.3: the version is that of the message received.
    let via = match version {
        Version::HTTP_2 => "2 witgate",
        Version::HTTP_10 => "1.0 witgate",
        _ => "1.1 witgate",
    };
    headers.append(VIA, HeaderValue::from_static(via));
    // Of `TE` an upstream of HTTP/2 may see whether trailers are welcome (RFC 9113, section 8.2.2); gRPC asks for it.
    if endpoint.http2 && accepts_trailers(headers) {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    } else {
        headers.remove(TE);
    }
    // The gateway tells the client to go on by itself.
    headers.remove(EXPECT);
    if endpoint.http2 {
        headers.remove(http::header::TRANSFER_ENCODING);
        headers.remove(http::header::UPGRADE);
    }
}

/// Passes of this gateway, or of others of its kind, that a request may have behind it: more than any chain of gateways that
/// somebody has built on purpose, and few enough that a loop costs next to nothing.
const PASSES_LIMIT: usize = 8;

/// Whether the request goes round in circles: its `Via` says how often it has been here (RFC 9110, sections 7.6 and 7.6.3).
pub fn is_loop(headers: &HeaderMap) -> bool {
    let hops = headers.get_all(VIA).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    let own = hops
        .filter(|hop| hop.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).nth(1) == Some(b"witgate"));
    own.count() > PASSES_LIMIT
}

/// Whether the client takes trailers (RFC 9110, section 10.1.4).
pub fn accepts_trailers(headers: &HeaderMap) -> bool {
    headers.get_all(TE).iter().any(|value| {
        value.as_bytes().split(|byte| *byte == b',').any(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"trailers"))
    })
}
