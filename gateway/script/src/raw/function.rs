//! Functions of Rust code that Lua code calls.

use std::any::Any;
use std::cell::UnsafeCell;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use mlua::ffi;
use mlua::{Function, Lua};

use super::answer::{Answer, Fault, Outcome, Place, Step};
use super::call::{Call, string_at};

/// How many calls can be unfinished at once. More than one is only possible where a finalizer calls a function while
/// another one returns its results.
const CALLS: usize = 8;
/// How many tables can be open at once while results are returned.
const DEPTH_LIMIT: usize = 6000;

/// What the functions of a VM share.
struct Host {
    calls: Box<UnsafeCell<Vec<Answer>>>,
    contexts: UnsafeCell<Vec<Box<dyn Any>>>,
}

struct Context<F> {
    function: F,
    calls: *mut Vec<Answer>,
    arguments: Arguments,
}

/// What is made of arguments before a function sees them.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Arguments {
    /// Places of those that reach it as strings, as `tostring` makes them; `nil` stays as it is. Of those whose places are
    /// negative only numbers become strings, as Lua's own functions take them.
    pub texts: &'static [c_int],
    /// Fields whose values the function wants if the last argument is a table: see [`Call::field`].
    pub fields: &'static [&'static CStr],
}

/// Limits how many bytes the results of one call may have together.
pub(crate) fn set_result_limit(lua: &Lua, bytes: usize) {
    prepare(lua);
    if let Some(host) = lua.app_data_ref::<Host>() {
        // SAFETY: no call is under way while Rust code outside of functions has the VM, and nothing else refers to these.
        for answer in unsafe { &mut *host.calls.get() } {
            answer.limit = bytes;
        }
    }
}

fn prepare(lua: &Lua) {
    if lua.app_data_ref::<Host>().is_none() {
        let answers = (0..CALLS).map(|_| Answer::new()).collect();
        lua.set_app_data(Host { calls: Box::new(UnsafeCell::new(answers)), contexts: UnsafeCell::new(Vec::new()) });
    }
}

/// Makes a function of `run`; `texts`: see [`Arguments`].
pub(crate) fn function<F>(lua: &Lua, texts: &'static [c_int], run: F) -> mlua::Result<Function>
where
    F: for<'a> FnMut(&Call<'a>, &mut Answer) -> Outcome + 'static,
{
    function_with(lua, texts, (), run)
}

/// As [`function`], of a function that can return the values `kept`, too.
pub(crate) fn function_with<F>(
    lua: &Lua,
    texts: &'static [c_int],
    kept: impl mlua::IntoLuaMulti,
    run: F,
) -> mlua::Result<Function>
where
    F: for<'a> FnMut(&Call<'a>, &mut Answer) -> Outcome + 'static,
{
    function_of(lua, Arguments { texts, ..Arguments::default() }, kept, run)
}

/// As [`function_with`], with more to be made of the arguments.
pub(crate) fn function_of<F>(
    lua: &Lua,
    arguments: Arguments,
    kept: impl mlua::IntoLuaMulti,
    run: F,
) -> mlua::Result<Function>
where
    F: for<'a> FnMut(&Call<'a>, &mut Answer) -> Outcome + 'static,
{
    prepare(lua);
    let host = lua.app_data_ref::<Host>().ok_or_else(|| mlua::Error::runtime("the VM is being closed"))?;
    let mut context = Box::new(Context { function: run, calls: host.calls.get(), arguments });
    let address: *mut Context<F> = &mut *context;
    // SAFETY: the list is only touched here, where no reference to it outlives the statement. A context stays at its address
    // until the VM is closed: app data is dropped after that.
    unsafe { (*host.contexts.get()).push(context) };
    drop(host);
    // SAFETY: it is run in protected mode, so whatever raises becomes an error; the address is the first upvalue.
    unsafe {
        lua.exec_raw(kept, |state| {
            let count = ffi::lua_gettop(state);
            ffi::lua_pushlightuserdata(state, address.cast());
            ffi::lua_insert(state, -1 - count);
            ffi::lua_pushcclosure(state, trampoline::<F>, count + 1);
        })
    }
}

enum Ended {
    Done(*mut Answer),
    Failed(*mut Answer, Place),
    Crowded,
}

unsafe extern "C-unwind" fn trampoline<F>(state: *mut ffi::lua_State) -> c_int
where
    F: for<'a> FnMut(&Call<'a>, &mut Answer) -> Outcome + 'static,
{
    // SAFETY: the first upvalue is the address of the context, which lives as long as the VM. What raises does so while
    // nothing in this frame or above wants to be dropped. `attempt` raises nothing.
    unsafe {
        let context = ffi::lua_touserdata(state, ffi::lua_upvalueindex(1)).cast::<Context<F>>();
        for index in (*context).arguments.texts {
            coerce(state, *index);
        }
        let fields = push_fields(state, (*context).arguments.fields);
        match attempt(context, state, fields) {
            Ended::Done(answer) => finish(state, answer),
            Ended::Failed(answer, place) => fail(state, answer, place),
            Ended::Crowded => raise(state, b"too many calls of functions of the gateway within finalizers"),
        }
    }
}

/// # Safety
/// As for a C function that Lua calls.
unsafe fn coerce(state: *mut ffi::lua_State, index: c_int) {
    // SAFETY: as for every C function; the stack has room for a few values.
    unsafe {
        match ffi::lua_type(state, index.abs()) {
            ffi::LUA_TSTRING | ffi::LUA_TNONE | ffi::LUA_TNIL => {}
            ffi::LUA_TNUMBER => {
                ffi::lua_tolstring(state, index.abs(), ptr::null_mut());
            }
            _ if index < 0 => {}
            _ => {
                ffi::luaL_tolstring(state, index, ptr::null_mut());
                ffi::lua_replace(state, index);
            }
        }
    }
}

/// Pushes the values of these fields of the last argument, if that is a table; how many there are.
///
/// # Safety
/// As for a C function that Lua calls.
unsafe fn push_fields(state: *mut ffi::lua_State, fields: &'static [&'static CStr]) -> c_int {
    // SAFETY: as for every C function; the stack has room for a few values.
    unsafe {
        if fields.is_empty() {
            return 0;
        }
        let table = ffi::lua_gettop(state);
        // Without arguments there is nothing on the stack to ask about.
        if table == 0 || ffi::lua_type(state, table) != ffi::LUA_TTABLE {
            return 0;
        }
        for field in fields {
            ffi::lua_getfield_(state, table, field.as_ptr());
        }
        c_int::try_from(fields.len()).unwrap_or(0)
    }
}

/// Runs the function. Never unwinds, and leaves nothing to drop.
///
/// # Safety
/// The context has to live, and the state to be that of a C function that Lua called.
unsafe fn attempt<F>(context: *mut Context<F>, state: *mut ffi::lua_State, fields: c_int) -> Ended
where
    F: for<'a> FnMut(&Call<'a>, &mut Answer) -> Outcome + 'static,
{
    let marker = 0u8;
    let frame = ptr::from_ref(&marker) as usize;
    // SAFETY: the list never changes, so answers stay where they are.
    let Some(answer) = (unsafe { free_answer((*context).calls, frame) }) else { return Ended::Crowded };
    // SAFETY: an answer that is free is referred to by nobody, and neither is the function: it cannot call Lua, so it is not
    // entered twice.
    let (answer_now, run) = unsafe { (&mut *answer, &mut (*context).function) };
    answer_now.clear();
    answer_now.busy = true;
    answer_now.frame = frame;
    // SAFETY: reading the stack's height changes nothing; the values of fields are the last ones on it.
    let (all, call) = unsafe {
        let all = ffi::lua_gettop(state);
        (all, Call::new(state, all - fields, fields))
    };
    let result = catch_unwind(AssertUnwindSafe(|| run(&call, answer_now)));
    if call.left.get() {
        // SAFETY: takes away what the function has left above the arguments.
        unsafe { ffi::lua_settop(state, all) };
    }
    let fault = match result {
        Ok(Ok(())) if answer_now.overflow => Fault::new("not enough memory: the result is too large"),
        Ok(Ok(())) if answer_now.deepest > DEPTH_LIMIT => Fault::new("the result is nested too deeply"),
        Ok(Ok(())) => return Ended::Done(answer),
        Ok(Err(fault)) => fault,
        Err(_) => Fault::new("internal error of the gateway"),
    };
    answer_now.clear();
    answer_now.text.extend_from_slice(fault.message.as_bytes());
    Ended::Failed(answer, fault.place)
}

/// An answer that no unfinished call uses. One whose call was at the same place of the stack or further down was left by an
/// error: the stack grows towards lower addresses, and a VM stays on its thread.
///
/// # Safety
/// The list has to live, and no reference to an answer in it may be held.
unsafe fn free_answer(answers: *mut Vec<Answer>, frame: usize) -> Option<*mut Answer> {
    // SAFETY: by the contract.
    let answers = unsafe { &mut *answers };
    answers.iter_mut().find(|answer| !answer.busy || answer.frame <= frame).map(ptr::from_mut)
}

/// # Safety
/// As for a C function that Lua calls; the answer has to live.
unsafe fn fail(state: *mut ffi::lua_State, answer: *mut Answer, place: Place) -> ! {
    // SAFETY: the text is not changed while it is pushed: the answer is busy, so that no other call gets it.
    unsafe {
        ffi::lua_settop(state, 0);
        if matches!(place, Place::Caller) {
            ffi::luaL_where(state, 1);
        }
        let (start, len) = ((*answer).text.as_ptr(), (*answer).text.len());
        push(state, start, len);
        (*answer).busy = false;
        if let Place::Argument(index) = place {
            ffi::luaL_argerror(state, index, ffi::lua_tolstring(state, -1, ptr::null_mut()));
        }
        ffi::lua_concat(state, 2);
        ffi::lua_error(state)
    }
}

/// # Safety
/// As for a C function that Lua calls.
unsafe fn raise(state: *mut ffi::lua_State, message: &'static [u8]) -> ! {
    // SAFETY: as for every C function.
    unsafe {
        push(state, message.as_ptr(), message.len());
        ffi::lua_error(state)
    }
}

/// # Safety
/// `start` and `len` have to describe bytes that stay as they are meanwhile.
unsafe fn push(state: *mut ffi::lua_State, start: *const u8, len: usize) {
    // SAFETY: by the contract.
    unsafe { ffi::lua_pushlstring_(state, start.cast::<c_char>(), len) }
}

/// Gives the results.
///
/// # Safety
/// As for a C function that Lua calls; the answer has to live and to be of this call.
unsafe fn finish(state: *mut ffi::lua_State, answer: *mut Answer) -> c_int {
    // SAFETY: the answer is busy, so no call that a finalizer makes meanwhile changes it. References to it end with each
    // statement. Indices of arguments are checked by Lua's own functions: absent ones are nil.
    unsafe {
        let arguments = ffi::lua_gettop(state);
        let deepest = c_int::try_from((*answer).deepest).unwrap_or(c_int::MAX);
        // A function that Lua calls has room for so many.
        if deepest > ffi::LUA_MINSTACK - 4 {
            ffi::luaL_checkstack(state, deepest.saturating_add(4), ptr::null());
        }
        let mut at = 0;
        loop {
            let steps: &Vec<Step> = &(*answer).steps;
            let Some(step) = steps.get(at).copied() else { break };
            at += 1;
            match step {
                Step::Nil => ffi::lua_pushnil(state),
                Step::Null => ffi::lua_pushlightuserdata(state, ptr::null_mut::<c_void>()),
                Step::Boolean(value) => ffi::lua_pushboolean(state, value.into()),
                Step::Number(value) => ffi::lua_pushnumber(state, value),
                Step::Text { start, len } => {
                    let text: &Vec<u8> = &(*answer).text;
                    let bytes = text.get(start..start + len).unwrap_or_default();
                    let (start, len) = (bytes.as_ptr(), bytes.len());
                    push(state, start, len);
                }
                Step::Part { argument, start, len } => {
                    let whole = if ffi::lua_type(state, argument) == ffi::LUA_TSTRING {
                        string_at(state, argument)
                    } else {
                        &[]
                    };
                    let part = whole.get(start..start + len).unwrap_or_default();
                    push(state, part.as_ptr(), part.len());
                }
                Step::Argument(index) if index <= arguments => ffi::lua_pushvalue(state, index),
                Step::Argument(_) => ffi::lua_pushnil(state),
                Step::Kept(index) => ffi::lua_pushvalue(state, ffi::lua_upvalueindex(index + 1)),
                Step::Table { elements, fields } => ffi::lua_createtable(state, elements, fields),
                Step::Entry if ffi::lua_type(state, -3) == ffi::LUA_TTABLE => ffi::lua_rawset(state, -3),
                Step::Element(index) if ffi::lua_type(state, -2) == ffi::LUA_TTABLE => {
                    ffi::lua_rawseti_(state, -2, index);
                }
                Step::Metatable if ffi::lua_type(state, -2) == ffi::LUA_TTABLE => {
                    ffi::lua_setmetatable(state, -2);
                }
                Step::Entry => ffi::lua_pop(state, 2),
                Step::Put { argument, first, last } if ffi::lua_type(state, argument) == ffi::LUA_TTABLE => {
                    for index in first..=last {
                        ffi::lua_pushvalue(state, -1);
                        ffi::lua_rawseti_(state, argument, index);
                    }
                    ffi::lua_pop(state, 1);
                }
                Step::Element(_) | Step::Metatable | Step::Put { .. } => ffi::lua_pop(state, 1),
            }
        }
        (*answer).busy = false;
        let results = ffi::lua_gettop(state) - arguments;
        if (*answer).yields { ffi::lua_yield(state, results) } else { results }
    }
}
