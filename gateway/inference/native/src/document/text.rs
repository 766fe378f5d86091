//! Texts in quotation marks.

use std::borrow::Cow;

/// The text whose quotation mark is at `at`, and where it ends.
///
/// # Errors
/// Where and what is wrong.
pub(super) fn quoted(bytes: &[u8], at: usize) -> Result<(Cow<'_, str>, usize), (usize, &'static str)> {
    let begin = at + 1;
    let ended = "the file ends within a text: it was cut off";
    let rest = bytes.get(begin..).ok_or((at, ended))?;
    let plain = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..32)).ok_or((bytes.len(), ended))?;
    let utf8 = |bytes| std::str::from_utf8(bytes).map_err(|_| (begin, "the text is not UTF-8"));
    let start = utf8(rest.get(..plain).unwrap_or_default())?;
    if rest.get(plain) == Some(&b'"') {
        return Ok((Cow::Borrowed(start), begin + plain + 1));
    }
    let mut text = start.to_owned();
    let mut at = begin + plain;
    loop {
        let rest = bytes.get(at..).unwrap_or_default();
        match rest.first() {
            None => return Err((at, ended)),
            Some(b'"') => return Ok((Cow::Owned(text), at + 1)),
            Some(b'\\') => {
                let (character, length) = escape(rest).ok_or((at, "this escape is none of JSON's"))?;
                text.push(character);
                at += length;
            }
            Some(0..32) => return Err((at, "a control character stands in a text")),
            Some(_) => {
                let length = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..32)).unwrap_or(rest.len());
                text.push_str(utf8(rest.get(..length).unwrap_or_default())?);
                at += length;
            }
        }
    }
}

/// The character that an escape stands for, and how long the escape is. A lone surrogate becomes U+FFFD.
fn escape(bytes: &[u8]) -> Option<(char, usize)> {
    let plain = |character| Some((character, 2));
    match bytes.get(1)? {
        b'"' => plain('"'),
        b'\\' => plain('\\'),
        b'/' => plain('/'),
        b'b' => plain('\u{8}'),
        b'f' => plain('\u{c}'),
        b'n' => plain('\n'),
        b'r' => plain('\r'),
        b't' => plain('\t'),
        b'u' => {
            let high = unit(bytes.get(2..6)?)?;
            if let (0xd800..0xdc00, Some(br"\u")) = (high, bytes.get(6..8))
                && let Some(low @ 0xdc00..0xe000) = bytes.get(8..12).and_then(unit)
            {
                let code = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
                return Some((char::from_u32(code)?, 12));
            }
            Some((char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER), 6))
        }
        _ => None,
    }
}

fn unit(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |unit, digit| Some(unit * 16 + char::from(*digit).to_digit(16)?))
}
