//! Feature sets of the configuration, ready to be extracted.

use http::HeaderName;
use witgate_config as config;
use witgate_inference::features::{
    CharacterClass, Feature, FeatureError, FeatureKind, FeatureSet, NgramWeight, Part, StatusOf, Text, TimeOf,
    Transform,
};

/// # Errors
/// What the configuration cannot tell: nothing that it checks.
pub fn build(set: &config::FeatureSet) -> Result<FeatureSet, FeatureError> {
    FeatureSet::new(set.values.iter().map(feature).collect())
}

fn feature(feature: &config::Feature) -> Feature {
    let config::Feature { kind, clip, log1p, scale } = feature;
    Feature { kind: kind_of(kind), transform: Transform { clip: *clip, log1p: *log1p, scale: *scale } }
}

fn kind_of(kind: &config::FeatureKind) -> FeatureKind {
    use config::FeatureKind as From;
    match kind {
        From::Length(of) => FeatureKind::Length(text(of)),
        From::Tokens { text: of, separators } => FeatureKind::Tokens { text: text(of), separators: separators.clone() },
        From::Longest { text: of, separators } => {
            FeatureKind::Longest { text: text(of), separators: separators.clone() }
        }
        From::Characters { text: of, class, share } => {
            FeatureKind::Characters { text: text(of), class: class_of(class), share: *share }
        }
        From::Entropy(of) => FeatureKind::Entropy(text(of)),
        From::Present(of) => FeatureKind::Present(part(of)),
        From::Equals { text: of, words } => FeatureKind::Equals { text: text(of), words: words.clone() },
        From::Method(methods) => FeatureKind::Method(methods.clone()),
        From::Ngrams { text: of, size, buckets, weight } => FeatureKind::Ngrams {
            text: text(of),
            size: *size,
            buckets: *buckets,
            weight: match weight {
                config::NgramWeight::Count => NgramWeight::Count,
                config::NgramWeight::Binary => NgramWeight::Binary,
                config::NgramWeight::Share => NgramWeight::Share,
                config::NgramWeight::L2 => NgramWeight::L2,
            },
        },
        From::Bytes { text: of, width, pad } => FeatureKind::Bytes { text: text(of), width: *width, pad: *pad },
        From::Number { part: of, default } => FeatureKind::Number { part: part(of), default: *default },
        From::Json { pointer, default } => FeatureKind::Json { pointer: pointer.clone(), default: *default },
        From::Time(of) => FeatureKind::Time(match of {
            config::TimeOf::Hour => TimeOf::Hour,
            config::TimeOf::Weekday => TimeOf::Weekday,
            config::TimeOf::DaySine => TimeOf::DaySine,
            config::TimeOf::DayCosine => TimeOf::DayCosine,
        }),
        From::Rate { default } => FeatureKind::Rate { default: *default },
        From::Status(of) => FeatureKind::Status(match of {
            config::StatusOf::Code => StatusOf::Code,
            config::StatusOf::Class => StatusOf::Class,
        }),
    }
}

fn class_of(class: &config::CharacterClass) -> CharacterClass {
    use config::CharacterClass as From;
    match class {
        From::Digit => CharacterClass::Digit,
        From::Lower => CharacterClass::Lower,
        From::Upper => CharacterClass::Upper,
        From::Letter => CharacterClass::Letter,
        From::Punctuation => CharacterClass::Punctuation,
        From::Space => CharacterClass::Space,
        From::Control => CharacterClass::Control,
        From::NonAscii => CharacterClass::NonAscii,
        From::Escape => CharacterClass::Escape,
        From::Set(characters) => CharacterClass::Set(characters.clone()),
    }
}

fn text(text: &config::FeatureText) -> Text {
    let config::FeatureText { part: of, decode, lower } = text;
    Text { part: part(of), decode: *decode, lower: *lower }
}

fn part(part: &config::FeaturePart) -> Part {
    match part {
        config::FeaturePart::Path => Part::Path,
        config::FeaturePart::Query => Part::Query,
        config::FeaturePart::PathAndQuery => Part::PathAndQuery,
        // The configuration takes tokens only; a name that is none would never be there.
        config::FeaturePart::Header(name) => {
            HeaderName::from_bytes(name.as_bytes()).map_or(Part::Header(HeaderName::from_static("-")), Part::Header)
        }
        config::FeaturePart::Body => Part::Body,
    }
}
