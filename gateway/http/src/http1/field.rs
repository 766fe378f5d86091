//! Field lines, in heads and in trailers (RFC 9112, section 5).

use std::cell::RefCell;

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

/// A line without its end, as name and trimmed value. [`Fields::add`] tells whether the name is one.
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
    Ok((trimmed(name), trimmed_value(value)))
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

/// Fields for which there is room at once: most messages have fewer.
const ROOM: usize = 16;

/// Maps that a thread keeps for heads to come. Each has some 3 KiB.
const SPARE_LIMIT: usize = 64;

thread_local! {
    static SPARE: RefCell<Vec<HeaderMap>> = const { RefCell::new(Vec::new()) };
}

/// Takes the map of a message that is done with, so that another one need not ask for memory.
pub fn recycle(mut map: HeaderMap) {
    // What has grown is not kept, nor is what has no memory.
    if !(ROOM..2 * ROOM).contains(&map.capacity()) {
        return;
    }
    map.clear();
    SPARE.with_borrow_mut(|spare| {
        if spare.len() < SPARE_LIMIT {
            spare.push(map);
        }
    });
}

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
        let spare = SPARE.with_borrow_mut(Vec::pop);
        Self { map: spare.unwrap_or_else(|| HeaderMap::with_capacity(ROOM)), names: Names::default() }
    }

    /// Adds the line that `name` and `value` were split from; the name is a slice of `head`.
    ///
    /// The value is copied: it takes less time than to share the head with it, and holds on to no more than itself.
    ///
    /// # Errors
    /// Name or value cannot be forwarded.
    pub fn add(&mut self, name: &[u8], value: &[u8]) -> Result<(), FieldError> {
        // It takes tokens (RFC 9110, section 5.6.2) and nothing else.
        let key = HeaderName::from_bytes(name).map_err(|_| FieldError::Name)?;
        let value = HeaderValue::from_bytes(value).map_err(|_| FieldError::Value)?;
        if name.iter().any(u8::is_ascii_uppercase) {
            self.names.note(name);
        }
        self.map.append(key, value);
        Ok(())
    }
}

/// Names that were not in lower case, in the order of the message.
#[derive(Debug, Default)]
pub struct Names {
    /// One behind the other, each behind its length in two bytes.
    written: Vec<u8>,
}

/// Room for the names of most messages, so that it is found once.
const NAMES_ROOM: usize = 256;

impl Names {
    fn note(&mut self, name: &[u8]) {
        // Longer ones are none: a name has less than 64 KiB.
        let Ok(length) = u16::try_from(name.len()) else { return };
        if self.written.is_empty() {
            self.written.reserve(NAMES_ROOM);
        }
        self.written.extend_from_slice(&length.to_le_bytes());
        self.written.extend_from_slice(name);
    }

    /// A reader that remembers how far it is.
    pub fn cursor(&self) -> Cursor<'_> {
        Cursor { names: &self.written, next: &self.written }
    }
}

/// See [`Names::cursor`].
#[derive(Debug)]
pub struct Cursor<'a> {
    names: &'a [u8],
    /// Those not given yet: nearly always, fields are asked for in the order in which they came.
    next: &'a [u8],
}

impl<'a> Cursor<'a> {
    /// A name as the sender wrote it, or in lower case if nobody knows.
    pub fn original(&mut self, name: &'a HeaderName) -> &'a [u8] {
        let name = name.as_str().as_bytes();
        if let Some((written, rest)) = first(self.next)
            && is_written(name, written)
        {
            self.next = rest;
            return written;
        }
        let mut names = self.names;
        while let Some((written, rest)) = first(names) {
            if is_written(name, written) {
                return written;
            }
            names = rest;
        }
        name
    }
}

fn first(names: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = names.split_first_chunk()?;
    rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))
}

/// Whether a name in lower case was written so. Most are, so it pays to look at all bytes without asking after each.
fn is_written(name: &[u8], written: &[u8]) -> bool {
    let pairs = || name.iter().zip(written);
    name.len() == written.len() && pairs().fold(0, |other, (a, b)| other | (*a ^ b.to_ascii_lowercase())) == 0
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recycled_map_serves_again_without_what_it_held() {
        let mut fields = Fields::new();
        for (name, value) in [("Host", "a"), ("X-A", "1"), ("x-a", "2")] {
            fields.add(name.as_bytes(), value.as_bytes()).unwrap();
        }
        recycle(fields.map);
        assert_eq!(SPARE.with_borrow(Vec::len), 1);
        let next = Fields::new().map;
        assert!(next.is_empty() && next.get_all("x-a").iter().next().is_none());
        assert_eq!(SPARE.with_borrow(Vec::len), 0);

        let mut grown = next;
        grown.reserve(4 * ROOM);
        for map in [grown, HeaderMap::new()] {
            recycle(map);
            assert_eq!(SPARE.with_borrow(Vec::len), 0);
        }
        (0..2 * SPARE_LIMIT).for_each(|_| recycle(HeaderMap::with_capacity(ROOM)));
        assert_eq!(SPARE.with_borrow(Vec::len), SPARE_LIMIT);
    }

    #[test]
    fn names_are_given_as_they_were_written_in_whatever_order_they_are_asked_for() {
        let mut fields = Fields::new();
        for name in ["Host", "accept", "X-Request_ID", "ETag"] {
            fields.add(name.as_bytes(), b"1").unwrap();
        }
        let names: Vec<HeaderName> =
            ["host", "x-new", "x-request_id", "etag", "accept", "host"].map(HeaderName::from_static).into();
        let mut cursor = fields.names.cursor();
        let written: Vec<_> = names.iter().map(|name| cursor.original(name)).collect();
        assert_eq!(written, ["Host", "x-new", "X-Request_ID", "ETag", "accept", "Host"].map(str::as_bytes));
        // A caret and a tilde differ as letters of two cases do.
        let mut fields = Fields::new();
        fields.add(b"A^", b"1").unwrap();
        let other = HeaderName::from_bytes(b"a~").unwrap();
        assert_eq!(fields.names.cursor().original(&other), b"a~");
    }
}
