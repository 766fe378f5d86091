//! Fields that the gateway owns: the one table of them, for the proxy and for every kind of stage.
//!
//! Three families, and a name belongs to one of them with hyphens as with underscores: CGI and what descends from it make
//! one variable of `x-real-ip` and `x_real_ip`.
//!
//! * [`FRAMING`]: what frames a message or concerns one hop. No stage sets it, in requests or responses.
//! * [`VOUCHED`]: what the gateway itself tells upstreams about a request, after all stages. No stage sets it in requests.
//! * [`CLAIMS`]: everything else by which some proxy tells those behind it where a request came from: address, certificate,
//!   scheme, or what was asked for. Upstreams believe it, so a client's own never gets there; a stage may set it.

use http::header::{HeaderMap, HeaderName};

/// Fields that frame a message or belong to one hop (RFC 9110, sections 7.6.1 and 8.6; RFC 9112, section 6), and the id
/// under which a request is known on all sides. A stage that could set them could smuggle requests.
pub const FRAMING: [&str; 11] = [
    "connection",
    "content-length",
    "expect",
    "http2-settings",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-request-id",
];

/// Fields of a request that the gateway sets or removes itself after the stages ran, so that they can be trusted upstream.
pub const VOUCHED: [&str; 6] = ["forwarded", "host", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"];

/// Names of a family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pattern {
    Exactly(&'static str),
    Begins(&'static str),
    Ends(&'static str),
}

use Pattern::{Begins, Ends, Exactly};

/// What claims speak of, and the names that do.
#[derive(Debug, Clone, Copy)]
pub struct Family {
    pub about: &'static str,
    pub patterns: &'static [Pattern],
}

/// What a client may say about where its request came from, and no upstream may hear from it.
///
/// Gathered from RFC 7239, RFC 9440, and what nginx and its ingress, Apache, HAProxy, Envoy, Traefik, IIS and Azure, AWS,
/// Cloudflare, Fastly, Akamai, Fly, Vercel and Google set for those behind them (2026-11).
pub const CLAIMS: [Family; 5] = [
    Family {
        about: "proxies on the way",
        patterns: &[
            Exactly("forwarded"),
            Begins("x-forwarded"),
            Begins("x-original-"),
            Ends("forwarded-for"),
            Ends("forwarded-proto"),
        ],
    },
    Family {
        about: "address of the client",
        patterns: &[
            Begins("x-real-"),
            Ends("client-ip"),
            Ends("clientip"),
            Ends("connecting-ip"),
            Ends("connecting-ipv6"),
            Ends("connection-ip"),
            Ends("originating-ip"),
            Ends("pseudo-ipv4"),
            Ends("real-ip"),
            Ends("remote-ip"),
            Ends("socketip"),
            Ends("source-ip"),
            Ends("user-ip"),
            Ends("remote-addr"),
            Ends("client-addr"),
            Ends("client-address"),
            Ends("external-address"),
            Ends("viewer-address"),
        ],
    },
    Family {
        about: "place of the client",
        patterns: &[Exactly("cf-ipcountry"), Begins("cloudfront-viewer-"), Begins("x-vercel-ip-")],
    },
    Family {
        about: "certificate of the client",
        patterns: &[
            Exactly("client-cert"),
            Exactly("client-cert-chain"),
            Exactly("x-arr-clientcert"),
            Begins("ssl-client-"),
            Begins("x-amzn-mtls-"),
            Begins("x-client-cert"),
            Begins("x-client-verify"),
            Begins("x-ssl-client-"),
        ],
    },
    Family {
        about: "what was asked for, and how",
        patterns: &[
            Exactly("cf-visitor"),
            Exactly("front-end-https"),
            Exactly("x-arr-ssl"),
            Exactly("x-envoy-internal"),
            Begins("x-envoy-original-"),
            Begins("x-envoy-peer-metadata"),
            Exactly("x-host"),
            Exactly("x-http-host-override"),
            Exactly("x-rewrite-url"),
            Exactly("x-scheme"),
            Exactly("x-url-scheme"),
        ],
    },
];

/// Two bytes at a time, so that nearly every name is told apart without a look at the table: those that a name of
/// [`CLAIMS`] begins with, or else ends with; and, as so many begin with `x-`, those that follow it.
const FIRST: [[u8; 2]; 5] = [*b"fo", *b"fr", *b"cf", *b"cl", *b"ss"];
const AFTER_X: [[u8; 2]; 14] =
    [*b"am", *b"ar", *b"cl", *b"en", *b"fo", *b"ho", *b"ht", *b"or", *b"re", *b"rw", *b"sc", *b"ss", *b"ur", *b"ve"];
const LAST: [[u8; 2]; 7] = [*b"ip", *b"dr", *b"ss", *b"or", *b"to", *b"v4", *b"v6"];

impl Pattern {
    fn matches(self, name: &[u8]) -> bool {
        match self {
            Exactly(known) => is(name, known),
            Begins(known) => name.get(..known.len()).is_some_and(|start| is(start, known)),
            Ends(known) => {
                name.len().checked_sub(known.len()).and_then(|from| name.get(from..)).is_some_and(|end| is(end, known))
            }
        }
    }
}

/// The same name, with hyphens or underscores. Names are in lower case.
fn is(name: &[u8], known: &str) -> bool {
    let same = |(byte, known): (&u8, u8)| *byte == known || (*byte == b'_' && known == b'-');
    name.len() == known.len() && name.iter().zip(known.bytes()).all(same)
}

fn is_one_of(name: &str, list: &[&str]) -> bool {
    list.iter().any(|known| is(name.as_bytes(), known))
}

/// Whether a field, in lower case, frames a message or belongs to one hop.
pub fn is_framing(name: &str) -> bool {
    is_one_of(name, &FRAMING)
}

/// Whether only the gateway may change a field of a request, in lower case.
pub fn is_owned_in_requests(name: &str) -> bool {
    is_framing(name) || is_one_of(name, &VOUCHED)
}

/// Whether a field, in lower case, says where a request came from, and would be believed.
pub fn is_claim(name: &str) -> bool {
    let name = name.as_bytes();
    if !may_be_claim(name) {
        return false;
    }
    // Of what the gateway sets beside, a client could give another spelling.
    let another_spelling =
        || name.contains(&b'_') && VOUCHED.into_iter().chain(["x-request-id"]).any(|own| is(name, own));
    CLAIMS.iter().flat_map(|family| family.patterns).any(|pattern| pattern.matches(name)) || another_spelling()
}

/// By the bytes that it begins and ends with.
fn may_be_claim(name: &[u8]) -> bool {
    let ends = name.last_chunk().is_some_and(|last| LAST.contains(last));
    ends || match name {
        [b'x', b'-' | b'_', one, two, ..] => AFTER_X.contains(&[*one, *two]),
        _ => name.first_chunk().is_some_and(|first| FIRST.contains(first)),
    }
}

/// Marks what a client claims, so that [`strip_claims`] knows it from what stages set later; says whether there is any.
/// Until then stages can read it, as whatever a client sends.
///
/// The mark is the one that values have for compression, which no claim reaches.
pub fn mark_claims(headers: &mut HeaderMap) -> bool {
    let mut any = false;
    for (name, value) in headers.iter_mut() {
        if is_claim(name.as_str()) {
            value.set_sensitive(true);
            any = true;
        }
    }
    any
}

/// Removes what [`mark_claims`] has marked.
pub fn strip_claims(headers: &mut HeaderMap) {
    let marked = headers.iter().filter(|(name, value)| value.is_sensitive() && is_claim(name.as_str()));
    let names: Vec<HeaderName> = marked.map(|(name, _)| name.clone()).collect();
    for name in names {
        // What a stage has added beside stays.
        let own: Vec<_> = headers.get_all(&name).iter().filter(|value| !value.is_sensitive()).cloned().collect();
        headers.remove(&name);
        for value in own {
            headers.append(&name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    /// What proxies, load balancers, content networks and frameworks use, by the place that it was found in.
    const CLAIMED: [&str; 74] = [
        "forwarded",
        "forwarded-for",
        "x-forwarded",
        "x-forwarded-by",
        "x-forwarded-client-cert",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-method",
        "x-forwarded-path",
        "x-forwarded-port",
        "x-forwarded-prefix",
        "x-forwarded-proto",
        "x-forwarded-protocol",
        "x-forwarded-scheme",
        "x-forwarded-server",
        "x-forwarded-ssl",
        "x-forwarded-tls-client-cert",
        "x-forwarded-tls-client-cert-info",
        "x-forwarded-uri",
        "x-forwarded-user",
        "x-original-forwarded-for",
        "x-original-host",
        "x-original-method",
        "x-original-uri",
        "x-original-url",
        "x-vercel-forwarded-for",
        "cloudfront-forwarded-proto",
        "ali-cdn-real-ip",
        "cdn-real-ip",
        "cf-connecting-ip",
        "cf-connecting-ipv6",
        "cf-pseudo-ipv4",
        "client-ip",
        "cloudfront-viewer-address",
        "fastly-client-ip",
        "fly-client-ip",
        "http-client-ip",
        "proxy-client-ip",
        "remote-addr",
        "true-client-ip",
        "wl-proxy-client-ip",
        "x-appengine-user-ip",
        "x-azure-clientip",
        "x-azure-socketip",
        "x-client-ip",
        "x-cluster-client-ip",
        "x-envoy-external-address",
        "x-nf-client-connection-ip",
        "x-originating-ip",
        "x-proxyuser-ip",
        "x-real-ip",
        "x-real-port",
        "x-remote-addr",
        "x-remote-ip",
        "cf-ipcountry",
        "cloudfront-viewer-country",
        "x-vercel-ip-country",
        "client-cert",
        "client-cert-chain",
        "ssl-client-subject-dn",
        "ssl-client-verify",
        "x-amzn-mtls-clientcert-subject",
        "x-arr-clientcert",
        "x-client-cert-dn",
        "x-ssl-client-cert",
        "cf-visitor",
        "front-end-https",
        "x-envoy-internal",
        "x-envoy-original-path",
        "x-host",
        "x-rewrite-url",
        "x-scheme",
        "x_forwarded_for",
        "x_request_id",
    ];

    /// What clients and applications use for themselves.
    const THEIRS: [&str; 34] = [
        "a",
        "accept",
        "authorization",
        "cf-access-jwt-assertion",
        "cf-ray",
        "client-version",
        "content-length",
        "content-type",
        "cookie",
        "dnt",
        "from",
        "host",
        "ip",
        "origin",
        "referer",
        "sec-fetch-site",
        "te",
        "traceparent",
        "user-agent",
        "via",
        "x-amzn-trace-id",
        "x-api-key",
        "x-b3-traceid",
        "x-client-data",
        "x-client-id",
        "x-client-version",
        "x-csrf-token",
        "x-hostess",
        "x-http-method-override",
        "x-request-id",
        "x-request-start",
        "x-requested-with",
        "x-shipping-address",
        "x-zip",
    ];

    #[test]
    fn a_claim_is_known_by_its_family_and_in_every_spelling() {
        for name in CLAIMED {
            assert!(is_claim(name), "{name}");
            assert!(is_claim(&name.replacen('-', "_", 1)), "{name} with an underscore");
            assert!(is_claim(&name.replace('-', "_")), "{name} with underscores");
        }
        for name in THEIRS {
            assert!(!is_claim(name), "{name}");
        }
    }

    #[test]
    fn what_the_table_names_passes_the_first_look() {
        for pattern in CLAIMS.iter().flat_map(|family| family.patterns) {
            // So that it is not the other end that lets it pass.
            let (name, whole) = match pattern {
                Exactly(name) | Begins(name) => (name, format!("{name}-")),
                Ends(name) => (name, format!("a-{name}")),
            };
            assert!(may_be_claim(whole.as_bytes()) && *name == name.to_ascii_lowercase(), "{pattern:?}");
            assert!(may_be_claim(whole.replace('-', "_").as_bytes()), "{pattern:?}");
        }
        for name in VOUCHED.into_iter().chain(["x-request-id"]).filter(|name| name.contains('-')) {
            assert!(may_be_claim(name.replace('-', "_").as_bytes()), "{name}");
        }
    }

    #[test]
    fn owned_fields_are_owned_in_every_spelling() {
        for name in FRAMING {
            assert!(is_framing(name) && is_framing(&name.replace('-', "_")) && is_owned_in_requests(name), "{name}");
        }
        for name in VOUCHED {
            assert!(!is_framing(name) && is_owned_in_requests(&name.replace('-', "_")), "{name}");
        }
        for name in ["x-real-ip", "x-forwarded-prefix", "accept", "x-a", ""] {
            assert!(!is_owned_in_requests(name), "{name}");
        }
    }

    #[test]
    fn what_a_client_claims_goes_and_what_a_stage_sets_stays() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("x-forwarded-for", "6.6.6.6"),
            ("x-real-ip", "6.6.6.6"),
            ("x-real-ip", "7.7.7.7"),
            ("client-ip", "6.6.6.6"),
            ("accept", "a"),
        ] {
            headers.append(name, HeaderValue::from_static(value));
        }
        assert!(mark_claims(&mut headers));
        assert_eq!(headers["x-real-ip"], "6.6.6.6", "stages can read it");
        headers.append("x-real-ip", HeaderValue::from_static("127.0.0.1"));
        headers.insert("client-ip", HeaderValue::from_static("6.6.6.6"));
        headers.insert("authorization", {
            let mut secret = HeaderValue::from_static("x");
            secret.set_sensitive(true);
            secret
        });
        strip_claims(&mut headers);
        let mut left: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        left.sort_unstable();
        let expected = [("accept", "a"), ("authorization", "x"), ("client-ip", "6.6.6.6"), ("x-real-ip", "127.0.0.1")];
        assert_eq!(left, expected);
        assert!(!mark_claims(&mut HeaderMap::from_iter([(http::header::ACCEPT, HeaderValue::from_static("a"))])));
    }
}
