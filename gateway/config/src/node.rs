//! One value of the file, and how to say that it is wrong.

use toml::de::DeValue;

use crate::source::{Reported, Source};
use crate::{Located, Spot};

/// Characters of a wrong value that a message repeats.
const ECHO_LIMIT: usize = 40;

/// A value where it stands.
pub(crate) struct Node<'a> {
    pub(crate) source: &'a Source<'a>,
    pub(crate) value: &'a DeValue<'a>,
    pub(crate) offset: usize,
    pub(crate) path: String,
}

impl<'a> Node<'a> {
    pub(crate) fn spot(&self) -> Spot {
        self.source.spot(Some(self.offset), &self.path)
    }

    pub(crate) fn locate<T>(&self, value: T) -> Located<T> {
        Located { value, spot: self.spot() }
    }

    /// The string, if it is one.
    pub(crate) fn text(&self) -> Option<&'a str> {
        self.value.as_str()
    }

    /// "expected `expected`, got …": the value is of the wrong type, form or size.
    pub(crate) fn wrong(&self, expected: &str, help: impl Into<String>) -> Reported {
        self.fail(format!("expected {expected}, got {}", describe(self.value)), help)
    }

    pub(crate) fn fail(&self, message: impl Into<String>, help: impl Into<String>) -> Reported {
        self.source.report(&self.spot(), message, help)
    }
}

/// A value in a few words that are safe to print.
pub(crate) fn describe(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => quote(text),
        DeValue::Integer(number) => format!("the integer {}", cut(&number.to_string())),
        DeValue::Float(number) => format!("the float {}", cut(number.as_str())),
        DeValue::Boolean(value) => value.to_string(),
        DeValue::Datetime(time) => format!("the date-time {time}"),
        DeValue::Array(items) => format!("an array of {}", items.len()),
        DeValue::Table(_) => "a table".into(),
    }
}

/// The text between quotes, shortened, without control characters.
pub(crate) fn quote(text: &str) -> String {
    format!("\"{}\"", cut(text).escape_debug().collect::<String>().replace("\\'", "'"))
}

fn cut(text: &str) -> String {
    let mut short: String = text.chars().take(ECHO_LIMIT).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

/// A key as a part of a dotted path: bare if it can be.
pub(crate) fn path_part(key: &str) -> String {
    let bare = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if bare && key.len() <= ECHO_LIMIT * 2 { key.into() } else { quote(key) }
}

/// The path of a key of the table at `parent`.
pub(crate) fn join(parent: &str, key: &str) -> String {
    if parent.is_empty() { path_part(key) } else { format!("{parent}.{}", path_part(key)) }
}
