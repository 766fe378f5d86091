//! Token buckets, exact and bounded.

use std::cmp::Reverse;
use std::collections::binary_heap::PeekMut;
use std::collections::{BinaryHeap, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use super::Surroundings;

/// How fast a bucket fills and what it holds.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BucketSpec {
    /// Tokens added per `period`. 0 counts as 1.
    pub tokens: u32,
    /// Zero counts as one nanosecond.
    pub period: Duration,
    /// Capacity. 0 counts as 1.
    pub burst: u32,
    /// Most keys kept. 0 counts as 1.
    pub keys_limit: usize,
}

/// What came of an attempt to take tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    pub allowed: bool,
    /// Capacity of the bucket.
    pub limit: u32,
    /// Whole tokens left.
    pub remaining: u32,
    /// Until the bucket is full again; rounded up to a millisecond.
    pub reset: Duration,
    /// Until the tokens asked for are there, rounded up to a millisecond; zero if allowed. A cost over the capacity is
    /// never allowed: then it is the time in which an empty bucket fills.
    pub retry_after: Duration,
}

/// One bucket for each key that a plugin names.
///
/// The arithmetic is in integers and loses nothing: time is counted in units of `1/tokens` of a nanosecond, in which a
/// token takes exactly `period` nanoseconds' worth. A key's whole state is the moment at which its bucket is full again
/// (as in the generic cell rate algorithm), so a key that is full needs no state, and the fullest keys, which are those
/// with the earliest moments, can be forgotten first.
#[derive(Debug)]
pub struct Bucket {
    id: u64,
    rate: Rate,
    surroundings: Surroundings,
    started: Instant,
    hasher: RandomState,
    shards: Box<[Mutex<Shard>]>,
    keys_per_shard: usize,
}

/// Longer keys are kept as their SHA-256, so that memory is bounded by the number of keys.
const KEY_LIMIT: usize = 64;
/// A lock each: threads that serve different keys seldom meet.
const SHARDS: usize = 16;
/// Below this many keys a single shard keeps the limit exact.
const SHARDING_FROM: usize = 4096;

impl Bucket {
    pub(crate) fn new(spec: &BucketSpec) -> Self {
        Self::within(spec, Surroundings::default())
    }

    /// A full bucket that fills by these surroundings' time and is shared with nobody.
    pub fn within(spec: &BucketSpec, surroundings: Surroundings) -> Self {
        static IDS: AtomicU64 = AtomicU64::new(0);
        let keys = spec.keys_limit.max(1);
        let shards = if keys < SHARDING_FROM { 1 } else { SHARDS };
        Self {
            id: IDS.fetch_add(1, Ordering::Relaxed),
            rate: Rate::new(spec),
            started: surroundings.now(),
            surroundings,
            hasher: RandomState::new(),
            shards: (0..shards).map(|_| Mutex::default()).collect(),
            keys_per_shard: keys / shards,
        }
    }

    /// Takes `cost` tokens from the bucket of `key`, or none if there are too few.
    pub fn take(&self, key: &[u8], cost: u32) -> Decision {
        let now = self.surroundings.now().saturating_duration_since(self.started);
        self.take_at(now, key, cost)
    }

    /// [`Bucket::take`] at a given time since the bucket was made.
    fn take_at(&self, now: Duration, key: &[u8], cost: u32) -> Decision {
        let hashed: [u8; 32];
        let key = if key.len() > KEY_LIMIT {
            hashed = Sha256::digest(key).into();
            &hashed
        } else {
            key
        };
        let at = if self.shards.len() > 1 { self.hasher.hash_one(key) as usize % self.shards.len() } else { 0 };
        let now = self.rate.scaled(now);
        let Some(shard) = self.shards.get(at) else { return self.rate.take(now, now, cost).0 };
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        shard.take(&self.rate, self.keys_per_shard, now, key, cost)
    }

    /// Tells this bucket from every other of the process.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    #[cfg(test)]
    fn keys(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().unwrap().full_at.len()).sum()
    }
}

/// Rate and capacity in scaled time.
#[derive(Debug)]
struct Rate {
    tokens: u128,
    token: u128,
    capacity: u128,
    burst: u32,
}

impl Rate {
    fn new(spec: &BucketSpec) -> Self {
        let burst = spec.burst.max(1);
        let token = spec.period.as_nanos().max(1);
        Self { tokens: spec.tokens.max(1).into(), token, capacity: token * u128::from(burst), burst }
    }

    fn scaled(&self, time: Duration) -> u128 {
        time.as_nanos() * self.tokens
    }

    fn unscaled(&self, scaled: u128) -> Duration {
        let millis = scaled.div_ceil(self.tokens).div_ceil(1_000_000);
        Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
    }

    /// The decision, and the moment at which the bucket is then full.
    fn take(&self, now: u128, full_at: u128, cost: u32) -> (Decision, u128) {
        let full_at = full_at.max(now);
        let missing = full_at - now;
        let wanted = missing + u128::from(cost) * self.token;
        let allowed = wanted <= self.capacity;
        let missing = if allowed { wanted } else { missing };
        let retry_after = if allowed { 0 } else { (wanted - self.capacity).min(self.capacity) };
        let decision = Decision {
            allowed,
            limit: self.burst,
            remaining: u32::try_from(self.capacity.saturating_sub(missing) / self.token).unwrap_or(self.burst),
            reset: self.unscaled(missing),
            retry_after: self.unscaled(retry_after),
        };
        (decision, now + missing)
    }
}

/// A part of the keys.
#[derive(Debug, Default)]
struct Shard {
    full_at: HashMap<Arc<[u8]>, u128>,
    /// Exactly one entry for each key. Its moment may lag behind the map's, which only ever grows; it is brought up to date
    /// when it comes to the top. So taking from a known key costs no heap operation.
    earliest: BinaryHeap<Reverse<(u128, Arc<[u8]>)>>,
}

impl Shard {
    fn take(&mut self, rate: &Rate, keys_limit: usize, now: u128, key: &[u8], cost: u32) -> Decision {
        if let Some(full_at) = self.full_at.get_mut(key) {
            let (decision, next) = rate.take(now, *full_at, cost);
            *full_at = next;
            return decision;
        }
        let (decision, full_at) = rate.take(now, now, cost);
        if full_at > now {
            if self.full_at.len() >= keys_limit {
                self.forget_fullest();
            }
            let key: Arc<[u8]> = key.into();
            self.full_at.insert(Arc::clone(&key), full_at);
            self.earliest.push(Reverse((full_at, key)));
        }
        decision
    }

    fn forget_fullest(&mut self) {
        while let Some(mut top) = self.earliest.peek_mut() {
            match self.full_at.get(&top.0.1) {
                Some(&full_at) if full_at > top.0.0 => top.0.0 = full_at,
                _ => {
                    let Reverse((_, key)) = PeekMut::pop(top);
                    self.full_at.remove(&key);
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bucket(tokens: u32, period: Duration, burst: u32, keys_limit: usize) -> Bucket {
        Bucket::new(&BucketSpec { tokens, period, burst, keys_limit })
    }

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_full_bucket_gives_its_burst_and_then_refuses() {
        let bucket = bucket(10, ms(1000), 3, 10);
        for remaining in [2, 1, 0] {
            let decision = bucket.take_at(ms(0), b"k", 1);
            assert_eq!((decision.allowed, decision.remaining, decision.limit), (true, remaining, 3));
            assert_eq!(decision.retry_after, ms(0));
        }
        let refused = bucket.take_at(ms(0), b"k", 1);
        assert_eq!((refused.allowed, refused.remaining), (false, 0));
        assert_eq!((refused.retry_after, refused.reset), (ms(100), ms(300)));
    }

    #[test]
    fn a_token_is_there_exactly_when_it_was_promised() {
        let bucket = bucket(3, ms(1000), 1, 10);
        assert!(bucket.take_at(ms(0), b"k", 1).allowed);
        assert!(!bucket.take_at(Duration::from_nanos(333_333_333), b"k", 1).allowed, "a third of a second is not over");
        assert!(bucket.take_at(Duration::from_nanos(333_333_334), b"k", 1).allowed);
    }

    #[test]
    fn a_cost_over_the_capacity_is_never_allowed_and_takes_nothing() {
        let bucket = bucket(1, ms(1000), 2, 10);
        let refused = bucket.take_at(ms(0), b"k", 5);
        assert_eq!((refused.allowed, refused.remaining, refused.retry_after), (false, 2, ms(2000)));
        assert!(bucket.take_at(ms(0), b"k", 2).allowed);
    }

    #[test]
    fn a_cost_of_nothing_only_asks() {
        let bucket = bucket(1, ms(1000), 2, 10);
        assert!(bucket.take_at(ms(0), b"k", 2).allowed);
        let asked = bucket.take_at(ms(0), b"k", 0);
        assert_eq!((asked.allowed, asked.remaining), (true, 0));
    }

    #[test]
    fn keys_are_counted_apart_and_long_ones_too() {
        let bucket = bucket(1, ms(1000), 1, 10);
        let long = [b'a'; 500];
        let other = [b'a'; 501];
        for key in [&b"a"[..], b"b", b"", &long, &other] {
            assert!(bucket.take_at(ms(0), key, 1).allowed);
            assert!(!bucket.take_at(ms(0), key, 1).allowed);
        }
    }

    #[test]
    fn the_fullest_key_is_forgotten_first() {
        let bucket = bucket(1, ms(1000), 100, 2);
        bucket.take_at(ms(0), b"greedy", 50);
        bucket.take_at(ms(0), b"modest", 1);
        bucket.take_at(ms(0), b"new", 10);
        assert_eq!(bucket.keys(), 2);
        assert_eq!(bucket.take_at(ms(0), b"greedy", 0).remaining, 50, "the greedy key is still known");
        assert_eq!(bucket.take_at(ms(0), b"modest", 0).remaining, 100);
    }

    #[test]
    fn a_key_that_took_again_is_not_mistaken_for_a_full_one() {
        let bucket = bucket(1, ms(1000), 100, 2);
        bucket.take_at(ms(0), b"a", 1);
        bucket.take_at(ms(0), b"b", 2);
        bucket.take_at(ms(0), b"a", 50);
        bucket.take_at(ms(0), b"c", 10);
        assert_eq!(bucket.take_at(ms(0), b"a", 0).remaining, 49);
        assert_eq!(bucket.take_at(ms(0), b"b", 0).remaining, 100, "b was the fullest");
    }

    #[test]
    fn a_spray_of_keys_stays_within_the_limit() {
        let bucket = bucket(1, ms(1000), 10, 10_000);
        for key in 0..50_000_u32 {
            bucket.take_at(ms(0), &key.to_le_bytes(), 1);
        }
        assert!(bucket.keys() <= 10_000);
        let heap: usize = bucket.shards.iter().map(|shard| shard.lock().unwrap().earliest.len()).sum();
        assert_eq!(heap, bucket.keys(), "one heap entry for each key");
    }

    #[test]
    fn extreme_rates_do_not_overflow() {
        let bucket = bucket(u32::MAX, Duration::from_secs(366 * 86_400), u32::MAX, 1);
        let century = Duration::from_secs(100 * 366 * 86_400);
        assert!(bucket.take_at(century, b"k", u32::MAX).allowed);
        assert!(!bucket.take_at(century, b"k", u32::MAX).allowed);
    }

    proptest! {
        /// The bucket agrees with a model that keeps the level as an exact fraction.
        #[test]
        fn it_is_exactly_a_token_bucket(
            tokens in 1_u32..1000,
            period in 1_u64..10_000_000,
            burst in 1_u32..50,
            steps in proptest::collection::vec((0_u64..3_000_000, 0_u32..60), 1..80),
        ) {
            let bucket = bucket(tokens, Duration::from_nanos(period), burst, 4);
            let (token, capacity) = (u128::from(period), u128::from(burst) * u128::from(period));
            let (mut level, mut now) = (capacity, 0);
            for (pause, cost) in steps {
                now += pause;
                level = capacity.min(level + u128::from(pause) * u128::from(tokens));
                let allowed = level >= u128::from(cost) * token;
                if allowed {
                    level -= u128::from(cost) * token;
                }
                let decision = bucket.take_at(Duration::from_nanos(now), b"k", cost);
                prop_assert_eq!(decision.allowed, allowed);
                prop_assert_eq!(u128::from(decision.remaining), level / token);
                prop_assert_eq!(decision.allowed, decision.retry_after.is_zero());
            }
        }

        /// Whoever waits as long as told gets the tokens.
        #[test]
        fn retry_after_is_kept(tokens in 1_u32..100, period in 1_u64..100_000, burst in 1_u32..20, cost in 1_u32..20) {
            prop_assume!(cost <= burst);
            let bucket = bucket(tokens, Duration::from_micros(period), burst, 4);
            bucket.take_at(ms(0), b"k", burst);
            let refused = bucket.take_at(ms(0), b"k", cost);
            prop_assert!(!refused.allowed);
            prop_assert!(bucket.take_at(refused.retry_after, b"k", cost).allowed);
        }
    }
}
