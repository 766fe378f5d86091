//! The package that models are trained with gives the same bits as the gateway: random features of random and nasty
//! requests, extracted by both.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test ends at the first surprise"
)]

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::json;
use witgate_inference::features::{
    CharacterClass, Feature, FeatureKind, FeatureSet, NgramWeight, Observation, Part, StatusOf, Text, TimeOf, Transform,
};

/// Reads a set and requests from each line, and prints names and bits.
const DRIVER: &str = r#"
import array, json, sys
import witgate_features
for line in sys.stdin.buffer:
    case = json.loads(line)
    features = witgate_features.loads(case["toml"], "set")
    bits = [array.array("f", features.extract(witgate_features.from_json(request))).tobytes().hex()
            for request in case["requests"]]
    print(json.dumps({"names": features.names(), "bits": bits}))
"#;

const SETS: usize = 600;
/// Sets of every pointer, for there are more ways to be wrong about JSON than about the rest together.
const JSON_SETS: usize = 200;
const REQUESTS: usize = 4;

const HEADERS: [&str; 5] = ["user-agent", "cookie", "accept", "content-length", "x-n"];

const POINTERS: [&str; 11] = ["", "/", "/a", "/a/0", "/0", "/a~1b", "/~0", "/a/a", "/b/1/a", "/-", "/00"];

/// A request that owns what it is made of.
#[derive(Debug, Clone)]
struct Request {
    method: String,
    target: Vec<u8>,
    headers: HeaderMap,
    body: Vec<u8>,
    rate: Option<f64>,
    time: i64,
    status: Option<u16>,
}

impl Request {
    fn observe(&self) -> Observation<'_> {
        let Self { method, target, headers, body, rate, time, status } = self;
        Observation { method, target, headers, body, rate: *rate, time: *time, status: *status }
    }

    fn to_json(&self) -> serde_json::Value {
        let mut halves = self.target.splitn(2, |byte| *byte == b'?');
        let headers: Vec<_> =
            self.headers.iter().map(|(name, value)| json!([name.as_str(), hex(value.as_bytes())])).collect();
        json!({
            "method": self.method,
            "path": hex(halves.next().unwrap()),
            "query": halves.next().map(hex),
            "headers": headers,
            "body": hex(&self.body),
            "rate": self.rate,
            "time": self.time,
            "status": self.status,
        })
    }
}

fn hex(bytes: &[u8]) -> serde_json::Value {
    json!({ "hex": digits(bytes) })
}

fn digits(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut digits, byte| {
        write!(digits, "{byte:02x}").unwrap();
        digits
    })
}

const PIECES: [&str; 12] = ["%41", "%2541", "%25%34%31", "%", "%4", "%zz", "%%41", "%00", "%C3%A9", "+", "//", "<'\">"];

/// Bytes with what features look for: escapes whole and broken, separators, letters, and anything.
fn nasty(most: usize) -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => "[a-zA-Z0-9/&=;. ]{0,12}".prop_map(String::into_bytes),
        3 => prop::sample::select(PIECES.to_vec())
            .prop_map(|piece| piece.as_bytes().to_vec()),
        2 => prop::collection::vec(any::<u8>(), 0..6),
        1 => (any::<u8>(), 0_usize..most).prop_map(|(byte, times)| vec![byte; times]),
    ];
    prop::collection::vec(piece, 0..10).prop_map(|pieces| pieces.concat())
}

fn number() -> impl Strategy<Value = String> {
    prop_oneof!["-?[0-9]{1,20}", "-?[0-9]{1,9}\\.[0-9]{1,25}", "-?[0-9]{1,3}(\\.[0-9]{1,3})?[eE][+-]?[0-9]{1,3}"]
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        number(),
        prop::sample::select(vec![
            r#""""#,
            r#""é\u00e9\ud83d\ude00\n""#,
            r#""\ud800""#,
            r#""a\u005c""#,
            "01",
            "NaN",
            "\"\t\""
        ])
        .prop_map(str::to_owned),
    ];
    let tree = leaf.prop_recursive(4, 24, 4, |inner| {
        let name = prop::sample::select(vec!["a", "b", "0", "a/b", "\\u0061", "~", ""]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|values| format!("[{}]", values.join(", "))),
            prop::collection::vec((name, inner), 0..4).prop_map(|members| {
                let members: Vec<_> = members.iter().map(|(name, value)| format!("\"{name}\" : {value}")).collect();
                format!(" {{{}}}\n", members.join(","))
            }),
        ]
    });
    prop_oneof![
        6 => tree.prop_map(String::into_bytes),
        2 => nasty(9000),
        1 => Just(Vec::new()),
        1 => (63_usize..67).prop_map(|depth| ("[".repeat(depth) + &"]".repeat(depth)).into_bytes()),
        1 => (65_535_usize..65_538).prop_map(|width| (" ".repeat(width) + "7").into_bytes()),
        1 => Just("[".repeat(40_000).into_bytes()),
    ]
}

fn request() -> impl Strategy<Value = Request> {
    let value = prop_oneof![
        nasty(3000),
        number().prop_map(|number| format!(" {number}\t").into_bytes()),
        prop::sample::select(vec!["a", "*/*", "1_0", "1.", "0x1", "inf", "\u{661}"])
            .prop_map(|text| text.as_bytes().to_vec()),
    ];
    let headers = prop::collection::vec((prop::sample::select(HEADERS.to_vec()), value), 0..6).prop_map(|fields| {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            let value: Vec<u8> =
                value.into_iter().filter(|byte| *byte == b'\t' || (*byte >= 32 && *byte != 127)).collect();
            headers.append(HeaderName::from_static(name), HeaderValue::from_bytes(&value).unwrap());
        }
        headers
    });
    let rate = prop::option::of(prop_oneof![Just(0.0), 0.0..1e6, Just(1e300)]);
    let method = prop::sample::select(vec!["GET", "POST", "get", "PROPFIND"]).prop_map(str::to_owned);
    (method, nasty(9000), headers, body(), rate, any::<i32>(), prop::option::of(0_u16..700)).prop_map(
        |(method, target, headers, body, rate, time, status)| {
            // Beyond 2038 too, and before 1970.
            let time = i64::from(time) * 3;
            Request { method, target, headers, body, rate, time, status }
        },
    )
}

fn part() -> impl Strategy<Value = Part> {
    prop_oneof![
        Just(Part::Path),
        Just(Part::Query),
        Just(Part::PathAndQuery),
        Just(Part::Body),
        prop::sample::select(HEADERS.to_vec()).prop_map(|name| Part::Header(HeaderName::from_static(name))),
    ]
}

fn text() -> impl Strategy<Value = Text> {
    (part(), 0_u8..3, any::<bool>()).prop_map(|(part, decode, lower)| Text { part, decode, lower })
}

fn class() -> impl Strategy<Value = CharacterClass> {
    use CharacterClass::{Control, Digit, Escape, Letter, Lower, NonAscii, Punctuation, Set, Space, Upper};
    let named = vec![Digit, Lower, Upper, Letter, Punctuation, Space, Control, NonAscii, Escape];
    prop_oneof![3 => prop::sample::select(named), 1 => "[\0-\x7f]{1,9}".prop_map(Set)]
}

fn kind() -> impl Strategy<Value = FeatureKind> {
    let words = || {
        prop::collection::vec(prop::sample::select(vec!["a", "*/*", "GET", "get", "", "é"]), 1..4)
            .prop_map(|words| words.into_iter().map(str::to_owned).collect::<Vec<_>>())
    };
    let weight =
        prop::sample::select(vec![NgramWeight::Count, NgramWeight::Binary, NgramWeight::Share, NgramWeight::L2]);
    let pointer =
        prop::sample::select(vec!["", "/", "/a", "/a/0", "/0", "/a~1b", "/~0", "/a/a", "/b/1/a", "/-", "/00"]);
    let pointer = pointer.prop_map(str::to_owned);
    let default = || prop_oneof![Just(0.0), -1e9..1e9_f64, Just(-1.0)];
    let of = prop::sample::select(vec![TimeOf::Hour, TimeOf::Weekday, TimeOf::DaySine, TimeOf::DayCosine]);
    prop_oneof![
        text().prop_map(FeatureKind::Length),
        (text(), "[\0-\x7f]{1,4}").prop_map(|(text, separators)| FeatureKind::Tokens { text, separators }),
        (text(), "[/&=^\\]\\-a]{1,3}").prop_map(|(text, separators)| FeatureKind::Longest { text, separators }),
        (text(), class(), any::<bool>()).prop_map(|(text, class, share)| FeatureKind::Characters {
            text,
            class,
            share
        }),
        text().prop_map(FeatureKind::Entropy),
        part().prop_map(FeatureKind::Present),
        (text(), words()).prop_map(|(text, words)| FeatureKind::Equals { text, words }),
        words().prop_map(FeatureKind::Method),
        (text(), 1_usize..6, 1_usize..70, weight).prop_map(|(text, size, buckets, weight)| FeatureKind::Ngrams {
            text,
            size,
            buckets,
            weight
        }),
        (text(), 1_usize..70, 0_u16..257).prop_map(|(text, width, pad)| FeatureKind::Bytes { text, width, pad }),
        (part(), default()).prop_map(|(part, default)| FeatureKind::Number { part, default }),
        (pointer, default()).prop_map(|(pointer, default)| FeatureKind::Json { pointer, default }),
        of.prop_map(FeatureKind::Time),
        default().prop_map(|default| FeatureKind::Rate { default }),
        prop::sample::select(vec![StatusOf::Code, StatusOf::Class]).prop_map(FeatureKind::Status),
    ]
}

fn feature() -> impl Strategy<Value = Feature> {
    let clip = prop::option::of((-100.0..100.0_f64, 0.001..1e6_f64).prop_map(|(least, more)| (least, least + more)));
    let scale = prop::option::of(prop_oneof![Just(-1.0), Just(0.01), Just(1e9), 1e-6..10.0_f64]);
    (kind(), clip, any::<bool>(), scale)
        .prop_map(|(kind, clip, log1p, scale)| Feature { kind, transform: Transform { clip, log1p, scale } })
}

fn quoted(text: &str) -> String {
    // TOML's escapes are those of JSON, and it wants one more.
    serde_json::to_string(text).unwrap().replace('\u{7f}', "\\u007f")
}

fn list(words: &[String]) -> String {
    format!("[{}]", words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(", "))
}

/// As it stands in gateway.toml.
fn part_in_toml(part: &Part) -> String {
    match part {
        Part::Path => "\"path\"".into(),
        Part::Query => "\"query\"".into(),
        Part::PathAndQuery => "\"path-and-query\"".into(),
        Part::Body => "\"body\"".into(),
        Part::Header(name) if name == "cookie" => "\"cookie\"".into(),
        Part::Header(name) => format!("\"header:{name}\""),
    }
}

fn text_in_toml(text: &Text) -> String {
    format!("{}, decode = {}, lower = {}", part_in_toml(&text.part), text.decode, text.lower)
}

fn class_in_toml(class: &CharacterClass) -> String {
    let name = match class {
        CharacterClass::Digit => "digit",
        CharacterClass::Lower => "lower",
        CharacterClass::Upper => "upper",
        CharacterClass::Letter => "letter",
        CharacterClass::Punctuation => "punctuation",
        CharacterClass::Space => "space",
        CharacterClass::Control => "control",
        CharacterClass::NonAscii => "non-ascii",
        CharacterClass::Escape => "escape",
        CharacterClass::Set(set) => return format!("set = {}", quoted(set)),
    };
    format!("class = \"{name}\"")
}

fn kind_in_toml(kind: &FeatureKind) -> String {
    match kind {
        FeatureKind::Length(text) => format!("length = {}", text_in_toml(text)),
        FeatureKind::Tokens { text, separators } => {
            format!("tokens = {}, separators = {}", text_in_toml(text), quoted(separators))
        }
        FeatureKind::Longest { text, separators } => {
            format!("longest = {}, separators = {}", text_in_toml(text), quoted(separators))
        }
        FeatureKind::Characters { text, class, share } => {
            format!("characters = {}, {}, share = {share}", text_in_toml(text), class_in_toml(class))
        }
        FeatureKind::Entropy(text) => format!("entropy = {}", text_in_toml(text)),
        FeatureKind::Present(part) => format!("present = {}", part_in_toml(part)),
        FeatureKind::Equals { text, words } => format!("equals = {}, words = {}", text_in_toml(text), list(words)),
        FeatureKind::Method(words) => format!("method = {}", list(words)),
        FeatureKind::Ngrams { text, size, buckets, weight } => {
            let weight = match weight {
                NgramWeight::Count => "count",
                NgramWeight::Binary => "binary",
                NgramWeight::Share => "share",
                NgramWeight::L2 => "l2",
            };
            format!("ngrams = {}, size = {size}, buckets = {buckets}, weight = \"{weight}\"", text_in_toml(text))
        }
        FeatureKind::Bytes { text, width, pad } => {
            format!("bytes = {}, width = {width}, pad = {pad}", text_in_toml(text))
        }
        FeatureKind::Number { part, default } => format!("number = {}, default = {default:?}", part_in_toml(part)),
        FeatureKind::Json { pointer, default } => format!("json = {}, default = {default:?}", quoted(pointer)),
        FeatureKind::Time(TimeOf::Hour) => "time = \"hour\"".into(),
        FeatureKind::Time(TimeOf::Weekday) => "time = \"weekday\"".into(),
        FeatureKind::Time(TimeOf::DaySine) => "time = \"day-sine\"".into(),
        FeatureKind::Time(TimeOf::DayCosine) => "time = \"day-cosine\"".into(),
        FeatureKind::Rate { default } => format!("rate = \"client\", default = {default:?}"),
        FeatureKind::Status(StatusOf::Code) => "status = \"code\"".into(),
        FeatureKind::Status(StatusOf::Class) => "status = \"class\"".into(),
    }
}

fn set_in_toml(features: &[Feature]) -> String {
    let values = features.iter().map(|Feature { kind, transform: Transform { clip, log1p, scale } }| {
        let clip = clip.map_or(String::new(), |(least, most)| format!(", clip = [{least:?}, {most:?}]"));
        let scale = scale.map_or(String::new(), |scale| format!(", scale = {scale:?}"));
        format!("  {{ {}, log1p = {log1p}{clip}{scale} }},\n", kind_in_toml(kind))
    });
    format!("[features.set]\nvalues = [\n{}]\n", values.collect::<String>())
}

/// What the driver prints for these lines.
fn driven(input: Vec<u8>) -> String {
    let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../python/witgate_features/src");
    let mut python = Command::new("python3")
        .args(["-c", DRIVER])
        .env("PYTHONPATH", package)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 is needed for this test");
    let mut stdin = python.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success(), "the driver failed; its words are above");
    writer.join().unwrap().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn both_implementations_give_the_same_bits() {
    let mut runner = TestRunner::deterministic();
    let cases = (prop::collection::vec(feature(), 1..6), prop::collection::vec(request(), REQUESTS));
    let mut cases: Vec<_> = (0..SETS).map(|_| cases.new_tree(&mut runner).unwrap().current()).collect();
    let requests = prop::collection::vec(request(), REQUESTS);
    let fields = POINTERS.map(|pointer| Feature {
        kind: FeatureKind::Json { pointer: pointer.into(), default: -1.0 },
        transform: Transform::default(),
    });
    cases.extend((0..JSON_SETS).map(|_| (fields.to_vec(), requests.new_tree(&mut runner).unwrap().current())));

    let mut input = Vec::new();
    for (features, requests) in &cases {
        let requests: Vec<_> = requests.iter().map(Request::to_json).collect();
        writeln!(input, "{}", json!({ "toml": set_in_toml(features), "requests": requests })).unwrap();
    }
    let printed = driven(input);
    assert_eq!(printed.lines().count(), SETS + JSON_SETS);

    for ((features, requests), line) in cases.into_iter().zip(printed.lines()) {
        let toml = set_in_toml(&features);
        let set = FeatureSet::new(features).unwrap();
        let python: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(json!(set.names()), python["names"], "{toml}");
        assert_eq!(set.names().len(), set.width(), "{toml}");
        for (request, bits) in requests.iter().zip(python["bits"].as_array().unwrap()) {
            let mut numbers = Vec::new();
            set.extract(&request.observe(), &mut numbers);
            assert!(numbers.iter().all(|number| number.is_finite()), "{toml}{request:?}: {numbers:?}");
            let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
            assert_eq!(json!(digits(&bytes)), *bits, "{toml}{request:?}: {numbers:?}");
        }
    }
}
