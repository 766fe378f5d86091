//! Trailers (RFC 9110, sections 6.5, 6.6.2 and 10.1.4; RFC 9112, section 7.1.2; RFC 9113, section 8.1).

use std::io::Write;

use http::{HeaderMap, HeaderName, Request};
use witgate_tests::client::request;
use witgate_tests::{Gateway, Upstream};

use super::{before, block_on, http2_exchange};

/// Fields that others decide by before a body has come, or that belong to a connection or to the gateway.
const NEVER: [&str; 34] = [
    "age",
    "authorization",
    "cache-control",
    "connection",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "cookie",
    "date",
    "expect",
    "expires",
    "forwarded",
    "host",
    "http2-settings",
    "if-match",
    "if-none-match",
    "keep-alive",
    "location",
    "max-forwards",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "range",
    "retry-after",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "vary",
    "www-authenticate",
    "x-forwarded-for",
    "x-request-id",
];

/// A service that answers with these trailers.
fn ending_with(trailers: &str) -> Upstream {
    let answer = format!(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n2\r\nok\r\n0\r\n{trailers}\r\n"
    );
    Upstream::new(move |_, stream| stream.write_all(answer.as_bytes()).is_ok())
}

fn forbidden() -> String {
    let forbidden: String = NEVER.iter().map(|name| format!("{name}: 1\r\n")).collect();
    format!("{forbidden}x-sum: 11\r\n")
}

fn post_chunks(gateway: &Gateway, fields: &[(&str, &str)], trailers: &str) -> witgate_tests::Response {
    let body = format!("2\r\nhi\r\n0\r\n{trailers}\r\n");
    request(gateway.address(), "POST", "/", &[&[("transfer-encoding", "chunked")], fields].concat(), body.as_bytes())
}

/// A request of HTTP/2 with trailers.
fn post_http2(gateway: &Gateway, trailers: &[(&str, &str)]) -> super::Http2Response {
    let trailers: HeaderMap = trailers
        .iter()
        .map(|(name, value)| (HeaderName::try_from(*name).expect("a name"), value.parse().expect("a value")))
        .collect();
    let request = Request::post("http://a.example/").body(()).expect("valid");
    block_on(http2_exchange(gateway.address(), request, "hi", Some(trailers))).expect("a response")
}

#[test]
fn trailers_stay_behind_the_body_and_are_never_merged() {
    let upstream = ending_with("x-sum: 11\r\nx-sum: 12\r\nx-other: 1\r\n");
    let gateway = before(upstream.address());
    let answer =
        post_chunks(&gateway, &[("te", "trailers"), ("trailer", "x-digest")], "x-digest: 1\r\nx-digest: 2\r\n");
    assert_eq!((answer.header("x-sum"), answer.header("x-other")), (None, None));
    let wanted = [("x-sum", "11"), ("x-sum", "12"), ("x-other", "1")].map(|(n, v)| (n.to_owned(), v.to_owned()));
    assert_eq!(answer.trailers, wanted);
    let received = upstream.last();
    assert_eq!(received.header("x-digest"), None);
    let wanted = [("x-digest", "1"), ("x-digest", "2")].map(|(n, v)| (n.to_owned(), v.to_owned()));
    assert_eq!(received.trailers, wanted);
}

#[test]
fn the_field_that_announces_trailers_passes() {
    let upstream = ending_with("x-sum: 11\r\n");
    let gateway = before(upstream.address());
    let answer = post_chunks(&gateway, &[("te", "trailers"), ("trailer", "x-digest")], "x-digest: 1\r\n");
    assert_eq!(answer.header("trailer").as_deref(), Some("x-sum"));
    assert_eq!(upstream.last().header("trailer").as_deref(), Some("x-digest"));
}

#[test]
fn te_reaches_the_gateway_alone_and_is_understood_in_every_form() {
    let upstream = ending_with("x-sum: 11\r\n");
    let gateway = before(upstream.address());
    for fields in [
        &[("te", "trailers")][..],
        &[("te", "trailers"), ("connection", "TE")],
        &[("te", "gzip;q=0.5, Trailers"), ("connection", "close, te")],
        &[("te", ""), ("te", ", trailers"), ("connection", "TE")],
    ] {
        let answer = post_chunks(&gateway, fields, "");
        assert_eq!(answer.trailers, [("x-sum".to_owned(), "11".to_owned())], "{fields:?}");
        assert_eq!(upstream.last().header("te"), None, "{fields:?}");
    }
    for fields in [&[][..], &[("te", "gzip")], &[("te", "x-trailers")]] {
        assert_eq!(post_chunks(&gateway, fields, "").trailers, [], "{fields:?}");
    }
}

#[test]
fn fields_that_were_decided_by_do_not_come_behind_a_body() {
    let upstream = ending_with(&forbidden());
    let gateway = before(upstream.address());
    let answer = post_chunks(&gateway, &[("te", "trailers")], &forbidden());
    assert_eq!(answer.text(), "ok");
    let left = |trailers: &[(String, String)]| trailers.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(left(&upstream.last().trailers), ["x-sum"], "request");
    // What a response may end with is not what a request may: its own sender knows the client.
    let left: Vec<String> =
        left(&answer.trailers).into_iter().filter(|name| !name.starts_with("x-") && name != "forwarded").collect();
    assert_eq!(left, [] as [&str; 0], "response");
    assert!(answer.trailers.contains(&("x-sum".to_owned(), "11".to_owned())));
}

#[test]
fn fields_of_one_connection_in_trailers_do_not_break_a_stream() {
    let upstream = ending_with(&forbidden());
    let gateway = before(upstream.address());
    let answer = post_http2(&gateway, &[("x-sum", "1")]);
    assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
    let trailers = answer.trailers.expect("trailers");
    assert_eq!(trailers["x-sum"], "11");
    for name in ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "te", "content-length"]
    {
        assert!(!trailers.contains_key(name), "{name}");
    }
}

#[test]
fn what_connection_names_is_removed_from_trailers_too() {
    let answer = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: X-Hop\r\n\r\n2\r\nok\r\n0\r\nx-hop: 1\r\nx-sum: 1\r\n\r\n";
    let upstream = Upstream::new(move |_, stream| stream.write_all(answer.as_bytes()).is_ok());
    let gateway = before(upstream.address());
    let fields = [("te", "trailers"), ("connection", "x-hop")];
    let answer = post_chunks(&gateway, &fields, "X-Hop: 1\r\nx-digest: 1\r\n");
    assert_eq!(upstream.last().trailers, [("x-digest".to_owned(), "1".to_owned())]);
    assert_eq!(answer.trailers, [("x-sum".to_owned(), "1".to_owned())]);
}

#[test]
fn trailers_pass_between_the_versions() {
    let upstream = ending_with("x-sum: 11\r\n");
    let gateway = before(upstream.address());
    let answer = post_http2(&gateway, &[("x-digest", "abc"), ("authorization", "no")]);
    assert_eq!(upstream.last().body, b"hi");
    assert_eq!(upstream.last().trailers, [("x-digest".to_owned(), "abc".to_owned())]);
    assert_eq!(answer.trailers.expect("trailers")["x-sum"], "11");
}
