//! What can be asked of a request. docs/inference/features.md defines each kind to the last bit.

use super::json::Pointer;
use super::observation::{DECODE_LIMIT, PART_LIMIT, Part, Text};

/// One measure of a request, as one number or several.
#[derive(Debug, Clone, PartialEq)]
pub struct Feature {
    pub kind: FeatureKind,
    pub transform: Transform,
}

/// What is measured.
#[derive(Debug, Clone, PartialEq)]
pub enum FeatureKind {
    /// Bytes of a text.
    Length(Text),
    /// Runs of bytes between separators.
    Tokens { text: Text, separators: String },
    /// Bytes of the longest run between separators.
    Longest { text: Text, separators: String },
    /// Bytes of a class, or their share of the text.
    Characters { text: Text, class: CharacterClass, share: bool },
    /// Shannon entropy of the bytes, in bits for each.
    Entropy(Text),
    /// 1 if the request has the part.
    Present(Part),
    /// One number for each word: 1 for the one that the text is.
    Equals { text: Text, words: Vec<String> },
    /// One number for each method: 1 for the request's.
    Method(Vec<String>),
    /// Hashed runs of `size` neighbouring bytes, counted in buckets.
    Ngrams { text: Text, size: usize, buckets: usize, weight: NgramWeight },
    /// The first `width` bytes as numbers, filled up with `pad`.
    Bytes { text: Text, width: usize, pad: u16 },
    /// The decimal number that a part is.
    Number { part: Part, default: f64 },
    /// A field of the JSON body by its pointer (RFC 6901).
    Json { pointer: String, default: f64 },
    /// The time of the request, in UTC.
    Time(TimeOf),
    /// How many requests of the client were counted lately.
    Rate { default: f64 },
    /// The response's status.
    Status(StatusOf),
}

/// Bytes that are alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CharacterClass {
    Digit,
    Lower,
    Upper,
    Letter,
    /// Printable ASCII that is neither letter, digit nor space.
    Punctuation,
    /// 0x09 to 0x0d, and 0x20.
    Space,
    /// 0x00 to 0x1f, and 0x7f.
    Control,
    /// 0x80 and above.
    NonAscii,
    /// `%` before two hexadecimal digits; counts the `%`.
    Escape,
    /// These ASCII characters.
    Set(String),
}

/// What stands in a bucket of n-grams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NgramWeight {
    /// How many fell into it.
    Count,
    /// 1 if any did.
    Binary,
    /// Their share of all.
    Share,
    /// Their count, divided by the Euclidean length of all counts.
    L2,
}

/// What of the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeOf {
    /// 0 to 23.
    Hour,
    /// 0 is Monday.
    Weekday,
    /// Sine of the share of the day that has passed, as an angle.
    DaySine,
    DayCosine,
}

/// What of the response's status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusOf {
    /// The number; 0 before there is a response.
    Code,
    /// Five numbers: 1 for the class, from 1xx to 5xx.
    Class,
}

/// What is done to each number, in this order, before it is rounded to 32 bits.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Transform {
    /// Least and greatest.
    pub clip: Option<(f64, f64)>,
    /// x becomes ln(1 + x), and -x becomes -ln(1 + x).
    pub log1p: bool,
    pub scale: Option<f64>,
}

impl Transform {
    pub(super) fn is_identity(&self) -> bool {
        *self == Self::default()
    }

    /// The number as the model gets it, never infinite.
    pub(super) fn apply(&self, mut value: f64) -> f32 {
        if let Some((least, most)) = self.clip {
            value = if value < least { least } else { value };
            value = if value > most { most } else { value };
        }
        if self.log1p {
            value = if value < 0.0 { -super::arithmetic::ln(1.0 - value) } else { super::arithmetic::ln(1.0 + value) };
        }
        value *= self.scale.unwrap_or(1.0);
        value.clamp(f64::from(f32::MIN), f64::from(f32::MAX)) as f32
    }

    fn problem(&self) -> Option<&'static str> {
        let bounds = self.clip.is_none_or(|(least, most)| least.is_finite() && most.is_finite() && least < most);
        match (bounds, self.scale.is_none_or(|scale| scale.is_finite() && scale != 0.0)) {
            (false, _) => Some("`clip` needs two finite numbers, the smaller one first"),
            (_, false) => Some("`scale` needs a finite number other than 0"),
            (true, true) => None,
        }
    }
}

impl CharacterClass {
    fn label(&self) -> &'static str {
        match self {
            Self::Digit => "digit",
            Self::Lower => "lower",
            Self::Upper => "upper",
            Self::Letter => "letter",
            Self::Punctuation => "punctuation",
            Self::Space => "space",
            Self::Control => "control",
            Self::NonAscii => "non-ascii",
            Self::Escape => "escape",
            Self::Set(_) => "set",
        }
    }

    pub(super) fn contains(&self, byte: u8) -> bool {
        match self {
            Self::Digit => byte.is_ascii_digit(),
            Self::Lower => byte.is_ascii_lowercase(),
            Self::Upper => byte.is_ascii_uppercase(),
            Self::Letter => byte.is_ascii_alphabetic(),
            Self::Punctuation => byte.is_ascii_punctuation(),
            Self::Space => matches!(byte, 0x09..=0x0d | 0x20),
            Self::Control => byte.is_ascii_control(),
            Self::NonAscii => !byte.is_ascii(),
            Self::Escape => false,
            Self::Set(set) => set.as_bytes().contains(&byte),
        }
    }
}

impl FeatureKind {
    /// How many numbers it is.
    pub fn width(&self) -> usize {
        match self {
            Self::Equals { words, .. } | Self::Method(words) => words.len(),
            Self::Ngrams { buckets, .. } => *buckets,
            Self::Bytes { width, .. } => *width,
            Self::Status(StatusOf::Class) => 5,
            _ => 1,
        }
    }

    /// The text that it looks at.
    pub(super) fn text(&self) -> Option<&Text> {
        match self {
            Self::Length(text) | Self::Entropy(text) => Some(text),
            Self::Tokens { text, .. }
            | Self::Longest { text, .. }
            | Self::Characters { text, .. }
            | Self::Equals { text, .. }
            | Self::Ngrams { text, .. }
            | Self::Bytes { text, .. } => Some(text),
            Self::Present(_)
            | Self::Method(_)
            | Self::Number { .. }
            | Self::Json { .. }
            | Self::Time(_)
            | Self::Rate { .. }
            | Self::Status(_) => None,
        }
    }

    pub(super) fn needs_body(&self) -> bool {
        let part = match self {
            Self::Present(part) | Self::Number { part, .. } => Some(part),
            Self::Json { .. } => return true,
            _ => self.text().map(|text| &text.part),
        };
        part == Some(&Part::Body)
    }

    /// Without what tells its numbers apart.
    pub(super) fn label(&self) -> String {
        match self {
            Self::Length(text) => format!("length({})", text.label()),
            Self::Tokens { text, .. } => format!("tokens({})", text.label()),
            Self::Longest { text, .. } => format!("longest({})", text.label()),
            Self::Characters { text, class, share } => {
                format!("characters({}, {}{})", text.label(), class.label(), if *share { ", share" } else { "" })
            }
            Self::Entropy(text) => format!("entropy({})", text.label()),
            Self::Present(part) => format!("present({})", part.label()),
            Self::Equals { text, .. } => format!("equals({})", text.label()),
            Self::Method(_) => "method".into(),
            Self::Ngrams { text, size, .. } => format!("ngrams({}, size={size})", text.label()),
            Self::Bytes { text, .. } => format!("bytes({})", text.label()),
            Self::Number { part, .. } => format!("number({})", part.label()),
            Self::Json { pointer, .. } => format!("json({pointer})"),
            Self::Time(TimeOf::Hour) => "time(hour)".into(),
            Self::Time(TimeOf::Weekday) => "time(weekday)".into(),
            Self::Time(TimeOf::DaySine) => "time(day-sine)".into(),
            Self::Time(TimeOf::DayCosine) => "time(day-cosine)".into(),
            Self::Rate { .. } => "rate(client)".into(),
            Self::Status(StatusOf::Code) => "status(code)".into(),
            Self::Status(StatusOf::Class) => "status(class)".into(),
        }
    }

    /// What tells one of its numbers from the others, if there are others.
    pub(super) fn suffix(&self, index: usize) -> String {
        match self {
            Self::Equals { words, .. } | Self::Method(words) => {
                format!("[{}]", words.get(index).map_or("", String::as_str))
            }
            Self::Ngrams { .. } | Self::Bytes { .. } => format!("[{index}]"),
            Self::Status(StatusOf::Class) => format!("[{}xx]", index + 1),
            _ => String::new(),
        }
    }

    fn problem(&self) -> Option<&'static str> {
        let is_ascii = |text: &str| text.is_ascii() && !text.is_empty();
        let wrong = match self {
            Self::Tokens { separators, .. } | Self::Longest { separators, .. } if !is_ascii(separators) => {
                "`separators` needs ASCII characters"
            }
            Self::Characters { class: CharacterClass::Set(set), .. } if !is_ascii(set) => {
                "`set` needs ASCII characters"
            }
            Self::Equals { words, .. } | Self::Method(words) if words.is_empty() => "it needs a word",
            Self::Ngrams { size, buckets, .. } if !(1..=5).contains(size) || *buckets == 0 => {
                "`size` is from 1 to 5, and `buckets` at least 1"
            }
            Self::Bytes { width, pad, .. } if !(1..=PART_LIMIT).contains(width) || *pad > 256 => {
                "`width` is at least 1, and `pad` at most 256"
            }
            Self::Number { default, .. } | Self::Json { default, .. } | Self::Rate { default }
                if !default.is_finite() =>
            {
                "`default` needs a finite number"
            }
            Self::Json { pointer, .. } if Pointer::new(pointer).is_none() => "it needs a JSON pointer (RFC 6901)",
            _ => return self.text().filter(|text| text.decode > DECODE_LIMIT).map(|_| "`decode` is 0, 1 or 2"),
        };
        Some(wrong)
    }
}

impl Feature {
    /// What is wrong with it.
    pub(super) fn problem(&self) -> Option<&'static str> {
        self.kind.problem().or_else(|| self.transform.problem())
    }
}
