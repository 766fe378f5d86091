//! Whatever the text, reading it ends, and says what is wrong with it.

use std::ops::Range;
use std::path::Path;

use proptest::prelude::*;
use witgate_config::{Config, Diagnostic, parse};

const SAMPLE: &str = include_str!("../../../gateway.toml");

/// Less than any thread of the gateway has.
const SMALL_STACK: usize = 512 * 1024;

/// Reads the text, and every form of every problem.
fn read(text: &str) -> Result<Config, Vec<Diagnostic>> {
    let result = parse(text, Path::new("gateway.toml"));
    if let Err(problems) = &result {
        assert!(!problems.is_empty(), "refused without a reason");
        assert!(problems.len() <= 101, "{} problems at once", problems.len());
        for problem in problems {
            let rendered = problem.render(Some(text));
            assert!(!rendered.contains(|c: char| c.is_control() && c != '\n'), "{rendered:?}");
            let json = problem.to_json();
            let texts = [json.get("message"), json.get("help")];
            assert!(texts.iter().all(|text| text.is_some_and(|text| text.is_string())), "{json}");
        }
    }
    result
}

fn problems(text: &str) -> Vec<String> {
    read(text).map_or_else(|problems| problems.iter().map(|problem| problem.message.clone()).collect(), |_| Vec::new())
}

/// The sample with some characters replaced by others.
fn mutate(range: Range<prop::sample::Index>, inserted: &str) -> String {
    let length = SAMPLE.chars().count();
    let (a, b) = (range.start.index(length), range.end.index(length));
    // Short cuts leave most of the file intact, so that they get past the syntax.
    let (start, end) = (a.min(b), a.max(b).min(a.min(b) + 12));
    SAMPLE.chars().take(start).chain(inserted.chars()).chain(SAMPLE.chars().skip(end)).collect()
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in any::<String>()) {
        let _ = read(&text);
    }

    #[test]
    fn any_text_of_toml_pieces_is_read_or_refused(pieces in prop::collection::vec(prop::sample::select(vec![
        "[", "]", "[[", "]]", "{", "}", "=", ".", ",", "\n", "\r\n", " ", "\"", "'", "\"\"\"", "#", "1", "-1", "5s",
        "\"5s\"", "0x7f", "nan", "1979-05-27", "true", "listeners", "address", "admin", "routes", "stages", "config",
        "upstreams", "name", "é", "\u{1b}", "\0", "\u{feff}", "\\u0000",
    ]), 0..60)) {
        let _ = read(&pieces.concat());
    }

    #[test]
    fn any_mutation_of_the_sample_is_read_or_refused(
        start in any::<prop::sample::Index>(),
        end in any::<prop::sample::Index>(),
        inserted in "[\\PC\n\t\0\u{1b}]{0,8}",
    ) {
        let _ = read(&mutate(start..end, &inserted));
    }

    #[test]
    fn reading_twice_gives_the_same(start in any::<prop::sample::Index>(), end in any::<prop::sample::Index>()) {
        let text = mutate(start..end, "");
        prop_assert_eq!(read(&text), read(&text));
    }
}

#[test]
fn the_sample_is_valid_and_does_not_differ_from_itself() {
    let config = read(SAMPLE).unwrap();
    assert_eq!(config.static_changes(&config, Path::new("gateway.toml")), []);
}

#[test]
fn tables_nested_without_end_do_not_overflow_a_small_stack() {
    let dotted = vec!["a"; 70].join(".");
    let bombs = [
        "[".repeat(100_000),
        format!("a = {}", "[".repeat(100_000)),
        format!("a = {}", "{a = ".repeat(100_000)),
        format!("[{}]", vec!["a"; 100_000].join(".")),
        // Each is within the parser's limits; together they nest by some 5 000.
        format!("[{dotted}]\n{dotted} = {}1{}", format!("{{ {dotted} = ").repeat(70), " }".repeat(70)),
        format!("[{dotted}]\n{dotted} = {}1{}", format!("[{{ {dotted} = ").repeat(35), " }]".repeat(35)),
    ];
    for (index, bomb) in bombs.into_iter().enumerate() {
        let reader = std::thread::Builder::new().stack_size(SMALL_STACK).spawn(move || read(&bomb).is_err());
        assert!(reader.unwrap().join().unwrap(), "bomb {index} was accepted");
    }
}

#[test]
fn a_plugins_configuration_nested_without_end_is_refused() {
    let dotted = vec!["a"; 70].join(".");
    let stage = format!("{{ plugin = \"auth\", config = {{ {dotted} = 1 }} }}");
    let text = SAMPLE.replace("# No stages: straight to the upstream.", "") + &format!("stages = [{stage}]\n");
    assert_eq!(problems(&text), ["expected at most 32 levels, got more"]);
}

#[test]
fn a_file_beyond_the_limit_is_refused_before_it_is_parsed() {
    let text = format!("{SAMPLE}#{}", "x".repeat(1024 * 1024));
    let [problem] = &problems(&text)[..] else { panic!("expected one problem") };
    assert!(problem.starts_with("expected at most 1048576 bytes"), "{problem}");
}

#[test]
fn of_very_many_problems_the_first_hundred_are_told_and_the_others_counted() {
    let text = format!("[downstream]\n{}", (0..250).map(|n| format!("unknown{n} = 1\n")).collect::<String>());
    let problems = problems(&text);
    assert_eq!(problems.len(), 101);
    // The 250 keys, and the listener that is missing.
    assert_eq!(problems.last().unwrap(), "151 more problems are not shown");
}
