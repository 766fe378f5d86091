//! The normal form of a request's path (RFC 3986, section 6.2.2), and what is refused rather than made normal.

use std::borrow::Cow;

/// Why a path is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    #[error("the path does not begin with `/`")]
    Relative,
    #[error("the path has a `%` that two hexadecimal digits do not follow")]
    Escape,
    #[error("the path contains a control character or a space, plain or percent-encoded")]
    Control,
    #[error("the path contains a backslash, plain or percent-encoded")]
    Backslash,
    #[error("the path contains `?` or `#`")]
    Delimiter,
    #[error("the path climbs above its root with `..`")]
    AboveRoot,
    #[error("the path hides a `.` or `..` segment behind `%2F` or `;`")]
    HiddenDots,
}

/// The normal form of `path`, which has neither query nor fragment: escapes of unreserved characters decoded, the other
/// escapes in upper case, dot segments removed (also those written `%2e`), bytes outside ASCII percent-encoded (RFC 3987,
/// section 3.1). Borrowed if it was normal already. Empty segments (`//`) stay, for there are services to
/// which they mean something; an escaped
/// slash stays escaped, since decoding it would make two segments of one.
///
/// What services read in more than one way is refused, because a route chosen by one reading would guard nothing under
/// the other: backslashes (a slash to some), dot segments behind `%2F` or before a `;` parameter, control characters, and
/// `..` above the root, which RFC 3986 would silently drop. `*`, the target of `OPTIONS *`, is no path.
///
/// Cost: one pass over a normal path without escapes; otherwise linear, with two allocations.
///
/// # Errors
/// The path is refused: [`PathError`] says why.
pub fn normalise(path: &str) -> Result<Cow<'_, str>, PathError> {
    if !path.starts_with('/') {
        return Err(PathError::Relative);
    }
    if is_plainly_normal(path) {
        return Ok(Cow::Borrowed(path));
    }
    let normal = without_dot_segments(&with_normal_escapes(path)?)?;
    Ok(if normal == path { Cow::Borrowed(path) } else { Cow::Owned(normal) })
}

/// True only for normal paths; false for a path that needs a closer look.
fn is_plainly_normal(path: &str) -> bool {
    let mut previous = b'/';
    path.bytes().all(|byte| {
        let suspect = byte == b'.' && previous == b'/';
        previous = byte;
        !suspect && matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'.' | b'_' | b'~' | b'=' | b'@' | b':' | b',' | b'+' | b'!' | b'$' | b'&' | b'(' | b')' | b'*' | b'\'')
    })
}

/// `path` with every escape in its normal form, and checked byte by byte.
fn with_normal_escapes(path: &str) -> Result<String, PathError> {
    let mut normal = String::with_capacity(path.len());
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => match escaped(bytes.next(), bytes.next())? {
                byte if is_unreserved(byte) => normal.push(char::from(byte)),
                byte => push_escape(&mut normal, checked(byte)?),
            },
            b' ' => return Err(PathError::Control),
            b'?' | b'#' => return Err(PathError::Delimiter),
            0x80.. => push_escape(&mut normal, byte),
            _ => normal.push(char::from(checked(byte)?)),
        }
    }
    Ok(normal)
}

/// The byte that two hexadecimal digits stand for.
fn escaped(high: Option<u8>, low: Option<u8>) -> Result<u8, PathError> {
    let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16)).ok_or(PathError::Escape);
    u8::try_from(digit(high)? * 16 + digit(low)?).map_err(|_| PathError::Escape)
}

/// RFC 3986, section 2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// Refuses what may stand in a path neither plain nor escaped.
fn checked(byte: u8) -> Result<u8, PathError> {
    match byte {
        byte if byte.is_ascii_control() => Err(PathError::Control),
        b'\\' => Err(PathError::Backslash),
        byte => Ok(byte),
    }
}

fn push_escape(text: &mut String, byte: u8) {
    let digit = |value: u8| char::from_digit(value.into(), 16).unwrap_or('0').to_ascii_uppercase();
    text.extend(['%', digit(byte >> 4), digit(byte & 15)]);
}

/// RFC 3986, section 5.2.4, but `..` above the root is refused. Takes normal escapes.
fn without_dot_segments(path: &str) -> Result<String, PathError> {
    let mut segments = Vec::new();
    let mut input = path.split('/').skip(1).peekable();
    while let Some(segment) = input.next() {
        match segment {
            "." => {}
            ".." => drop(segments.pop().ok_or(PathError::AboveRoot)?),
            segment if hides_dots(segment) => return Err(PathError::HiddenDots),
            segment => {
                segments.push(segment);
                continue;
            }
        }
        if input.peek().is_none() {
            // `/a/.` and `/a/b/..` are both the directory `/a/`.
            segments.push("");
        }
    }
    let mut normal = String::with_capacity(path.len());
    for segment in segments {
        normal.push('/');
        normal.push_str(segment);
    }
    Ok(normal)
}

/// Whether a service that decodes `%2F`, or drops parameters from `;` on, would see a dot segment inside this one.
fn hides_dots(segment: &str) -> bool {
    let is_dots = |piece: &str| matches!(piece.split(';').next(), Some("." | ".."));
    (segment.contains("%2F") || segment.contains(';')) && segment.split("%2F").any(is_dots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_normal_path_is_borrowed() {
        for path in
            ["/", "/a/b.c/~d", "//a//", "/.well-known/x", "/a%2Fb", "/%20", "/a;v=1", "/...", "/a..", "/caf%C3%A9"]
        {
            assert!(matches!(normalise(path), Ok(Cow::Borrowed(same)) if same == path), "{path}");
        }
    }

    #[test]
    fn escapes_take_their_normal_form() {
        for (path, normal) in [
            ("/%61%2d%2E%5f%7e", "/a-._~"),
            ("/%2f%c3%a9%3a", "/%2F%C3%A9%3A"),
            ("/café", "/caf%C3%A9"),
            ("/%252e%252e/a", "/%252e%252e/a"),
        ] {
            assert_eq!(normalise(path).unwrap(), normal, "{path}");
        }
    }

    #[test]
    fn dot_segments_are_removed_however_they_are_written() {
        for (path, normal) in [
            ("/a/b/c/./../../g", "/a/g"),
            ("/.", "/"),
            ("/a/.", "/a/"),
            ("/a/..", "/"),
            ("/a/b/..", "/a/"),
            ("/a/%2e%2E/b", "/b"),
            ("/a/.%2e/b", "/b"),
            ("/a//../b", "/a/b"),
        ] {
            assert_eq!(normalise(path).unwrap(), normal, "{path}");
        }
    }

    #[test]
    fn a_path_with_two_readings_is_refused_with_the_reason() {
        for (path, error) in [
            ("", PathError::Relative),
            ("*", PathError::Relative),
            ("a/b", PathError::Relative),
            ("/%", PathError::Escape),
            ("/%4", PathError::Escape),
            ("/%4g", PathError::Escape),
            ("/%+4", PathError::Escape),
            ("/%é", PathError::Escape),
            ("/%00", PathError::Control),
            ("/%0d%0a", PathError::Control),
            ("/%7f", PathError::Control),
            ("/a\tb", PathError::Control),
            ("/a b", PathError::Control),
            ("/a\\b", PathError::Backslash),
            ("/a%5cb", PathError::Backslash),
            ("/a?b", PathError::Delimiter),
            ("/a#b", PathError::Delimiter),
            ("/..", PathError::AboveRoot),
            ("/a/../../b", PathError::AboveRoot),
            ("/%2e%2e/a", PathError::AboveRoot),
            ("/a/..%2fb", PathError::HiddenDots),
            ("/a/x%2F%2e%2e", PathError::HiddenDots),
            ("/a/..;x/b", PathError::HiddenDots),
            ("/a/.;/b", PathError::HiddenDots),
        ] {
            assert_eq!(normalise(path), Err(error), "{path}");
        }
    }
}
