//! Reads JSON in one pass, without a tree of it: what a request says about its tensors, and their elements.
//!
//! Numbers are parsed once, into the type that they are wanted in: by way of `f64`, an FP32 would be rounded twice.

use std::borrow::Cow;

use super::whole::whole;

/// A body that is not JSON, or not the JSON that was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}, at byte {offset} of the body")]
pub struct JsonError {
    pub message: String,
    pub offset: usize,
}

/// A place in a JSON text.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    text: &'a str,
    at: usize,
    /// Arrays and objects that are open around values which are skipped; most of them.
    depth_limit: usize,
}

impl<'a> Reader<'a> {
    /// # Errors
    /// It is not UTF-8.
    pub fn new(body: &'a [u8], depth_limit: usize) -> Result<Self, JsonError> {
        let text = std::str::from_utf8(body).map_err(|error| JsonError {
            message: "expected JSON, which is UTF-8".to_owned(),
            offset: error.valid_up_to(),
        })?;
        // A mark of UTF-8 at the beginning says nothing, and there are libraries that write it (RFC 8259, section 8.1).
        let at = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        Ok(Self { text, at, depth_limit })
    }

    /// Bytes that have not been read.
    pub fn remaining(&self) -> usize {
        self.text.len().saturating_sub(self.at)
    }

    pub fn depth_limit(&self) -> usize {
        self.depth_limit
    }

    /// The next byte that is not white space; none at the end.
    #[inline]
    pub fn peek(&mut self) -> Option<u8> {
        loop {
            match self.text.as_bytes().get(self.at) {
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.at += 1,
                byte => return byte.copied(),
            }
        }
    }

    /// Takes the next byte that is not white space, if it is this one.
    #[inline]
    pub fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        if found {
            self.at += 1;
        }
        found
    }

    /// This place, to come back to.
    #[inline]
    pub fn mark(&self) -> usize {
        self.at
    }

    /// Comes back to a place.
    #[inline]
    pub fn back(&mut self, mark: usize) {
        self.at = mark;
    }

    /// An error here.
    pub fn error(&mut self, message: impl Into<String>) -> JsonError {
        self.peek();
        JsonError { message: message.into(), offset: self.at }
    }

    /// Reads an object, whose values `field` has to read.
    pub fn object<E: From<JsonError>>(
        &mut self,
        mut field: impl FnMut(&mut Self, &str) -> Result<(), E>,
    ) -> Result<(), E> {
        if !self.take(b'{') {
            let got = self.describe();
            return Err(self.error(format!("expected an object, got {got}")).into());
        }
        if self.take(b'}') {
            return Ok(());
        }
        loop {
            let key = self.string()?;
            if !self.take(b':') {
                return Err(self.error("expected `:` after a key").into());
            }
            field(self, &key)?;
            if self.take(b'}') {
                return Ok(());
            }
            if !self.take(b',') {
                return Err(self.error("expected `,` or `}` in an object").into());
            }
        }
    }

    /// Reads an array, whose elements `element` has to read.
    pub fn array<E: From<JsonError>>(&mut self, mut element: impl FnMut(&mut Self) -> Result<(), E>) -> Result<(), E> {
        if !self.take(b'[') {
            let got = self.describe();
            return Err(self.error(format!("expected an array, got {got}")).into());
        }
        if self.take(b']') {
            return Ok(());
        }
        loop {
            element(self)?;
            if self.take(b']') {
                return Ok(());
            }
            if !self.take(b',') {
                return Err(self.error("expected `,` or `]` in an array").into());
            }
        }
    }

    pub fn string(&mut self) -> Result<Cow<'a, str>, JsonError> {
        if self.peek() != Some(b'"') {
            let got = self.describe();
            return Err(self.error(format!("expected a string, got {got}")));
        }
        let (start, escaped) = (self.at, self.skip_string()?);
        let quoted = self.text.get(start..self.at).unwrap_or_default();
        if escaped {
            return serde_json::from_str(quoted)
                .map(Cow::Owned)
                .map_err(|_| JsonError { message: "expected a string with valid escapes".to_owned(), offset: start });
        }
        Ok(Cow::Borrowed(quoted.trim_matches('"')))
    }

    /// Goes past a string; says whether it has escapes.
    fn skip_string(&mut self) -> Result<bool, JsonError> {
        let start = self.at;
        self.at += 1;
        let mut escaped = false;
        loop {
            let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
            let Some(length) = memchr::memchr2(b'"', b'\\', rest) else {
                return Err(JsonError { message: "expected the end of a string".to_owned(), offset: start });
            };
            if rest.get(..length).unwrap_or_default().iter().any(|byte| *byte < b' ') {
                let message = "expected no control character in a string (it has to be escaped)".to_owned();
                return Err(JsonError { message, offset: start });
            }
            if rest.get(length) == Some(&b'"') {
                self.at += length + 1;
                return Ok(escaped);
            }
            escaped = true;
            self.at += length + 2;
        }
    }

    /// The text of a number, by JSON's grammar.
    #[inline]
    pub fn number(&mut self) -> Result<&'a str, JsonError> {
        self.peek();
        let bytes = self.text.as_bytes();
        let digits = |mut at: usize| {
            while bytes.get(at).is_some_and(u8::is_ascii_digit) {
                at += 1;
            }
            at
        };
        let mut at = self.at + usize::from(bytes.get(self.at) == Some(&b'-'));
        let whole = at;
        at = if bytes.get(at) == Some(&b'0') { at + 1 } else { digits(at) };
        let mut complete = at > whole;
        if bytes.get(at) == Some(&b'.') {
            let end = digits(at + 1);
            complete &= end > at + 1;
            at = end;
        }
        if let Some(b'e' | b'E') = bytes.get(at) {
            let sign = usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
            let end = digits(at + 1 + sign);
            complete &= end > at + 1 + sign;
            at = end;
        }
        if !complete {
            let got = self.describe();
            return Err(self.error(format!("expected a number, got {got}")));
        }
        let number = self.text.get(self.at..at).unwrap_or_default();
        self.at = at;
        Ok(number)
    }

    /// `true` or `false`; none for anything else, which is not read.
    #[inline]
    pub fn boolean(&mut self) -> Option<bool> {
        self.peek();
        let rest = self.text.get(self.at..)?;
        let value = rest.starts_with("true");
        if !value && !rest.starts_with("false") {
            return None;
        }
        self.at += if value { 4 } else { 5 };
        Some(value)
    }

    /// Takes `null`, if it stands here: as a value it says that there is none.
    #[inline]
    pub fn null(&mut self) -> bool {
        self.peek();
        let found = self.text.get(self.at..).is_some_and(|rest| rest.starts_with("null"));
        if found {
            self.at += "null".len();
        }
        found
    }

    /// A whole number that is not negative.
    pub fn size(&mut self) -> Result<usize, JsonError> {
        self.peek();
        let place = self.at;
        let text = self.number()?;
        whole(text).ok_or_else(|| JsonError {
            message: format!("expected a whole number from 0 to {}, got {}", usize::MAX, crate::validate::clip(text)),
            offset: place,
        })
    }

    /// Goes past a value.
    pub fn skip(&mut self) -> Result<(), JsonError> {
        let mut open: Vec<u8> = Vec::new();
        loop {
            match self.peek() {
                Some(bracket @ (b'{' | b'[')) => {
                    if open.len() == self.depth_limit {
                        let limit = self.depth_limit;
                        return Err(self.error(format!("expected at most {limit} arrays and objects in each other")));
                    }
                    self.at += 1;
                    let end = if bracket == b'{' { b'}' } else { b']' };
                    if !self.take(end) {
                        open.push(end);
                        self.skip_key(end)?;
                        continue;
                    }
                }
                Some(b'"') => {
                    self.string()?;
                }
                Some(b't' | b'f' | b'n') => self.skip_word()?,
                _ => {
                    self.number()?;
                }
            }
            loop {
                let Some(&end) = open.last() else { return Ok(()) };
                if self.take(end) {
                    open.pop();
                } else if self.take(b',') {
                    self.skip_key(end)?;
                    break;
                } else {
                    return Err(self.error(format!("expected `,` or `{}`", char::from(end))));
                }
            }
        }
    }

    fn skip_key(&mut self, end: u8) -> Result<(), JsonError> {
        if end == b'}' {
            self.string()?;
            if !self.take(b':') {
                return Err(self.error("expected `:` after a key"));
            }
        }
        Ok(())
    }

    fn skip_word(&mut self) -> Result<(), JsonError> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let Some(word) = ["true", "false", "null"].into_iter().find(|word| rest.starts_with(word)) else {
            let got = self.describe();
            return Err(self.error(format!("expected a value, got {got}")));
        };
        self.at += word.len();
        Ok(())
    }

    /// # Errors
    /// Something follows.
    pub fn end(&mut self) -> Result<(), JsonError> {
        match self.peek() {
            None => Ok(()),
            Some(_) => {
                let got = self.describe();
                Err(self.error(format!("expected the end of the JSON, got {got}")))
            }
        }
    }

    /// The value here in a few words, for a message.
    pub fn describe(&mut self) -> String {
        let Some(byte) = self.peek() else { return "the end".to_owned() };
        let rest = self.text.get(self.at..).unwrap_or_default();
        let token = || {
            let end = rest.find([',', ']', '}', ' ', '\n', '\r', '\t']).unwrap_or(rest.len());
            crate::validate::clip(rest.get(..end).unwrap_or_default())
        };
        match byte {
            b'{' => "an object".to_owned(),
            b'[' => "an array".to_owned(),
            b'"' => match self.clone().string() {
                Ok(string) => format!("the string \"{}\"", crate::validate::clip(&string)),
                Err(_) => "a string without an end".to_owned(),
            },
            b'N' | b'I' => format!("{}, which JSON does not have (binary tensor data does)", token()),
            b'-' if rest.starts_with("-I") => {
                format!("{}, which JSON does not have (binary tensor data does)", token())
            }
            b']' | b'}' | b',' | b':' => format!("`{}`", char::from(byte)),
            _ => token(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn skips(text: &str) -> bool {
        let mut reader = Reader::new(text.as_bytes(), 16).unwrap();
        reader.skip().and_then(|()| reader.end()).is_ok()
    }

    #[test]
    fn what_is_not_json_is_refused() {
        for text in [
            "",
            "01",
            "1.",
            ".5",
            "1e",
            "-",
            "+1",
            "NaN",
            "nul",
            "[1,]",
            "[,1]",
            "{\"a\"}",
            "{a:1}",
            "[1 2]",
            "\"\\x\"",
            "\"\n\"",
            "\"",
            "{\"a\":1,}",
            "[1}",
            "1 2",
            "\"\\ud800\"",
        ] {
            assert!(!skips(text), "{text} passed");
        }
    }

    #[test]
    fn depth_is_limited() {
        assert!(skips(&format!("{}{}", "[".repeat(16), "]".repeat(16))));
        assert!(!skips(&format!("{}{}", "[".repeat(17), "]".repeat(17))));
        assert!(!skips(&"[".repeat(1_000_000)));
    }

    #[test]
    fn a_mark_of_utf_8_is_passed_over() {
        assert!(skips("\u{feff}[1]") && !skips("[\u{feff}1]") && !skips("\u{feff}"));
    }

    #[test]
    fn sizes_are_whole_numbers_however_they_are_written() {
        let size = |text: &str| Reader::new(text.as_bytes(), 1).unwrap().size().map_err(|error| error.to_string());
        assert_eq!(
            [size("3"), size(" 3.0"), size("3e0"), size("0.3e1"), size("-0")],
            [Ok(3), Ok(3), Ok(3), Ok(3), Ok(0)]
        );
        let expected = format!("expected a whole number from 0 to {}", usize::MAX);
        for (text, place) in [("-1", 0), (" 1.5", 1), ("1e99", 0)] {
            let got = text.trim();
            assert_eq!(size(text), Err(format!("{expected}, got {got}, at byte {place} of the body")));
        }
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".*".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::vec((".*", inner), 0..6).prop_map(|entries| entries.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn json_that_another_library_wrote_is_read(value in json()) {
            prop_assert!(skips(&value.to_string()));
            prop_assert!(skips(&serde_json::to_string_pretty(&value).unwrap()));
        }

        #[test]
        fn what_passes_here_passes_elsewhere(text in "[\\[\\]{},:0-9.eE+\\-\"\\\\a-f \n]{0,24}") {
            prop_assert_eq!(skips(&text), serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok(), "{}", text);
        }

        #[test]
        fn strings_come_out_as_they_went_in(string in ".*") {
            let text = serde_json::to_string(&string).unwrap();
            prop_assert_eq!(Reader::new(text.as_bytes(), 1).unwrap().string().unwrap(), string);
        }
    }
}
