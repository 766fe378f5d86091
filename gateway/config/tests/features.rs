//! The Python package that models are trained with takes the same features as the gateway, and the documentation
//! defines them all.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test ends at the first surprise"
)]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use witgate_config::{FeatureKind, parse};

/// Prints the width of the set in each file, which ends at a line of its own, or what is wrong with it.
const DRIVER: &str = r#"
import sys
import witgate_features
for text in sys.stdin.buffer.read().decode().split("\n----\n")[:-1]:
    try:
        print("takes", witgate_features.loads(text, "set").width)
    except witgate_features.ConfigError as error:
        print("refuses", str(error).replace("\n", " "))
"#;

const CASES: usize = 3000;

/// Every key of an entry, with values that are right and values that are not quite.
const KEYS: [(&str, &[&str]); 31] = [
    ("length", &["\"path\"", "\"header:x-a\"", "\"header:X\"", "\"header:\"", "\"header:a b\"", "\"pth\"", "1"]),
    ("tokens", &["\"query\"", "\"cookie\"", "[]"]),
    ("longest", &["\"path-and-query\"", "\"host\""]),
    ("characters", &["\"body\"", "true"]),
    ("entropy", &["\"query\"", "\"\""]),
    ("present", &["\"header:accept\"", "\"header:é\""]),
    ("equals", &["\"header:accept\"", "{}"]),
    ("method", &["[\"GET\"]", "[\"GET\", \"\"]", "[]", "[1]", "\"GET\""]),
    ("ngrams", &["\"query\"", "\"cookies\""]),
    ("bytes", &["\"path\"", "0"]),
    ("number", &["\"header:content-length\"", "\"number\""]),
    ("json", &["\"\"", "\"/a~1b\"", "\"a\"", "\"/~2\"", "\"/~\"", "1"]),
    ("time", &["\"hour\"", "\"day-sine\"", "\"minute\""]),
    ("rate", &["\"client\"", "\"route\""]),
    ("status", &["\"code\"", "\"class\"", "200"]),
    ("decode", &["0", "2", "3", "-1", "1.0", "true"]),
    ("lower", &["true", "1"]),
    ("separators", &["\"/\"", "\"\\u0000\"", "\"\"", "\"é\"", "47"]),
    ("class", &["\"digit\"", "\"non-ascii\"", "\"digits\""]),
    ("set", &["\"ab\"", "\"\"", "\"ä\""]),
    ("share", &["false", "\"yes\""]),
    ("words", &["[\"a\", \"b\"]", "[]", "[true]"]),
    ("size", &["1", "5", "0", "6"]),
    ("buckets", &["1", "0x1000", "4097", "0"]),
    ("weight", &["\"l2\"", "\"l1\""]),
    ("width", &["4096", "4097", "\"8\""]),
    ("pad", &["256", "257", "-1"]),
    ("default", &["-1", "0.5", "1e9", "1_000", "1.1e9", "nan", "false"]),
    ("clip", &["[0, 1]", "[-1.5, 1_0.5]", "[1, 1]", "[2, 1]", "[1]", "[0, inf]", "1"]),
    ("log1p", &["true", "\"true\""]),
    ("scale", &["0.1", "-2", "0", "-0.0", "1e10", "inf", "\"1\""]),
];

/// Kinds with options that go with them, so that many entries are right.
const FITTING: [(&str, &[&str]); 8] = [
    ("length", &["decode", "lower"]),
    ("tokens", &["separators", "decode"]),
    ("characters", &["class", "share"]),
    ("equals", &["words", "lower"]),
    ("ngrams", &["size", "buckets", "weight"]),
    ("bytes", &["width", "pad"]),
    ("number", &["default", "scale"]),
    ("json", &["default", "clip"]),
];

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// `key = value`, in half of the cases with the first value, which is right.
fn pair(key: &'static str) -> impl Strategy<Value = String> {
    let values = KEYS.iter().find(|(name, _)| *name == key).unwrap().1;
    prop_oneof![3 => Just(values[0]), 1 => prop::sample::select(values)]
        .prop_map(move |value| format!("{key} = {value}"))
}

fn entry() -> impl Strategy<Value = String> {
    let fitting = prop::sample::select(FITTING.to_vec()).prop_flat_map(|(kind, options)| {
        (pair(kind), prop::collection::vec(prop::sample::select(options).prop_flat_map(pair), 0..4))
    });
    let any = (prop::sample::select(KEYS.to_vec()), prop::collection::vec(prop::sample::select(KEYS.to_vec()), 0..2))
        .prop_flat_map(|(first, rest)| {
            let rest: Vec<_> = rest.into_iter().map(|(key, _)| pair(key)).collect();
            (pair(first.0), rest)
        });
    prop_oneof![3 => fitting, 1 => any].prop_map(|(first, mut rest)| {
        rest.insert(0, first);
        rest.sort();
        // A key that stands twice is a mistake of TOML's.
        rest.dedup_by_key(|pair| pair.split(' ').next().map(str::to_owned));
        format!("{{ {} }}", rest.join(", "))
    })
}

fn config(values: &str) -> String {
    format!("[[listeners]]\naddress = \"127.0.0.1:8080\"\n[features.set]\nvalues = [{values}]\n")
}

/// What the package says of each text.
fn in_python(texts: &[String]) -> Vec<String> {
    let mut python = Command::new("python3")
        .args(["-c", DRIVER])
        .env("PYTHONPATH", repository().join("python/witgate_features/src"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 is needed for this test");
    let mut stdin = python.stdin.take().unwrap();
    let input: String = texts.iter().map(|text| text.clone() + "\n----\n").collect();
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success(), "the driver failed; its words are above");
    writer.join().unwrap().unwrap();
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn the_package_takes_what_the_gateway_takes() {
    let mut runner = TestRunner::deterministic();
    let values = prop::collection::vec(entry(), 1..3);
    let mut texts: Vec<_> =
        (0..CASES).map(|_| config(&values.new_tree(&mut runner).unwrap().current().join(", "))).collect();
    texts.extend(["", "7", "{ length = \"path\", lenght = 1 }"].map(config));
    let said = in_python(&texts);
    assert_eq!(said.len(), texts.len());
    let mut taken = 0;
    for (text, said) in texts.iter().zip(said) {
        match parse(text, Path::new("gateway.toml")) {
            Ok(config) => {
                let width: usize = config.features["set"].values.iter().map(|value| value.kind.width()).sum();
                assert_eq!(said, format!("takes {width}"), "{text}");
                taken += 1;
            }
            Err(problems) => assert!(said.starts_with("refuses "), "{text}{said}: {problems:?}"),
        }
    }
    assert!((CASES / 10..CASES * 9 / 10).contains(&taken), "{taken} of {CASES} were taken");
}

#[test]
fn every_key_is_defined_in_the_documentation() {
    let documentation = std::fs::read_to_string(repository().join("docs/inference/features.md")).unwrap();
    for (key, values) in KEYS {
        assert!(documentation.contains(&format!("`{key}")), "docs/inference/features.md does not define `{key}`");
        if key == "class" || key == "weight" || key == "time" || key == "status" {
            let word = values[0].trim_matches('"');
            assert!(documentation.contains(word), "docs/inference/features.md does not define {word}");
        }
    }
    // The keys above are all that there are.
    let reference = witgate_config::reference();
    let section = reference.split("`[[features.NAME.values]]`").nth(1).expect("the reference has the section");
    let rows = section.split("\n#").next().unwrap().lines().filter(|line| line.starts_with("| `"));
    let mut keys: Vec<_> = rows.filter_map(|row| row.split('`').nth(1)).collect();
    keys.sort_unstable();
    let mut known = KEYS.map(|(key, _)| key);
    known.sort_unstable();
    assert_eq!(keys, known);
}

#[test]
fn a_set_is_read_as_it_stands_in_the_file() {
    let file = repository().join("gateway/config/tests/valid/every_key.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let config = parse(&text, &file).unwrap();
    let values = &config.features["shape"].values;
    assert_eq!(values.iter().map(|value| value.kind.width()).sum::<usize>(), 94);
    assert_eq!(values[0].clip, Some((0.0, 1000.5)));
    let FeatureKind::Ngrams { size, buckets, .. } = values[10].kind else { panic!("{:?}", values[10]) };
    assert_eq!((size, buckets), (2, 64));
}
