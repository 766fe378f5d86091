//! A request's head as HTTP/2 has it, in the form that the other versions have (RFC 9113, section 8.3). What is held to which rule
//! stands in `witgate_http::http2`; what `h2` can check without knowing what for, it has.

use http::Version;
use http::request::Parts;
use http::uri::PathAndQuery;
use witgate_http::http1::field::Names;
use witgate_http::http2;
use witgate_stage::RequestHead;

use crate::envelope::Problem;
use crate::proxy::downstream::Length;
use crate::proxy::origin::{Arrival, Incoming};

/// Checks a head, joins what belongs together, and makes `Host` say what `:authority` does. `limit`: bytes.
///
/// # Errors
/// What is wrong, and the code to answer with.
pub fn check(parts: &mut Parts, limit: usize) -> Result<(), Problem> {
    Ok(http2::settle(&parts.method, &parts.uri, &mut parts.headers, limit)?)
}

/// The request, with a head that was checked. `body`: as the stream tells.
pub fn into_incoming(parts: Parts, body: Length) -> Box<Incoming> {
    let Parts { method, uri, headers, .. } = parts;
    let uri = uri.into_parts();
    let path = uri.path_and_query.unwrap_or_else(|| PathAndQuery::from_static("/"));
    Box::new(Incoming {
        head: RequestHead { method, path, headers },
        arrival: Arrival {
            authority: uri.authority,
            version: Version::HTTP_2,
            names: Names::default(),
            body,
            upgrade: false,
            head_length: None,
        },
    })
}

#[cfg(test)]
mod tests {
    use http::Method;
    use http::header::{COOKIE, HOST, HeaderMap};
    use witgate_http::http1::field::FIELDS_LIMIT;

    use super::*;
    use crate::envelope::Code;

    fn parts(uri: &str, fields: &[(&'static str, &str)]) -> Parts {
        let mut request = http::Request::builder().uri(uri).version(Version::HTTP_2);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn checked(uri: &str, fields: &[(&'static str, &str)]) -> Result<HeaderMap, String> {
        let mut parts = parts(uri, fields);
        check(&mut parts, 64 * 1024).map(|()| parts.headers).map_err(|problem| problem.message)
    }

    #[test]
    fn crumbs_of_a_cookie_are_joined_where_the_first_was() {
        let headers =
            checked("http://a/", &[("cookie", "a=1"), ("x", "y"), ("cookie", "b=2"), ("cookie", "c")]).unwrap();
        assert_eq!(headers.get_all(COOKIE).iter().collect::<Vec<_>>(), ["a=1; b=2; c"]);
        let many: Vec<_> = (0..400).map(|_| ("cookie", "a=1")).collect();
        assert_eq!(checked("http://a/", &many).unwrap().len(), 2, "crumbs are no fields of their own");
    }

    #[test]
    fn host_says_what_authority_does() {
        assert_eq!(checked("http://A.test:81/", &[]).unwrap()[HOST], "A.test:81");
        assert_eq!(checked("/", &[("host", "b")]).unwrap()[HOST], "b");
        for (uri, host) in [
            ("http://a/", "a:80"),
            ("http://a:80/", "A"),
            ("https://a:443/", "a"),
            ("http://[::1]/", "[::1]:80"),
            ("http://a/", "a:"),
        ] {
            assert!(checked(uri, &[("host", host)]).is_ok(), "{uri} {host}");
        }
        for (uri, host) in [
            ("http://a/", "b"),
            ("http://a/", "a:443"),
            ("https://a/", "a:80"),
            ("http://a/", "a:x"),
            ("http://a/", ""),
        ] {
            assert!(checked(uri, &[("host", host)]).unwrap_err().contains("differ"), "{uri} {host}");
        }
        assert!(checked("/", &[]).unwrap_err().contains("neither"));
        assert!(checked("/", &[("host", "")]).unwrap_err().contains("neither"));
        assert!(checked("http://a/", &[("host", "a"), ("host", "a")]).unwrap_err().contains("more than once"));
        assert!(checked("http://u@a/", &[]).unwrap_err().contains("user information"));
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        for (uri, fields, expected) in [
            ("http://a/", &[("content-length", "1"), ("content-length", "1")][..], "more than once"),
            ("http://a/", &[("x", "y ")], "white space"),
            ("http://a/", &[("x", "\ty")], "white space"),
            ("http://a/\u{e4}", &[], "percent-encoded"),
        ] {
            let error = checked(uri, fields).unwrap_err();
            assert!(error.contains(expected), "{uri}: {error}");
        }
        let mut asterisk = parts("*", &[("host", "a")]);
        assert!(check(&mut asterisk, 1024).is_err());
        asterisk.method = Method::OPTIONS;
        assert!(check(&mut asterisk, 1024).is_ok());
        asterisk.method = Method::CONNECT;
        assert_eq!(check(&mut asterisk, 1024).unwrap_err().code, Code::MethodNotAllowed);
    }

    #[test]
    fn heads_have_the_limits_of_http1() {
        let mut small = parts("http://a/", &[("x", &"y".repeat(800))]);
        assert!(check(&mut small, 2048).is_ok());
        let mut large = parts("http://a/", &[("x", &"y".repeat(2000))]);
        assert_eq!(check(&mut large, 2048).unwrap_err().code, Code::HeadTooLarge);
        let mut many = parts("http://a/", &[]);
        for at in 0..FIELDS_LIMIT + 1 {
            many.headers.append("x", at.into());
        }
        assert_eq!(check(&mut many, 64 * 1024).unwrap_err().code, Code::HeadTooLarge);
    }
}
