//! Host functions that the parts of the API in Lua are made from. Scripts do not see this table.

use std::rc::Rc;

use mlua::prelude::*;

use crate::vm::Core;

pub(crate) fn table(lua: &Lua, core: &Rc<Core>) -> LuaResult<LuaTable> {
    let host = lua.create_table()?;
    // What coroutines yield to wait for an operation.
    host.set("wait", lua.create_table()?)?;
    host.set("coroutines_limit", core.app.spec.limits.coroutines)?;
    host.set("workers", core.app.workers)?;
    host.set("core_version", super::CORE_VERSION)?;
    host.set("lua_name", &*core.app.spec.name)?;
    host.set("trusted", core.app.spec.trust == crate::Trust::Full)?;
    let shared = Rc::clone(core);
    host.set(
        "cancel",
        lua.create_function(move |_, operation: u64| {
            shared.request()?.cancel(operation);
            Ok(())
        })?,
    )?;
    let shared = Rc::clone(core);
    let results = crate::raw::function(lua, &[], move |_, answer| {
        shared.results(answer);
        Ok(())
    })?;
    host.set("results", results)?;
    super::location::install(lua, &host, core)?;
    super::log::install(lua, &host, core)?;
    super::module::install(lua, &host, core)?;
    super::output::install(lua, &host, core)?;
    super::request::install(lua, &host, core)?;
    super::socket::install(lua, &host, core)?;
    super::timer::install(lua, &host, core)?;
    super::var::install(lua, &host, core)?;
    super::wait::install(lua, &host, core)?;
    super::worker::install(lua, &host, core)?;
    Ok(host)
}
