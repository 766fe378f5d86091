//! Stages that score requests, from their configuration.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderName, Method};
use tracing::info;
use witgate_config::{self as config, Diagnostic, OnError, Scoring};
use witgate_inference::features::FeatureSet;
use witgate_inference::{Catalogue, ClientRates, Element, Level, ScoreStage, StageSpec, Threshold, Wanted, When};
use witgate_plugin_host::Bucket;
use witgate_stage::{Disposition, FailurePolicy, Step};

use super::{Sources, models};

/// What such stages refer to.
pub struct Material<'a> {
    pub sources: &'a Sources,
    pub models: &'a Catalogue,
    pub features: BTreeMap<&'a str, Arc<FeatureSet>>,
}

impl<'a> Material<'a> {
    /// What is wrong with feature sets goes to `problems`.
    pub fn new(sources: &'a Sources, models: &'a Catalogue, problems: &mut Vec<Diagnostic>) -> Self {
        let mut features = BTreeMap::new();
        for (name, set) in &sources.config.features {
            match super::features::build(set) {
                Ok(set) => drop(features.insert(name.as_str(), Arc::new(set))),
                Err(error) => problems.push(sources.diagnostic(&set.spot, error.to_string(), "correct the features")),
            }
        }
        Self { sources, models, features }
    }

    /// The stage of an entry; none: something that it refers to has a problem of its own, which is reported already.
    ///
    /// # Errors
    /// Model, features and output do not go together.
    pub fn step(&self, scoring: &Scoring, buckets: &BTreeMap<&str, Arc<Bucket>>) -> Result<Option<Step>, Diagnostic> {
        let model = &scoring.model;
        if !self.models.contains(&model.value.name) {
            return Ok(None);
        }
        let version = models::find(self.models, &model.value)
            .map_err(|error| self.sources.diagnostic(&model.spot, error.to_string(), "name one of these"))?;
        let features = scoring.inputs.iter().map(|name| self.features.get(name.as_str()).cloned());
        let Some(inputs) = features.collect::<Option<Vec<_>>>() else { return Ok(None) };
        let header = |name: &String| HeaderName::from_bytes(name.as_bytes()).ok();
        let rates = scoring.rate_bucket.as_ref().and_then(|name| buckets.get(name.as_str()));
        let spec = StageSpec {
            name: Arc::from(model.value.name.as_str()),
            version,
            inputs,
            output: scoring.output.as_ref().map(|output| wanted(&output.value)),
            when: When {
                methods: scoring.when.methods.as_ref().map(|methods| {
                    methods.iter().filter_map(|method| Method::from_bytes(method.as_bytes()).ok()).collect()
                }),
                header: scoring.when.header.as_ref().and_then(header),
                share_permille: scoring.when.share_permille,
            },
            deadline: scoring.deadline,
            fallback: match scoring.on_error {
                OnError::Score(score) => Some(single(score)),
                OnError::Deny | OnError::Skip => None,
            },
            refuse: scoring.refuse.map(threshold),
            tag: scoring.tag.as_ref().and_then(header),
            levels: scoring.levels.iter().map(level).collect(),
            shadow: scoring.mode == config::ScoringMode::Shadow,
            rates: rates.map(|bucket| Arc::new(BucketRates(Arc::clone(bucket))) as Arc<dyn ClientRates>),
        };
        let stage = ScoreStage::new(spec).map_err(|mistake| {
            let spot = scoring.output.as_ref().map_or(&model.spot, |output| &output.spot);
            self.sources.diagnostic(spot, mistake.message, mistake.help)
        })?;
        if stage.model().is_new(stage.score()) {
            let (model, version) = (&model.value.name, stage.version());
            info!(model, version, "the score is {}", stage.score());
        }
        let disposition = match scoring.on_error {
            OnError::Skip => Disposition::Skip,
            OnError::Deny | OnError::Score(_) => Disposition::Deny,
        };
        let disposition = if scoring.mode == config::ScoringMode::Shadow { Disposition::Skip } else { disposition };
        let policy = FailurePolicy { on_trap: disposition, on_timeout: disposition, on_overload: disposition };
        Ok(Some(Step::new(Arc::new(stage), policy)))
    }
}

/// Scores are single-precision, as models give them.
#[expect(clippy::cast_possible_truncation, reason = "rounding is what is wanted")]
fn single(number: f64) -> f32 {
    number as f32
}

fn level(level: &config::Level) -> Level {
    let config::Level { threshold: beyond, priority, cost, upstream } = level;
    let upstream = upstream.as_ref().map(|name| Arc::from(name.as_str()));
    Level { threshold: threshold(*beyond), priority: *priority, cost: *cost, upstream }
}

fn threshold(threshold: config::Threshold) -> Threshold {
    match threshold {
        config::Threshold::Above(limit) => Threshold::Above(single(limit)),
        config::Threshold::Below(limit) => Threshold::Below(single(limit)),
    }
}

fn wanted(output: &config::OutputElement) -> Wanted {
    let element = output.element.as_ref().map(|element| match element {
        config::Element::Column(column) => Element::Column(*column),
        config::Element::Class(class) => Element::Class(class.clone()),
    });
    Wanted { output: output.name.clone(), element }
}

/// Rates as a bucket counts them.
#[derive(Debug)]
struct BucketRates(Arc<Bucket>);

impl ClientRates for BucketRates {
    /// Tokens that are missing, by the key that the plugin `rate-limit` has for clients.
    fn rate(&self, client: IpAddr) -> f64 {
        let key = match client.to_canonical() {
            IpAddr::V4(v4) => [b"4".as_slice(), &v4.octets()].concat(),
            IpAddr::V6(v6) => [b"6".as_slice(), v6.octets().first_chunk::<8>().map_or(&[], |network| network)].concat(),
        };
        let standing = self.0.take(&key, 0);
        f64::from(standing.limit.saturating_sub(standing.remaining))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use witgate_http::owned;
    use witgate_stage::{Side, is_forbidden};

    #[test]
    fn scores_are_not_told_in_fields_that_stages_may_not_set() {
        let others = ["accept", "authorization", "cookie", "user-agent", "x-abuse", "x-real-ip", "x-forwarded-port"];
        for name in owned::FRAMING.into_iter().chain(owned::VOUCHED).chain(others) {
            let text = format!(
                "[[listeners]]\naddress = \"127.0.0.1:0\"\n[upstreams.u]\nendpoints = [\"127.0.0.1:1\"]\n\
                 [models.m]\npath = \"m.onnx\"\n[features.f]\nvalues = [{{ length = \"path\" }}]\n[[routes]]\nname = \"r\"\n\
                 upstream = \"u\"\nstages = [{{ inference = \"m\", inputs = [\"f\"], tag = \"{name}\" }}]\n"
            );
            let refused = config::parse(&text, Path::new("gateway.toml")).is_err();
            assert_eq!(refused, is_forbidden(&HeaderName::from_static(name), Side::Request), "{name}");
        }
    }
}
