//! Arguments of functions.

/// What a script gave for one argument.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Given<'a> {
    Nothing,
    Nil,
    Null,
    Boolean(bool),
    Number(f64),
    Text(&'a [u8]),
    Table,
    Other(&'static str),
}

impl<'a> Given<'a> {
    /// The name of the type, as Lua's `type` says it, or `no value`.
    pub(crate) fn type_name(self) -> &'static str {
        match self {
            Self::Nothing => "no value",
            Self::Nil => "nil",
            Self::Null => "userdata",
            Self::Boolean(_) => "boolean",
            Self::Number(_) => "number",
            Self::Text(_) => "string",
            Self::Table => "table",
            Self::Other(name) => name,
        }
    }

    pub(crate) fn is_nil(self) -> bool {
        matches!(self, Self::Nil | Self::Nothing)
    }

    /// Whether Lua takes it for true.
    pub(crate) fn is_true(self) -> bool {
        !matches!(self, Self::Nil | Self::Nothing | Self::Boolean(false))
    }

    /// A number, also one that is written in a string.
    pub(crate) fn number(self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(number),
            Self::Text(text) => number_of(text),
            _ => None,
        }
    }
}

/// The number that a string spells in Lua's decimal or hexadecimal notation.
pub(crate) fn number_of(text: &[u8]) -> Option<f64> {
    let text = text.trim_ascii();
    let (negative, digits) = match text.split_first()? {
        (b'-', rest) => (true, rest),
        (b'+', rest) => (false, rest),
        _ => (false, text),
    };
    let number = match digits {
        [b'0', b'x' | b'X', hex @ ..] if !hex.is_empty() => hex.iter().try_fold(0f64, |sum, digit| {
            let value = char::from(*digit).to_digit(16)?;
            Some(sum * 16.0 + f64::from(value))
        })?,
        [b'0'..=b'9' | b'.', ..] => std::str::from_utf8(digits).ok()?.parse().ok()?,
        _ => return None,
    };
    Some(if negative { -number } else { number })
}
