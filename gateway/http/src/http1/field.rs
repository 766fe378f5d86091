//! Field lines, in heads and in trailers (RFC 9112, section 5).

use http::header::{CONNECTION, HeaderMap, HeaderName, HeaderValue};

/// Most field lines in a head. Real messages have 10 to 40; each costs memory in every hop behind us.
pub const FIELDS_LIMIT: usize = 128;

/// What is wrong with a field line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    #[error("a field is folded over several lines")]
    Folded,
    #[error("a field line has no colon")]
    NoColon,
    #[error("a field name is not a token")]
    Name,
    #[error("a field value holds a control character")]
    Value,
}

/// A line without its end, as name and trimmed value.
///
/// # Errors
/// The line is no field line.
pub fn split(line: &[u8]) -> Result<(&[u8], &[u8]), FieldError> {
    parts(line, |name| name)
}

/// As [`split`], for messages of upstreams: white space before the colon is taken away (RFC 9112, section 5.1).
///
/// # Errors
/// The line is no field line.
pub fn split_lenient(line: &[u8]) -> Result<(&[u8], &[u8]), FieldError> {
    parts(line, |name| match name {
        [.., b' ' | b'\t'] => name.trim_ascii_end(),
        _ => name,
    })
}

fn parts(line: &[u8], trimmed: impl Fn(&[u8]) -> &[u8]) -> Result<(&[u8], &[u8]), FieldError> {
    if matches!(line.first(), Some(b' ' | b'\t')) {
        return Err(FieldError::Folded);
    }
    let colon = memchr::memchr(b':', line).ok_or(FieldError::NoColon)?;
    let (name, value) = (line.get(..colon).unwrap_or_default(), line.get(colon + 1..).unwrap_or_default());
    let name = trimmed(name);
    if name.is_empty() || !name.iter().all(|byte| is_token(*byte)) {
        return Err(FieldError::Name);
    }
    Ok((name, trimmed_value(value)))
}

/// A value without the white space around it (RFC 9110, section 5.6.3). Nothing else: of a form feed or a CR at its ends others
/// would make a value of their own.
fn trimmed_value(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// RFC 9110, section 5.6.2.
pub fn is_token(byte: u8) -> bool {
    TOKEN.get(usize::from(byte)).copied().unwrap_or(false)
}

#[expect(clippy::indexing_slicing, reason = "at compile time, where a mistake does not compile")]
static TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        let b = byte as u8;
        table[byte] = b.is_ascii_alphanumeric()
            || matches!(
                b,
                b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
            );
        byte += 1;
    }
    table
};

/// Fields of a message, with their names as the sender wrote them: HTTP does not tell cases apart, but there are clients
/// and devices that do.
#[derive(Debug, Default)]
pub struct Fields {
    pub map: HeaderMap,
    pub names: Names,
}

impl Fields {
    /// Room for the fields of an ordinary head.
    pub fn new() -> Self {
        Self { map: HeaderMap::with_capacity(16), names: Names::default() }
    }

    /// Adds the line that `name` and `value` were split from; the name is a slice of `head`.
    ///
    /// The value is copied: it takes less time than to share the head with it, and holds on to no more than itself.
    ///
    /// # Errors
    /// Name or value cannot be forwarded.
    pub fn add(&mut self, head: &[u8], name: &[u8], value: &[u8]) -> Result<(), FieldError> {
        let key = HeaderName::from_bytes(name).map_err(|_| FieldError::Name)?;
        let value = HeaderValue::from_bytes(value).map_err(|_| FieldError::Value)?;
        if name.iter().any(u8::is_ascii_uppercase) {
            self.names.note(head, name);
        }
        self.map.append(key, value);
        Ok(())
    }
}

/// Names that were not in lower case, in the order of the message.
#[derive(Debug, Default)]
pub struct Names {
    head: Vec<u8>,
    /// Position and length in `head`.
    spans: Vec<(usize, usize)>,
}

impl Names {
    fn note(&mut self, head: &[u8], name: &[u8]) {
        if self.spans.is_empty() {
            self.head = head.to_vec();
            self.spans.reserve(16);
        }
        self.spans.push((name.as_ptr().addr().saturating_sub(head.as_ptr().addr()), name.len()));
    }

    /// A reader that finds names fast if it is asked in about the order of the message.
    pub fn cursor(&self) -> Cursor<'_> {
        Cursor { names: self, next: 0 }
    }
}

/// See [`Names::cursor`].
#[derive(Debug)]
pub struct Cursor<'a> {
    names: &'a Names,
    next: usize,
}

impl<'a> Cursor<'a> {
    /// The name as it was written, or as it is.
    pub fn original(&mut self, name: &'a HeaderName) -> &'a [u8] {
        let name = name.as_str().as_bytes();
        let at = |&(start, length): &(usize, usize)| self.names.head.get(start..start + length);
        let is = |written: &&[u8]| written.eq_ignore_ascii_case(name);
        if let Some(written) = self.names.spans.get(self.next).and_then(at).filter(is) {
            self.next += 1;
            return written;
        }
        self.names.spans.iter().filter_map(at).find(is).unwrap_or(name)
    }
}

/// Elements of a list, as the lines of a field have them; empty ones do not count (RFC 9110, section 5.6.1.2).
pub fn elements<'a>(lines: impl Iterator<Item = &'a [u8]>) -> impl Iterator<Item = &'a [u8]> {
    let elements = lines.flat_map(|line| line.split(|byte| *byte == b','));
    elements.map(<[u8]>::trim_ascii).filter(|element| !element.is_empty())
}

/// What `Connection` says besides names of fields (RFC 9110, section 7.6.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ConnectionOptions {
    pub close: bool,
    pub keep_alive: bool,
    pub upgrade: bool,
}

impl ConnectionOptions {
    pub fn of(headers: &HeaderMap) -> Self {
        let mut options = Self::default();
        for value in headers.get_all(CONNECTION) {
            for option in value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                options.close |= option.eq_ignore_ascii_case(b"close");
                options.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
                options.upgrade |= option.eq_ignore_ascii_case(b"upgrade");
            }
        }
        options
    }
}
