//! Capabilities that live in the test, one set for each thread.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use crate::bindings::imports::witgate::plugin::inference::{ScoreError, Tensor};
use crate::bindings::imports::witgate::plugin::limiter::Decision;
use crate::bindings::imports::witgate::plugin::load::{Admission, LoadSignal};
use crate::bindings::imports::witgate::plugin::outbound::{Call, CallError, Reply};

/// What the route grants and what the world looks like, for the tests of this thread. Without grants a plugin reaches
/// nothing: a use of time, shared state, the log or digests that is not granted panics, because the host would refuse to
/// load the plugin, and a name that is not granted is an [`AccessError`](crate::AccessError).
///
/// ```
/// use witgate_sdk::testing::World;
/// use witgate_sdk::{clock, kv};
///
/// World::new().now_ms(1_800_000_000_000).kv().install();
/// kv::set("seen", clock::now().to_string().as_bytes(), None).unwrap();
/// assert_eq!(kv::get("seen").as_deref(), Some(&b"1800000000000"[..]));
/// ```
#[derive(Debug, Default, Clone)]
pub struct World {
    now_ms: Option<u64>,
    kv: bool,
    digests: bool,
    log_granted: bool,
    keys: BTreeMap<String, Vec<u8>>,
    key_sets: BTreeMap<String, BTreeMap<Vec<u8>, String>>,
    buckets: BTreeMap<String, Bucket>,
    scopes: BTreeMap<String, Scope>,
    values: BTreeMap<String, Vec<u8>>,
    log: Vec<String>,
    metrics_granted: bool,
    metrics: BTreeMap<String, f64>,
    random: Option<u64>,
    upstreams: BTreeMap<String, Answer>,
    models: BTreeMap<String, Model>,
}

/// What a model says to named inputs.
type Model = fn(&[(String, Tensor)]) -> Result<Vec<(String, Tensor)>, ScoreError>;

/// How an upstream answers.
type Answer = fn(&Call) -> Result<Reply, CallError>;

#[derive(Debug, Default, Clone)]
struct Bucket {
    limit: u32,
    taken: BTreeMap<Vec<u8>, u32>,
}

#[derive(Debug, Clone)]
struct Scope {
    in_flight: u32,
    limit: u32,
    lowest_admitted: u8,
}

/// What the host does with a plugin that wants more than its route grants. `method` of [`World`] grants it.
#[expect(clippy::panic, reason = "a test has to fail here")]
fn missing(grant: &str, method: &str) -> ! {
    panic!("the host would not load this plugin: it lacks the grant \"{grant}\"; give it by World::{method}")
}

/// Runs a plugin's `configure`, which must be pure.
pub(super) fn outside_hook<T>(configure: impl FnOnce() -> T) -> T {
    IN_CONFIGURE.set(true);
    let made = configure();
    IN_CONFIGURE.set(false);
    made
}

/// As the host's trap for calls with an effect, or that depend on the moment.
fn require_hook() {
    assert!(!IN_CONFIGURE.get(), "the host traps this call in `configure`: it is only allowed while a hook runs");
}

/// As the host's trap for data that would keep a thread too long.
fn bounded(data: &[u8]) -> &[u8] {
    const WORK_LIMIT: usize = 1 << 20;
    assert!(data.len() <= WORK_LIMIT, "the host traps a call with {} bytes, at most {WORK_LIMIT}", data.len());
    data
}

thread_local! {
    static WORLD: RefCell<World> = RefCell::default();
    static IN_CONFIGURE: Cell<bool> = const { Cell::new(false) };
}

impl World {
    pub fn new() -> Self {
        Self::default()
    }

    /// Grants `clock` and sets it: milliseconds since 1970. It stands still.
    #[must_use]
    pub fn now_ms(mut self, now: u64) -> Self {
        self.now_ms = Some(now);
        self
    }

    /// Grants `kv`: an empty namespace.
    #[must_use]
    pub fn kv(mut self) -> Self {
        self.kv = true;
        self
    }

    /// Grants `log`.
    #[must_use]
    pub fn log(mut self) -> Self {
        self.log_granted = true;
        self
    }

    /// Grants `crypto`: digests. Any key or key set brings them along.
    #[must_use]
    pub fn digests(mut self) -> Self {
        self.digests = true;
        self
    }

    /// Grants an HMAC key.
    #[must_use]
    pub fn hmac_key(mut self, name: &str, key: &[u8]) -> Self {
        self.keys.insert(name.to_owned(), key.to_owned());
        self
    }

    /// Grants a key set of credentials and identities.
    #[must_use]
    pub fn key_set(mut self, name: &str, entries: &[(&str, &str)]) -> Self {
        let entries = entries.iter().map(|(key, identity)| (key.as_bytes().to_owned(), (*identity).to_owned()));
        self.key_sets.insert(name.to_owned(), entries.collect());
        self
    }

    /// Grants a bucket that holds `limit` tokens for each key and is never filled again.
    #[must_use]
    pub fn bucket(mut self, name: &str, limit: u32) -> Self {
        self.buckets.insert(name.to_owned(), Bucket { limit, taken: BTreeMap::new() });
        self
    }

    /// Grants a load scope that admits priorities from `lowest_admitted` on.
    #[must_use]
    pub fn load_scope(mut self, name: &str, lowest_admitted: u8) -> Self {
        self.scopes.insert(name.to_owned(), Scope { in_flight: 0, limit: 100, lowest_admitted });
        self
    }

    /// Grants `metrics`.
    #[must_use]
    pub fn metrics(mut self) -> Self {
        self.metrics_granted = true;
        self
    }

    /// Grants `random`: the same bytes in each test that begins with the same seed.
    #[must_use]
    pub fn random(mut self, seed: u64) -> Self {
        self.random = Some(seed);
        self
    }

    /// Grants `outbound` to an upstream that answers like this.
    #[must_use]
    pub fn upstream(mut self, name: &str, answer: fn(&Call) -> Result<Reply, CallError>) -> Self {
        self.upstreams.insert(name.to_owned(), answer);
        self
    }

    /// Grants `inference` of a model that says this.
    #[must_use]
    pub fn model(mut self, name: &str, says: Model) -> Self {
        self.models.insert(name.to_owned(), says);
        self
    }

    /// Value of a metric on the calling thread, by its name and labels as in `seen_total{kind="a"}`: a counter's total, a
    /// gauge's last value, a histogram's number of values.
    pub fn metric(series: &str) -> Option<f64> {
        WORLD.with_borrow(|world| world.metrics.get(series).copied())
    }

    /// Makes this the world of the calling thread.
    pub fn install(self) {
        WORLD.set(self);
    }

    /// Lines logged on the calling thread since the last [`World::install`].
    pub fn logged() -> Vec<String> {
        WORLD.with_borrow(|world| world.log.clone())
    }
}

pub mod clock {
    use super::{WORLD, missing};

    pub fn now() -> u64 {
        WORLD.with_borrow(|world| world.now_ms).unwrap_or_else(|| missing("clock", "now_ms"))
    }

    pub fn monotonic() -> u64 {
        now().saturating_mul(1_000_000)
    }
}

pub mod crypto {
    use hmac::{Hmac, KeyInit, Mac};
    use sha2::{Digest, Sha256, Sha384, Sha512};

    use super::{WORLD, bounded, missing};
    use crate::bindings::imports::witgate::plugin::access::AccessError;
    use crate::bindings::imports::witgate::plugin::crypto::Hash;

    pub fn digest(hash: Hash, data: &[u8]) -> Vec<u8> {
        if WORLD.with_borrow(|world| !world.digests && world.keys.is_empty() && world.key_sets.is_empty()) {
            missing("crypto", "digests");
        }
        let data = bounded(data);
        match hash {
            Hash::Sha256 => Sha256::digest(data).to_vec(),
            Hash::Sha384 => Sha384::digest(data).to_vec(),
            Hash::Sha512 => Sha512::digest(data).to_vec(),
        }
    }

    pub fn hmac(hash: Hash, key: &str, message: &[u8]) -> Result<Vec<u8>, AccessError> {
        let message = bounded(message);
        let key = WORLD.with_borrow(|world| world.keys.get(key).cloned()).ok_or(AccessError::NotGranted)?;
        fn mac<M: Mac + KeyInit>(key: &[u8], message: &[u8]) -> Vec<u8> {
            <M as KeyInit>::new_from_slice(key)
                .map(|mac| mac.chain_update(message).finalize().into_bytes().to_vec())
                .unwrap_or_default()
        }
        Ok(match hash {
            Hash::Sha256 => mac::<Hmac<Sha256>>(&key, message),
            Hash::Sha384 => mac::<Hmac<Sha384>>(&key, message),
            Hash::Sha512 => mac::<Hmac<Sha512>>(&key, message),
        })
    }

    pub fn hmac_verify(hash: Hash, key: &str, message: &[u8], mac: &[u8]) -> Result<bool, AccessError> {
        Ok(hmac(hash, key, message)? == mac)
    }

    pub fn identify(key_set: &str, credential: &[u8]) -> Result<Option<String>, AccessError> {
        WORLD.with_borrow(|world| {
            let set = world.key_sets.get(key_set).ok_or(AccessError::NotGranted)?;
            Ok(set.get(bounded(credential)).cloned())
        })
    }

    pub fn names() -> Vec<String> {
        WORLD.with_borrow(|world| world.keys.keys().chain(world.key_sets.keys()).cloned().collect())
    }
}

pub mod kv {
    use std::collections::BTreeMap;

    use super::{WORLD, missing, require_hook};
    use crate::bindings::imports::witgate::plugin::kv::KvError;

    /// Longest key, in bytes.
    const KEY_LIMIT: usize = 256;
    /// Longest value, in bytes.
    const VALUE_LIMIT: usize = 64 * 1024;
    /// Most keys.
    const KEYS_LIMIT: usize = 10_000;
    /// Most bytes of keys and values.
    const BYTES_LIMIT: usize = 1024 * 1024;

    /// The namespace, if it is granted.
    fn with<T>(work: impl FnOnce(&mut BTreeMap<String, Vec<u8>>) -> T) -> T {
        require_hook();
        WORLD.with_borrow_mut(|world| if world.kv { work(&mut world.values) } else { missing("kv", "kv") })
    }

    pub fn get(key: &str) -> Option<Vec<u8>> {
        with(|values| values.get(key).cloned())
    }

    /// The world's clock stands still, so that nothing vanishes.
    pub fn set(key: &str, value: &[u8], _ttl_ms: Option<u64>) -> Result<(), KvError> {
        with(|values| {
            if key.len() > KEY_LIMIT || value.len() > VALUE_LIMIT {
                return Err(KvError::TooLarge);
            }
            let others = values.iter().filter(|(other, _)| *other != key);
            let bytes: usize = others.clone().map(|(key, value)| key.len() + value.len()).sum();
            if others.count() >= KEYS_LIMIT || bytes + key.len() + value.len() > BYTES_LIMIT {
                return Err(KvError::Quota);
            }
            values.insert(key.to_owned(), value.to_owned());
            Ok(())
        })
    }

    pub fn delete(key: &str) -> bool {
        with(|values| values.remove(key).is_some())
    }

    pub fn incr(key: &str, delta: i64, ttl_ms: Option<u64>) -> Result<i64, KvError> {
        let present = get(key).unwrap_or_else(|| b"0".to_vec());
        let present: i64 =
            std::str::from_utf8(&present).ok().and_then(|t| t.parse().ok()).ok_or(KvError::NotANumber)?;
        let next = present.checked_add(delta).ok_or(KvError::NotANumber)?;
        set(key, next.to_string().as_bytes(), ttl_ms)?;
        Ok(next)
    }

    pub fn cas(key: &str, expected: Option<&[u8]>, value: &[u8]) -> Result<bool, KvError> {
        let equal = get(key).as_deref() == expected;
        if equal {
            set(key, value, None)?;
        }
        Ok(equal)
    }
}

pub mod limiter {
    use super::{Decision, WORLD, bounded, require_hook};
    use crate::bindings::imports::witgate::plugin::access::AccessError;

    pub fn take(bucket: &str, key: &[u8], cost: u32) -> Result<Decision, AccessError> {
        require_hook();
        WORLD.with_borrow_mut(|world| {
            let bucket = world.buckets.get_mut(bucket).ok_or(AccessError::NotGranted)?;
            let taken = bucket.taken.entry(bounded(key).to_owned()).or_default();
            let left = bucket.limit - *taken;
            let allowed = cost <= left;
            if allowed {
                *taken += cost;
            }
            let remaining = bucket.limit - *taken;
            let retry_after_ms = if allowed { 0 } else { 1500 };
            Ok(Decision { allowed, limit: bucket.limit, remaining, reset_ms: 2500, retry_after_ms })
        })
    }

    pub fn buckets() -> Vec<String> {
        WORLD.with_borrow(|world| world.buckets.keys().cloned().collect())
    }
}

pub mod load {
    use super::{Admission, LoadSignal, WORLD, require_hook};
    use crate::bindings::imports::witgate::plugin::access::AccessError;

    pub fn admit(scope: &str, priority: u8) -> Result<Admission, AccessError> {
        require_hook();
        WORLD.with_borrow_mut(|world| {
            let scope = world.scopes.get_mut(scope).ok_or(AccessError::NotGranted)?;
            let admitted = priority >= scope.lowest_admitted;
            scope.in_flight += u32::from(admitted);
            Ok(Admission { admitted, retry_after_ms: if admitted { 0 } else { 1000 } })
        })
    }

    pub fn signal(scope: &str) -> Result<LoadSignal, AccessError> {
        require_hook();
        WORLD.with_borrow(|world| {
            let scope = world.scopes.get(scope).ok_or(AccessError::NotGranted)?;
            Ok(LoadSignal {
                in_flight: scope.in_flight,
                in_flight_limit: scope.limit,
                cpu_permille: 0,
                cpu_limit_permille: 1000,
            })
        })
    }

    pub fn scopes() -> Vec<String> {
        WORLD.with_borrow(|world| world.scopes.keys().cloned().collect())
    }
}

pub mod log {
    use super::{WORLD, missing};
    use crate::bindings::imports::witgate::plugin::log::Level;

    pub fn write(_level: Level, message: &str) {
        WORLD.with_borrow_mut(|world| {
            if !world.log_granted {
                missing("log", "log");
            }
            world.log.push(message.to_owned());
        });
    }
}

pub mod metrics {
    use std::fmt::Write;

    use super::{WORLD, missing, require_hook};
    use crate::bindings::imports::witgate::plugin::metrics::MetricError;

    fn record(name: &str, labels: &[(String, String)], change: impl FnOnce(f64) -> f64) -> Result<(), MetricError> {
        require_hook();
        let is_name = |name: &str| {
            name.starts_with(|first: char| first.is_ascii_lowercase())
                && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        };
        if !is_name(name) || labels.len() > 4 || !labels.iter().all(|(name, value)| is_name(name) && value.len() <= 64)
        {
            return Err(MetricError::Invalid);
        }
        let mut series = name.to_owned();
        for (at, (name, value)) in labels.iter().enumerate() {
            let _ = write!(series, "{}{name}={value:?}", if at == 0 { '{' } else { ',' });
        }
        if !labels.is_empty() {
            series.push('}');
        }
        WORLD.with_borrow_mut(|world| {
            if !world.metrics_granted {
                missing("metrics", "metrics");
            }
            let value = world.metrics.entry(series).or_default();
            *value = change(*value);
        });
        Ok(())
    }

    #[expect(clippy::cast_precision_loss, reason = "tests count to less than 2^52")]
    pub fn count(name: &str, labels: &[(String, String)], by: u64) -> Result<(), MetricError> {
        record(name, labels, |value| value + by as f64)
    }

    pub fn gauge(name: &str, labels: &[(String, String)], to: f64) -> Result<(), MetricError> {
        record(name, labels, |_| to)
    }

    pub fn observe(name: &str, labels: &[(String, String)], _value: f64) -> Result<(), MetricError> {
        record(name, labels, |count| count + 1.0)
    }
}

pub mod random {
    use super::{WORLD, missing, require_hook};

    pub fn bytes(length: u32) -> Vec<u8> {
        assert!(length <= 64 * 1024, "the host traps a call for {length} random bytes, at most 65536");
        (0..length).map(|_| number().to_le_bytes()[7]).collect()
    }

    pub fn number() -> u64 {
        require_hook();
        WORLD.with_borrow_mut(|world| match &mut world.random {
            // Knuth's linear congruential generator: for tests, which want the same every time.
            Some(state) => {
                *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                *state
            }
            None => missing("random", "random"),
        })
    }
}

pub mod outbound {
    use super::{Call, CallError, Reply, WORLD, require_hook};

    pub fn fetch(call: &Call) -> Result<Reply, CallError> {
        require_hook();
        let answer = WORLD.with_borrow(|world| world.upstreams.get(&call.upstream).copied());
        answer.ok_or(CallError::NotGranted)?(call)
    }
}

pub mod inference {
    use super::{ScoreError, Tensor, WORLD, require_hook};

    pub fn score(model: &str, inputs: &[(String, Tensor)]) -> Result<Vec<(String, Tensor)>, ScoreError> {
        require_hook();
        let says = WORLD.with_borrow(|world| world.models.get(model).copied());
        says.ok_or(ScoreError::NotGranted)?(inputs)
    }
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;

    use super::*;
    use crate::kv::KvError;

    /// What a plugin is told that uses something in a world without it.
    fn complaint(use_it: fn()) -> String {
        World::new().install();
        let panic = catch_unwind(use_it).unwrap_err();
        panic.downcast_ref::<String>().cloned().unwrap_or_default()
    }

    #[test]
    fn what_is_not_granted_panics_and_says_how_to_grant_it() {
        let uses: [(&str, &str, fn()); 6] = [
            ("metrics", "metrics", || assert!(crate::metrics::count("n", &[], 1).is_ok())),
            ("random", "random", || assert_eq!(crate::random::number(), 0)),
            ("clock", "now_ms", || assert_eq!(crate::clock::monotonic(), 0)),
            ("kv", "kv", || drop(crate::kv::get("k"))),
            ("log", "log", || crate::log::info("line")),
            ("crypto", "digests", || drop(crate::crypto::digest(crate::crypto::Hash::Sha256, b""))),
        ];
        for (grant, method, use_it) in uses {
            let told = complaint(use_it);
            assert!(told.contains(&format!("lacks the grant \"{grant}\"")), "{told}");
            assert!(told.ends_with(&format!("World::{method}")), "{told}");
        }
    }

    #[test]
    fn what_is_granted_works() {
        World::new().now_ms(7).kv().log().digests().install();
        assert_eq!((crate::clock::now(), crate::clock::monotonic()), (7, 7_000_000));
        assert_eq!(crate::kv::incr("n", 2, None), Ok(2));
        crate::log::warn("line");
        assert_eq!(World::logged(), ["line"]);
        assert_eq!(crate::crypto::digest(crate::crypto::Hash::Sha512, b"").len(), 64);
    }

    #[test]
    fn metrics_random_bytes_and_upstreams_can_be_had() {
        use crate::outbound::{Call, CallError, Reply, fetch};

        let answer =
            |call: &Call| Ok(Reply { status: 200, fields: Vec::new(), body: call.path_with_query.clone().into() });
        World::new().metrics().random(1).upstream("auth", answer).install();
        crate::metrics::count("seen_total", &[("kind", "a")], 2).unwrap();
        crate::metrics::count("seen_total", &[("kind", "a")], 3).unwrap();
        assert_eq!(World::metric("seen_total{kind=\"a\"}"), Some(5.0));
        assert!(crate::metrics::count("Bad", &[], 1).is_err());
        assert_ne!(crate::random::number(), crate::random::number());
        assert_eq!(crate::random::bytes(9).len(), 9);
        assert_eq!(fetch(&Call::get("auth", "/me")).map(|reply| reply.body), Ok(b"/me".to_vec()));
        assert_eq!(fetch(&Call::get("other", "/")).map(|reply| reply.body), Err(CallError::NotGranted));
    }

    #[test]
    fn models_can_be_had() {
        use crate::inference::score;

        World::new().model("twice", |inputs| Ok(inputs.iter().chain(inputs).cloned().collect())).install();
        let inputs = [("x".to_owned(), Tensor::row([0.5]))];
        let outputs = score("twice", &inputs).unwrap();
        assert_eq!(outputs.iter().filter_map(|(_, tensor)| tensor.numbers()).collect::<Vec<_>>(), [[0.5], [0.5]]);
        assert!(matches!(score("other", &inputs), Err(ScoreError::NotGranted)));
    }

    #[test]
    fn a_key_brings_digests_along() {
        World::new().hmac_key("k", b"secret").install();
        assert_eq!(crate::crypto::digest(crate::crypto::Hash::Sha256, b"").len(), 32);
    }

    #[test]
    fn shared_state_has_the_limits_of_the_host() {
        use crate::kv::{cas, incr, set};

        World::new().kv().install();
        assert_eq!(set(&"k".repeat(257), b"", None), Err(KvError::TooLarge));
        assert_eq!(set("k", &vec![0; 64 * 1024 + 1], None), Err(KvError::TooLarge));
        let value = vec![0; 64 * 1024];
        let made = (0..20).take_while(|at| set(&at.to_string(), &value, None).is_ok()).count();
        assert_eq!(made, 15, "the sixteenth value of 64 KiB is over 1 MiB with its key");
        assert_eq!(set("more", &value, None), Err(KvError::Quota));
        assert_eq!(set("0", b"not a number", None), Ok(()));
        assert_eq!(incr("0", 1, None), Err(KvError::NotANumber));
        assert_eq!((cas("0", None, b""), cas("none", None, b"1")), (Ok(false), Ok(true)));
    }

    #[test]
    fn configure_may_ask_for_names_and_must_have_no_effect() {
        World::new().kv().bucket("b", 1).load_scope("s", 0).install();
        assert_eq!(outside_hook(crate::limiter::buckets), ["b"]);
        let effects: [fn(); 4] = [
            || drop(crate::kv::get("k")),
            || drop(crate::limiter::take("b", b"", 1)),
            || drop(crate::load::admit("s", 0)),
            || drop(crate::load::signal("s")),
        ];
        for effect in effects {
            assert!(catch_unwind(|| outside_hook(effect)).is_err());
        }
        outside_hook(|| ());
        assert!(crate::limiter::take("b", b"", 1).is_ok_and(|decision| decision.allowed));
    }

    #[test]
    fn more_data_than_the_host_works_through_is_a_trap() {
        World::new().digests().install();
        let large = vec![0; (1 << 20) + 1];
        assert!(catch_unwind(|| crate::crypto::digest(crate::crypto::Hash::Sha256, &large)).is_err());
    }
}
