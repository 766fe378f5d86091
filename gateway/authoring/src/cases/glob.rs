//! Texts with `*`, which stands for any text.

/// Whether a text fits. Everything but `*` stands for itself.
pub(crate) fn fits(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    let mut rest = rest;
    for part in parts {
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn a_star_stands_for_any_text_and_nothing_else_does() {
        for (pattern, text) in [
            ("", ""),
            ("a", "a"),
            ("*", ""),
            ("*", "x"),
            ("a*c", "abc"),
            ("a*", "a"),
            ("*b*b", "abab"),
            ("a*b*c", "a-b-b-c"),
        ] {
            assert!(fits(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in
            [("", "a"), ("a", "ab"), ("a", ""), ("a*a", "a"), ("*b", "a"), ("a*b*c", "acb"), ("a.c", "abc")]
        {
            assert!(!fits(pattern, text), "{pattern} {text}");
        }
    }
}
