//! Who a request is for. The target (absolute form, or `:authority`) and the field `Host` both may say it; what follows
//! has to see one answer, in one place: the field.

use http::header::{HOST, HeaderMap, HeaderValue};
use http::uri::Authority;

use crate::host::{host_of, port_of};

/// How a request's target was meant to be reached; it decides which port goes without saying.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    Http,
    Https,
}

impl Scheme {
    /// None: it is another one, for which nothing goes without saying.
    pub fn of(name: &str) -> Option<Self> {
        if name.eq_ignore_ascii_case("http") {
            Some(Self::Http)
        } else if name.eq_ignore_ascii_case("https") {
            Some(Self::Https)
        } else {
            None
        }
    }

    /// RFC 9110, sections 4.2.1 and 4.2.2.
    pub fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// Why nobody can tell who a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AuthorityError {
    #[error("Host is given more than once")]
    Repeated,
    #[error("the host is not a host name with an optional port")]
    Malformed,
    #[error("the request's target holds user information")]
    User,
    #[error("Host and the request's target name different hosts")]
    Differs,
}

/// Puts what the target says into `Host`: whoever reads that field sees the same, whichever version the client speaks.
/// A target with an authority replaces the field (RFC 9112, section 3.2.2; RFC 9113, section 8.3.1).
///
/// # Errors
/// The two name different hosts, or there are several. A recipient may take either then, so the request is nobody's.
pub fn settle(
    headers: &mut HeaderMap,
    authority: Option<&Authority>,
    scheme: Option<Scheme>,
) -> Result<(), AuthorityError> {
    let mut fields = headers.get_all(HOST).iter();
    let field = fields.next();
    if fields.next().is_some() {
        return Err(AuthorityError::Repeated);
    }
    let field = match field.map(|field| (is_host(field.as_bytes()), field.to_str())) {
        None => None,
        Some((true, Ok(field))) => Some(field),
        Some(_) => return Err(AuthorityError::Malformed),
    };
    let Some(authority) = authority.map(Authority::as_str) else { return Ok(()) };
    // RFC 9110, section 4.2.4: it is there to make one host look like another.
    if authority.contains('@') {
        return Err(AuthorityError::User);
    }
    match field {
        Some(field) if field == authority => return Ok(()),
        Some(field) if !is_same(authority, field, scheme) => return Err(AuthorityError::Differs),
        _ => {}
    }
    let host = HeaderValue::from_str(authority).ok().filter(|host| is_host(host.as_bytes()));
    headers.insert(HOST, host.ok_or(AuthorityError::Malformed)?);
    Ok(())
}

/// Bytes of `uri-host [ ":" port ]` (RFC 9110, section 7.2); empty is allowed and means none.
pub fn is_host(value: &[u8]) -> bool {
    value.iter().all(|byte| {
        matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'A'..=b'Z' | b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'&' | b'\'')
            || matches!(byte, b'(' | b')' | b'*' | b'+' | b';' | b'=' | b'%' | b':' | b'[' | b']')
    })
}

/// Whether two authorities are one: the case of letters, a dot at the end and a port that goes without saying make no
/// difference (RFC 9110, section 4.2.3).
pub fn is_same(one: &str, other: &str, scheme: Option<Scheme>) -> bool {
    if one.eq_ignore_ascii_case(other) {
        return true;
    }
    let parts = |authority: &str| {
        let host = host_of(authority).ok()?.into_owned();
        Some((host, port_of(authority).or(scheme.map(Scheme::default_port))))
    };
    parts(one).is_some_and(|one| parts(other) == Some(one))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(authority: Option<&'static str>, hosts: &[&'static str]) -> Result<Option<String>, AuthorityError> {
        let mut headers: HeaderMap = hosts.iter().map(|host| (HOST, HeaderValue::from_static(host))).collect();
        let authority = authority.map(Authority::from_static);
        settle(&mut headers, authority.as_ref(), Some(Scheme::Http))?;
        Ok(headers.get(HOST).map(|host| host.to_str().unwrap().to_owned()))
    }

    #[test]
    fn the_target_is_what_the_field_says_afterwards() {
        for (authority, hosts, host) in [
            (None, &[][..], None),
            (None, &["Shop.test:8080"], Some("Shop.test:8080")),
            (Some("shop.test"), &[], Some("shop.test")),
            (Some("shop.test"), &["shop.test"], Some("shop.test")),
            (Some("shop.test:80"), &["SHOP.test"], Some("shop.test:80")),
        ] {
            assert_eq!(settled(authority, hosts), Ok(host.map(str::to_owned)), "{authority:?} {hosts:?}");
        }
    }

    #[test]
    fn hosts_that_differ_or_repeat_are_refused() {
        for (authority, hosts, error) in [
            (Some("a.test"), &["b.test"][..], AuthorityError::Differs),
            (Some("a.test"), &[""], AuthorityError::Differs),
            (Some("a.test"), &["a.test:8080"], AuthorityError::Differs),
            (Some("a.test"), &["a.test:443"], AuthorityError::Differs),
            (Some("u@a.test"), &["a.test"], AuthorityError::User),
            (Some("u@a.test"), &[], AuthorityError::User),
            (Some("a,b"), &[], AuthorityError::Malformed),
            (None, &["a, b"], AuthorityError::Malformed),
            (Some("a.test"), &["u@a.test"], AuthorityError::Malformed),
            (Some("a.test"), &["a.test", "a.test"], AuthorityError::Repeated),
            (None, &["a.test", "a.test"], AuthorityError::Repeated),
        ] {
            assert_eq!(settled(authority, hosts), Err(error), "{authority:?} {hosts:?}");
        }
    }

    #[test]
    fn one_authority_can_be_written_in_several_ways() {
        let (http, https) = (Some(Scheme::Http), Some(Scheme::Https));
        for (one, other, scheme) in [
            ("a.test", "A.Test", http),
            ("a.test:80", "a.test", http),
            ("a.test", "a.test:", http),
            ("a.test:443", "A.test", https),
            ("a.test.", "a.test", http),
            ("[::1]:80", "[0:0::1]", http),
            ("a.test:8080", "a.test.:8080", None),
            ("a.test:080", "a.test", http),
        ] {
            assert!(is_same(one, other, scheme) && is_same(other, one, scheme), "{one} {other}");
        }
        for (one, other, scheme) in [
            ("a.test:443", "a.test", http),
            ("a.test:80", "a.test", https),
            ("a.test:80", "a.test", None),
            ("a.test:81", "a.test:82", http),
            ("[::1]", "[::2]", http),
        ] {
            assert!(!is_same(one, other, scheme) && !is_same(other, one, scheme), "{one} {other}");
        }
    }
}
