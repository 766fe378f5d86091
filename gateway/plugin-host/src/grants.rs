//! What a binding of a plugin may reach.

use std::collections::BTreeMap;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::service::{Bucket, HmacKey, KeySet, LoadScope, MetricSink, OutboundTarget, ScoreTarget, Surroundings};

/// The capabilities of one plugin in one place. Names are resolved when a generation is built: a plugin of an older
/// generation keeps what it had.
#[derive(Debug, Clone, Default)]
pub struct Grants {
    /// `log`
    pub log: bool,
    /// `clock`
    pub clock: bool,
    /// `kv`
    pub kv: bool,
    /// `crypto`: digests. Any key brings them along.
    pub digests: bool,
    /// `crypto:NAME`
    pub keys: BTreeMap<String, Arc<HmacKey>>,
    /// `crypto:NAME`
    pub key_sets: BTreeMap<String, Arc<KeySet>>,
    /// `limiter:NAME`
    pub buckets: BTreeMap<String, Arc<Bucket>>,
    /// `load:NAME`
    pub load_scopes: BTreeMap<String, Arc<LoadScope>>,
    /// `metrics`: where they go.
    pub metrics: Option<Arc<dyn MetricSink>>,
    /// `random`
    pub random: bool,
    /// `outbound:NAME`
    pub outbound: BTreeMap<String, Arc<dyn OutboundTarget>>,
    /// `inference:NAME`
    pub models: BTreeMap<String, Arc<dyn ScoreTarget>>,
    /// What `clock` and `random` tell, and what `kv` reckons lifetimes by.
    pub surroundings: Surroundings,
}

impl Grants {
    /// Whether an interface of the contract is linked; the error is the grant that is missing.
    pub(crate) fn allow(&self, interface: &str) -> Result<(), &'static str> {
        let (granted, grant) = match interface {
            "log" => (self.log, "log"),
            "clock" => (self.clock, "clock"),
            "kv" => (self.kv, "kv"),
            "crypto" => (self.digests || !self.keys.is_empty() || !self.key_sets.is_empty(), "crypto"),
            "limiter" => (!self.buckets.is_empty(), "limiter:NAME"),
            "load" => (!self.load_scopes.is_empty(), "load:NAME"),
            "metrics" => (self.metrics.is_some(), "metrics"),
            "random" => (self.random, "random"),
            "outbound" => (!self.outbound.is_empty(), "outbound:NAME"),
            "inference" => (!self.models.is_empty(), "inference:NAME"),
            _ => (true, ""),
        };
        if granted { Ok(()) } else { Err(grant) }
    }

    /// Feeds everything that makes these grants different from others.
    pub(crate) fn digest(&self, hash: &mut Sha256) {
        let Self {
            log,
            clock,
            kv,
            digests,
            keys,
            key_sets,
            buckets,
            load_scopes,
            metrics,
            random,
            outbound,
            models,
            surroundings,
        } = self;
        hash.update((surroundings.identity() as u64).to_le_bytes());
        hash.update([*log, *clock, *kv, *digests, metrics.is_some(), *random].map(u8::from));
        named(hash, keys, |key| key.fingerprint().to_vec());
        named(hash, key_sets, |set| set.fingerprint().to_vec());
        named(hash, buckets, |bucket| bucket.id().to_le_bytes().to_vec());
        named(hash, outbound, |target| target.identity().to_le_bytes().to_vec());
        named(hash, models, |target| target.identity());
        named(hash, load_scopes, |scope| {
            let (id, limits) = scope.identity();
            [&id.to_le_bytes()[..], &limits.in_flight.to_le_bytes(), &limits.cpu_permille.to_le_bytes()].concat()
        });
    }
}

fn named<T: ?Sized>(hash: &mut Sha256, map: &BTreeMap<String, Arc<T>>, identity: impl Fn(&T) -> Vec<u8>) {
    hash.update((map.len() as u64).to_le_bytes());
    for (name, value) in map {
        hash.update((name.len() as u64).to_le_bytes());
        hash.update(name);
        hash.update(identity(value));
    }
}
