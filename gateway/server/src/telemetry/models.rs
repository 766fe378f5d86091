//! Metrics of models.

use std::collections::BTreeMap;
use std::sync::Arc;

use prometheus::proto::{Histogram, MetricFamily, MetricType};
use witgate_inference::{
    HistogramReading, Inference, ModelStats, ModelStatus, RunOutcome, SCORE_BINS, hex, population_stability,
};

use super::tally::{Family, histogram};

/// What is known of models when metrics are scraped.
pub struct ModelFigures<'a> {
    pub inference: &'a Inference,
    /// Those that can be asked for.
    pub models: Vec<ModelStatus>,
    /// Reference distributions of scores, by model.
    pub references: BTreeMap<&'a str, &'a [f64]>,
}

impl ModelFigures<'_> {
    /// What there is, in the order of the figures.
    pub fn families(&self) -> Vec<MetricFamily> {
        let mut families = Vec::new();
        families.extend(self.of_runs());
        families.extend(self.of_scores());
        families.extend(self.of_versions());
        families.into_iter().filter_map(Family::into_inner).collect()
    }

    fn of_runs(&self) -> [Family; 5] {
        let (counter, histogram) = (MetricType::COUNTER, MetricType::HISTOGRAM);
        let mut requests =
            Family::new("witgate_model_requests_total", "Requests for runs of a model, by outcome.", counter);
        let mut rows = Family::new("witgate_model_run_rows", "Rows of each run of a model.", histogram);
        let mut queued =
            Family::new("witgate_model_queue_seconds", "Time that requests waited for their run.", histogram);
        let mut ran = Family::new("witgate_model_run_seconds", "Time of each run of a model.", histogram);
        let mut inline = Family::new("witgate_model_runs_inline_total", "Runs on the proxy's own threads.", counter);
        for (name, stats) in self.inference.stats() {
            let model = [("model", name.as_str())];
            for outcome in RunOutcome::ALL {
                let count = stats.outcome(outcome);
                if count > 0 {
                    requests.count(&[("model", &name), ("outcome", outcome.label())], count);
                }
            }
            rows.histogram(&model, whole(&stats.rows.read()));
            queued.histogram(&model, seconds(&stats.queue_time.read()));
            ran.histogram(&model, seconds(&stats.run_time.read()));
            inline.count(&model, stats.runs_inline());
        }
        [requests, rows, queued, ran, inline]
    }

    fn of_scores(&self) -> [Family; 2] {
        let mut scores = Family::new("witgate_model_score", "Scores of requests.", MetricType::HISTOGRAM);
        let mut drift = Family::new(
            "witgate_model_score_psi",
            "Population stability index of late scores against the reference: above 0.25 much has changed.",
            MetricType::GAUGE,
        );
        for (name, stats) in self.inference.stats() {
            self.add_scores(&name, &stats, &mut scores, &mut drift);
        }
        [scores, drift]
    }

    fn add_scores(&self, name: &str, stats: &Arc<ModelStats>, scores: &mut Family, drift: &mut Family) {
        let reading = stats.scores();
        let count = reading.bins.iter().sum::<u64>();
        if count == 0 {
            return;
        }
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let bounds = (1..=SCORE_BINS).map(|bin| bin as f64 / SCORE_BINS as f64);
        scores.histogram(&[("model", name)], histogram(bounds.zip(reading.bins), count, reading.sum));
        let reference = self.references.get(name).and_then(|shares| <[f64; SCORE_BINS]>::try_from(*shares).ok());
        if let Some(index) = reference.and_then(|reference| population_stability(&reading.recent, &reference)) {
            drift.gauge(&[("model", name)], index);
        }
    }

    fn of_versions(&self) -> [Family; 4] {
        let gauge = MetricType::GAUGE;
        let mut info = Family::new("witgate_model_info", "1 for each version that can be asked for.", gauge);
        let mut memory = Family::new("witgate_model_memory_bytes", "Memory of a version, estimated.", gauge);
        let mut waiting = Family::new("witgate_model_waiting", "Requests that wait for their run.", gauge);
        let mut live = Family::new("witgate_models_live", "Models in memory, those that only end included.", gauge);
        for version in self.models.iter().flat_map(|model| &model.versions) {
            let number = version.version.to_string();
            let digest = hex(version.digest.first_chunk::<6>().map_or(&[], |start| start));
            let labels = [("model", version.name.as_str()), ("version", number.as_str())];
            let [model, number] = labels;
            info.gauge(&[model, number, ("digest", &digest), ("backend", version.backend)], 1.0);
            #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53")]
            memory.gauge(&labels, version.memory_estimate as f64);
            #[expect(clippy::cast_precision_loss, reason = "small numbers")]
            waiting.gauge(&labels, version.model.as_ref().map_or(0, |model| model.waiting()) as f64);
        }
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let count = self.inference.live_models() as f64;
        if count > 0.0 {
            live.gauge(&[], count);
        }
        [info, memory, waiting, live]
    }
}

#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53")]
fn read(reading: &HistogramReading, unit: f64) -> Histogram {
    let buckets = reading.bounds.iter().map(|bound| *bound as f64 / unit).zip(reading.counts.iter().copied());
    histogram(buckets, reading.counts.iter().sum(), reading.sum as f64 / unit)
}

fn whole(reading: &HistogramReading) -> Histogram {
    read(reading, 1.0)
}

fn seconds(reading: &HistogramReading) -> Histogram {
    read(reading, 1e9)
}
