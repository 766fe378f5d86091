//! What a plugin reaches beyond the request: each needs a grant of the route.

#[cfg(target_family = "wasm")]
use crate::bindings::imports::witgate::plugin as host;
#[cfg(not(target_family = "wasm"))]
use crate::testing::host;

/// Time. Grant: `clock`.
pub mod clock {
    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub fn now() -> u64 {
        super::host::clock::now()
    }

    /// Nanoseconds since an arbitrary point; never steps back.
    pub fn monotonic() -> u64 {
        super::host::clock::monotonic()
    }
}

/// Digests and the operator's keys. Grants: `crypto`, `crypto:NAME`.
pub mod crypto {
    use crate::AccessError;
    pub use crate::bindings::imports::witgate::plugin::crypto::Hash;
    use crate::error::Thing;

    pub fn digest(hash: Hash, data: &[u8]) -> Vec<u8> {
        super::host::crypto::digest(hash, data)
    }

    /// HMAC with the key of that name.
    ///
    /// # Errors
    /// The key is not granted.
    pub fn hmac(hash: Hash, key: &str, message: &[u8]) -> Result<Vec<u8>, AccessError> {
        Thing::Key.named(key, super::host::crypto::hmac(hash, key, message))
    }

    /// Whether `mac` is the HMAC of `message`, compared in constant time.
    ///
    /// # Errors
    /// The key is not granted.
    pub fn hmac_verify(hash: Hash, key: &str, message: &[u8], mac: &[u8]) -> Result<bool, AccessError> {
        Thing::Key.named(key, super::host::crypto::hmac_verify(hash, key, message, mac))
    }

    /// The identity that a credential stands for in a key set; none if it is unknown.
    ///
    /// # Errors
    /// The key set is not granted.
    pub fn identify(key_set: &str, credential: &[u8]) -> Result<Option<String>, AccessError> {
        Thing::KeySet.named(key_set, super::host::crypto::identify(key_set, credential))
    }

    /// The keys and key sets granted: for checks in `configure`.
    pub fn names() -> Vec<String> {
        super::host::crypto::names()
    }
}

/// Small shared state that survives reloads. Grant: `kv`.
pub mod kv {
    pub use crate::bindings::imports::witgate::plugin::kv::KvError;

    pub fn get(key: &str) -> Option<Vec<u8>> {
        super::host::kv::get(key)
    }

    /// `ttl_ms`: milliseconds until the key vanishes; none keeps it.
    ///
    /// # Errors
    /// See [`KvError`].
    pub fn set(key: &str, value: &[u8], ttl_ms: Option<u64>) -> Result<(), KvError> {
        super::host::kv::set(key, value, ttl_ms)
    }

    /// Whether the key was there.
    pub fn delete(key: &str) -> bool {
        super::host::kv::delete(key)
    }

    /// Adds to a decimal integer, 0 if absent, and returns the new value; atomic.
    ///
    /// # Errors
    /// See [`KvError`].
    pub fn incr(key: &str, delta: i64, ttl_ms: Option<u64>) -> Result<i64, KvError> {
        super::host::kv::incr(key, delta, ttl_ms)
    }

    /// Sets the value if the present one equals `expected` (none: absent); returns whether it did.
    ///
    /// # Errors
    /// See [`KvError`].
    pub fn cas(key: &str, expected: Option<&[u8]>, value: &[u8]) -> Result<bool, KvError> {
        super::host::kv::cas(key, expected, value)
    }
}

/// Token buckets whose rates the operator sets. Grant: `limiter:NAME`.
pub mod limiter {
    use crate::AccessError;
    pub use crate::bindings::imports::witgate::plugin::limiter::Decision;
    use crate::error::Thing;

    /// Takes `cost` tokens from the bucket of `key`, or none if there are too few.
    ///
    /// # Errors
    /// The bucket is not granted.
    pub fn take(bucket: &str, key: &[u8], cost: u32) -> Result<Decision, AccessError> {
        Thing::Bucket.named(bucket, super::host::limiter::take(bucket, key, cost))
    }

    /// The buckets granted: for checks in `configure`.
    pub fn buckets() -> Vec<String> {
        super::host::limiter::buckets()
    }
}

/// How busy the gateway is. Grant: `load:NAME`.
pub mod load {
    use crate::AccessError;
    pub use crate::bindings::imports::witgate::plugin::load::{Admission, LoadSignal};
    use crate::error::Thing;

    /// Asks for one request of this priority, 0 (dropped first) to 255 (dropped last).
    ///
    /// # Errors
    /// The scope is not granted.
    pub fn admit(scope: &str, priority: u8) -> Result<Admission, AccessError> {
        Thing::LoadScope.named(scope, super::host::load::admit(scope, priority))
    }

    /// # Errors
    /// The scope is not granted.
    pub fn signal(scope: &str) -> Result<LoadSignal, AccessError> {
        Thing::LoadScope.named(scope, super::host::load::signal(scope))
    }

    /// The scopes granted: for checks in `configure`.
    pub fn scopes() -> Vec<String> {
        super::host::load::scopes()
    }
}

/// Lines in the gateway's log. Grant: `log`.
pub mod log {
    use crate::bindings::imports::witgate::plugin::log::Level;

    pub fn debug(message: &str) {
        super::host::log::write(Level::Debug, message);
    }

    pub fn info(message: &str) {
        super::host::log::write(Level::Info, message);
    }

    pub fn warn(message: &str) {
        super::host::log::write(Level::Warn, message);
    }

    pub fn error(message: &str) {
        super::host::log::write(Level::Error, message);
    }
}

/// Metrics of the plugin's own, in the gateway's `/metrics`. Grant: `metrics`.
///
/// Names are lower-case letters, digits and underscores and appear as `witgate_plugin_custom_NAME`; the gateway adds the
/// labels `plugin` and `route`.
pub mod metrics {
    pub use crate::bindings::imports::witgate::plugin::metrics::MetricError;

    /// Adds to a counter.
    ///
    /// # Errors
    /// See [`MetricError`].
    pub fn count(name: &str, labels: &[(&str, &str)], by: u64) -> Result<(), MetricError> {
        super::host::metrics::count(name, &owned(labels), by)
    }

    /// Sets a gauge.
    ///
    /// # Errors
    /// See [`MetricError`].
    pub fn gauge(name: &str, labels: &[(&str, &str)], value: f64) -> Result<(), MetricError> {
        super::host::metrics::gauge(name, &owned(labels), value)
    }

    /// Puts a value into a histogram, with buckets from 0.0005 to 10.
    ///
    /// # Errors
    /// See [`MetricError`].
    pub fn observe(name: &str, labels: &[(&str, &str)], value: f64) -> Result<(), MetricError> {
        super::host::metrics::observe(name, &owned(labels), value)
    }

    fn owned(labels: &[(&str, &str)]) -> Vec<(String, String)> {
        labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }
}

/// Random bytes, unpredictable and different in each instance. Grant: `random`.
pub mod random {
    /// At most 64 KiB; more is a trap.
    pub fn bytes(length: u32) -> Vec<u8> {
        super::host::random::bytes(length)
    }

    pub fn number() -> u64 {
        super::host::random::number()
    }
}

/// Requests to the operator's upstreams. Grant: `outbound:NAME`.
pub mod outbound {
    pub use crate::bindings::imports::witgate::plugin::outbound::{Call, CallError, Reply};

    impl Call {
        /// A GET of a path, which begins with a slash, from an upstream.
        pub fn get(upstream: impl Into<String>, path_with_query: impl Into<String>) -> Self {
            Self::new("GET", upstream, path_with_query)
        }

        /// A request without fields and body.
        pub fn new(method: &str, upstream: impl Into<String>, path_with_query: impl Into<String>) -> Self {
            Self {
                upstream: upstream.into(),
                method: method.to_owned(),
                path_with_query: path_with_query.into(),
                fields: Vec::new(),
                body: Vec::new(),
                timeout_ms: 0,
            }
        }

        /// Adds a field.
        #[must_use]
        pub fn field(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
            self.fields.push(crate::Field { name: name.into(), value: value.into() });
            self
        }

        #[must_use]
        pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
            self.body = body.into();
            self
        }

        /// For everything, up to the last byte of the reply; 5 seconds without it.
        #[must_use]
        pub fn timeout_ms(mut self, timeout: u32) -> Self {
            self.timeout_ms = timeout;
            self
        }
    }

    /// Sends a request and waits for the whole response.
    ///
    /// # Errors
    /// See [`CallError`].
    pub fn fetch(call: &Call) -> Result<Reply, CallError> {
        super::host::outbound::fetch(call)
    }
}

/// Scores of the operator's models. Grant: `inference:NAME`.
pub mod inference {
    pub use crate::bindings::imports::witgate::plugin::inference::{ScoreError, Tensor};

    impl Tensor {
        /// One row of numbers.
        pub fn row(values: impl Into<Vec<f32>>) -> Self {
            let values = values.into();
            Self::Floats((vec![1, u32::try_from(values.len()).unwrap_or(u32::MAX)], values))
        }

        /// The numbers, if it has such; integers as the nearest.
        #[allow(clippy::cast_precision_loss)]
        pub fn numbers(&self) -> Option<Vec<f32>> {
            match self {
                Self::Floats((_, values)) => Some(values.clone()),
                Self::Integers((_, values)) => Some(values.iter().map(|value| *value as f32).collect()),
                Self::Strings(_) => None,
            }
        }
    }

    /// Runs a model on named inputs, and gives its outputs by name. Values are taken in the types of the model where they
    /// fit. At most 8 calls in one hook, of 4 MiB each; rows of one call cost less than calls.
    ///
    /// # Errors
    /// See [`ScoreError`].
    pub fn score(model: &str, inputs: &[(String, Tensor)]) -> Result<Vec<(String, Tensor)>, ScoreError> {
        super::host::inference::score(model, inputs)
    }
}
