//! `ngx.log`, `print`, and what the gateway says of light threads.

use std::rc::Rc;
use std::time::Instant;

use mlua::prelude::*;
use tracing::{debug, error, info, warn};
use witgate_stage::FAILURE_LINES;

use crate::vm::Core;

/// Longest line: nginx cuts at 2 KiB, and tracebacks are longer.
const LINE_LIMIT: usize = 8 * 1024;

pub(super) fn install(lua: &Lua, host: &LuaTable, core: &Rc<Core>) -> LuaResult<()> {
    let shared = Rc::clone(core);
    host.set(
        "log",
        lua.create_function(move |_, (level, text): (i64, LuaString)| {
            log(&shared, level, &text.as_bytes());
            Ok(())
        })?,
    )?;
    let shared = Rc::clone(core);
    host.set(
        "log_thread",
        lua.create_function(move |_, text: LuaString| {
            log_failure(&shared, &text.as_bytes());
            Ok(())
        })?,
    )
}

/// Says that something failed which a script left running: a traceback, and not more of them than a log can take.
pub(crate) fn log_failure(core: &Core, text: &[u8]) {
    let Some(dropped) = FAILURE_LINES.admit(Instant::now()) else { return };
    if dropped > 0 {
        warn!(target: "witgate::script", dropped, "failures were not logged: there were too many in a second");
    }
    log(core, 4, text);
}

/// Levels as in nginx: from 0 (`ngx.STDERR`) to 8 (`ngx.DEBUG`).
pub(crate) fn log(core: &Core, level: i64, text: &[u8]) {
    let text = text.get(..LINE_LIMIT).unwrap_or(text);
    let text = String::from_utf8_lossy(text);
    let lua = &*core.app.spec.name;
    let request = core.request().ok();
    let about = request.as_ref().and_then(|request| {
        let known = request.exchange(|exchange| (exchange.id.clone(), exchange.route.clone())).ok()?;
        Some((known.0, known.1, request.script.borrow().clone()))
    });
    let (request_id, route, script) = match &about {
        Some((id, route, script)) => (Some(&**id), Some(&**route), script.as_deref()),
        None => (None, None, None),
    };
    let context =
        request.as_ref().filter(|request| request.moment.get() == crate::phase::Moment::Timer).map(|_| "ngx.timer");
    // What the gateway's own levels do not tell apart.
    let severity = match level {
        ..=0 => Some("stderr"),
        1 => Some("emerg"),
        2 => Some("alert"),
        3 => Some("crit"),
        6 => Some("notice"),
        _ => None,
    };
    match level {
        ..=4 => error!(target: "witgate::script", request_id, route, script, lua, context, severity, "{text}"),
        5 => warn!(target: "witgate::script", request_id, route, script, lua, context, "{text}"),
        6 | 7 => info!(target: "witgate::script", request_id, route, script, lua, context, severity, "{text}"),
        _ => debug!(target: "witgate::script", request_id, route, script, lua, context, "{text}"),
    }
}
