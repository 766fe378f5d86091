//! `witgate plugin bench`: how long the hooks of a plugin take.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use serde_json::{Value, json};
use witgate_plugin_host::{LoadedPlugin, PluginStage};
use witgate_stage::{Client, Ended, Exchange, Hook, RequestHead, ResponseHead, Run, Stage, StageError, Verdict};

use crate::units::{show_size, show_time};
use crate::{CommandError, ConfigFrom, component, stand_in};

/// Calls before the first that is measured, so that memory and caches are as in the middle of a day.
const WARM_UP: u32 = 200;
/// Body of the requests and responses.
const BODY: &[u8] = &[b'x'; 1024];

/// What to measure.
#[derive(Debug, Clone)]
pub struct BenchOptions {
    pub plugin: PathBuf,
    pub config: ConfigFrom,
    pub calls: u32,
    /// Added to the request's fields.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

/// Times of each hook.
#[derive(Debug)]
pub struct Bench {
    plugin: PathBuf,
    described: String,
    calls: u32,
    rows: Vec<Row>,
    memory_peak: usize,
}

#[derive(Debug)]
struct Row {
    hook: Hook,
    /// A new instance for each call.
    fresh: bool,
    times: Times,
    verdicts: BTreeMap<&'static str, u32>,
}

#[derive(Debug)]
struct Times {
    p50: Duration,
    p90: Duration,
    p99: Duration,
    max: Duration,
}

impl Times {
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let at = |percent: usize| {
            let last = times.len().saturating_sub(1);
            times.get(last * percent / 100).copied().unwrap_or_default()
        };
        Self { p50: at(50), p90: at(90), p99: at(99), max: at(100) }
    }
}

/// Calls each hook that the plugin has, one call after the other: in an instance that stays, as production does, and in a
/// new one for each call. Everything is granted, and buckets never run dry.
///
/// # Errors
/// A file cannot be read, or the plugin does not load with this configuration.
pub fn bench(options: &BenchOptions) -> Result<Bench, CommandError> {
    let wasm = component::read(&options.plugin)?;
    let config = options.config.value()?;
    let host = component::host()?;
    let loaded = host.load(stand_in::spec(&host, wasm, &config));
    let plugin = loaded.map_err(|source| CommandError::Plugin { path: options.plugin.clone(), source })?;
    // A guest's own words would be thousands.
    let rows = tracing::subscriber::with_default(tracing::subscriber::NoSubscriber::default(), || {
        component::run(rows(&plugin, options))
    })?;
    let described = plugin.description();
    Ok(Bench {
        plugin: options.plugin.clone(),
        described: format!("{} {}", described.name, described.version),
        calls: options.calls,
        rows,
        memory_peak: plugin.stats().memory_peak,
    })
}

async fn rows(plugin: &Arc<LoadedPlugin>, options: &BenchOptions) -> Vec<Row> {
    let stage = PluginStage::new(Arc::clone(plugin));
    let mut rows = Vec::new();
    for hook in Hook::ALL.into_iter().filter(|hook| plugin.has(*hook)) {
        for fresh in [false, true] {
            for _ in 0..WARM_UP.min(options.calls) {
                call(plugin, &stage, (hook, fresh), options).await;
            }
            let (mut times, mut verdicts) = (Vec::new(), BTreeMap::new());
            for _ in 0..options.calls {
                let (time, verdict) = call(plugin, &stage, (hook, fresh), options).await;
                times.push(time);
                *verdicts.entry(verdict).or_default() += 1;
            }
            rows.push(Row { hook, fresh, times: Times::of(times), verdicts });
        }
    }
    rows
}

async fn call(
    plugin: &LoadedPlugin,
    stage: &PluginStage,
    (hook, fresh): (Hook, bool),
    options: &BenchOptions,
) -> (Duration, &'static str) {
    let exchange = exchange(hook, &options.headers);
    let started = Instant::now();
    let (_exchange, result) = if fresh {
        plugin.run_fresh(hook, exchange).await
    } else {
        match stage.run(hook, exchange) {
            Run::Ended(exchange, result) => (exchange, result),
            Run::Waits(future) => future.await,
        }
    };
    (started.elapsed(), label(&result))
}

fn label(result: &Result<Verdict, StageError>) -> &'static str {
    match result {
        Ok(Verdict::Continue(_)) => "continue",
        Ok(Verdict::Replace(..)) => "replace",
        Ok(Verdict::Respond(_)) => "respond",
        Ok(Verdict::Refuse(_)) => "refuse",
        Err(error) => error.kind.label(),
    }
}

/// A request as a browser sends it, of a kilobyte, and its response.
fn exchange(hook: Hook, more: &[(HeaderName, HeaderValue)]) -> Box<Exchange> {
    let fields = [
        ("accept", "application/json, text/plain, */*"),
        ("accept-encoding", "gzip, deflate, br"),
        ("accept-language", "en-GB,en;q=0.9"),
        ("content-type", "application/json"),
        ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
    ];
    let fields = fields.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
    let headers: HeaderMap = fields.into_iter().chain(more.iter().cloned()).collect();
    let response = || ResponseHead {
        status: StatusCode::OK,
        headers: [(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"))].into_iter().collect(),
    };
    let is_body = matches!(hook, Hook::RequestBody | Hook::ResponseBody);
    let request = RequestHead { method: Method::POST, path: PathAndQuery::from_static("/api/items?page=2"), headers };
    let client =
        Client { address: ([192, 0, 2, 1], 40_000).into(), local: ([127, 0, 0, 1], 80).into(), tls: false, sni: None };
    let mut exchange = Box::new(Exchange::new(request, "bench".into(), "bench".into(), client));
    exchange.response = (hook.is_response() || hook == Hook::Log).then(response);
    exchange.body = if is_body { Bytes::from_static(BODY) } else { Bytes::new() };
    exchange.end_of_stream = is_body || hook == Hook::Log;
    exchange.heads_sent = hook == Hook::Log;
    exchange.ended = (hook == Hook::Log).then(|| Ended { status: Some(StatusCode::OK), ..Ended::default() });
    exchange.authority = Some("example.com".into());
    exchange
}

impl Bench {
    pub fn plugin(&self) -> &Path {
        &self.plugin
    }

    pub fn to_json(&self) -> Value {
        let nanos = |time: Duration| time.as_nanos() as u64;
        let row = |row: &Row| {
            let Times { p50, p90, p99, max } = row.times;
            json!({
                "hook": row.hook.label(), "instance": if row.fresh { "fresh" } else { "reused" },
                "p50_ns": nanos(p50), "p90_ns": nanos(p90), "p99_ns": nanos(p99), "max_ns": nanos(max),
                "verdicts": row.verdicts,
            })
        };
        json!({
            "ok": true,
            "plugin": self.plugin.display().to_string(),
            "calls": self.calls,
            "memory_peak": self.memory_peak,
            "hooks": self.rows.iter().map(row).collect::<Vec<_>>(),
        })
    }
}

impl Display for Bench {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {} calls of each hook", self.described, self.calls)?;
        writeln!(
            f,
            "{:20} {:9} {:>10} {:>10} {:>10} {:>10}  verdicts",
            "hook", "instance", "p50", "p90", "p99", "max"
        )?;
        for Row { hook, fresh, times, verdicts } in &self.rows {
            let Times { p50, p90, p99, max } = times;
            let [p50, p90, p99, max] = [p50, p90, p99, max].map(|time| show_time(*time));
            let verdicts: Vec<_> = verdicts.iter().map(|(verdict, count)| format!("{count} {verdict}")).collect();
            let instance = if *fresh { "fresh" } else { "reused" };
            writeln!(
                f,
                "{:20} {instance:9} {p50:>10} {p90:>10} {p99:>10} {max:>10}  {}",
                hook.label(),
                verdicts.join(", ")
            )?;
        }
        writeln!(f, "memory of an instance: {} at most", show_size(self.memory_peak))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_sorted_times() {
        let times = Times::of((1..=101).rev().map(Duration::from_micros).collect());
        let micros = [times.p50, times.p90, times.p99, times.max].map(|time| time.as_micros());
        assert_eq!(micros, [51, 91, 100, 101]);
        assert_eq!(Times::of(Vec::new()).max, Duration::ZERO);
    }
}
