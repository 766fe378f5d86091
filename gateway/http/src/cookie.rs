//! Cookies of HTTP/2, which may come in crumbs.

use http::header::{COOKIE, HeaderMap, HeaderValue};

/// Puts the crumbs of a request that came over HTTP/2 together (RFC 9113, section 8.2.3): whoever reads one field, as
/// servers of HTTP/1 and scripts do, would see one cookie of many.
///
/// Not for requests of HTTP/1, where several fields are the client's own mistake and stay what they are.
pub fn join_crumbs(headers: &mut HeaderMap) {
    let mut crumbs = headers.get_all(COOKIE).iter();
    if crumbs.next().is_none() || crumbs.next().is_none() {
        return;
    }
    let crumbs = || headers.get_all(COOKIE).iter();
    let mut joined = Vec::with_capacity(crumbs().map(|crumb| crumb.len() + 2).sum());
    // An empty one says nothing, and would leave a value that ends with white space.
    for crumb in crumbs().filter(|crumb| !crumb.is_empty()) {
        if !joined.is_empty() {
            joined.extend_from_slice(b"; ");
        }
        joined.extend_from_slice(crumb.as_bytes());
    }
    let sensitive = crumbs().any(HeaderValue::is_sensitive);
    // What values are made of makes a value.
    if let Ok(mut cookie) = HeaderValue::from_bytes(&joined) {
        cookie.set_sensitive(sensitive);
        headers.insert(COOKIE, cookie);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(crumbs: &[&'static str]) -> Vec<String> {
        let mut headers: HeaderMap = crumbs.iter().map(|crumb| (COOKIE, HeaderValue::from_static(crumb))).collect();
        headers.insert("x-other", HeaderValue::from_static("1"));
        join_crumbs(&mut headers);
        headers.get_all(COOKIE).iter().map(|cookie| cookie.to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn crumbs_are_one_cookie_in_their_order() {
        assert_eq!(joined(&[]), [] as [&str; 0]);
        assert_eq!(joined(&["a=1; b=2"]), ["a=1; b=2"]);
        assert_eq!(joined(&["a=1", "b=2", "c=3"]), ["a=1; b=2; c=3"]);
        assert_eq!(joined(&["a=1; b=2", "c=3"]), ["a=1; b=2; c=3"]);
        assert_eq!(joined(&["", "b=2", "", "c=3", ""]), ["b=2; c=3"]);
        assert_eq!(joined(&["", ""]), [""]);
    }

    #[test]
    fn a_cookie_that_must_not_be_indexed_stays_so() {
        let mut secret = HeaderValue::from_static("b=2");
        secret.set_sensitive(true);
        let mut headers = HeaderMap::from_iter([(COOKIE, HeaderValue::from_static("a=1")), (COOKIE, secret)]);
        join_crumbs(&mut headers);
        assert!(headers[COOKIE].is_sensitive());
    }
}
