//! Paths of routes, in the normal form that requests are brought to before they are matched.

use super::{Kind, Shown};
use crate::node::Node;
use crate::source::Read;

/// Bytes of a path: far above any real one, far below the limit of a request's head.
const LENGTH_LIMIT: usize = 1024;

/// The whole path of a request.
pub(crate) struct RoutePath;

/// The first segments of a request's path.
pub(crate) struct RoutePrefix;

impl Kind for RoutePath {
    type Value = String;

    fn expected(&self) -> String {
        "a path such as \"/login\"".into()
    }

    fn read(&self, node: &Node<'_>) -> Read<String> {
        let text = node.text().unwrap_or_default();
        check(text).map_err(|fault| node.wrong(&self.expected(), fault.advice(text)))?;
        Ok(text.into())
    }
}

impl Kind for RoutePrefix {
    type Value = String;

    fn expected(&self) -> String {
        "a path such as \"/api\"".into()
    }

    fn read(&self, node: &Node<'_>) -> Read<String> {
        let text = node.text().unwrap_or_default();
        check(text).map_err(|fault| node.wrong(&self.expected(), fault.advice(text)))?;
        match text.strip_suffix('/') {
            // One form for each prefix, so that two routes cannot claim the same requests unnoticed.
            Some(prefix) if !prefix.is_empty() => {
                Err(node
                    .wrong(&self.expected(), format!("write \"{prefix}\": it matches itself and all that is below it")))
            }
            _ => Ok(text.into()),
        }
    }
}

impl Shown for RoutePrefix {
    fn show(&self, value: &String) -> String {
        format!("\"{value}\"")
    }
}

/// Why a path can match no request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Relative,
    TooLong,
    Query,
    Wildcard,
    Character(char),
    EmptySegment,
    DotSegment,
    Escape,
    NeedlessEscape(char),
    LowerCaseEscape,
    ForbiddenEscape,
}

impl Fault {
    fn advice(self, text: &str) -> String {
        match self {
            Self::Relative if text.is_empty() => "write a path that begins with `/`".into(),
            Self::Relative => "begin with `/`; the host goes into `host`".into(),
            Self::TooLong => format!("keep it to {LENGTH_LIMIT} bytes"),
            Self::Query => "leave out query and fragment: routes match the path alone".into(),
            Self::Wildcard => "there are no wildcards in paths: `path_prefix` matches all that is below it".into(),
            Self::Character(c) => format!("percent-encode {:?} (RFC 3986, 2.1)", c),
            Self::EmptySegment => {
                "remove the empty segment: `//` is not taken for `/`, so hardly any request has it".into()
            }
            Self::DotSegment => "resolve `.` and `..`: requests are matched without them".into(),
            Self::Escape => "follow each `%` with two hexadecimal digits".into(),
            Self::NeedlessEscape(c) => format!("write `{c}` itself: requests are matched with it decoded"),
            Self::LowerCaseEscape => {
                "write the digits of percent-escapes in upper case, as requests are matched".into()
            }
            Self::ForbiddenEscape => {
                "remove the escape: requests with an encoded control character or `\\` are refused".into()
            }
        }
    }
}

/// Whether a request's normal path (RFC 3986, 6.2.2) can be this one.
fn check(text: &str) -> Result<(), Fault> {
    if !text.starts_with('/') {
        return Err(Fault::Relative);
    }
    if text.len() > LENGTH_LIMIT {
        return Err(Fault::TooLong);
    }
    check_characters(text)?;
    check_escapes(text)?;
    let segments = text.strip_prefix('/').unwrap_or(text).split('/');
    let mut segments = segments.rev().skip_while(|last| last.is_empty()).peekable();
    if text.ends_with("//") || segments.any(str::is_empty) {
        return Err(Fault::EmptySegment);
    }
    if text.split('/').any(has_dots) { Err(Fault::DotSegment) } else { Ok(()) }
}

/// Whether the segment is `.` or `..`, or would be for a service that decodes `%2F` or drops parameters from `;` on.
fn has_dots(segment: &str) -> bool {
    segment.split("%2F").any(|piece| matches!(piece.split(';').next(), Some("." | "..")))
}

fn check_characters(text: &str) -> Result<(), Fault> {
    for c in text.chars() {
        match c {
            '?' | '#' => return Err(Fault::Query),
            '*' => return Err(Fault::Wildcard),
            // `pchar` of RFC 3986, 3.3, less `*`, which is allowed there and never meant here.
            '/' | '%' | '-' | '.' | '_' | '~' | '!' | '$' | '&' | '\'' | '(' | ')' | '+' | ',' | ';' | '=' | ':'
            | '@' => {}
            c if c.is_ascii_alphanumeric() => {}
            c => return Err(Fault::Character(c)),
        }
    }
    Ok(())
}

fn check_escapes(text: &str) -> Result<(), Fault> {
    for escape in text.split('%').skip(1) {
        let digits = escape.get(..2).ok_or(Fault::Escape)?;
        // `from_str_radix` would take a sign.
        if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(Fault::Escape);
        }
        let byte = u8::from_str_radix(digits, 16).map_err(|_| Fault::Escape)?;
        match byte {
            b'\\' | ..0x20 | 0x7F => return Err(Fault::ForbiddenEscape),
            b'-' | b'.' | b'_' | b'~' => return Err(Fault::NeedlessEscape(char::from(byte))),
            byte if byte.is_ascii_alphanumeric() => return Err(Fault::NeedlessEscape(char::from(byte))),
            _ if digits.bytes().any(|digit| digit.is_ascii_lowercase()) => return Err(Fault::LowerCaseEscape),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_text_is_accepted_or_refused_with_advice(text: String) {
            if let Err(fault) = check(&text) {
                prop_assert!(!fault.advice(&text).is_empty());
            }
        }
    }

    #[test]
    fn paths_in_normal_form_are_accepted() {
        for path in
            ["/", "/a", "/a/", "/a/b.c", "/a/...", "/~u/x;v=1", "/%20", "/caf%C3%A9", "/a/.well-known", "/a%2Fb"]
        {
            assert_eq!(check(path), Ok(()), "{path}");
        }
    }

    #[test]
    fn paths_that_no_request_can_have_are_refused() {
        for (path, fault) in [
            ("", Fault::Relative),
            ("a", Fault::Relative),
            ("/a?b", Fault::Query),
            ("/a#b", Fault::Query),
            ("/a/*", Fault::Wildcard),
            ("/a b", Fault::Character(' ')),
            ("/é", Fault::Character('é')),
            ("/a\\b", Fault::Character('\\')),
            ("//", Fault::EmptySegment),
            ("/a//b", Fault::EmptySegment),
            ("/a//", Fault::EmptySegment),
            ("/a/..", Fault::DotSegment),
            ("/./a", Fault::DotSegment),
            ("/%", Fault::Escape),
            ("/%4", Fault::Escape),
            ("/%+4", Fault::Escape),
            ("/%41", Fault::NeedlessEscape('A')),
            ("/%2e%2e", Fault::NeedlessEscape('.')),
            ("/caf%c3%A9", Fault::LowerCaseEscape),
            ("/a/..;v=1", Fault::DotSegment),
            ("/a%2F..", Fault::DotSegment),
            ("/%5C", Fault::ForbiddenEscape),
            ("/%00", Fault::ForbiddenEscape),
        ] {
            assert_eq!(check(path), Err(fault), "{path}");
        }
        assert_eq!(check(&format!("/{}", "a".repeat(LENGTH_LIMIT))), Err(Fault::TooLong));
    }
}
