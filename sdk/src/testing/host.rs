//! Capabilities that live in the test, one set for each thread.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::bindings::imports::witgate::plugin::limiter::Decision;
use crate::bindings::imports::witgate::plugin::load::{Admission, LoadSignal};

/// What the route grants and what the world looks like, for the tests of this thread.
#[derive(Debug, Default, Clone)]
pub struct World {
    now_ms: u64,
    keys: BTreeMap<String, Vec<u8>>,
    key_sets: BTreeMap<String, BTreeMap<Vec<u8>, String>>,
    buckets: BTreeMap<String, Bucket>,
    scopes: BTreeMap<String, Scope>,
    values: BTreeMap<String, Vec<u8>>,
    log: Vec<String>,
}

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

thread_local! {
    static WORLD: RefCell<World> = RefCell::default();
}

impl World {
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the clock: milliseconds since 1970.
    #[must_use]
    pub fn now_ms(mut self, now: u64) -> Self {
        self.now_ms = now;
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
    use super::WORLD;

    pub fn now() -> u64 {
        WORLD.with_borrow(|world| world.now_ms)
    }

    pub fn monotonic() -> u64 {
        now() * 1_000_000
    }
}

pub mod crypto {
    use hmac::{Hmac, KeyInit, Mac};
    use sha2::{Digest, Sha256, Sha384, Sha512};

    use super::WORLD;
    use crate::bindings::imports::witgate::plugin::access::AccessError;
    use crate::bindings::imports::witgate::plugin::crypto::Hash;

    pub fn digest(hash: Hash, data: &[u8]) -> Vec<u8> {
        match hash {
            Hash::Sha256 => Sha256::digest(data).to_vec(),
            Hash::Sha384 => Sha384::digest(data).to_vec(),
            Hash::Sha512 => Sha512::digest(data).to_vec(),
        }
    }

    pub fn hmac(hash: Hash, key: &str, message: &[u8]) -> Result<Vec<u8>, AccessError> {
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
            Ok(set.get(credential).cloned())
        })
    }

    pub fn names() -> Vec<String> {
        WORLD.with_borrow(|world| world.keys.keys().chain(world.key_sets.keys()).cloned().collect())
    }
}

pub mod kv {
    use super::WORLD;
    use crate::bindings::imports::witgate::plugin::kv::KvError;

    pub fn get(key: &str) -> Option<Vec<u8>> {
        WORLD.with_borrow(|world| world.values.get(key).cloned())
    }

    pub fn set(key: &str, value: &[u8], _ttl_ms: Option<u64>) -> Result<(), KvError> {
        WORLD.with_borrow_mut(|world| world.values.insert(key.to_owned(), value.to_owned()));
        Ok(())
    }

    pub fn delete(key: &str) -> bool {
        WORLD.with_borrow_mut(|world| world.values.remove(key).is_some())
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
    use super::{Decision, WORLD};
    use crate::bindings::imports::witgate::plugin::access::AccessError;

    pub fn take(bucket: &str, key: &[u8], cost: u32) -> Result<Decision, AccessError> {
        WORLD.with_borrow_mut(|world| {
            let bucket = world.buckets.get_mut(bucket).ok_or(AccessError::NotGranted)?;
            let taken = bucket.taken.entry(key.to_owned()).or_default();
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
    use super::{Admission, LoadSignal, WORLD};
    use crate::bindings::imports::witgate::plugin::access::AccessError;

    pub fn admit(scope: &str, priority: u8) -> Result<Admission, AccessError> {
        WORLD.with_borrow_mut(|world| {
            let scope = world.scopes.get_mut(scope).ok_or(AccessError::NotGranted)?;
            let admitted = priority >= scope.lowest_admitted;
            scope.in_flight += u32::from(admitted);
            Ok(Admission { admitted, retry_after_ms: if admitted { 0 } else { 1000 } })
        })
    }

    pub fn signal(scope: &str) -> Result<LoadSignal, AccessError> {
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
    use super::WORLD;
    use crate::bindings::imports::witgate::plugin::log::Level;

    pub fn write(_level: Level, message: &str) {
        WORLD.with_borrow_mut(|world| world.log.push(message.to_owned()));
    }
}
