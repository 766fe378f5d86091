//! The published table of what is here of lua-nginx-module's API: each line is as it says, and named by a test that shows it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used, clippy::panic)]

mod rig;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use rig::{Rig, answered, get};
use witgate_script::usage::phases_of;
use witgate_script::{AppSpec, Phase};
use witgate_stage::Hook;

fn below_root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

fn table(path: &str) -> toml::Table {
    fs::read_to_string(below_root(path)).unwrap().parse().unwrap()
}

struct Entry {
    section: String,
    name: String,
    status: String,
    note: String,
    test: String,
}

fn entries() -> Vec<Entry> {
    let mut entries = Vec::new();
    for section in table("docs/lua/api.toml")["sections"].as_array().unwrap() {
        for entry in section["entries"].as_array().unwrap() {
            let text = |key: &str| entry.get(key).map_or("", |value| value.as_str().unwrap()).to_owned();
            let section = section["title"].as_str().unwrap().to_owned();
            let (name, status, note, test) = (text("name"), text("status"), text("note"), text("test"));
            entries.push(Entry { section, name, status, note, test });
        }
    }
    entries
}

/// A content script with a dictionary `d`, and what it says to a request.
fn says(code: &str) -> String {
    let app = AppSpec { name: "test".into(), dicts: BTreeMap::from([("d".to_owned(), 1 << 20)]), ..AppSpec::default() };
    Rig::of(&[(Phase::Content, code)], app).told()
}

#[test]
fn the_page_is_what_the_list_says() {
    let mut page = String::from(
        "<!-- Written from api.toml and conformance.toml: `BLESS=1 cargo test -p witgate-script --test compatibility`. -->\n\n\
         # What is here of lua-nginx-module\n\n\
         Every directive, function, variable and constant of the module, with what it is here. *works*: as there. *differs*: as there \
         but for what is said. *refused*: not there, or an error that says so. The last column names the test that shows it, below \
         `gateway/script`.\n",
    );
    let list = table("docs/lua/api.toml");
    for section in list["sections"].as_array().unwrap() {
        write!(page, "\n## {}\n\n", section["title"].as_str().unwrap()).unwrap();
        if let Some(intro) = section.get("intro") {
            write!(page, "{}\n\n", intro.as_str().unwrap().trim()).unwrap();
        }
        page.push_str("| Name | Status | Notes | Shown by |\n|---|---|---|---|\n");
        let title = section["title"].as_str().unwrap();
        for Entry { name, status, note, test, .. } in entries().iter().filter(|entry| entry.section == title) {
            let shown = test.split_once(' ').map_or_else(
                || "–".to_owned(),
                |(file, test)| format!("`{}` `{test}`", file.trim_start_matches("../../")),
            );
            writeln!(page, "| `{name}` | {status} | {note} | {shown} |").unwrap();
        }
    }
    let conformance = table("docs/lua/conformance.toml");
    write!(
        page,
        "\n## Cases of the module's own tests\n\n{}\n\n| Cases | Why they fail |\n|---|---|\n",
        conformance["summary"].as_str().unwrap().trim()
    )
    .unwrap();
    for group in conformance["groups"].as_array().unwrap() {
        let cases: Vec<&str> = group["cases"].as_array().unwrap().iter().map(|case| case.as_str().unwrap()).collect();
        writeln!(page, "| {}: {} | {} |", cases.len(), cases.join(", "), group["reason"].as_str().unwrap()).unwrap();
    }
    let file = below_root("docs/lua/compatibility.md");
    if env::var_os("BLESS").is_some() {
        fs::write(&file, &page).unwrap();
    }
    let published = fs::read_to_string(&file).unwrap_or_default();
    assert!(published == page, "docs/lua/compatibility.md is out of date: run `BLESS=1 cargo test -p witgate-script`");
}

#[test]
fn every_test_that_is_named_exists() {
    for Entry { section, name, test, status, .. } in entries() {
        let not_run = section == "Libraries" && status == "not run";
        assert!(not_run || ["works", "differs", "refused"].contains(&status.as_str()), "{name}: {status}");
        if not_run && test.is_empty() {
            continue;
        }
        let (file, function) = test.split_once(' ').unwrap();
        let source = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap_or_default();
        assert!(source.contains(&format!("fn {function}()")), "{name}: no test {function} in {file}");
    }
}

/// An expression of Lua for what a name stands for; none for what is no value.
fn expression(name: &str) -> Option<String> {
    if let Some(method) = name.strip_prefix("tcpsock:") {
        return Some(format!("ngx.socket.tcp().{method}"));
    }
    if let Some(method) = name.strip_prefix("udpsock:") {
        return Some(format!("ngx.socket.udp().{method}"));
    }
    match name {
        "ngx.arg" => None,
        "ngx.semaphore" | "ngx.balancer" | "cjson" | "cjson.safe" | "resty.core" => Some(format!("require('{name}')")),
        "print" => Some(name.to_owned()),
        _ if name.starts_with("ngx.shared.DICT") => Some(name.replace("DICT", "d")),
        _ if ["ngx.", "coroutine.", "golapis."].iter().any(|prefix| name.starts_with(prefix)) => Some(name.to_owned()),
        _ => None,
    }
}

#[test]
fn every_name_that_works_is_there() {
    let mut code = String::new();
    for Entry { name, .. } in entries().iter().filter(|entry| entry.status != "refused" && entry.section != "Libraries")
    {
        if let Some(expression) = expression(name) {
            write!(code, "if ({expression}) == nil then ngx.print('{name} ') end ").unwrap();
        }
    }
    assert_eq!(says(&format!("{code} ngx.say('end')")), "end\n", "these are not there");
}

#[test]
fn what_is_refused_is_not_there_or_says_so() {
    let code = "
        local function all(...)
            for i = 1, select('#', ...) do ngx.print(tostring((select(i, ...))), ' ') end
            ngx.say()
        end
        local sock = ngx.socket.tcp()
        all(ngx.req.socket()) all(ngx.run_worker_thread('pool', 'module', 'f')) all(ngx.on_abort(function() end))
        all(ngx.req.set_body_file, sock.settrustedstore, sock.getsslsession, sock.getsslctx, ndk)
        for _, name in ipairs { 'ngx.ssl', 'ngx.ocsp', 'thread.exdata', 'thread.exdata2' } do ngx.say((pcall(require, name))) end
        ngx.say((pcall(ngx.location.capture, '/', { share_all_vars = true })))
        ngx.say(jit.prngstate)
    ";
    let said = says(code);
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines[0].starts_with("nil request sockets are not supported"), "{said}");
    assert!(lines[1].starts_with("nil worker threads are not supported"), "{said}");
    assert!(lines[2].starts_with("nil lua_check_client_abort is off"), "{said}");
    assert_eq!(lines[3], "nil nil nil nil nil ");
    assert_eq!(lines[4..], ["false", "false", "false", "false", "false", "nil"]);
}

#[test]
fn directives_have_keys_in_their_place() {
    let reference = fs::read_to_string(below_root("docs/configuration.md")).unwrap();
    for Entry { name, status, note, .. } in entries().iter().filter(|entry| entry.section == "Directives") {
        if status == "refused" {
            assert!(!reference.contains(&format!("| `{name}` |")), "{name} is a key");
            let phase = name.trim_end_matches("_block").trim_end_matches("_file").strip_suffix("_by_lua").unwrap_or("");
            assert!(Phase::ALL.iter().all(|known| known.name() != phase), "{name} is a phase");
        } else {
            let key = note.split('`').nth(1).unwrap();
            let is_key = reference.contains(&format!("| `{key}` |")) || reference.contains(&format!("`{key}`"));
            assert!(is_key, "{name}: no key {key}");
        }
    }
}

#[test]
fn constants_have_the_values_of_nginx() {
    let code = "
        ngx.say(ngx.OK, ngx.ERROR, ngx.AGAIN, ngx.DONE, ngx.DECLINED, ' ', type(ngx.null), tostring(ngx.null))
        ngx.say(ngx.HTTP_GET, ' ', ngx.HTTP_HEAD, ' ', ngx.HTTP_POST, ' ', ngx.HTTP_PUT, ' ', ngx.HTTP_DELETE, ' ', ngx.HTTP_TRACE)
        ngx.say(ngx.HTTP_OK, ' ', ngx.HTTP_MOVED_TEMPORARILY, ' ', ngx.HTTP_CLOSE, ' ', ngx.HTTP_INSUFFICIENT_STORAGE)
        ngx.say(ngx.STDERR, ngx.EMERG, ngx.ALERT, ngx.CRIT, ngx.ERR, ngx.WARN, ngx.NOTICE, ngx.INFO, ngx.DEBUG)
    ";
    let expected = "0-1-2-4-5 userdatauserdata: NULL\n2 4 8 16 32 32768\n200 302 444 507\n012345678\n";
    assert_eq!(says(code).replace("userdata: (nil)", "userdata: NULL"), expected);
}

#[test]
fn the_request_can_be_read_and_changed() {
    let code = "
        ngx.say(ngx.req.get_method(), ngx.req.http_version(), ngx.req.is_internal(), ngx.is_subrequest, ngx.get_phase())
        ngx.say(ngx.req.get_uri_args().a, ' ', ngx.req.get_headers().host, ' ', ngx.req.get_headers()['X-None'])
        ngx.req.set_uri('/x y') ngx.req.set_uri_args({ b = 1 }) ngx.req.set_method(ngx.HTTP_PUT)
        ngx.req.set_header('X-One', 'a') ngx.req.set_header('X-Two', { 'b', 'c' }) ngx.req.set_header('X-Two', nil)
        ngx.say(ngx.var.uri, ' ', ngx.var.args, ' ', ngx.req.get_method(), ' ', ngx.req.get_headers().x_one)
        ngx.req.clear_header('x-one')
        ngx.say(ngx.req.get_headers().x_one, ngx.req.get_headers().x_two, ngx.req.get_body_file())
        ngx.say(ngx.req.start_time() <= ngx.now() + 1, ' ', ngx.req.raw_header(true):match('host: [^\\r]*'))
        ngx.say((pcall(ngx.req.set_header, 'Host', 'x')), (pcall(ngx.req.set_uri, '')), (pcall(ngx.req.get_post_args)))
    ";
    let rig = Rig::new(&[(Phase::Content, code)]);
    let said = String::from_utf8(rig.respond(get("/p?a=1")).body.to_vec()).unwrap();
    let expected = "GET1.1falsefalsecontent\n1 localhost:8080 nil\n/x y b=1 PUT a\nnilnilnil\ntrue host: localhost:8080\n\
                    falsefalsefalse\n";
    assert_eq!(said, expected);
}

#[test]
fn output_looks_and_waits_as_in_nginx() {
    let code = "
        ngx.say(-9223372036854775808, ' ', 99999999999999, ' ', 100000000000000, ' ', -0.5)
        ngx.say(ngx.flush())
        ngx.say(pcall(ngx.log, ngx.ERR, 'a', {})) ngx.say(pcall(ngx.thread.wait)) ngx.say(pcall(ngx.thread.wait, 1))
    ";
    let expected = "-9.2233720368548e+18 99999999999999 1e+14 -0.5\n1\n\
        falsebad argument #2 to 'log' (expected table to have __tostring metamethod)\nfalseat least one coroutine should be specified\n\
        falsebad argument #1 to 'wait' (lua thread expected)\n";
    assert_eq!(says(code), expected);
    assert_eq!(
        says("local ok, err = ngx.flush() ngx.status = 201 ngx.say(tostring(ok), err)"),
        "nilnothing to flush\n"
    );
    assert!(says("error(nil)").starts_with("error: runtime error: unknown reason\nstack traceback:"));
}

#[test]
fn the_response_is_what_a_script_says() {
    let code = "
        ngx.status = 201
        ngx.header.x_one = 'a' ngx.header['X-Two'] = { 'b', 'c' }
        local before = ngx.headers_sent
        ngx.say(tostring(before), ngx.status, ngx.header['x-one'], #ngx.resp.get_headers()['x-two'])
        ngx.print({ 'n', { 1, true } }, nil)
        ngx.send_headers() ngx.flush(true)
        ngx.say(tostring(ngx.headers_sent)) ngx.eof()
        ngx.say('too late')
    ";
    let response = Rig::new(&[(Phase::Content, code)]).respond(get("/"));
    assert_eq!(response.status, 201);
    assert_eq!(response.headers["x-two"], "b");
    assert_eq!(response.body, "false201a2\nn1truenil\ntrue\n".replace("niltrue", "nil\ntrue").replace("nil\n", "nil"));
    let redirect = Rig::new(&[(Phase::Content, "return ngx.redirect('/there', 301)")]).respond(get("/"));
    assert_eq!((redirect.status.as_u16(), &redirect.headers["location"]), (301, &"/there".parse().unwrap()));
}

#[test]
fn variables_have_values() {
    let code = "
        ngx.header.x_y = 'z'
        local function show(...) for _, name in ipairs { ... } do ngx.print(ngx.var[name] or '-', ' ') end ngx.say() end
        show('uri', 'document_uri', 'request_uri', 'request_method', 'args', 'query_string', 'is_args', 'arg_a', 'request')
        show('server_protocol', 'scheme', 'https', 'host', 'http_host', 'server_name', 'server_port', 'server_addr')
        show('remote_addr', 'remote_port', 'content_length', 'content_type', 'http_user_agent', 'http_referer', 'cookie_c')
        show('request_id', 'route', 'upstream_name', 'request_body', 'bytes_sent', 'request_length', 'upstream_status')
        show('ssl_server_name', 'upstream_http_x', 'status', 'body_bytes_sent', 'nothing_of_this_name')
        ngx.say(#ngx.var.binary_remote_addr, ngx.var.sent_http_x_y, tonumber(ngx.var.msec) ~= nil, tonumber(ngx.var.pid) ~= nil,
            tonumber(ngx.var.request_time) ~= nil, ngx.var.nginx_version ~= nil)
        ngx.var.color = 'blue'
        ngx.say(ngx.var.color, (pcall(function() ngx.var.uri = '/x' end)))
        ngx.var.COLOR = 'green'
        ngx.say(ngx.var.color, ngx.var.Color, ngx.var.Request_Method, ngx.var.HTTP_Host, ngx.var.NONE)
    ";
    let mut exchange = get("/p%20q?a=1&b");
    exchange.request.headers.insert("cookie", "c=d".parse().unwrap());
    let said = String::from_utf8(Rig::new(&[(Phase::Content, code)]).respond(exchange).body.to_vec()).unwrap();
    let expected = "/p q /p q /p%20q?a=1&b GET a=1&b a=1&b ? 1 GET /p%20q?a=1&b HTTP/1.1 \n\
                    HTTP/1.1 http  localhost localhost:8080 localhost 80 127.0.0.1 \n127.0.0.1 5000 - - - - d \n\
                    id-1 route - - 0 64 - \n- - 000 0 - \n4ztruetruetruetrue\nbluefalse\n\
                    greengreenGETlocalhost:8080nil\n";
    assert_eq!(said, expected);
}

#[test]
fn the_configuration_of_nginx_has_values() {
    let code = "
        local config = ngx.config
        ngx.say(config.subsystem, tostring(config.debug), type(config.nginx_version), type(config.ngx_lua_version))
        ngx.say(config.prefix(), config.nginx_configure())
    ";
    assert_eq!(says(code), "httpfalsenumbernumber\n\n");
}

#[test]
fn what_phases_refuse_is_known_to_those_who_check_scripts() {
    let phases = [
        (Phase::Rewrite, Hook::RequestHeaders),
        (Phase::Balancer, Hook::RequestHeaders),
        (Phase::HeaderFilter, Hook::ResponseHeaders),
        (Phase::Log, Hook::Log),
    ];
    let mut wrong = Vec::new();
    for Entry { name, status, .. } in entries() {
        if status == "refused" || !name.starts_with("ngx.") || name.contains("DICT") || name.starts_with("ngx.timer") {
            continue;
        }
        for (phase, hook) in phases {
            let code = format!(
                "local ok, f = pcall(function() return {name} end)
                if type(f) ~= 'function' then return end
                for _, args in ipairs {{ {{}}, {{ 0 }}, {{ '/x' }}, {{ 'x', false }}, {{ {{}} }}, {{ print }} }} do
                    ngx.shared.d:set('tried', true)
                    local ok, message = pcall(f, unpack(args))
                    if not ok and tostring(message):find('API disabled in the context', 1, true) then
                        ngx.shared.d:set('refused', true)
                        return
                    end
                end"
            );
            let dicts = BTreeMap::from([("d".to_owned(), 1 << 20)]);
            let app = AppSpec { name: "test".into(), dicts, ..AppSpec::default() };
            let rig = Rig::of(&[(phase, &code)], app);
            let exchange = if phase == Phase::HeaderFilter { answered(get("/")) } else { get("/") };
            let _ = rig.run(hook, exchange);
            let app = rig.host().apps().remove(0);
            let dict = app.app().dict("d").unwrap();
            let has = |key: &str| dict.get(key.as_bytes(), |_, _| ()).is_some();
            let expected = phases_of(&name).is_some_and(|phases| !phases.contains(&phase));
            if has("tried") && has("refused") != expected {
                wrong.push(format!("{name} in {}: {}", phase.name(), has("refused")));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
