//! `ngx.worker`: proxy threads are what nginx's workers are to scripts.

use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};

use mlua::prelude::*;

use crate::vm::Core;

pub(super) fn install(lua: &Lua, host: &LuaTable, core: &Rc<Core>) -> LuaResult<()> {
    host.set("pid", std::process::id())?;
    let shared = Rc::clone(core);
    host.set("worker_id", lua.create_function(move |_, ()| Ok(number() % shared.app.workers.max(1)))?)?;
    let shared = Rc::clone(core);
    host.set("is_exiting", lua.create_function(move |_, ()| Ok(shared.timers.is_over() || shared.app.is_retired()))?)
}

/// Of this thread, among those that have asked.
fn number() -> usize {
    static NUMBERS: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static OWN: usize = NUMBERS.fetch_add(1, Ordering::Relaxed);
    }
    OWN.with(|own| *own)
}
