//! What extracting features takes of a request.

#![allow(clippy::unwrap_used, reason = "a benchmark ends at the first surprise")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use witgate_inference::features::{
    CharacterClass, Feature, FeatureKind, FeatureSet, NgramWeight, Observation, Part, Text, TimeOf, Transform,
};

fn plain(kind: FeatureKind) -> Feature {
    Feature { kind, transform: Transform::default() }
}

/// 64 numbers: what is usually asked of heads.
fn typical() -> FeatureSet {
    let classes =
        || [CharacterClass::Digit, CharacterClass::Upper, CharacterClass::Punctuation, CharacterClass::NonAscii];
    let texts = || [Part::Path, Part::Query, Part::Header(header::USER_AGENT)].map(Text::of);
    let mut features: Vec<_> = texts().map(|text| plain(FeatureKind::Length(text))).into();
    for text in texts() {
        features
            .extend(classes().map(|class| plain(FeatureKind::Characters { text: text.clone(), class, share: true })));
        features.push(plain(FeatureKind::Entropy(text.clone())));
        features.push(plain(FeatureKind::Longest { text, separators: "/&=".into() }));
    }
    features.push(plain(FeatureKind::Tokens { text: Text::of(Part::Query), separators: "&".into() }));
    for name in ["referer", "cookie", "accept", "accept-language", "authorization", "content-type"] {
        features.push(plain(FeatureKind::Present(Part::Header(HeaderName::from_static(name)))));
    }
    features.push(plain(FeatureKind::Method(["GET", "POST"].map(str::to_owned).into())));
    features.push(plain(FeatureKind::Time(TimeOf::DaySine)));
    features.push(plain(FeatureKind::Rate { default: 0.0 }));
    let text = Text { part: Part::PathAndQuery, decode: 2, lower: true };
    features.push(plain(FeatureKind::Ngrams { text, size: 3, buckets: 32, weight: NgramWeight::L2 }));
    let transform = Transform { log1p: true, ..Transform::default() };
    for feature in features.iter_mut().take(3) {
        feature.transform = transform;
    }
    FeatureSet::new(features).unwrap()
}

fn extract(criterion: &mut Criterion) {
    let agent = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36";
    let mut headers = HeaderMap::new();
    headers.insert(header::USER_AGENT, HeaderValue::from_static(agent));
    headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
    headers.insert(header::REFERER, HeaderValue::from_static("https://shop.example.com/"));
    let set = typical();
    assert_eq!(set.width(), 64);
    let mut numbers = Vec::new();
    let long = format!("/search?q={}", "a%20b'".repeat(2000));
    for (name, target) in [("typical", "/api/v1/articles/42?page=3&sort=-created&q=blue%20shoes"), ("long", &long)] {
        let observation = Observation {
            method: "GET",
            target: target.as_bytes(),
            headers: &headers,
            body: b"",
            rate: Some(3.0),
            time: 1_767_225_600,
            status: None,
        };
        criterion.bench_function(&format!("extract 64 numbers, {name}"), |bencher| {
            bencher.iter(|| {
                numbers.clear();
                set.extract(black_box(&observation), &mut numbers);
                black_box(numbers.last().copied())
            });
        });
    }
    let body = br#"{"user": {"age": 42, "tags": ["a", "b"], "name": "Anna"}, "items": [1, 2, 3], "note": "hello"}"#;
    let pointers = ["/user/age", "/items", "/note", "/missing"];
    let kinds = pointers.map(|pointer| plain(FeatureKind::Json { pointer: pointer.into(), default: 0.0 }));
    let set = FeatureSet::new(kinds.into()).unwrap();
    let observation =
        Observation { method: "POST", target: b"/", headers: &headers, body, rate: None, time: 0, status: None };
    criterion.bench_function("extract 4 fields of a JSON body", |bencher| {
        bencher.iter(|| {
            numbers.clear();
            set.extract(black_box(&observation), &mut numbers);
            black_box(numbers.last().copied())
        });
    });
}

criterion_group!(benches, extract);
criterion_main!(benches);
