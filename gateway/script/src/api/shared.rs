//! `ngx.shared`: the dictionaries that scripts of all threads share.

use std::ffi::c_int;
use std::rc::Rc;
use std::sync::Arc;

use mlua::{Function, Lua, Table};

use crate::dict::{Condition, Dict, End, KEY_LIMIT, Value};
use crate::raw::{Answer, Call, Fault, Given, Outcome, function};

/// How many entries a call visits at most before the script goes on, so that one that visits many can be stopped.
const PART: usize = 1024;

/// The dictionaries of a VM by what tells their tables apart. They are few, and a list is the quickest for that.
type Known = Rc<Vec<(usize, Arc<Dict>)>>;

/// Makes `ngx.shared` of dictionaries and the names by which scripts know them.
pub(crate) fn install(lua: &Lua, ngx: &Table, dicts: &[(String, Arc<Dict>)]) -> mlua::Result<()> {
    let shared = lua.create_table()?;
    let methods = lua.create_table()?;
    let metatable = lua.create_table()?;
    metatable.raw_set("__index", &methods)?;
    let mut known = Vec::with_capacity(dicts.len());
    // They are known by their identity, so they have to live as long as the VM, whatever a script does to `ngx.shared`.
    let pinned = lua.create_table()?;
    for (name, dict) in dicts {
        let table = lua.create_table()?;
        table.set_metatable(Some(metatable.clone()))?;
        // Where OpenResty keeps the address of the memory: code that looks finds a userdata.
        table.raw_set(1, mlua::Value::NULL)?;
        known.push((table.to_pointer() as usize, dict.clone()));
        pinned.raw_push(&table)?;
        shared.raw_set(name.as_str(), table)?;
    }
    lua.set_named_registry_value("witgate.shared", pinned)?;
    let known: Known = Rc::new(known);
    for (name, method) in simple_methods(lua, &known)? {
        methods.raw_set(name, method)?;
    }
    let parts = lua.create_table()?;
    parts.raw_set("keys", keys(lua, &known)?)?;
    parts.raw_set("flush_expired", flush_expired(lua, &known)?)?;
    lua.load(include_str!("../lua/shared.lua")).set_name("=witgate/shared").call::<()>((methods, parts))?;
    ngx.raw_set("shared", shared)
}

fn simple_methods(lua: &Lua, known: &Known) -> mlua::Result<Vec<(&'static str, Function)>> {
    Ok(vec![
        ("get", get(lua, known, false)?),
        ("get_stale", get(lua, known, true)?),
        ("set", store(lua, known, Condition::Always, false)?),
        ("safe_set", store(lua, known, Condition::Always, true)?),
        ("add", store(lua, known, Condition::Absent, false)?),
        ("safe_add", store(lua, known, Condition::Absent, true)?),
        ("replace", store(lua, known, Condition::Present, false)?),
        ("delete", delete(lua, known)?),
        ("incr", incr(lua, known)?),
        ("lpush", push(lua, known, End::Left)?),
        ("rpush", push(lua, known, End::Right)?),
        ("lpop", pop(lua, known, End::Left)?),
        ("rpop", pop(lua, known, End::Right)?),
        (
            "llen",
            keyed(lua, known, |dict, key, answer| match dict.list_len(key) {
                Ok(len) => answer.number(len as f64),
                Err(refused) => answer.refusal(refused.to_string()),
            })?,
        ),
        (
            "ttl",
            keyed(lua, known, |dict, key, answer| match dict.ttl(key) {
                Some(left) => answer.number(left as f64 / 1000.0),
                None => answer.refusal("not found"),
            })?,
        ),
        ("expire", expire(lua, known)?),
        ("flush_all", whole(lua, known, |dict, _| dict.flush_all())?),
        ("capacity", whole(lua, known, |dict, answer| answer.number(dict.size() as f64))?),
        ("free_space", whole(lua, known, |dict, answer| answer.number(dict.free_space() as f64))?),
    ])
}

fn zone(known: &[(usize, Arc<Dict>)], call: &Call<'_>) -> Result<Arc<Dict>, Fault> {
    zone_ref(known, call).cloned()
}

fn zone_ref<'a>(known: &'a [(usize, Arc<Dict>)], call: &Call<'_>) -> Result<&'a Arc<Dict>, Fault> {
    let identity = call.identity(1);
    known
        .iter()
        .find(|(table, _)| *table == identity && identity != 0)
        .map(|(_, dict)| dict)
        .ok_or_else(|| Fault::new("bad \"zone\" argument"))
}

/// The key at place 2, or why there is none.
fn key<'a>(call: &Call<'a>) -> Result<&'a [u8], &'static str> {
    match call.text(2) {
        None => Err("nil key"),
        Some([]) => Err("empty key"),
        Some(key) if key.len() > KEY_LIMIT => Err("key too long"),
        Some(key) => Ok(key),
    }
}

/// A time in seconds as milliseconds.
pub(super) fn milliseconds(given: Given<'_>, complaint: &'static str) -> Result<u64, Fault> {
    match given {
        Given::Nothing | Given::Nil | Given::Boolean(false) => Ok(0),
        given => match given.number() {
            // A time beyond what fits means never to expire in this process; `as` keeps it at the largest number.
            #[expect(clippy::cast_sign_loss, reason = "not negative")]
            Some(seconds) if seconds >= 0.0 => Ok((seconds * 1000.0) as u64),
            _ => Err(Fault::new(complaint)),
        },
    }
}

fn give(value: Value<'_>, answer: &mut Answer) {
    match value {
        Value::Boolean(value) => answer.boolean(value),
        Value::Number(number) => answer.number(number),
        Value::Text(text) => answer.bytes(text),
        Value::List => answer.refusal("value is a list"),
    }
}

fn get(lua: &Lua, known: &Known, stale_too: bool) -> mlua::Result<Function> {
    let known = known.clone();
    function(lua, &[2], move |call, answer| {
        let dict = zone_ref(&known, call)?;
        let key = match key(call) {
            Ok(key) => key,
            Err(message) => return answer.refuse(message),
        };
        let found = dict.get_stale(key, |value, flags, stale| {
            if stale && !stale_too {
                return false;
            }
            give(value, answer);
            if value != Value::List {
                if flags != 0 {
                    // As C's `int`, in which nginx keeps them.
                    answer.number(f64::from(flags.cast_signed()));
                } else if stale_too {
                    answer.nil();
                }
                if stale_too {
                    answer.boolean(stale);
                }
            }
            true
        });
        if found != Some(true) {
            answer.nil();
        }
        Ok(())
    })
}

fn store(lua: &Lua, known: &Known, condition: Condition, safe: bool) -> mlua::Result<Function> {
    let known = known.clone();
    function(lua, &[2], move |call, answer| {
        let dict = zone_ref(&known, call)?;
        let lifetime = milliseconds(call.given(4), "bad \"exptime\" argument")?;
        let flags = match call.given(5) {
            Given::Nothing | Given::Nil | Given::Boolean(false) => 0,
            given => match given.number() {
                // Flags are 32 bits; C makes a negative number the same bits.
                #[expect(
                    clippy::cast_sign_loss,
                    clippy::cast_possible_truncation,
                    reason = "its bits are what is wanted"
                )]
                Some(flags) => flags as i64 as u32,
                None => return Err(Fault::new("bad \"flags\" argument")),
            },
        };
        let key = match key(call) {
            Ok(key) => key,
            Err(message) => return answer.refuse(message),
        };
        let value = match call.given(3) {
            Given::Text(text) => Value::Text(text),
            Given::Number(number) => Value::Number(number),
            Given::Boolean(value) => Value::Boolean(value),
            Given::Nothing | Given::Nil if condition == Condition::Always => {
                dict.delete(key);
                stored(answer, Ok(()), false);
                return Ok(());
            }
            Given::Nothing | Given::Nil => {
                answer.boolean(false);
                answer.bytes(b"attempt to add or replace nil values");
                answer.boolean(false);
                return Ok(());
            }
            _ => return answer.refuse("bad value type"),
        };
        let outcome = dict.store(key, value, lifetime, flags, condition, safe);
        stored(answer, outcome.outcome, outcome.forcible);
        Ok(())
    })
}

fn stored(answer: &mut Answer, outcome: Result<(), crate::dict::Refused>, forcible: bool) {
    answer.boolean(outcome.is_ok());
    match outcome {
        Ok(()) => answer.nil(),
        Err(refused) => answer.bytes(refused.to_string().as_bytes()),
    }
    answer.boolean(forcible);
}

fn delete(lua: &Lua, known: &Known) -> mlua::Result<Function> {
    keyed(lua, known, |dict, key, answer| {
        dict.delete(key);
        stored(answer, Ok(()), false);
    })
}

fn incr(lua: &Lua, known: &Known) -> mlua::Result<Function> {
    let known = known.clone();
    function(lua, &[2], move |call, answer| {
        let dict = zone_ref(&known, call)?;
        let key = match key(call) {
            Ok(key) => key,
            Err(message) => return answer.refuse(message),
        };
        let Some(by) = call.given(3).number() else {
            return Err(Fault::expected(3, "number", call.given(3)));
        };
        let initial = match call.given(4) {
            given if !given.is_true() => None,
            given => Some(
                given
                    .number()
                    .ok_or_else(|| Fault::new(format!("bad init arg: number expected, got {}", given.type_name())))?,
            ),
        };
        let lifetime = match call.given(5) {
            Given::Nothing | Given::Nil => 0,
            given if given.number().is_none() => {
                return Err(Fault::new(format!("bad init_ttl arg: number expected, got {}", given.type_name())));
            }
            given => milliseconds(given, "bad \"init_ttl\" argument")?,
        };
        if initial.is_none() && !call.given(5).is_nil() {
            return Err(Fault::new("must provide \"init\" when providing \"init_ttl\""));
        }
        let done = dict.increment(key, by, initial, lifetime);
        match done.outcome {
            Ok(sum) => {
                answer.number(sum);
                if initial.is_some() {
                    answer.nil();
                    answer.boolean(done.forcible);
                }
            }
            Err(refused) => answer.refusal(refused.to_string()),
        }
        Ok(())
    })
}

fn push(lua: &Lua, known: &Known, end: End) -> mlua::Result<Function> {
    let known = known.clone();
    function(lua, &[2], move |call, answer| {
        expect_count(call, 3)?;
        let dict = zone(&known, call)?;
        let key = match key(call) {
            Ok(key) => key,
            Err(message) => return answer.refuse(message),
        };
        let value = match call.given(3) {
            Given::Text(text) => Value::Text(text),
            Given::Number(number) => Value::Number(number),
            _ => return answer.refuse("bad value type"),
        };
        match dict.push(key, value, end) {
            Ok(len) => answer.number(len as f64),
            Err(refused) => answer.refusal(refused.to_string()),
        }
        Ok(())
    })
}

fn pop(lua: &Lua, known: &Known, end: End) -> mlua::Result<Function> {
    let known = known.clone();
    function(lua, &[2], move |call, answer| {
        expect_count(call, 2)?;
        let dict = zone(&known, call)?;
        let key = match key(call) {
            Ok(key) => key,
            Err(message) => return answer.refuse(message),
        };
        match dict.pop(key, end, |value| give(value, answer)) {
            Ok(Some(())) => {}
            Ok(None) => answer.nil(),
            Err(refused) => answer.refusal(refused.to_string()),
        }
        Ok(())
    })
}

fn expect_count(call: &Call<'_>, count: usize) -> Outcome {
    if call.count() == count {
        return Ok(());
    }
    Err(Fault::new(format!("expecting exactly {count} arguments, but only seen {}", call.count())))
}

fn expire(lua: &Lua, known: &Known) -> mlua::Result<Function> {
    let known = known.clone();
    function(lua, &[2], move |call, answer| {
        let dict = zone_ref(&known, call)?;
        if call.given(3).number().is_none() {
            return Err(Fault::new("bad \"exptime\" argument"));
        }
        let lifetime = milliseconds(call.given(3), "bad \"exptime\" argument")?;
        match key(call) {
            Ok(key) if dict.expire(key, lifetime) => answer.boolean(true),
            Ok(_) => answer.refusal("not found"),
            Err(message) => answer.refusal(message),
        }
        Ok(())
    })
}

/// A method of a dictionary and a key.
fn keyed(lua: &Lua, known: &Known, run: impl Fn(&Dict, &[u8], &mut Answer) + 'static) -> mlua::Result<Function> {
    let known = known.clone();
    function(lua, &[2], move |call, answer| {
        let dict = zone_ref(&known, call)?;
        match key(call) {
            Ok(key) => run(dict, key, answer),
            Err(message) => answer.refusal(message),
        }
        Ok(())
    })
}

/// A method of a dictionary.
fn whole(lua: &Lua, known: &Known, run: impl Fn(&Dict, &mut Answer) + 'static) -> mlua::Result<Function> {
    let known = known.clone();
    function(lua, &[], move |call, answer| {
        run(zone_ref(&known, call)?, answer);
        Ok(())
    })
}

fn natural(call: &Call<'_>, index: c_int) -> usize {
    match call.given(index) {
        #[expect(clippy::cast_sign_loss, clippy::cast_possible_truncation, reason = "cut off at the ends of the range")]
        Given::Number(number) => number as usize,
        _ => 0,
    }
}

/// `(dict, list, filled, from, most)`: appends keys to a list; gives where to go on, and how many they were.
fn keys(lua: &Lua, known: &Known) -> mlua::Result<Function> {
    let known = known.clone();
    function(lua, &[], move |call, answer| {
        let dict = zone_ref(&known, call)?;
        let (filled, from, most) = (natural(call, 3), natural(call, 4), natural(call, 5));
        answer.argument(2);
        let mut at = filled;
        let progress = dict.keys(from, PART, most, |key| {
            at += 1;
            answer.bytes(key);
            answer.element(at);
        });
        give_progress(answer, progress);
        Ok(())
    })
}

/// `(dict, from, most)`: removes entries that expired; gives where to go on, and how many they were.
fn flush_expired(lua: &Lua, known: &Known) -> mlua::Result<Function> {
    let known = known.clone();
    function(lua, &[], move |call, answer| {
        let dict = zone_ref(&known, call)?;
        let progress = dict.flush_expired(natural(call, 2), PART, natural(call, 3));
        answer.nil();
        give_progress(answer, progress);
        Ok(())
    })
}

fn give_progress(answer: &mut Answer, progress: crate::dict::Progress) {
    match progress.next {
        Some(next) => answer.number(next as f64),
        None => answer.boolean(false),
    }
    answer.number(progress.count as f64);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::results;
    use std::sync::atomic::{AtomicU64, Ordering};

    struct Bench {
        lua: Lua,
        clock: Arc<AtomicU64>,
    }

    fn bench(size: usize) -> Bench {
        let lua = Lua::new();
        let clock = Arc::new(AtomicU64::new(1));
        let ticks = clock.clone();
        let ngx = lua.create_table().unwrap();
        let dogs = Dict::with_clock("dogs", size, Arc::new(move || ticks.load(Ordering::Relaxed)));
        let cats = Dict::new("cats", size);
        install(&lua, &ngx, &[("dogs".into(), Arc::new(dogs)), ("cats".into(), Arc::new(cats))]).unwrap();
        lua.globals().set("ngx", ngx).unwrap();
        lua.load("dogs, cats = ngx.shared.dogs, ngx.shared.cats").exec().unwrap();
        Bench { lua, clock }
    }

    #[test]
    fn values_come_back_as_they_were_stored() {
        let Bench { lua, .. } = bench(1 << 20);
        for (code, expected) in [
            ("return dogs:set('n', 32), dogs:get('n')", "true nil false 32"),
            ("dogs:set('n', 3.25) local n = dogs:get('n') return n, type(n)", "3.25 number"),
            ("dogs:set('b', false) return dogs:get('b')", "false"),
            ("dogs:set(1234, 'cat') return dogs:get('1234')", "cat"),
            ("dogs:set('', 1)", ""),
            ("return dogs:set('', 1)", "nil empty key"),
            ("return dogs:set(nil, 1)", "nil nil key"),
            ("return dogs:get(nil)", "nil nil key"),
            ("return dogs:get(string.rep('a', 65536))", "nil key too long"),
            ("return dogs:set(string.rep('a', 65535), 1)", "true nil false"),
            ("return dogs:set('x', {})", "nil bad value type"),
            ("return dogs:get('none')", "nil"),
            ("dogs:set('f', 'v', 0, 199) return dogs:get('f')", "v 199"),
            ("dogs:set('f', 1) dogs:set('f', nil) return dogs:get('f')", "nil"),
            ("dogs:set('f', 1) return dogs:delete('f'), dogs:get('f')", "true nil false nil"),
            ("cats:set('f', 'c') dogs:set('f', 'd') return cats:get('f') .. dogs:get('f')", "cd"),
            ("return type(dogs)", "table"),
            ("dogs:set('e', 'hello') dogs:set('e', 'hello, world') return dogs:get('e')", "hello, world"),
        ] {
            assert_eq!(results(&lua, code), expected_of(expected), "{code}");
        }
    }

    /// A call in the middle of a list of values gives one value.
    fn expected_of(expected: &str) -> String {
        expected.replace("true nil false 32", "true 32").replace("true nil false nil", "true nil")
    }

    #[test]
    fn wrong_uses_raise_errors_at_the_line_of_the_script() {
        let Bench { lua, .. } = bench(1 << 20);
        for (code, message) in [
            ("dogs.set({1}, 'foo', 1)", "bad \"zone\" argument"),
            ("dogs.get(nil, 'foo')", "bad \"zone\" argument"),
            ("dogs.incr({1}, 'foo', 32)", "bad \"zone\" argument"),
            ("dogs:set('foo', 32, -1)", "bad \"exptime\" argument"),
            ("dogs:incr('foo', 1, 'bar')", "bad init arg: number expected, got string"),
            ("dogs:incr('foo', 1, 0, -1)", "bad \"init_ttl\" argument"),
            ("dogs:incr('foo', 1, nil, 1)", "must provide \"init\" when providing \"init_ttl\""),
            ("dogs:lpush('foo')", "expecting exactly 3 arguments, but only seen 2"),
        ] {
            assert_eq!(results(&lua, code), format!("error: case:1: {message}"), "{code}");
        }
    }

    #[test]
    fn add_and_replace_ask_whether_the_key_is_there() {
        let Bench { lua, clock } = bench(1 << 20);
        assert_eq!(results(&lua, "return dogs:add('k', 1)"), "true nil false");
        assert_eq!(results(&lua, "return dogs:add('k', 2)"), "false exists false");
        assert_eq!(results(&lua, "return dogs:safe_add('k', 2)"), "false exists false");
        assert_eq!(results(&lua, "return dogs:replace('k', 'text', 0.01)"), "true nil false");
        assert_eq!(results(&lua, "return dogs:get('k')"), "text");
        clock.fetch_add(10, Ordering::Relaxed);
        assert_eq!(results(&lua, "return dogs:replace('k', 2)"), "false not found false");
        assert_eq!(results(&lua, "return dogs:add('k', 3), dogs:get('k')"), "true 3");
        assert_eq!(results(&lua, "return dogs:add('k', nil)"), "false attempt to add or replace nil values false");
    }

    #[test]
    fn what_expired_is_gone_but_can_be_had_stale() {
        let Bench { lua, clock } = bench(1 << 20);
        results(&lua, "dogs:set('a', 32, 0.01) dogs:set('b', 33, 0.3, 7)");
        assert_eq!(results(&lua, "return dogs:ttl('a'), dogs:ttl('b'), dogs:ttl('c')"), "0.01 0.3 nil not found");
        clock.fetch_add(10, Ordering::Relaxed);
        assert_eq!(results(&lua, "return dogs:get('a')"), "nil");
        assert_eq!(results(&lua, "return dogs:ttl('a')"), "nil not found", "0 would mean that it stays");
        assert_eq!(results(&lua, "return dogs:get_stale('a')"), "32 nil true");
        assert_eq!(results(&lua, "return dogs:get_stale('b')"), "33 7 false");
        assert_eq!(results(&lua, "return dogs:expire('a', 1), dogs:get('a')"), "true 32");
        assert_eq!(results(&lua, "return dogs:expire('none', 1)"), "nil not found");
        assert_eq!(results(&lua, "dogs:flush_all() return dogs:get('b'), dogs:get_stale('b')"), "nil 33 7 true");
    }

    /// A lifetime is cut to whole milliseconds, and 0 stands for none, as in nginx.
    #[test]
    fn a_lifetime_of_less_than_a_millisecond_is_none() {
        let Bench { lua, clock } = bench(1 << 20);
        results(
            &lua,
            "dogs:set('a', 1, 0.0009) dogs:incr('b', 2, 0, 0.0009) dogs:set('c', 3, 0.01) dogs:expire('c', 0.0009)",
        );
        results(&lua, "dogs:set('d', 4, 0.0019)");
        clock.fetch_add(10, Ordering::Relaxed);
        for (key, expected) in [("a", "1 0"), ("b", "2 0"), ("c", "3 0"), ("d", "nil nil not found")] {
            let code = format!("local value = dogs:get('{key}') return value, dogs:ttl('{key}')");
            assert_eq!(results(&lua, &code), expected, "{key}");
        }
    }

    #[test]
    fn incr_counts_numbers_only() {
        let Bench { lua, clock } = bench(1 << 20);
        assert_eq!(results(&lua, "return dogs:incr('n', 2)"), "nil not found");
        assert_eq!(results(&lua, "return dogs:incr('n', 10502, 1, 0.5)"), "10503 nil false");
        assert_eq!(results(&lua, "return dogs:incr('n', 1, 1)"), "10504 nil false");
        assert_eq!(results(&lua, "return dogs:incr('n', '-0.5')"), "10503.5");
        clock.fetch_add(500, Ordering::Relaxed);
        assert_eq!(results(&lua, "return dogs:incr('n', 1)"), "nil not found");
        assert_eq!(results(&lua, "dogs:set('s', true) return dogs:incr('s', 1, 0)"), "nil not a number");
    }

    #[test]
    fn lists_have_two_ends() {
        let Bench { lua, .. } = bench(1 << 20);
        assert_eq!(results(&lua, "return dogs:lpush('l', 'a'), dogs:rpush('l', 2), dogs:lpush('l', 'b')"), "1 2 3");
        assert_eq!(results(&lua, "return dogs:get('l')"), "nil value is a list");
        assert_eq!(results(&lua, "return dogs:incr('l', 1)"), "nil not a number");
        assert_eq!(results(&lua, "return dogs:lpop('l'), dogs:rpop('l'), dogs:llen('l')"), "b 2 1");
        assert_eq!(results(&lua, "return dogs:lpop('l'), dogs:lpop('l')"), "a nil");
        assert_eq!(results(&lua, "return dogs:llen('l')"), "0");
        assert_eq!(results(&lua, "dogs:set('k', 1) return dogs:lpush('k', 1)"), "nil value not a list");
        assert_eq!(results(&lua, "return dogs:llen('k')"), "nil value not a list");
        assert_eq!(results(&lua, "return dogs:rpush('m', {})"), "nil bad value type");
    }

    #[test]
    fn a_full_dictionary_evicts_what_was_used_least_recently_or_says_no_memory() {
        let Bench { lua, .. } = bench(100 * 1024);
        let code = "for i = 1, 1000 do
                if i == 10 then dogs:get('key_1') end
                local ok, err, forcible = dogs:set('key_' .. i, string.rep(' hello', 10) .. i)
                if not ok or forcible then return ok, err, forcible, i, dogs:get('key_1') ~= nil, dogs:get('key_2') end
            end";
        assert_eq!(results(&lua, code), "true nil true 353 true nil");
        let code = "for i = 1, 1000 do
                local ok, err = cats:safe_set('key_' .. i, string.rep(' hello', 10) .. i)
                if not ok then return ok, err, i, cats:get('key_1') ~= nil end
            end";
        assert_eq!(results(&lua, code), "false no memory 353 true");
        let code = "dogs:flush_all() dogs:flush_expired() return dogs:set('big', string.rep('x', 100000))";
        assert_eq!(results(&lua, code), "false no memory false");
        assert_eq!(
            results(&lua, "dogs:set('a', 1) return dogs:set('big', string.rep('x', 100000))"),
            "false no memory true"
        );
    }

    #[test]
    fn keys_are_listed_and_what_expired_is_flushed_in_parts() {
        let Bench { lua, clock } = bench(1 << 20);
        results(&lua, "for i = 1, 3000 do dogs:set(i, i, i <= 2000 and 1 or 0) end");
        assert_eq!(results(&lua, "return #dogs:get_keys(), #dogs:get_keys(3), #dogs:get_keys(0)"), "1024 3 3000");
        let code = "local seen, sum = {}, 0
            for _, key in ipairs(dogs:get_keys(0)) do assert(not seen[key]) seen[key] = true sum = sum + key end return sum";
        assert_eq!(results(&lua, code), "4501500");
        clock.fetch_add(1000, Ordering::Relaxed);
        assert_eq!(results(&lua, "return #dogs:get_keys(0)"), "1000");
        assert_eq!(
            results(&lua, "return dogs:flush_expired(42), dogs:flush_expired(), dogs:flush_expired()"),
            "42 1958 0"
        );
        assert_eq!(results(&lua, "return #cats:get_keys(), cats:flush_expired()"), "0 0");
        assert_eq!(results(&lua, "return dogs:capacity(), dogs:free_space() < 1000000"), "1048576 true");
    }
}
