//! Values of features: parts of requests, words, characters, pointers.

use toml::de::DeValue;

use super::Kind;
use crate::FeaturePart;
use crate::nearest::did_you_mean;
use crate::node::Node;
use crate::source::Read;

/// Characters of a header's name; registered ones have at most 45.
const NAME_LIMIT: usize = 64;
/// Bytes of a word: longer values of headers are not told apart by being listed.
const WORD_LIMIT: usize = 256;
/// Bytes of a pointer.
const POINTER_LIMIT: usize = 1024;

const PARTS: [&str; 6] = ["path", "query", "path-and-query", "cookie", "body", "header:NAME"];

/// A part of a request.
pub(crate) struct PartName;

impl Kind for PartName {
    type Value = FeaturePart;

    fn expected(&self) -> String {
        let parts: Vec<_> = PARTS.iter().map(|part| format!("\"{part}\"")).collect();
        format!("a part of requests, one of {}", parts.join(", "))
    }

    fn read(&self, node: &Node<'_>) -> Read<FeaturePart> {
        let text = node.text().unwrap_or_default();
        if let Some(name) = text.strip_prefix("header:") {
            return header(node, name);
        }
        match text {
            "path" => Ok(FeaturePart::Path),
            "query" => Ok(FeaturePart::Query),
            "path-and-query" => Ok(FeaturePart::PathAndQuery),
            "cookie" => Ok(FeaturePart::Header("cookie".into())),
            "body" => Ok(FeaturePart::Body),
            _ => {
                let advise = || "for a header, write \"header:NAME\", such as \"header:user-agent\"".into();
                Err(node.wrong(&self.expected(), did_you_mean(text, PARTS, advise)))
            }
        }
    }
}

fn header(node: &Node<'_>, name: &str) -> Read<FeaturePart> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if !(1..=NAME_LIMIT).contains(&name.len()) || !name.bytes().all(is_token) {
        let expected = format!("\"header:NAME\" with a name of 1 to {NAME_LIMIT} characters");
        return Err(node.wrong(&expected, "write a header's name, such as \"header:user-agent\""));
    }
    let lower = name.to_ascii_lowercase();
    if lower != name {
        return Err(node.wrong("a header's name in lower case", format!("write \"header:{lower}\"")));
    }
    Ok(FeaturePart::Header(lower))
}

/// A short text.
pub(crate) struct Word;

impl Kind for Word {
    type Value = String;

    fn expected(&self) -> String {
        format!("a string of at most {WORD_LIMIT} bytes")
    }

    fn read(&self, node: &Node<'_>) -> Read<String> {
        let text = node.text().filter(|text| text.len() <= WORD_LIMIT);
        text.map(str::to_owned).ok_or_else(|| node.wrong(&self.expected(), "write a shorter word in quotes"))
    }
}

/// ASCII characters, each of which counts.
pub(crate) struct Characters;

impl Kind for Characters {
    type Value = String;

    fn expected(&self) -> String {
        "a string of 1 to 128 ASCII characters".into()
    }

    fn read(&self, node: &Node<'_>) -> Read<String> {
        let text = node.text().filter(|text| (1..=128).contains(&text.len()) && text.is_ascii());
        let help = "write characters in quotes, such as \"/&\": each of them counts by itself";
        text.map(str::to_owned).ok_or_else(|| node.wrong(&self.expected(), help))
    }
}

/// A JSON pointer (RFC 6901).
pub(crate) struct Pointer;

impl Kind for Pointer {
    type Value = String;

    fn expected(&self) -> String {
        "a JSON pointer (RFC 6901) such as \"/user/age\"".into()
    }

    fn read(&self, node: &Node<'_>) -> Read<String> {
        let Some(text) = node.text().filter(|text| text.len() <= POINTER_LIMIT) else {
            return Err(node.wrong(&self.expected(), "write the names on the way to the field, each after a slash"));
        };
        if !text.is_empty() && !text.starts_with('/') {
            return Err(node.wrong(&self.expected(), "start it with a slash; \"\" is the whole body"));
        }
        if text.split('~').skip(1).any(|after| !after.starts_with(['0', '1'])) {
            return Err(node.wrong(&self.expected(), "write `~0` for a tilde, and `~1` for a slash in a name"));
        }
        Ok(text.into())
    }
}

/// A number, whole or not, between a billion and its negative.
pub(crate) struct Decimal;

/// Far beyond any measure, and far from where doubles end.
const DECIMAL_LIMIT: f64 = 1e9;

impl Kind for Decimal {
    type Value = f64;

    fn expected(&self) -> String {
        "a number from -1000000000 to 1000000000".into()
    }

    fn read(&self, node: &Node<'_>) -> Read<f64> {
        let number = match node.value {
            DeValue::Integer(number) => {
                i64::from_str_radix(number.as_str(), number.radix()).ok().map(|number| number as f64)
            }
            DeValue::Float(number) => number.as_str().parse::<f64>().ok(),
            _ => None,
        };
        let number = number.filter(|number| number.abs() <= DECIMAL_LIMIT);
        number.ok_or_else(|| node.wrong(&self.expected(), "write a number without quotes, such as 0.5"))
    }
}

/// A number that can be multiplied with.
pub(crate) struct Factor;

impl Kind for Factor {
    type Value = f64;

    fn expected(&self) -> String {
        format!("{}, but not 0", Decimal.expected())
    }

    fn read(&self, node: &Node<'_>) -> Read<f64> {
        let number = Decimal.read(node)?;
        if number == 0.0 { Err(node.wrong(&self.expected(), "leave the feature out instead")) } else { Ok(number) }
    }
}

/// The least and the greatest of something.
pub(crate) struct Bounds;

impl Kind for Bounds {
    type Value = (f64, f64);

    fn expected(&self) -> String {
        "an array of two numbers, the smaller one first".into()
    }

    fn read(&self, node: &Node<'_>) -> Read<(f64, f64)> {
        let advise = "write two numbers, such as [0, 1000]";
        let DeValue::Array(items) = node.value else { return Err(node.wrong(&self.expected(), advise)) };
        if items.len() != 2 {
            return Err(node.wrong(&self.expected(), advise));
        }
        let bounds = super::List { kind: Decimal, least: 2, most: 2 }.read(node)?;
        match bounds[..] {
            [least, most] if least < most => Ok((least, most)),
            _ => Err(node.fail(format!("expected {}, got the greater or the same first", self.expected()), advise)),
        }
    }
}
