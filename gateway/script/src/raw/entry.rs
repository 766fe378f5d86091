//! Functions of Lua code that Rust code calls.

use std::ffi::c_int;

use mlua::ffi;
use mlua::{Function, Lua};

use super::call::string_at;

/// A function of the gateway's own Lua code that Rust code calls with numbers, without what the binding puts around a call.
#[derive(Debug)]
pub(crate) struct Entry {
    reference: c_int,
}

/// The first two results of an [`Entry`]: a number, and what comes with it.
#[derive(Debug, PartialEq)]
pub(crate) struct Returned {
    pub(crate) number: f64,
    pub(crate) value: ReturnedValue,
}

#[derive(Debug, PartialEq)]
pub(crate) enum ReturnedValue {
    Nothing,
    Number(f64),
    Text(String),
}

impl Entry {
    /// For as long as the VM lives.
    pub(crate) fn new(lua: &Lua, function: Function) -> mlua::Result<Self> {
        // SAFETY: it is run in protected mode; the function is on the stack and is taken from there.
        let reference: c_int = unsafe {
            lua.exec_raw(function, |state| {
                let reference = ffi::luaL_ref(state, ffi::LUA_REGISTRYINDEX);
                ffi::lua_pushinteger(state, reference.into());
            })
        }?;
        Ok(Self { reference })
    }

    /// Calls it.
    ///
    /// # Errors
    /// What it raised, as a text.
    pub(crate) fn call(&self, lua: &Lua, arguments: &[f64]) -> Result<Returned, String> {
        let count = c_int::try_from(arguments.len()).unwrap_or(c_int::MAX);
        // SAFETY: there is room on the stack, checked first; the reference is of this VM; `lua_pcall` is what catches all
        // that could be raised, and nothing before or after it raises: strings are only read where they are strings.
        lua.exec_raw_lua(|raw| unsafe {
            let state = raw.state();
            let top = ffi::lua_gettop(state);
            if ffi::lua_checkstack(state, count.saturating_add(3)) == 0 {
                return Err("stack overflow".to_owned());
            }
            ffi::lua_rawgeti_(state, ffi::LUA_REGISTRYINDEX, self.reference);
            for argument in arguments {
                ffi::lua_pushnumber(state, *argument);
            }
            let failed = ffi::lua_pcall(state, count, 2, 0) != ffi::LUA_OK;
            let text = |index| String::from_utf8_lossy(string_at(state, index)).into_owned();
            let result = if failed {
                Err(if ffi::lua_type(state, -1) == ffi::LUA_TSTRING {
                    text(-1)
                } else {
                    "an error that is no text".into()
                })
            } else {
                let value = match ffi::lua_type(state, -1) {
                    ffi::LUA_TNUMBER => ReturnedValue::Number(ffi::lua_tonumber(state, -1)),
                    ffi::LUA_TSTRING => ReturnedValue::Text(text(-1)),
                    _ => ReturnedValue::Nothing,
                };
                Ok(Returned { number: ffi::lua_tonumber(state, -2), value })
            };
            ffi::lua_settop(state, top);
            result
        })
    }
}
