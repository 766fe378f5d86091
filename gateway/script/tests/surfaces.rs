//! What lua-resty-http, -jwt, -limit-traffic, -template and -session take of the API. No registry carries those libraries, so
//! here is code of our own that does what they do, by the same calls (`surfaces/*.lua`); the originals are not run.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used, clippy::panic)]

mod rig;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use rig::server::{identity, serve};
use rig::{Rig, get};
use witgate_script::{AppSpec, Chunk, Modules, Phase, Trust};
use witgate_stage::{Hook, Response, Run, Stage, Verdict};

fn fixture(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/surfaces").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn modules() -> Modules {
    let module = |name: &str| {
        let source = Bytes::from(fixture(&format!("{name}.lua")));
        (format!("surfaces.{name}"), Chunk { name: format!("@surfaces/{name}.lua"), source })
    };
    ["http", "jwt", "crypto", "limits", "template", "session"].map(module).into()
}

fn spec(trust: Trust) -> AppSpec {
    AppSpec { modules: Arc::new(modules()), ..rig::for_libraries(trust) }
}

fn rig(trust: Trust, code: &str) -> Rig {
    Rig::of(&[(Phase::Content, code)], spec(trust))
}

fn answer_to(rig: &Rig, cookie: Option<&str>) -> Response {
    let mut exchange = get("/");
    if let Some(cookie) = cookie {
        exchange.request.headers.insert("cookie", cookie.parse().unwrap());
    }
    rig.respond(exchange)
}

/// What a script says on a thread of its own, and so in a VM of its own.
fn told_in_another_vm(rig: &Rig) -> String {
    let run = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let stage = rig.stage();
        let _entered = runtime.enter();
        let verdict = match stage.run(Hook::RequestHeaders, get("/")) {
            Run::Ended(_, result) => result,
            Run::Waits(future) => runtime.block_on(future).1,
        };
        match verdict {
            Ok(Verdict::Respond(response)) => String::from_utf8(response.body.to_vec()).unwrap(),
            Err(error) => format!("error: {}", error.source),
            other => panic!("{other:?}"),
        }
    };
    std::thread::scope(|scope| scope.spawn(run).join().unwrap())
}

/// The requests of one connection, each answered by what its path asks for.
fn http(stream: impl Read + Write, connection: usize) -> Option<()> {
    let mut stream = BufReader::new(stream);
    let read_line = |stream: &mut BufReader<_>| {
        let mut line = String::new();
        let count = BufRead::read_line(stream, &mut line).ok().filter(|count| *count > 0)?;
        Some(line[..count].trim_end().to_owned())
    };
    loop {
        let start = read_line(&mut stream)?;
        let mut words = start.split(' ');
        let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
        let mut fields = BTreeMap::new();
        while let Some((name, value)) = read_line(&mut stream)?.split_once(": ") {
            fields.insert(name.to_lowercase(), value.to_owned());
        }
        let mut body = Vec::new();
        if fields.contains_key("expect") {
            stream.get_mut().write_all(b"HTTP/1.1 100 Continue\r\n\r\n").ok()?;
        }
        if fields.contains_key("transfer-encoding") {
            loop {
                let size = usize::from_str_radix(&read_line(&mut stream)?, 16).ok()?;
                let mut chunk = vec![0; size + 2];
                stream.read_exact(&mut chunk).ok()?;
                if size == 0 {
                    break;
                }
                body.extend(&chunk[..size]);
            }
        } else if let Some(length) = fields.get("content-length") {
            body.resize(length.parse().ok()?, 0);
            stream.read_exact(&mut body).ok()?;
        }
        let with_length = |body: &str| format!("Content-Length: {}\r\n\r\n{body}", body.len());
        let host = fields.get("host").map_or("", String::as_str);
        let (answer, closes) = match path.as_str() {
            "/chunked" => {
                let chunks = "3\r\none\r\n5;name=value\r\n, two\r\n0\r\nX-Trailer: end\r\n\r\n";
                (format!("HTTP/1.1 200 OK\r\ntransfer-encoding: CHUNKED\r\n\r\n{chunks}"), false)
            }
            "/until-closed" => ("HTTP/1.1 200 OK\r\n\r\nall that there is".to_owned(), true),
            "/old" => (format!("HTTP/1.0 200 OK\r\n{}", with_length("old")), true),
            "/empty" => ("HTTP/1.1 204 No Content\r\n\r\n".to_owned(), false),
            "/cookies" => {
                let cookies = "Set-Cookie: a=1\r\nset-cookie: b=2\r\nX-Kept: yes\r\n";
                (format!("HTTP/1.1 203 Fine\r\n{cookies}{}", with_length("with cookies")), false)
            }
            "/cut" => ("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf".to_owned(), true),
            "/garbled" => ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".to_owned(), true),
            "/plain" => ("no HTTP at all\r\n".to_owned(), true),
            "/big" => (format!("HTTP/1.1 200 OK\r\n{}", with_length(&"0123456789".repeat(100_000))), false),
            _ if method == "HEAD" => ("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n".to_owned(), false),
            _ => {
                let body = String::from_utf8(body).ok()?;
                (
                    format!(
                        "HTTP/1.1 200 OK\r\n{}",
                        with_length(&format!("{method} {path} {host} {connection} [{body}]"))
                    ),
                    false,
                )
            }
        };
        stream.get_mut().write_all(answer.as_bytes()).ok()?;
        if closes {
            return None;
        }
    }
}

fn http_server() -> u16 {
    let connections = AtomicUsize::new(0);
    serve(move |stream| {
        http(stream, connections.fetch_add(1, Ordering::Relaxed) + 1);
    })
}

fn asks(port: u16, code: &str) -> String {
    let begin = "local http = require 'surfaces.http'
        local client = assert(http.new())
        client:set_timeouts(5000, 5000, 5000)
        local here = {scheme = 'http', host = '127.0.0.1', port = PORT} ";
    rig(Trust::Sandbox, &format!("{begin}{code}").replace("PORT", &port.to_string())).told()
}

#[test]
fn an_http_client_keeps_connections_and_reads_every_kind_of_body() {
    let port = http_server();
    let code = "
        local uri = 'http://127.0.0.1:PORT'
        for _, path in ipairs { '/first?a=1', '/second', '/chunked', '/empty', '/third', '/until-closed', '/old', '/fourth' } do
            local response = assert(http.new():request_uri(uri .. path))
            ngx.say(response.status, ' ', response.body)
        end
        local response = assert(http.new():request_uri(uri .. '/chunked'))
        ngx.say(response.trailers['x-trailer'], ' ', response.headers['TRANSFER-ENCODING'], ' ', response.reason)
        response = assert(http.new():request_uri(uri .. '/x', {method = 'HEAD'})) ngx.say(response.body, response.headers['content-length'])
    ";
    let host = format!("127.0.0.1:{port}");
    let expected = format!(
        "200 GET /first?a=1 {host} 1 []\n200 GET /second {host} 1 []\n200 one, two\n204 \n200 GET /third {host} 1 []\n\
         200 all that there is\n200 old\n200 GET /fourth {host} 3 []\nend CHUNKED OK\n1000\n"
    );
    assert_eq!(asks(port, code), expected);
}

#[test]
fn an_http_client_sends_bodies_of_known_and_unknown_length() {
    let port = http_server();
    let code = "
        assert(client:connect(here))
        local function say(params) ngx.say((assert(assert(client:request(params)):read_body()):gsub('127[^ ]* ', ''))) end
        say {method = 'POST', path = '/', body = 'text', headers = {Host = 'a.test', ['X-List'] = {'a', 'b'}}}
        local pieces = {'one ', 'and ', 'two'}
        say {method = 'PUT', path = '/', query = {q = 'a b'}, body = coroutine.wrap(function()
            for _, piece in ipairs(pieces) do ngx.sleep(0) coroutine.yield(piece) end
        end)}
        say {method = 'POST', path = '/', body = 'later', headers = {Expect = '100-continue'}}
        ngx.say(client:set_keepalive(1000, 5))
        assert(client:connect(here)) ngx.say(client:get_reused_times())
    ";
    let expected = "POST / a.test 1 [text]\nPUT /?q=a%20b 1 [one and two]\nPOST / 1 [later]\n1\n1\n";
    assert_eq!(asks(port, code), expected);
}

#[test]
fn an_http_client_reads_in_pieces_and_several_at_once() {
    let port = http_server();
    let code = "
        assert(client:connect(here))
        local response, size, count = assert(client:request {path = '/big'}), 0, 0
        for chunk in response.body_reader, 65536 do size, count = size + #chunk, count + 1 end
        ngx.say(size, ' ', count)
        local pipeline = assert(client:request_pipeline {{path = '/one'}, {path = '/chunked'}, {path = '/two'}})
        for _, response in ipairs(pipeline) do ngx.say(response.status, ' ', (response:read_body():gsub('127[^ ]* ', ''))) end
        local function fetch(path)
            return assert(http.new():request_uri('http://127.0.0.1:PORT' .. path)).status
        end
        local threads = {}
        for i, path in ipairs { '/a', '/chunked', '/big', '/empty' } do threads[i] = ngx.thread.spawn(fetch, path) end
        for _, thread in ipairs(threads) do ngx.print(select(2, ngx.thread.wait(thread)), ' ') end
    ";
    assert_eq!(asks(port, code), "1000000 16\n200 GET /one 1 []\n200 one, two\n200 GET /two 1 []\n200 200 200 204 ");
}

#[test]
fn an_http_client_is_told_what_is_wrong() {
    let port = http_server();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let code = "
        for _, path in ipairs { '/cut', '/garbled', '/plain' } do
            ngx.say((select(2, http.new():request_uri('http://127.0.0.1:PORT' .. path))))
        end
        ngx.say((select(2, http.new():request_uri('http://127.0.0.1:FREE/'))))
        ngx.say((select(2, http.new():request_uri('mailto:x'))))
        ngx.say((select(2, http.new():request_uri('http://10.0.0.1:80/'))))
    ";
    let expected = "closed\nno size of a chunk: zz\nno status line: no HTTP at all\nconnection refused\nnot a URI: mailto:x\n\
                    not in reach: grant \"address:10.0.0.1:80\"\n";
    assert_eq!(asks(port, &code.replace("FREE", &free.to_string())), expected);
}

#[test]
fn an_http_client_gives_responses_on() {
    let port = http_server();
    let code = "
        local http = require 'surfaces.http'
        local client = http.new()
        assert(client:connect {scheme = 'http', host = '127.0.0.1', port = PORT})
        local response = assert(client:request {path = '/cookies'})
        assert(http.proxy_response(response, 4))
        client:set_keepalive()
    ";
    let response = answer_to(&rig(Trust::Sandbox, &code.replace("PORT", &port.to_string())), None);
    assert_eq!((response.status.as_u16(), &*response.body), (203, &b"with cookies"[..]));
    let cookies: Vec<_> = response.headers.get_all("set-cookie").iter().collect();
    assert_eq!(cookies, ["a=1", "b=2"]);
    assert_eq!(response.headers["x-kept"], "yes");
}

#[test]
fn an_http_client_shakes_hands_and_checks_names() {
    let (config, authority) = identity("service.test");
    let port = serve(move |mut stream| {
        let mut connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
        while connection.is_handshaking() {
            if connection.complete_io(&mut stream).is_err() {
                return;
            }
        }
        let name = connection.server_name().unwrap_or("none").to_owned();
        assert!(["service.test", "other.test", "none"].contains(&name.as_str()), "{name}");
        http(rustls::Stream::new(&mut connection, &mut stream), name.len());
    });
    let code = "
        local http = require 'surfaces.http'
        local uri = 'https://127.0.0.1:PORT/x'
        for _ = 1, 2 do ngx.say(assert(http.new():request_uri(uri, {server_name = 'service.test'})).body) end
        ngx.say((select(2, http.new():request_uri(uri, {server_name = 'other.test'}))))
        ngx.say((select(2, http.new():request_uri(uri))))
        ngx.say(assert(http.new():request_uri(uri, {server_name = 'other.test', verify = false})).body)
        local client = http.new()
        local here = {scheme = 'https', host = '127.0.0.1', port = PORT, server_name = 'service.test', pool = 'own'}
        assert(client:connect(here)) client:request({path = '/'}):read_body() ngx.say(client:set_keepalive())
        assert(client:connect(here)) ngx.say(client:get_reused_times(), ' ', client:request({path = '/'}).status)
    ";
    let mut app = spec(Trust::Sandbox);
    app.authorities = Some(authority.into());
    let told = Rig::of(&[(Phase::Content, &code.replace("PORT", &port.to_string()))], app).told();
    let body = format!("GET /x 127.0.0.1:{port} 12 []");
    let mismatch = "certificate host mismatch";
    let other = body.replace(" 12 ", " 10 ");
    assert_eq!(told, format!("{body}\n{body}\n{mismatch}\n{mismatch}\n{other}\n1\n1 200\n"));
}

#[test]
fn tokens_with_codes_are_signed_and_verified() {
    let code = r#"
        local jwt = require 'surfaces.jwt'
        local function sign(algorithm, payload) return jwt.sign('secret', {header = {typ = 'JWT', alg = algorithm, kid = 'k'}, payload = payload}) end
        local function tell(token, ...) local t = jwt.verify(...) ngx.say(t.verified, ' ', t.reason or t.payload.sub) end
        for _, algorithm in ipairs { 'HS256', 'HS384', 'HS512' } do tell(1, 'secret', sign(algorithm, {sub = algorithm})) end
        -- Of RFC 7515, appendix A.1.
        local key = require('ngx.base64').decode_base64url('AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow')
        local token = 'eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk'
        tell(2, key, token)
        ngx.say(jwt.load(token).payload['http://example.com/is_root'])
        tell(3, 'other', sign('HS256', {sub = 'x'}):gsub('%.[^.]*$', '.AAAA'))
        tell(4, 'secret', sign('HS256', {exp = ngx.time() - 10}))
        tell(5, 'secret', sign('HS256', {sub = 'leeway', exp = ngx.time() - 10}), {leeway = 60})
        tell(6, 'secret', sign('HS256', {nbf = ngx.time() + 1000}))
        tell(7, 'secret', sign('HS256', {iss = 'https://issuer.example'}))
        tell(8, function(kid) return kid == 'k' and 'secret' end, sign('HS256', {sub = 'by name'}))
        for _, bad in ipairs { 'a.b', '', 'a.b.c', 'e30.!!.x', (sign('HS256', {}):gsub('^[^.]*', 'eyJhbGciOiJub25lIn0')) } do tell(9, 'secret', bad) end
        ngx.say((pcall(jwt.sign, 'secret', {header = {alg = 'XX'}, payload = {}})))
    "#;
    let told = rig(Trust::Sandbox, code).told();
    let lines: Vec<_> = told.lines().collect();
    assert_eq!(lines[..3], ["true HS256", "true HS384", "true HS512"], "{told}");
    assert!(lines[3].starts_with("false jwt token expired at: 1300819380"), "{told}");
    assert_eq!(lines[4], "true");
    assert!(lines[5].starts_with("false signature mismatch: "), "{told}");
    assert!(lines[6].starts_with("false jwt token expired at: "), "{told}");
    assert_eq!(lines[7], "true leeway");
    assert!(lines[8].starts_with("false jwt token not valid until: "), "{told}");
    assert!(["true nil", "true "].contains(&lines[9]), "{told}");
    assert_eq!(lines[10], "true by name");
    let rest = [
        "false invalid jwt string",
        "false invalid jwt string",
        "false invalid header: a",
        "false invalid payload: !!",
        "false unsupported alg: none",
        "false",
    ];
    assert_eq!(lines[11..], rest, "{told}");
}

#[test]
fn tokens_with_signatures_are_verified_by_libcrypto() {
    let code = r#"
        local jwt, crypto = require 'surfaces.jwt', require 'surfaces.crypto'
        local pem, token = ngx.decode_base64('PEM'), 'TOKEN'
        local options = {asymmetric = crypto}
        local t = jwt.verify(pem, token, options) ngx.say(t.verified, ' ', t.payload.sub)
        t = jwt.verify(pem, token:gsub('%.([^.]*)%.', function(p) return '.' .. p:reverse() .. '.' end), options) ngx.say(t.verified)
        t = jwt.verify('not a key', token, options) ngx.say(t.verified, ' ', t.reason:find('error:', 1, true) ~= nil)
        for kind, parameter in pairs { RSA = 2048, EC = 'P-256' } do
            local key = crypto.generate(kind, parameter)
            local signed = jwt.sign(key, {header = {alg = kind == 'EC' and 'ES256' or 'RS256'}, payload = {sub = kind}}, crypto)
            ngx.say(jwt.verify(key, signed, options).verified, jwt.verify(pem, signed, options).verified)
        end
        collectgarbage()
    "#;
    use base64::Engine as _;
    let pem = base64::engine::general_purpose::STANDARD.encode(fixture("rs256.pem"));
    let told =
        rig(Trust::Full, &code.replace("PEM'", &format!("{pem}'")).replacen("TOKEN", &fixture("rs256.jwt"), 1)).told();
    let lines: Vec<_> = told.lines().collect();
    assert_eq!(lines, ["true alice", "false", "false true", "truefalse", "truefalse"], "{told}");
    let sandboxed = rig(Trust::Sandbox, "ngx.say(pcall(require, 'surfaces.crypto'))").told();
    assert!(sandboxed.starts_with("falsesurfaces/crypto.lua:2: ") && sandboxed.contains("ffi"), "{sandboxed}");
}

#[test]
fn tokens_are_found_in_requests() {
    let rig = rig(Trust::Sandbox, "ngx.say(require('surfaces.jwt').bearer())");
    let with = |name: &'static str, value: &str, path: &str| {
        let mut exchange = get(path);
        exchange.request.headers.insert(name, value.parse().unwrap());
        rig.respond(exchange).body
    };
    assert_eq!(with("authorization", "bearer a.b.c", "/"), "a.b.c\n");
    assert_eq!(with("cookie", "x=1; jwt=d.e.f", "/"), "d.e.f\n");
    assert_eq!(with("authorization", "Basic x", "/?jwt=g"), "g\n");
}

#[test]
fn limits_of_rate_count_for_all_vms() {
    for trust in [Trust::Sandbox, Trust::Full] {
        let code = "
            local limits = require 'surfaces.limits'
            local limiter = assert(limits.rate.new('d', 2, 3))
            local now = 1000
            for _ = 1, 3 do
                local delay, state = limiter:incoming('client', true, now)
                ngx.print(delay, '/', state, ' ')
            end
            ngx.say(limits.has_ffi)
        ";
        let rig = rig(trust, code);
        let own = format!("{}\n", trust == Trust::Full);
        assert_eq!(rig.told(), format!("0/0 0.5/1 1/2 {own}"));
        assert_eq!(told_in_another_vm(&rig), format!("1.5/3 nil/rejected nil/rejected {own}"));
    }
}

#[test]
fn buckets_run_empty_with_time() {
    let code = "
        local limiter = require('surfaces.limits').rate.new('d', 10, 2)
        local function tell(...) local delay, state = limiter:incoming('k', ...) ngx.print(tostring(delay), '/', state, ' ') end
        for _, now in ipairs { 0, 0, 0, 0, 0.1, 0.5, 0.5 } do tell(true, 5000 + now) end
        limiter:uncommit('k') tell(false, 5000.5)
        ngx.shared.d:set('k', 'x') tell(true)
        ngx.say(tostring(require('surfaces.limits').rate.new('none', 1, 1)))
        local delay = assert(limiter:incoming('other', true)) ngx.sleep(delay) ngx.say(delay)
    ";
    let expected = "0/0 0.1/1 0.2/2 nil/rejected 0.2/2 0/0 0.1/1 0.1/1 nil/shdict abused by other users nil\n0\n";
    assert_eq!(rig(Trust::Sandbox, code).told(), expected);
}

#[test]
fn limits_of_number_and_concurrency_count_for_all_vms() {
    let code = "
        local limits = require 'surfaces.limits'
        local counter, at_once = limits.count.new('d', 3, 60), limits.concurrency.new('d', 2, 1, 0.5)
        for _ = 1, 2 do ngx.print(tostring((select(2, counter:incoming('count', true)))), ' ') end
        local reset = counter:reset_after('count')
        ngx.print(reset > 50 and reset <= 60, ' ')
        for _ = 1, 2 do
            local delay, state = at_once:incoming('at once', true)
            ngx.print(delay, '/', state, ' ')
        end
        ngx.say(at_once:is_committed())
    ";
    let rig = rig(Trust::Sandbox, code);
    assert_eq!(rig.told(), "2 1 true 0/1 0/2 true\n");
    assert_eq!(told_in_another_vm(&rig), "0 rejected true 0.5/3 nil/rejected true\n");
    let mut rig = rig;
    rig.replace(
        "local at_once = require('surfaces.limits').concurrency.new('d', 2, 1, 0.5)
        ngx.say(at_once:leaving('at once', 0.1), at_once:leaving('at once'), at_once.delay, ngx.shared.d:get('count'))",
    );
    assert_eq!(rig.told(), "210.3-1\n");
}

#[test]
fn limits_of_several_kinds_are_taken_back_together() {
    let code = "
        local limits = require 'surfaces.limits'
        local few, many, once = limits.count.new('d', 2, 60), limits.count.new('d', 5, 60), limits.concurrency.new('d', 10, 0, 1)
        for _ = 1, 4 do
            local states = {}
            local delay, err = limits.combine({many, few, once}, {'many', 'few', 'once'}, states)
            ngx.print(tostring(delay or err), ' ', #states, '; ')
        end
        ngx.say(ngx.shared.d:get('many'), ' ', ngx.shared.d:get('few'), ' ', ngx.shared.d:get('once'))
    ";
    let told = rig(Trust::Sandbox, code).told();
    assert_eq!(told, "0 3; 0 3; rejected 1; rejected 1; 3 0 2\n");
}

#[test]
fn connections_that_leave_are_counted_in_the_log_phase() {
    let access = "local limiter = require('surfaces.limits').concurrency.new('d', 1, 0, 0.1)
        ngx.ctx.limiter = limiter
        if not limiter:incoming('k', true) then return ngx.exit(503) end
        ngx.say(ngx.shared.d:get('k'))";
    let log = "local limiter = ngx.ctx.limiter
        if limiter:is_committed() then limiter:leaving('k', tonumber(ngx.var.request_time)) end";
    let rig = Rig::of(&[(Phase::Content, access), (Phase::Log, log)], spec(Trust::Sandbox));
    for _ in 0..3 {
        let (exchange, verdict) = rig.run(Hook::RequestHeaders, get("/"));
        let Ok(Verdict::Respond(response)) = verdict else { panic!("{verdict:?}") };
        assert_eq!(&*response.body, b"1\n");
        rig.run(Hook::Log, exchange).1.unwrap();
    }
}

const VIEWS: &str = "
    local template = require 'surfaces.template'
    local views = {
        page = [[{% layout = 'layout' %}{# nobody sees this #}<h1>{{title}}</h1>{% for i, item in ipairs(items) do %}{(row, {item = item, i = i})}{% end %}{-side-}<b>{{who}}</b>{-side-}]],
        row = [[<li>{{i}}: {*item*}</li>]],
        layout = [[<html>{*view*}|{*blocks.side*}|{[string.lower('ROW')]}</html>]],
        plain = '\\\\{{not}} {{a}}{{f}}{*nothing*} {unclosed {{b}}]\\r\\n',
        broken = 'x {% if %} y', failing = 'a\\n{{nothing.field}}',
    }
    template.load = function(name) return views[name] or error('no template ' .. name, 0) end
";

#[test]
fn templates_are_compiled_once_and_escape_what_they_show() {
    let code = format!(
        "{VIEWS}
        local function page(title) return template.process('page', {{title = title, items = {{'<a>', 2}}, who = 'R&D', i = 0}}) end
        ngx.say(page('<\"1\" & 2>'))
        local compiled = template.compiled
        for i = 1, 50 do page(i) end
        ngx.say(compiled, ' ', template.compiled)
        ngx.say(template.process('plain', {{a = ngx.null, f = function() return '<' end, b = 1.5}}))
        ngx.say((select(2, pcall(template.process, 'none')))) ngx.say((pcall(template.process, 'broken')))
        ngx.say((select(2, pcall(template.process, 'failing'))))
        template.render('row', {{i = 1, item = 'x'}})"
    );
    let rig = rig(Trust::Sandbox, &code);
    let expected = "<html><h1>&lt;&quot;1&quot; &amp; 2&gt;</h1><li>1: <a></li><li>2: 2</li>|<b>R&amp;D</b>|<li>0: </li></html>\n\
        COMPILED\n\\{{not}} &lt; {unclosed 1.5]\r\n\nno template none\nfalse\nfailing:LINE\n<li>1: x</li>";
    let told = rig.told();
    let line = told.lines().find(|line| line.starts_with("failing:")).unwrap();
    assert!(line.contains("attempt to index global 'nothing' (a nil value)"), "{told}");
    let expected = expected.replace("\\{{", "{{").replace("failing:LINE", line);
    assert_eq!(told, expected.replace("COMPILED", "4 4"));
    assert_eq!(rig.told(), expected.replace("COMPILED", "7 7"), "the second request has the same templates");
}

#[test]
fn templates_have_environments_of_their_own() {
    let code = "
        local template = require 'surfaces.template'
        template.cache = {}
        outer = 'global of the request'
        for _, by_load in ipairs { false, true } do
            local view = template.compile('{% made = 1 %}{{outer}} {{own}} {{tostring(made)}} {{ngx.var.uri}}', 'v' .. tostring(by_load), by_load)
            local context = {own = 'own'}
            ngx.say(view(context), ' ', context.made, ' ', rawget(getfenv(1), 'made') == nil and made == nil)
        end
    ";
    let rig = rig(Trust::Sandbox, code);
    let expected = "global of the request own 1 / 1 true\n".replace('/', "&#47;");
    assert_eq!(rig.told(), format!("{expected}{expected}"));
    assert_eq!(rig.told(), format!("{expected}{expected}"));
}

#[test]
fn templates_of_trusted_scripts_come_from_files() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("page.html"), "<p>{{name}}</p>").unwrap();
    let code = "
        local template = require 'surfaces.template'
        template.load = function(name)
            local file = assert(io.open('FOLDER/' .. name, 'rb'))
            local text = file:read('*a')
            file:close()
            return text
        end
        template.render('page.html', {name = 'x'})
    ";
    let code = code.replace("FOLDER", folder.path().to_str().unwrap());
    assert_eq!(rig(Trust::Full, &code).told(), "<p>x</p>");
    let sandboxed = rig(Trust::Sandbox, &code).told();
    assert!(sandboxed.contains("attempt to index global 'io' (a nil value)"), "{sandboxed}");
}

/// The cookie that a response sets, as a client sends it back.
fn cookie(response: &Response) -> String {
    let value = response.headers["set-cookie"].to_str().unwrap();
    value.split(';').next().unwrap().to_owned()
}

const COUNT: &str = "
    local session, err = require('surfaces.session').start(OPTIONS)
    session.data.count = (session.data.count or 0) + 1
    session:save()
    ngx.print(session.data.count, ' ', session.present, ' ', err, ' ', session.is_encrypted)
";

#[test]
fn sessions_go_on_from_request_to_request() {
    for (trust, storage) in
        [(Trust::Full, ""), (Trust::Full, ", dict = 'd'"), (Trust::Sandbox, ", dict = 'd'"), (Trust::Sandbox, "")]
    {
        let rig = rig(trust, &COUNT.replace("OPTIONS", &format!("{{secret = 'of this test'{storage}}}")));
        let encrypted = trust == Trust::Full;
        let first = answer_to(&rig, None);
        assert_eq!(first.body, format!("1 false nil {encrypted}"));
        let set = first.headers["set-cookie"].to_str().unwrap();
        assert!(
            set.starts_with("session=") && set.contains("; HttpOnly; Expires=") && set.ends_with("Max-Age=3600"),
            "{set}"
        );
        let second = answer_to(&rig, Some(&format!("a=b; {}", cookie(&first))));
        assert_eq!(second.body, format!("2 true nil {encrypted}"));
        let third = answer_to(&rig, Some(&cookie(&second)));
        assert_eq!(third.body, format!("3 true nil {encrypted}"));
        let forged = answer_to(&rig, Some(&cookie(&second).replace("session=", "session=A")));
        assert!(forged.body.starts_with(b"1 false "), "{:?}", forged.body);
        let (start, tag) =
            cookie(&second).rsplit_once('|').map(|(start, tag)| (start.to_owned(), tag.to_owned())).unwrap();
        let changed = answer_to(&rig, Some(&format!("{start}|{}", tag.chars().rev().collect::<String>())));
        assert!(changed.body.starts_with(b"1 false "), "{:?}", changed.body);
    }
}

#[test]
fn sessions_end_and_change_their_identity() {
    let code = "
        local session = require('surfaces.session').start {secret = 'x', dict = 'd', lifetime = LIFETIME}
        session.data.user = session.data.user or 'bob'
        local before = session.id
        WHAT
        ngx.print(session.data.user, ' ', session.present, ' ', session.id ~= before, ' ', #ngx.shared.d:get_keys())
    ";
    let script = |what: &str, lifetime: &str| code.replace("WHAT", what).replace("LIFETIME", lifetime);
    let mut rig = rig(Trust::Full, &script("session:save()", "3600"));
    let first = answer_to(&rig, None);
    assert_eq!(first.body, "bob false false 1");
    rig.replace(&script("session:regenerate()", "3600"));
    let second = answer_to(&rig, Some(&cookie(&first)));
    assert_eq!(second.body, "bob true true 1");
    assert_eq!(answer_to(&rig, Some(&cookie(&first))).body, "bob false true 2", "the old identity is gone");
    rig.replace(&script("session:destroy()", "3600"));
    let last = answer_to(&rig, Some(&cookie(&second)));
    assert_eq!(last.body, "nil true false 1");
    assert!(last.headers["set-cookie"].to_str().unwrap().starts_with("session=; "));
    rig.replace(
        &script("ngx.header['Set-Cookie'] = {'other=1', 'session=old'} session:save()", "-1")
            .replace(", dict = 'd'", ""),
    );
    let over = answer_to(&rig, None);
    let cookies: Vec<_> = over.headers.get_all("set-cookie").iter().map(|value| value.to_str().unwrap()).collect();
    assert_eq!((cookies.len(), cookies[0]), (2, "other=1"));
    rig.replace("ngx.print((select(2, require('surfaces.session').start {secret = 'x'})))");
    let expired = cookies[1].split(';').next().unwrap();
    assert_eq!(answer_to(&rig, Some(expired)).body, "expired");
}
