//! Scripts run as stages, against exchanges as the proxy makes them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used, clippy::panic)]

mod rig;

use std::collections::BTreeMap;
use std::sync::Arc;

use http::StatusCode;
use rig::{Rig, get};
use witgate_script::{AppSpec, Chunk, Limits, Phase};
use witgate_stage::{FailureKind, Hook, Verdict};

#[test]
fn a_content_script_answers() {
    let rig = Rig::new(&[(
        Phase::Content,
        "ngx.header['X-A'] = 1 ngx.status = 201 ngx.say('a', 1, {'b', 2}, true, nil) ngx.print('end')",
    )]);
    let answer = rig.respond(get("/"));
    assert_eq!(answer.status, StatusCode::CREATED);
    assert_eq!(answer.headers["x-a"], "1");
    assert_eq!(answer.headers["content-type"], "text/plain");
    assert_eq!(answer.body, "a1b2truenil\nend");
}

#[test]
fn tables_are_written_as_arrays() {
    let say = |code: &str| Rig::say(&format!("local ok, err = pcall(ngx.say, {code}) if not ok then ngx.say(err) end"));
    assert_eq!(say("{1, {'a', {}}, nil, ngx.null, [6] = true}"), "1anilnullniltrue\n");
    for (code, error) in [
        ("{a = 1}", "non-array table found"),
        ("{[1.5] = 1}", "non-array table found"),
        ("{print}", "bad data type function found"),
        ("print", "string, number, boolean, nil, ngx.null, or array table expected, but got function"),
        ("'a', (function() local t = {} t[1] = t return t end)()", "tables are nested too deeply"),
    ] {
        let at = if code.starts_with('\'') { 2 } else { 1 };
        assert_eq!(say(code), format!("bad argument #{at} to '?' ({error})\n"), "{code}");
    }
}

/// Each table has the one before twice: nothing is written, and it never ends.
const ENDLESS: &str = "local t = {} for i = 1, 31 do t = {t, t} end ";

#[test]
fn tables_that_contain_each_other_many_times_are_refused_before_they_take_long() {
    for (code, error) in [("t", "more than 250000 elements"), ("{[1e15] = 'x'}", "more than 250000 elements")] {
        let told = Rig::say(&format!("{ENDLESS} ngx.say(select(2, pcall(ngx.print, {code})))"));
        assert_eq!(told, format!("bad argument #1 to '?' ({error})\n"), "{code}");
    }
    // All arguments of a call together: there may be hundreds.
    let half = "local t = {} for i = 1, 150000 do t[i] = '' end";
    let told = Rig::say(&format!("{half} ngx.say(select(2, pcall(ngx.print, t, t)))"));
    assert_eq!(told, "bad argument #2 to '?' (more than 250000 elements)\n");
}

#[test]
fn an_access_script_refuses_or_lets_pass() {
    let rig = Rig::new(&[(
        Phase::Access,
        "if ngx.var.arg_key ~= 'good' then ngx.exit(403) end ngx.req.set_header('X-User', 'u')",
    )]);
    let (_, verdict) = rig.run(Hook::RequestHeaders, get("/?key=bad"));
    let Ok(Verdict::Refuse(refusal)) = verdict else { panic!("{verdict:?}") };
    assert_eq!(refusal.code.label(), "FORBIDDEN");
    let (exchange, verdict) = rig.run(Hook::RequestHeaders, get("/?key=good"));
    assert!(matches!(verdict, Ok(Verdict::Continue(_))), "{verdict:?}");
    assert_eq!(exchange.request.headers["x-user"], "u");
}

#[test]
fn globals_of_a_request_are_its_own() {
    let rig = Rig::new(&[(
        Phase::Content,
        "ngx.say(tostring(x)) x = 1 _G.y = 2 ngx.say(x, y, tostring(rawget(_G, 'string')))",
    )]);
    for _ in 0..3 {
        assert_eq!(rig.respond(get("/")).body, "nil\n12nil\n");
    }
}

#[test]
fn functions_that_serve_again_bring_nothing_along() {
    let module = "local m, seen = {}, {}
        function m.seen_before() local env = getfenv(2) local known = seen[env] seen[env] = true return known end
        return m";
    let module = Chunk { name: "@m.lua".into(), source: module.into() };
    let modules = Arc::new(BTreeMap::from([("m".to_owned(), module)]));
    for (code, said) in [
        ("ngx.say(tostring(x)) x = 1", "nil\n"),
        ("ngx.say(tostring(ngx.ctx.x)) ngx.ctx.x = 1", "nil\n"),
        ("ngx.say(tostring(x)) x = 1 ngx.exit(200)", "nil\n"),
        ("ngx.say(tostring(x)) x = 1 ngx.sleep(0) ngx.say(x)", "nil\n1\n"),
        // Whoever has looked at the globals may have kept them.
        ("ngx.say(tostring(require('m').seen_before()))", "nil\n"),
        ("ngx.say(ngx.get_phase(), #ngx.req.get_headers(), tostring(ngx.headers_sent))", "content0false\n"),
    ] {
        let app = AppSpec { name: "test".into(), modules: Arc::clone(&modules), ..AppSpec::default() };
        let rig = Rig::of(&[(Phase::Content, code)], app);
        for _ in 0..4 {
            assert_eq!(rig.respond(get("/")).body, said, "{code}");
        }
    }
}

/// With a new coroutine for each request such a script takes three times as long, and leaves garbage.
#[test]
fn coroutines_serve_again_where_functions_cannot() {
    let code = "local text = (function() return tostring(coroutine.running()) end)() x = 1 ngx.say(text)";
    let rig = Rig::new(&[(Phase::Content, code)]);
    let first = rig.respond(get("/")).body;
    assert_eq!(rig.respond(get("/")).body, first);
}

#[test]
fn a_function_that_serves_again_sees_another_ngx_that_a_module_has_put_there() {
    let module = Chunk {
        name: "@m.lua".into(),
        source: "local m = {} function m.put() ngx = setmetatable({ who = 'another' }, { __index = ngx }) end return m"
            .into(),
    };
    let modules = Arc::new(BTreeMap::from([("m".to_owned(), module)]));
    let app = AppSpec { name: "test".into(), modules, ..AppSpec::default() };
    let rig = Rig::of(&[(Phase::Content, "ngx.say(ngx.who) if ngx.var.arg_put then require('m').put() end")], app);
    for (target, said) in [("/", "nil\n"), ("/", "nil\n"), ("/?put=1", "nil\n"), ("/", "another\n"), ("/", "another\n")]
    {
        assert_eq!(rig.respond(get(target)).body, said);
    }
}

#[test]
fn what_a_hook_leaves_in_ctx_is_there_for_the_next() {
    let rig = Rig::new(&[
        (Phase::Rewrite, "ngx.ctx.a = 1"),
        (Phase::Access, "ngx.ctx.a = ngx.ctx.a + 1"),
        (Phase::HeaderFilter, "ngx.header['X-Ctx'] = ngx.ctx.a"),
    ]);
    let (exchange, _) = rig.run(Hook::RequestHeaders, get("/"));
    let exchange = rig::answered(exchange);
    let (exchange, verdict) = rig.run(Hook::ResponseHeaders, exchange);
    assert!(verdict.is_ok(), "{verdict:?}");
    assert_eq!(exchange.response.as_ref().unwrap().headers["x-ctx"], "2");
}

#[test]
fn a_failure_leaves_no_trace_in_the_head_and_tells_where_it_was() {
    let rig = Rig::new(&[(Phase::Access, "ngx.req.set_header('X-A', '1')\nlocal t = nil\nreturn t.x")]);
    let (exchange, verdict) = rig.run(Hook::RequestHeaders, get("/"));
    let error = verdict.unwrap_err();
    assert_eq!(error.kind, FailureKind::Trap);
    let text = error.source.to_string();
    assert!(text.contains("access:3: attempt to index local 't'") && text.contains("stack traceback:"), "{text}");
    assert!(!exchange.request.headers.contains_key("x-a"));
}

#[test]
fn endless_scripts_are_stopped_and_the_thread_goes_on() {
    let limits = Limits { cpu: std::time::Duration::from_millis(30), ..Limits::default() };
    for code in [
        "while true do end",
        "local i = 0 while true do i = i + 1 end",
        "local function f() return f() end f()",
        "while true do pcall(function() while true do end end) end",
        "local co = coroutine.create(function() while true do end end) while true do coroutine.resume(co) co = coroutine.create(function() while true do end end) end",
        "local t = setmetatable({}, {__index = function(t, k) return t[k + 1] end}) while true do pcall(function() return t[1] end) end",
        "while true do local s = tostring(1) end",
        "ngx.thread.spawn(function() while true do end end)",
        "while true do ngx.ctx.a = ngx.var.uri end",
    ] {
        let rig = Rig::with(&[(Phase::Content, code)], limits.clone());
        let error = rig.run(Hook::RequestHeaders, get("/")).1.unwrap_err();
        assert_eq!(error.kind, FailureKind::Deadline, "{code}: {}", error.source);
        let again = rig.run(Hook::RequestHeaders, get("/")).1.unwrap_err();
        assert_eq!(again.kind, FailureKind::Deadline, "{code}");
    }
}

#[test]
fn memory_is_bounded() {
    for code in [
        "local s = string.rep('x', 1e9)",
        "local t = {} for i = 1, 1e9 do t[i] = {} end",
        "local s = 'x' while true do s = s .. s end",
        "local t = {} while true do t[#t + 1] = string.rep('y', 1000) .. #t end",
    ] {
        let limits = Limits { cpu: std::time::Duration::from_secs(20), ..Limits::default() };
        let rig = Rig::with(&[(Phase::Content, code)], limits);
        let error = rig.run(Hook::RequestHeaders, get("/")).1.unwrap_err();
        assert!(matches!(error.kind, FailureKind::Limit | FailureKind::Trap), "{code}: {}", error.source);
    }
    let rig = Rig::new(&[(Phase::Content, "local function f() return 1 + f() end f()")]);
    let error = rig.run(Hook::RequestHeaders, get("/")).1.unwrap_err();
    assert!(error.source.to_string().contains("stack overflow"), "{}", error.source);
}

#[test]
fn light_threads_and_coroutines_work_together() {
    let rig = Rig::new(&[(
        Phase::Content,
        "
        local function gen(n) return coroutine.wrap(function() for i = 1, n do coroutine.yield(i) end end) end
        local t1 = ngx.thread.spawn(function() local sum = 0 for v in gen(3) do sum = sum + v end return sum, 'x' end)
        local t2 = ngx.thread.spawn(function() coroutine.yield() return 'late' end)
        ngx.say(ngx.thread.wait(t1))
        ngx.say(ngx.thread.wait(t2))
        local t3 = ngx.thread.spawn(function() error('oops') end)
        local ok, message = ngx.thread.wait(t3)
        ngx.say(ok, ' ', message:match('oops'))
        ngx.say(coroutine.status(coroutine.create(function() end)))
    ",
    )]);
    assert_eq!(rig.respond(get("/")).body, "true6x\ntruelate\nfalse oops\nsuspended\n");
}

#[test]
fn modules_may_be_written_in_the_old_way() {
    let source =
        bytes::Bytes::from_static(b"module('old', package.seeall) function greet() return 'hello from ' .. _NAME end");
    let modules = BTreeMap::from([("old".to_owned(), Chunk { name: "@old.lua".to_owned(), source })]);
    let app = AppSpec { name: "test".into(), modules: Arc::new(modules), ..Default::default() };
    let rig =
        Rig::of(&[(Phase::Content, "ngx.say(require('old').greet(), ' ', require('old') == package.loaded.old)")], app);
    assert_eq!(rig.told(), "hello from old true\n");
}
