use mlua::Lua;

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
    let code = "for i = 1, 100 do local ok, err = pcall(f, 1000000) assert(not ok and err == 'not enough memory') end
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

#[test]
fn fields_of_the_last_argument_are_read_before_the_call_with_metamethods() {
    let lua = Lua::new();
    let arguments = Arguments { fields: &[c"a", c"b"], ..Arguments::default() };
    let function = function_of(&lua, arguments, (), |call, answer| {
        answer
            .bytes(format!("{} {:?} {:?} {:?}", call.count(), call.field(0), call.field(1), call.field(2)).as_bytes());
        Ok(())
    })
    .unwrap();
    lua.globals().set("f", function).unwrap();
    assert_eq!(eval(&lua, "return f(1, {a = 2, b = 'x'})"), "2 Number(2.0) Text([120]) Nothing");
    assert_eq!(eval(&lua, "return f({}, setmetatable({}, {__index = {b = true}}))"), "2 Nil Boolean(true) Nothing");
    assert_eq!(eval(&lua, "return f({a = 1}, 2)"), "2 Nothing Nothing Nothing");
    assert_eq!(eval(&lua, "return f()"), "0 Nothing Nothing Nothing");
    let code = "local ok, err = pcall(f, setmetatable({}, {__index = function() error('own', 0) end})) return err";
    assert_eq!(eval(&lua, code), "own");
}

#[test]
fn elements_are_read_and_put_without_metamethods() {
    let lua = Lua::new();
    let function = function(&lua, &[], |call, answer| {
        answer.number(7.0);
        answer.put(1, 2, 3);
        answer.nil();
        answer.put(1, 1, 1);
        let read = [1, 2, 3, 40].map(|index| call.table(1).map_or(Given::Nothing, |table| table.get(index)));
        answer.bytes(format!("{read:?}").as_bytes());
        Ok(())
    })
    .unwrap();
    lua.globals().set("f", function).unwrap();
    let code = "local t = setmetatable({'one', 2}, {__index = error, __newindex = error})
        return f(t) .. tostring(rawget(t, 1)) .. rawget(t, 2) .. rawget(t, 3)";
    assert_eq!(eval(&lua, code), "[Text([111, 110, 101]), Number(2.0), Nil, Nothing]nil77".replace("Nothing]", "Nil]"));
    assert!(eval(&lua, "return f('no table')").starts_with("[Nothing, Nothing"));
    let many = function_over_elements(&lua);
    lua.globals().set("many", many).unwrap();
    assert_eq!(eval(&lua, "local t = {} for i = 1, 1000 do t[i] = 'x' .. i end return many(t)"), "1000");
}

/// Reads more strings than there is room for at first.
fn function_over_elements(lua: &Lua) -> mlua::Function {
    function(lua, &[], |call, answer| {
        let table = call.table(1).unwrap();
        let right = (1..=1000).filter(|index| table.get(*index) == Given::Text(format!("x{index}").as_bytes()));
        answer.bytes(right.count().to_string().as_bytes());
        Ok(())
    })
    .unwrap()
}

#[test]
fn a_function_that_yields_returns_what_the_coroutine_is_resumed_with() {
    let lua = Lua::new();
    let function = function_with(&lua, &[], "kept", |call, answer| {
        answer.kept(1);
        answer.number(call.given(1).number().unwrap_or(0.0));
        answer.yields();
        Ok(())
    })
    .unwrap();
    lua.globals().set("f", function).unwrap();
    let code = "
        local said = {}
        local co = coroutine.create(function() local ok, a, b = pcall(f, 1) return tostring(ok) .. a .. b .. f(2) end)
        for _, with in ipairs { '', 'x', 'y' } do
            local results = { coroutine.resume(co, with, with .. with) }
            for i = 1, #results do said[#said + 1] = tostring(results[i]) end
        end
        return table.concat(said, ' ')";
    assert_eq!(eval(&lua, code), "true kept 1 true kept 2 true truexxxy");
    // Compiled code calls it just as well.
    let code = "
        local co = coroutine.wrap(function() local sum = 0 for i = 1, 1000 do sum = sum + f(i) end return 'sum', sum end)
        local tag, n = co()
        while tag == 'kept' do tag, n = co(n) end
        return tag .. n";
    assert_eq!(eval(&lua, code), "sum500500");
    let code = "local ok, err = pcall(string.gsub, 'x', 'x', function() return f(1) end) return err";
    assert_eq!(eval(&lua, code), "attempt to yield across C-call boundary");
    assert_eq!(eval(&lua, "return select(2, pcall(f, 1))"), "attempt to yield across C-call boundary");
}
