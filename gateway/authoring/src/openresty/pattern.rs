//! What a case expects of a text: that it is, contains or matches something.

use pcre2::bytes::{Regex, RegexBuilder};

use super::perl::{Unsupported, Value};
use super::text::{Text, from_bytes, to_bytes};

/// Something to look for.
#[derive(Debug, Clone)]
pub enum Pattern {
    /// A part of the text.
    Literal(Text),
    Regex {
        source: Text,
        regex: Regex,
    },
}

impl Pattern {
    /// A text as a part to find, a pattern as one.
    pub fn from_value(value: &Value) -> Result<Self, Unsupported> {
        match value {
            Value::Pattern { pattern, flags } => Self::regex(pattern, flags),
            other => Ok(Self::Literal(other.to_text()?)),
        }
    }

    /// Compiles a pattern of Perl; `flags` are some of `i`, `m`, `s` and `x`.
    pub fn regex(source: &str, flags: &str) -> Result<Self, Unsupported> {
        // The engine takes UTF-8 for the pattern but compares bytes.
        let escaped: String = source
            .chars()
            .map(|c| if c.is_ascii() { c.to_string() } else { format!("\\x{{{:x}}}", u32::from(c)) })
            .collect();
        let has = |flag| flags.contains(flag);
        let regex = RegexBuilder::new()
            .caseless(has('i'))
            .multi_line(has('m'))
            .dotall(has('s'))
            .extended(has('x'))
            .build(&escaped)
            .map_err(|error| Unsupported(format!("the pattern `{source}`: {error}")))?;
        Ok(Self::Regex { source: source.to_owned(), regex })
    }

    /// The part of `text` that it finds.
    pub fn find(&self, text: &str) -> Option<Text> {
        match self {
            Self::Literal(part) => text.contains(part.as_str()).then(|| part.clone()),
            Self::Regex { regex, .. } => {
                let bytes = to_bytes(text);
                let found = regex.find(&bytes).ok().flatten()?;
                Some(from_bytes(found.as_bytes()))
            }
        }
    }

    pub fn is_in(&self, text: &str) -> bool {
        self.find(text).is_some()
    }

    pub fn source(&self) -> &str {
        match self {
            Self::Literal(text) => text,
            Self::Regex { source, .. } => source,
        }
    }
}

/// The patterns of a section such as `error_log`: one on each line of a text, or each item of a list.
pub fn list(value: &Value) -> Result<Vec<Pattern>, Unsupported> {
    match value {
        Value::List(items) => items.iter().filter(|item| **item != Value::Undefined).map(Pattern::from_value).collect(),
        Value::Pattern { .. } => Ok(vec![Pattern::from_value(value)?]),
        other => {
            let text = other.to_text()?;
            Ok(text.split('\n').filter(|line| !line.is_empty()).map(|line| Pattern::Literal(line.to_owned())).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_compare_bytes_as_perl_does() {
        let found = |source, flags, text: &str| Pattern::regex(source, flags).unwrap().find(text);
        assert_eq!(found(r"b(\d+)", "", "ab12c").as_deref(), Some("b12"));
        assert_eq!(found(r"(a)\1", "", "xaa").as_deref(), Some("aa"));
        assert_eq!(found("a.b", "", "a\nb"), None);
        assert_eq!(found("a.b", "s", "a\nb").as_deref(), Some("a\nb"));
        assert_eq!(found("\u{ff}", "", "a\u{ff}").as_deref(), Some("\u{ff}"));
        assert!(Pattern::regex("(", "").is_err());
    }

    #[test]
    fn lists_come_from_lines_or_items() {
        let sources = |value| list(&value).unwrap().iter().map(|p| p.source().to_owned()).collect::<Vec<_>>();
        assert_eq!(sources(Value::text("a b\n\nc\n")), ["a b", "c"]);
        assert_eq!(sources(Value::List(vec![Value::text("a\nb"), Value::Undefined])), ["a\nb"]);
    }
}
