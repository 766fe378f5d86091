//! `[features.NAME]`: what is measured of requests for models.

use std::collections::BTreeMap;

use crate::kind::{Bounds, Characters, Choice, Decimal, Factor, Kind, List, Number, PartName, Pointer, Switch, Word};
use crate::source::Read;
use crate::table::{Key, Reload, Section, Table};
use crate::{
    CharacterClass, Feature, FeatureKind, FeaturePart, FeatureSet, FeatureText, NgramWeight, StatusOf, TimeOf,
};

const SECTION: Section = Section {
    name: "features",
    reload: Reload::Live,
    doc: "Features: what is known of a request, as numbers that a model takes. docs/inference/features.md defines \
          each kind to the last bit; the Python package `witgate_features` reads the same section, so that models \
          are trained on what they will get.",
};

const VALUES: Section = Section {
    name: "values",
    reload: Reload::Live,
    doc: "What is measured, in the order in which the model takes it: 1 to 4096 numbers in all. Each entry has \
          exactly one of the keys from `length` to `status`, which says what is measured, and options that go with \
          it.",
};

/// Numbers of one set. It bounds the time that features take of a request.
const WIDTH_LIMIT: u32 = 4096;
/// Words of one entry; more are better hashed.
const WORDS_LIMIT: usize = 256;

const NGRAM_SIZE: u32 = 3;
const NGRAM_BUCKETS: u32 = 256;
const BYTES_WIDTH: u32 = 256;

/// What is measured: exactly one of them.
const KINDS: [&str; 15] = [
    "length",
    "tokens",
    "longest",
    "characters",
    "entropy",
    "present",
    "equals",
    "method",
    "ngrams",
    "bytes",
    "number",
    "json",
    "time",
    "rate",
    "status",
];

/// Options that go with some kinds only.
const OPTIONS: [&str; 13] = [
    "decode",
    "lower",
    "separators",
    "class",
    "set",
    "share",
    "words",
    "size",
    "buckets",
    "weight",
    "width",
    "pad",
    "default",
];

const LENGTH: Key<PartName> = Key {
    name: "length",
    kind: PartName,
    example: "\"path\"",
    doc: "Bytes of a part, of which the first 8192 are looked at.",
};

const TOKENS: Key<PartName> = Key {
    name: "tokens",
    kind: PartName,
    example: "\"query\"",
    doc: "Runs of bytes between `separators`: parameters of the query with `\"&\"`, segments of the path with `\"/\"`.",
};

const LONGEST: Key<PartName> = Key {
    name: "longest",
    kind: PartName,
    example: "\"query\"",
    doc: "Bytes of the longest run between `separators`.",
};

const CHARACTERS: Key<PartName> = Key {
    name: "characters",
    kind: PartName,
    example: "\"path-and-query\"",
    doc: "How many bytes are of a `class` or in a `set`, of which one is needed.",
};

const ENTROPY: Key<PartName> = Key {
    name: "entropy",
    kind: PartName,
    example: "\"query\"",
    doc: "Shannon entropy of the bytes, from 0 to 8 bits.",
};

const PRESENT: Key<PartName> = Key {
    name: "present",
    kind: PartName,
    example: "\"header:referer\"",
    doc: "1 if the request has the part, else 0.",
};

const EQUALS: Key<PartName> = Key {
    name: "equals",
    kind: PartName,
    example: "\"header:accept\"",
    doc: "A number for each of the `words`: 1 for the one that the part is, else 0.",
};

const METHOD: Key<List<Word>> = Key {
    name: "method",
    kind: List { kind: Word, least: 1, most: WORDS_LIMIT },
    example: "[\"GET\", \"POST\"]",
    doc: "A number for each method: 1 for the request's, else 0.",
};

const NGRAMS: Key<PartName> = Key {
    name: "ngrams",
    kind: PartName,
    example: "\"path-and-query\"",
    doc: "Runs of `size` neighbouring bytes, hashed into `buckets` numbers.",
};

const BYTES: Key<PartName> = Key {
    name: "bytes",
    kind: PartName,
    example: "\"path-and-query\"",
    doc: "The first `width` bytes as they are, a number for each, filled up with `pad`: for models that read \
          sequences.",
};

const NUMBER: Key<PartName> = Key {
    name: "number",
    kind: PartName,
    example: "\"header:content-length\"",
    doc: "The decimal number that a part is, or else `default`.",
};

const JSON: Key<Pointer> = Key {
    name: "json",
    kind: Pointer,
    example: "\"/user/age\"",
    doc: "A field of the request's JSON body: a number; 1 or 0 for `true` or `false`; the bytes of a string; the \
          elements of an array. `default` for anything else, and if the body is no JSON or longer than 64 KiB.",
};

const TIME: Key<Choice<TimeOf>> = Key {
    name: "time",
    kind: Choice(&[
        ("hour", TimeOf::Hour),
        ("weekday", TimeOf::Weekday),
        ("day-sine", TimeOf::DaySine),
        ("day-cosine", TimeOf::DayCosine),
    ]),
    example: "\"hour\"",
    doc: "The time of the request in UTC: the hour from 0 to 23; the day of the week, from 0 for Monday; the share \
          of the day as the sine and cosine of an angle.",
};

const RATE: Key<Choice<()>> = Key {
    name: "rate",
    kind: Choice(&[("client", ())]),
    example: "\"client\"",
    doc: "How many requests of the client were counted lately, or `default` if they are not counted.",
};

const STATUS: Key<Choice<StatusOf>> = Key {
    name: "status",
    kind: Choice(&[("code", StatusOf::Code), ("class", StatusOf::Class)]),
    example: "\"class\"",
    doc: "The response's status, for models that score it afterwards: the number, or five numbers of which the one \
          of its class is 1. 0 before there is a response.",
};

const DECODE: Key<Number> = Key {
    name: "decode",
    kind: Number { least: 0, most: 2 },
    example: "2",
    doc: "Rounds of percent-decoding before the part is looked at. Without it, 0.",
};

const LOWER: Key<Switch> = Key {
    name: "lower",
    kind: Switch,
    example: "true",
    doc: "Puts ASCII letters into lower case before the part is looked at. Without it, `false`.",
};

const SEPARATORS: Key<Characters> = Key {
    name: "separators",
    kind: Characters,
    example: "\"/&\"",
    doc: "For `tokens` and `longest`, which need it: each of these characters ends a run.",
};

const CLASS: Key<Choice<Class>> = Key {
    name: "class",
    kind: Choice(&[
        ("digit", Class::Digit),
        ("lower", Class::Lower),
        ("upper", Class::Upper),
        ("letter", Class::Letter),
        ("punctuation", Class::Punctuation),
        ("space", Class::Space),
        ("control", Class::Control),
        ("non-ascii", Class::NonAscii),
        ("escape", Class::Escape),
    ]),
    example: "\"digit\"",
    doc: "For `characters`: which bytes count. `\"escape\"`: percent signs before two hexadecimal digits.",
};

const SET: Key<Characters> =
    Key { name: "set", kind: Characters, example: "\"'\\\"<>\"", doc: "For `characters`: these characters count." };

const SHARE: Key<Switch> = Key {
    name: "share",
    kind: Switch,
    example: "true",
    doc: "For `characters`: the share of the part's bytes instead of how many. Without it, `false`.",
};

const WORDS: Key<List<Word>> = Key {
    name: "words",
    kind: List { kind: Word, least: 1, most: WORDS_LIMIT },
    example: "[\"*/*\", \"text/html\"]",
    doc: "For `equals`, which needs it: what the part is compared with.",
};

const SIZE: Key<Number> = Key {
    name: "size",
    kind: Number { least: 1, most: 5 },
    example: "3",
    doc: "For `ngrams`: bytes of a run. Without it, 3.",
};

const BUCKETS: Key<Number> = Key {
    name: "buckets",
    kind: Number { least: 1, most: WIDTH_LIMIT },
    example: "256",
    doc: "For `ngrams`: how many numbers there are. Without it, 256.",
};

const WEIGHT: Key<Choice<NgramWeight>> = Key {
    name: "weight",
    kind: Choice(&[
        ("count", NgramWeight::Count),
        ("binary", NgramWeight::Binary),
        ("share", NgramWeight::Share),
        ("l2", NgramWeight::L2),
    ]),
    example: "\"l2\"",
    doc: "For `ngrams`: what a number is. How many runs fell into its bucket; 1 if any did; their share of all; or \
          how many, divided by the Euclidean length of all of them. Without it, `\"count\"`.",
};

const WIDTH: Key<Number> = Key {
    name: "width",
    kind: Number { least: 1, most: WIDTH_LIMIT },
    example: "256",
    doc: "For `bytes`: how many numbers there are. Without it, 256.",
};

const PAD: Key<Number> = Key {
    name: "pad",
    kind: Number { least: 0, most: 256 },
    example: "256",
    doc: "For `bytes`: what stands behind the last byte. Without it, 0.",
};

const DEFAULT: Key<Decimal> = Key {
    name: "default",
    kind: Decimal,
    example: "-1",
    doc: "For `number`, `json` and `rate`: what stands for nothing. Without it, 0.",
};

const CLIP: Key<Bounds> = Key {
    name: "clip",
    kind: Bounds,
    example: "[0, 1000]",
    doc: "For any kind, the first of three transformations: less than the first becomes the first, more than the \
          second the second.",
};

const LOG1P: Key<Switch> = Key {
    name: "log1p",
    kind: Switch,
    example: "true",
    doc: "For any kind, the second: x becomes ln(1 + x), and -x becomes -ln(1 + x).",
};

const SCALE: Key<Factor> =
    Key { name: "scale", kind: Factor, example: "0.01", doc: "For any kind, the third: multiplies." };

/// A class by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Digit,
    Lower,
    Upper,
    Letter,
    Punctuation,
    Space,
    Control,
    NonAscii,
    Escape,
}

pub(super) fn read(root: &mut Table<'_>) -> Read<BTreeMap<String, FeatureSet>> {
    root.map(&SECTION, |table, _| {
        let values = table.list(&VALUES, read_value)?;
        let width = values.iter().map(|value| value.kind.width()).sum::<usize>();
        if width == 0 {
            let message = "missing: expected at least one feature";
            return Err(table.fail_at(VALUES.name, message, "add `values = [{ length = \"path\" }]`"));
        }
        if width > WIDTH_LIMIT as usize {
            let message = format!("expected at most {WIDTH_LIMIT} numbers in all, got {width}");
            return Err(table.fail_at(
                VALUES.name,
                message,
                "remove features, or choose fewer `buckets` and less `width`",
            ));
        }
        Ok(FeatureSet { spot: table.spot(), values })
    })
}

/// The kinds that look at a part, in the order of the reference.
const OF_PARTS: [&Key<PartName>; 10] =
    [&LENGTH, &TOKENS, &LONGEST, &CHARACTERS, &ENTROPY, &PRESENT, &EQUALS, &NGRAMS, &BYTES, &NUMBER];

fn read_value(table: &mut Table<'_>) -> Read<Feature> {
    let mut part = Ok(None);
    for key in OF_PARTS {
        let read = table.optional(key);
        if !matches!(read, Ok(None)) {
            part = read;
        }
    }
    let (method, json, time) = (table.optional(&METHOD), table.optional(&JSON), table.optional(&TIME));
    let (rate, status) = (table.optional(&RATE), table.optional(&STATUS));
    let options = Options::read(table);
    let (clip, log1p, scale) = (table.optional(&CLIP), table.optional(&LOG1P), table.optional(&SCALE));

    let name = name_of_kind(table)?;
    let strays = refuse_strays(table, name);
    let (part, method, json, time, status) = (part?, method?, json?, time?, status?);
    rate?;
    let (options, clip, log1p, scale) = (options?, clip?, log1p?, scale?);
    strays?;
    let kind = match (part, method, json, time, status) {
        (Some(part), ..) => options.kind_of_part(table, name, part)?,
        (_, Some(methods), ..) => FeatureKind::Method(methods),
        (_, _, Some(pointer), ..) => FeatureKind::Json { pointer, default: options.default },
        (_, _, _, Some(time), _) => FeatureKind::Time(time),
        (_, _, _, _, Some(status)) => FeatureKind::Status(status),
        _ => FeatureKind::Rate { default: options.default },
    };
    Ok(Feature { kind, clip, log1p: log1p.unwrap_or(false), scale })
}

/// The one key that says what is measured.
fn name_of_kind(table: &Table<'_>) -> Read<&'static str> {
    let given: Vec<&str> = KINDS.into_iter().filter(|kind| table.has(kind)).collect();
    match given[..] {
        [kind] => Ok(kind),
        [first, second, ..] => {
            let message = format!("expected one key that says what is measured, got `{first}` and `{second}`");
            Err(table.fail_at(second, message, "write an entry of its own for each"))
        }
        [] => {
            let kinds = KINDS.map(|kind| format!("`{kind}`")).join(", ");
            let message = format!("missing: expected one of {kinds}");
            Err(table.fail(message, "say what is measured: `{ length = \"path\" }`, for example"))
        }
    }
}

/// The options that go with a kind besides the transformations.
fn options_of(kind: &str) -> &'static [&'static str] {
    match kind {
        "length" | "entropy" => &["decode", "lower"],
        "tokens" | "longest" => &["decode", "lower", "separators"],
        "characters" => &["decode", "lower", "class", "set", "share"],
        "equals" => &["decode", "lower", "words"],
        "ngrams" => &["decode", "lower", "size", "buckets", "weight"],
        "bytes" => &["decode", "lower", "width", "pad"],
        "number" | "json" | "rate" => &["default"],
        _ => &[],
    }
}

fn refuse_strays(table: &Table<'_>, kind: &str) -> Read<()> {
    let allowed = options_of(kind);
    let mut failure = None;
    for option in OPTIONS.into_iter().filter(|option| table.has(option) && !allowed.contains(option)) {
        let with = [allowed, &["clip", "log1p", "scale"]].concat();
        let with = with.iter().map(|option| format!("`{option}`")).collect::<Vec<_>>().join(", ");
        let help = format!("remove it; with `{kind}` go {with}");
        failure = Some(table.fail_at(option, format!("`{option}` does not go with `{kind}`"), help));
    }
    failure.map_or(Ok(()), Err)
}

/// Whatever goes with some kind.
struct Options {
    decode: u8,
    lower: bool,
    separators: Option<String>,
    class: Option<Class>,
    set: Option<String>,
    share: bool,
    words: Option<Vec<String>>,
    size: usize,
    buckets: usize,
    weight: NgramWeight,
    width: usize,
    pad: u16,
    default: f64,
}

impl Options {
    fn read(table: &mut Table<'_>) -> Read<Self> {
        let (decode, lower) = (table.optional(&DECODE), table.optional(&LOWER));
        let separators = table.optional(&SEPARATORS);
        let (class, set, share) = (table.optional(&CLASS), table.optional(&SET), table.optional(&SHARE));
        let words = table.optional(&WORDS);
        let (size, buckets, weight) = (table.optional(&SIZE), table.optional(&BUCKETS), table.optional(&WEIGHT));
        let (width, pad, default) = (table.optional(&WIDTH), table.optional(&PAD), table.optional(&DEFAULT));
        Ok(Self {
            decode: decode?.unwrap_or(0) as u8,
            lower: lower?.unwrap_or(false),
            separators: separators?,
            class: class?,
            set: set?,
            share: share?.unwrap_or(false),
            words: words?,
            size: size?.unwrap_or(NGRAM_SIZE) as usize,
            buckets: buckets?.unwrap_or(NGRAM_BUCKETS) as usize,
            weight: weight?.unwrap_or(NgramWeight::Count),
            width: width?.unwrap_or(BYTES_WIDTH) as usize,
            pad: pad?.unwrap_or(0) as u16,
            default: default?.unwrap_or(0.0),
        })
    }

    fn kind_of_part(self, table: &Table<'_>, name: &str, part: FeaturePart) -> Read<FeatureKind> {
        let separators = self.separators;
        match name {
            "present" => return Ok(FeatureKind::Present(part)),
            "number" => return Ok(FeatureKind::Number { part, default: self.default }),
            _ => {}
        }
        let text = FeatureText { part, decode: self.decode, lower: self.lower };
        Ok(match name {
            "tokens" => FeatureKind::Tokens { text, separators: needed(table, &SEPARATORS, separators)? },
            "longest" => FeatureKind::Longest { text, separators: needed(table, &SEPARATORS, separators)? },
            "characters" => {
                FeatureKind::Characters { text, class: class(table, self.class, self.set)?, share: self.share }
            }
            "equals" => FeatureKind::Equals { text, words: needed(table, &WORDS, self.words)? },
            "ngrams" => FeatureKind::Ngrams { text, size: self.size, buckets: self.buckets, weight: self.weight },
            "bytes" => FeatureKind::Bytes { text, width: self.width, pad: self.pad },
            "entropy" => FeatureKind::Entropy(text),
            _ => FeatureKind::Length(text),
        })
    }
}

/// An option without which its kind means nothing.
fn needed<K: Kind>(table: &Table<'_>, key: &Key<K>, value: Option<K::Value>) -> Read<K::Value> {
    value.ok_or_else(|| {
        let message = format!("missing: expected {}", key.kind.expected());
        table.fail_at(key.name, message, format!("add `{} = {}`", key.name, key.example))
    })
}

fn class(table: &Table<'_>, class: Option<Class>, set: Option<String>) -> Read<CharacterClass> {
    match (class, set) {
        (None, Some(set)) => Ok(CharacterClass::Set(set)),
        (Some(class), None) => Ok(match class {
            Class::Digit => CharacterClass::Digit,
            Class::Lower => CharacterClass::Lower,
            Class::Upper => CharacterClass::Upper,
            Class::Letter => CharacterClass::Letter,
            Class::Punctuation => CharacterClass::Punctuation,
            Class::Space => CharacterClass::Space,
            Class::Control => CharacterClass::Control,
            Class::NonAscii => CharacterClass::NonAscii,
            Class::Escape => CharacterClass::Escape,
        }),
        (Some(_), Some(_)) => {
            Err(table.fail_at(SET.name, "expected `class` or `set`, got both", "write an entry of its own for each"))
        }
        (None, None) => {
            let help = "add `class = \"digit\"`, for example";
            Err(table.fail_at(CLASS.name, "missing: expected `class` or `set` with `characters`", help))
        }
    }
}
