//! Each kind of finding, and ordinary code, which has none.

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;
use witgate_script::Trust;

use super::{LuaCheckOptions, lua_check};

fn options(path: PathBuf) -> LuaCheckOptions {
    LuaCheckOptions {
        paths: vec![path],
        trust: Trust::Sandbox,
        modules: Vec::new(),
        notes: false,
        deny_warnings: false,
    }
}

/// Findings as `SEVERITY LINE:COLUMN MESSAGE | HELP`.
fn found(options: &LuaCheckOptions) -> Vec<String> {
    let report = lua_check(options).unwrap().to_json();
    let tell = |it: &serde_json::Value| {
        format!(
            "{} {}:{} {} | {}",
            it["severity"].as_str().unwrap(),
            it["line"],
            it["column"],
            it["message"].as_str().unwrap(),
            it["help"].as_str().unwrap_or_default()
        )
    };
    report["diagnostics"].as_array().unwrap().iter().map(tell).collect()
}

fn of_file(code: &[u8], change: impl FnOnce(&mut LuaCheckOptions)) -> Vec<String> {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("script.lua");
    fs::write(&path, code).unwrap();
    let mut options = options(path);
    change(&mut options);
    found(&options)
}

/// What is said of a file begins so.
#[track_caller]
fn check(code: &str, expected: &[&str]) {
    let found = of_file(code.as_bytes(), |_| {});
    let same =
        found.len() == expected.len() && found.iter().zip(expected).all(|(found, wanted)| found.starts_with(wanted));
    assert!(same, "{code}\n{found:#?}");
}

/// A folder with a configuration and files.
fn site(config: &str, files: &[(&str, &str)]) -> TempDir {
    let folder = TempDir::new().unwrap();
    let listener = "[[listeners]]\naddress = \"127.0.0.1:0\"\n[upstreams.u]\nendpoints = [\"127.0.0.1:9\"]\n\
                    [[routes]]\nname = \"r\"\nupstream = \"u\"\n";
    fs::write(folder.path().join("gateway.toml"), format!("{config}\n{listener}")).unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

#[track_caller]
fn check_site(config: &str, files: &[(&str, &str)], expected: &[&str]) {
    let folder = site(config, files);
    let found = found(&options(folder.path().join("gateway.toml")));
    let same =
        found.len() == expected.len() && found.iter().zip(expected).all(|(found, wanted)| found.starts_with(wanted));
    assert!(same, "{config}\n{found:#?}");
}

#[test]
fn ordinary_code_is_quiet() {
    for code in [
        "local cjson = require 'cjson.safe' ngx.say(cjson.encode({ ngx.var.uri, ngx.var.my_own }))",
        "local M = {} function M.f(a) return a or ngx.null end return M",
        "helper = function() return 1 end ngx.say(helper())",
        "if ndk and ndk.set_var then ngx.say('nginx') end local bit = bit or require 'bit' return bit.band(1, 2)",
        "local unpack = table.unpack or unpack return unpack(...)",
        "local ok, new_tab = pcall(require, 'table.new') if not ok then new_tab = function() return {} end end return new_tab",
        "ngx.ctx.user = 'a' ngx.header['X-A'] = ngx.ctx.user ngx.status = 201 ngx.header.content_type = 'text/plain'",
        "local sock = ngx.socket.tcp() sock:settimeouts(1, 2, 3) local ok, e = sock:connect('r', 1) sock:setkeepalive()",
        "local d = ngx.shared.counters d:incr('a', 1, 0) return d:get('a')",
        "ngx.timer.at(0, function(premature) ngx.sleep(1) end)",
        "golapis.shared.incr('a', 1) go.sleep(0.1) golapis.say(golapis.ctx.x)",
        "for _, phase in ipairs({}) do print(phase, _VERSION, os.time(), debug.traceback()) end",
        "local s = require 'ngx.semaphore'.new(1) s:wait(1) s:post()",
        "module('a', package.seeall) function f() g = 1 return h end",
        "#!/usr/bin/env lua\nreturn ngx.re.gsub('a', 'b', 'c', 'jo')",
        "function string.split(s) return {} end return string.split('a')",
        "return string.format('%d', 1), ngx.config.ngx_lua_version, ngx.HTTP_OK, coroutine.wrap, jit.version",
    ] {
        check(code, &[]);
    }
}

#[test]
fn what_is_not_lua_is_told_with_its_line() {
    check("local a = 1\nlocal b = = 2\n", &["error 2:9 this is not Lua: unexpected symbol near '='"]);
    check("if x then", &["error 1:1 this is not Lua: 'end' expected near '<eof>'"]);
    for code in [b"\x1bLJ\x02\x00".as_slice(), b"\xff\xfe\x00", &[b"x = ".as_slice(), &b"(".repeat(50_000)].concat()] {
        let found = of_file(code, |_| {});
        assert!(found.len() == 1 && found[0].contains("this is not Lua"), "{found:?}");
    }
}

#[test]
fn names_that_are_not_there_are_told_with_what_may_be_meant() {
    check("ngx.sya('a')", &["error 1:1 there is no `ngx.sya` | did you mean `ngx.say`?"]);
    check(
        "local req = ngx.req\n  req.get_headres()",
        &["error 2:7 there is no `ngx.req.get_headres` | did you mean `ngx.req.get_headers`?"],
    );
    check("local c = require 'cjson'\nc.encod({})", &["error 2:3 there is no `require \"cjson\".encod`"]);
    check("return string.spilt", &["warning 1:8 there is no `string.spilt`"]);
    check(
        "retrun = 1\nreturn pirnt(1)",
        &["warning 2:8 nothing defines the global `pirnt`: it is nil | did you mean `print`?"],
    );
    check("ngx.shared.d:gett('a')", &["error 1:14 a shared dictionary has no method `gett` | did you mean `get"]);
    check("ngx.socket.tcp():conect('a', 1)", &["error 1:18 a socket has no method `conect` | did you mean `connect`?"]);
    check("golapis.sya()", &["error 1:1 there is no `golapis.sya` | did you mean `golapis.say`?"]);
}

#[test]
fn what_is_refused_is_told_with_what_to_use_instead() {
    check("ngx.req.set_body_file('a')", &["error 1:1 `ngx.req.set_body_file` is not supported | bodies are in memory"]);
    check(
        "local sock = ngx.req.socket()",
        &["error 1:14 `ngx.req.socket` is not supported | returns nil and a message"],
    );
    check("local ssl = require 'ngx.ssl'", &["error 1:21 the module `ngx.ssl` is not supported | there is no OpenSSL"]);
    check("ndk.set_var.set_quote_sql_str('a')", &["error 1:1 `ndk.set_var` is not supported"]);
    check(
        "local s = ngx.socket.tcp() s:setclientcert(a)",
        &["error 1:30 `setclientcert` is not supported", "warning 1:44 nothing defines the global `a`"],
    );
    check("os.execute('true')", &["error 1:1 `os.execute` only fails with `trust = \"sandbox\"` | it would block"]);
    check(
        "io.open('a')",
        &["error 1:1 `io` is not there for scripts with `trust = \"sandbox\"` | read files with the configuration"],
    );
    check("local ffi = require 'ffi' return ffi.C", &["error 1:21 the module `ffi` is not there for scripts with"]);
    let trusted = of_file(b"local ffi = require 'ffi' return io.open('a'), ffi.C.x, os.execute('true')", |options| {
        options.trust = Trust::Full;
    });
    assert_eq!(trusted, <[String; 0]>::default());
}

#[test]
fn what_differs_is_told_to_those_who_ask() {
    let found = of_file(b"ngx.flush()", |options| options.notes = true);
    assert!(
        found.len() == 1
            && found[0].starts_with("note 1:1 `ngx.flush` is not quite as in OpenResty | The response is held"),
        "{found:?}"
    );
}

#[test]
fn globals_that_functions_assign_to_are_warned_of_once() {
    check(
        "local function f()\n  n = 1\n  n = 2\nend",
        &["warning 2:3 a function assigns to the global `n`, which does not outlive"],
    );
    let denied = |deny_warnings| {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("a.lua");
        fs::write(&path, "return function() n = 1 end").unwrap();
        lua_check(&LuaCheckOptions { deny_warnings, ..options(path) }).unwrap().is_ok()
    };
    assert!(denied(false) && !denied(true));
}

#[test]
fn modules_are_looked_for_where_the_configuration_says() {
    let modules = &[
        ("lua/shop.lua", "local links = require 'links.all' total = 0 return {}"),
        ("lua/links/all/init.lua", "return { ngx.sya }"),
        ("lua/unused.lua", "ngx.sya()"),
    ];
    let config = "[lua.shop]\npath = [\"lua\"]\ninit = \"require 'shop'\"\n[scripts.a]\nlua = \"shop\"\ncontent = '''\n\
                  local a = require \"shop\"\nlocal b = require \"shpo\"\nlocal c = pcall(require, \"other\")\n'''";
    let at = |line: usize| format!("error {line}:19 the module `shpo` is not found; `path` has ");
    check_site(
        config,
        modules,
        &[
            &at(8),
            "error 1:10 there is no `ngx.sya`",
            "warning 1:35 a module assigns to the global `total`, which all requests of a thread share",
        ],
    );
}

#[test]
fn code_in_a_configuration_is_told_with_the_lines_of_the_configuration() {
    let config = "[scripts.a]\naccess = \"ngx.sya()\"\nlog = '''\n-- a comment\nngx.sleep(1)\n'''\n\
                  header_filter = \"\"\"\\\n  ngx.sya() \\\n\n  ngx.req.read_body()\n\"\"\"\nbody_filter = \"ngx.say('\"";
    check_site(
        config,
        &[],
        &[
            "error 2:11 there is no `ngx.sya`",
            "error 5:1 `ngx.sleep` cannot be called in `log` | it can be in `rewrite`, `access`, `content`, and in a timer",
            "error 8:3 `ngx.req.read_body` cannot be called in `header_filter`",
            "error 8:3 there is no `ngx.sya`",
            "error 12:1 this is not Lua: unfinished string",
        ],
    );
}

#[test]
fn phases_have_what_they_can_call() {
    let config = "[scripts.a]\naccess_file = \"a.lua\"\nlog_file = \"a.lua\"\nheader_filter_file = \"b.lua\"\n\
                  body_filter_file = \"c.lua\"";
    let files = &[
        ("a.lua", "if ngx.get_phase() == 'access' then ngx.sleep(1) end"),
        ("b.lua", "local s = ngx.socket.tcp() s:connect('a', 1) ngx.timer.at(0, function() ngx.sleep(1) end)"),
        ("c.lua", "local print = ngx.print print(1) ngx.req.set_header('a', 'b')"),
    ];
    check_site(
        config,
        files,
        &[
            "error 1:11 `ngx.socket.tcp` cannot be called in `header_filter`",
            "error 1:30 `connect` cannot be called in `header_filter`",
            "error 1:15 `ngx.print` cannot be called in `body_filter`",
        ],
    );
    check_site(
        "[lua.v]\ninit = \"ngx.req.get_headers()\"\ninit_worker = \"ngx.sleep(1)\"",
        &[],
        &[
            "error 2:9 `ngx.req.get_headers` cannot be called in `init`",
            "error 3:16 `ngx.sleep` cannot be called in `init_worker`",
        ],
    );
}

#[test]
fn dictionaries_and_variables_are_those_of_the_configuration() {
    let config = "[shared_dicts.one]\nsize = \"64KiB\"\n[shared_dicts.two]\nsize = \"64KiB\"\n[lua.v]\ngrants = [\"shared:one\"]\n\
                  [scripts.a]\nlua = \"v\"\nvariables = { color = \"red\" }\naccess = '''\n\
                  ngx.shared.one:get('a') ngx.shared.two:get('a')\n\
                  ngx.shared.tow:get('a')\n\
                  ngx.var.color = ngx.var.colour\n\
                  ngx.var.uri = ngx.var.arg_x or ngx.var.http_x_y\n\
                  ngx.var.args = ngx.var.realpath_root or 'a=1'\n\
                  ngx.var.COLOR = ngx.var.Color\n'''";
    check_site(
        config,
        &[],
        &[
            "error 11:36 the shared dictionary `two` is not granted: `ngx.shared.two` is nil | add \"shared:two\" to `grants` of `[lua.v]`",
            "error 12:12 there is no shared dictionary `tow`: `ngx.shared.tow` is nil | did you mean `two`?",
            "warning 13:25 there is no variable `$colour`: `ngx.var.colour` is nil | did you mean `color`?",
            "error 14:9 `ngx.var.uri` cannot be assigned to: it is not one of the script's variables",
        ],
    );
}

#[test]
fn globals_of_init_are_there_for_scripts() {
    check_site(
        "[lua.v]\ninit = \"version = 1\"\n[scripts.a]\nlua = \"v\"\ncontent = \"ngx.say(version, revision)\"",
        &[],
        &["warning 5:29 nothing defines the global `revision`"],
    );
}

#[test]
fn a_configuration_that_is_wrong_is_told_as_check_tells_it() {
    check_site(
        "[scripts.a]\ncontents = \"x\"",
        &[],
        &[
            "error 2:1 unknown key `contents`: expected one of `lua`, `rewrite`, `rewrite_file`, `access`, `access_file`, \
             `content`, `content_file`, `balancer`, `balancer_file`, `header_filter`, `header_filter_file`, `body_filter`, \
             `body_filter_file`, `log`, `log_file`, `variables` | did you mean `content`?",
        ],
    );
    check_site("[scripts.a]\ncontent_file = \"none.lua\"", &[], &["error 2:16 `"]);
}

#[test]
fn directories_are_searched_without_following_links() {
    let folder = site("", &[("a/b.lua", "ngx.sya()"), ("a/c.txt", "ngx.sya()"), ("d.lua", "return")]);
    std::os::unix::fs::symlink(folder.path(), folder.path().join("a/again")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", folder.path().join("a/zero.lua")).unwrap();
    let report = lua_check(&options(folder.path().to_owned())).unwrap().to_json();
    assert_eq!((report["files"].as_u64(), report["errors"].as_u64()), (Some(2), Some(1)), "{report}");
    assert_eq!(
        found(&options(folder.path().join("none")))[0].split(" | ").nth(1),
        Some("name a Lua file, a directory of them, or a gateway.toml")
    );
}

#[test]
fn a_file_that_is_too_large_is_not_read() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("large.lua");
    fs::File::create(&path).unwrap().set_len(100 << 20).unwrap();
    let found = found(&options(path));
    assert!(found.len() == 1 && found[0].contains("is larger than 4 MiB"), "{found:?}");
}

/// Of the findings of a configuration: whether the code fails whenever it runs, and what is said.
fn findings(script: &str) -> Vec<(bool, String)> {
    let text = format!(
        "[[listeners]]\naddress = \"127.0.0.1:0\"\n[shared_dicts.d]\nsize = \"1MiB\"\n[lua.v]\n[scripts.s]\nlua = \"v\"\n{script}"
    );
    let path = std::path::Path::new("gateway.toml");
    let config = witgate_config::parse(&text, path).unwrap();
    let found = super::lua_findings(&config, (path, &text), &std::collections::BTreeMap::new()).unwrap();
    found.into_iter().map(|finding| (finding.fails, finding.diagnostic.message)).collect()
}

#[test]
fn code_that_fails_whenever_it_runs_is_told_from_code_that_may() {
    for (code, fails) in [
        ("ngx.sya('a')", true),
        ("local say = ngx.sya say('a')", true),
        ("local function f() ngx.sya('a') end f()", true),
        ("return tostring(ngx.sya)", false),
        ("return pcall(ngx.sya, 'a')", false),
        ("ngx.shared.d:get('a')", true),
        ("return tostring(ngx.shared.d)", false),
        ("local function f() return ngx.shared.d:get('a') end", false),
        ("ngx.socket.tcp():conect('a', 1)", true),
        ("require 'nothing'", true),
        ("local function f() return require 'nothing' end", false),
        ("ngx.var.color = 'red'", true),
        ("ngx.req.socket()", false),
        ("undefined()", false),
    ] {
        let found = findings(&format!("content = \"{code}\"\n"));
        let [(found, _)] = found.as_slice() else { panic!("{code}: {found:?}") };
        assert_eq!(*found, fails, "{code}");
    }
    assert_eq!(findings("content = \"leak = 1 return function() other = 2 end\"\n"), [], "style is left out");
    let asks = findings("content = \"if ngx.sya then ngx.sya('a') end\"\n");
    assert!(asks.iter().all(|(fails, _)| !fails), "code that asks is not refused: {asks:?}");
}
