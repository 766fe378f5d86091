//! `ngx.timer`.

use std::rc::Rc;

use mlua::prelude::*;

use super::wait::millis;
use crate::timer;
use crate::vm::Core;

pub(super) fn install(lua: &Lua, host: &LuaTable, core: &Rc<Core>) -> LuaResult<()> {
    let shared = Rc::clone(core);
    // Nothing, or why there is no timer.
    host.set(
        "start_timer",
        lua.create_function(move |_, (number, delay, again): (u64, f64, bool)| {
            Ok(timer::start(&shared, number, millis(delay), again).err())
        })?,
    )?;
    let shared = Rc::clone(core);
    host.set("timer_counts", lua.create_function(move |_, ()| Ok(shared.timers.counts()))?)?;
    let shared = Rc::clone(core);
    host.set(
        "set_fire",
        lua.create_function(move |_, fire: LuaFunction| {
            *shared.timers.fire.borrow_mut() = Some(fire);
            Ok(())
        })?,
    )
}
