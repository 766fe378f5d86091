//! `ngx.sleep`, and what semaphores wait by.

use std::rc::Rc;
use std::time::Duration;

use mlua::prelude::*;

use crate::clock::{self, Patience};
use crate::request::results;
use crate::vm::Core;

/// Longest time that can be waited for: beyond a year nobody means what they say.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// A time that a script gives in milliseconds.
pub(super) fn millis(value: f64) -> Duration {
    Duration::try_from_secs_f64(value / 1000.0)
        .map_or(if value > 0.0 { LONGEST } else { Duration::ZERO }, |time| time.min(LONGEST))
}

pub(super) fn install(lua: &Lua, host: &LuaTable, core: &Rc<Core>) -> LuaResult<()> {
    let shared = Rc::clone(core);
    host.set(
        "sleep",
        lua.create_function(move |_, time: f64| {
            let time = millis(time);
            Ok(shared.request()?.begin(async move {
                if time.is_zero() {
                    tokio::task::yield_now().await;
                } else {
                    clock::sleep(time, Patience::Goes).await;
                }
                results(|_| ())
            }))
        })?,
    )?;
    let shared = Rc::clone(core);
    // The number to ring by, and the operation, which gives whether it was rung in time.
    host.set(
        "listen",
        lua.create_function(move |_, time: f64| {
            let mut listener = shared.bells.listen();
            let number = listener.number;
            let deadlines = Rc::clone(&shared.deadlines);
            let operation = shared.request()?.begin(async move {
                let heard = clock::timeout(&deadlines, millis(time), listener.heard()).await.unwrap_or(false);
                results(move |answer| answer.boolean(heard))
            });
            Ok((number, operation))
        })?,
    )?;
    let shared = Rc::clone(core);
    host.set("is_listening", lua.create_function(move |_, number: u64| Ok(shared.bells.is_waiting(number)))?)?;
    let shared = Rc::clone(core);
    host.set("ring", lua.create_function(move |_, number: u64| Ok(shared.bells.ring(number)))?)
}
