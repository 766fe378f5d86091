//! Grants for a plugin that nobody has given any: whatever its configuration names is there.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde_json::Value;
use witgate_plugin_host::{
    BucketSpec, Grants, HmacKey, Isolation, KeySet, LoadLimits, Measure, MetricError, MetricSink, OutboundCall,
    OutboundFuture, OutboundReply, OutboundTarget, PluginHost, PluginLimits, PluginSpec, ScoreError, ScoreFuture,
    ScoreTarget, ScoreTensor,
};

/// Most names taken from a configuration: a real one has a handful.
const NAMES_LIMIT: usize = 256;

/// What a plugin has in `gateway.toml` unless it says otherwise.
pub(crate) const LIMITS: PluginLimits = PluginLimits::new(16 << 20, Duration::from_millis(10), 4);

/// A plugin as a route would have it that grants everything.
pub(crate) fn spec(host: &PluginHost, wasm: Arc<[u8]>, config: &Value) -> PluginSpec {
    PluginSpec {
        name: "plugin".into(),
        wasm,
        config_json: config.to_string(),
        limits: LIMITS,
        isolation: Isolation::Shared,
        grants: grants(host, config),
    }
}

/// Every capability. Plugins compare the names in their configuration with those granted; which of the texts in it are
/// names only they know, so each text is taken for one.
fn grants(host: &PluginHost, config: &Value) -> Grants {
    let mut names = vec!["default".to_owned()];
    collect(config, &mut names);
    let key = Arc::new(HmacKey::new(b"a stand-in for a key of the operator"));
    let key_set = Arc::new(KeySet::new([]));
    let bucket = BucketSpec { tokens: 1_000_000, period: Duration::from_secs(1), burst: u32::MAX, keys_limit: 1000 };
    let load = LoadLimits { in_flight: u32::MAX, cpu_permille: u32::MAX };
    let mut grants = Grants {
        log: true,
        clock: true,
        kv: true,
        digests: true,
        metrics: Some(Arc::new(Nowhere)),
        random: true,
        ..Grants::default()
    };
    for name in names {
        grants.keys.insert(name.clone(), Arc::clone(&key));
        grants.key_sets.insert(name.clone(), Arc::clone(&key_set));
        grants.buckets.insert(name.clone(), host.bucket(&name, &bucket));
        grants.load_scopes.insert(name.clone(), host.load_scope(&name, load));
        grants.models.insert(name.clone(), Arc::new(Silent));
        grants.outbound.insert(name, Arc::new(Empty));
    }
    grants
}

/// Takes all metrics and keeps none.
#[derive(Debug)]
struct Nowhere;

impl MetricSink for Nowhere {
    fn record(&self, _: (&str, &str), _: &str, _: &[(String, String)], _: Measure) -> Result<(), MetricError> {
        Ok(())
    }
}

/// An upstream that answers everything at once, with nothing.
#[derive(Debug)]
struct Empty;

impl OutboundTarget for Empty {
    fn identity(&self) -> u64 {
        0
    }

    fn fetch(&self, _: OutboundCall) -> OutboundFuture {
        let (status, headers, body) = (StatusCode::OK, HeaderMap::new(), Bytes::new());
        Box::pin(std::future::ready(Ok(OutboundReply { status, headers, body })))
    }
}

/// A model that is never there.
#[derive(Debug)]
struct Silent;

impl ScoreTarget for Silent {
    fn identity(&self) -> Vec<u8> {
        Vec::new()
    }

    fn score(&self, _: Vec<(String, ScoreTensor)>) -> ScoreFuture {
        Box::pin(std::future::ready(Err(ScoreError::Unavailable)))
    }
}

fn collect(value: &Value, names: &mut Vec<String>) {
    if names.len() >= NAMES_LIMIT {
        return;
    }
    match value {
        Value::String(text) => names.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| collect(item, names)),
        Value::Object(entries) => entries.values().for_each(|item| collect(item, names)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
