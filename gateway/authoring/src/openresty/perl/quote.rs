//! Quoted strings and patterns: where they end, and what stands in them.

use super::super::text::Text;
use super::Unsupported;

/// A part of a string.
#[derive(Debug, Clone, PartialEq)]
pub enum Piece {
    Text(Text),
    Variable(Text),
    Environment(Text),
}

/// What stands between the delimiter at the start of `rest` and the one that closes it, and what follows. Backslashes stay,
/// but before a delimiter that is none in `'…'`.
pub fn delimited(rest: &str) -> Option<(&str, &str, char)> {
    let open = rest.chars().next()?;
    let close = match open {
        '{' => '}',
        '(' => ')',
        '[' => ']',
        '<' => '>',
        other => other,
    };
    let inner = rest.get(open.len_utf8()..)?;
    let (mut depth, mut escaped) = (0usize, false);
    for (at, c) in inner.char_indices() {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == close && depth == 0 {
            return Some((inner.get(..at)?, inner.get(at + c.len_utf8()..)?, close));
        } else if c == close {
            depth -= 1;
        } else if c == open {
            depth += 1;
        }
    }
    None
}

/// The text of `'…'` or `q{…}`.
pub fn literal(inner: &str, close: char) -> Text {
    let mut text = Text::new();
    let mut characters = inner.chars().peekable();
    while let Some(c) = characters.next() {
        match (c, characters.peek()) {
            ('\\', Some(next)) if *next == '\\' || *next == close => {
                text.push(*next);
                characters.next();
            }
            _ => text.push(c),
        }
    }
    text
}

/// The pieces of `"…"`, `qq{…}` or, with `pattern`, of `qr/…/`, whose escapes are left to the pattern.
pub fn interpolated(inner: &str, close: char, pattern: bool) -> Result<Vec<Piece>, Unsupported> {
    let mut pieces = Vec::new();
    let mut text = Text::new();
    let mut rest = inner;
    while let Some(c) = rest.chars().next() {
        let after = rest.get(c.len_utf8()..).unwrap_or_default();
        rest = match c {
            '\\' if pattern => {
                let next = after.chars().next();
                match next {
                    // A delimiter that was escaped only because it is one.
                    Some(next) if next == close && !"{}()[]|.*+?^$\\".contains(close) => {}
                    _ => text.push('\\'),
                }
                text.extend(next);
                after.get(next.map_or(0, char::len_utf8)..).unwrap_or_default()
            }
            '\\' => escape(after, &mut text)?,
            '$' => match variable(after)? {
                Some((piece, after)) => {
                    if !text.is_empty() {
                        pieces.push(Piece::Text(std::mem::take(&mut text)));
                    }
                    pieces.push(piece);
                    after
                }
                None => {
                    text.push('$');
                    after
                }
            },
            other => {
                text.push(other);
                after
            }
        };
    }
    if !text.is_empty() {
        pieces.push(Piece::Text(text));
    }
    Ok(pieces)
}

/// The variable after a dollar sign, if there is one: at the end of a pattern, or before `)` and `|`, it is an anchor.
fn variable(rest: &str) -> Result<Option<(Piece, &str)>, Unsupported> {
    if let Some(name) = rest.strip_prefix("ENV{") {
        let (name, after) = name.split_once('}').ok_or_else(|| Unsupported("`$ENV{` without `}`".to_owned()))?;
        let name = name.trim_matches(['\'', '"']);
        return Ok(Some((Piece::Environment(name.to_owned()), after)));
    }
    if rest.starts_with('&') {
        return Err(Unsupported("the variable `$&`".to_owned()));
    }
    if let Some(braced) = rest.strip_prefix('{') {
        let named =
            |(name, _): &(&str, &str)| !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_');
        let braced = braced.split_once('}').filter(named);
        return Ok(braced.map(|(name, after)| (Piece::Variable(name.to_owned()), after)));
    }
    let (name, after) = name(rest);
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return Ok(None);
    }
    if after.starts_with("->") {
        return Err(Unsupported(format!("what `${name}` points to")));
    }
    Ok(Some((Piece::Variable(name.to_owned()), after)))
}

/// A name and what follows it, without `::` or `main::` before it.
pub fn name(rest: &str) -> (&str, &str) {
    let stripped = rest.strip_prefix("main::").or_else(|| rest.strip_prefix("::")).unwrap_or(rest);
    let mut end = 0;
    while let Some(tail) = stripped.get(end..) {
        let letters = tail.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(tail.len());
        end += letters;
        let next = stripped.get(end..).unwrap_or_default();
        let named = next.strip_prefix("::").is_some_and(|n| n.starts_with(|c: char| c.is_ascii_alphabetic()));
        if !(named && letters > 0) {
            break;
        }
        end += 2;
    }
    stripped.split_at(end)
}

/// Reads the escape after a backslash; gives what follows it.
fn escape<'a>(rest: &'a str, text: &mut Text) -> Result<&'a str, Unsupported> {
    let Some(c) = rest.chars().next() else {
        text.push('\\');
        return Ok(rest);
    };
    let after = rest.get(c.len_utf8()..).unwrap_or_default();
    let plain = match c {
        'n' => '\n',
        't' => '\t',
        'r' => '\r',
        'e' => '\u{1b}',
        'a' => '\u{7}',
        'f' => '\u{c}',
        'x' => return hexadecimal(after, text),
        '0'..='7' => {
            let digits = rest.find(|c: char| !('0'..='7').contains(&c)).unwrap_or(rest.len()).min(3);
            let (digits, after) = rest.split_at(digits);
            let code = u32::from_str_radix(digits, 8).unwrap_or_default();
            text.extend(char::from_u32(code & 0xff));
            return Ok(after);
        }
        other => other,
    };
    text.push(plain);
    Ok(after)
}

fn hexadecimal<'a>(rest: &'a str, text: &mut Text) -> Result<&'a str, Unsupported> {
    let (digits, after) = match rest.strip_prefix('{') {
        Some(braced) => braced.split_once('}').ok_or_else(|| Unsupported("`\\x{` without `}`".to_owned()))?,
        None => {
            let digits = rest.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(rest.len()).min(2);
            rest.split_at(digits)
        }
    };
    let code = if digits.is_empty() { Ok(0) } else { u32::from_str_radix(digits, 16) };
    let character = code.ok().filter(|code| *code < 256).and_then(char::from_u32);
    text.push(character.ok_or_else(|| Unsupported(format!("the character \\x{{{digits}}}")))?);
    Ok(after)
}
