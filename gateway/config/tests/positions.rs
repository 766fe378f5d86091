//! Every problem stands in the file that has it.

use std::path::Path;

use proptest::prelude::*;
use witgate_config::{Diagnostic, parse};

const SAMPLE: &str = include_str!("../../../gateway.toml");

/// A file with every key, in more forms than the sample.
const EVERY_KEY: &str = include_str!("valid/every_key.toml");

/// Whether the problem stands at a character of the text or right behind a line's last; absent things stand nowhere.
fn is_inside(problem: &Diagnostic, text: &str) -> bool {
    let Some(spot) = problem.spot.as_ref().filter(|spot| spot.is_in_file()) else { return true };
    let line = text.split('\n').nth(spot.line - 1);
    line.is_some_and(|line| (1..=line.chars().count() + 1).contains(&spot.column))
}

/// The text with the characters from `start` on, `length` of them, replaced.
fn replaced(text: &str, start: prop::sample::Index, length: usize, by: &str) -> String {
    let start = start.index(text.chars().count());
    text.chars().take(start).chain(by.chars()).chain(text.chars().skip(start + length)).collect()
}

/// Text to insert: characters that TOML and the configuration give a meaning, and some that they do not.
fn insertion() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        prop::sample::select(vec![
            "\"",
            "'",
            "\n",
            "\r\n",
            "[[",
            "]",
            "{",
            "=",
            ".",
            "#",
            "7",
            "-",
            "é",
            "\u{1F600}",
            "\0"
        ])
        .prop_map(str::to_owned),
        any::<String>(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_mutated_file_has_its_problems_inside(
        sample in prop::sample::select(vec![SAMPLE, EVERY_KEY]),
        // Several small changes, so that most files get past the syntax with more than one mistake.
        changes in prop::collection::vec((any::<prop::sample::Index>(), 0_usize..40, insertion()), 1..4),
    ) {
        let text = changes.iter().fold(sample.to_owned(), |text, (start, length, by)| {
            if text.is_empty() { text } else { replaced(&text, *start, *length, by) }
        });
        for problem in parse(&text, Path::new("gateway.toml")).err().into_iter().flatten() {
            prop_assert!(is_inside(&problem, &text), "{problem:?} in {text:?}");
        }
    }

    #[test]
    fn a_file_cut_off_anywhere_has_its_problems_inside(end in any::<prop::sample::Index>()) {
        let text: String = EVERY_KEY.chars().take(end.index(EVERY_KEY.chars().count())).collect();
        for problem in parse(&text, Path::new("gateway.toml")).err().into_iter().flatten() {
            prop_assert!(is_inside(&problem, &text), "{problem:?} in {text:?}");
        }
    }

    #[test]
    fn a_wrong_value_is_found_where_it_stands(lines in 0_usize..50, spaces in 0_usize..50) {
        let lead = format!("{}[downstream]\nidle_timeout ={}", "# é\n".repeat(lines), " ".repeat(spaces));
        let text = format!("{lead}60\n[[listeners]]\naddress = \"127.0.0.1:0\"\n");
        let problems = parse(&text, Path::new("gateway.toml")).unwrap_err();
        let spot = problems[0].spot.clone().unwrap();
        prop_assert_eq!((spot.line, spot.column), (lines + 2, "idle_timeout =".len() + spaces + 1));
        prop_assert_eq!(spot.path, "downstream.idle_timeout");
        prop_assert_eq!(problems.len(), 1);
    }
}
