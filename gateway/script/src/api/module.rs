//! What `require` finds: files that were read with the configuration.

use std::rc::Rc;

use mlua::chunk::ChunkMode;
use mlua::prelude::*;

use crate::vm::{Core, describe};

pub(super) fn install(lua: &Lua, host: &LuaTable, core: &Rc<Core>) -> LuaResult<()> {
    let app = Rc::clone(core);
    // The chunk of a module; nothing if there is no such module, and a message besides if it cannot be compiled.
    host.set(
        "module",
        lua.create_function(move |lua, name: LuaString| {
            let Some(chunk) = name.to_str().ok().and_then(|name| app.app.spec.modules.get(&*name)) else {
                return Ok((None, None, None));
            };
            let loaded = lua.load(&*chunk.source).set_mode(ChunkMode::Text).set_name(&chunk.name).into_function();
            Ok(match loaded {
                Ok(function) => (Some(function), Some(chunk.name.trim_start_matches('@').to_owned()), None),
                Err(error) => (None, None, Some(describe(&error))),
            })
        })?,
    )?;
    let paths = core.app.spec.module_paths.iter().map(|path| {
        let path = path.display();
        format!("{path}/?.lua;{path}/?/init.lua")
    });
    host.set("package_path", paths.collect::<Vec<_>>().join(";"))?;
    let native = core.app.spec.native_paths.iter().map(|path| format!("{}/?.so", path.display()));
    host.set("package_cpath", native.collect::<Vec<_>>().join(";"))
}
