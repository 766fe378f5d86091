//! The modules of lua-resty-core.

use mlua::{Lua, Table};

pub(crate) fn install(lua: &Lua, ngx: &Table, preload: &Table) -> mlua::Result<()> {
    lua.load(include_str!("../lua/resty_core.lua")).set_name("=witgate/resty_core").call((
        ngx,
        preload,
        super::CORE_VERSION,
    ))
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
