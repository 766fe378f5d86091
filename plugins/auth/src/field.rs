//! Names and values of header fields.

use std::fmt;

use witgate_sdk::{ConfigError, HeaderName};

/// Most hyphens and underscores in a name that has to be looked for in every spelling, of which each doubles the number.
const JOINTS_LIMIT: usize = 6;

/// The name of a header field that plugins may change, in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldName(HeaderName);

impl FieldName {
    /// `key` is the configuration's key that the name comes from.
    ///
    /// A field that the gateway lets no plugin change is refused: this one could neither strip nor set it. Told here as
    /// well, because an operator wants to hear of it from `witgate check` and not from the first request.
    pub fn parse(key: &str, name: &str) -> Result<Self, ConfigError> {
        let name: HeaderName = name.parse().map_err(|error| format!("{key}: {error}"))?;
        if name.is_owned_in_requests() {
            return Err(format!("{key}: `{name}` belongs to the gateway: choose another header").into());
        }
        Ok(Self(name))
    }

    /// The name of a field in which the upstream reads what was verified. `key` as for [`Self::parse`].
    pub fn parse_trusted(key: &str, name: &str) -> Result<Self, ConfigError> {
        let parsed = Self::parse(key, name)?;
        let joints = parsed.as_str().bytes().filter(|byte| is_joint(*byte)).count();
        if joints > JOINTS_LIMIT {
            return Err(format!(
                "{key}: expected at most {JOINTS_LIMIT} hyphens and underscores, got {joints} in `{parsed}`: clients may send the \
                 name with either, and each spelling is looked for; choose a shorter header"
            )
            .into());
        }
        Ok(parsed)
    }

    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The names, but for this one, that are the same to an upstream which makes variables of fields as CGI does (RFC 3875,
    /// section 4.1.18): hyphens become underscores there.
    pub fn other_spellings(&self) -> Vec<String> {
        let mut spellings = vec![String::new()];
        for letter in self.as_str().chars() {
            let flipped = match letter {
                '-' => Some('_'),
                '_' => Some('-'),
                _ => None,
            };
            let others =
                flipped.map(|flipped| spellings.iter().map(|spelling| format!("{spelling}{flipped}")).collect());
            spellings.iter_mut().for_each(|spelling| spelling.push(letter));
            spellings.extend(others.unwrap_or(Vec::new()));
        }
        // The first is as it was.
        spellings.split_off(1)
    }

    /// Whether an upstream may take the one for the other.
    fn is_same(&self, other: &Self) -> bool {
        let spelled = |name: &Self| name.as_str().replace('_', "-");
        spelled(self) == spelled(other)
    }
}

fn is_joint(byte: u8) -> bool {
    matches!(byte, b'-' | b'_')
}

impl fmt::Display for FieldName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Checks that no two keys of the configuration name the same header, in whatever spelling: one of them would overwrite the
/// other, or be removed for it.
pub fn check_distinct(fields: &[(String, &FieldName)]) -> Result<(), ConfigError> {
    for (at, (key, name)) in fields.iter().enumerate() {
        if let Some((other, earlier)) = fields.iter().take(at).find(|(_, earlier)| earlier.is_same(name)) {
            let as_spelled = if earlier == name { String::new() } else { format!(", as `{earlier}`") };
            let problem = format!("{key}: `{name}` is already the header of `{other}`{as_spelled}: choose another one");
            return Err(problem.into());
        }
    }
    Ok(())
}

/// Whether a text arrives at the upstream as it is. Control characters are not allowed (RFC 9110, section 5.5), and spaces
/// at the ends would be lost: " alice" must not become "alice".
pub fn is_field_value(text: &str) -> bool {
    !text.bytes().any(|byte| byte < b' ' || byte == 0x7f) && !text.starts_with(' ') && !text.ends_with(' ')
}

/// Whether a text can be an identity: an upstream may take an empty header for none.
pub fn is_identity(text: &str) -> bool {
    !text.is_empty() && is_field_value(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_tokens_and_their_case_does_not_count() {
        assert_eq!(FieldName::parse("k", "X-Consumer").unwrap(), FieldName::parse("k", "x-consumer").unwrap());
        for name in ["", "x consumer", "x:y", ":path", "x\r\ny", "h\u{e4}der"] {
            let error = FieldName::parse("identity_header", name).unwrap_err().to_string();
            assert!(error.starts_with("identity_header: expected a header name"), "{error}");
        }
    }

    #[test]
    fn fields_of_the_gateway_are_refused_in_any_case() {
        for name in
            ["host", "via", "forwarded", "x-forwarded-for", "content-length", "x-request-id", "x_forwarded_proto"]
        {
            let error = FieldName::parse("jwt.header", &name.to_ascii_uppercase()).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains("belongs to the gateway"), "{error}");
        }
    }

    #[test]
    fn a_name_has_every_spelling_with_hyphens_and_underscores() {
        let spellings = |name| FieldName::parse_trusted("k", name).unwrap().other_spellings();
        assert_eq!(spellings("consumer"), Vec::<String>::new());
        assert_eq!(spellings("X-Consumer"), ["x_consumer"]);
        assert_eq!(spellings("x_user-id"), ["x-user-id", "x_user_id", "x-user_id"]);
        assert_eq!(spellings("a-b-c-d-e-f-g").len(), 63);
        let error = FieldName::parse_trusted("identity_header", "a-b-c-d_e-f-g-h").unwrap_err().to_string();
        assert!(error.starts_with("identity_header: expected at most 6 hyphens and underscores, got 7"), "{error}");
    }

    #[test]
    fn values_that_would_change_on_their_way_are_told_apart() {
        for value in ["alice", "a b", "j\u{fc}rgen", "https://issuer.example/u?x=1,2"] {
            assert!(is_identity(value), "{value:?}");
        }
        for value in ["a\r\nx: y", "a\n", "a\0", "a\tb", "\u{7f}", " a", "a ", " "] {
            assert!(!is_field_value(value) && !is_identity(value), "{value:?}");
        }
        assert!(is_field_value("") && !is_identity(""));
    }
}
