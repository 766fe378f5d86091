//! Values of a cases file that TOML has no kind for.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, de::value::MapAccessDeserializer};

use crate::{CommandError, units};

/// Bytes: `"text"`, `{ base64 = "…" }` or `{ file = "…" }`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    Text(String),
    Bytes(Vec<u8>),
    /// Below the folder of the cases file.
    File(PathBuf),
}

impl Content {
    pub(crate) fn load(&self, folder: &Path) -> Result<Bytes, CommandError> {
        match self {
            Self::Text(text) => Ok(Bytes::copy_from_slice(text.as_bytes())),
            Self::Bytes(bytes) => Ok(Bytes::copy_from_slice(bytes)),
            Self::File(name) => {
                let path = folder.join(name);
                let read = std::fs::read(&path);
                read.map(Bytes::from).map_err(|source| CommandError::Read { what: "file", path, source })
            }
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Elsewhere {
    base64: Option<String>,
    file: Option<PathBuf>,
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Content;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, { base64 = \"…\" } or { file = \"…\" }")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Content, E> {
                Ok(Content::Text(text.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Content, A::Error> {
                match Elsewhere::deserialize(MapAccessDeserializer::new(map))? {
                    Elsewhere { base64: Some(text), file: None } => {
                        let bytes = STANDARD.decode(&text);
                        bytes.map(Content::Bytes).map_err(|error| de::Error::custom(format!("base64: {error}")))
                    }
                    Elsewhere { base64: None, file: Some(path) } => Ok(Content::File(path)),
                    _ => Err(de::Error::custom("expected one of `base64` and `file`")),
                }
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

/// A field's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FieldName(pub(crate) HeaderName);

impl<'de> Deserialize<'de> for FieldName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let name = HeaderName::try_from(text.as_str());
        name.map(Self).map_err(|_| de::Error::custom(format!("expected the name of a header field, got {text:?}")))
    }
}

/// Header fields: a table of names with a value, or a list of values, each.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fields(pub(crate) Vec<(HeaderName, Vec<String>)>);

/// One value or several.
struct Values(Vec<String>);

impl<'de> Deserialize<'de> for Values {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Vec<String>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a field's value or a list of them")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Vec<String>, E> {
                Ok(vec![text.to_owned()])
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<String>, A::Error> {
                let mut values = Vec::new();
                while let Some(value) = seq.next_element()? {
                    values.push(value);
                }
                Ok(values)
            }
        }
        let values = deserializer.deserialize_any(Reader)?;
        match values.iter().find(|value| HeaderValue::try_from(value.as_str()).is_err()) {
            Some(value) => {
                Err(de::Error::custom(format!("expected a field's value without control characters, got {value:?}")))
            }
            None => Ok(Self(values)),
        }
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table of header fields, such as { x-key = \"value\" }")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some(FieldName(name)) = map.next_key()? {
                    let Values(values) = map.next_value()?;
                    fields.push((name, values));
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

/// The one of `all` that goes by this label.
pub(crate) fn labelled<'de, T: Copy, D: Deserializer<'de>>(
    deserializer: D,
    all: &[T],
    label: impl Fn(&T) -> &'static str,
) -> Result<T, D::Error> {
    let text = String::deserialize(deserializer)?;
    all.iter().copied().find(|one| label(one) == text).ok_or_else(|| {
        let labels: Vec<_> = all.iter().map(|one| format!("\"{}\"", label(one))).collect();
        de::Error::custom(format!("expected one of {}, got {text:?}", labels.join(", ")))
    })
}

/// A time of day, since 1970: `"2026-01-01T00:00:00Z"`, the same without quotes, or milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment(pub(crate) Duration);

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = toml::Value::deserialize(deserializer)?;
        let moment = match &value {
            toml::Value::Integer(millis) => u64::try_from(*millis).ok().map(Duration::from_millis),
            toml::Value::Datetime(datetime) => units::since_epoch(datetime),
            toml::Value::String(text) => text.parse().ok().and_then(|datetime| units::since_epoch(&datetime)),
            _ => None,
        };
        moment.map(Self).ok_or_else(|| {
            de::Error::custom(format!(
                "expected a time from 1970 on, such as \"2026-01-01T00:00:00Z\", or its milliseconds, got {value}"
            ))
        })
    }
}

/// Reads a value from a string by one of [`units`]' functions.
macro_rules! from_text {
    ($(#[$doc:meta])* $name:ident($value:ty), $parse:path) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy)]
        pub(crate) struct $name(pub(crate) $value);

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                $parse(&text).map(Self).map_err(de::Error::custom)
            }
        }
    };
}

from_text!(
    /// A time, such as `"10ms"`.
    Time(Duration), units::parse_time
);
from_text!(
    /// A size, such as `"16MiB"`.
    Size(usize), units::parse_size
);
from_text!(
    /// Tokens and the period in which they come, such as `"5/s"`.
    Rate((u32, Duration)), units::parse_rate
);
