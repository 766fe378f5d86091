//! From a configuration to a generation: everything that can fail, off the request path.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::SystemTime;

use rustls::sign::CertifiedKey;
use witgate_config::{self as config, Diagnostic, Spot};
use witgate_inference::protocol::{Limits, ModelServer, Reach, ServerSettings};
use witgate_inference::validate::NonFinite;
use witgate_inference::{Catalogue, Control, Inference, Repository, Roots};
use witgate_plugin_host::PluginHost;
use witgate_route::{Host, Matcher, Path, RouteTable};
use witgate_stage::Pipeline;

use super::certificate::Standing;
use super::scoring::Material;
use super::scripts::{ScriptHost, Scripts};
use super::stages::Stages;
use super::{
    LiveGeneration, Resolution, Route, Snapshot, Sources, Target, Upstream, certificate, models, resolve, upstream,
};
use crate::telemetry::Metrics;
use crate::unreadable::Unusable;
use crate::upstream::{Registry, Resolve};

/// Builds generations; what outlives them (plugin host, metrics) it holds.
#[derive(Clone)]
pub struct Builder {
    pub host: PluginHost,
    pub inference: Arc<Inference>,
    /// Threads that run models.
    pub inference_threads: usize,
    pub scripts: Arc<ScriptHost>,
    pub metrics: Arc<Metrics>,
    /// How endpoints and names of upstreams fare.
    pub registry: Arc<Registry>,
    pub resolver: Arc<dyn Resolve>,
}

/// A diagnostic for every problem found so far.
type Problems = Vec<Diagnostic>;

impl Builder {
    /// Builds the generation after `previous`, or the first. Blocks: compiles plugins, resolves names. A plugin that cannot
    /// be loaded is a problem unless its stage says otherwise; then it is a warning. So is a name that
    /// does not resolve and did before, or when the gateway starts.
    ///
    /// # Errors
    /// Every problem found; nothing has changed then.
    pub fn build(&self, sources: &Sources, previous: Option<&Snapshot>) -> Result<Snapshot, Vec<Diagnostic>> {
        self.build_with(sources, previous, self.resolve(&sources.config, previous))
    }

    /// What the names of a configuration stand for now. Blocks.
    pub fn resolve(&self, config: &config::Config, previous: Option<&Snapshot>) -> Resolution {
        resolve(config, previous, &self.resolver)
    }

    /// What names of the generation that serves do not resolve now, by a look at all of them.
    pub fn unresolved(&self, sources: &Sources, resolution: &Resolution, current: &Snapshot) -> Vec<Diagnostic> {
        unresolved(sources, resolution, Some(current)).unwrap_or_else(|new| new)
    }

    /// As [`Self::build`], with names that have been resolved already.
    ///
    /// # Errors
    /// As [`Self::build`].
    pub fn build_with(
        &self,
        sources: &Sources,
        previous: Option<&Snapshot>,
        resolution: Resolution,
    ) -> Result<Snapshot, Vec<Diagnostic>> {
        let (mut problems, mut notes) = (Problems::new(), Problems::new());
        let certificates = certificates(sources, previous, (&mut problems, &mut notes));
        notes.extend(useless_authorities(sources));
        let unresolved = match unresolved(sources, &resolution, previous) {
            Ok(warnings) => warnings,
            Err(new) => {
                problems.extend(new);
                Vec::new()
            }
        };
        let upstreams = upstreams(sources, resolution, &self.registry, &mut problems);
        let with = (&*self.inference, self.inference_threads);
        let models = Arc::new(models::load(with, &self.metrics, sources, previous, &mut problems));
        let material = Material::new(sources, &models, &mut problems);
        let scripts = Scripts::load(&self.scripts, sources, (&self.host, &upstreams), &mut problems);
        let with = (&upstreams, &material, &scripts);
        let mut stages = Stages::new(self, sources, previous, with, &mut problems);
        let mut routes = Vec::new();
        for route in &sources.config.routes {
            let name: Arc<str> = Arc::from(route.name.as_str());
            let (steps, stage_metrics) = stages.steps(&name, route, &mut problems);
            let target = match &route.target {
                config::Target::Upstream(name) => upstreams.get(name.as_str()).cloned().map(Target::Upstream),
                config::Target::Models(serving) => {
                    Some(Target::Models(self.model_server(sources, &models, route, serving)))
                }
                config::Target::Script => Some(Target::Script),
            };
            if let Some(target) = target {
                let ready = Route {
                    metrics: self.metrics.route(&name),
                    name,
                    target,
                    choices: choices(route, &upstreams),
                    pipeline: Pipeline::new(steps),
                    deadline: route.deadline,
                    tunnel_idle_timeout: route.tunnel_idle_timeout,
                    body_limit: route.body_limit,
                    buffer_limit: route.buffer_limit,
                    stage_metrics,
                };
                routes.push((matcher(route), Arc::new(ready)));
            }
        }
        scripts.judge(sources, (&mut problems, &mut notes));
        if !problems.is_empty() {
            return Err(each_once(problems));
        }
        let routes = RouteTable::build(routes).map_err(|error| {
            vec![sources.diagnostic(&Spot::default(), error.to_string(), "give each route its own host and path")]
        })?;
        let (plugins, bindings) = stages.into_parts();
        let upstreams = upstreams.into_iter().map(|(name, group)| (name.to_owned(), group)).collect();
        let snapshot = Snapshot {
            generation: previous.map_or(1, |previous| previous.generation + 1),
            digest: sources.digest,
            config: Arc::clone(&sources.config),
            routes,
            unmatched: self.metrics.route(&UNMATCHED.into()),
            upstreams,
            certificates,
            plugins,
            bindings,
            models,
            unresolved,
            notes,
            _live: LiveGeneration::new(self.metrics.generations_live.clone()),
        };
        models::announce(&snapshot, previous);
        self.scripts.resize(&snapshot.config);
        Ok(snapshot)
    }
}

impl Builder {
    fn model_server(
        &self,
        sources: &Sources,
        models: &Arc<Catalogue>,
        route: &config::Route,
        serving: &config::ModelRoute,
    ) -> ModelServer {
        let repository = Repository {
            inference: Arc::clone(&self.inference),
            configured: Arc::clone(models),
            control: serving.control.then(|| self.control(&sources.config)),
        };
        let names = serving.models.as_ref();
        let settings = ServerSettings {
            models: names.map_or(Reach::All, |names| Reach::Named(names.iter().cloned().collect())),
            manage: serving.control,
            non_finite: if serving.any_values { NonFinite::Allow } else { NonFinite::Refuse },
            limits: Limits {
                // What a body may be, it may be as well after it was decompressed.
                inflated: route
                    .body_limit
                    .map_or(route.buffer_limit, |limit| usize::try_from(limit).unwrap_or(usize::MAX)),
                ..Limits::default()
            },
            prefix: match &route.path {
                config::PathPattern::Exact(path) | config::PathPattern::Prefix(path) => path.clone(),
            },
        };
        ModelServer::new(Arc::new(repository), settings)
    }

    /// What may be loaded on request.
    pub fn control(&self, config: &config::Config) -> Control {
        let roots = config.inference.model_roots.iter().map(|root| root.value.clone()).collect();
        Control {
            roots: Roots::new(roots),
            options: models::options(&witgate_config::model_defaults(), self.inference_threads),
            limit: config.inference.loaded_limit,
        }
    }
}

/// The upstreams that stages of a route may choose instead of its own.
fn choices(route: &config::Route, upstreams: &BTreeMap<&str, Arc<Upstream>>) -> BTreeMap<Arc<str>, Target> {
    let levels = route.stages.iter().flat_map(|stage| match &stage.kind {
        config::StageKind::Inference(scoring) => scoring.levels.as_slice(),
        config::StageKind::Plugin { .. } | config::StageKind::Script { .. } => &[],
    });
    let names = levels.filter_map(|level| level.upstream.as_deref());
    names.filter_map(|name| Some((Arc::from(name), Target::Upstream(Arc::clone(upstreams.get(name)?))))).collect()
}

/// Problems without those that are another's twin: what is wrong with a plugin shows at each stage that runs it.
fn each_once(problems: Problems) -> Problems {
    let mut seen = BTreeSet::new();
    let place = |spot: &Spot| (spot.line, spot.column);
    let mut problems: Vec<_> = problems
        .into_iter()
        .filter(|it| seen.insert((it.file.clone(), it.spot.as_ref().map(place), it.message.clone())))
        .collect();
    problems.sort_by_key(|it| it.spot.as_ref().map(place));
    problems
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

/// The certificates of listeners. One that has expired, or is not valid yet, is a warning: the file is what it was yesterday,
/// so what was right must not keep a gateway from starting or a route from being mended, and clients decide for themselves
/// whether they mind. But it must not take the place of one that is valid: that is a mistake, which a reload can refuse
/// without anybody noticing.
fn certificates(
    sources: &Sources,
    previous: Option<&Snapshot>,
    (problems, notes): (&mut Problems, &mut Problems),
) -> Vec<Option<Arc<CertifiedKey>>> {
    let now = SystemTime::now();
    let mut parsed = |index: usize, tls: &config::Tls| {
        let (chain, key) = (sources.file(&tls.certificate.value), sources.file(&tls.key.value));
        let certified = match certificate::parse(&chain, &key) {
            Ok(certified) => certified,
            Err(certificate::Fault::Certificate(Unusable { message, help })) => {
                problems.push(sources.diagnostic(&tls.certificate.spot, message, help));
                return None;
            }
            Err(certificate::Fault::Key(Unusable { message, help })) => {
                problems.push(sources.diagnostic(&tls.key.spot, message, help));
                return None;
            }
        };
        let (place, standing) = certificate::standing(&certified.cert, now);
        if let Some(words) = standing.words() {
            let subject = match place {
                0 => "the certificate".to_owned(),
                place => format!("certificate number {} of the file", place + 1),
            };
            let message = format!("expected a certificate that is valid today, but {subject} {words}");
            let serving = previous.and_then(|previous| previous.certificates.get(index)?.as_ref());
            let replaces_valid = serving.is_some_and(|serving| {
                serving.cert != certified.cert && certificate::standing(&serving.cert, now).1 == Standing::Valid
            });
            if replaces_valid {
                let help = "give one that is valid: the one that serves now is, and goes on serving";
                problems.push(sources.diagnostic(&tls.certificate.spot, message, help));
            } else {
                let help = match standing {
                    Standing::NotYet(_) => {
                        "keep the one before until then, or set this machine's clock: clients refuse it"
                    }
                    Standing::Expired(_) | Standing::Valid => {
                        "renew it and put it in the place of this file: clients refuse it"
                    }
                };
                notes.push(sources.diagnostic(&tls.certificate.spot, message, help));
            }
        }
        Some(certified)
    };
    let listeners = sources.config.listeners.iter().enumerate();
    listeners.map(|(index, listener)| listener.tls.as_ref().and_then(|tls| parsed(index, tls))).collect()
}

/// Files of authorities of which none is valid today: nothing can be verified against them.
fn useless_authorities(sources: &Sources) -> Problems {
    let now = SystemTime::now();
    let upstreams = sources.config.upstreams.values().filter_map(|upstream| upstream.tls.as_ref()?.ca.as_ref());
    let files = upstreams.chain(sources.config.lua.values().filter_map(|vm| vm.ca.as_ref()));
    let useless = files.filter_map(|ca| {
        let words = certificate::expired_authorities(&sources.file(&ca.value), now)?;
        let message =
            format!("expected an authority that is valid today, but each in `{}` {words}", ca.value.display());
        Some(sources.diagnostic(
            &ca.spot,
            message,
            "give the authority's new certificate: nothing is trusted by this one",
        ))
    });
    useless.collect()
}

/// Names that do not resolve. One that the generation before has too is a warning, and keeps its addresses: a name that fails
/// must not keep a renewed certificate from being served. So is every one when the gateway starts, for the other upstreams
/// are worth more than none.
///
/// # Errors
/// Those that are new in a reload: more likely they are mistakes, and the old generation serves.
fn unresolved(
    sources: &Sources,
    resolution: &Resolution,
    previous: Option<&Snapshot>,
) -> Result<Vec<Diagnostic>, Vec<Diagnostic>> {
    let (mut warnings, mut problems) = (Vec::new(), Vec::new());
    for (spot, answer, known) in upstream::unresolved(&sources.config, resolution, previous) {
        let problem = answer.problem.as_deref().unwrap_or_default();
        let host = &answer.name.host;
        let message = format!("`{host}` cannot be resolved: {problem}");
        let help = "correct the endpoint, or see that its name resolves here";
        if previous.is_some() && !known {
            problems.push(sources.diagnostic(spot, message, help));
            continue;
        }
        let meanwhile = match answer.addresses.is_empty() {
            true => {
                "a gateway that starts has no address for it, looks it up again and again, and answers 503 meanwhile if \
                     the upstream has no other endpoint"
            }
            false => "its last addresses go on serving",
        };
        warnings.push(sources.diagnostic(spot, format!("{message}; {meanwhile}"), help));
    }
    if problems.is_empty() { Ok(warnings) } else { Err(problems) }
}

fn upstreams<'a>(
    sources: &'a Sources,
    mut resolution: Resolution,
    registry: &Registry,
    problems: &mut Problems,
) -> BTreeMap<&'a str, Arc<Upstream>> {
    let mut built = BTreeMap::new();
    for (name, upstream) in &sources.config.upstreams {
        let ca = upstream.tls.as_ref().and_then(|tls| tls.ca.as_ref());
        let authorities = ca.map(|ca| (ca, certificate::authorities(&sources.file(&ca.value)))).map(|(ca, parsed)| {
            parsed.map_err(|unusable| sources.diagnostic(&ca.spot, unusable.message, unusable.help))
        });
        let authorities = match authorities.transpose() {
            Ok(authorities) => authorities,
            Err(problem) => {
                problems.push(problem);
                continue;
            }
        };
        let names = resolution.remove(name.as_str()).unwrap_or_default();
        built.insert(name.as_str(), Arc::new(Upstream::build((name, upstream), names, authorities, registry)));
    }
    built
}
