//! Fields that come behind a body.

use http::header::{HeaderMap, HeaderName};

use crate::owned::{is_claim, is_owned_in_requests};

/// Fields by which whoever gets a message has acted before its body came: how it is framed, routed, authenticated, or cached, what
/// a request wants, and what its content is (RFC 9110, section 6.5.1). Those that the gateway owns are none either, for there are
/// recipients that take trailers for headers.
const DECIDED_BY: [&str; 41] = [
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "age",
    "allow",
    "authorization",
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-location",
    "content-range",
    "content-type",
    "cookie",
    "date",
    "expires",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "location",
    "max-forwards",
    "origin",
    "pragma",
    "priority",
    "proxy-authenticate",
    "proxy-authorization",
    "range",
    "referer",
    "refresh",
    "retry-after",
    "set-cookie",
    "strict-transport-security",
    "user-agent",
    "vary",
    "warning",
    "www-authenticate",
    "x-api-key",
    "x-http-method-override",
];

/// Whether a field may come after the body.
pub fn may_trail(name: &HeaderName) -> bool {
    let name = name.as_str();
    !DECIDED_BY.contains(&name) && !is_owned_in_requests(name) && !is_claim(name)
}

/// Removes what the message's `Connection` named: that concerned one connection, wherever in the message it stands (RFC 9110,
/// section 7.6.1).
pub fn without(mut trailers: HeaderMap, nominated: &[HeaderName]) -> HeaderMap {
    for name in nominated {
        trailers.remove(name);
    }
    trailers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_have_decided_by_does_not_come_late() {
        for name in ["x-sum", "digest", "etag", "server-timing", "grpc-status", "signature", "x-real", "forward"] {
            assert!(may_trail(&HeaderName::from_static(name)), "{name}");
        }
        for name in DECIDED_BY.into_iter().chain([
            "connection",
            "content-length",
            "forwarded",
            "host",
            "http2-settings",
            "keep-alive",
            "proxy-connection",
            "te",
            "trailer",
            "transfer-encoding",
            "via",
            "x-forwarded-for",
            "x-forwarded-port",
            "x-real-ip",
            "x_real_ip",
            "x-request-id",
        ]) {
            assert!(!may_trail(&HeaderName::from_static(name)), "{name}");
        }
    }

    #[test]
    fn what_connection_named_goes() {
        let names = ["x-hop", "x-sum"].map(HeaderName::from_static);
        let trailers = HeaderMap::from_iter(names.clone().map(|name| (name, "1".parse().unwrap())));
        let left = without(trailers, &names[..1]);
        assert_eq!(left.keys().collect::<Vec<_>>(), [&names[1]]);
    }
}
