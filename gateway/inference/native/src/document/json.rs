//! JSON, with `NaN`, `Infinity` and `-Infinity`, which XGBoost writes.

use std::borrow::Cow;

use super::{Cursor, Kind, Result, Scalar, text};

impl<'a> Cursor<'a> {
    pub(super) fn json_kind(&mut self) -> Result<Kind> {
        self.space();
        match self.next_byte() {
            Some(b'{') => Ok(Kind::Object),
            Some(b'[') => Ok(Kind::Array),
            Some(b'"') => Ok(Kind::Text),
            Some(b't' | b'f') => Ok(Kind::Bool),
            Some(b'n') => Ok(Kind::Null),
            Some(b'-' | b'0'..=b'9' | b'N' | b'I') => Ok(Kind::Number),
            Some(_) => Err(self.fail("a value is expected")),
            None => Err(self.ended()),
        }
    }

    /// The next key of the object, or none at its end.
    pub(super) fn json_key(&mut self, first: bool) -> Result<Option<Cow<'a, str>>> {
        if first {
            self.at += 1;
        }
        self.space();
        match self.next_byte() {
            Some(b'}') => {
                self.at += 1;
                return Ok(None);
            }
            Some(b',') if !first => {
                self.at += 1;
                self.space();
            }
            Some(_) if first => {}
            Some(_) => return Err(self.fail("',' or '}' is expected")),
            None => return Err(self.ended()),
        }
        if self.next_byte() != Some(b'"') {
            return Err(self.fail("a key in quotation marks is expected"));
        }
        let key = self.json_text()?;
        self.space();
        if self.next_byte() != Some(b':') {
            return Err(self.fail("':' is expected after a key"));
        }
        self.at += 1;
        Ok(Some(key))
    }

    /// Whether the array goes on.
    pub(super) fn json_item(&mut self, first: bool) -> Result<bool> {
        if first {
            self.at += 1;
        }
        self.space();
        match self.next_byte() {
            Some(b']') => {
                self.at += 1;
                Ok(false)
            }
            Some(b',') if !first => {
                self.at += 1;
                Ok(true)
            }
            Some(_) if first => Ok(true),
            Some(_) => Err(self.fail("',' or ']' is expected")),
            None => Err(self.ended()),
        }
    }

    pub(super) fn json_scalar(&mut self) -> Result<Scalar<'a>> {
        match self.json_kind()? {
            Kind::Text => self.json_text().map(Scalar::Text),
            Kind::Number => self.json_number(),
            Kind::Bool | Kind::Null => {
                let words = [("true", Scalar::Bool(true)), ("false", Scalar::Bool(false)), ("null", Scalar::Null)];
                let rest = self.bytes.get(self.at..).unwrap_or_default();
                match words.into_iter().find(|(word, _)| rest.starts_with(word.as_bytes())) {
                    Some((word, value)) => {
                        self.at += word.len();
                        Ok(value)
                    }
                    None => Err(self.fail("a value is expected")),
                }
            }
            Kind::Object => Err(self.fail("a number, a text, true, false or null is expected, and there is an object")),
            Kind::Array => Err(self.fail("a number, a text, true, false or null is expected, and there is an array")),
        }
    }

    fn json_number(&mut self) -> Result<Scalar<'a>> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let words = [("NaN", f64::NAN), ("Infinity", f64::INFINITY), ("-Infinity", f64::NEG_INFINITY)];
        if let Some((word, number)) = words.into_iter().find(|(word, _)| rest.starts_with(word.as_bytes())) {
            self.at += word.len();
            return Ok(Scalar::Double(number));
        }
        let length =
            rest.iter().take_while(|byte| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E')).count();
        let digits = rest.get(..length).and_then(|digits| std::str::from_utf8(digits).ok()).unwrap_or_default();
        if digits.parse::<f64>().is_err() {
            return Err(self.fail("a number is expected"));
        }
        self.at += length;
        Ok(Scalar::Decimal(digits))
    }

    fn json_text(&mut self) -> Result<Cow<'a, str>> {
        let begin = self.at;
        match text::quoted(self.bytes, self.at) {
            Ok((text, after)) => {
                self.at = after;
                Ok(text)
            }
            Err((at, problem)) => {
                self.at = at.max(begin);
                Err(self.fail(problem))
            }
        }
    }

    pub(super) fn space(&mut self) {
        while matches!(self.next_byte(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    pub(super) fn next_byte(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    pub(super) fn ended(&self) -> crate::NativeError {
        self.fail("the file ends in the middle of the model: it was cut off")
    }
}
