//! Names of plugins.

use super::Language;

/// Characters of a name: as many as the gateway takes in a plugin's description.
const LENGTH_LIMIT: usize = 64;

/// Words that Rust keeps to itself or that a crate of the project has already, with `_` for `-`: cargo takes them as
/// the name of a library, and what it compiles then fails elsewhere.
const TAKEN_IN_RUST: [&str; 57] = [
    "abstract",
    "alloc",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "const",
    "continue",
    "core",
    "crate",
    "do",
    "dyn",
    "else",
    "enum",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "let",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "override",
    "priv",
    "proc_macro",
    "pub",
    "ref",
    "return",
    "self",
    "serde",
    "static",
    "std",
    "struct",
    "super",
    "test",
    "trait",
    "true",
    "try",
    "type",
    "typeof",
    "unsafe",
    "unsized",
    "use",
    "virtual",
    "where",
    "while",
    "witgate_sdk",
];

/// Checks a name: it goes into the plugin's description, names of files, and the manifests of all languages.
pub(super) fn check(name: &str, language: Language) -> Result<(), String> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let first = name.starts_with(|c: char| c.is_ascii_lowercase());
    if name.len() > LENGTH_LIMIT || !first || name.ends_with('-') || !name.bytes().all(allowed) {
        return Err(format!(
            "expected the name of a plugin, up to {LENGTH_LIMIT} lower-case letters, digits and hyphens, a letter first \
             and no hyphen last, got {name:?}; choose one such as `{}`",
            advise(name)
        ));
    }
    if language == Language::Rust && TAKEN_IN_RUST.contains(&name.replace('-', "_").as_str()) {
        return Err(format!("`{name}` cannot be the name of a library in Rust; choose one such as `{name}-plugin`"));
    }
    Ok(())
}

/// The nearest name that is allowed.
fn advise(name: &str) -> String {
    let mended: String = name.to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let mended = mended.trim_start_matches(|c: char| !c.is_ascii_lowercase());
    let mended = mended.get(..LENGTH_LIMIT).unwrap_or(mended).trim_end_matches('-');
    if mended.is_empty() { "my-plugin".to_owned() } else { mended.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_lower_case_letters_digits_and_hyphens() {
        for name in ["a", "my-plugin", "v2", "a--b", &"a".repeat(64)] {
            assert_eq!(check(name, Language::Rust), Ok(()), "{name}");
        }
    }

    #[test]
    fn other_names_are_refused_with_one_that_is_not() {
        for (name, advice) in [
            ("", "`my-plugin`"),
            ("My_Plugin", "`my-plugin`"),
            ("2fa", "`fa`"),
            ("-a", "`a`"),
            ("a-", "`a`"),
            ("a.b", "`a-b`"),
            ("a\n[workspace]", "`a--workspace`"),
            ("über", "`ber`"),
            ("..", "`my-plugin`"),
            (&"a".repeat(65), &"a".repeat(64)),
        ] {
            let refusal = check(name, Language::Go).unwrap_err();
            assert!(refusal.contains("lower-case letters") && refusal.contains(advice), "{refusal}");
            assert_eq!(check(&advise(name), Language::Rust), Ok(()));
        }
    }

    #[test]
    fn words_of_rust_are_names_in_every_other_language() {
        for name in ["fn", "witgate-sdk", "std", "proc-macro"] {
            assert!(check(name, Language::Rust).unwrap_err().contains(&format!("`{name}-plugin`")));
            assert_eq!(check(name, Language::C), Ok(()));
        }
    }
}
