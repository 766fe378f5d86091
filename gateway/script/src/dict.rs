//! Shared dictionaries: named stores of keys and values that scripts of all threads share, as `lua_shared_dict` makes them.
//!
//! A dictionary never holds more than its size. An entry is charged as nginx charges its shared memory, so that a size means
//! the same here: [`ENTRY_OVERHEAD`] bytes beside key and value, rounded up to a power of two up to half a page and to whole
//! pages above. What an entry really takes is about that or less.

mod entries;

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Instant;

use parking_lot::Mutex;

use entries::{Entries, Payload};

/// What an entry is charged for beside the bytes of its key and its value.
pub const ENTRY_OVERHEAD: usize = 68;
/// What an element of a list is charged for beside its bytes.
pub const ELEMENT_OVERHEAD: usize = 21;
/// Longest key, in bytes.
pub const KEY_LIMIT: usize = 65_535;
/// The smallest size of a dictionary, in bytes: nginx refuses less than two pages, and two more go on its own tables.
pub const SIZE_FLOOR: usize = 12 * 1024;
/// The largest size of a dictionary: entries are numbered with 32 bits.
pub const SIZE_CEILING: usize = 256 * 1024 * 1024 * 1024;

const PAGE: usize = 4096;
/// How often room is sought for one value before it is given up. Bounds the work of one call: every round evicts an entry.
const EVICTIONS_LIMIT: usize = 1000;
/// How often that is where the value would not fit into an empty dictionary; nginx evicts that much in vain, and scripts
/// can see it.
const VAIN_EVICTIONS: usize = 30;
/// How many expired entries are removed from the end of the queue by each call, beside what it does.
const SWEPT: usize = 2;

/// A clock in milliseconds, which never goes back.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// A value of a dictionary.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    Boolean(bool),
    Number(f64),
    Text(&'a [u8]),
    /// Only read by its own functions.
    List,
}

/// When a value is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    Always,
    /// Only if there is none of that key.
    Absent,
    /// Only in place of one.
    Present,
}

/// Why a dictionary did not do what was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("exists")]
    Exists,
    #[error("not found")]
    NotFound,
    #[error("no memory")]
    NoMemory,
    #[error("not a number")]
    NotANumber,
    #[error("value not a list")]
    NotAList,
}

/// How something was stored, or not: whether entries that had not expired were evicted for it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stored<T> {
    pub outcome: Result<T, Refused>,
    pub forcible: bool,
}

/// An end of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Left,
    Right,
}

/// What is left to do of something that visits all entries in parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Where to go on; `None` when all were visited.
    pub next: Option<usize>,
    /// How many entries the part was about.
    pub count: usize,
}

/// A named store. All functions may be called from any thread; each holds the only lock for well under a microsecond, but
/// where it says otherwise.
pub struct Dict {
    name: Arc<str>,
    state: Mutex<State>,
    clock: Clock,
}

struct State {
    entries: Entries,
    size: usize,
    /// How many bytes entries may be charged for together.
    capacity: usize,
    used: usize,
    /// Counts the calls of `flush_all`; entries of an earlier count have expired.
    era: u32,
}

impl Dict {
    /// A dictionary of `size` bytes, held to [`SIZE_FLOOR`] and [`SIZE_CEILING`].
    pub fn new(name: &str, size: usize) -> Self {
        let origin = Instant::now();
        // Begins at 1, because an expiry of 0 means none.
        let clock =
            move || u64::try_from(crate::clock::since(origin).as_millis()).unwrap_or(u64::MAX).saturating_add(1);
        Self::with_clock(name, size, Arc::new(clock))
    }

    /// As [`Dict::new`], with a clock of one's own; it has to begin above 0.
    pub fn with_clock(name: &str, size: usize, clock: Clock) -> Self {
        let size = size.clamp(SIZE_FLOOR, SIZE_CEILING);
        let capacity = capacity_of(size);
        let entries = Entries::new(capacity / charge(ENTRY_OVERHEAD + 1));
        Self { name: name.into(), state: Mutex::new(State { entries, size, capacity, used: 0, era: 0 }), clock }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Hands the value of a key and its flags to `read`, which runs under the lock. `None` if there is none or it expired.
    pub fn get<T>(&self, key: &[u8], read: impl FnOnce(Value<'_>, u32) -> T) -> Option<T> {
        self.get_stale(key, |value, flags, stale| if stale { None } else { Some(read(value, flags)) }).flatten()
    }

    /// As [`Dict::get`], also if the value expired but is still there: then the third argument is true.
    pub fn get_stale<T>(&self, key: &[u8], read: impl FnOnce(Value<'_>, u32, bool) -> T) -> Option<T> {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let at = state.entries.find(key)?;
        let stale = state.expired(at, &self.clock);
        state.entries.touch(at);
        let entry = state.entries.entry(at);
        Some(read(entry.value(), entry.flags, stale))
    }

    /// Stores a value, evicting those that were not used for longest where there is no room and `safe` is false. It expires
    /// after `lifetime` milliseconds; 0 means never.
    pub fn store(
        &self,
        key: &[u8],
        value: Value<'_>,
        lifetime: u64,
        flags: u32,
        condition: Condition,
        safe: bool,
    ) -> Stored<()> {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        state.sweep(&self.clock);
        let found = state.entries.find(key);
        let live = found.is_some_and(|at| !state.expired(at, &self.clock));
        let refused = match condition {
            Condition::Absent if live => Some(Refused::Exists),
            Condition::Present if !live => Some(Refused::NotFound),
            _ => None,
        };
        if let Some(refused) = refused {
            return Stored { outcome: Err(refused), forcible: false };
        }
        let expires = self.expiry(lifetime);
        state.put(key, found, value, expires, flags, safe)
    }

    /// Removes a key and its value.
    pub fn delete(&self, key: &[u8]) {
        let mut state = self.state.lock();
        state.sweep(&self.clock);
        if let Some(at) = state.entries.find(key) {
            state.remove(at);
        }
    }

    /// Adds `by` to a number. Where there is none, it begins at `initial`, if given, and expires after `lifetime`
    /// milliseconds (0: never).
    pub fn increment(&self, key: &[u8], by: f64, initial: Option<f64>, lifetime: u64) -> Stored<f64> {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        state.sweep(&self.clock);
        let found = state.entries.find(key);
        if let Some(at) = found
            && !state.expired(at, &self.clock)
        {
            state.entries.touch(at);
            let entry = state.entries.entry_mut(at);
            let outcome = match &mut entry.payload {
                Payload::Number(number) => {
                    *number += by;
                    Ok(*number)
                }
                _ => Err(Refused::NotANumber),
            };
            return Stored { outcome, forcible: false };
        }
        let Some(initial) = initial else { return Stored { outcome: Err(Refused::NotFound), forcible: false } };
        let sum = initial + by;
        let stored = state.put(key, found, Value::Number(sum), self.expiry(lifetime), 0, false);
        Stored { outcome: stored.outcome.map(|()| sum), forcible: stored.forcible }
    }

    /// Puts a string or a number to an end of a list, which is made where there is none. Gives the new length.
    pub fn push(&self, key: &[u8], value: Value<'_>, end: End) -> Result<usize, Refused> {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        state.sweep(&self.clock);
        let mut found = state.entries.find(key);
        if let Some(at) = found
            && state.expired(at, &self.clock)
        {
            state.remove(at);
            found = None;
        }
        let at = match found {
            Some(at) if matches!(state.entries.entry(at).payload, Payload::List(_)) => at,
            Some(_) => return Err(Refused::NotAList),
            None => state
                .put(key, None, Value::List, 0, 0, true)
                .outcome
                .and_then(|()| state.entries.find(key).ok_or(Refused::NoMemory))?,
        };
        let cost = element_charge(value);
        if state.used + cost > state.capacity {
            if state.entries.entry(at).list_len() == 0 {
                state.remove(at);
            }
            return Err(Refused::NoMemory);
        }
        state.used += cost;
        state.entries.touch(at);
        let entry = state.entries.entry_mut(at);
        Ok(entry.push(value, end == End::Left))
    }

    /// Takes a value from an end of a list, and the key away with the last one.
    pub fn pop<T>(&self, key: &[u8], end: End, read: impl FnOnce(Value<'_>) -> T) -> Result<Option<T>, Refused> {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        state.sweep(&self.clock);
        let Some(at) = state.entries.find(key) else { return Ok(None) };
        if state.expired(at, &self.clock) {
            return Ok(None);
        }
        let entry = state.entries.entry_mut(at);
        if !matches!(entry.payload, Payload::List(_)) {
            return Err(Refused::NotAList);
        }
        let element = entry.pop(end == End::Left);
        let empty = entry.list_len() == 0;
        let taken = element.map(|element| {
            state.used = state.used.saturating_sub(element_charge(element.value()));
            read(element.value())
        });
        if empty {
            state.remove(at);
        } else {
            state.entries.touch(at);
        }
        Ok(taken)
    }

    /// The length of a list; 0 where there is none.
    pub fn list_len(&self, key: &[u8]) -> Result<usize, Refused> {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        state.sweep(&self.clock);
        let Some(at) = state.entries.find(key) else { return Ok(0) };
        if state.expired(at, &self.clock) {
            return Ok(0);
        }
        match &state.entries.entry(at).payload {
            Payload::List(list) => Ok(list.len()),
            _ => Err(Refused::NotAList),
        }
    }

    /// Lets all entries expire; they stay until their room is needed.
    pub fn flush_all(&self) {
        self.state.lock().era += 1;
    }

    /// Removes entries that expired, at most `most`, among the next `part` places from `from` on. Takes about 20 ns a place.
    pub fn flush_expired(&self, from: usize, part: usize, most: usize) -> Progress {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let end = from.saturating_add(part).min(state.entries.places());
        let mut count = 0;
        for place in from..end {
            if count == most {
                return Progress { next: None, count };
            }
            if let Some(at) = state.entries.at_place(place)
                && state.expired(at, &self.clock)
            {
                state.remove(at);
                count += 1;
            }
        }
        Progress { next: (end < state.entries.places()).then_some(end), count }
    }

    /// Hands keys that have not expired to `read`, at most `most`, of the next `part` places from `from` on. Takes about
    /// 20 ns a place.
    pub fn keys(&self, from: usize, part: usize, most: usize, mut read: impl FnMut(&[u8])) -> Progress {
        let guard = self.state.lock();
        let state = &*guard;
        let end = from.saturating_add(part).min(state.entries.places());
        let mut count = 0;
        for place in from..end {
            if count == most {
                return Progress { next: None, count };
            }
            if let Some(at) = state.entries.at_place(place)
                && !state.expired(at, &self.clock)
            {
                read(state.entries.entry(at).key());
                count += 1;
            }
        }
        Progress { next: (end < state.entries.places()).then_some(end), count }
    }

    /// The milliseconds that a value has left, at least 1; `Some(0)` where it never expires. What expired has none, even if it
    /// is still there: 0, which nginx gives in the very millisecond, would say that it stays.
    pub fn ttl(&self, key: &[u8]) -> Option<u64> {
        let state = self.state.lock();
        let at = state.entries.find(key)?;
        let entry = state.entries.entry(at);
        if entry.era != state.era {
            return None;
        }
        match entry.expires {
            0 => Some(0),
            expires => expires.checked_sub((self.clock)()).filter(|left| *left > 0),
        }
    }

    /// Gives a value another lifetime in milliseconds, from now; 0 means without end. Says whether there is one.
    pub fn expire(&self, key: &[u8], lifetime: u64) -> bool {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let Some(at) = state.entries.find(key) else { return false };
        let era = state.era;
        let entry = state.entries.entry_mut(at);
        entry.expires = self.expiry(lifetime);
        entry.era = era;
        true
    }

    /// The size in bytes.
    pub fn size(&self) -> usize {
        self.state.lock().size
    }

    /// The bytes that are not charged for, in whole pages.
    pub fn free_space(&self) -> usize {
        let state = self.state.lock();
        state.capacity.saturating_sub(state.used) / PAGE * PAGE
    }

    /// How many entries there are, those that expired included.
    pub fn len(&self) -> usize {
        self.state.lock().entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Gives the dictionary another size. One that is too small for what is in it evicts what was not used for longest, at
    /// about 100 ns an entry.
    pub fn resize(&self, size: usize) {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        state.size = size.clamp(SIZE_FLOOR, SIZE_CEILING);
        state.capacity = capacity_of(state.size);
        while state.used > state.capacity
            && let Some(at) = state.entries.oldest()
        {
            state.remove(at);
        }
    }

    fn expiry(&self, lifetime: u64) -> u64 {
        if lifetime == 0 { 0 } else { (self.clock)().saturating_add(lifetime) }
    }
}

impl std::fmt::Debug for Dict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dict").field("name", &self.name).field("size", &self.size()).finish_non_exhaustive()
    }
}

impl State {
    fn expired(&self, at: entries::At, clock: &Clock) -> bool {
        let entry = self.entries.entry(at);
        entry.era != self.era || (entry.expires != 0 && entry.expires <= clock())
    }

    /// Removes a few entries that expired from the end of the queue.
    fn sweep(&mut self, clock: &Clock) {
        for _ in 0..SWEPT {
            match self.entries.oldest() {
                Some(at) if self.expired(at, clock) => self.remove(at),
                _ => return,
            }
        }
    }

    fn remove(&mut self, at: entries::At) {
        self.used = self.used.saturating_sub(self.entries.entry(at).charge());
        self.entries.remove(at);
    }

    fn put(
        &mut self,
        key: &[u8],
        found: Option<entries::At>,
        value: Value<'_>,
        expires: u64,
        flags: u32,
        safe: bool,
    ) -> Stored<()> {
        let cost = charge(ENTRY_OVERHEAD + key.len() + len_of(value));
        let era = self.era;
        if let Some(at) = found {
            let entry = self.entries.entry_mut(at);
            if !matches!(entry.payload, Payload::List(_)) && entry.charge() == cost {
                entry.set(value);
                (entry.expires, entry.flags, entry.era) = (expires, flags, era);
                self.entries.touch(at);
                return Stored { outcome: Ok(()), forcible: false };
            }
            self.remove(at);
        }
        let mut forcible = false;
        let rounds = if cost > self.capacity { VAIN_EVICTIONS } else { EVICTIONS_LIMIT };
        for _ in 0..rounds {
            if self.used + cost <= self.capacity || safe {
                break;
            }
            let Some(at) = self.entries.oldest() else { break };
            self.remove(at);
            forcible = true;
        }
        if self.used + cost > self.capacity || !self.entries.insert(key, value, expires, flags, era) {
            return Stored { outcome: Err(Refused::NoMemory), forcible };
        }
        self.used += cost;
        Stored { outcome: Ok(()), forcible }
    }
}

fn len_of(value: Value<'_>) -> usize {
    match value {
        Value::Boolean(_) => 1,
        Value::Number(_) => 8,
        Value::Text(text) => text.len(),
        Value::List => 16,
    }
}

/// What so many bytes are charged for.
fn charge(bytes: usize) -> usize {
    if bytes > PAGE / 2 { bytes.next_multiple_of(PAGE) } else { bytes.next_power_of_two().max(8) }
}

fn element_charge(value: Value<'_>) -> usize {
    charge(ELEMENT_OVERHEAD + len_of(value))
}

/// What is left of a size for entries: nginx keeps 24 bytes for each page, some for its lists, and two pages for what it
/// stores about the dictionary.
fn capacity_of(size: usize) -> usize {
    (size.saturating_sub(700) / (PAGE + 24)).saturating_sub(2).max(1) * PAGE
}

/// The dictionaries of a process by name: whoever opens the same name gets the same dictionary, for as long as anybody holds
/// it. So a reload keeps what is in them, and one that is no longer configured goes away with the last generation.
#[derive(Debug, Default)]
pub struct Dictionaries {
    known: Mutex<HashMap<String, Weak<Dict>>>,
}

impl Dictionaries {
    /// The dictionary of that name, made with `size` bytes if there is none. One that is there keeps its size, because the
    /// configuration that is being built may yet be refused: call [`Dict::resize`] once it is in force.
    pub fn open(&self, name: &str, size: usize) -> Arc<Dict> {
        let mut known = self.known.lock();
        if let Some(dict) = known.get(name).and_then(Weak::upgrade) {
            return dict;
        }
        known.retain(|_, dict| dict.strong_count() > 0);
        let dict = Arc::new(Dict::new(name, size));
        known.insert(name.to_owned(), Arc::downgrade(&dict));
        dict
    }
}

#[cfg(test)]
mod tests;
