//! Names that the operator gives: of upstreams, plugins, routes.

use super::Kind;
use crate::node::Node;
use crate::source::Read;

/// Characters of a name. Names become metric labels, which are kept for each name and printed for each scrape.
const LENGTH_LIMIT: usize = 64;

const EXPECTED: &str = "a name of 1 to 64 lower-case letters, digits, `-` and `_`";

/// A name.
pub(crate) struct Name;

impl Kind for Name {
    type Value = String;

    fn expected(&self) -> String {
        EXPECTED.into()
    }

    fn read(&self, node: &Node<'_>) -> Read<String> {
        let text = node.text().unwrap_or_default();
        if is_valid(text) { Ok(text.into()) } else { Err(node.wrong(EXPECTED, advise(text))) }
    }
}

pub(crate) fn is_valid(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
    (1..=LENGTH_LIMIT).contains(&name.len()) && name.bytes().all(allowed)
}

/// The key of a named table as its name.
pub(crate) fn check(name: &str, node: &Node<'_>) -> Read<()> {
    if is_valid(name) {
        return Ok(());
    }
    Err(node.fail(format!("expected {EXPECTED}, got {}", crate::node::quote(name)), advise(name)))
}

fn advise(name: &str) -> String {
    let mended: String = name
        .to_lowercase()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '-' })
        .take(LENGTH_LIMIT)
        .collect();
    if is_valid(&mended) && mended.contains(|c: char| c.is_ascii_alphanumeric()) {
        format!("names become metric labels: rename it, for example to `{mended}`")
    } else {
        "names become metric labels: choose one such as `backend-1`".into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_of_lower_case_letters_digits_dash_and_underscore() {
        for name in ["a", "per-client", "key_1", "0", &"x".repeat(64)] {
            assert!(is_valid(name), "{name}");
        }
        for name in ["", "A", "a b", "a.b", "ä", "a/b", &"x".repeat(65)] {
            assert!(!is_valid(name), "{name}");
        }
    }

    #[test]
    fn advice_is_a_name_that_is_valid() {
        assert!(advise("My Backend").contains("`my-backend`"));
        assert!(advise("").contains("`backend-1`"));
        assert!(advise("...").contains("`backend-1`"));
    }
}
