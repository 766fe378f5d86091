//! How each kind is measured.

use super::arithmetic::{circle, entropy};
use super::feature::{CharacterClass, FeatureKind, NgramWeight, StatusOf, TimeOf, Transform};
use super::observation::{Buffers, Observation, escaped};

const DAY: i64 = 86_400;

/// FNV-1a of 32 bits (draft-eastlake-fnv).
const FNV_OFFSET: u32 = 0x811c_9dc5;
const FNV_PRIME: u32 = 0x0100_0193;

/// Bytes of a decimal number; none has more digits that count.
const NUMBER_LIMIT: usize = 64;

/// How often each byte occurs in a text.
pub(super) struct Counts([u16; 256]);

impl Counts {
    pub(super) fn none() -> Self {
        Self([0; 256])
    }

    pub(super) fn of(bytes: &[u8]) -> Self {
        let mut counts = Self::none();
        for byte in bytes {
            if let Some(count) = counts.0.get_mut(usize::from(*byte)) {
                // A text is shorter than what a count can hold.
                *count += 1;
            }
        }
        counts
    }
}

/// A kind that looks at a text, prepared.
#[derive(Debug, Clone)]
pub(super) enum Measure {
    Length,
    Tokens(Box<[bool; 256]>),
    Longest(Box<[bool; 256]>),
    /// The bytes of the class.
    Characters {
        members: Vec<u8>,
        share: bool,
    },
    Escapes {
        share: bool,
    },
    Entropy,
    Equals(Vec<String>),
    Ngrams {
        size: usize,
        buckets: usize,
        weight: NgramWeight,
    },
    Bytes {
        width: usize,
        pad: u16,
    },
}

impl Measure {
    /// None for a kind that looks at no text.
    pub(super) fn of(kind: &FeatureKind) -> Option<Self> {
        let measure = match kind {
            FeatureKind::Length(_) => Self::Length,
            FeatureKind::Tokens { separators, .. } => Self::Tokens(members(separators)),
            FeatureKind::Longest { separators, .. } => Self::Longest(members(separators)),
            FeatureKind::Characters { class: CharacterClass::Escape, share, .. } => Self::Escapes { share: *share },
            FeatureKind::Characters { class, share, .. } => {
                let members = (0..=u8::MAX).filter(|byte| class.contains(*byte)).collect();
                Self::Characters { members, share: *share }
            }
            FeatureKind::Entropy(_) => Self::Entropy,
            FeatureKind::Equals { words, .. } => Self::Equals(words.clone()),
            FeatureKind::Ngrams { size, buckets, weight, .. } => {
                Self::Ngrams { size: *size, buckets: *buckets, weight: *weight }
            }
            FeatureKind::Bytes { width, pad, .. } => Self::Bytes { width: *width, pad: *pad },
            FeatureKind::Present(_)
            | FeatureKind::Method(_)
            | FeatureKind::Number { .. }
            | FeatureKind::Json { .. }
            | FeatureKind::Time(_)
            | FeatureKind::Rate { .. }
            | FeatureKind::Status(_) => return None,
        };
        Some(measure)
    }

    pub(super) fn needs_counts(&self) -> bool {
        matches!(self, Self::Characters { .. } | Self::Entropy)
    }

    /// Writes the first numbers of the slice, which are zero.
    pub(super) fn write(&self, bytes: &[u8], counts: &Counts, transform: &Transform, numbers: &mut [f32]) {
        let value = match self {
            Self::Length => bytes.len() as f64,
            Self::Tokens(separators) => tokens(bytes, separators).count() as f64,
            Self::Longest(separators) => tokens(bytes, separators).map(<[u8]>::len).max().unwrap_or(0) as f64,
            Self::Characters { members, share } => {
                let count = |byte: &u8| u32::from(counts.0.get(usize::from(*byte)).copied().unwrap_or(0));
                share_of(members.iter().map(count).sum::<u32>() as usize, *share, bytes)
            }
            Self::Escapes { share } => share_of(escapes(bytes), *share, bytes),
            Self::Entropy => entropy(&counts.0),
            Self::Equals(words) => {
                let is_word = words.iter().map(|word| f64::from(u8::from(word.as_bytes() == bytes)));
                return write_all(is_word, transform, numbers);
            }
            Self::Ngrams { size, buckets, weight } => {
                let numbers = numbers.get_mut(..*buckets).unwrap_or_default();
                count_ngrams(bytes, *size, numbers);
                return weigh(numbers, *weight, bytes.len().saturating_sub(size - 1), transform);
            }
            Self::Bytes { width, pad } => {
                let padding = std::iter::repeat_n(f64::from(*pad), width.saturating_sub(bytes.len()));
                let bytes = bytes.iter().take(*width).map(|byte| f64::from(*byte));
                return write_all(bytes.chain(padding), transform, numbers);
            }
        };
        write_all(std::iter::once(value), transform, numbers);
    }
}

fn members(characters: &str) -> Box<[bool; 256]> {
    Box::new(std::array::from_fn(|byte| characters.bytes().any(|member| usize::from(member) == byte)))
}

fn tokens<'a>(bytes: &'a [u8], separators: &'a [bool; 256]) -> impl Iterator<Item = &'a [u8]> {
    let separates = |byte: &u8| separators.get(usize::from(*byte)).copied().unwrap_or(false);
    bytes.split(separates).filter(|token| !token.is_empty())
}

fn escapes(bytes: &[u8]) -> usize {
    let mut rest = bytes;
    let mut count = 0;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        count += usize::from(escaped(*first, after).is_some());
    }
    count
}

fn share_of(count: usize, share: bool, bytes: &[u8]) -> f64 {
    if share { count as f64 / bytes.len().max(1) as f64 } else { count as f64 }
}

/// Numbers in 32 bits count exactly to far more than a text has bytes.
fn count_ngrams(bytes: &[u8], size: usize, numbers: &mut [f32]) {
    let buckets = numbers.len() as u32;
    if buckets == 0 {
        return;
    }
    for ngram in bytes.windows(size) {
        let hash = ngram.iter().fold(FNV_OFFSET, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(FNV_PRIME));
        if let Some(number) = numbers.get_mut((hash % buckets) as usize) {
            *number += 1.0;
        }
    }
}

fn weigh(numbers: &mut [f32], weight: NgramWeight, total: usize, transform: &Transform) {
    if weight == NgramWeight::Count && transform.is_identity() {
        return;
    }
    let divisor = match weight {
        NgramWeight::Share => total as f64,
        NgramWeight::L2 => numbers.iter().map(|number| f64::from(*number) * f64::from(*number)).sum::<f64>().sqrt(),
        NgramWeight::Count | NgramWeight::Binary => 1.0,
    };
    let nothing = transform.apply(0.0);
    for number in numbers {
        // Most buckets are empty, and need no division.
        *number = match f64::from(*number) {
            0.0 => nothing,
            _ if weight == NgramWeight::Binary => transform.apply(1.0),
            count => transform.apply(count / divisor),
        };
    }
}

fn write_all(values: impl Iterator<Item = f64>, transform: &Transform, numbers: &mut [f32]) {
    for (number, value) in numbers.iter_mut().zip(values) {
        *number = transform.apply(value);
    }
}

/// What is measured of a request as a whole.
pub(super) struct Fields<'a, 'r> {
    pub(super) observation: &'a Observation<'a>,
    pub(super) buffers: &'r mut Buffers,
}

impl Fields<'_, '_> {
    /// Writes the first numbers of the slice.
    pub(super) fn write(&mut self, kind: &FeatureKind, transform: &Transform, numbers: &mut [f32]) {
        let observation = self.observation;
        let value = match kind {
            FeatureKind::Present(part) => f64::from(u8::from(part.is_present(observation))),
            FeatureKind::Method(words) => {
                let is_word = words.iter().map(|word| f64::from(u8::from(word == observation.method)));
                return write_all(is_word, transform, numbers);
            }
            FeatureKind::Number { part, default } => {
                let bytes = part.bytes(observation, self.buffers.joined());
                decimal(bytes).unwrap_or(*default)
            }
            FeatureKind::Time(of) => time(observation.time, *of),
            FeatureKind::Rate { default } => observation.rate.filter(|rate| rate.is_finite()).unwrap_or(*default),
            FeatureKind::Status(StatusOf::Code) => f64::from(observation.status.unwrap_or(0)),
            FeatureKind::Status(StatusOf::Class) => {
                let class = observation.status.map(|status| status / 100);
                let is_class = (1..=5).map(|other| f64::from(u8::from(class == Some(other))));
                return write_all(is_class, transform, numbers);
            }
            // The others look at a text or at the JSON body.
            _ => return,
        };
        write_all(std::iter::once(value), transform, numbers);
    }
}

fn time(second: i64, of: TimeOf) -> f64 {
    let (day, second) = (second.div_euclid(DAY), second.rem_euclid(DAY));
    match of {
        TimeOf::Hour => (second / 3600) as f64,
        // 1970-01-01 was a Thursday.
        TimeOf::Weekday => (day + 3).rem_euclid(7) as f64,
        TimeOf::DaySine => circle(second).0,
        TimeOf::DayCosine => circle(second).1,
    }
}

/// A number such as `-12.5e3` between spaces and tabs; none for everything else, and beyond 1.8e308.
fn decimal(bytes: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(bytes).ok()?.trim_matches([' ', '\t']);
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (mantissa, exponent) = text.split_once(['e', 'E']).map_or((text, None), |(a, b)| (a, Some(b)));
    let mantissa = mantissa.strip_prefix('-').unwrap_or(mantissa);
    let (whole, fraction) = mantissa.split_once('.').map_or((mantissa, None), |(a, b)| (a, Some(b)));
    let exponent = exponent.map(|exponent| exponent.strip_prefix(['+', '-']).unwrap_or(exponent));
    let is_decimal =
        text.len() <= NUMBER_LIMIT && digits(whole) && fraction.is_none_or(digits) && exponent.is_none_or(digits);
    if is_decimal { text.parse().ok().filter(|number: &f64| number.is_finite()) } else { None }
}
