//! `ngx.shared["kv:NAME"]`: what a plugin keeps, under the methods of dictionaries that mean something there. Values are texts,
//! and numbers are counted as decimal integers, as the plugin sees them.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use mlua::{Function, Lua, Table};
use witgate_stage::{Store, StoreRefusal, StoreWhen};

use super::shared::milliseconds;
use crate::app::Stores;
use crate::raw::{Answer, Call, Fault, Given, Outcome, function};

/// The stores of a VM by what tells their tables apart, with their names.
type Known = Rc<Vec<(usize, String, Arc<dyn Store>)>>;

/// Methods of dictionaries that plugins' stores do not have, and what stands in the way.
const REFUSED: [(&str, &str); 11] = [
    ("lpush", "it has no lists"),
    ("rpush", "it has no lists"),
    ("lpop", "it has no lists"),
    ("rpop", "it has no lists"),
    ("llen", "it has no lists"),
    ("get_stale", "what has expired is gone"),
    ("get_keys", "only who stores knows the keys"),
    ("flush_all", "the plugin's own keys would go, too"),
    ("flush_expired", "what has expired is gone"),
    ("capacity", "it is bounded by its number of keys as well"),
    ("free_space", "it is bounded by its number of keys as well"),
];

/// Adds stores to `ngx.shared`.
pub(crate) fn install(lua: &Lua, ngx: &Table, stores: &Stores) -> mlua::Result<()> {
    if stores.is_empty() {
        return Ok(());
    }
    let shared: Table = ngx.get("shared")?;
    let (methods, metatable) = (lua.create_table()?, lua.create_table()?);
    metatable.raw_set("__index", &methods)?;
    // Known by their identity, so they live as long as the VM.
    let pinned = lua.create_table()?;
    let mut known = Vec::with_capacity(stores.len());
    for (name, store) in stores.iter() {
        let table = lua.create_table()?;
        table.set_metatable(Some(metatable.clone()))?;
        let name = format!("kv:{name}");
        shared.raw_set(name.as_str(), &table)?;
        known.push((table.to_pointer() as usize, name, Arc::clone(store)));
        pinned.raw_push(table)?;
    }
    lua.set_named_registry_value("witgate.stores", pinned)?;
    let known: Known = Rc::new(known);
    methods.raw_set("get", get(lua, &known)?)?;
    for name in ["set", "safe_set"] {
        methods.raw_set(name, set(lua, &known, StoreWhen::Always)?)?;
    }
    for name in ["add", "safe_add"] {
        methods.raw_set(name, set(lua, &known, StoreWhen::Absent)?)?;
    }
    methods.raw_set("replace", set(lua, &known, StoreWhen::Present)?)?;
    methods.raw_set("delete", delete(lua, &known)?)?;
    methods.raw_set("incr", incr(lua, &known)?)?;
    methods.raw_set("ttl", ttl(lua, &known)?)?;
    methods.raw_set("expire", expire(lua, &known)?)?;
    for (name, reason) in REFUSED {
        let known = Rc::clone(&known);
        let refuse = function(lua, &[], move |call, _| {
            let (store, _) = of(&known, call)?;
            Err(Fault::new(format!("{name} is not there for ngx.shared[\"{store}\"], a plugin's store: {reason}")))
        })?;
        methods.raw_set(name, refuse)?;
    }
    Ok(())
}

fn of<'k>(known: &'k Known, call: &Call<'_>) -> Result<(&'k str, &'k dyn Store), Fault> {
    let identity = call.identity(1);
    let found = known.iter().find(|(table, ..)| *table == identity && identity != 0);
    found.map(|(_, name, store)| (name.as_str(), &**store)).ok_or_else(|| Fault::new("bad \"zone\" argument"))
}

/// The key at place 2, or why there is none.
fn key<'a>(call: &Call<'a>) -> Result<&'a str, &'static str> {
    match call.text(2) {
        None => Err("nil key"),
        Some([]) => Err("empty key"),
        Some(key) => std::str::from_utf8(key).map_err(|_| "the key is not UTF-8, as keys of plugins are"),
    }
}

/// A lifetime in seconds; none, or 0: it stays.
fn lifetime(given: Given<'_>, complaint: &'static str) -> Result<Option<Duration>, Fault> {
    Ok(Some(milliseconds(given, complaint)?).filter(|time| *time > 0).map(Duration::from_millis))
}

fn get(lua: &Lua, known: &Known) -> mlua::Result<Function> {
    let known = Rc::clone(known);
    function(lua, &[2], move |call, answer| {
        let (_, store) = of(&known, call)?;
        match key(call) {
            Err(message) => return answer.refuse(message),
            Ok(key) => match store.get(key) {
                Some(value) => answer.bytes(&value),
                None => answer.nil(),
            },
        }
        Ok(())
    })
}

fn stored(answer: &mut Answer, outcome: Result<(), StoreRefusal>) -> Outcome {
    answer.boolean(outcome.is_ok());
    match outcome {
        Ok(()) => answer.nil(),
        Err(refusal) => answer.bytes(refusal.to_string().as_bytes()),
    }
    // Nothing is evicted for it.
    answer.boolean(false);
    Ok(())
}

fn set(lua: &Lua, known: &Known, when: StoreWhen) -> mlua::Result<Function> {
    let known = Rc::clone(known);
    function(lua, &[2], move |call, answer| {
        let (_, store) = of(&known, call)?;
        let lifetime = lifetime(call.given(4), "bad \"exptime\" argument")?;
        if !matches!(call.given(5), Given::Nothing | Given::Nil | Given::Number(0.0)) {
            return Err(Fault::new("bad \"flags\" argument: values of plugins have none"));
        }
        let key = match key(call) {
            Ok(key) => key,
            Err(message) => return answer.refuse(message),
        };
        match call.given(3) {
            Given::Text(text) => stored(answer, store.set(key, text, lifetime, when)),
            Given::Number(number) => {
                stored(answer, store.set(key, super::number_text(number).as_bytes(), lifetime, when))
            }
            Given::Nothing | Given::Nil if when == StoreWhen::Always => {
                store.delete(key);
                stored(answer, Ok(()))
            }
            _ => answer.refuse("bad value type: values of plugins are texts"),
        }
    })
}

fn delete(lua: &Lua, known: &Known) -> mlua::Result<Function> {
    let known = Rc::clone(known);
    function(lua, &[2], move |call, answer| {
        let (_, store) = of(&known, call)?;
        match key(call) {
            Ok(key) => {
                store.delete(key);
                stored(answer, Ok(()))
            }
            Err(message) => answer.refuse(message),
        }
    })
}

/// A whole number that a double holds exactly.
fn whole(given: Given<'_>) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    #[expect(clippy::cast_possible_truncation, reason = "whole and within bounds")]
    given.number().filter(|number| number.fract() == 0.0 && number.abs() <= EXACT).map(|number| number as i64)
}

fn incr(lua: &Lua, known: &Known) -> mlua::Result<Function> {
    let known = Rc::clone(known);
    function(lua, &[2], move |call, answer| {
        let (_, store) = of(&known, call)?;
        let expected = |place, got| Fault::expected(place, "whole number", got);
        let by = whole(call.given(3)).ok_or_else(|| expected(3, call.given(3)))?;
        let initial = match call.given(4) {
            given if !given.is_true() => None,
            given => Some(whole(given).ok_or_else(|| expected(4, given))?),
        };
        let lifetime = lifetime(call.given(5), "bad \"init_ttl\" argument")?;
        if initial.is_none() && !call.given(5).is_nil() {
            return Err(Fault::new("must provide \"init\" when providing \"init_ttl\""));
        }
        let key = match key(call) {
            Ok(key) => key,
            Err(message) => return answer.refuse(message),
        };
        match store.increment(key, by, initial.map(|initial| (initial, lifetime))) {
            Ok(sum) => {
                answer.number(sum as f64);
                if initial.is_some() {
                    answer.nil();
                    answer.boolean(false);
                }
            }
            Err(refusal) => answer.refusal(refusal.to_string()),
        }
        Ok(())
    })
}

fn ttl(lua: &Lua, known: &Known) -> mlua::Result<Function> {
    let known = Rc::clone(known);
    function(lua, &[2], move |call, answer| {
        let (_, store) = of(&known, call)?;
        match key(call) {
            Err(message) => answer.refusal(message),
            Ok(key) => match store.lifetime(key) {
                // Above 0 as long as it lives, for 0 says that it never expires.
                Some(Some(left)) => answer.number(left.as_millis().max(1) as f64 / 1000.0),
                Some(None) => answer.number(0.0),
                None => answer.refusal(StoreRefusal::NotFound.to_string()),
            },
        }
        Ok(())
    })
}

fn expire(lua: &Lua, known: &Known) -> mlua::Result<Function> {
    let known = Rc::clone(known);
    function(lua, &[2], move |call, answer| {
        let (_, store) = of(&known, call)?;
        if call.given(3).number().is_none() {
            return Err(Fault::new("bad \"exptime\" argument"));
        }
        let lifetime = lifetime(call.given(3), "bad \"exptime\" argument")?;
        match key(call) {
            Ok(key) if store.expire(key, lifetime) => answer.boolean(true),
            Ok(_) => answer.refusal(StoreRefusal::NotFound.to_string()),
            Err(message) => answer.refusal(message),
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use parking_lot::Mutex;

    use super::*;
    use crate::testing::{check, vm};

    type Entry = (Vec<u8>, Option<Duration>);

    /// Values with their lifetimes, which do not pass.
    #[derive(Debug, Default)]
    struct Plain(Mutex<BTreeMap<String, Entry>>);

    impl Store for Plain {
        fn get(&self, key: &str) -> Option<Vec<u8>> {
            self.0.lock().get(key).map(|(value, _)| value.clone())
        }

        fn set(
            &self,
            key: &str,
            value: &[u8],
            lifetime: Option<Duration>,
            when: StoreWhen,
        ) -> Result<(), StoreRefusal> {
            let mut entries = self.0.lock();
            match (when, entries.contains_key(key)) {
                (StoreWhen::Absent, true) => return Err(StoreRefusal::Exists),
                (StoreWhen::Present, false) => return Err(StoreRefusal::NotFound),
                _ if value.len() > 10 => return Err(StoreRefusal::TooLarge),
                _ if entries.len() > 4 => return Err(StoreRefusal::Full),
                _ => {}
            }
            entries.insert(key.to_owned(), (value.to_vec(), lifetime));
            Ok(())
        }

        fn delete(&self, key: &str) {
            self.0.lock().remove(key);
        }

        fn increment(&self, key: &str, by: i64, initial: Option<(i64, Option<Duration>)>) -> Result<i64, StoreRefusal> {
            let mut entries = self.0.lock();
            let (old, lifetime) = match entries.get(key) {
                Some((value, lifetime)) => {
                    let text = std::str::from_utf8(value).unwrap_or_default();
                    (text.parse().map_err(|_| StoreRefusal::NotANumber)?, *lifetime)
                }
                None => initial.ok_or(StoreRefusal::NotFound)?,
            };
            entries.insert(key.to_owned(), ((old + by).to_string().into_bytes(), lifetime));
            Ok(old + by)
        }

        fn lifetime(&self, key: &str) -> Option<Option<Duration>> {
            self.0.lock().get(key).map(|(_, lifetime)| *lifetime)
        }

        fn expire(&self, key: &str, lifetime: Option<Duration>) -> bool {
            self.0.lock().get_mut(key).map(|entry| entry.1 = lifetime).is_some()
        }
    }

    #[test]
    fn what_a_plugin_keeps_is_a_dictionary_of_texts() {
        let lua = vm();
        let store = Arc::new(Plain::default());
        let ngx: Table = lua.globals().get("ngx").unwrap();
        let stores = Stores(BTreeMap::from([("auth".to_owned(), Arc::clone(&store) as Arc<dyn Store>)]));
        install(&lua, &ngx, &stores).unwrap();
        lua.load("kv = ngx.shared['kv:auth']").exec().unwrap();
        store.set("seen", b"by \xffplugin", None, StoreWhen::Always).unwrap();
        for (code, expected) in [
            ("return kv:get('seen') == 'by \\255plugin', kv:get('none')", "true nil"),
            ("return kv:set('n', 5)", "true nil false"),
            ("return kv:get('n'), type(kv:get('n'))", "5 string"),
            ("return kv:incr('n', 2)", "7"),
            ("return kv:incr('n', -1, 100, 1)", "6 nil false"),
            ("return kv:incr('m', 1)", "nil not found"),
            ("return kv:incr('m', 1, 41, 2.5), kv:ttl('m')", "42 2.5"),
            ("return kv:incr('seen', 1)", "nil not a number"),
            ("return kv:expire('m', 0), kv:ttl('m')", "true 0"),
            ("return kv:ttl('none')", "nil not found"),
            ("return kv:expire('none', 1)", "nil not found"),
            ("return kv:add('n', 'x')", "false exists false"),
            ("return kv:replace('none', 'x')", "false not found false"),
            ("return kv:safe_add('a', 'x', 1), kv:replace('a', 'y'), kv:get('a')", "true true y"),
            ("return kv:set('a', nil), kv:get('a')", "true nil"),
            ("return kv:delete('m'), kv:get('m')", "true nil"),
            ("return kv:set('a', 'longer than it is')", "false the key or the value is too long false"),
            ("return kv:set('b', true)", "nil bad value type: values of plugins are texts"),
            ("return kv:add('b', nil)", "nil bad value type: values of plugins are texts"),
            ("return kv:get('\\255')", "nil the key is not UTF-8, as keys of plugins are"),
            ("return kv:get('')", "nil empty key"),
            ("return kv:get()", "nil nil key"),
            (
                "for i = 1, 9 do local ok, err, forcible = kv:set('key' .. i, '') if not ok then return err, forcible end end",
                "no memory false",
            ),
        ] {
            check(&lua, code, expected);
        }
        assert_eq!(store.get("n"), Some(b"6".to_vec()));
    }

    #[test]
    fn what_a_plugins_store_has_not_says_so() {
        let lua = vm();
        let ngx: Table = lua.globals().get("ngx").unwrap();
        let store: Arc<dyn Store> = Arc::new(Plain::default());
        install(&lua, &ngx, &Stores(BTreeMap::from([("auth".to_owned(), store)]))).unwrap();
        lua.load("kv = ngx.shared['kv:auth']").exec().unwrap();
        for (code, message) in [
            ("kv:lpush('l', 1)", "lpush is not there for ngx.shared[\"kv:auth\"], a plugin's store: it has no lists"),
            ("kv:set('a', 'b', 0, 7)", "bad \"flags\" argument: values of plugins have none"),
            ("kv:set('a', 'b', -1)", "bad \"exptime\" argument"),
            ("kv:incr('a', 1, nil, 1)", "must provide \"init\" when providing \"init_ttl\""),
            ("kv.get(ngx.shared.dogs, 'a')", "bad \"zone\" argument"),
            ("ngx.shared.dogs.get(kv, 'a')", "bad \"zone\" argument"),
            ("kv:incr('a', 0.5)", "bad argument #2 to 'incr' (whole number expected, got number)"),
        ] {
            check(&lua, code, &format!("error: case:1: {message}"));
        }
        let dictionary = "for name in pairs(getmetatable(ngx.shared.dogs).__index) do assert(kv[name], name) end";
        check(&lua, dictionary, "");
    }
}
