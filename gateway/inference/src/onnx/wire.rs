//! The wire format of protocol buffers, read in place.
//!
//! Not by `prost`: it would build every message before the first check, and two bytes of a hostile file make a node of a
//! hundred.

/// A field's value.
#[derive(Debug, Clone, Copy)]
pub enum Value<'a> {
    Number(u64),
    /// Eight bytes: a double.
    Wide([u8; 8]),
    /// Four bytes: a float.
    Narrow([u8; 4]),
    Bytes(&'a [u8]),
}

impl<'a> Value<'a> {
    /// What is encoded as a message, text or packed list.
    pub fn bytes(self) -> Result<&'a [u8], Malformed> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            Self::Number(_) | Self::Wide(_) | Self::Narrow(_) => Err(Malformed::Syntax),
        }
    }

    /// Whole numbers with a sign are encoded as if they had none.
    pub fn integer(self) -> Result<i64, Malformed> {
        match self {
            Self::Number(number) => Ok(number.cast_signed()),
            Self::Bytes(_) | Self::Wide(_) | Self::Narrow(_) => Err(Malformed::Syntax),
        }
    }

    pub fn text(self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Malformed::Syntax)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Malformed {
    /// The bytes end where more must follow.
    Truncated,
    /// What the format has no room for.
    Syntax,
}

/// The fields of a message: number and value.
#[derive(Debug, Clone, Copy)]
pub struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub fn of(message: &'a [u8]) -> Self {
        Self(message)
    }

    fn next_field(&mut self) -> Result<(u64, Value<'a>), Malformed> {
        let key = varint(&mut self.0)?;
        let value = match key & 7 {
            0 => Value::Number(varint(&mut self.0)?),
            1 => Value::Wide(self.take_array()?),
            2 => {
                let length = usize::try_from(varint(&mut self.0)?).map_err(|_| Malformed::Truncated)?;
                Value::Bytes(self.take(length)?)
            }
            5 => Value::Narrow(self.take_array()?),
            _ => return Err(Malformed::Syntax),
        };
        if key >> 3 == 0 { Err(Malformed::Syntax) } else { Ok((key >> 3, value)) }
    }

    fn take_array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        self.take(N)?.try_into().map_err(|_| Malformed::Truncated)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Malformed::Truncated)?;
        self.0 = rest;
        Ok(taken)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Value<'a>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.next_field();
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

/// The numbers of a packed list.
pub fn packed(mut bytes: &[u8]) -> impl Iterator<Item = Result<i64, Malformed>> {
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let number = varint(&mut bytes);
        if number.is_err() {
            bytes = &[];
        }
        Some(number.map(u64::cast_signed))
    })
}

fn varint(bytes: &mut &[u8]) -> Result<u64, Malformed> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first().ok_or(Malformed::Truncated)?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(Malformed::Syntax)
}
