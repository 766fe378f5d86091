//! From a configuration to a generation: everything that can fail, off the request path.

use std::collections::BTreeMap;
use std::sync::Arc;

use rustls::sign::CertifiedKey;
use tracing::warn;
use witgate_config::{self as config, Diagnostic, Spot};
use witgate_plugin_host::PluginHost;
use witgate_route::{Host, Matcher, Path, RouteTable};
use witgate_stage::Pipeline;

use super::stages::Stages;
use super::{LiveGeneration, Route, Snapshot, Sources, Upstream, certificate};
use crate::telemetry::Metrics;

/// Builds generations; what outlives them (plugin host, metrics) it holds.
#[derive(Clone)]
pub struct Builder {
    pub host: PluginHost,
    pub metrics: Arc<Metrics>,
}

/// A diagnostic for every problem found so far.
type Problems = Vec<Diagnostic>;

impl Builder {
    /// Builds the generation after `previous`, or the first. Blocks: compiles plugins, resolves names. A plugin that cannot
    /// be loaded is a problem unless its stage says otherwise; then it is a warning, in the log as well.
    ///
    /// # Errors
    /// Every problem found; nothing has changed then.
    pub fn build(&self, sources: &Sources, previous: Option<&Snapshot>) -> Result<Snapshot, Vec<Diagnostic>> {
        let mut problems = Problems::new();
        let certificates = certificates(sources, &mut problems);
        let upstreams = upstreams(sources, &mut problems);
        let mut stages = Stages::new(self, sources, previous, &upstreams, &mut problems);
        let mut routes = Vec::new();
        for route in &sources.config.routes {
            let name: Arc<str> = Arc::from(route.name.as_str());
            let (steps, stage_metrics) = stages.steps(&name, route, &mut problems);
            if let Some(upstream) = upstreams.get(route.upstream.as_str()) {
                let ready = Route {
                    metrics: self.metrics.route(&name),
                    name,
                    upstream: Arc::clone(upstream),
                    pipeline: Pipeline::new(steps),
                    deadline: route.deadline,
                    body_limit: route.body_limit,
                    buffer_limit: route.buffer_limit,
                    stage_metrics,
                };
                routes.push((matcher(route), Arc::new(ready)));
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let routes = RouteTable::build(routes).map_err(|error| {
            vec![sources.diagnostic(&Spot::default(), error.to_string(), "give each route its own host and path")]
        })?;
        let (plugins, bindings) = stages.into_parts();
        let snapshot = Snapshot {
            generation: previous.map_or(1, |previous| previous.generation + 1),
            digest: sources.digest,
            config: Arc::clone(&sources.config),
            routes,
            unmatched: self.metrics.route(&UNMATCHED.into()),
            certificates,
            plugins,
            bindings,
            _live: LiveGeneration::new(self.metrics.generations_live.clone()),
        };
        for warning in snapshot.warnings() {
            warn!(generation = snapshot.generation, "{}", one_line(warning));
        }
        Ok(snapshot)
    }
}

fn one_line(warning: &Diagnostic) -> String {
    let Diagnostic { file, spot, message, .. } = warning;
    let line = spot.as_ref().map_or(0, |spot| spot.line);
    format!("{}:{line}: {message}", file.display())
}

/// Label of requests that no route matches: no route can have this name.
const UNMATCHED: &str = "-";

fn matcher(route: &config::Route) -> Matcher {
    Matcher {
        host: route.host.as_ref().map(|host| match host {
            config::HostPattern::Exact(name) => Host::Exact(name.clone()),
            config::HostPattern::Wildcard(suffix) => Host::Wildcard(suffix.clone()),
        }),
        path: match &route.path {
            config::PathPattern::Exact(path) => Path::Exact(path.clone()),
            config::PathPattern::Prefix(path) => Path::Prefix(path.clone()),
        },
    }
}

fn certificates(sources: &Sources, problems: &mut Problems) -> Vec<Option<Arc<CertifiedKey>>> {
    let mut parsed = |tls: &config::Tls| {
        let (chain, key) = (sources.file(&tls.certificate.value), sources.file(&tls.key.value));
        match certificate::parse(&chain, &key) {
            Ok(certified) => Some(certified),
            Err(certificate::Fault::Certificate(message)) => {
                let help = "give a PEM file with the certificate first, then its intermediates";
                problems.push(sources.diagnostic(&tls.certificate.spot, message, help));
                None
            }
            Err(certificate::Fault::Key(message)) => {
                let help = "give the PEM file of the key that the certificate was made for";
                problems.push(sources.diagnostic(&tls.key.spot, message, help));
                None
            }
        }
    };
    sources.config.listeners.iter().map(|listener| listener.tls.as_ref().and_then(&mut parsed)).collect()
}

fn upstreams<'a>(sources: &'a Sources, problems: &mut Problems) -> BTreeMap<&'a str, Arc<Upstream>> {
    let mut built = BTreeMap::new();
    for (name, upstream) in &sources.config.upstreams {
        let ca = upstream.tls.as_ref().and_then(|tls| tls.ca.as_ref());
        let authorities = ca.map(|ca| (ca, certificate::authorities(&sources.file(&ca.value)))).map(|(ca, parsed)| {
            parsed.map_err(|message| sources.diagnostic(&ca.spot, message, "give a PEM file of trusted authorities"))
        });
        let authorities = match authorities.transpose() {
            Ok(authorities) => authorities,
            Err(problem) => {
                problems.push(problem);
                continue;
            }
        };
        match Upstream::build(upstream, authorities) {
            Ok(upstream) => drop(built.insert(name.as_str(), Arc::new(upstream))),
            Err(failed) => problems.extend(failed.into_iter().map(|(spot, message)| {
                sources.diagnostic(&spot, message, "correct the endpoint, or see that its name resolves here")
            })),
        }
    }
    built
}
