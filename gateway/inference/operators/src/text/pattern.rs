//! Patterns of RE2, which ONNX means, by Rust's engines.
//!
//! RE2's `\d`, `\s`, `\w` and `\b` know ASCII alone. A pattern that begins with `(?u)`, which RE2 refuses, comes from
//! Python, where they know Unicode; it is understood as Python does.
//!
//! A pattern comes with a model and its texts from clients, so both are held to limits: the size of what a pattern becomes,
//! and the steps that it takes over a text. All searches are by automata that read each letter once and give up where they
//! would have to build a state for nearly every letter.

use std::sync::Arc;

use regex_automata::hybrid::{dfa, regex};
use regex_automata::nfa::thompson;
use regex_automata::util::pool::Pool;
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input, MatchKind};

use super::translate::{Translated, translate};
use crate::error::OperatorError;
use crate::limits::Budget;

/// Bytes of a pattern. Those of tokenizers have tens.
pub(super) const PATTERN_LIMIT: usize = 16 * 1024;

/// Memory of a compiled pattern: 1 MiB. Classes of Unicode take some ten thousand bytes each, and RE2 allows as little by
/// default.
const COMPILED_LIMIT: usize = 1 << 20;

/// Memory of the states that one search keeps: 2 MiB, of which there are as many as threads that search.
const CACHE_LIMIT: usize = 2 << 20;

/// A search gives up if it has filled its memory so often and has read less than so many bytes for each state.
const CLEARED: usize = 3;
const READ: usize = 10;

/// Parentheses within each other.
pub(super) const NEST_LIMIT: u32 = 100;

/// States of a compiled pattern that make a letter cost a step more: making a state of an automaton goes through all of
/// them, and there may be one for each few letters.
const STATES_OF_STEP: usize = 256;

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

type Caches<C> = Pool<C, Box<dyn Fn() -> C + Send + Sync + std::panic::UnwindSafe + std::panic::RefUnwindSafe>>;

/// An automaton, with the memory of those who search with it.
#[derive(Debug)]
struct Automaton {
    dfa: dfa::DFA,
    caches: Caches<dfa::Cache>,
}

impl Automaton {
    fn new(text: &str, kind: MatchKind) -> Result<Self, PatternError> {
        let mut builder = dfa::DFA::builder();
        let built = builder.configure(config().match_kind(kind)).syntax(nesting()).thompson(size()).build(text);
        let dfa = built.map_err(|error| PatternError::Syntax(error.to_string()))?;
        let of = dfa.clone();
        Ok(Self { dfa, caches: Pool::new(Box::new(move || of.create_cache())) })
    }

    /// Where the match ends that begins where the input does.
    fn end(&self, input: &Input<'_>) -> Result<Option<usize>, OperatorError> {
        let found = self.dfa.try_search_fwd(&mut self.caches.get(), input).map_err(|_| given_up())?;
        Ok(found.map(|end| end.offset()))
    }
}

fn config() -> dfa::Config {
    dfa::Config::new()
        .cache_capacity(CACHE_LIMIT)
        .skip_cache_capacity_check(true)
        .minimum_cache_clear_count(Some(CLEARED))
        .minimum_bytes_per_state(Some(READ))
}

fn nesting() -> syntax::Config {
    // Translation may put each part of a pattern in parentheses once.
    syntax::Config::new().nest_limit(2 * NEST_LIMIT)
}

fn size() -> thompson::Config {
    thompson::Config::new().nfa_size_limit(Some(COMPILED_LIMIT))
}

fn given_up() -> OperatorError {
    OperatorError::Element("a pattern takes too many steps for a text".to_owned())
}

/// A compiled pattern.
#[derive(Debug)]
pub(super) struct Pattern {
    /// Finds where a match begins; where it ends, too, if the first match is the one that counts.
    first: Arc<regex::Regex>,
    caches: Caches<regex::Cache>,
    /// The pattern and nothing around it.
    whole: Automaton,
    /// Finds where the longest match ends that begins at some place.
    longest: Option<Automaton>,
    /// Whether a search reads no further than a letter behind the match.
    is_local: bool,
    /// For a letter.
    steps: usize,
}

impl Pattern {
    pub fn new(text: &str) -> Result<Self, PatternError> {
        if text.len() > PATTERN_LIMIT {
            return Err(PatternError::Length(text.len()));
        }
        let Translated { text, is_longest, is_local } = translate(text)?;
        let built = regex::Regex::builder().dfa(config()).syntax(nesting()).thompson(size()).build(&text);
        let first = built.map_err(|error| PatternError::Syntax(error.to_string()))?;
        let first = Arc::new(first);
        let of = Arc::clone(&first);
        let longest = if is_longest { Some(Automaton::new(&text, MatchKind::All)?) } else { None };
        Ok(Self {
            steps: 1 + first.forward().get_nfa().states().len() / STATES_OF_STEP,
            first,
            caches: Pool::new(Box::new(move || of.create_cache())),
            whole: Automaton::new(&format!("\\A(?:{text})\\z"), MatchKind::LeftmostFirst)?,
            longest,
            is_local,
        })
    }

    /// Whether a text is a match from its first letter to its last.
    pub fn matches_all(&self, text: &str, budget: &mut Budget) -> Result<bool, OperatorError> {
        budget.work(text.len().saturating_mul(self.steps))?;
        Ok(self.whole.end(&Input::new(text))?.is_some())
    }

    /// The first match at a place or behind it: where it begins and ends.
    pub fn find(&self, text: &str, from: usize, budget: &mut Budget) -> Result<Option<(usize, usize)>, OperatorError> {
        let rest = text.len().saturating_sub(from);
        if !self.is_local {
            // It may be read to the end for each match, and back.
            budget.work(rest.saturating_mul(self.steps))?;
        }
        let input = Input::new(text).range(from..);
        let found = self.first.try_search(&mut self.caches.get(), &input).map_err(|_| given_up())?;
        if self.is_local {
            let read = found.map_or(rest, |found| found.end().saturating_sub(from));
            budget.work(read.saturating_mul(self.steps))?;
        }
        let Some(found) = found else { return Ok(None) };
        let Some(longest) = &self.longest else { return Ok(Some((found.start(), found.end()))) };
        let end = longest.end(&Input::new(text).range(found.start()..).anchored(Anchored::Yes))?;
        Ok(Some((found.start(), end.map_or(found.end(), |end| end.max(found.end())))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limits;

    fn tokens(pattern: &str, text: &str) -> Vec<String> {
        let pattern = Pattern::new(pattern).unwrap();
        let (mut found, mut from) = (Vec::new(), 0);
        let mut budget = Budget::default();
        while let Some((start, end)) = pattern.find(text, from, &mut budget).unwrap().filter(|(start, end)| start < end)
        {
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
        let matches = |pattern: &Pattern, text: &str| pattern.matches_all(text, &mut Budget::default()).unwrap();
        assert!(matches(&pattern, "ab") && !matches(&pattern, "abc") && !matches(&pattern, "xa"));
        assert!(!matches(&Pattern::new("a$").unwrap(), "a\n"));
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
        assert!(Pattern::new(&format!("{}a{}", "(".repeat(200), ")".repeat(200))).is_err());
    }

    #[test]
    fn patterns_that_become_too_large_are_refused() {
        for pattern in [
            r"(\pL{1000}){1000}",
            "a{1000}{1000}",
            "(((a{1000}){1000}){1000}){1000}|b",
            "(?i)(?:[[:alpha:]]{999}){999}",
            &"(?:a?){1000}".repeat(1000),
            &r"\pL|".repeat(4000),
        ] {
            assert!(Pattern::new(pattern).is_err(), "{pattern}");
        }
        // Nothing, however often, is nothing.
        assert!(Pattern::new("((((){1000}){1000}){1000}){1000}").is_ok());
    }

    #[test]
    fn searches_are_held_to_the_budget() {
        // Each match is found after a look at all of the text.
        let (pattern, text) = (Pattern::new("(a|b)*c|a").unwrap(), "a".repeat(100_000));
        let mut budget = Budget::new(Limits { work: 1_000_000, ..Limits::default() });
        let ends = (0..text.len()).map(|from| pattern.find(&text, from, &mut budget));
        let found = ends.take_while(Result::is_ok).count();
        assert!((9..=10).contains(&found), "{found}");
        // A word is read once.
        let (pattern, text) = (Pattern::new("[a-z]+").unwrap(), "ab ".repeat(100_000));
        let (mut budget, mut from) = (Budget::new(Limits { work: 1_000_000, ..Limits::default() }), 0);
        while let Some((_, end)) = pattern.find(&text, from, &mut budget).unwrap() {
            from = end;
        }
        assert_eq!(from, text.len() - 1);
    }

    #[test]
    fn a_pattern_that_needs_a_state_for_each_letter_gives_up() {
        let pattern = Pattern::new("[ab]*a[ab]{4000}c").unwrap();
        let mut state = 1_u32;
        let text: String = std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            if state.is_multiple_of(2) { 'a' } else { 'b' }
        })
        .take(1 << 20)
        .collect();
        let problem = pattern.matches_all(&text, &mut Budget::default()).unwrap_err();
        assert_eq!(problem.to_string(), "a pattern takes too many steps for a text");
    }
}
