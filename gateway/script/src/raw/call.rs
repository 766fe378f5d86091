//! What a function reaches of the call that it serves.

use std::cell::Cell;
use std::ffi::c_int;
use std::marker::PhantomData;
use std::slice;

use mlua::ffi;

use super::given::Given;

/// The arguments of one call.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    state: *mut ffi::lua_State,
    count: c_int,
    /// Values of fields, after the arguments.
    fields: c_int,
    /// Something may have been left on the stack above all these.
    pub(super) left: Cell<bool>,
    memory: PhantomData<&'a [u8]>,
}

impl<'a> Call<'a> {
    /// # Safety
    /// The state has to be that of a C function that Lua called, for as long as this is used, and its stack to begin with so
    /// many arguments and values of fields.
    pub(super) unsafe fn new(state: *mut ffi::lua_State, count: c_int, fields: c_int) -> Self {
        Self { state, count, fields, left: Cell::new(false), memory: PhantomData }
    }

    /// How many arguments there are.
    pub(crate) fn count(&self) -> usize {
        usize::try_from(self.count).unwrap_or(0)
    }

    /// The argument at `index`, from 1.
    pub(crate) fn given(&self, index: c_int) -> Given<'a> {
        if index < 1 || index > self.count {
            return Given::Nothing;
        }
        // SAFETY: the index is one of the call's arguments, which stay on the stack until the call returns.
        unsafe { self.at(index) }
    }

    /// The value of a field of the table that is the last argument: `field` counts those that the function wants, from 0.
    pub(crate) fn field(&self, field: c_int) -> Given<'a> {
        if field < 0 || field >= self.fields {
            return Given::Nothing;
        }
        // SAFETY: there are so many values after the arguments, which stay there until the call returns.
        unsafe { self.at(self.count + 1 + field) }
    }

    /// The table at `index`, if there is one.
    pub(crate) fn table(&self, index: c_int) -> Option<Elements<'_, 'a>> {
        (self.given(index) == Given::Table).then_some(Elements { call: self, index })
    }

    /// # Safety
    /// There has to be a value at the index; a string has to stay there for as long as the result is used.
    unsafe fn at(&self, index: c_int) -> Given<'a> {
        // SAFETY: by the contract; none of these functions raises or changes the stack.
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
        self.left.set(true);
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

/// A table that is an argument.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Elements<'c, 'a> {
    call: &'c Call<'a>,
    index: c_int,
}

impl<'a> Elements<'_, 'a> {
    /// The element at `element`, read without metamethods.
    pub(crate) fn get(self, element: c_int) -> Given<'a> {
        let state = self.call.state;
        // SAFETY: there is a table, and room for a few values. A string stays on the stack until the call returns; there is
        // room again after it, or it is taken away.
        unsafe {
            ffi::lua_rawgeti_(state, self.index, element);
            let given = self.call.at(-1);
            if matches!(given, Given::Text(_)) && ffi::lua_checkstack(state, 2) != 0 {
                self.call.left.set(true);
                return given;
            }
            ffi::lua_settop(state, -2);
            if matches!(given, Given::Text(_)) { Given::Nothing } else { given }
        }
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
        // SAFETY: the stack has so many values.
        unsafe { Call::new(self.state, self.height, 0) }.given(index)
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
pub(super) unsafe fn string_at<'a>(state: *mut ffi::lua_State, index: c_int) -> &'a [u8] {
    let mut len = 0;
    // SAFETY: by the contract there is a string; then the function changes nothing and gives its bytes.
    unsafe {
        let start = ffi::lua_tolstring(state, index, &mut len);
        if start.is_null() { &[] } else { slice::from_raw_parts(start.cast(), len) }
    }
}
