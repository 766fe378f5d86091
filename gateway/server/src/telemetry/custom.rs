//! Metrics that plugins make. Names and labels are theirs, so everything is bounded here.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use prometheus::proto::MetricType;
use witgate_plugin_host::{Measure, MetricError, MetricSink};

use super::tally;

/// Metrics and series of one plugin: enough for what a plugin has to tell, little enough for whoever scrapes.
const METRICS_LIMIT: usize = 32;
const SERIES_LIMIT: usize = 256;
const LABELS_LIMIT: usize = 4;
/// Bytes of a name, and of a label's value.
const LENGTH_LIMIT: usize = 64;
/// Labels that the gateway sets.
const RESERVED: [&str; 3] = ["plugin", "route", "le"];
/// Upper bounds of a histogram's buckets: from half a millisecond to ten seconds, if it is about time.
const BUCKETS: [f64; 14] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

#[derive(Debug)]
enum Value {
    Counter(u64),
    Gauge(f64),
    Histogram { buckets: [u64; BUCKETS.len()], count: u64, sum: f64 },
}

/// Plugin, route, and the labels that the plugin gave.
type Key = (String, String, Vec<(String, String)>);

#[derive(Debug)]
struct Family {
    kind: Kind,
    series: BTreeMap<Key, Value>,
}

/// All metrics of plugins.
#[derive(Debug, Default)]
pub struct CustomMetrics {
    families: Mutex<BTreeMap<String, Family>>,
}

fn is_name(name: &str) -> bool {
    name.len() <= LENGTH_LIMIT
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

fn are_labels(labels: &[(String, String)]) -> bool {
    let is_label = |(name, value): &(String, String)| {
        is_name(name) && !RESERVED.contains(&name.as_str()) && value.len() <= LENGTH_LIMIT
    };
    let is_distinct =
        |at: usize| !labels.iter().skip(at + 1).any(|(name, _)| labels.get(at).is_some_and(|l| l.0 == *name));
    labels.len() <= LABELS_LIMIT && labels.iter().all(is_label) && (0..labels.len()).all(is_distinct)
}

impl MetricSink for CustomMetrics {
    fn record(
        &self,
        (plugin, route): (&str, &str),
        name: &str,
        labels: &[(String, String)],
        measure: Measure,
    ) -> Result<(), MetricError> {
        let kind = match measure {
            Measure::Count(_) => Kind::Counter,
            Measure::Gauge(_) => Kind::Gauge,
            Measure::Observe(value) if value.is_nan() => return Err(MetricError::Invalid),
            Measure::Observe(_) => Kind::Histogram,
        };
        if !is_name(name) || !are_labels(labels) {
            return Err(MetricError::Invalid);
        }
        let mut labels = labels.to_vec();
        labels.sort_unstable();
        let key = (plugin.to_owned(), route.to_owned(), labels);
        let mut families = self.families.lock();
        if let Some(family) = families.get_mut(name) {
            let same_labels = |other: &Key| other.2.iter().map(|(name, _)| name).eq(key.2.iter().map(|(name, _)| name));
            let mut own = family.series.keys().filter(|other| other.0 == plugin);
            if family.kind != kind || own.next().is_some_and(|other| !same_labels(other)) {
                return Err(MetricError::Mismatch);
            }
            if let Some(value) = family.series.get_mut(&key) {
                value.take(measure);
                return Ok(());
            }
        }
        let of_plugin = |family: &Family| family.series.keys().filter(|key| key.0 == plugin).count();
        let counts = families.iter().map(|(other, family)| (other, of_plugin(family)));
        let (metrics, series) = counts.fold((0, 0), |(metrics, series), (other, count)| {
            (metrics + usize::from(count > 0 && other != name), series + count)
        });
        if metrics >= METRICS_LIMIT || series >= SERIES_LIMIT {
            return Err(MetricError::Quota);
        }
        let family = families.entry(name.to_owned()).or_insert_with(|| Family { kind, series: BTreeMap::new() });
        family.series.entry(key).or_insert_with(|| Value::new(kind)).take(measure);
        Ok(())
    }
}

impl Value {
    fn new(kind: Kind) -> Self {
        match kind {
            Kind::Counter => Self::Counter(0),
            Kind::Gauge => Self::Gauge(0.0),
            Kind::Histogram => Self::Histogram { buckets: [0; BUCKETS.len()], count: 0, sum: 0.0 },
        }
    }

    fn take(&mut self, measure: Measure) {
        match (self, measure) {
            (Self::Counter(value), Measure::Count(by)) => *value = value.saturating_add(by),
            (Self::Gauge(value), Measure::Gauge(to)) => *value = to,
            (Self::Histogram { buckets, count, sum }, Measure::Observe(value)) => {
                if let Some((_, bucket)) = BUCKETS.iter().zip(buckets).find(|(bound, _)| value <= **bound) {
                    *bucket += 1;
                }
                *count += 1;
                *sum += value;
            }
            // The family's kind was checked.
            _ => {}
        }
    }
}

impl CustomMetrics {
    /// Forgets what a plugin recorded on a route that is gone.
    pub fn forget(&self, plugin: &str, route: &str) {
        let mut families = self.families.lock();
        for family in families.values_mut() {
            family.series.retain(|key, _| key.0 != plugin || key.1 != route);
        }
        families.retain(|_, family| !family.series.is_empty());
    }

    /// Everything that was recorded, with the labels that the gateway adds in front.
    pub(super) fn families(&self) -> Vec<tally::Family> {
        self.families.lock().iter().map(|(name, family)| family.read(name)).collect()
    }
}

impl Family {
    fn read(&self, name: &str) -> tally::Family {
        let kind = match self.kind {
            Kind::Counter => MetricType::COUNTER,
            Kind::Gauge => MetricType::GAUGE,
            Kind::Histogram => MetricType::HISTOGRAM,
        };
        let mut family = tally::Family::new(&format!("witgate_plugin_custom_{name}"), "Made by a plugin.", kind);
        for ((plugin, route, own), value) in &self.series {
            let mut labels = vec![("plugin", plugin.as_str()), ("route", route.as_str())];
            labels.extend(own.iter().map(|(name, value)| (name.as_str(), value.as_str())));
            match value {
                Value::Counter(value) => family.count(&labels, *value),
                Value::Gauge(value) => family.gauge(&labels, *value),
                Value::Histogram { buckets, count, sum } => {
                    family.histogram(&labels, tally::histogram(BUCKETS.into_iter().zip(*buckets), *count, *sum));
                }
            }
        }
        family
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(
        metrics: &CustomMetrics,
        name: &str,
        labels: &[(&str, &str)],
        measure: Measure,
    ) -> Result<(), MetricError> {
        let labels: Vec<_> = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        metrics.record(("p", "r"), name, &labels, measure)
    }

    fn rendered(metrics: &CustomMetrics) -> String {
        let families: Vec<_> = metrics.families().into_iter().filter_map(tally::Family::into_inner).collect();
        prometheus::TextEncoder::new().encode_to_string(&families).unwrap()
    }

    #[test]
    fn each_type_is_shown_with_its_labels() {
        let metrics = CustomMetrics::default();
        for _ in 0..2 {
            record(&metrics, "seen_total", &[("kind", "a\"\n\\b")], Measure::Count(2)).unwrap();
            record(&metrics, "level", &[], Measure::Gauge(1.5)).unwrap();
            record(&metrics, "wait", &[], Measure::Observe(0.3)).unwrap();
        }
        record(&metrics, "wait", &[], Measure::Observe(99.0)).unwrap();
        let text = rendered(&metrics);
        for line in [
            "# TYPE witgate_plugin_custom_seen_total counter",
            "witgate_plugin_custom_seen_total{plugin=\"p\",route=\"r\",kind=\"a\\\"\\n\\\\b\"} 4",
            "witgate_plugin_custom_level{plugin=\"p\",route=\"r\"} 1.5",
            "witgate_plugin_custom_wait_bucket{plugin=\"p\",route=\"r\",le=\"0.25\"} 0",
            "witgate_plugin_custom_wait_bucket{plugin=\"p\",route=\"r\",le=\"0.5\"} 2",
            "witgate_plugin_custom_wait_bucket{plugin=\"p\",route=\"r\",le=\"+Inf\"} 3",
            "witgate_plugin_custom_wait_sum{plugin=\"p\",route=\"r\"} 99.6",
            "witgate_plugin_custom_wait_count{plugin=\"p\",route=\"r\"} 3",
        ] {
            assert!(text.lines().any(|present| present == line), "{line} is not in\n{text}");
        }
        metrics.forget("p", "r");
        assert_eq!(rendered(&metrics), "");
    }

    #[test]
    fn what_is_malformed_or_contradicts_is_refused() {
        let metrics = CustomMetrics::default();
        let long = "x".repeat(LENGTH_LIMIT + 1);
        for (name, labels) in [
            ("", &[][..]),
            ("Upper", &[]),
            ("9lives", &[]),
            ("a-b", &[]),
            ("a\n", &[]),
            (&long, &[]),
            ("a", &[("plugin", "x")]),
            ("a", &[("le", "x")]),
            ("a", &[("x", &*long)]),
            ("a", &[("x", "1"), ("x", "2")]),
            ("a", &[("a", ""), ("b", ""), ("c", ""), ("d", ""), ("e", "")]),
        ] {
            assert_eq!(
                record(&metrics, name, labels, Measure::Count(1)),
                Err(MetricError::Invalid),
                "{name} {labels:?}"
            );
        }
        assert_eq!(record(&metrics, "a", &[], Measure::Observe(f64::NAN)), Err(MetricError::Invalid));
        record(&metrics, "a", &[("x", "1")], Measure::Count(1)).unwrap();
        assert_eq!(record(&metrics, "a", &[("x", "1")], Measure::Gauge(1.0)), Err(MetricError::Mismatch));
        assert_eq!(record(&metrics, "a", &[("y", "1")], Measure::Count(1)), Err(MetricError::Mismatch));
    }

    #[test]
    fn metrics_and_series_of_a_plugin_are_limited() {
        let metrics = CustomMetrics::default();
        for number in 0..METRICS_LIMIT {
            record(&metrics, &format!("m{number}"), &[("x", "0")], Measure::Count(1)).unwrap();
        }
        assert_eq!(record(&metrics, "more", &[], Measure::Count(1)), Err(MetricError::Quota));
        for number in METRICS_LIMIT..SERIES_LIMIT {
            record(&metrics, "m0", &[("x", &number.to_string())], Measure::Count(1)).unwrap();
        }
        assert_eq!(record(&metrics, "m0", &[("x", "more")], Measure::Count(1)), Err(MetricError::Quota));
        assert_eq!(record(&metrics, "m0", &[("x", "0")], Measure::Count(1)), Ok(()), "what is there goes on");
        assert_eq!(metrics.record(("other", "r"), "m0", &[], Measure::Count(1)), Ok(()), "others have their own");
    }
}
