//! Fields of a JSON body (RFC 8259), found without building values.
//!
//! The body is checked once from end to end; what it holds is a list of nodes, each of which knows where its last
//! descendant is. The list is kept from request to request, so a body costs no allocation.

use std::borrow::Cow;

use super::observation::hexadecimal;

/// Bytes of a body. Larger ones are uploads rather than fields, and checking one takes some 100 us already.
pub const BODY_LIMIT: usize = 64 * 1024;

/// Arrays and objects inside each other.
pub const DEPTH_LIMIT: usize = 64;

/// Nodes that are kept for the next body; 48 bytes each.
const KEPT_LIMIT: usize = 4096;

/// What stands at a place of the document.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Value {
    Null,
    Bool(bool),
    /// Its bytes.
    Number(usize, usize),
    /// The bytes between its quotes.
    Text(usize, usize),
    /// Elements.
    Array(usize),
    Object,
}

#[derive(Debug, Clone, Copy)]
struct Node {
    value: Value,
    /// The bytes between the quotes of its name, if it is a member of an object.
    name: (usize, usize),
    /// Index behind its last descendant.
    end: usize,
}

/// A body that was read; without nodes if it is no JSON.
#[derive(Debug, Default)]
pub(super) struct Document {
    nodes: Vec<Node>,
}

impl Document {
    /// Reads a body and forgets the one before.
    pub(super) fn read(&mut self, body: &[u8]) {
        if self.nodes.capacity() > KEPT_LIMIT {
            self.nodes = Vec::new();
        }
        self.nodes.clear();
        if body.len() > BODY_LIMIT || std::str::from_utf8(body).is_err() {
            return;
        }
        let mut reader = Reader { text: body, at: 0, nodes: &mut self.nodes };
        let read = reader.value(0, (0, 0));
        reader.skip_space();
        if read.is_none() || reader.at < body.len() {
            self.nodes.clear();
        }
    }

    /// A number; 1 or 0 for a boolean; the bytes of a string; the elements of an array. None for what is not there, for
    /// `null`, for an object, and for a number beyond 1.8e308.
    pub(super) fn number_at(&self, body: &[u8], pointer: &Pointer) -> Option<f64> {
        let mut index = 0;
        for token in &pointer.0 {
            index = self.child(body, index, token)?;
        }
        match self.nodes.get(index)?.value {
            Value::Null | Value::Object => None,
            Value::Bool(value) => Some(f64::from(u8::from(value))),
            Value::Number(start, end) => {
                let text = std::str::from_utf8(body.get(start..end)?).ok()?;
                text.parse().ok().filter(|number: &f64| number.is_finite())
            }
            Value::Text(start, end) => Some(unescaped(body.get(start..end)?)?.len() as f64),
            Value::Array(elements) => Some(elements as f64),
        }
    }

    /// The element with that index, or the last member with that name.
    fn child(&self, body: &[u8], parent: usize, token: &str) -> Option<usize> {
        let parent_node = self.nodes.get(parent)?;
        let position = match parent_node.value {
            Value::Array(_) => Some(array_index(token)?),
            Value::Object => None,
            _ => return None,
        };
        let (mut index, mut count, mut found) = (parent + 1, 0, None);
        while index < parent_node.end {
            let node = self.nodes.get(index)?;
            let is_meant = match position {
                Some(position) => position == count,
                None => unescaped(body.get(node.name.0..node.name.1)?)?.as_ref() == token.as_bytes(),
            };
            if is_meant {
                found = Some(index);
            }
            (index, count) = (node.end, count + 1);
        }
        found
    }
}

/// RFC 6901: digits without a leading zero.
fn array_index(token: &str) -> Option<usize> {
    let plain = token.bytes().all(|byte| byte.is_ascii_digit()) && (token == "0" || !token.starts_with('0'));
    if plain { token.parse().ok() } else { None }
}

/// A JSON pointer (RFC 6901).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pointer(Vec<String>);

impl Pointer {
    /// None if it is neither empty nor starts with `/`, or has a `~` that is not `~0` or `~1`.
    pub(super) fn new(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self(Vec::new()));
        }
        let tokens = text.strip_prefix('/')?.split('/').map(|token| {
            let escapes = token.split('~').skip(1).all(|after| after.starts_with(['0', '1']));
            escapes.then(|| token.replace("~1", "/").replace("~0", "~"))
        });
        tokens.collect::<Option<_>>().map(Self)
    }
}

/// What stands between the quotes of a string that was checked.
fn unescaped(raw: &[u8]) -> Option<Cow<'_, [u8]>> {
    if !raw.contains(&b'\\') {
        return Some(Cow::Borrowed(raw));
    }
    let (mut text, mut rest) = (Vec::with_capacity(raw.len()), raw);
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first == b'\\' {
            let (character, after) = escape(after)?;
            text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            rest = after;
        } else {
            text.push(*first);
        }
    }
    Some(Cow::Owned(text))
}

/// The character that an escape stands for, and what follows it; it starts behind the backslash. Halves of a surrogate
/// pair that stand alone are no characters.
fn escape(bytes: &[u8]) -> Option<(char, &[u8])> {
    let (kind, rest) = bytes.split_first()?;
    let character = match kind {
        b'"' | b'\\' | b'/' => char::from(*kind),
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => {
            let (unit, rest) = unit(rest)?;
            if !(0xd800..0xdc00).contains(&unit) {
                return Some((char::from_u32(unit)?, rest));
            }
            let [b'\\', b'u', rest @ ..] = rest else { return None };
            let (low, rest) = self::unit(rest)?;
            let low = low.checked_sub(0xdc00).filter(|low| *low < 0x400)?;
            return Some((char::from_u32(0x10000 + ((unit - 0xd800) << 10) + low)?, rest));
        }
        _ => return None,
    };
    Some((character, rest))
}

fn unit(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (digits, rest) = bytes.split_at_checked(4)?;
    let value = digits.iter().try_fold(0, |value, digit| Some(value << 4 | u32::from(hexadecimal(*digit)?)))?;
    Some((value, rest))
}

struct Reader<'a, 'n> {
    text: &'a [u8],
    at: usize,
    nodes: &'n mut Vec<Node>,
}

impl Reader<'_, '_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// A value with the space before it.
    fn value(&mut self, depth: usize, name: (usize, usize)) -> Option<()> {
        self.skip_space();
        let index = self.nodes.len();
        self.nodes.push(Node { value: Value::Null, name, end: 0 });
        let value = match self.peek()? {
            b'{' => self.object(depth + 1)?,
            b'[' => self.array(depth + 1)?,
            b'"' => {
                let (start, end) = self.string()?;
                Value::Text(start, end)
            }
            b't' => self.word(b"true", Value::Bool(true))?,
            b'f' => self.word(b"false", Value::Bool(false))?,
            b'n' => self.word(b"null", Value::Null)?,
            _ => self.number()?,
        };
        let end = self.nodes.len();
        let node = self.nodes.get_mut(index)?;
        (node.value, node.end) = (value, end);
        Some(())
    }

    fn word(&mut self, word: &[u8], value: Value) -> Option<Value> {
        let found = self.text.get(self.at..)?.starts_with(word);
        self.at += word.len();
        found.then_some(value)
    }

    fn object(&mut self, depth: usize) -> Option<Value> {
        self.take(b'{')?;
        let mut members = 0;
        while self.goes_on(b'}', members, depth)? {
            self.skip_space();
            let name = self.string()?;
            self.skip_space();
            self.take(b':')?;
            self.value(depth, name)?;
            members += 1;
        }
        Some(Value::Object)
    }

    fn array(&mut self, depth: usize) -> Option<Value> {
        self.take(b'[')?;
        let mut elements = 0;
        while self.goes_on(b']', elements, depth)? {
            self.value(depth, (0, 0))?;
            elements += 1;
        }
        Some(Value::Array(elements))
    }

    /// Whether another entry follows, after the comma before it, or the end, which is taken.
    fn goes_on(&mut self, end: u8, entries: usize, depth: usize) -> Option<bool> {
        if depth > DEPTH_LIMIT {
            return None;
        }
        self.skip_space();
        if self.take(end).is_some() {
            return Some(false);
        }
        if entries > 0 {
            self.take(b',')?;
        }
        Some(true)
    }

    /// The bytes between the quotes.
    fn string(&mut self) -> Option<(usize, usize)> {
        self.take(b'"')?;
        let start = self.at;
        loop {
            match self.peek()? {
                b'"' => {
                    self.at += 1;
                    return Some((start, self.at - 1));
                }
                b'\\' => {
                    let rest = self.text.get(self.at + 1..)?;
                    let (_, after) = escape(rest)?;
                    self.at = self.text.len() - after.len();
                }
                0..=0x1f => return None,
                _ => self.at += 1,
            }
        }
    }

    fn number(&mut self) -> Option<Value> {
        let start = self.at;
        let _ = self.take(b'-');
        if self.take(b'0').is_none() {
            self.digits()?;
        }
        if self.take(b'.').is_some() {
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Some(Value::Number(start, self.at))
    }

    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(body: &str, pointer: &str) -> Option<f64> {
        let mut document = Document::default();
        document.read(body.as_bytes());
        document.number_at(body.as_bytes(), &Pointer::new(pointer).unwrap())
    }

    #[test]
    fn values_are_found_by_pointer() {
        let body =
            r#" {"a": [1, -2.5e1, "h\u00e9\ud83d\ude00", true, [ ], {"b/c": {"~": 7}}], "": 3, "n": null, "a2": 4} "#;
        for (pointer, expected) in [
            ("/a", Some(6.0)),
            ("/a/0", Some(1.0)),
            ("/a/1", Some(-25.0)),
            ("/a/2", Some(7.0)),
            ("/a/3", Some(1.0)),
            ("/a/4", Some(0.0)),
            ("/a/5/b~1c/~0", Some(7.0)),
            ("/", Some(3.0)),
            ("/a2", Some(4.0)),
            ("", None),
            ("/n", None),
            ("/a/5", None),
            ("/a/6", None),
            ("/a/-", None),
            ("/a/01", None),
            ("/x", None),
            ("/a2/0", None),
        ] {
            assert_eq!(at(body, pointer), expected, "{pointer}");
        }
        assert_eq!(at(r#"{"a": 1, "\u0061": {"b": 2}, "a": [3]}"#, "/a/0"), Some(3.0), "the last of a name counts");
        assert_eq!(at("1e999", ""), None);
    }

    #[test]
    fn what_is_no_json_has_no_values() {
        for body in [
            "",
            "1 2",
            "[1,]",
            "{\"a\":1",
            "01",
            "+1",
            ".5",
            "1.",
            "'a'",
            "\"\u{1}\"",
            "\"\\ud800\"",
            "\"\\x\"",
            "tru",
            "{1:2}",
        ] {
            let mut document = Document::default();
            document.read(body.as_bytes());
            assert!(document.nodes.is_empty(), "{body}");
        }
        let deep = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        assert_eq!(at(&deep(DEPTH_LIMIT), ""), Some(1.0));
        assert_eq!(at(&deep(DEPTH_LIMIT + 1), ""), None);
        assert_eq!(at(&(" ".repeat(BODY_LIMIT - 1) + "7"), ""), Some(7.0));
        assert_eq!(at(&(" ".repeat(BODY_LIMIT) + "7"), ""), None);
    }

    #[test]
    fn pointers_start_with_a_slash_and_escape_with_a_tilde() {
        assert!(Pointer::new("a").is_none() && Pointer::new("/~2").is_none() && Pointer::new("/~").is_none());
        assert!(Pointer::new("/~~01").is_none());
        assert_eq!(Pointer::new("/~01").unwrap().0, ["~1"]);
    }

    proptest! {
        #[test]
        fn what_is_read_is_what_the_library_reads(text in r#"[ \[\]{},:"\\u0dea1.\-+Etrusfl]{0,12}"#) {
            let mut document = Document::default();
            document.read(text.as_bytes());
            // The library refuses numbers beyond the range of doubles, which twelve characters can write.
            if let Err(error) = serde_json::from_str::<serde_json::Value>(&text) {
                let is_too_large = error.to_string().starts_with("number out of range");
                prop_assert!(document.nodes.is_empty() || is_too_large, "{}", text);
            } else {
                prop_assert!(!document.nodes.is_empty(), "{}", text);
            }
        }
    }
}
