//! Patterns of RE2, which ONNX means, by Rust's engines.
//!
//! RE2's `\d`, `\s`, `\w` and `\b` know ASCII alone. A pattern that begins with `(?u)`, which RE2 refuses, comes from
//! Python, where they know Unicode; it is understood as Python does.

use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::nfa::thompson;
use regex_automata::util::pool::Pool;
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input, MatchKind, meta};
use regex_syntax::ast::{self, Ast, ClassPerlKind, ClassSetItem, FlagsItemKind, Visitor};

/// Bytes of a pattern. Those of tokenizers have tens.
pub(super) const PATTERN_LIMIT: usize = 16 * 1024;

/// Memory of a compiled pattern: 2 MiB, as little as RE2 allows by default.
const COMPILED_LIMIT: usize = 2 << 20;

/// Parentheses within each other.
const NEST_LIMIT: u32 = 100;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum PatternError {
    #[error("expected at most {PATTERN_LIMIT} bytes, got {0}")]
    Length(usize),
    #[error("{0}")]
    Syntax(String),
    #[error("RE2 knows no {0}")]
    Unknown(&'static str),
    #[error("word boundaries of Unicode are supported in (?u)\\b\\w+\\b and (?u)\\b\\w\\w+\\b alone")]
    Boundary,
}

type Caches = Pool<Cache, Box<dyn Fn() -> Cache + Send + Sync + std::panic::UnwindSafe + std::panic::RefUnwindSafe>>;

/// Finds where the longest match ends that begins at some place.
#[derive(Debug)]
struct Longest {
    automaton: DFA,
    caches: Caches,
}

/// A compiled pattern.
#[derive(Debug)]
pub(super) struct Pattern {
    /// Finds where a match begins; where it ends, too, if the first match is the one that counts.
    first: meta::Regex,
    /// The pattern and nothing around it.
    whole: meta::Regex,
    longest: Option<Longest>,
}

impl Pattern {
    pub fn new(text: &str) -> Result<Self, PatternError> {
        if text.len() > PATTERN_LIMIT {
            return Err(PatternError::Length(text.len()));
        }
        let Translated { text, is_longest } = translate(text)?;
        let compile = |text: &str| {
            let config =
                meta::Config::new().nfa_size_limit(Some(COMPILED_LIMIT)).onepass_size_limit(Some(COMPILED_LIMIT));
            let mut builder = meta::Builder::new();
            let regex = builder.configure(config).syntax(syntax::Config::new().nest_limit(2 * NEST_LIMIT)).build(text);
            regex.map_err(|error| PatternError::Syntax(error.to_string()))
        };
        // These tell a pattern that becomes too large, before memory is spent on the next.
        let (first, whole) = (compile(&text)?, compile(&format!("\\A(?:{text})\\z"))?);
        let longest = if is_longest {
            let config =
                DFA::config().match_kind(MatchKind::All).cache_capacity(COMPILED_LIMIT).skip_cache_capacity_check(true);
            let states = thompson::Config::new().nfa_size_limit(Some(COMPILED_LIMIT));
            let automaton = DFA::builder().configure(config).thompson(states).build(&text);
            let automaton = automaton.map_err(|error| PatternError::Syntax(error.to_string()))?;
            let of = automaton.clone();
            Some(Longest { automaton, caches: Pool::new(Box::new(move || of.create_cache())) })
        } else {
            None
        };
        Ok(Self { first, whole, longest })
    }

    /// Whether a text is a match from its first letter to its last.
    pub fn matches_all(&self, text: &str) -> bool {
        self.whole.is_match(text)
    }

    /// The first match at a place or behind it: where it begins and ends.
    pub fn find(&self, text: &str, from: usize) -> Option<(usize, usize)> {
        let found = self.first.find(Input::new(text).range(from..text.len()))?;
        let Some(longest) = &self.longest else { return Some((found.start(), found.end())) };
        let input = Input::new(text).range(found.start()..text.len()).anchored(Anchored::Yes);
        let end = longest.automaton.try_search_fwd(&mut longest.caches.get(), &input).ok().flatten();
        Some((found.start(), end.map_or(found.end(), |end| end.offset().max(found.end()))))
    }
}

/// A pattern that means to Rust's engines what the original means.
struct Translated {
    text: String,
    /// Whether the longest match counts, and it may be longer than the first.
    is_longest: bool,
}

fn translate(text: &str) -> Result<Translated, PatternError> {
    const WORD: &str = r"[\p{L}\p{N}_]";
    match text {
        r"(?u)\b\w+\b" => return Ok(Translated { text: format!("{WORD}+"), is_longest: false }),
        r"(?u)\b\w\w+\b" => return Ok(Translated { text: format!("{WORD}{{2,}}"), is_longest: false }),
        _ => {}
    }
    let parsed = ast::parse::ParserBuilder::new().nest_limit(NEST_LIMIT).build().parse(text);
    let parsed =
        parsed.map_err(|error| PatternError::Syntax(format!("at {}: {}", error.span().start.offset, error.kind())))?;
    let rewrite = Rewrite { is_unicode: text.starts_with("(?u)"), replacements: Vec::new() };
    let replacements = ast::visit(&parsed, rewrite)?;
    let (mut made, mut from) = (String::with_capacity(text.len()), 0);
    for (start, end, replacement) in replacements {
        made.push_str(text.get(from..start).unwrap_or_default());
        made.push_str(replacement);
        from = end;
    }
    made.push_str(text.get(from..).unwrap_or_default());
    // Python takes the first match. A class that repeats greedily matches as long as it can anyway.
    let is_simple = match &parsed {
        Ast::Repetition(repetition) => {
            repetition.greedy && matches!(*repetition.ast, Ast::ClassBracketed(_) | Ast::ClassPerl(_) | Ast::Literal(_))
        }
        Ast::ClassBracketed(_) | Ast::ClassPerl(_) | Ast::Literal(_) | Ast::Dot(_) => true,
        _ => false,
    };
    Ok(Translated { text: made, is_longest: !text.starts_with("(?u)") && !is_simple })
}

/// Collects what is to be written otherwise: from, to, and what.
struct Rewrite {
    is_unicode: bool,
    replacements: Vec<(usize, usize, &'static str)>,
}

impl Rewrite {
    fn replace(&mut self, span: &ast::Span, replacement: &'static str) {
        self.replacements.push((span.start.offset, span.end.offset, replacement));
    }

    fn perl(&mut self, class: &ast::ClassPerl) {
        let replacement = match (&class.kind, class.negated, self.is_unicode) {
            (ClassPerlKind::Digit, false, false) => "[0-9]",
            (ClassPerlKind::Digit, true, false) => "[^0-9]",
            (ClassPerlKind::Space, false, false) => r"[\t\n\x0c\r\x20]",
            (ClassPerlKind::Space, true, false) => r"[^\t\n\x0c\r\x20]",
            (ClassPerlKind::Word, false, false) => "[0-9A-Za-z_]",
            (ClassPerlKind::Word, true, false) => "[^0-9A-Za-z_]",
            (ClassPerlKind::Digit, false, true) => r"\p{Nd}",
            (ClassPerlKind::Digit, true, true) => r"\P{Nd}",
            (ClassPerlKind::Space, false, true) => r"[\p{White_Space}\x1c-\x1f]",
            (ClassPerlKind::Space, true, true) => r"[^\p{White_Space}\x1c-\x1f]",
            (ClassPerlKind::Word, false, true) => r"[\p{L}\p{N}_]",
            (ClassPerlKind::Word, true, true) => r"[^\p{L}\p{N}_]",
        };
        self.replace(&class.span, replacement);
    }

    fn flags(&self, flags: &ast::Flags) -> Result<(), PatternError> {
        for item in &flags.items {
            match item.kind {
                FlagsItemKind::Flag(ast::Flag::Unicode) if !self.is_unicode => {
                    return Err(PatternError::Unknown("flag u, and Python takes it at the beginning alone"));
                }
                FlagsItemKind::Flag(ast::Flag::IgnoreWhitespace) => return Err(PatternError::Unknown("flag x")),
                FlagsItemKind::Flag(ast::Flag::CRLF) => return Err(PatternError::Unknown("flag R")),
                _ => {}
            }
        }
        Ok(())
    }
}

impl Visitor for Rewrite {
    type Output = Vec<(usize, usize, &'static str)>;
    type Err = PatternError;

    fn finish(self) -> Result<Self::Output, PatternError> {
        Ok(self.replacements)
    }

    fn visit_pre(&mut self, ast: &Ast) -> Result<(), PatternError> {
        match ast {
            Ast::ClassPerl(class) => self.perl(class),
            Ast::Flags(set) => return self.flags(&set.flags),
            Ast::Group(group) => {
                if let ast::GroupKind::NonCapturing(flags) = &group.kind {
                    return self.flags(flags);
                }
            }
            Ast::Assertion(assertion) => match assertion.kind {
                ast::AssertionKind::WordBoundary | ast::AssertionKind::NotWordBoundary if self.is_unicode => {
                    return Err(PatternError::Boundary);
                }
                ast::AssertionKind::WordBoundary => self.replace(&assertion.span, r"(?-u:\b)"),
                ast::AssertionKind::NotWordBoundary => self.replace(&assertion.span, r"(?-u:\B)"),
                ast::AssertionKind::StartLine
                | ast::AssertionKind::EndLine
                | ast::AssertionKind::StartText
                | ast::AssertionKind::EndText => {}
                _ => return Err(PatternError::Unknown("boundaries of the beginning or end of words")),
            },
            _ => {}
        }
        Ok(())
    }

    fn visit_class_set_item_pre(&mut self, item: &ClassSetItem) -> Result<(), PatternError> {
        match item {
            ClassSetItem::Perl(class) => self.perl(class),
            ClassSetItem::Bracketed(_) => return Err(PatternError::Unknown("classes within classes")),
            _ => {}
        }
        Ok(())
    }

    fn visit_class_set_binary_op_pre(&mut self, _operation: &ast::ClassSetBinaryOp) -> Result<(), PatternError> {
        Err(PatternError::Unknown("operations of classes"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(pattern: &str, text: &str) -> Vec<String> {
        let pattern = Pattern::new(pattern).unwrap();
        let (mut found, mut from) = (Vec::new(), 0);
        while let Some((start, end)) = pattern.find(text, from).filter(|(start, end)| start < end) {
            found.push(text[start..end].to_owned());
            from = end;
        }
        found
    }

    #[test]
    fn classes_know_ascii_alone_unless_the_pattern_is_one_of_python() {
        assert_eq!(tokens(r"\w+", "héé中 ab_1"), ["h", "ab_1"]);
        assert_eq!(tokens(r"[^\W\d]+", "aé1b"), ["a", "b"]);
        assert_eq!(tokens(r"\s", "\u{a0}\u{b} "), [" "]);
        assert_eq!(tokens(r"(?u)\b\w\w+\b", "a bcé e\u{301}f"), ["bcé"]);
        assert_eq!(tokens(r"(?u)\w+", "héé中 ab"), ["héé中", "ab"]);
        assert_eq!(tokens(r"\bab\b", "ab éab xab"), ["ab", "ab"]);
        assert_eq!(tokens(r".\Bb", "ab cb"), ["ab", "cb"]);
    }

    #[test]
    fn the_longest_match_counts() {
        assert_eq!(tokens("sam|samwise", "samwise sam"), ["samwise", "sam"]);
        assert_eq!(tokens("a+?", "aab"), ["aa"]);
        assert_eq!(tokens("(a?)(ab)?", "ab"), ["ab"]);
        assert_eq!(tokens("[ab]+|b", "xabb"), ["abb"]);
    }

    #[test]
    fn a_whole_text_matches_whatever_comes_first() {
        let pattern = Pattern::new("a|ab").unwrap();
        assert!(pattern.matches_all("ab") && !pattern.matches_all("abc") && !pattern.matches_all("xa"));
        assert!(!Pattern::new("a$").unwrap().matches_all("a\n"));
    }

    #[test]
    fn what_re2_does_not_know_is_refused() {
        for pattern in [
            r"a(?=b)", r"(a)\1", "(?x)a", "a(?u)b", r"[a&&b]", r"[[ab]c]", r"\<a", r"(?u)\ba", "(", r"\C", "a{1,",
            "[a--b]",
        ] {
            assert!(Pattern::new(pattern).is_err(), "{pattern}");
        }
        assert!(Pattern::new(&"a".repeat(PATTERN_LIMIT + 1)).is_err());
        assert!(Pattern::new(r"(\pL{1000}){1000}").is_err());
        assert!(Pattern::new(&format!("{}a{}", "(".repeat(200), ")".repeat(200))).is_err());
    }
}
