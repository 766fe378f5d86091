//! Counters for /metrics. What the request path touches is resolved once, when a generation is built.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, SystemTime};

use http::{Method, StatusCode};
use parking_lot::Mutex;
use prometheus::proto::{MetricFamily, MetricType};
use prometheus::{GaugeVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder};
use witgate_plugin_host::BreakerState;
use witgate_stage::{FAILURE_LINES, FailureKind, Hook, StageError, Usage, Verdict};

use super::CustomMetrics;
use super::tally::{Counts, Durations, Family, Peak, Sums, TimeSum};

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

const fn ns(nanoseconds: u64) -> Duration {
    Duration::from_nanos(nanoseconds)
}

/// From a local upstream's answer to the default deadline.
static REQUEST_BOUNDS: [Duration; 13] = [
    ms(1),
    Duration::from_micros(2_500),
    ms(5),
    ms(10),
    ms(25),
    ms(50),
    ms(100),
    ms(250),
    ms(500),
    ms(1_000),
    ms(2_500),
    ms(10_000),
    ms(30_000),
];
/// From an empty plugin to the default time limit of a hook.
static STAGE_BOUNDS: [Duration; 10] =
    [ns(1_000), ns(2_500), ns(5_000), ns(10_000), ns(25_000), ns(50_000), ns(100_000), ns(250_000), ms(1), ms(10)];

/// Methods that have a label of their own; a client could otherwise make as many series as it can think of methods.
const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "other"];
/// Status classes; the first stands for requests that ended without a response.
const CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];
/// What a stage can decide, as labels.
const VERDICTS: [&str; 4] = ["continue", "replace", "respond", "refuse"];

/// Where a hook's time is spent, as labels.
const TIMES: [&str; 3] = ["guest", "host", "queue"];
/// Which way bytes were copied, seen from the guest, as labels.
const DIRECTIONS: [&str; 2] = ["in", "out"];

/// Outcome of one attempt to reload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReloadOutcome {
    Unchanged,
    Swapped,
    Refused,
}

impl ReloadOutcome {
    pub fn label(self) -> &'static str {
        match self {
            Self::Unchanged => "unchanged",
            Self::Swapped => "swapped",
            Self::Refused => "refused",
        }
    }
}

/// All metrics of the process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    pub requests_in_flight: IntGauge,
    reloads: IntCounterVec,
    reload_last: IntGaugeVec,
    pub generation: IntGauge,
    pub generations_live: IntGauge,
    pub access_records_dropped: IntCounter,
    /// By what could not be done: `open` or `write`.
    pub access_log_failures: IntCounterVec,
    /// Those of plugins.
    pub custom: Arc<CustomMetrics>,
    pub heads_refused: IntCounter,
    http2_ended: IntCounterVec,
    /// Requests that met a fault of the gateway.
    pub panics: IntCounter,
    plugin_gauges: IntGaugeVec,
    breakers: IntGaugeVec,
    fallbacks: IntGaugeVec,
    parity: GaugeVec,
    routes: Interned<Arc<str>, RouteMetrics>,
    stages: Interned<(Arc<str>, Arc<str>), StageMetrics>,
}

/// One object for each key for as long as anybody holds it.
type Interned<K, V> = Mutex<HashMap<K, Weak<V>>>;

fn intern<K: Hash + Eq + Clone, V>(map: &Interned<K, V>, key: K, make: impl FnOnce() -> V) -> Arc<V> {
    let mut map = map.lock();
    if let Some(present) = map.get(&key).and_then(Weak::upgrade) {
        return present;
    }
    let made = Arc::new(make());
    map.insert(key, Arc::downgrade(&made));
    made
}

/// Whether nobody else has taken the key meanwhile: then its series can go.
fn forget<K: Hash + Eq, V>(map: &Interned<K, V>, key: &K) -> bool {
    let mut map = map.lock();
    let dead = map.get(key).is_some_and(|weak| weak.strong_count() == 0);
    if dead {
        map.remove(key);
    }
    dead
}

impl Metrics {
    /// # Errors
    /// Two metrics of one name: a mistake in this file.
    pub fn new() -> Result<Arc<Self>, prometheus::Error> {
        let registry = Registry::new();
        macro_rules! register {
            ($metric:expr) => {{
                let metric = $metric?;
                registry.register(Box::new(metric.clone()))?;
                metric
            }};
        }
        let reloads = Opts::new("witgate_reloads_total", "Attempts to reload the configuration.");
        let reload_last = Opts::new("witgate_reload_last_timestamp_seconds", "Unix time of the last attempt.");
        let plugin_gauges = Opts::new("witgate_plugin_instances", "Instances of plugins, and what became of them.");
        let breakers = Opts::new("witgate_plugin_breaker", "0: closed, 1: half-open, 2: open; calls fail at once.");
        let http2_ended = Opts::new(
            "witgate_http2_connections_ended_total",
            "Connections of HTTP/2 that the gateway ended for what the client did, by the code of its GOAWAY.",
        );
        let log_failures = Opts::new(
            "witgate_access_log_failures_total",
            "Attempts to open the access log anew, or to write to it, that failed; each is made again.",
        );
        let parity = Opts::new(
            "witgate_model_parity_difference",
            "Largest difference between outputs of a model's last two versions on recorded inputs.",
        );
        let fallbacks = Opts::new("witgate_stage_fallback", "1: the plugin could not be loaded; what happens instead.");
        Ok(Arc::new(Self {
            requests_in_flight: register!(IntGauge::new("witgate_requests_in_flight", "Requests being served.")),
            reloads: register!(IntCounterVec::new(reloads, &["outcome"])),
            reload_last: register!(IntGaugeVec::new(reload_last, &["result"])),
            generation: register!(IntGauge::new("witgate_generation", "Number of the generation that serves.")),
            generations_live: register!(IntGauge::new(
                "witgate_generations_live",
                "Generations that serve, or still have requests in flight."
            )),
            access_records_dropped: register!(IntCounter::new(
                "witgate_access_records_dropped_total",
                "Access records lost because the log could not keep up."
            )),
            access_log_failures: register!(IntCounterVec::new(log_failures, &["operation"])),
            heads_refused: register!(IntCounter::new(
                "witgate_heads_refused_total",
                "Request heads refused before routing: malformed, too large or too slow."
            )),
            http2_ended: register!(IntCounterVec::new(http2_ended, &["reason"])),
            panics: register!(IntCounter::new(
                "witgate_panics_total",
                "Requests that were answered with 500 because the gateway itself failed; each has a record and a log line."
            )),
            plugin_gauges: register!(IntGaugeVec::new(plugin_gauges, &["plugin", "state"])),
            breakers: register!(IntGaugeVec::new(breakers, &["plugin"])),
            fallbacks: register!(IntGaugeVec::new(fallbacks, &["route", "plugin", "fallback"])),
            parity: register!(GaugeVec::new(parity, &["model"])),
            custom: Arc::default(),
            routes: Mutex::default(),
            stages: Mutex::default(),
            registry,
        }))
    }

    /// The metrics of a route: the same object for as long as a generation holds it. A route that is gone takes its
    /// series along, so that reloads do not grow the exposition.
    pub fn route(self: &Arc<Self>, name: &Arc<str>) -> Arc<RouteMetrics> {
        intern(&self.routes, Arc::clone(name), || RouteMetrics {
            metrics: Arc::clone(self),
            route: Arc::clone(name),
            requests: std::array::from_fn(|_| Counts::default()),
            duration: Durations::new(&REQUEST_BOUNDS),
        })
    }

    /// The metrics of a plugin on a route.
    pub fn stage(self: &Arc<Self>, route: &Arc<str>, plugin: &Arc<str>) -> Arc<StageMetrics> {
        intern(&self.stages, (Arc::clone(route), Arc::clone(plugin)), || StageMetrics {
            metrics: Arc::clone(self),
            key: (Arc::clone(route), Arc::clone(plugin)),
            hooks: std::array::from_fn(|_| OnceLock::new()),
        })
    }

    /// A client's connection was ended for what the client did.
    pub fn http2_ended(&self, reason: h2::Reason) {
        // Names of RFC 9113, section 7, of those that can come up.
        let label = match reason {
            h2::Reason::PROTOCOL_ERROR => "PROTOCOL_ERROR",
            h2::Reason::FLOW_CONTROL_ERROR => "FLOW_CONTROL_ERROR",
            h2::Reason::FRAME_SIZE_ERROR => "FRAME_SIZE_ERROR",
            h2::Reason::COMPRESSION_ERROR => "COMPRESSION_ERROR",
            h2::Reason::ENHANCE_YOUR_CALM => "ENHANCE_YOUR_CALM",
            _ => "other",
        };
        self.http2_ended.with_label_values(&[label]).inc();
    }

    pub fn reload_ended(&self, outcome: ReloadOutcome) {
        self.reloads.with_label_values(&[outcome.label()]).inc();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        self.reload_last.with_label_values(&["attempt"]).set(now);
        if outcome != ReloadOutcome::Refused {
            self.reload_last.with_label_values(&["success"]).set(now);
        }
    }

    /// Replaces the figures of all plugins: (plugin, state, count).
    pub fn set_plugin_instances(&self, figures: impl IntoIterator<Item = (String, &'static str, u64)>) {
        self.plugin_gauges.reset();
        for (plugin, state, count) in figures {
            self.plugin_gauges
                .with_label_values(&[plugin.as_str(), state])
                .add(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    /// Replaces the states of all breakers. Of plugins of one name, the worst counts.
    pub fn set_breakers<'a>(&self, breakers: impl IntoIterator<Item = (&'a str, BreakerState)>) {
        self.breakers.reset();
        for (plugin, state) in breakers {
            let gauge = self.breakers.with_label_values(&[plugin]);
            let value = match state {
                BreakerState::Closed => 0,
                BreakerState::HalfOpen => 1,
                BreakerState::Open => 2,
            };
            gauge.set(gauge.get().max(value));
        }
    }

    /// Replaces the stages that do not run as configured: (route, plugin, what happens instead).
    pub fn set_fallbacks<'a>(&self, fallbacks: impl IntoIterator<Item = [&'a str; 3]>) {
        self.fallbacks.reset();
        fallbacks.into_iter().for_each(|labels| self.fallbacks.with_label_values(&labels).set(1));
    }

    /// Notes how far a new version of a model was from the one before.
    pub fn set_parity(&self, model: &str, difference: f64) {
        self.parity.with_label_values(&[model]).set(difference);
    }

    /// Everything in the text format of Prometheus, with `more` metrics that are kept elsewhere.
    pub fn render(&self, more: Vec<MetricFamily>) -> String {
        let mut families = self.registry.gather();
        families.extend(more);
        let own = self.route_families().into_iter().chain(self.stage_families()).chain(self.custom.families());
        families.extend(own.filter_map(Family::into_inner));
        families.sort_by(|one, other| one.name().cmp(other.name()));
        TextEncoder::new().encode_to_string(&families).unwrap_or_default()
    }

    fn route_families(&self) -> [Family; 2] {
        let mut requests = Family::new("witgate_requests_total", "Requests that have ended.", MetricType::COUNTER);
        let mut durations = Family::new(
            "witgate_request_duration_seconds",
            "From the end of a request's head to the end of the request.",
            MetricType::HISTOGRAM,
        );
        for (name, route) in living(&self.routes) {
            for (method, counts) in METHODS.iter().zip(&route.requests) {
                for (class, count) in CLASSES.iter().zip(counts.read()).filter(|(_, count)| *count > 0) {
                    requests.count(&[("method", method), ("route", &name), ("status", class)], count);
                }
            }
            durations.histogram(&[("route", &name)], route.duration.read());
        }
        [requests, durations]
    }

    fn stage_families(&self) -> [Family; 8] {
        let mut durations =
            Family::new("witgate_stage_duration_seconds", "Time that one hook of a stage took.", MetricType::HISTOGRAM);
        let mut verdicts =
            Family::new("witgate_stage_verdicts_total", "What the hooks of a stage decided.", MetricType::COUNTER);
        let mut failures =
            Family::new("witgate_stage_failures_total", "Hooks that decided nothing, by kind.", MetricType::COUNTER);
        let mut times = Family::new(
            "witgate_stage_time_seconds_total",
            "Time of hooks: running in the guest and in its host calls, and waiting in the queue.",
            MetricType::COUNTER,
        );
        let mut bytes =
            Family::new("witgate_stage_bytes_total", "Bytes copied to guests and from them.", MetricType::COUNTER);
        let mut recycled = Family::new(
            "witgate_stage_recycled_total",
            "Hooks after which an instance was replaced for its age or size.",
            MetricType::COUNTER,
        );
        let mut memory = Family::new(
            "witgate_stage_memory_peak_bytes",
            "Most memory that an instance had after a hook.",
            MetricType::GAUGE,
        );
        let mut lines = Family::new(
            "witgate_failure_lines_dropped_total",
            "Failures of stages that were not logged, because there were too many in a second.",
            MetricType::COUNTER,
        );
        lines.count(&[], FAILURE_LINES.dropped());
        for ((route, plugin), stage) in living(&self.stages) {
            let hooks =
                Hook::ALL.iter().zip(&stage.hooks).filter_map(|(hook, tally)| Some((hook.label(), tally.get()?)));
            for (hook, tally) in hooks {
                let (hook, plugin, route) = (("hook", hook), ("plugin", &*plugin), ("route", &*route));
                durations.histogram(&[hook, plugin, route], tally.duration.read());
                for (verdict, count) in VERDICTS.iter().zip(tally.verdicts.read()) {
                    verdicts.count(&[hook, plugin, route, ("verdict", verdict)], count);
                }
                for (kind, count) in FailureKind::ALL.iter().zip(tally.failures.read()) {
                    failures.count(&[hook, ("kind", kind.label()), plugin, route], count);
                }
                let costs = &tally.costs;
                for (place, time) in TIMES.iter().zip(&costs.times) {
                    times.count_seconds(&[hook, ("in", place), plugin, route], time.read());
                }
                for (direction, count) in DIRECTIONS.iter().zip(costs.bytes.read()) {
                    bytes.count(&[("direction", direction), hook, plugin, route], count);
                }
                let [count] = costs.recycled.read();
                recycled.count(&[hook, plugin, route], count);
                memory.gauge(&[hook, plugin, route], costs.memory_peak.read());
            }
        }
        [durations, verdicts, failures, lines, times, bytes, recycled, memory]
    }
}

/// What is still held, in the order of its keys.
fn living<K: Ord + Clone, V>(map: &Interned<K, V>) -> Vec<(K, Arc<V>)> {
    // All upgraded under the lock and dropped after it, for the last holder takes the lock.
    let mut living: Vec<_> =
        map.lock().iter().filter_map(|(key, value)| Some((key.clone(), value.upgrade()?))).collect();
    living.sort_by(|one, other| one.0.cmp(&other.0));
    living
}

/// Metrics of one route.
#[derive(Debug)]
pub struct RouteMetrics {
    metrics: Arc<Metrics>,
    route: Arc<str>,
    /// By method and status class.
    requests: [Counts<{ CLASSES.len() }>; METHODS.len()],
    duration: Durations<{ REQUEST_BOUNDS.len() }>,
}

impl RouteMetrics {
    /// Counts a request that has ended; `status` is none if no response was sent.
    pub fn request_ended(&self, method: &Method, status: Option<StatusCode>, elapsed: Duration) {
        let method = METHODS.iter().position(|m| *m == method.as_str()).unwrap_or(METHODS.len() - 1);
        let class = status.map_or(0, |s| usize::from(s.as_u16() / 100)).min(CLASSES.len() - 1);
        if let Some(counts) = self.requests.get(method) {
            counts.count(class);
        }
        self.duration.observe(elapsed);
    }
}

impl Drop for RouteMetrics {
    fn drop(&mut self) {
        forget(&self.metrics.routes, &self.route);
    }
}

/// Metrics of one plugin on one route.
#[derive(Debug)]
pub struct StageMetrics {
    metrics: Arc<Metrics>,
    key: (Arc<str>, Arc<str>),
    /// Made when a hook first runs: most plugins have one or two.
    hooks: [OnceLock<HookTally>; Hook::ALL.len()],
}

#[derive(Debug)]
struct HookTally {
    duration: Durations<{ STAGE_BOUNDS.len() }>,
    verdicts: Counts<{ VERDICTS.len() }>,
    failures: Counts<{ FailureKind::ALL.len() }>,
    costs: Costs,
}

/// What a stage's hooks cost, beyond the time that passed.
#[derive(Debug, Default)]
struct Costs {
    /// In the order of [`TIMES`].
    times: [TimeSum; TIMES.len()],
    /// In the order of [`DIRECTIONS`].
    bytes: Sums<{ DIRECTIONS.len() }>,
    recycled: Counts<1>,
    memory_peak: Peak,
}

impl StageMetrics {
    /// Counts one run of a hook.
    pub fn hook_ran(&self, hook: Hook, (elapsed, usage): (Duration, &Usage), result: &Result<Verdict, StageError>) {
        let Some(tally) = self.hooks.get(hook as usize) else { return };
        let tally = tally.get_or_init(|| HookTally {
            duration: Durations::new(&STAGE_BOUNDS),
            verdicts: Counts::default(),
            failures: Counts::default(),
            costs: Costs::default(),
        });
        tally.duration.observe(elapsed);
        tally.costs.add(usage);
        match result {
            Ok(Verdict::Continue(_)) => tally.verdicts.count(0),
            Ok(Verdict::Replace(..)) => tally.verdicts.count(1),
            Ok(Verdict::Respond(_)) => tally.verdicts.count(2),
            Ok(Verdict::Refuse(_)) => tally.verdicts.count(3),
            Err(error) => {
                tally.failures.count(FailureKind::ALL.iter().position(|k| *k == error.kind).unwrap_or_default())
            }
        }
    }
}

impl Costs {
    fn add(&self, usage: &Usage) {
        let Usage { guest, host, queued, bytes_in, bytes_out, memory, recycled } = *usage;
        let [in_guest, in_host, in_queue] = &self.times;
        in_guest.add(guest);
        in_host.add(host);
        // Nearly always nothing, and a cache line less to write.
        if !queued.is_zero() {
            in_queue.add(queued);
        }
        self.bytes.add([bytes_in, bytes_out]);
        if recycled {
            self.recycled.count(0);
        }
        self.memory_peak.raise(memory);
    }
}

impl Drop for StageMetrics {
    fn drop(&mut self) {
        if forget(&self.metrics.stages, &self.key) {
            let (route, plugin) = &self.key;
            self.metrics.custom.forget(plugin, route);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_that_is_gone_takes_its_series_along() {
        let metrics = Metrics::new().unwrap();
        let name: Arc<str> = "api".into();
        let first = metrics.route(&name);
        first.request_ended(&Method::GET, Some(StatusCode::OK), Duration::from_millis(1));
        let second = metrics.route(&name);
        drop(first);
        assert!(
            metrics.render(Vec::new()).contains(r#"witgate_requests_total{method="GET",route="api",status="2xx"} 1"#)
        );
        drop(second);
        assert!(!metrics.render(Vec::new()).contains(r#"route="api""#));
    }

    #[test]
    fn methods_and_statuses_outside_the_lists_share_a_series() {
        let metrics = Metrics::new().unwrap();
        let route = metrics.route(&"r".into());
        for method in [&b"BREW"[..], b"PROPFIND"] {
            route.request_ended(&Method::from_bytes(method).unwrap(), None, Duration::ZERO);
        }
        let label = r#"witgate_requests_total{method="other",route="r",status="none"} 2"#;
        assert!(metrics.render(Vec::new()).contains(label), "{}", metrics.render(Vec::new()));
    }

    #[test]
    fn of_breakers_of_one_name_the_worst_is_shown_and_none_stays() {
        let metrics = Metrics::new().unwrap();
        metrics.set_breakers([("p", BreakerState::Closed), ("p", BreakerState::Open), ("p", BreakerState::HalfOpen)]);
        metrics.set_fallbacks([["r", "p", "skip"]]);
        let text = metrics.render(Vec::new());
        assert!(text.contains(r#"witgate_plugin_breaker{plugin="p"} 2"#), "{text}");
        assert!(text.contains(r#"witgate_stage_fallback{fallback="skip",plugin="p",route="r"} 1"#), "{text}");
        metrics.set_breakers([]);
        metrics.set_fallbacks([]);
        assert!(!metrics.render(Vec::new()).contains(r#"plugin="p""#));
    }

    #[test]
    fn verdicts_and_failures_of_a_stage_are_counted_apart() {
        let metrics = Metrics::new().unwrap();
        let stage = metrics.stage(&"r".into(), &"auth".into());
        let usage = Usage {
            guest: Duration::from_millis(250),
            host: Duration::from_millis(500),
            queued: Duration::from_secs(1),
            bytes_in: 10,
            bytes_out: 20,
            memory: 65_536,
            recycled: true,
        };
        stage.hook_ran(
            Hook::RequestHeaders,
            (Duration::from_micros(3), &usage),
            &Ok(Verdict::Continue(witgate_stage::Edits::default())),
        );
        let error = StageError { stage: "auth".to_owned(), kind: FailureKind::Trap, source: "unreachable".into() };
        stage.hook_ran(Hook::RequestHeaders, (Duration::from_micros(3), &Usage { memory: 5, ..usage }), &Err(error));
        let text = metrics.render(Vec::new());
        let labels = r#"hook="on-request-headers""#;
        assert!(text.contains(&format!(
            r#"witgate_stage_verdicts_total{{{labels},plugin="auth",route="r",verdict="continue"}} 1"#
        )));
        for line in [
            format!(r#"witgate_stage_time_seconds_total{{{labels},in="guest",plugin="auth",route="r"}} 0.5"#),
            format!(r#"witgate_stage_time_seconds_total{{{labels},in="host",plugin="auth",route="r"}} 1"#),
            format!(r#"witgate_stage_time_seconds_total{{{labels},in="queue",plugin="auth",route="r"}} 2"#),
            format!(r#"witgate_stage_bytes_total{{direction="in",{labels},plugin="auth",route="r"}} 20"#),
            format!(r#"witgate_stage_bytes_total{{direction="out",{labels},plugin="auth",route="r"}} 40"#),
            format!(r#"witgate_stage_recycled_total{{{labels},plugin="auth",route="r"}} 2"#),
            format!(r#"witgate_stage_memory_peak_bytes{{{labels},plugin="auth",route="r"}} 65536"#),
        ] {
            assert!(text.contains(&format!("{line}\n")), "{line}\n{text}");
        }
        assert!(
            text.contains(&format!(
                r#"witgate_stage_failures_total{{{labels},kind="trap",plugin="auth",route="r"}} 1"#
            ))
        );
    }
}
