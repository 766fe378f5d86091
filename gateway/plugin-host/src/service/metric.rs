//! Where plugins' own metrics go.

/// One thing to record.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Measure {
    /// Adds to a counter.
    Count(u64),
    /// Sets a gauge.
    Gauge(f64),
    /// Puts a value into a histogram.
    Observe(f64),
}

/// Why a metric was not recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricError {
    /// A name or label is malformed.
    Invalid,
    /// The name stands for another type, or other labels.
    Mismatch,
    /// Too many metrics or series.
    Quota,
}

/// Keeps the metrics of plugins. What it takes is bounded by itself: guests choose names and labels.
pub trait MetricSink: std::fmt::Debug + Send + Sync {
    /// Records a measure of a plugin (its name in the configuration) on a route.
    ///
    /// # Errors
    /// [`MetricError`]; nothing has been recorded then.
    fn record(
        &self,
        plugin_and_route: (&str, &str),
        name: &str,
        labels: &[(String, String)],
        measure: Measure,
    ) -> Result<(), MetricError>;
}
