//! Puts a VM together.

use std::rc::Rc;
use std::sync::Arc;

use mlua::chunk::ChunkMode;
use mlua::prelude::*;
use mlua::{LuaOptions, StdLib};

use crate::app::Trust;
use crate::clock;
use crate::library;
use crate::vm::Core;

/// Version of nginx whose behaviour scripts can count on, as `$nginx_version` tells it.
pub(super) const NGINX_VERSION: &str = "1.27.1";

/// An empty VM with the libraries of LuaJIT that scripts of this trust see some of.
#[expect(unsafe_code, reason = "`debug` and `ffi` are unsafe in the wrong hands")]
pub(crate) fn state(trust: Trust) -> Lua {
    let libraries = match trust {
        Trust::Sandbox => {
            StdLib::TABLE
                | StdLib::OS
                | StdLib::STRING
                | StdLib::MATH
                | StdLib::PACKAGE
                | StdLib::BIT
                | StdLib::JIT
                | StdLib::DEBUG
        }
        Trust::Full => StdLib::ALL,
    };
    // With another setting the binding replaces `pcall` by a function that nothing can yield across.
    let options = LuaOptions::new().catch_rust_panics(true);
    // SAFETY: sandboxed scripts get neither `ffi` nor what of `debug` and `package` reaches into the VM (`std`); trusted ones
    // are the operator's own, and may do what the gateway may.
    unsafe { Lua::unsafe_new_with(libraries, options) }
}

/// Loads a part of the API that is written in Lua.
fn load<A: IntoLuaMulti, R: FromLuaMulti>(lua: &Lua, name: &str, source: &str, arguments: A) -> LuaResult<R> {
    lua.load(source).set_mode(ChunkMode::Text).set_name(format!("=witgate/{name}")).call(arguments)
}

/// For functions that the API in Lua raises the errors of: those that the binding raises are objects, and scripts expect texts.
pub(super) fn told(result: LuaResult<()>) -> LuaResult<Option<String>> {
    Ok(result.err().map(|error| crate::vm::describe(&error)))
}

/// Makes everything that scripts see; gives the functions that run them.
pub(crate) fn install(lua: &Lua, core: &Rc<Core>) -> LuaResult<LuaTable> {
    if clock::is_stood_in() {
        let now = lua.create_function(|_, ()| Ok(clock::time_of_day().as_secs()))?;
        let code = "local now, time, date = ..., os.time, os.date
            function os.time(t) return t and time(t) or now() end
            function os.date(form, t) return date(form, t or now()) end
            os.clock = now";
        lua.load(code).set_name("=witgate/clock").call::<()>(now)?;
    }
    let ngx = lua.create_table()?;
    ngx.set("null", LuaLightUserData(std::ptr::null_mut()))?;
    let host = super::host::table(lua, core)?;
    let dicts: Vec<_> = core.app.dicts.iter().map(|(name, dict)| (name.clone(), Arc::clone(dict))).collect();
    library::install(lua, &ngx, &dicts)?;
    super::store::install(lua, &ngx, &core.app.spec.stores)?;
    library::limit_results(lua, core.app.spec.limits.request_memory);
    let dispatcher: LuaTable = load(lua, "core", include_str!("../lua/core.lua"), &host)?;
    load::<_, ()>(lua, "ngx", include_str!("../lua/ngx.lua"), (&host, &dispatcher, &ngx))?;
    load::<_, ()>(lua, "location", include_str!("../lua/location.lua"), (&host, &dispatcher, &ngx))?;
    let package: LuaTable = lua.globals().get("package")?;
    let preload: LuaTable = package.get("preload")?;
    load::<_, ()>(lua, "socket", include_str!("../lua/socket.lua"), (&host, &dispatcher, &ngx))?;
    load::<_, ()>(lua, "waiting", include_str!("../lua/waiting.lua"), (&host, &dispatcher, &ngx, &preload))?;
    load::<_, ()>(lua, "golapis", include_str!("../lua/golapis.lua"), (&ngx, lua.globals()))?;
    let names = ngx.clone();
    super::preload(lua, &preload, "resty.lock", move |lua| load(lua, "lock", include_str!("../lua/lock.lua"), &names))?;
    lua.globals().set("ngx", &ngx)?;
    let loaded: LuaTable = package.get("loaded")?;
    let balancer: LuaTable = load(lua, "balancer", include_str!("../lua/balancer.lua"), (&host, &dispatcher))?;
    loaded.set("ngx.balancer", balancer)?;
    library::restrict(lua, core.app.spec.trust == Trust::Full)?;
    dispatcher.get::<LuaFunction>("watch_globals")?.call::<()>(())?;
    Ok(dispatcher)
}
