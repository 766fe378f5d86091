//! Names of header fields.

use std::fmt;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error as _};

/// The name of a header field, in lower case: for configurations, where a name that no header can have is an error.
///
/// ```
/// use witgate_sdk::HeaderName;
///
/// let name: HeaderName = "X-User".parse()?;
/// assert_eq!(name.as_str(), "x-user");
/// assert!("x user".parse::<HeaderName>().is_err());
/// # Ok::<(), witgate_sdk::InvalidHeaderName>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HeaderName(String);

impl HeaderName {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the field of a request is the gateway's: it frames the message, or the gateway tells the upstream by it where
    /// the request came from. No plugin can set or remove it; one that is configured to should say so when it is
    /// configured.
    ///
    /// ```
    /// use witgate_sdk::HeaderName;
    ///
    /// assert!("X-Forwarded-For".parse::<HeaderName>()?.is_owned_in_requests());
    /// assert!(!"X-Real-Ip".parse::<HeaderName>()?.is_owned_in_requests());
    /// # Ok::<(), witgate_sdk::InvalidHeaderName>(())
    /// ```
    pub fn is_owned_in_requests(&self) -> bool {
        is_owned_in_requests(&self.0)
    }
}

/// Fields of any message that belong to the gateway.
const FRAMING: [&str; 11] = [
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

/// Fields of a request that belong to the gateway as well.
const VOUCHED: [&str; 6] = ["forwarded", "host", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"];

/// Of a name in lower case.
pub(crate) fn is_framing(name: &str) -> bool {
    is_one_of(name, &FRAMING)
}

/// Of a name in lower case.
pub(crate) fn is_owned_in_requests(name: &str) -> bool {
    is_framing(name) || is_one_of(name, &VOUCHED)
}

/// Hyphens and underscores are the same: there are upstreams that see no difference.
fn is_one_of(name: &str, list: &[&str]) -> bool {
    let same = |(byte, known): (u8, u8)| byte == known || (byte == b'_' && known == b'-');
    list.iter().any(|known| known.len() == name.len() && name.bytes().zip(known.bytes()).all(same))
}

impl AsRef<str> for HeaderName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HeaderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for HeaderName {
    type Err = InvalidHeaderName;

    fn from_str(text: &str) -> Result<Self, InvalidHeaderName> {
        if is_token(text) { Ok(Self(text.to_ascii_lowercase())) } else { Err(InvalidHeaderName(text.to_owned())) }
    }
}

impl<'de> Deserialize<'de> for HeaderName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// `token` of RFC 9110, section 5.6.2.
pub(crate) fn is_token(text: &str) -> bool {
    let is_token_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_token_byte)
}

/// A text that cannot be the name of a header field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidHeaderName(String);

impl fmt::Display for InvalidHeaderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected a header name such as `x-name`, not {:?}", self.0)
    }
}

impl std::error::Error for InvalidHeaderName {}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the host has its table. The SDK must not link the gateway, and must not drift from it.
    const HOST: &str = include_str!("../../gateway/http/src/owned.rs");

    /// The names in a list of the host's source.
    fn host_list(constant: &str) -> Vec<&'static str> {
        let (_, rest) = HOST.split_once(&format!("pub const {constant}: [&str; ")).unwrap();
        let (list, _) = rest.split_once("];").unwrap();
        list.split('"').skip(1).step_by(2).collect()
    }

    #[test]
    fn the_fields_of_the_gateway_are_those_of_the_host() {
        assert_eq!(host_list("FRAMING"), FRAMING);
        assert_eq!(host_list("VOUCHED"), VOUCHED);
        for name in FRAMING.into_iter().chain(VOUCHED) {
            assert!(is_owned_in_requests(name) && is_owned_in_requests(&name.replace('-', "_")), "{name}");
        }
        assert!(!is_framing("host") && !is_owned_in_requests("x-real-ip"));
    }

    #[test]
    fn names_are_tokens_in_lower_case() {
        assert_eq!("X-User".parse::<HeaderName>().unwrap().as_str(), "x-user");
        for invalid in ["", "a b", "a:b", ":path", "h\u{e4}der", "a\n", "(a)"] {
            let error = invalid.parse::<HeaderName>().unwrap_err().to_string();
            assert!(error.starts_with("expected a header name such as `x-name`, not \""), "{error}");
        }
    }
}
