//! What is known of a request, and the texts in it.

use http::{HeaderMap, HeaderName};

/// Bytes of a part that features look at; what follows is cut off. Heads are rarely longer, and the time for a request
/// must not grow with what a client sends.
pub const PART_LIMIT: usize = 8 * 1024;

/// Most rounds of percent-decoding. Attackers encode twice; three times works on nobody.
pub(super) const DECODE_LIMIT: u8 = 2;

/// What is known of a request when features are extracted from it.
#[derive(Debug, Clone, Copy)]
pub struct Observation<'a> {
    /// As it came: `GET`.
    pub method: &'a str,
    /// Path and query: up to the first `?` is the path.
    pub target: &'a [u8],
    pub headers: &'a HeaderMap,
    /// Empty unless [`super::FeatureSet::needs_body`].
    pub body: &'a [u8],
    /// How many requests of the client were counted lately; none: they are not counted.
    pub rate: Option<f64>,
    /// Seconds since 1970-01-01T00:00:00Z.
    pub time: i64,
    /// Of the response, once there is one.
    pub status: Option<u16>,
}

/// A part of a request, as bytes. One that is missing is empty.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Part {
    Path,
    /// What follows the first `?`.
    Query,
    PathAndQuery,
    /// The values of all fields of that name, joined by `, ` (RFC 9110, section 5.3); of `cookie` by `; ` (RFC 9113,
    /// section 8.2.3).
    Header(HeaderName),
    Body,
}

impl Part {
    /// As in the configuration.
    pub(super) fn label(&self) -> String {
        match self {
            Self::Path => "path".into(),
            Self::Query => "query".into(),
            Self::PathAndQuery => "path-and-query".into(),
            Self::Header(name) => format!("header:{name}"),
            Self::Body => "body".into(),
        }
    }

    /// Whether the request has it; a path it always has.
    pub(super) fn is_present(&self, observation: &Observation<'_>) -> bool {
        match self {
            Self::Path | Self::PathAndQuery => true,
            Self::Query => observation.target.contains(&b'?'),
            Self::Header(name) => observation.headers.contains_key(name),
            Self::Body => !observation.body.is_empty(),
        }
    }

    /// The first [`PART_LIMIT`] bytes.
    pub(super) fn bytes<'a>(&self, observation: &Observation<'a>, joined: &'a mut Vec<u8>) -> &'a [u8] {
        let target = observation.target;
        let bytes = match self {
            Self::Path => target.split(|byte| *byte == b'?').next().unwrap_or_default(),
            Self::Query => {
                let query = target.iter().position(|byte| *byte == b'?').and_then(|at| target.get(at + 1..));
                query.unwrap_or_default()
            }
            Self::PathAndQuery => target,
            Self::Header(name) => header(observation.headers, name, joined),
            Self::Body => observation.body,
        };
        bytes.get(..PART_LIMIT).unwrap_or(bytes)
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &HeaderName, joined: &'a mut Vec<u8>) -> &'a [u8] {
    let mut values = headers.get_all(name).iter();
    let Some(first) = values.next() else { return &[] };
    let Some(second) = values.next() else { return first.as_bytes() };
    let separator: &[u8] = if name == http::header::COOKIE { b"; " } else { b", " };
    joined.clear();
    joined.extend_from_slice(first.as_bytes());
    for value in std::iter::once(second).chain(values) {
        if joined.len() > PART_LIMIT {
            break;
        }
        joined.extend_from_slice(separator);
        joined.extend_from_slice(value.as_bytes());
    }
    joined
}

/// A part, and what is done to it before it is looked at: it is cut off, then decoded, then put into lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Text {
    pub part: Part,
    /// Rounds of percent-decoding, at most 2. What is no `%` with two hexadecimal digits stays, and so does `+`.
    pub decode: u8,
    /// ASCII letters only.
    pub lower: bool,
}

impl Text {
    /// A part as it is.
    pub fn of(part: Part) -> Self {
        Self { part, decode: 0, lower: false }
    }

    pub(super) fn label(&self) -> String {
        let mut label = self.part.label();
        if self.decode > 0 {
            label += &format!(", decode={}", self.decode);
        }
        if self.lower {
            label += ", lower";
        }
        label
    }

    /// The bytes, in one of the buffers if they had to be changed.
    pub(super) fn bytes<'a>(&self, observation: &Observation<'a>, buffers: &'a mut Buffers) -> &'a [u8] {
        let Buffers { joined, decoded, changed } = buffers;
        let raw = self.part.bytes(observation, joined);
        let rounds = if raw.contains(&b'%') { self.decode.min(DECODE_LIMIT) } else { 0 };
        let lower = self.lower && raw.iter().any(u8::is_ascii_uppercase);
        if rounds == 0 && !lower {
            return raw;
        }
        changed.clear();
        changed.extend_from_slice(raw);
        for _ in 0..rounds {
            percent_decode(changed, decoded);
            std::mem::swap(changed, decoded);
        }
        if self.lower {
            changed.make_ascii_lowercase();
        }
        changed
    }
}

/// Room for texts, kept from request to request.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    joined: Vec<u8>,
    decoded: Vec<u8>,
    changed: Vec<u8>,
}

impl Buffers {
    /// Where the values of a header's fields are put together.
    pub(super) fn joined(&mut self) -> &mut Vec<u8> {
        &mut self.joined
    }
}

fn percent_decode(mut bytes: &[u8], decoded: &mut Vec<u8>) {
    decoded.clear();
    while let Some((first, rest)) = bytes.split_first() {
        bytes = rest;
        match escaped(*first, rest) {
            Some((byte, rest)) => {
                decoded.push(byte);
                bytes = rest;
            }
            None => decoded.push(*first),
        }
    }
}

/// The byte that a percent escape stands for, and what follows it.
pub(super) fn escaped(first: u8, rest: &[u8]) -> Option<(u8, &[u8])> {
    let (b'%', [high, low, rest @ ..]) = (first, rest) else { return None };
    Some((hexadecimal(*high)? << 4 | hexadecimal(*low)?, rest))
}

pub(super) fn hexadecimal(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}
