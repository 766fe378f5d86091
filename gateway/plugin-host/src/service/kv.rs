//! A plugin's shared state.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use witgate_stage::{Store, StoreRefusal, StoreWhen};

/// Why a change was not made; the same as in the WIT interface `kv`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KvError {
    TooLarge,
    Quota,
    NotANumber,
}

/// Longest key, in bytes.
const KEY_LIMIT: usize = 256;
/// Longest value, in bytes.
const VALUE_LIMIT: usize = 64 * 1024;
/// Most keys of a namespace.
const KEYS_LIMIT: usize = 10_000;
/// Most bytes of keys and values of a namespace.
const BYTES_LIMIT: usize = 1024 * 1024;

/// What one plugin keeps, over all its instances. Every operation is atomic; none is longer than a copy of one value and a
/// logarithmic search, so one lock serves.
#[derive(Debug, Default)]
pub(crate) struct Namespace {
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    map: HashMap<Arc<str>, Entry>,
    expiries: BTreeSet<(Instant, Arc<str>)>,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    value: Vec<u8>,
    expires: Option<Instant>,
}

impl Namespace {
    fn entries(&self, now: Instant) -> MutexGuard<'_, Entries> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.forget_expired(now);
        entries
    }

    pub(crate) fn get(&self, now: Instant, key: &str) -> Option<Vec<u8>> {
        check_key(key).ok()?;
        self.entries(now).map.get(key).map(|entry| entry.value.clone())
    }

    pub(crate) fn set(&self, now: Instant, key: &str, value: Vec<u8>, ttl: Option<Duration>) -> Result<(), KvError> {
        check_key(key)?;
        self.entries(now).put(key, value, ttl.and_then(|ttl| now.checked_add(ttl)))
    }

    pub(crate) fn delete(&self, now: Instant, key: &str) -> bool {
        check_key(key).is_ok() && self.entries(now).remove(key)
    }

    pub(crate) fn increment(&self, now: Instant, key: &str, delta: i64, ttl: Option<Duration>) -> Result<i64, KvError> {
        check_key(key)?;
        let mut entries = self.entries(now);
        let (old, expires) = match entries.map.get(key) {
            Some(entry) => (decimal(&entry.value)?, entry.expires),
            None => (0, ttl.and_then(|ttl| now.checked_add(ttl))),
        };
        let new = old.checked_add(delta).ok_or(KvError::NotANumber)?;
        entries.put(key, new.to_string().into_bytes(), expires)?;
        Ok(new)
    }

    fn set_when(
        &self,
        now: Instant,
        (key, value): (&str, &[u8]),
        ttl: Option<Duration>,
        when: StoreWhen,
    ) -> Result<(), StoreRefusal> {
        check_key(key)?;
        let mut entries = self.entries(now);
        match (when, entries.map.contains_key(key)) {
            (StoreWhen::Absent, true) => return Err(StoreRefusal::Exists),
            (StoreWhen::Present, false) => return Err(StoreRefusal::NotFound),
            _ => {}
        }
        Ok(entries.put(key, value.to_vec(), ttl.and_then(|ttl| now.checked_add(ttl)))?)
    }

    fn increment_from(
        &self,
        now: Instant,
        (key, delta): (&str, i64),
        initial: Option<(i64, Option<Duration>)>,
    ) -> Result<i64, StoreRefusal> {
        check_key(key)?;
        let mut entries = self.entries(now);
        let (old, expires) = match (entries.map.get(key), initial) {
            (Some(entry), _) => (decimal(&entry.value)?, entry.expires),
            (None, Some((initial, ttl))) => (initial, ttl.and_then(|ttl| now.checked_add(ttl))),
            (None, None) => return Err(StoreRefusal::NotFound),
        };
        let new = old.checked_add(delta).ok_or(StoreRefusal::NotANumber)?;
        entries.put(key, new.to_string().into_bytes(), expires)?;
        Ok(new)
    }

    fn time_left(&self, now: Instant, key: &str) -> Option<Option<Duration>> {
        check_key(key).ok()?;
        let entries = self.entries(now);
        let entry = entries.map.get(key)?;
        Some(entry.expires.map(|expires| expires.saturating_duration_since(now)))
    }

    fn expire_after(&self, now: Instant, key: &str, ttl: Option<Duration>) -> bool {
        if check_key(key).is_err() {
            return false;
        }
        let mut entries = self.entries(now);
        let Some(value) = entries.map.get(key).map(|entry| entry.value.clone()) else { return false };
        // It takes the place of an equal one, for which there is room.
        entries.put(key, value, ttl.and_then(|ttl| now.checked_add(ttl))).is_ok()
    }

    pub(crate) fn compare_and_set(
        &self,
        now: Instant,
        key: &str,
        expected: Option<&[u8]>,
        value: Vec<u8>,
    ) -> Result<bool, KvError> {
        check_key(key)?;
        let mut entries = self.entries(now);
        let present = entries.map.get(key);
        if present.map(|entry| entry.value.as_slice()) != expected {
            return Ok(false);
        }
        let expires = present.and_then(|entry| entry.expires);
        entries.put(key, value, expires)?;
        Ok(true)
    }
}

impl From<KvError> for StoreRefusal {
    fn from(error: KvError) -> Self {
        match error {
            KvError::TooLarge => Self::TooLarge,
            KvError::Quota => Self::Full,
            KvError::NotANumber => Self::NotANumber,
        }
    }
}

/// For scripts that are granted what a plugin keeps.
impl Store for Namespace {
    fn get(&self, key: &str) -> Option<Vec<u8>> {
        self.get(Instant::now(), key)
    }

    fn set(&self, key: &str, value: &[u8], lifetime: Option<Duration>, when: StoreWhen) -> Result<(), StoreRefusal> {
        self.set_when(Instant::now(), (key, value), lifetime, when)
    }

    fn delete(&self, key: &str) {
        self.delete(Instant::now(), key);
    }

    fn increment(&self, key: &str, by: i64, initial: Option<(i64, Option<Duration>)>) -> Result<i64, StoreRefusal> {
        self.increment_from(Instant::now(), (key, by), initial)
    }

    fn lifetime(&self, key: &str) -> Option<Option<Duration>> {
        self.time_left(Instant::now(), key)
    }

    fn expire(&self, key: &str, lifetime: Option<Duration>) -> bool {
        self.expire_after(Instant::now(), key, lifetime)
    }
}

/// Before anything is done with a key, hashing it included.
fn check_key(key: &str) -> Result<(), KvError> {
    if key.len() > KEY_LIMIT { Err(KvError::TooLarge) } else { Ok(()) }
}

fn decimal(value: &[u8]) -> Result<i64, KvError> {
    std::str::from_utf8(value).ok().and_then(|text| text.parse().ok()).ok_or(KvError::NotANumber)
}

impl Entries {
    fn put(&mut self, key: &str, value: Vec<u8>, expires: Option<Instant>) -> Result<(), KvError> {
        if value.len() > VALUE_LIMIT {
            return Err(KvError::TooLarge);
        }
        let freed = self.map.get(key).map(|entry| key.len() + entry.value.len());
        let bytes = self.bytes - freed.unwrap_or(0) + key.len() + value.len();
        if bytes > BYTES_LIMIT || (freed.is_none() && self.map.len() >= KEYS_LIMIT) {
            return Err(KvError::Quota);
        }
        self.remove(key);
        let key: Arc<str> = key.into();
        self.bytes = bytes;
        if let Some(expires) = expires {
            self.expiries.insert((expires, Arc::clone(&key)));
        }
        self.map.insert(key, Entry { value, expires });
        Ok(())
    }

    fn remove(&mut self, key: &str) -> bool {
        let Some((key, entry)) = self.map.remove_entry(key) else { return false };
        self.bytes -= key.len() + entry.value.len();
        if let Some(expires) = entry.expires {
            self.expiries.remove(&(expires, key));
        }
        true
    }

    fn forget_expired(&mut self, now: Instant) {
        while let Some((_, key)) = self.expiries.first().filter(|(expires, _)| *expires <= now).cloned() {
            self.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_value_is_there_until_it_is_deleted() {
        let (kv, now) = (Namespace::default(), Instant::now());
        assert_eq!(kv.get(now, "k"), None);
        kv.set(now, "k", b"v".to_vec(), None).unwrap();
        assert_eq!(kv.get(now, "k"), Some(b"v".to_vec()));
        assert!(kv.delete(now, "k"));
        assert!(!kv.delete(now, "k"));
        assert_eq!(kv.get(now, "k"), None);
    }

    #[test]
    fn a_value_vanishes_when_its_time_is_over_and_not_before() {
        let (kv, now) = (Namespace::default(), Instant::now());
        kv.set(now, "k", b"v".to_vec(), Some(SECOND)).unwrap();
        assert!(kv.get(now + SECOND - Duration::from_nanos(1), "k").is_some());
        assert_eq!(kv.get(now + SECOND, "k"), None);
        kv.set(now, "for ever", b"v".to_vec(), Some(Duration::MAX)).unwrap();
        assert!(kv.get(now + SECOND, "for ever").is_some());
    }

    #[test]
    fn setting_again_replaces_the_time_to_live() {
        let (kv, now) = (Namespace::default(), Instant::now());
        kv.set(now, "k", b"v".to_vec(), Some(SECOND)).unwrap();
        kv.set(now, "k", b"w".to_vec(), None).unwrap();
        assert_eq!(kv.get(now + 10 * SECOND, "k"), Some(b"w".to_vec()));
    }

    #[test]
    fn counting_keeps_the_time_to_live_of_the_first() {
        let (kv, now) = (Namespace::default(), Instant::now());
        assert_eq!(kv.increment(now, "n", 5, Some(SECOND)), Ok(5));
        assert_eq!(kv.increment(now, "n", -7, Some(10 * SECOND)), Ok(-2));
        assert_eq!(kv.increment(now + SECOND, "n", 1, None), Ok(1), "the count began anew");
    }

    #[test]
    fn only_numbers_can_be_counted_and_only_without_overflow() {
        let (kv, now) = (Namespace::default(), Instant::now());
        kv.set(now, "k", b"many".to_vec(), None).unwrap();
        assert_eq!(kv.increment(now, "k", 1, None), Err(KvError::NotANumber));
        kv.set(now, "k", i64::MAX.to_string().into_bytes(), None).unwrap();
        assert_eq!(kv.increment(now, "k", 1, None), Err(KvError::NotANumber));
        assert_eq!(kv.get(now, "k"), Some(i64::MAX.to_string().into_bytes()));
    }

    #[test]
    fn compare_and_set_changes_only_what_was_expected() {
        let (kv, now) = (Namespace::default(), Instant::now());
        assert_eq!(kv.compare_and_set(now, "k", Some(b"x"), b"a".to_vec()), Ok(false));
        assert_eq!(kv.compare_and_set(now, "k", None, b"a".to_vec()), Ok(true));
        assert_eq!(kv.compare_and_set(now, "k", None, b"b".to_vec()), Ok(false));
        assert_eq!(kv.compare_and_set(now, "k", Some(b"a"), b"b".to_vec()), Ok(true));
        assert_eq!(kv.get(now, "k"), Some(b"b".to_vec()));
    }

    #[test]
    fn compare_and_set_keeps_the_time_to_live() {
        let (kv, now) = (Namespace::default(), Instant::now());
        kv.set(now, "k", b"a".to_vec(), Some(SECOND)).unwrap();
        assert_eq!(kv.compare_and_set(now, "k", Some(b"a"), b"b".to_vec()), Ok(true));
        assert_eq!(kv.get(now + SECOND, "k"), None);
    }

    #[test]
    fn limits_hold_and_a_refused_change_changes_nothing() {
        let (kv, now) = (Namespace::default(), Instant::now());
        assert_eq!(kv.set(now, &"k".repeat(KEY_LIMIT + 1), vec![], None), Err(KvError::TooLarge));
        assert_eq!(kv.set(now, "k", vec![0; VALUE_LIMIT + 1], None), Err(KvError::TooLarge));
        assert_eq!(kv.increment(now, &"k".repeat(KEY_LIMIT + 1), 1, None), Err(KvError::TooLarge));
        assert_eq!(kv.get(now, &"k".repeat(KEY_LIMIT + 1)), None);
        let mut stored = 0;
        while kv.set(now, &format!("{stored:02}"), vec![0; VALUE_LIMIT], Some(SECOND)).is_ok() {
            stored += 1;
        }
        assert_eq!(stored, 15, "sixteen values of 64 KiB and their keys are over 1 MiB");
        assert_eq!(kv.set(now, "00", vec![0; VALUE_LIMIT], Some(SECOND)), Ok(()), "replacing still works");
        assert_eq!(kv.set(now + SECOND, "new", vec![0; VALUE_LIMIT], None), Ok(()), "expiry frees the quota");
    }

    #[test]
    fn the_number_of_keys_is_limited() {
        let (kv, now) = (Namespace::default(), Instant::now());
        for key in 0..KEYS_LIMIT {
            kv.set(now, &key.to_string(), vec![], None).unwrap();
        }
        assert_eq!(kv.set(now, "one more", vec![], None), Err(KvError::Quota));
    }

    #[test]
    fn scripts_set_by_what_is_there_and_ask_for_lifetimes() {
        let (kv, now) = (Namespace::default(), Instant::now());
        let set = |at, ttl, when| kv.set_when(at, ("k", b"v"), ttl, when);
        assert_eq!(set(now, None, StoreWhen::Present), Err(StoreRefusal::NotFound));
        assert_eq!(set(now, Some(SECOND), StoreWhen::Absent), Ok(()));
        assert_eq!(set(now, None, StoreWhen::Absent), Err(StoreRefusal::Exists));
        assert_eq!(kv.time_left(now + SECOND / 4, "k"), Some(Some(SECOND * 3 / 4)));
        assert_eq!(set(now + SECOND, None, StoreWhen::Absent), Ok(()), "the other one has expired");
        assert_eq!(kv.time_left(now + SECOND, "k"), Some(None));
        assert!(kv.expire_after(now + SECOND, "k", Some(SECOND)));
        assert_eq!(kv.get(now + 2 * SECOND, "k"), None);
        assert!(!kv.expire_after(now + 2 * SECOND, "k", None));
        assert_eq!(kv.time_left(now + 2 * SECOND, "k"), None);
        assert_eq!(kv.increment_from(now, ("n", 1), None), Err(StoreRefusal::NotFound));
        assert_eq!(kv.increment_from(now, ("n", 1), Some((5, Some(SECOND)))), Ok(6));
        assert_eq!(kv.increment_from(now, ("n", 1), Some((5, None))), Ok(7));
        assert_eq!(kv.increment(now, "n", 1, None), Ok(8), "the plugin counts on");
        assert_eq!(kv.get(now + SECOND, "n"), None, "within the time that the first gave");
        let long = "k".repeat(KEY_LIMIT + 1);
        assert_eq!(kv.set_when(now, (&long, b""), None, StoreWhen::Always), Err(StoreRefusal::TooLarge));
    }

    proptest! {
        /// The bookkeeping is right after any sequence of operations.
        #[test]
        fn bytes_and_expiries_always_add_up(
            steps in proptest::collection::vec((0_u8..6, 0_usize..400, proptest::option::of(0_u64..20), 0_u64..5), 1..100),
        ) {
            let kv = Namespace::default();
            let mut now = Instant::now();
            for (key, length, ttl, pause) in steps {
                now += Duration::from_millis(pause);
                let key = format!("key{key}");
                match length % 4 {
                    0 => drop(kv.delete(now, &key)),
                    1 => drop(kv.increment(now, &key, 1, ttl.map(Duration::from_millis))),
                    _ => kv.set(now, &key, vec![b'1'; length], ttl.map(Duration::from_millis)).unwrap(),
                }
                let entries = kv.entries(now);
                let bytes: usize = entries.map.iter().map(|(key, entry)| key.len() + entry.value.len()).sum();
                prop_assert_eq!(bytes, entries.bytes);
                let expiring = entries.map.values().filter(|entry| entry.expires.is_some()).count();
                prop_assert_eq!(expiring, entries.expiries.len());
                prop_assert!(entries.map.values().all(|entry| entry.expires.is_none_or(|expires| expires > now)));
            }
        }
    }
}
