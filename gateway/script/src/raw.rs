//! Functions for scripts with little between the script and Rust code.
//!
//! A function made by [`mlua::Lua::create_function`] protects itself against every error that Lua could raise while it takes
//! arguments and gives results, and raises its own errors as objects that scripts cannot treat as strings. Here a call has
//! three steps instead. Arguments are made strings where a function wants that; this may run Lua code and raise. Then the
//! function runs: safe Rust, which cannot call Lua and writes down what to return. Then that is returned; this may raise
//! again for want of memory, but then nothing of Rust is left that wants to be dropped.

#![expect(unsafe_code, reason = "talks to the Lua API; what it offers to the rest of the crate is safe")]

use std::any::Any;
use std::borrow::Cow;
use std::cell::UnsafeCell;
use std::ffi::{c_char, c_int, c_void};
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::{ptr, slice};

use mlua::ffi;
use mlua::{Function, Lua};

/// How large the results of one call may be together, in bytes, unless [`set_result_limit`] says otherwise. They are
/// gathered outside of the VM, whose own limit does not see them.
const RESULT_LIMIT: usize = 32 * 1024 * 1024;
/// How much memory for results a VM keeps between calls.
const KEPT: usize = 64 * 1024;
/// How many calls can be unfinished at once. More than one is only possible where a finalizer calls a function while
/// another one returns its results.
const CALLS: usize = 8;
/// How many tables can be open at once while results are returned.
const DEPTH_LIMIT: usize = 6000;

/// What a script gave for one argument.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Given<'a> {
    Nothing,
    Nil,
    Null,
    Boolean(bool),
    Number(f64),
    Text(&'a [u8]),
    Table,
    Other(&'static str),
}

impl<'a> Given<'a> {
    /// The name of the type, as Lua's `type` says it, or `no value`.
    pub(crate) fn type_name(self) -> &'static str {
        match self {
            Self::Nothing => "no value",
            Self::Nil => "nil",
            Self::Null => "userdata",
            Self::Boolean(_) => "boolean",
            Self::Number(_) => "number",
            Self::Text(_) => "string",
            Self::Table => "table",
            Self::Other(name) => name,
        }
    }

    pub(crate) fn is_nil(self) -> bool {
        matches!(self, Self::Nil | Self::Nothing)
    }

    /// Whether Lua takes it for true.
    pub(crate) fn is_true(self) -> bool {
        !matches!(self, Self::Nil | Self::Nothing | Self::Boolean(false))
    }

    /// A number, also one that is written in a string.
    pub(crate) fn number(self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(number),
            Self::Text(text) => number_of(text),
            _ => None,
        }
    }
}

/// The number that a string spells in Lua's decimal or hexadecimal notation.
pub(crate) fn number_of(text: &[u8]) -> Option<f64> {
    let text = text.trim_ascii();
    let (negative, digits) = match text.split_first()? {
        (b'-', rest) => (true, rest),
        (b'+', rest) => (false, rest),
        _ => (false, text),
    };
    let number = match digits {
        [b'0', b'x' | b'X', hex @ ..] if !hex.is_empty() => hex.iter().try_fold(0f64, |sum, digit| {
            let value = char::from(*digit).to_digit(16)?;
            Some(sum * 16.0 + f64::from(value))
        })?,
        [b'0'..=b'9' | b'.', ..] => std::str::from_utf8(digits).ok()?.parse().ok()?,
        _ => return None,
    };
    Some(if negative { -number } else { number })
}

/// The arguments of one call.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    state: *mut ffi::lua_State,
    count: c_int,
    memory: PhantomData<&'a [u8]>,
}

impl<'a> Call<'a> {
    /// How many arguments there are.
    pub(crate) fn count(&self) -> usize {
        usize::try_from(self.count).unwrap_or(0)
    }

    /// The argument at `index`, from 1.
    pub(crate) fn given(&self, index: c_int) -> Given<'a> {
        if index < 1 || index > self.count {
            return Given::Nothing;
        }
        // SAFETY: the index is one of the call's arguments, and none of these functions raises or changes the stack.
        // Strings stay where they are for as long as they are on the stack, which is until the call returns.
        unsafe {
            match ffi::lua_type(self.state, index) {
                ffi::LUA_TNIL => Given::Nil,
                ffi::LUA_TBOOLEAN => Given::Boolean(ffi::lua_toboolean(self.state, index) != 0),
                ffi::LUA_TNUMBER => Given::Number(ffi::lua_tonumber(self.state, index)),
                ffi::LUA_TSTRING => Given::Text(string_at(self.state, index)),
                ffi::LUA_TTABLE => Given::Table,
                ffi::LUA_TLIGHTUSERDATA if ffi::lua_touserdata(self.state, index).is_null() => Given::Null,
                ffi::LUA_TLIGHTUSERDATA | ffi::LUA_TUSERDATA => Given::Other("userdata"),
                ffi::LUA_TFUNCTION => Given::Other("function"),
                ffi::LUA_TTHREAD => Given::Other("thread"),
                _ => Given::Other("cdata"),
            }
        }
    }

    /// The argument at `index` if it is a string.
    pub(crate) fn text(&self, index: c_int) -> Option<&'a [u8]> {
        match self.given(index) {
            Given::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A way to look into the tables that were given.
    pub(crate) fn walk(&self) -> Walk<'_> {
        // SAFETY: reading the stack's height changes nothing.
        Walk {
            state: self.state,
            arguments: self.count,
            height: unsafe { ffi::lua_gettop(self.state) },
            call: PhantomData,
        }
    }

    /// What tells a table, function or thread at `index` from every other that lives; 0 for other values.
    pub(crate) fn identity(&self, index: c_int) -> usize {
        if index < 1 || index > self.count {
            return 0;
        }
        // SAFETY: the index is one of the call's arguments; the function neither raises nor changes the stack.
        unsafe { ffi::lua_topointer(self.state, index) as usize }
    }
}

/// Looks into tables, with a stack of values. Metamethods are not called, and nothing is changed.
pub(crate) struct Walk<'a> {
    state: *mut ffi::lua_State,
    arguments: c_int,
    height: c_int,
    call: PhantomData<&'a Call<'a>>,
}

// SAFETY for all of the functions: none of the functions of Lua that are called raises or allocates with what is on the stack
// then, which is checked first; the stack grows by what `room` made room for, and never shrinks below the arguments.
impl<'a> Walk<'a> {
    /// Makes room for so many more values; says whether there is.
    pub(crate) fn room(&self, values: c_int) -> bool {
        // SAFETY: see above.
        unsafe { ffi::lua_checkstack(self.state, values.saturating_add(2)) != 0 }
    }

    fn is_table(&self, index: c_int) -> bool {
        // SAFETY: see above.
        index > 0 && unsafe { ffi::lua_type(self.state, index) == ffi::LUA_TTABLE }
    }

    /// Begins with an argument.
    pub(crate) fn push_argument(&mut self, index: c_int) {
        if index >= 1 && index <= self.arguments {
            // SAFETY: see above.
            unsafe { ffi::lua_pushvalue(self.state, index) };
            self.height += 1;
        }
    }

    /// The value that was reached, as long as it is on the stack.
    pub(crate) fn top(&self) -> Given<'_> {
        self.at(self.height)
    }

    /// The value before that: the key, after [`Walk::next`].
    pub(crate) fn below(&self) -> Given<'_> {
        self.at(self.height - 1)
    }

    fn at(&self, index: c_int) -> Given<'_> {
        Call { state: self.state, count: self.height, memory: PhantomData }.given(index)
    }

    /// What tells the value that was reached from others: a table, function or userdata.
    pub(crate) fn identity(&self) -> usize {
        // SAFETY: see above.
        unsafe { ffi::lua_topointer(self.state, self.height) as usize }
    }

    /// The same for its metatable; 0 if it has none.
    pub(crate) fn metatable_identity(&self) -> usize {
        // SAFETY: see above.
        unsafe {
            if ffi::lua_getmetatable(self.state, self.height) == 0 {
                return 0;
            }
            let identity = ffi::lua_topointer(self.state, -1) as usize;
            ffi::lua_settop(self.state, self.height);
            identity
        }
    }

    /// The length of the table that was reached.
    pub(crate) fn len(&self) -> usize {
        // SAFETY: see above.
        if self.is_table(self.height) { unsafe { ffi::lua_objlen(self.state, self.height) } } else { 0 }
    }

    /// Goes to the element `index` of the table that was reached.
    pub(crate) fn element(&mut self, index: usize) {
        let index = c_int::try_from(index).unwrap_or(0);
        if self.is_table(self.height) {
            // SAFETY: see above.
            unsafe { ffi::lua_rawgeti_(self.state, self.height, index) };
            self.height += 1;
        }
    }

    /// Begins with the entries of the table that was reached: before the first [`Walk::next`].
    pub(crate) fn begin(&mut self) {
        // SAFETY: see above.
        unsafe { ffi::lua_pushnil(self.state) };
        self.height += 1;
    }

    /// Goes to the next entry: its value is reached, its key is below. Has to be called with the key of the entry before on top.
    pub(crate) fn next(&mut self) -> bool {
        if !self.is_table(self.height - 1) {
            return false;
        }
        // SAFETY: see above; the key is one that this function put there, or nil, and the table has not changed since.
        if unsafe { ffi::lua_next(self.state, self.height - 1) } == 0 {
            self.height -= 1;
            return false;
        }
        self.height += 1;
        true
    }

    /// Goes back by so many values.
    pub(crate) fn pop(&mut self, values: c_int) {
        self.height = (self.height - values).max(self.arguments);
        // SAFETY: see above.
        unsafe { ffi::lua_settop(self.state, self.height) };
    }
}

/// # Safety
/// There has to be a string at the index, and it has to stay on the stack for as long as the result is used.
unsafe fn string_at<'a>(state: *mut ffi::lua_State, index: c_int) -> &'a [u8] {
    let mut len = 0;
    // SAFETY: by the contract there is a string; then the function changes nothing and gives its bytes.
    unsafe {
        let start = ffi::lua_tolstring(state, index, &mut len);
        if start.is_null() { &[] } else { slice::from_raw_parts(start.cast(), len) }
    }
}

/// One step of giving results back.
#[derive(Debug, Clone, Copy)]
enum Step {
    Nil,
    Null,
    Boolean(bool),
    Number(f64),
    Text { start: usize, len: usize },
    Part { argument: c_int, start: usize, len: usize },
    Argument(c_int),
    Kept(c_int),
    Table { elements: c_int, fields: c_int },
    Entry,
    Element(c_int),
    Metatable,
}

/// What a function returns to the script: values in their order. Tables are made of values that follow: after
/// [`Answer::table`], each value is put in by [`Answer::element`], each pair of key and value by [`Answer::entry`].
#[derive(Debug, Default)]
pub(crate) struct Answer {
    steps: Vec<Step>,
    /// The bytes of the strings among the results. Write to it, then call [`Answer::written`].
    pub(crate) text: Vec<u8>,
    limit: usize,
    depth: usize,
    deepest: usize,
    overflow: bool,
    /// Counts the calls that used this, so that one that was overtaken by another notices.
    turn: u64,
    busy: bool,
    frame: usize,
}

impl Answer {
    fn step(&mut self, step: Step) {
        match step {
            Step::Entry => self.depth = self.depth.saturating_sub(2),
            Step::Element(_) | Step::Metatable => self.depth = self.depth.saturating_sub(1),
            _ => {
                self.depth += 1;
                self.deepest = self.deepest.max(self.depth);
            }
        }
        self.steps.push(step);
    }

    pub(crate) fn nil(&mut self) {
        self.step(Step::Nil);
    }

    /// `ngx.null`.
    pub(crate) fn null(&mut self) {
        self.step(Step::Null);
    }

    pub(crate) fn boolean(&mut self, value: bool) {
        self.step(Step::Boolean(value));
    }

    pub(crate) fn number(&mut self, value: f64) {
        self.step(Step::Number(value));
    }

    /// A copy of `value`.
    pub(crate) fn bytes(&mut self, value: &[u8]) {
        if self.fits(value.len()) {
            let start = self.text.len();
            self.text.extend_from_slice(value);
            self.written(start);
        } else {
            self.step(Step::Nil);
        }
    }

    /// What was appended to [`Answer::text`] since it had `start` bytes.
    pub(crate) fn written(&mut self, start: usize) {
        let len = self.text.len().saturating_sub(start);
        self.overflow |= self.text.len() > self.limit;
        self.step(Step::Text { start, len });
    }

    /// A part of a string that the script gave.
    pub(crate) fn part(&mut self, argument: c_int, start: usize, len: usize) {
        self.step(Step::Part { argument, start, len });
    }

    /// An argument as it was given.
    pub(crate) fn argument(&mut self, index: c_int) {
        self.step(Step::Argument(index));
    }

    /// A value that was handed to [`function_with`], from 1.
    pub(crate) fn kept(&mut self, index: c_int) {
        self.step(Step::Kept(index));
    }

    /// A new table, with room for so many elements and fields.
    pub(crate) fn table(&mut self, elements: usize, fields: usize) {
        let clamp = |count: usize| c_int::try_from(count.min(1 << 20)).unwrap_or(0);
        self.step(Step::Table { elements: clamp(elements), fields: clamp(fields) });
    }

    /// As [`Answer::table`], of a size that is known later; gives what [`Answer::size_table`] takes.
    pub(crate) fn open_table(&mut self) -> usize {
        self.table(0, 0);
        self.steps.len() - 1
    }

    /// Says how large an open table becomes.
    pub(crate) fn size_table(&mut self, table: usize, elements: usize, fields: usize) {
        let clamp = |count: usize| c_int::try_from(count.min(1 << 20)).unwrap_or(0);
        if let Some(step @ Step::Table { .. }) = self.steps.get_mut(table) {
            *step = Step::Table { elements: clamp(elements), fields: clamp(fields) };
        }
    }

    /// Puts the last value under the one before it into the table before that.
    pub(crate) fn entry(&mut self) {
        self.step(Step::Entry);
    }

    /// Puts the last value at `index` of the table before it.
    pub(crate) fn element(&mut self, index: usize) {
        self.step(Step::Element(c_int::try_from(index).unwrap_or(c_int::MAX)));
    }

    /// Makes the last value the metatable of the table before it.
    pub(crate) fn metatable(&mut self) {
        self.step(Step::Metatable);
    }

    /// `nil` and a message: how functions say that something was not possible.
    pub(crate) fn refusal(&mut self, message: impl AsRef<[u8]>) {
        self.nil();
        self.bytes(message.as_ref());
    }

    /// How large the results may be together.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// Whether one more value is within the limit; if not, the call fails when it is over.
    pub(crate) fn fits_steps(&mut self) -> bool {
        let fits = self.steps.len().saturating_mul(size_of::<Step>()) <= self.limit;
        self.overflow |= !fits;
        fits
    }

    /// Forgets what was answered so far.
    pub(crate) fn start_over(&mut self) {
        self.steps.clear();
        self.text.clear();
        self.depth = 0;
        self.deepest = 0;
    }

    /// As [`Answer::refusal`], and nothing more.
    pub(crate) fn refuse(&mut self, message: impl AsRef<[u8]>) -> Outcome {
        self.refusal(message);
        Ok(())
    }

    /// Whether so many more bytes are within the limit of results; if not, the call fails when it is over.
    pub(crate) fn fits(&mut self, more: usize) -> bool {
        let fits = self.text.len().saturating_add(more) <= self.limit;
        self.overflow |= !fits;
        fits
    }

    fn clear(&mut self) {
        self.steps.clear();
        self.steps.shrink_to(KEPT / size_of::<Step>());
        self.text.clear();
        self.text.shrink_to(KEPT);
        self.depth = 0;
        self.deepest = 0;
        self.overflow = false;
        self.turn = self.turn.wrapping_add(1);
    }
}

/// Why a call fails: raises an error in the script, with the place that called the function in front.
#[derive(Debug)]
pub(crate) struct Fault {
    message: Cow<'static, str>,
    place: Place,
}

#[derive(Debug, Clone, Copy)]
enum Place {
    Caller,
    Argument(c_int),
}

impl Fault {
    pub(crate) fn new(message: impl Into<Cow<'static, str>>) -> Self {
        Self { message: message.into(), place: Place::Caller }
    }

    /// As Lua's own functions complain of an argument of another type.
    pub(crate) fn expected(index: c_int, expected: &str, got: Given<'_>) -> Self {
        Self::argument(index, format!("{expected} expected, got {}", got.type_name()))
    }

    /// As Lua's own functions complain of an argument.
    pub(crate) fn argument(index: c_int, message: impl Into<Cow<'static, str>>) -> Self {
        Self { message: message.into(), place: Place::Argument(index) }
    }
}

/// What functions return; the values are in the [`Answer`].
pub(crate) type Outcome = Result<(), Fault>;

/// What the functions of a VM share.
struct Host {
    calls: Box<UnsafeCell<Vec<Answer>>>,
    contexts: UnsafeCell<Vec<Box<dyn Any>>>,
}

struct Context<F> {
    function: F,
    calls: *mut Vec<Answer>,
    coerced: &'static [c_int],
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
        let answers = (0..CALLS).map(|_| Answer { limit: RESULT_LIMIT, ..Answer::default() }).collect();
        lua.set_app_data(Host { calls: Box::new(UnsafeCell::new(answers)), contexts: UnsafeCell::new(Vec::new()) });
    }
}

/// Makes a function of `run`. The arguments whose places are in `coerced` reach it as strings, as `tostring` makes them;
/// `nil` stays as it is. Of those whose places are negative only numbers become strings, as Lua's own functions take them.
pub(crate) fn function<F>(lua: &Lua, coerced: &'static [c_int], run: F) -> mlua::Result<Function>
where
    F: for<'a> FnMut(&Call<'a>, &mut Answer) -> Outcome + 'static,
{
    function_with(lua, coerced, (), run)
}

/// As [`function`], of a function that can return the values `kept`, too.
pub(crate) fn function_with<F>(
    lua: &Lua,
    coerced: &'static [c_int],
    kept: impl mlua::IntoLuaMulti,
    run: F,
) -> mlua::Result<Function>
where
    F: for<'a> FnMut(&Call<'a>, &mut Answer) -> Outcome + 'static,
{
    prepare(lua);
    let host = lua.app_data_ref::<Host>().ok_or_else(|| mlua::Error::runtime("the VM is being closed"))?;
    let mut context = Box::new(Context { function: run, calls: host.calls.get(), coerced });
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

/// A function of the gateway's own Lua code that Rust code calls with numbers, without what the binding puts around a call.
#[derive(Debug)]
pub(crate) struct Entry {
    reference: c_int,
}

/// The first two results of an [`Entry`]: a number, and what comes with it.
#[derive(Debug, PartialEq)]
pub(crate) struct Returned {
    pub(crate) number: f64,
    pub(crate) value: ReturnedValue,
}

#[derive(Debug, PartialEq)]
pub(crate) enum ReturnedValue {
    Nothing,
    Number(f64),
    Text(String),
}

impl Entry {
    /// For as long as the VM lives.
    pub(crate) fn new(lua: &Lua, function: Function) -> mlua::Result<Self> {
        // SAFETY: it is run in protected mode; the function is on the stack and is taken from there.
        let reference: c_int = unsafe {
            lua.exec_raw(function, |state| {
                let reference = ffi::luaL_ref(state, ffi::LUA_REGISTRYINDEX);
                ffi::lua_pushinteger(state, reference.into());
            })
        }?;
        Ok(Self { reference })
    }

    /// Calls it.
    ///
    /// # Errors
    /// What it raised, as a text.
    pub(crate) fn call(&self, lua: &Lua, arguments: &[f64]) -> Result<Returned, String> {
        let count = c_int::try_from(arguments.len()).unwrap_or(c_int::MAX);
        // SAFETY: there is room on the stack, checked first; the reference is of this VM; `lua_pcall` is what catches all
        // that could be raised, and nothing before or after it raises: strings are only read where they are strings.
        lua.exec_raw_lua(|raw| unsafe {
            let state = raw.state();
            let top = ffi::lua_gettop(state);
            if ffi::lua_checkstack(state, count.saturating_add(3)) == 0 {
                return Err("stack overflow".to_owned());
            }
            ffi::lua_rawgeti_(state, ffi::LUA_REGISTRYINDEX, self.reference);
            for argument in arguments {
                ffi::lua_pushnumber(state, *argument);
            }
            let failed = ffi::lua_pcall(state, count, 2, 0) != ffi::LUA_OK;
            let text = |index| String::from_utf8_lossy(string_at(state, index)).into_owned();
            let result = if failed {
                Err(if ffi::lua_type(state, -1) == ffi::LUA_TSTRING {
                    text(-1)
                } else {
                    "an error that is no text".into()
                })
            } else {
                let value = match ffi::lua_type(state, -1) {
                    ffi::LUA_TNUMBER => ReturnedValue::Number(ffi::lua_tonumber(state, -1)),
                    ffi::LUA_TSTRING => ReturnedValue::Text(text(-1)),
                    _ => ReturnedValue::Nothing,
                };
                Ok(Returned { number: ffi::lua_tonumber(state, -2), value })
            };
            ffi::lua_settop(state, top);
            result
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
        for index in (*context).coerced {
            coerce(state, *index);
        }
        let marker = 0u8;
        match attempt(context, state, ptr::from_ref(&marker) as usize) {
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

/// Runs the function. Never unwinds, and leaves nothing to drop.
///
/// # Safety
/// The context has to live, and the state to be that of a C function that Lua called.
unsafe fn attempt<F>(context: *mut Context<F>, state: *mut ffi::lua_State, frame: usize) -> Ended
where
    F: for<'a> FnMut(&Call<'a>, &mut Answer) -> Outcome + 'static,
{
    // SAFETY: the list never changes, so answers stay where they are.
    let Some(answer) = (unsafe { free_answer((*context).calls, frame) }) else { return Ended::Crowded };
    // SAFETY: an answer that is free is referred to by nobody, and neither is the function: it cannot call Lua, so it is not
    // entered twice.
    let (answer_now, run) = unsafe { (&mut *answer, &mut (*context).function) };
    answer_now.clear();
    answer_now.busy = true;
    answer_now.frame = frame;
    // SAFETY: reading the stack's height changes nothing.
    let call = Call { state, count: unsafe { ffi::lua_gettop(state) }, memory: PhantomData };
    let result = catch_unwind(AssertUnwindSafe(|| run(&call, answer_now)));
    // SAFETY: the function may have left values above the arguments; this takes them away.
    unsafe { ffi::lua_settop(state, call.count) };
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
                Step::Element(_) | Step::Metatable => ffi::lua_pop(state, 1),
            }
        }
        (*answer).busy = false;
        ffi::lua_gettop(state) - arguments
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn eval(lua: &Lua, code: &str) -> String {
        lua.load(code).eval::<String>().unwrap()
    }

    #[test]
    fn arguments_arrive_as_they_are_given_and_as_strings_where_wanted() {
        let lua = Lua::new();
        let function = function(&lua, &[2], |call, answer| {
            answer.bytes(format!("{:?} {:?} {:?}", call.given(1), call.given(2), call.given(3)).as_bytes());
            Ok(())
        })
        .unwrap();
        lua.globals().set("f", function).unwrap();
        assert_eq!(eval(&lua, "return f(1, 2)"), "Number(1.0) Text([50]) Nothing");
        assert_eq!(eval(&lua, "return f({}, true, false)"), "Table Text([116, 114, 117, 101]) Boolean(false)");
        assert_eq!(eval(&lua, "return f(print, nil, nil)"), "Other(\"function\") Nil Nil");
        assert_eq!(
            eval(&lua, "return f('a', setmetatable({}, {__tostring = function() return 'b' end}))"),
            "Text([97]) Text([98]) Nothing"
        );
    }

    #[test]
    fn tables_are_made_of_the_values_that_follow() {
        let lua = Lua::new();
        let function = function_with(&lua, &[], "kept", |_, answer| {
            answer.table(2, 1);
            answer.number(1.5);
            answer.element(1);
            answer.part(1, 1, 2);
            answer.element(2);
            answer.bytes(b"k");
            answer.kept(1);
            answer.entry();
            answer.boolean(true);
            answer.null();
            Ok(())
        })
        .unwrap();
        lua.globals().set("f", function).unwrap();
        let code = "local t, b, n = f('abcd'); return t[1] .. t[2] .. t.k .. tostring(b) .. tostring(n)";
        assert_eq!(eval(&lua, code), "1.5bckepttrueuserdata: NULL");
    }

    #[test]
    fn errors_are_strings_that_name_the_line_of_the_script() {
        let lua = Lua::new();
        let fails = function(&lua, &[], |call, _| Err(Fault::expected(1, "string", call.given(1)))).unwrap();
        let panics = function(&lua, &[], |_, _| panic!("never mind")).unwrap();
        lua.globals().set("fails", fails).unwrap();
        lua.globals().set("panics", panics).unwrap();
        let code = "\nlocal ok, err = pcall(function()\n fails() end) return err";
        assert_eq!(
            lua.load(code).set_name("=x").eval::<String>().unwrap(),
            "x:3: bad argument #1 to 'fails' (string expected, got no value)"
        );
        let code = "local ok, err = pcall(function() panics() end) return err";
        assert!(eval(&lua, code).ends_with("internal error of the gateway"));
    }

    #[test]
    fn results_beyond_the_limit_are_an_error_and_functions_go_on_after_it() {
        let lua = Lua::new();
        let function = function(&lua, &[], |call, answer| {
            answer.bytes(&vec![b'x'; call.given(1).number().unwrap_or(0.0) as usize]);
            Ok(())
        })
        .unwrap();
        set_result_limit(&lua, 1000);
        lua.globals().set("f", function).unwrap();
        assert!(eval(&lua, "return select(2, pcall(f, 1001))").contains("not enough memory"));
        assert_eq!(eval(&lua, "return #f(1000) .. ''"), "1000");
    }

    #[test]
    fn a_vm_without_memory_raises_and_its_functions_can_be_called_again() {
        let lua = Lua::new();
        let function = function(&lua, &[], |call, answer| {
            answer.bytes(&vec![b'x'; call.given(1).number().unwrap_or(0.0) as usize]);
            Ok(())
        })
        .unwrap();
        lua.globals().set("f", function).unwrap();
        lua.set_memory_limit(lua.used_memory() + 100_000).unwrap();
        let code =
            "for i = 1, 100 do local ok, err = pcall(f, 1000000) assert(not ok and err == 'not enough memory') end
            return f(3)";
        assert_eq!(eval(&lua, code), "xxx");
    }

    #[test]
    fn a_finalizer_may_call_functions_while_another_returns() {
        // SAFETY: the test itself is the only one that runs code in this VM.
        let lua = unsafe { Lua::unsafe_new() };
        let function = function(&lua, &[], |call, answer| {
            let text = call.text(1).unwrap_or_default();
            answer.bytes(text);
            answer.bytes(text);
            Ok(())
        })
        .unwrap();
        lua.globals().set("f", function).unwrap();
        let code = "local ffi = require 'ffi'
            collectgarbage('setpause', 1) collectgarbage('setstepmul', 100000)
            local seen = 0
            for i = 1, 20000 do
                local c = ffi.gc(ffi.new('char[16]'), function() local a, b = f('inner' .. i) seen = seen + #a + #b end)
                c = nil
                local text = 'outer' .. i
                local a, b = f(text)
                assert(a == text and b == text)
            end
            return tostring(seen > 0)";
        assert_eq!(eval(&lua, code), "true");
    }

    #[test]
    fn numbers_are_read_as_lua_reads_them() {
        for (text, number) in [("12", Some(12.0)), (" -1.5e2 ", Some(-150.0)), ("0x1F", Some(31.0)), ("", None)] {
            assert_eq!(number_of(text.as_bytes()), number, "{text}");
        }
        for text in ["abc", "1a", "nan", "inf", "0x", "1 2"] {
            assert_eq!(number_of(text.as_bytes()), None, "{text}");
        }
    }
}
