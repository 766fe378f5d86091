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

    #[test]
    fn names_are_tokens_in_lower_case() {
        assert_eq!("X-User".parse::<HeaderName>().unwrap().as_str(), "x-user");
        for invalid in ["", "a b", "a:b", ":path", "h\u{e4}der", "a\n", "(a)"] {
            let error = invalid.parse::<HeaderName>().unwrap_err().to_string();
            assert!(error.starts_with("expected a header name such as `x-name`, not \""), "{error}");
        }
    }
}
