//! The entries of a dictionary: a table to find them by key, and a queue in the order of use.

use std::collections::VecDeque;
use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::{ELEMENT_OVERHEAD, ENTRY_OVERHEAD, Value, charge, len_of};

/// Entries are kept in pieces of this many, so that a store that grows never copies what it has.
const PIECE: usize = 256;
const NONE: u32 = u32::MAX;
/// Most places that the table is made for at once; beyond that it grows.
const TABLE_LIMIT: usize = 1 << 24;

/// Where an entry is. Valid until the entry is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct At(u32);

#[derive(Debug)]
pub(super) enum Payload {
    Vacant,
    Boolean(bool),
    Number(f64),
    /// The bytes follow those of the key.
    Text,
    #[expect(clippy::box_collection, reason = "lists are rare, and entries are to be small")]
    List(Box<VecDeque<Element>>),
}

/// An element of a list.
#[derive(Debug)]
pub(super) enum Element {
    Number(f64),
    Text(Box<[u8]>),
}

impl Element {
    pub(super) fn value(&self) -> Value<'_> {
        match self {
            Self::Number(number) => Value::Number(*number),
            Self::Text(text) => Value::Text(text),
        }
    }
}

#[derive(Debug)]
pub(super) struct Entry {
    /// The key, then the value if it is a string.
    bytes: Box<[u8]>,
    pub(super) payload: Payload,
    /// When it expires, by the clock of the dictionary; 0 for never.
    pub(super) expires: u64,
    newer: u32,
    older: u32,
    pub(super) flags: u32,
    pub(super) era: u32,
    key_len: u16,
}

impl Entry {
    pub(super) fn key(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.key_len)).unwrap_or_default()
    }

    pub(super) fn value(&self) -> Value<'_> {
        match &self.payload {
            Payload::Boolean(value) => Value::Boolean(*value),
            Payload::Number(number) => Value::Number(*number),
            Payload::Text => Value::Text(self.bytes.get(usize::from(self.key_len)..).unwrap_or_default()),
            Payload::List(_) | Payload::Vacant => Value::List,
        }
    }

    /// Puts another value in place of one that is charged for the same; neither is a list.
    pub(super) fn set(&mut self, value: Value<'_>) {
        let key_len = usize::from(self.key_len);
        match value {
            Value::Text(text) if self.bytes.len() == key_len + text.len() => {
                if let Some(old) = self.bytes.get_mut(key_len..) {
                    old.copy_from_slice(text);
                }
            }
            Value::Text(text) => self.bytes = joined(self.key(), text),
            _ if self.bytes.len() > key_len => self.bytes = self.key().into(),
            _ => {}
        }
        self.payload = payload(value);
    }

    pub(super) fn list_len(&self) -> usize {
        if let Payload::List(list) = &self.payload { list.len() } else { 0 }
    }

    /// Adds an element to a list and gives its new length.
    pub(super) fn push(&mut self, value: Value<'_>, left: bool) -> usize {
        let Payload::List(list) = &mut self.payload else { return 0 };
        let element = match value {
            Value::Number(number) => Element::Number(number),
            Value::Text(text) => Element::Text(text.into()),
            Value::Boolean(_) | Value::List => return list.len(),
        };
        if left {
            list.push_front(element)
        } else {
            list.push_back(element)
        }
        list.len()
    }

    pub(super) fn pop(&mut self, left: bool) -> Option<Element> {
        let Payload::List(list) = &mut self.payload else { return None };
        if left { list.pop_front() } else { list.pop_back() }
    }

    /// What the entry and the elements of its list are charged for.
    pub(super) fn charge(&self) -> usize {
        let own = charge(ENTRY_OVERHEAD + self.key().len() + len_of(self.value()));
        let Payload::List(list) = &self.payload else { return own };
        own + list.iter().map(|element| charge(ELEMENT_OVERHEAD + len_of(element.value()))).sum::<usize>()
    }
}

fn payload(value: Value<'_>) -> Payload {
    match value {
        Value::Boolean(value) => Payload::Boolean(value),
        Value::Number(number) => Payload::Number(number),
        Value::Text(_) => Payload::Text,
        Value::List => Payload::List(Box::default()),
    }
}

fn joined(key: &[u8], text: &[u8]) -> Box<[u8]> {
    let mut bytes = Vec::with_capacity(key.len() + text.len());
    bytes.extend_from_slice(key);
    bytes.extend_from_slice(text);
    bytes.into_boxed_slice()
}

/// The pieces; an [`At`] is only made for a place in them.
#[derive(Debug, Default)]
struct Slab(Vec<Box<[Entry]>>);

#[expect(clippy::indexing_slicing, reason = "an `At` is only made for places that there are, and none goes away")]
impl Slab {
    fn get(&self, at: u32) -> &Entry {
        let at = at as usize;
        &self.0[at / PIECE][at % PIECE]
    }

    fn get_mut(&mut self, at: u32) -> &mut Entry {
        let at = at as usize;
        &mut self.0[at / PIECE][at % PIECE]
    }
}

#[derive(Debug)]
pub(super) struct Entries {
    table: HashTable<u32>,
    hasher: DefaultHashBuilder,
    slab: Slab,
    vacant: u32,
    newest: u32,
    oldest: u32,
}

impl Entries {
    /// With a table that has room for so many entries, so that it need not grow while somebody waits.
    pub(super) fn new(most: usize) -> Self {
        Self {
            table: HashTable::with_capacity(most.min(TABLE_LIMIT)),
            hasher: DefaultHashBuilder::default(),
            slab: Slab::default(),
            vacant: NONE,
            newest: NONE,
            oldest: NONE,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    pub(super) fn find(&self, key: &[u8]) -> Option<At> {
        let hash = self.hasher.hash_one(key);
        self.table.find(hash, |at| self.slab.get(*at).key() == key).map(|at| At(*at))
    }

    pub(super) fn entry(&self, at: At) -> &Entry {
        self.slab.get(at.0)
    }

    pub(super) fn entry_mut(&mut self, at: At) -> &mut Entry {
        self.slab.get_mut(at.0)
    }

    /// How many places there are, vacant ones included.
    pub(super) fn places(&self) -> usize {
        self.slab.0.len() * PIECE
    }

    pub(super) fn at_place(&self, place: usize) -> Option<At> {
        let at = u32::try_from(place).ok().filter(|_| place < self.places())?;
        (!matches!(self.slab.get(at).payload, Payload::Vacant)).then_some(At(at))
    }

    /// The entry that was not used for longest.
    pub(super) fn oldest(&self) -> Option<At> {
        (self.oldest != NONE).then_some(At(self.oldest))
    }

    /// Makes an entry the one that was used last.
    pub(super) fn touch(&mut self, at: At) {
        if self.newest != at.0 {
            self.unlink(at.0);
            self.link(at.0);
        }
    }

    /// Adds an entry; the key must not be there. Says whether there was a place for it.
    pub(super) fn insert(&mut self, key: &[u8], value: Value<'_>, expires: u64, flags: u32, era: u32) -> bool {
        let Ok(key_len) = u16::try_from(key.len()) else { return false };
        if self.vacant == NONE && !self.grow() {
            return false;
        }
        let at = self.vacant;
        let bytes = if let Value::Text(text) = value { joined(key, text) } else { key.into() };
        let entry = self.slab.get_mut(at);
        self.vacant = entry.older;
        *entry = Entry { bytes, payload: payload(value), expires, newer: NONE, older: NONE, flags, era, key_len };
        self.link(at);
        let hash = self.hasher.hash_one(key);
        let (slab, hasher) = (&self.slab, &self.hasher);
        self.table.insert_unique(hash, at, |other| hasher.hash_one(slab.get(*other).key()));
        true
    }

    pub(super) fn remove(&mut self, at: At) {
        self.unlink(at.0);
        let hash = self.hasher.hash_one(self.slab.get(at.0).key());
        if let Ok(occupied) = self.table.find_entry(hash, |other| *other == at.0) {
            occupied.remove();
        }
        let vacant = self.vacant;
        *self.slab.get_mut(at.0) = vacancy(vacant);
        self.vacant = at.0;
    }

    fn grow(&mut self) -> bool {
        let first = self.places();
        let Ok(end) = u32::try_from(first + PIECE) else { return false };
        let begin = end - PIECE as u32;
        let next = |at: u32| if at + 1 == end { NONE } else { at + 1 };
        self.slab.0.push((begin..end).map(|at| vacancy(next(at))).collect());
        self.vacant = begin;
        true
    }

    fn link(&mut self, at: u32) {
        let second = self.newest;
        let entry = self.slab.get_mut(at);
        (entry.newer, entry.older) = (NONE, second);
        match second {
            NONE => self.oldest = at,
            second => self.slab.get_mut(second).newer = at,
        }
        self.newest = at;
    }

    fn unlink(&mut self, at: u32) {
        let (newer, older) = {
            let entry = self.slab.get(at);
            (entry.newer, entry.older)
        };
        match newer {
            NONE => self.newest = older,
            newer => self.slab.get_mut(newer).older = older,
        }
        match older {
            NONE => self.oldest = newer,
            older => self.slab.get_mut(older).newer = newer,
        }
    }
}

fn vacancy(next: u32) -> Entry {
    Entry {
        bytes: Box::default(),
        payload: Payload::Vacant,
        expires: 0,
        newer: NONE,
        older: next,
        flags: 0,
        era: 0,
        key_len: 0,
    }
}
