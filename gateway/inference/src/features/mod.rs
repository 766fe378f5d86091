//! Features: what is known of a request, as the numbers that a model takes.
//!
//! A [`FeatureSet`] gives the same bits as the package in python/witgate_features, with which models are trained: all
//! arithmetic is of 64-bit doubles in a fixed order, from operations that are exact in both languages, and is rounded
//! to 32 bits once, at the end.

mod arithmetic;
mod feature;
mod json;
mod measure;
mod name;
mod observation;

use std::cell::RefCell;

pub use feature::{CharacterClass, Feature, FeatureKind, NgramWeight, StatusOf, TimeOf, Transform};
pub use json::{BODY_LIMIT as JSON_BODY_LIMIT, DEPTH_LIMIT as JSON_DEPTH_LIMIT};
pub use name::plain;
pub use observation::{Observation, PART_LIMIT, Part, Text};

use crate::{Data, DataType};
use json::{Document, Pointer};
use measure::{Counts, Fields};
use name::Names;
use observation::Buffers;

/// Numbers of one set. Models of a gateway have tens, and hashed n-grams some hundreds; it bounds the time for a
/// request.
pub const WIDTH_LIMIT: usize = 4096;

thread_local! {
    /// Room that requests of this thread use one after another.
    static ROOM: RefCell<Room> = RefCell::default();
}

#[derive(Debug, Default)]
struct Room {
    buffers: Buffers,
    document: Document,
}

/// Features that cannot be extracted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FeatureError {
    #[error("a feature set needs a feature")]
    Empty,
    #[error("expected at most {WIDTH_LIMIT} numbers in a feature set, got {0}")]
    TooWide(usize),
    /// A feature, counted from 0, and what is wrong with it.
    #[error("feature {index}: {problem}")]
    Invalid { index: usize, problem: &'static str },
    /// The model takes another type.
    #[error("features can be FP32, FP64, INT32 or INT64, not {}", .0.label())]
    Type(DataType),
}

/// Features in order, ready to be extracted.
#[derive(Debug, Clone)]
pub struct FeatureSet {
    width: usize,
    names: Vec<String>,
    texts: Vec<TextFeatures>,
    fields: Vec<(usize, Feature)>,
    pointers: Vec<(usize, Pointer, f64, Transform)>,
    needs_body: bool,
    needs_rate: bool,
    needs_response: bool,
}

/// Features that look at the same text, which is decoded and counted once.
#[derive(Debug, Clone)]
struct TextFeatures {
    text: Text,
    needs_counts: bool,
    /// With the place of the first number.
    features: Vec<(usize, measure::Measure, Transform)>,
}

impl FeatureSet {
    /// # Errors
    /// A feature has values out of bounds, or there are none or too many.
    pub fn new(features: Vec<Feature>) -> Result<Self, FeatureError> {
        let width = features.iter().map(|feature| feature.kind.width()).fold(0, usize::saturating_add);
        if features.is_empty() {
            return Err(FeatureError::Empty);
        }
        if width > WIDTH_LIMIT {
            return Err(FeatureError::TooWide(width));
        }
        let mut set = Self {
            width,
            names: Vec::with_capacity(width),
            texts: Vec::new(),
            fields: Vec::new(),
            pointers: Vec::new(),
            needs_body: features.iter().any(|feature| feature.kind.needs_body()),
            needs_rate: features.iter().any(|feature| matches!(feature.kind, FeatureKind::Rate { .. })),
            needs_response: features.iter().any(|feature| matches!(feature.kind, FeatureKind::Status(_))),
        };
        let mut names = Names::default();
        for (index, feature) in features.into_iter().enumerate() {
            if let Some(problem) = feature.problem() {
                return Err(FeatureError::Invalid { index, problem });
            }
            let at = set.names.len();
            let label = names.label(feature.kind.label());
            let number = |index| names.number(&label, &feature.kind.suffix(index));
            set.names.extend((0..feature.kind.width()).map(number));
            set.add(at, feature);
        }
        Ok(set)
    }

    fn add(&mut self, at: usize, feature: Feature) {
        let Feature { kind, transform } = feature;
        if let FeatureKind::Json { pointer, default } = &kind {
            // The feature was checked, so there is a pointer.
            self.pointers.extend(Pointer::new(pointer).map(|pointer| (at, pointer, *default, transform)));
            return;
        }
        let Some((text, measure)) = kind.text().cloned().zip(measure::Measure::of(&kind)) else {
            return self.fields.push((at, Feature { kind, transform }));
        };
        let needs_counts = measure.needs_counts();
        if let Some(group) = self.texts.iter_mut().find(|group| group.text == text) {
            group.needs_counts |= needs_counts;
            group.features.push((at, measure, transform));
        } else {
            self.texts.push(TextFeatures { text, needs_counts, features: vec![(at, measure, transform)] });
        }
    }

    /// Numbers that [`Self::extract`] adds.
    pub fn width(&self) -> usize {
        self.width
    }

    /// A name for each number, all of them different: letters and digits of ASCII with single underscores between, a letter
    /// first. Columns of a table can have them in every library that trains models, and inputs of a graph.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Whether the request's body is looked at.
    pub fn needs_body(&self) -> bool {
        self.needs_body
    }

    /// Whether the client's rate is looked at.
    pub fn needs_rate(&self) -> bool {
        self.needs_rate
    }

    /// Whether the response's status is looked at.
    pub fn needs_response(&self) -> bool {
        self.needs_response
    }

    /// Adds [`Self::width`] numbers, all of them finite. Does not allocate but for room in `numbers`, and for texts
    /// longer than the thread has seen.
    pub fn extract(&self, observation: &Observation<'_>, numbers: &mut Vec<f32>) {
        let start = numbers.len();
        numbers.resize(start + self.width, 0.0);
        let numbers = numbers.get_mut(start..).unwrap_or_default();
        ROOM.with_borrow_mut(|room| {
            for group in &self.texts {
                let bytes = group.text.bytes(observation, &mut room.buffers);
                let counts = if group.needs_counts { Counts::of(bytes) } else { Counts::none() };
                for (at, measure, transform) in &group.features {
                    measure.write(bytes, &counts, transform, numbers.get_mut(*at..).unwrap_or_default());
                }
            }
            let mut fields = Fields { observation, buffers: &mut room.buffers };
            for (at, Feature { kind, transform }) in &self.fields {
                fields.write(kind, transform, numbers.get_mut(*at..).unwrap_or_default());
            }
            if !self.pointers.is_empty() {
                room.document.read(observation.body);
            }
            for (at, pointer, default, transform) in &self.pointers {
                let value = room.document.number_at(observation.body, pointer).unwrap_or(*default);
                if let Some(number) = numbers.get_mut(*at) {
                    *number = transform.apply(value);
                }
            }
        });
    }

    /// Extracted numbers in the type that a model takes. Integers are the nearest ones, the even one of two that are
    /// equally near, and the greatest or least of the type beyond those.
    ///
    /// # Errors
    /// The type is none of FP32, FP64, INT32 and INT64.
    pub fn in_type(numbers: Vec<f32>, data_type: DataType) -> Result<Data, FeatureError> {
        match data_type {
            DataType::Float32 => Ok(Data::Float32(numbers)),
            DataType::Float64 => Ok(Data::Float64(numbers.into_iter().map(f64::from).collect())),
            DataType::Int32 => Ok(Data::Int32(numbers.iter().map(|number| number.round_ties_even() as i32).collect())),
            DataType::Int64 => Ok(Data::Int64(numbers.iter().map(|number| number.round_ties_even() as i64).collect())),
            other => Err(FeatureError::Type(other)),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    fn feature(kind: FeatureKind) -> Feature {
        Feature { kind, transform: Transform::default() }
    }

    fn extracted(features: Vec<Feature>, target: &str, status: Option<u16>) -> Vec<f32> {
        let headers = HeaderMap::new();
        let observation = Observation {
            method: "GET",
            target: target.as_bytes(),
            headers: &headers,
            body: b"",
            rate: None,
            time: 0,
            status,
        };
        let mut numbers = vec![-1.0];
        FeatureSet::new(features).unwrap().extract(&observation, &mut numbers);
        numbers
    }

    #[test]
    fn numbers_stand_in_the_order_of_the_features_behind_what_was_there() {
        let query = Text::of(Part::Query);
        let features = vec![
            feature(FeatureKind::Length(query.clone())),
            feature(FeatureKind::Status(StatusOf::Class)),
            feature(FeatureKind::Time(TimeOf::Weekday)),
            feature(FeatureKind::Tokens { text: query, separators: "&".into() }),
            feature(FeatureKind::Json { pointer: "/a".into(), default: 7.0 }),
        ];
        let numbers = extracted(features, "/a?b=1&&c", Some(404));
        assert_eq!(numbers, [-1.0, 6.0, 0.0, 0.0, 0.0, 1.0, 0.0, 3.0, 2.0, 7.0]);
    }

    #[test]
    fn what_is_beyond_the_limit_of_a_part_is_not_looked_at() {
        let text = Text { part: Part::Path, decode: 1, lower: false };
        let target = format!("/{}%41", "x".repeat(PART_LIMIT - 3));
        // The escape is cut in two, so it is none.
        let numbers = extracted(vec![feature(FeatureKind::Length(text))], &target, None);
        assert_eq!(numbers, [-1.0, PART_LIMIT as f32]);
    }

    #[test]
    fn a_set_says_what_it_needs() {
        let needs = |kind| {
            let set = FeatureSet::new(vec![feature(kind)]).unwrap();
            (set.needs_body(), set.needs_rate(), set.needs_response())
        };
        assert_eq!(needs(FeatureKind::Length(Text::of(Part::Path))), (false, false, false));
        assert_eq!(needs(FeatureKind::Entropy(Text::of(Part::Body))), (true, false, false));
        assert_eq!(needs(FeatureKind::Json { pointer: String::new(), default: 0.0 }), (true, false, false));
        assert_eq!(needs(FeatureKind::Rate { default: 0.0 }), (false, true, false));
        assert_eq!(needs(FeatureKind::Status(StatusOf::Code)), (false, false, true));
    }

    #[test]
    fn sets_that_cannot_be_extracted_are_refused() {
        let text = || Text::of(Part::Path);
        let ngrams = |size, buckets| FeatureKind::Ngrams { text: text(), size, buckets, weight: NgramWeight::Count };
        assert_eq!(FeatureSet::new(Vec::new()).unwrap_err(), FeatureError::Empty);
        let wide = vec![feature(ngrams(3, WIDTH_LIMIT)), feature(ngrams(3, 1))];
        assert_eq!(FeatureSet::new(wide).unwrap_err(), FeatureError::TooWide(WIDTH_LIMIT + 1));
        for kind in [
            ngrams(0, 1),
            ngrams(6, 1),
            FeatureKind::Tokens { text: text(), separators: "é".into() },
            FeatureKind::Length(Text { decode: 3, ..text() }),
            FeatureKind::Json { pointer: "a".into(), default: 0.0 },
            FeatureKind::Rate { default: f64::NAN },
        ] {
            let refused = FeatureSet::new(vec![feature(FeatureKind::Length(text())), feature(kind.clone())]);
            assert!(matches!(refused, Err(FeatureError::Invalid { index: 1, .. })), "{kind:?}");
        }
        let transform = Transform { scale: Some(0.0), ..Transform::default() };
        assert!(FeatureSet::new(vec![Feature { kind: FeatureKind::Length(text()), transform }]).is_err());
    }

    #[test]
    fn integers_are_the_nearest_and_never_wrap() {
        let numbers = vec![0.5, 1.5, -2.5, 3e38, -3e38];
        let expected = Data::Int32(vec![0, 2, -2, i32::MAX, i32::MIN]);
        assert_eq!(FeatureSet::in_type(numbers.clone(), DataType::Int32), Ok(expected));
        let expected = Data::Int64(vec![0, 2, -2, i64::MAX, i64::MIN]);
        assert_eq!(FeatureSet::in_type(numbers.clone(), DataType::Int64), Ok(expected));
        let tenth = FeatureSet::in_type(vec![0.1], DataType::Float64);
        assert_eq!(tenth, Ok(Data::Float64(vec![f64::from(0.1_f32)])), "as the package for Python gives it");
        assert_eq!(FeatureSet::in_type(numbers, DataType::Bool), Err(FeatureError::Type(DataType::Bool)));
    }
}
