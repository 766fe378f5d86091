//! What the runs of a model took, and what its scores look like.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use crate::InferError;

/// How a request for a run ended, as a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunOutcome {
    Ok,
    Overloaded,
    Deadline,
    Cancelled,
    Invalid,
    Failed,
}

impl RunOutcome {
    pub const ALL: [Self; 6] =
        [Self::Ok, Self::Overloaded, Self::Deadline, Self::Cancelled, Self::Invalid, Self::Failed];

    /// Of an answer that came.
    pub(crate) fn of<T>(answer: &Result<T, InferError>) -> Self {
        match answer {
            Ok(_) => Self::Ok,
            Err(InferError::Overloaded) => Self::Overloaded,
            Err(InferError::Deadline) => Self::Deadline,
            Err(InferError::Invalid(_)) => Self::Invalid,
            Err(InferError::Failed(_)) => Self::Failed,
        }
    }

    /// Label in metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Overloaded => "overloaded",
            Self::Deadline => "deadline",
            Self::Cancelled => "cancelled",
            Self::Invalid => "invalid",
            Self::Failed => "failed",
        }
    }
}

const fn us(microseconds: u64) -> u64 {
    microseconds * 1000
}

/// Nanoseconds, from a tiny model to a slow one.
static TIME_BOUNDS: [u64; 14] = [
    us(5),
    us(10),
    us(25),
    us(50),
    us(100),
    us(250),
    us(500),
    us(1_000),
    us(2_500),
    us(5_000),
    us(10_000),
    us(50_000),
    us(250_000),
    us(1_000_000),
];
static ROW_BOUNDS: [u64; 9] = [1, 2, 4, 8, 16, 32, 64, 128, 256];

/// Bins of scores: twenty of equal width from 0 to 1; what lies outside is in the first and the last.
pub const SCORE_BINS: usize = 20;

/// Scores after which the window of the drift figure moves on by half.
const WINDOW: u64 = 5_000;

/// Counts of values up to each of the bounds.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [u64],
    /// One more than there are bounds.
    counts: Vec<AtomicU64>,
    sum: AtomicU64,
}

/// What a histogram held when it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistogramReading {
    pub bounds: &'static [u64],
    /// Values above the bound before and up to this one; the last: above all bounds.
    pub counts: Vec<u64>,
    pub sum: u64,
}

impl Histogram {
    fn new(bounds: &'static [u64]) -> Self {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self { bounds, counts, sum: AtomicU64::new(0) }
    }

    fn observe(&self, value: u64) {
        let at = self.bounds.partition_point(|bound| *bound < value);
        if let Some(count) = self.counts.get(at) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    pub fn read(&self) -> HistogramReading {
        let counts = self.counts.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        HistogramReading { bounds: self.bounds, counts, sum: self.sum.load(Ordering::Relaxed) }
    }
}

/// Figures of all versions of one model since the process started.
#[derive(Debug)]
pub struct ModelStats {
    outcomes: [AtomicU64; RunOutcome::ALL.len()],
    /// Rows of each run.
    pub rows: Histogram,
    /// Nanoseconds that each request waited for its run.
    pub queue_time: Histogram,
    /// Nanoseconds of each run.
    pub run_time: Histogram,
    runs_inline: AtomicU64,
    scores: Mutex<Scores>,
}

#[derive(Debug, Default)]
struct Scores {
    all: [u64; SCORE_BINS],
    sum: f64,
    /// Full halves of the window, and the one that fills.
    before: [u64; SCORE_BINS],
    current: [u64; SCORE_BINS],
}

/// The scores of a model, and how far the recent ones are from a reference.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoreReading {
    pub bins: [u64; SCORE_BINS],
    pub sum: f64,
    /// Of the last 5 000 to 10 000 scores, or as many as there were.
    pub recent: [u64; SCORE_BINS],
}

impl Default for ModelStats {
    fn default() -> Self {
        Self {
            outcomes: std::array::from_fn(|_| AtomicU64::new(0)),
            rows: Histogram::new(&ROW_BOUNDS),
            queue_time: Histogram::new(&TIME_BOUNDS),
            run_time: Histogram::new(&TIME_BOUNDS),
            runs_inline: AtomicU64::new(0),
            scores: Mutex::default(),
        }
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl ModelStats {
    pub(crate) fn ended(&self, outcome: RunOutcome) {
        if let Some(count) = self.outcomes.get(outcome as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn waited(&self, time: Duration) {
        self.queue_time.observe(nanoseconds(time));
    }

    pub(crate) fn ran(&self, rows: usize, time: Duration, inline: bool) {
        self.rows.observe(u64::try_from(rows).unwrap_or(u64::MAX));
        self.run_time.observe(nanoseconds(time));
        if inline {
            self.runs_inline.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn scored(&self, score: f32) {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the bins")]
        let bin = (f64::from(score).clamp(0.0, 1.0) * SCORE_BINS as f64) as usize;
        let bin = bin.min(SCORE_BINS - 1);
        let mut scores = self.scores.lock();
        let Scores { all, sum, before, current } = &mut *scores;
        for bins in [&mut *all, &mut *current] {
            if let Some(count) = bins.get_mut(bin) {
                *count += 1;
            }
        }
        *sum += f64::from(score);
        if current.iter().sum::<u64>() >= WINDOW {
            *before = std::mem::take(current);
        }
    }

    /// Requests that ended this way.
    pub fn outcome(&self, outcome: RunOutcome) -> u64 {
        self.outcomes.get(outcome as usize).map_or(0, |count| count.load(Ordering::Relaxed))
    }

    /// Runs on the thread that asked for them.
    pub fn runs_inline(&self) -> u64 {
        self.runs_inline.load(Ordering::Relaxed)
    }

    pub fn scores(&self) -> ScoreReading {
        let scores = self.scores.lock();
        let recent = std::array::from_fn(|at| {
            scores.before.get(at).copied().unwrap_or(0) + scores.current.get(at).copied().unwrap_or(0)
        });
        ScoreReading { bins: scores.all, sum: scores.sum, recent }
    }
}

/// Scores that a population stability index needs before it says anything.
const PSI_LEAST: u64 = 200;

/// Population stability index of counts against the shares of a reference: the sum over all bins of `(p - q) * ln(p / q)`.
/// Below 0.1 nothing has changed, above 0.25 much has (Siddiqi, Credit Risk Scorecards, 2006). Empty bins count as half
/// a score, so that it stays finite. None: too few scores to tell.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
pub fn population_stability(recent: &[u64; SCORE_BINS], reference: &[f64; SCORE_BINS]) -> Option<f64> {
    let total = recent.iter().sum::<u64>();
    if total < PSI_LEAST {
        return None;
    }
    let whole: f64 = reference.iter().sum();
    let least = 0.5 / total as f64;
    let index = recent.iter().zip(reference).map(|(count, share)| {
        let (p, q) = ((*count as f64 / total as f64).max(least), (share / whole).max(least));
        (p - q) * (p / q).ln()
    });
    Some(index.sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_counts_up_to_and_with_its_bounds() {
        let histogram = Histogram::new(&ROW_BOUNDS);
        for rows in [1, 2, 3, 256, 257] {
            histogram.observe(rows);
        }
        let HistogramReading { counts, sum, .. } = histogram.read();
        assert_eq!(counts, [1, 1, 1, 0, 0, 0, 0, 0, 1, 1]);
        assert_eq!(sum, 519);
    }

    #[test]
    fn scores_are_counted_in_bins_and_the_window_moves_on() {
        let stats = ModelStats::default();
        for score in [-1.0, 0.0, 0.049, 0.05, 0.999, 1.0, 7.0, f32::NAN] {
            stats.scored(score);
        }
        let bins = stats.scores().bins;
        assert_eq!((bins[0], bins[1], bins[19]), (4, 1, 3), "what is no number is in the first bin");
        for _ in 0..2 * WINDOW {
            stats.scored(0.5);
        }
        let recent = stats.scores().recent;
        assert_eq!(recent[19], 0, "what came before the window is forgotten");
        assert!(recent.iter().sum::<u64>() >= WINDOW && recent.iter().sum::<u64>() <= 2 * WINDOW);
    }

    #[test]
    fn the_stability_index_grows_with_the_distance() {
        let mut reference = [0.0; SCORE_BINS];
        reference[0] = 9.0;
        reference[19] = 1.0;
        let counts = |low, high| {
            let mut counts = [0; SCORE_BINS];
            (counts[0], counts[19]) = (low, high);
            counts
        };
        let index = |low, high| population_stability(&counts(low, high), &reference).unwrap();
        assert!(index(900, 100).abs() < 1e-9);
        // (0.8 - 0.9) * ln(0.8 / 0.9) + (0.2 - 0.1) * ln(0.2 / 0.1)
        assert!((index(800, 200) - 0.081_093_021).abs() < 1e-6, "{}", index(800, 200));
        assert!(index(500, 500) > 0.25);
        assert_eq!(population_stability(&counts(100, 10), &reference), None, "too few");
    }
}
