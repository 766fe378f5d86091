//! All of the API that needs no request, no I/O and no scheduler.

use std::sync::Arc;

use mlua::{Lua, Table};

use crate::api;
use crate::dict::Dict;

/// Puts it into a VM: functions into the table `ngx`, modules where `require` looks for them (`package.preload`),
/// dictionaries by the names that scripts know them by.
pub fn install(lua: &Lua, ngx: &Table, dicts: &[(String, Arc<Dict>)]) -> mlua::Result<()> {
    let preload: Table = lua.globals().get::<Table>("package")?.get("preload")?;
    api::pattern::install(lua)?;
    api::encoding::install(lua, ngx, &preload)?;
    api::digest::install(lua, ngx, &preload)?;
    api::json::install(lua, &preload)?;
    api::re::install(lua, ngx, &preload)?;
    api::resty_core::install(lua, ngx, &preload)?;
    api::time::install(lua, ngx, &preload)?;
    api::shared::install(lua, ngx, dicts)
}

/// Takes away what of LuaJIT's own libraries scripts are not to have, and bounds what of the rest could run for long. Has to be
/// the last that is put into a VM: code of the gateway that is loaded before keeps what it has taken.
///
/// Trusted scripts keep `ffi`, `io`, `os`, `debug` and bytecode.
pub fn restrict(lua: &Lua, trusted: bool) -> mlua::Result<()> {
    api::builtin::restrict(lua, trusted)
}

/// Limits how many bytes the results of one call of the library may have together. They are gathered outside of the VM,
/// whose own limit does not see them, so this should not be above it.
pub fn limit_results(lua: &Lua, bytes: usize) {
    crate::raw::set_result_limit(lua, bytes);
}
