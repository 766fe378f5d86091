//! The Lua tables that scripts see, one file for each theme, and their parts in Lua in `../lua`.

pub(crate) mod builtin;
pub(crate) mod digest;
pub(crate) mod encoding;
mod host;
pub(crate) mod install;
pub(crate) mod json;
mod location;
pub(crate) mod log;
mod module;
mod output;
pub(crate) mod pattern;
pub(crate) mod re;
mod request;
pub(crate) mod resty_core;
pub(crate) mod shared;
mod socket;
mod store;
mod text;
pub(crate) mod time;
mod timer;
mod var;
mod wait;
mod worker;

use std::rc::Rc;

use mlua::{Lua, Table, Value};

use crate::phase::{Moment, Phase};
use crate::raw::Fault;
use crate::request::Request;
use crate::vm::Core;

pub(crate) use text::{number_into, number_text};

/// The version of lua-resty-core whose modules are stood in for.
pub(crate) const CORE_VERSION: &str = "0.1.27";

/// Where a function can be called.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scope {
    /// The bits of the phases.
    phases: u8,
    timers: bool,
    /// It is about a request: what runs without one is told so in other words, as in OpenResty.
    about_request: bool,
}

/// Functions that see the request.
pub(crate) const SEES_REQUEST: Scope = Scope { phases: u8::MAX, timers: false, about_request: true };
/// Functions that change it.
pub(crate) const CHANGES_REQUEST: Scope = Scope { phases: !Phase::Log.bit(), timers: false, about_request: true };
/// Functions that make the response.
pub(crate) const RESPONDS: Scope = Scope {
    phases: Phase::Rewrite.bit() | Phase::Access.bit() | Phase::Content.bit(),
    timers: false,
    about_request: false,
};
/// Functions that may have to wait.
pub(crate) const WAITS: Scope = Scope { timers: true, ..RESPONDS };

/// The request that a function runs for, which may be called only in this scope. As `core.only_in` in Lua.
pub(crate) fn request_in(core: &Core, scope: Scope) -> Result<Rc<Request>, Fault> {
    let request = core.request().map_err(|_| Fault::new("no request found"))?;
    let name = match request.moment.get() {
        Moment::Phase(phase) if scope.phases & phase.bit() != 0 => return Ok(request),
        Moment::Timer if scope.timers => return Ok(request),
        Moment::Timer if scope.about_request => return Err(Fault::new("API disabled in the current context")),
        Moment::Timer => return Err(Fault::new("API disabled in the context of ngx.timer")),
        Moment::Phase(phase) => phase.name(),
        Moment::Init => "init",
        Moment::InitWorker => "init_worker",
        Moment::Nothing => return Err(Fault::new("no request found")),
    };
    Err(Fault::new(format!("API disabled in the context of {name}_by_lua*")))
}

/// Lets `require` find a module, which is made when it is first wanted.
pub(crate) fn preload(
    lua: &Lua,
    preload: &Table,
    name: &str,
    make: impl Fn(&Lua) -> mlua::Result<Table> + 'static,
) -> mlua::Result<()> {
    preload.raw_set(name, lua.create_function(move |lua, _: Value| make(lua))?)
}
