//! The metrics of the plugin, kept to be compared.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use witgate_plugin_host::{Measure, MetricError, MetricSink};

/// Route, name and labels.
type Key = (String, String, BTreeMap<String, String>);

/// Keeps what the gateway's own metrics take: they decide about names, labels and limits, and bound what is kept here.
#[derive(Debug)]
pub(crate) struct Recorder {
    sink: Arc<dyn MetricSink>,
    series: Mutex<BTreeMap<Key, Recorded>>,
}

/// What a series has come to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Recorded {
    Counter(u64),
    Gauge(f64),
    /// Values put into it.
    Histogram(u64),
}

impl Display for Recorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Counter(value) => write!(f, "a counter of {value}"),
            Self::Gauge(value) => write!(f, "a gauge of {value}"),
            Self::Histogram(count) => write!(f, "a histogram of {count} values"),
        }
    }
}

impl Recorder {
    pub(crate) fn new(sink: Arc<dyn MetricSink>) -> Self {
        Self { sink, series: Mutex::default() }
    }

    fn series(&self) -> MutexGuard<'_, BTreeMap<Key, Recorded>> {
        self.series.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self, route: &str, name: &str, labels: &BTreeMap<String, String>) -> Option<Recorded> {
        self.series().get(&(route.to_owned(), name.to_owned(), labels.clone())).copied()
    }

    /// The series of a metric on a route, as their labels and values.
    pub(crate) fn all(&self, route: &str, name: &str) -> Vec<String> {
        let series = self.series();
        let of_metric = series.iter().filter(|((of, named, _), _)| of == route && named == name);
        of_metric.map(|((.., labels), recorded)| format!("{}: {recorded}", self::series(name, labels))).collect()
    }
}

/// As metrics are written: `name{label="value"}`.
pub(crate) fn series(name: &str, labels: &BTreeMap<String, String>) -> String {
    let labels: Vec<_> = labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    if labels.is_empty() { name.to_owned() } else { format!("{name}{{{}}}", labels.join(",")) }
}

impl MetricSink for Recorder {
    fn record(
        &self,
        (plugin, route): (&str, &str),
        name: &str,
        labels: &[(String, String)],
        measure: Measure,
    ) -> Result<(), MetricError> {
        self.sink.record((plugin, route), name, labels, measure)?;
        let mut series = self.series();
        let kept = series.entry((route.to_owned(), name.to_owned(), labels.iter().cloned().collect()));
        match measure {
            Measure::Count(by) => {
                if let Recorded::Counter(value) = kept.or_insert(Recorded::Counter(0)) {
                    *value = value.saturating_add(by);
                }
            }
            Measure::Gauge(value) => *kept.or_insert(Recorded::Gauge(value)) = Recorded::Gauge(value),
            Measure::Observe(_) => {
                if let Recorded::Histogram(count) = kept.or_insert(Recorded::Histogram(0)) {
                    *count += 1;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes all names but one.
    #[derive(Debug)]
    struct Picky;

    impl MetricSink for Picky {
        fn record(&self, _: (&str, &str), name: &str, _: &[(String, String)], _: Measure) -> Result<(), MetricError> {
            if name == "refused" { Err(MetricError::Quota) } else { Ok(()) }
        }
    }

    #[test]
    fn what_the_gateway_refuses_is_not_kept() {
        let recorder = Recorder::new(Arc::new(Picky));
        let record = |name: &str, measure| recorder.record(("p", "r"), name, &[], measure);
        assert_eq!(record("refused", Measure::Count(1)), Err(MetricError::Quota));
        for measure in [Measure::Count(2), Measure::Count(3)] {
            assert_eq!(record("seen", measure), Ok(()));
        }
        record("level", Measure::Gauge(1.0)).unwrap();
        record("level", Measure::Gauge(0.5)).unwrap();
        record("wait", Measure::Observe(7.0)).unwrap();
        let get = |name: &str| recorder.get("r", name, &BTreeMap::new());
        assert_eq!((get("refused"), get("seen")), (None, Some(Recorded::Counter(5))));
        assert_eq!((get("level"), get("wait")), (Some(Recorded::Gauge(0.5)), Some(Recorded::Histogram(1))));
        assert_eq!(recorder.get("another", "seen", &BTreeMap::new()), None, "routes are counted apart");
    }

    #[test]
    fn labels_are_told_apart_whatever_their_order() {
        let recorder = Recorder::new(Arc::new(Picky));
        let label = |name: &str| (name.to_owned(), "v".to_owned());
        recorder.record(("p", "r"), "n", &[label("b"), label("a")], Measure::Count(1)).unwrap();
        recorder.record(("p", "r"), "n", &[label("a"), label("b")], Measure::Count(1)).unwrap();
        assert_eq!(recorder.all("r", "n"), [r#"n{a="v",b="v"}: a counter of 2"#]);
    }
}
