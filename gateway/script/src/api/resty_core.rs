//! The modules of lua-resty-core.

use std::cell::OnceCell;
use std::rc::Rc;

use mlua::{Function, Lua, Table};

const MODULES: [&str; 20] = [
    "resty.core",
    "resty.core.base",
    "resty.core.base64",
    "resty.core.coroutine",
    "resty.core.ctx",
    "resty.core.exit",
    "resty.core.hash",
    "resty.core.misc",
    "resty.core.ndk",
    "resty.core.param",
    "resty.core.phase",
    "resty.core.regex",
    "resty.core.request",
    "resty.core.response",
    "resty.core.shdict",
    "resty.core.socket",
    "resty.core.uri",
    "resty.core.utils",
    "resty.core.var",
    "resty.core.worker",
];

pub(crate) fn install(lua: &Lua, ngx: &Table, preload: &Table) -> mlua::Result<()> {
    let maker: Rc<OnceCell<Function>> = Rc::default();
    for name in MODULES {
        let (maker, ngx) = (maker.clone(), ngx.clone());
        super::preload(lua, preload, name, move |lua| {
            // Compiled when the first of them is wanted: few scripts want any.
            if maker.get().is_none() {
                let code = lua.load(include_str!("../lua/resty_core.lua")).set_name("=witgate/resty_core");
                let _ = maker.set(code.call((&ngx, super::CORE_VERSION))?);
            }
            maker.get().map_or_else(|| lua.create_table(), |maker| maker.call(name))
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::testing::{check, vm_of};

    #[test]
    fn libraries_find_the_modules_and_what_they_take_from_them() {
        for trusted in [false, true] {
            let lua = vm_of(trusted);
            for name in [
                "",
                ".base",
                ".base64",
                ".coroutine",
                ".ctx",
                ".exit",
                ".hash",
                ".misc",
                ".ndk",
                ".param",
                ".phase",
                ".regex",
                ".request",
                ".response",
                ".shdict",
                ".socket",
                ".time",
                ".uri",
                ".utils",
                ".var",
                ".worker",
            ] {
                check(&lua, &format!("return type(require('resty.core{name}'))"), "table");
            }
            for (code, expected) in [
                ("return require('resty.core').version == require('resty.core.base').version", "true"),
                (
                    "local b = require('resty.core.base') local t = b.new_tab(2, 2) t[1] = 1 b.clear_tab(t) return next(t)",
                    "nil",
                ),
                (
                    "local b, t = require('resty.core.base'), {} return b.ref_in_table(t, 'x'), b.ref_in_table(t, 'y'), b.ref_in_table(t)",
                    "1 2 -1",
                ),
                (
                    "local b = require('resty.core.base') return b.FFI_DECLINED, pcall(b.allows_subsystem, 'stream')",
                    "-5 false unsupported subsystem: http",
                ),
                ("return require('resty.core.base').get_request()", ""),
                (
                    "local u = require('resty.core.utils') return u.str_replace_char('a-b-c-', '-', '_'), u.str_replace_char('abc', '-', '_')",
                    "a_b_c_ abc",
                ),
            ] {
                check(&lua, code, expected);
            }
            let fields = "local m, seen = require('resty.core.misc'), nil
                m.register_ngx_magic_key_getter('answer', function() return 42 end)
                m.register_ngx_magic_key_setter('question', function(value) seen = value end)
                ngx.question, ngx.other = 'why', 1
                return ngx.answer, seen, rawget(ngx, 'question'), rawget(ngx, 'other'), ngx.none";
            check(&lua, fields, "42 why nil 1 nil");
        }
    }

    #[test]
    fn buffers_need_ffi() {
        let buffers = "local b = require('resty.core.base') return type(b.get_string_buf(10)), b.get_size_ptr()[0]";
        check(&vm_of(true), buffers, "cdata 0ULL");
        let message = "error: case:1: this function of resty.core.base needs ffi: set trust = \"full\"";
        check(&vm_of(false), buffers, message);
    }
}
