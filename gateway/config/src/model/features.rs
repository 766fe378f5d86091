//! Features: how requests become numbers for models. docs/inference/features.md defines each kind.

use crate::Spot;

/// Numbers that a model takes, in order; at least one, and at most 4096.
#[derive(Debug, Clone, PartialEq)]
pub struct FeatureSet {
    pub spot: Spot,
    pub values: Vec<Feature>,
}

/// One measure of a request, as one number or several.
#[derive(Debug, Clone, PartialEq)]
pub struct Feature {
    pub kind: FeatureKind,
    /// Least and greatest, the least being less; applied first.
    pub clip: Option<(f64, f64)>,
    /// Applied second.
    pub log1p: bool,
    /// Not 0; applied third.
    pub scale: Option<f64>,
}

/// A part of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FeaturePart {
    Path,
    Query,
    PathAndQuery,
    /// In lower case; a token (RFC 9110, section 5.6.2).
    Header(String),
    Body,
}

/// A part of a request, and what is done to it before it is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeatureText {
    pub part: FeaturePart,
    /// Rounds of percent-decoding, at most 2.
    pub decode: u8,
    /// Into lower case.
    pub lower: bool,
}

/// What is measured.
#[derive(Debug, Clone, PartialEq)]
pub enum FeatureKind {
    Length(FeatureText),
    /// ASCII characters, at least one.
    Tokens {
        text: FeatureText,
        separators: String,
    },
    /// ASCII characters, at least one.
    Longest {
        text: FeatureText,
        separators: String,
    },
    Characters {
        text: FeatureText,
        class: CharacterClass,
        share: bool,
    },
    Entropy(FeatureText),
    Present(FeaturePart),
    /// At least one word.
    Equals {
        text: FeatureText,
        words: Vec<String>,
    },
    /// At least one.
    Method(Vec<String>),
    /// `size` is from 1 to 5, `buckets` at least 1.
    Ngrams {
        text: FeatureText,
        size: usize,
        buckets: usize,
        weight: NgramWeight,
    },
    /// `width` is at least 1, `pad` at most 256.
    Bytes {
        text: FeatureText,
        width: usize,
        pad: u16,
    },
    Number {
        part: FeaturePart,
        default: f64,
    },
    /// A pointer as in RFC 6901.
    Json {
        pointer: String,
        default: f64,
    },
    Time(TimeOf),
    Rate {
        default: f64,
    },
    Status(StatusOf),
}

/// Bytes that are alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CharacterClass {
    Digit,
    Lower,
    Upper,
    Letter,
    Punctuation,
    Space,
    Control,
    NonAscii,
    Escape,
    /// These ASCII characters, at least one.
    Set(String),
}

/// What stands in a bucket of n-grams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NgramWeight {
    Count,
    Binary,
    Share,
    L2,
}

/// What of the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeOf {
    Hour,
    Weekday,
    DaySine,
    DayCosine,
}

/// What of the response's status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusOf {
    Code,
    Class,
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
}
