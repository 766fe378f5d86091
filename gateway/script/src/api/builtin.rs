//! What scripts see of LuaJIT's own libraries.

use mlua::{Lua, Table};

/// Where the VM keeps the functions that scripts do not get, with what to do instead.
pub(crate) const REFUSED: &str = "witgate.refused";

/// Trims the libraries. Has to come last: what is loaded before may keep functions that scripts do not get.
pub(crate) fn restrict(lua: &Lua, trusted: bool) -> mlua::Result<()> {
    let symbols = crate::symbols::table(lua)?;
    let builtin = lua.load(include_str!("../lua/builtin.lua")).set_name("=witgate/builtin");
    lua.set_named_registry_value(REFUSED, builtin.call::<Table>((trusted, symbols))?)
}

#[cfg(test)]
mod tests {
    use crate::testing::{check, results, vm_of};

    #[test]
    fn what_reaches_out_of_the_sandbox_is_gone() {
        let lua = vm_of(false);
        for code in [
            "return io",
            "return ffi",
            "return newproxy",
            "return package.loaded.io",
            "return debug.sethook",
            "return debug.getregistry",
            "return debug.getupvalue",
            "return debug.setmetatable",
            "return jit.util",
            "return jit.attach",
            "return os.getenv('HOME')",
            "return debug.getlocal",
            "return package.loaded.ffi",
        ] {
            check(&lua, code, if code.contains("getenv") { "" } else { "nil" });
        }
        for code in [
            "require 'ffi'",
            "require 'jit.util'",
            "require 'string.buffer'",
            "require 'jit.profile'",
            "os.execute('true')",
            "os.exit()",
            "os.remove('x')",
            "loadfile('x')",
            "dofile('x')",
            "string.dump(function() end)",
            "package.loadlib('x', 'y')",
            "setfenv(ngx.escape_uri, {})",
            "setfenv(ngx.encode_args, {})",
            "setfenv(0, {})",
            "setfenv(string.gsub, {})",
            "assert(load('\\27LJ'))",
            "assert(loadstring('\\27LJ'))",
            "assert(load(function() return '\\27LJ' end))",
            "assert(load('return 1', 'x', 'b'))",
        ] {
            assert!(results(&lua, code).starts_with("error: "), "{code}");
        }
        let error = results(&lua, "os.execute('true')");
        assert_eq!(
            error,
            "error: case:1: os.execute is not available to scripts with trust = \"sandbox\": it would block every other request"
        );
    }

    #[test]
    fn what_harms_nobody_is_there() {
        let lua = vm_of(false);
        for (code, expected) in [
            ("return type(os.time()), type(os.clock()), os.date('!%Y', 0), os.difftime(2, 1)", "number number 1970 1"),
            (
                "return loadstring('return 1 + 1')(), load('return ...')(3), loadstring('return +')",
                "2 3 nil [string \"return +\"]:1: unexpected symbol near '+'",
            ),
            ("local n = 0 return load(function() n = n + 1 return ({'return', ' 7'})[n] end)()", "7"),
            ("return load('return x', 'c', 't', {x = 5})()", "5"),
            (
                "return debug.getinfo(1, 'l').currentline, debug.getinfo(1, 'f').func, debug.getinfo(print).what",
                "1 nil C",
            ),
            ("return (debug.traceback('m'):gsub('\\n.*', ''))", "m"),
            ("jit.off() jit.on(true, true) jit.flush() jit.opt.start('hotloop=2') return type(jit.version)", "string"),
            (
                "return collectgarbage(), type(collectgarbage('count')), collectgarbage('stop'), collectgarbage('setpause', 1)",
                "0 number 0 200",
            ),
            ("return pcall(collectgarbage, 'x')", "false bad argument #1 to 'collectgarbage' (invalid option 'x')"),
            ("local w = setmetatable({{}}, {__mode = 'v'}) collectgarbage() return w[1]", "nil"),
            (
                "local w, keep = setmetatable({{}}, {__mode = 'v'}), {} for i = 1, 2e5 do keep[i] = {i} end collectgarbage() return w[1]",
                "nil",
            ),
            ("local m = getmetatable('') m.__index = nil m.__len = print return ('x'):upper(), #'x'", "X 1"),
            ("return require('bit').band(6, 3), bit.tohex(255)", "2 000000ff"),
        ] {
            check(&lua, code, expected);
        }
    }

    #[test]
    fn environments_are_those_of_scripts() {
        let lua = vm_of(false);
        for (code, expected) in [
            (
                "setfenv(1, {getfenv = getfenv, mine = 1, loadstring = loadstring, setfenv = setfenv}) return getfenv().mine, getfenv(1).mine, loadstring('return mine')()",
                "1 1 1",
            ),
            ("local f = setfenv(function() return x end, {x = 3}) return f(), getfenv(f).x", "3 3"),
            (
                "local t = {x = 1} local g, s, n = getfenv, string.gsub, ngx.encode_args setfenv(1, t) return g(s) == t, g(n) == t, g(0) == t",
                "true true true",
            ),
            ("return pcall(getfenv, 99), (pcall(setfenv, 1)), (pcall(getfenv, {}))", "false false false"),
            ("local t, s = {}, setfenv setfenv(1, t) x = 1 return t.x", "1"),
        ] {
            check(&lua, code, expected);
        }
        // A function that a script calls cannot be found on the stack from within, either.
        let code = "local seen = {}
            ngx.re.gsub('a', 'a', function()
                for level = 1, 9 do
                    local ok, env = pcall(getfenv, level)
                    if ok then seen[env] = true end
                end
            end)
            local count = 0 for env in pairs(seen) do count = count + (env == _G and 0 or 1) end
            return count";
        check(&lua, code, "0");
    }

    #[test]
    fn tables_have_what_openresty_adds() {
        let lua = vm_of(false);
        for (code, expected) in [
            ("return table.nkeys({1, 2, x = 3}), table.isempty({}), table.isempty({1}), table.isarray({1, 2}), table.isarray({x = 1})", "3 true false true false"),
            ("return table.nkeys({nil, 3, nil}), table.isarray({}), table.isarray({[1.5] = 1}), getmetatable(table.clone(setmetatable({}, {})))", "1 true false nil"),
            ("return pcall(table.nkeys)", "false bad argument #1 to 'nkeys' (table expected, got no value)"),
            ("return pcall(require('table.isarray'), 'x')", "false bad argument #1 to 'isarray' (table expected, got string)"),
            ("return (pcall(table.isempty)), (pcall(table.clone, 1)), require('table.isempty') == table.isempty, require('table.isarray') == table.isarray, require('table.clear') == table.clear", "false false true true true"),
            ("local t = {1, x = {}} local c = table.clone(t) return c ~= t, c[1], c.x == t.x", "true 1 true"),
            ("local t = table.new(10, 2) t.x = 1 table.clear(t) return next(t)", "nil"),
            ("return require('table.nkeys') == table.nkeys, require('table.clone') == table.clone, require('table.new') == table.new", "true true true"),
            ("local t = {1, 2} table.insert(t, 3) table.insert(t, 1, 0) return table.concat(t, ','), (pcall(table.insert, t, -1e9, 1)), (pcall(table.insert, t))", "0,1,2,3 false false"),
            ("local t = {} for i = 1, 5000 do t[i] = (i * 7919) % 5003 end table.sort(t) for i = 2, #t do assert(t[i - 1] <= t[i]) end return #t", "5000"),
            ("local t = {} for i = 1, 1001 do t[i] = {k = i % 7, i = i} end table.sort(t, function(a, b) return a.k > b.k end)
              for i = 2, #t do assert(t[i - 1].k > t[i].k or t[i - 1].k == t[i].k and t[i - 1].i < t[i].i) end return #t", "1001"),
            ("local t = {3, 1, 2} table.sort(t, function(a, b) return a > b end) return table.concat(t)", "321"),
            ("local t = {} for i = 1, 600 do t[i] = i end t[300] = {} return (pcall(table.sort, t))", "false"),
        ] {
            check(&lua, code, expected);
        }
    }

    #[test]
    fn trusted_scripts_keep_the_libraries_and_see_symbols_of_nginx() {
        let lua = vm_of(true);
        let code = "local ffi = require 'ffi'
            ffi.cdef 'unsigned char *ngx_hex_dump(unsigned char *, const unsigned char *, size_t); intptr_t ngx_atoi(const unsigned char *, size_t); size_t strlen(const char *);'
            local buffer = ffi.new('uint8_t[6]')
            ffi.C.ngx_hex_dump(buffer, 'a\\255z', 3)
            return ffi.string(buffer, 6), tonumber(ffi.C.ngx_atoi('123', 3)), tonumber(ffi.C.ngx_atoi('12x', 3)), tonumber(ffi.C.strlen('four'))";
        check(&lua, code, "61ff7a 123 -1 4");
        check(
            &lua,
            "return type(io.open), type(os.execute), type(debug.sethook), type(string.dump(function() end))",
            "function function function string",
        );
        check(&lua, "return load(string.dump(function() return 4 end))()", "4");
    }
}
