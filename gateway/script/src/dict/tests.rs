use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;

use super::*;

fn text(dict: &Dict, key: &[u8]) -> Option<Vec<u8>> {
    dict.get(key, |value, _| match value {
        Value::Text(text) => text.to_vec(),
        other => format!("{other:?}").into_bytes(),
    })
}

fn set(dict: &Dict, key: &[u8], value: &[u8]) -> Stored<()> {
    dict.store(key, Value::Text(value), 0, 0, Condition::Always, false)
}

#[derive(Debug, Clone)]
enum Deed {
    Set(u8, usize, u64),
    Add(u8, usize),
    Replace(u8, usize),
    Delete(u8),
    Increment(u8, bool),
    Push(u8, bool),
    Pop(u8, bool),
    Wait(u64),
    FlushAll,
    FlushExpired,
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let key = 0u8..12;
    let deed = prop_oneof![
        4 => (key.clone(), 0usize..300, 0u64..20).prop_map(|(k, n, t)| Deed::Set(k, n, t)),
        1 => (key.clone(), 0usize..300).prop_map(|(k, n)| Deed::Add(k, n)),
        1 => (key.clone(), 0usize..300).prop_map(|(k, n)| Deed::Replace(k, n)),
        1 => key.clone().prop_map(Deed::Delete),
        1 => (key.clone(), any::<bool>()).prop_map(|(k, i)| Deed::Increment(k, i)),
        2 => (key.clone(), any::<bool>()).prop_map(|(k, l)| Deed::Push(k, l)),
        1 => (key, any::<bool>()).prop_map(|(k, l)| Deed::Pop(k, l)),
        1 => (0u64..10).prop_map(Deed::Wait),
        1 => Just(Deed::FlushAll),
        1 => Just(Deed::FlushExpired),
    ];
    proptest::collection::vec(deed, 0..200)
}

#[derive(Debug, Clone, PartialEq)]
enum Held {
    Text(usize),
    Number(f64),
    List(Vec<u64>),
}

proptest! {
    /// Against a plain map, in a dictionary that is large enough to evict nothing.
    #[test]
    fn behaves_as_a_map_of_values_that_expire(deeds in deeds()) {
        let ticks = Arc::new(AtomicU64::new(1));
        let clock = ticks.clone();
        let dict = Dict::with_clock("d", 1 << 20, Arc::new(move || clock.load(Ordering::Relaxed)));
        let mut map: HashMap<u8, (Held, u64)> = HashMap::new();
        for (turn, deed) in deeds.into_iter().enumerate() {
            let now = ticks.load(Ordering::Relaxed);
            map.retain(|_, (_, expires)| *expires == 0 || *expires > now);
            let value = |n: usize| vec![b'v'; n];
            match deed {
                Deed::Set(key, n, lifetime) => {
                    dict.store(&[key], Value::Text(&value(n)), lifetime, 0, Condition::Always, false);
                    map.insert(key, (Held::Text(n), if lifetime == 0 { 0 } else { now + lifetime }));
                }
                Deed::Add(key, n) => {
                    let stored = dict.store(&[key], Value::Text(&value(n)), 0, 0, Condition::Absent, false);
                    prop_assert_eq!(stored.outcome.is_ok(), !map.contains_key(&key));
                    map.entry(key).or_insert((Held::Text(n), 0));
                }
                Deed::Replace(key, n) => {
                    let stored = dict.store(&[key], Value::Text(&value(n)), 0, 0, Condition::Present, false);
                    prop_assert_eq!(stored.outcome.is_ok(), map.contains_key(&key));
                    map.entry(key).and_modify(|held| *held = (Held::Text(n), 0));
                }
                Deed::Delete(key) => {
                    dict.delete(&[key]);
                    map.remove(&key);
                }
                Deed::Increment(key, initial) => {
                    let done = dict.increment(&[key], 1.0, initial.then_some(5.0), 0);
                    let expected = match map.get_mut(&key) {
                        Some((Held::Number(n), _)) => { *n += 1.0; Ok(*n) }
                        Some(_) => Err(Refused::NotANumber),
                        None if initial => { map.insert(key, (Held::Number(6.0), 0)); Ok(6.0) }
                        None => Err(Refused::NotFound),
                    };
                    prop_assert_eq!(done.outcome, expected);
                }
                Deed::Push(key, left) => {
                    let end = if left { End::Left } else { End::Right };
                    let pushed = dict.push(&[key], Value::Number(turn as f64), end);
                    let expected = match &mut map.entry(key).or_insert((Held::List(Vec::new()), 0)).0 {
                        Held::List(list) => {
                            if left { list.insert(0, turn as u64) } else { list.push(turn as u64) }
                            Ok(list.len())
                        }
                        _ => Err(Refused::NotAList),
                    };
                    prop_assert_eq!(pushed, expected);
                }
                Deed::Pop(key, left) => {
                    let end = if left { End::Left } else { End::Right };
                    let popped = dict.pop(&[key], end, |value| match value { Value::Number(n) => n as u64, _ => u64::MAX });
                    let expected = match map.get_mut(&key) {
                        Some((Held::List(list), _)) => Ok(if left { Some(list.remove(0)) } else { list.pop() }),
                        Some(_) => Err(Refused::NotAList),
                        None => Ok(None),
                    };
                    prop_assert_eq!(popped, expected);
                    map.retain(|_, (held, _)| *held != Held::List(Vec::new()));
                }
                Deed::Wait(time) => { ticks.fetch_add(time, Ordering::Relaxed); }
                Deed::FlushAll => { dict.flush_all(); map.clear(); }
                Deed::FlushExpired => {
                    dict.flush_expired(0, usize::MAX, usize::MAX);
                    prop_assert_eq!(dict.len(), map.len());
                }
            }
            let now = ticks.load(Ordering::Relaxed);
            map.retain(|_, (_, expires)| *expires == 0 || *expires > now);
            for key in 0u8..12 {
                let found = dict.get(&[key], |value, _| match value {
                    Value::Text(text) => Held::Text(text.len()),
                    Value::Number(number) => Held::Number(number),
                    _ => Held::List(Vec::new()),
                });
                let expected = map.get(&key).map(|(held, _)| match held {
                    Held::List(list) => {
                        assert_eq!(dict.list_len(&[key]), Ok(list.len()));
                        Held::List(Vec::new())
                    }
                    held => held.clone(),
                });
                prop_assert_eq!(found, expected);
            }
        }
        dict.flush_all();
        dict.flush_expired(0, usize::MAX, usize::MAX);
        let state = dict.state.lock();
        prop_assert_eq!(state.used, 0, "everything that was charged for is given back");
        prop_assert_eq!(state.entries.len(), 0);
    }

    /// In one that is much too small.
    #[test]
    fn never_charges_for_more_than_it_may(deeds in deeds()) {
        let dict = Dict::new("d", SIZE_FLOOR);
        for deed in deeds {
            match deed {
                Deed::Set(key, n, _) => { set(&dict, &[key], &vec![b'v'; n * 10]); }
                Deed::Push(key, _) => { let _ = dict.push(&[key], Value::Text(&[b'v'; 200]), End::Left); }
                Deed::Delete(key) => dict.delete(&[key]),
                _ => {}
            }
            let state = dict.state.lock();
            let places: Vec<_> = (0..state.entries.places()).filter_map(|place| state.entries.at_place(place)).collect();
            let sum: usize = places.iter().map(|at| state.entries.entry(*at).charge()).sum();
            prop_assert_eq!(state.used, sum);
            prop_assert!(sum <= state.capacity);
            prop_assert_eq!(places.len(), state.entries.len());
        }
    }
}

#[test]
fn the_same_name_opens_the_same_dictionary_for_as_long_as_somebody_holds_it() {
    let dictionaries = Dictionaries::default();
    let first = dictionaries.open("d", 1 << 20);
    set(&first, b"k", b"v");
    let second = dictionaries.open("d", 2 << 20);
    assert_eq!(text(&second, b"k").as_deref(), Some(&b"v"[..]));
    assert_eq!(second.size(), 1 << 20, "a configuration that is not in force changes nothing");
    second.resize(2 << 20);
    assert_eq!(first.size(), 2 << 20);
    drop((first, second));
    assert_eq!(text(&dictionaries.open("d", 1 << 20), b"k"), None);
}

#[test]
fn a_smaller_size_keeps_what_was_used_last() {
    let dict = Dict::new("d", 1 << 20);
    for i in 0..2000u32 {
        set(&dict, &i.to_be_bytes(), &[0; 50]);
    }
    dict.resize(100 * 1024);
    assert_eq!(text(&dict, &0u32.to_be_bytes()), None);
    assert!(text(&dict, &1999u32.to_be_bytes()).is_some());
    let state = dict.state.lock();
    assert!(state.used <= state.capacity);
}

#[test]
fn threads_share_a_dictionary() {
    let dict = Arc::new(Dict::new("d", 1 << 20));
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let dict = dict.clone();
            std::thread::spawn(move || {
                for i in 0..10_000u32 {
                    dict.increment(b"count", 1.0, Some(0.0), 0);
                    set(&dict, &(i % 100).to_be_bytes(), b"value");
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(dict.increment(b"count", 0.0, None, 0).outcome, Ok(40_000.0));
    assert_eq!(dict.len(), 101);
}

#[test]
fn a_real_clock_lets_values_expire() {
    let dict = Dict::new("d", 1 << 20);
    dict.store(b"k", Value::Number(1.0), 1, 0, Condition::Always, false);
    let begun = Instant::now();
    while dict.get(b"k", |_, _| ()).is_some() {
        assert!(begun.elapsed().as_secs() < 60, "a value of one millisecond is still there");
        std::thread::yield_now();
    }
}
