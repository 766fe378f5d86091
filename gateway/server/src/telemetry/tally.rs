//! Counts of the request path. All of one route, or of one hook of a stage, lie next to each other in memory: every request
//! passes here, and what counting costs is mostly fetching cache lines.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType};

/// Counters, one for each of a fixed list of labels.
#[derive(Debug)]
pub(super) struct Counts<const N: usize>([AtomicU64; N]);

impl<const N: usize> Default for Counts<N> {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

impl<const N: usize> Counts<N> {
    /// Counts one. A place that is not there is not counted.
    pub(super) fn count(&self, at: usize) {
        if let Some(counter) = self.0.get(at) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn read(&self) -> [u64; N] {
        std::array::from_fn(|at| self.0.get(at).map_or(0, |counter| counter.load(Ordering::Relaxed)))
    }
}

/// Sums, one for each of a fixed list of labels.
#[derive(Debug)]
pub(super) struct Sums<const N: usize>([AtomicU64; N]);

impl<const N: usize> Default for Sums<N> {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

impl<const N: usize> Sums<N> {
    pub(super) fn add(&self, more: [u64; N]) {
        for (sum, more) in self.0.iter().zip(more).filter(|(_, more)| *more > 0) {
            sum.fetch_add(more, Ordering::Relaxed);
        }
    }

    pub(super) fn read(&self) -> [u64; N] {
        std::array::from_fn(|at| self.0.get(at).map_or(0, |sum| sum.load(Ordering::Relaxed)))
    }
}

/// A sum of durations.
#[derive(Debug, Default)]
pub(super) struct TimeSum {
    nanoseconds: AtomicU64,
}

impl TimeSum {
    pub(super) fn add(&self, duration: Duration) {
        // 584 years fit.
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> Duration {
        Duration::from_nanos(self.nanoseconds.load(Ordering::Relaxed))
    }
}

/// The largest of what it was told.
#[derive(Debug, Default)]
pub(super) struct Peak(AtomicUsize);

impl Peak {
    pub(super) fn raise(&self, value: usize) {
        // Nearly always lower, and reading costs less than writing.
        if value > self.0.load(Ordering::Relaxed) {
            self.0.fetch_max(value, Ordering::Relaxed);
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53")]
    pub(super) fn read(&self) -> f64 {
        self.0.load(Ordering::Relaxed) as f64
    }
}

/// A histogram of durations, with `N` bounds. Its parts are read one after the other: a scrape in the middle of a request
/// may find it in a bucket and not yet in the sum.
#[derive(Debug)]
pub(super) struct Durations<const N: usize> {
    bounds: &'static [Duration; N],
    within: Counts<N>,
    above: AtomicU64,
    sum: TimeSum,
}

impl<const N: usize> Durations<N> {
    /// `bounds`: of the buckets, inclusive and ascending.
    pub(super) fn new(bounds: &'static [Duration; N]) -> Self {
        Self { bounds, within: Counts::default(), above: AtomicU64::new(0), sum: TimeSum::default() }
    }

    pub(super) fn observe(&self, duration: Duration) {
        match self.bounds.iter().position(|bound| duration <= *bound) {
            Some(bucket) => self.within.count(bucket),
            None => _ = self.above.fetch_add(1, Ordering::Relaxed),
        }
        self.sum.add(duration);
    }

    /// As Prometheus' client libraries give it: buckets count all that is shorter, times are in seconds.
    pub(super) fn read(&self) -> Histogram {
        let within = self.within.read();
        let count = within.iter().sum::<u64>() + self.above.load(Ordering::Relaxed);
        histogram(self.bounds.iter().map(Duration::as_secs_f64).zip(within), count, self.sum.read().as_secs_f64())
    }
}

/// A histogram from its buckets, each with its bound and what is in it alone.
pub(super) fn histogram(buckets: impl Iterator<Item = (f64, u64)>, count: u64, sum: f64) -> Histogram {
    let mut below = 0;
    let buckets = buckets.map(|(bound, within)| {
        below += within;
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(bound);
        bucket.set_cumulative_count(below);
        bucket
    });
    let mut histogram = Histogram::default();
    histogram.set_bucket(buckets.collect());
    histogram.set_sample_count(count);
    histogram.set_sample_sum(sum);
    histogram
}

/// A metric with the series of all that is counted; empty ones are not shown. Labels stay in the order in which they come.
pub(super) struct Family(MetricFamily);

impl Family {
    pub(super) fn new(name: &str, help: &str, kind: MetricType) -> Self {
        let mut family = MetricFamily::default();
        family.set_name(name.to_owned());
        family.set_help(help.to_owned());
        family.set_field_type(kind);
        Self(family)
    }

    pub(super) fn count(&mut self, labels: &[(&str, &str)], value: u64) {
        let mut counter = Counter::default();
        // Counters are floating-point numbers in the text format as well.
        #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53")]
        counter.set_value(value as f64);
        self.metric(labels).set_counter(counter);
    }

    pub(super) fn count_seconds(&mut self, labels: &[(&str, &str)], value: Duration) {
        let mut counter = Counter::default();
        counter.set_value(value.as_secs_f64());
        self.metric(labels).set_counter(counter);
    }

    pub(super) fn gauge(&mut self, labels: &[(&str, &str)], value: f64) {
        let mut gauge = Gauge::default();
        gauge.set_value(value);
        self.metric(labels).set_gauge(gauge);
    }

    pub(super) fn histogram(&mut self, labels: &[(&str, &str)], histogram: Histogram) {
        self.metric(labels).set_histogram(histogram);
    }

    fn metric(&mut self, labels: &[(&str, &str)]) -> &mut Metric {
        let pairs = labels.iter().map(|(name, value)| {
            let mut pair = LabelPair::default();
            pair.set_name((*name).to_owned());
            pair.set_value((*value).to_owned());
            pair
        });
        self.0.mut_metric().push_mut(Metric::from_label(pairs.collect()))
    }

    pub(super) fn into_inner(self) -> Option<MetricFamily> {
        (!self.0.get_metric().is_empty()).then_some(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static BOUNDS: [Duration; 2] = [Duration::from_micros(1), Duration::from_millis(1)];

    #[test]
    fn a_duration_is_in_the_first_bucket_whose_bound_it_does_not_exceed() {
        let durations = Durations::new(&BOUNDS);
        for nanoseconds in [0, 1_000, 1_001, 1_000_000, 1_000_001, 5_000_000_000] {
            durations.observe(Duration::from_nanos(nanoseconds));
        }
        let histogram = durations.read();
        let buckets: Vec<_> =
            histogram.get_bucket().iter().map(|bucket| (bucket.upper_bound(), bucket.cumulative_count())).collect();
        assert_eq!(buckets, [(1e-6, 2), (1e-3, 4)]);
        assert_eq!(histogram.get_sample_count(), 6);
        assert!((histogram.get_sample_sum() - 5.002_002_002).abs() < 1e-9);
    }

    #[test]
    fn counts_stay_apart_and_a_place_outside_is_nobody_s() {
        let counts = Counts::<3>::default();
        [0, 2, 2, 3].into_iter().for_each(|at| counts.count(at));
        assert_eq!(counts.read(), [1, 0, 2]);
    }
}
