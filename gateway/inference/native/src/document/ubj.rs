//! UBJ (Universal Binary JSON, draft 12), big-endian, as XGBoost writes it.

use std::borrow::Cow;

use super::{Cursor, Encoding, Kind, Result, Scalar};

/// What is left of an array.
#[derive(Debug, Default)]
pub(super) struct Items {
    /// How many values follow; none: until `]`.
    left: Option<usize>,
    /// The type of all of them.
    typed: Option<u8>,
}

/// How many bytes a number of a type has.
fn size(marker: u8) -> Option<usize> {
    match marker {
        b'i' | b'U' | b'C' => Some(1),
        b'I' | b'u' => Some(2),
        b'l' | b'm' | b'd' => Some(4),
        b'L' | b'M' | b'D' => Some(8),
        _ => None,
    }
}

impl<'a> Cursor<'a> {
    pub(super) fn ubj_kind(&mut self) -> Result<Kind> {
        let marker = match self.typed {
            Some(marker) => marker,
            None => {
                // "No operation", of which any number may stand before a value.
                while self.next_byte() == Some(b'N') {
                    self.at += 1;
                }
                self.next_byte().ok_or_else(|| self.ended())?
            }
        };
        match marker {
            b'{' => Ok(Kind::Object),
            b'[' => Ok(Kind::Array),
            b'S' => Ok(Kind::Text),
            b'T' | b'F' => Ok(Kind::Bool),
            b'Z' => Ok(Kind::Null),
            marker if size(marker).is_some() => Ok(Kind::Number),
            b'H' => Err(self.fail("numbers of high precision are none that XGBoost writes")),
            other => Err(self.fail(format!("a value is expected, and there is the marker {other:#04x}"))),
        }
    }

    /// The next key of the object, or none at its end.
    pub(super) fn ubj_key(&mut self, first: bool) -> Result<Option<Cow<'a, str>>> {
        if first {
            self.at += 1;
            if matches!(self.next_byte(), Some(b'$' | b'#')) {
                return Err(self.fail("objects with a count are none that XGBoost writes"));
            }
        }
        if self.next_byte() == Some(b'}') {
            self.at += 1;
            return Ok(None);
        }
        self.counted_text().map(Some)
    }

    /// The beginning of an array.
    pub(super) fn ubj_items(&mut self) -> Result<Items> {
        self.at += 1;
        let mut items = Items::default();
        if self.next_byte() == Some(b'$') {
            let marker = self.bytes.get(self.at + 1).copied().ok_or_else(|| self.ended())?;
            if size(marker).is_none() {
                return Err(self.fail("only arrays of numbers may have a type"));
            }
            self.at += 2;
            items.typed = Some(marker);
            if self.next_byte() != Some(b'#') {
                return Err(self.fail("a count is expected after the type of an array"));
            }
        }
        if self.next_byte() == Some(b'#') {
            self.at += 1;
            let count = self.count()?;
            // Before anything is made room for: each value takes a byte at least.
            let least = count.saturating_mul(items.typed.and_then(size).unwrap_or(1));
            if least > self.bytes.len() - self.at.min(self.bytes.len()) {
                return Err(self.fail(format!("the array says that it has {count} values, and the file ends before")));
            }
            items.left = Some(count);
        }
        Ok(items)
    }

    /// Whether the array goes on.
    pub(super) fn ubj_item(&mut self, items: &mut Items) -> Result<bool> {
        self.typed = None;
        match &mut items.left {
            Some(0) => Ok(false),
            Some(left) => {
                *left -= 1;
                self.typed = items.typed;
                Ok(true)
            }
            None => match self.next_byte() {
                Some(b']') => {
                    self.at += 1;
                    Ok(false)
                }
                Some(_) => Ok(true),
                None => Err(self.ended()),
            },
        }
    }

    /// Passes over an array of numbers of one type. `false`: it is none, and nothing was passed.
    pub(super) fn ubj_block(&mut self) -> Result<bool> {
        let begin = self.at;
        if self.encoding != Encoding::Ubj || self.bytes.get(begin + 1) != Some(&b'$') {
            return Ok(false);
        }
        let items = self.ubj_items()?;
        let (Some(count), Some(size)) = (items.left, items.typed.and_then(size)) else { return Ok(false) };
        self.at += count * size;
        Ok(true)
    }

    pub(super) fn ubj_scalar(&mut self) -> Result<Scalar<'a>> {
        let kind = self.ubj_kind()?;
        let marker = match self.typed.take() {
            Some(marker) => marker,
            None => {
                let marker = self.next_byte().ok_or_else(|| self.ended())?;
                if !matches!(kind, Kind::Object | Kind::Array) {
                    self.at += 1;
                }
                marker
            }
        };
        match kind {
            Kind::Text => self.counted_text().map(Scalar::Text),
            Kind::Bool => Ok(Scalar::Bool(marker == b'T')),
            Kind::Null => Ok(Scalar::Null),
            Kind::Number => self.binary(marker),
            Kind::Object => Err(self.fail("a number, a text, true, false or null is expected, and there is an object")),
            Kind::Array => Err(self.fail("a number, a text, true, false or null is expected, and there is an array")),
        }
    }

    fn binary(&mut self, marker: u8) -> Result<Scalar<'a>> {
        Ok(match marker {
            b'i' => Scalar::Integer(i8::from_be_bytes(self.take()?).into()),
            b'U' | b'C' => Scalar::Integer(u8::from_be_bytes(self.take()?).into()),
            b'I' => Scalar::Integer(i16::from_be_bytes(self.take()?).into()),
            b'u' => Scalar::Integer(u16::from_be_bytes(self.take()?).into()),
            b'l' => Scalar::Integer(i32::from_be_bytes(self.take()?).into()),
            b'm' => Scalar::Integer(u32::from_be_bytes(self.take()?).into()),
            b'L' => Scalar::Integer(i64::from_be_bytes(self.take()?)),
            b'M' => {
                let number = u64::from_be_bytes(self.take()?);
                Scalar::Integer(i64::try_from(number).map_err(|_| self.fail("the number is too large"))?)
            }
            b'd' => Scalar::Single(f32::from_be_bytes(self.take()?)),
            b'D' => Scalar::Double(f64::from_be_bytes(self.take()?)),
            other => return Err(self.fail(format!("a number is expected, and there is the marker {other:#04x}"))),
        })
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N]> {
        let bytes = self.bytes.get(self.at..).and_then(|rest| rest.first_chunk().copied());
        let bytes = bytes.ok_or_else(|| self.ended())?;
        self.at += N;
        Ok(bytes)
    }

    /// A count: a whole number with its type.
    fn count(&mut self) -> Result<usize> {
        let before = self.at;
        let marker = self.next_byte().ok_or_else(|| self.ended())?;
        if !matches!(marker, b'i' | b'U' | b'I' | b'u' | b'l' | b'm' | b'L' | b'M') {
            return Err(self.fail(format!("a count is expected, and there is the marker {marker:#04x}")));
        }
        self.at += 1;
        match self.binary(marker)? {
            Scalar::Integer(count) if count >= 0 => {
                usize::try_from(count).map_err(|_| self.fail("the count is too large"))
            }
            _ => {
                self.at = before;
                Err(self.fail("a count is negative"))
            }
        }
    }

    fn counted_text(&mut self) -> Result<Cow<'a, str>> {
        let count = self.count()?;
        let end = self.at.checked_add(count).filter(|end| *end <= self.bytes.len());
        let Some(bytes) = end.and_then(|end| self.bytes.get(self.at..end)) else {
            return Err(self.fail(format!("a text says that it has {count} bytes, and the file ends before")));
        };
        let text = std::str::from_utf8(bytes).map_err(|_| self.fail("the text is not UTF-8"))?;
        self.at += count;
        Ok(Cow::Borrowed(text))
    }
}
