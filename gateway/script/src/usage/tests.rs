use super::*;

/// What code names, as `LINE WHAT`, with `+` for what stands in a function.
fn told(code: &str) -> Vec<String> {
    let tell = |one: Use| {
        let what = match one.what {
            What::Read { path, care: Care::None } => path.to_string(),
            What::Read { path, care: Care::Tests } => format!("{path}?"),
            What::Read { path, care: Care::Alternative } => format!("{path}|"),
            What::Write { path } => format!("{path}="),
            What::Call { path, argument: None } => format!("{path}()"),
            What::Call { path, argument: Some(text) } => format!("{path}({text})"),
            What::Try { module } => format!("try {module}"),
        };
        format!("{}{} {what}", one.line, if one.is_inner { "+" } else { "" })
    };
    uses(code.as_bytes()).unwrap().into_iter().map(tell).collect()
}

#[track_caller]
fn check(code: &str, expected: &[&str]) {
    assert_eq!(told(code), expected, "{code}");
}

#[test]
fn fields_of_globals_are_followed_through_locals_and_functions() {
    check("ngx.say(x)", &["1 ngx", "1 ngx.say", "1 x", "1 ngx.say()"]);
    check(
        "local req = ngx.req\nreturn req.get_headers()",
        &["1 ngx", "1 ngx.req", "2 ngx.req.get_headers", "2 ngx.req.get_headers()"],
    );
    check(
        "local ngx = ngx\nlocal function a()\n  return function() return ngx.now() end\nend",
        &["1 ngx", "3+ ngx.now", "3+ ngx.now()"],
    );
    check("local n = ngx\nlocal function f() n = nil end\nlocal function g() return n.now end", &["1 ngx"]);
    check("_G.a = _G.b", &["1 _G", "1 _G", "1 b", "1 a="]);
    check(
        "local s = ngx.socket.tcp()\ns:connect(h)",
        &[
            "1 ngx",
            "1 ngx.socket",
            "1 ngx.socket.tcp",
            "1 ngx.socket.tcp()",
            "2 socket.connect",
            "2 h",
            "2 socket.connect()",
        ],
    );
}

#[test]
fn where_paths_meet_only_what_is_certain_is_known() {
    check("local t = a and b or c\nreturn t.x", &["1 a?", "1 b?", "1 c|"]);
    check("local t = a\nif b then t = c end\nreturn t.x", &["1 a", "2 b?", "2 c|"]);
    check("local t = a\nif b then t = a end\nreturn t.x", &["1 a", "2 b?", "2 a|", "3 a.x"]);
    check("local t = a\nfor i = 1, 9 do\n  t.x()\n  t = b\nend", &["1 a", "4 b"]);
    check("local t = a\nwhile t.x do\n  t.y()\nend", &["1 a", "2 a.x?", "3 a.y", "3 a.y()"]);
    check(
        "local t = a\nfor _, v in ipairs(l) do t.y(v) end",
        &["1 a", "2 ipairs", "2 l", "2 ipairs()", "2 a.y", "2 a.y()"],
    );
    check("local t = a\nfor k in pairs(l) do t.y(k) end", &["1 a", "2 pairs", "2 l", "2 pairs()", "2 a.y", "2 a.y()"]);
    check("local t = a\nrepeat t.x() until t.y\nreturn t.z", &["1 a", "2 a.x", "2 a.x()", "2 a.y?", "3 a.z"]);
    check("local t = f()\nreturn t.x", &["1 f", "1 f()"]);
}

#[test]
fn a_test_for_being_there_is_told_from_a_use() {
    for code in [
        "if x then end",
        "local y = x or 1",
        "local y = x and 1",
        "if not x then end",
        "return not x",
        "if x ~= nil then end",
        "if x == nil then end",
        "local f = x\nif f then end",
    ] {
        check(code, &["1 x?"]);
    }
    check("if x == 1 then end", &["1 x"]);
    check("return table.unpack or unpack", &["1 table", "1 table.unpack?", "1 unpack|"]);
}

#[test]
fn modules_are_told_by_constant_names() {
    check(
        "local cjson = require 'cjson'\nreturn cjson.encode",
        &["1 require", "1 require(cjson)", "2 require \"cjson\".encode"],
    );
    check("return require('a' .. b)", &["1 require", "1 b", "1 require()"]);
    check("local ok, m = pcall(require, 'a.b')", &["1 pcall", "1 require", "1 try a.b", "1 pcall()"]);
    check("return require 'x'", &["1 require", "1 require(x)"]);
}

#[test]
fn what_cannot_be_compiled_is_told_with_its_line() {
    let error = |code: &[u8]| uses(code).unwrap_err();
    assert_eq!(error(b"a = 1\nb = = 2").line, Some(2));
    assert_eq!(error(b"a = 1\nb = = 2").message, "unexpected symbol near '='");
    assert_eq!(error(b"x = 'a\n'").line, Some(1));
    assert!(error(b"\x1bLJ\x02").message.contains("bytecode"));
    assert!(error(b"\xff\xfe").message.contains("unexpected symbol") || error(b"\xff\xfe").line.is_some());
    assert!(error(&[b"x = ".as_slice(), &b"(".repeat(100_000)].concat()).message.contains("levels"));
    assert_eq!(told("#!/usr/bin/lua\nx = 1"), ["2 x="]);
    assert_eq!(told("x = '\u{fc}\\255' return y['\\255']"), ["1 x=", "1 y", "1 y.\u{fffd}"]);
}

#[test]
fn large_and_strange_code_is_read_in_no_time() {
    use std::time::Duration;
    let locals: String = (0..190).map(|n| format!("local a{n} = ngx ")).collect();
    let labels: String = (0..20_000).map(|n| format!("if x then goto l{n} end ")).collect();
    let ends: String = (0..20_000).map(|n| format!("::l{n}:: ")).collect();
    let backward: String = (0..20_000).map(|n| format!("::b{n}:: if x then goto b{} end ", n / 2)).collect();
    for code in [
        format!("{locals} {labels} {ends}"),
        format!("{locals} {backward}"),
        format!("{locals} {}", "a1.say(x) ".repeat(60_000)),
        "f = function() return ngx.say end ".repeat(30_000),
        format!("{locals} {}", "f(function() return a1.x end) ".repeat(30_000)),
        format!("{locals} {}", "while x do a1.x() end ".repeat(30_000)),
        format!("x = {{{}}}", "ngx.a,".repeat(60_000)),
    ] {
        let begun = crate::testing::processor_time();
        let _ = uses(code.as_bytes());
        let took = crate::testing::processor_time() - begun;
        assert!(took < Duration::from_secs(20), "{code:.60} took {took:?}");
    }
}

#[test]
fn the_vocabulary_is_that_of_the_vm() {
    use crate::Trust;
    let (sandbox, full) = (Vocabulary::new(Trust::Sandbox).unwrap(), Vocabulary::new(Trust::Full).unwrap());
    for name in [
        "ngx",
        "ngx.say",
        "ngx.req.get_headers",
        "ngx.re.match",
        "string.format",
        "table.new",
        "require \"cjson\".encode",
        "print",
        "golapis",
        "bit.band",
    ] {
        assert!(sandbox.has(name) && full.has(name), "{name}");
    }
    for name in ["ngx", "ngx.req", "string", "require \"cjson\"", "os"] {
        assert!(sandbox.is_table(name), "{name}");
    }
    for name in ["ngx.var", "ngx.ctx", "ngx.shared", "_G", "golapis"] {
        assert!(!sandbox.is_table(name), "{name}");
    }
    for name in ["io", "ffi", "debug.sethook", "require \"ffi\".new"] {
        assert!(!sandbox.has(name) && (full.has(name) || name == "ffi"), "{name}");
    }
    assert!(sandbox.refused("os.execute").unwrap().contains("block"));
    assert_eq!(full.refused("os.execute"), None);
    assert!(sandbox.modules().any(|name| name == "resty.core"));
    assert!(!sandbox.modules().any(|name| name == "ffi"));
}
