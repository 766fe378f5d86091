//! What the tests of this crate share.

use std::sync::Arc;
use std::time::Duration;

use mlua::Lua;

use crate::dict::Dict;
use crate::library;

/// A VM with the library, and the dictionary `dogs` in it.
pub(crate) fn vm() -> Lua {
    with_library(Lua::new())
}

/// A VM as scripts of that trust see it.
#[expect(unsafe_code, reason = "a VM with `debug` and `ffi` can only be made so")]
pub(crate) fn vm_of(trusted: bool) -> Lua {
    // SAFETY: what is unsafe is taken away for scripts that are not trusted, and tests do no harm with it.
    let lua = with_library(unsafe { Lua::unsafe_new() });
    library::restrict(&lua, trusted).unwrap();
    lua
}

fn with_library(lua: Lua) -> Lua {
    let ngx = lua.create_table().unwrap();
    ngx.raw_set("null", mlua::Value::NULL).unwrap();
    library::install(&lua, &ngx, &[("dogs".into(), Arc::new(Dict::new("dogs", 1 << 20)))]).unwrap();
    lua.globals().set("ngx", ngx).unwrap();
    lua
}

/// What this thread has computed so far: a clock that stands while others have the processor.
#[expect(unsafe_code, reason = "a system call")]
pub(crate) fn processor_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a variable of this function.
    let known = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    assert_eq!(known, 0);
    Duration::new(u64::try_from(time.tv_sec).unwrap(), u32::try_from(time.tv_nsec).unwrap())
}

/// What a chunk returns, value by value, as `tostring` gives it; or the error.
pub(crate) fn results(lua: &Lua, code: &str) -> String {
    let run = "local chunk = ...
        local function all(ok, ...)
            if not ok then return 'error: ' .. tostring((...)) end
            local list = {...}
            for i = 1, select('#', ...) do list[i] = tostring(list[i]) end
            return table.concat(list, ' ')
        end
        return all(pcall(chunk))";
    let chunk = match lua.load(code).set_name("=case").into_function() {
        Ok(chunk) => chunk,
        Err(error) => return format!("error: {error}"),
    };
    lua.load(run).call::<mlua::LuaString>(chunk).unwrap().to_string_lossy()
}

#[track_caller]
pub(crate) fn check(lua: &Lua, code: &str, expected: &str) {
    assert_eq!(results(lua, code), expected, "{code}");
}
