//! Libraries for OpenResty as Debian ships them, unmodified, against real servers.
//!
//! `WITGATE_LUA_LIBRARIES` names the directories in which they are, as `cargo xtask test` sets it; `redis-server` and
//! `memcached` are found in `PATH`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used, clippy::panic)]

mod rig;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine as _;
use bytes::Bytes;
use rig::{Rig, get};
use sha1::Digest as _;
use witgate_script::{AppSpec, Chunk, Modules, Phase, Trust};
use witgate_stage::{Hook, Verdict};

/// Where the libraries are: those in Lua and those in C.
fn directories() -> Vec<PathBuf> {
    let directories = std::env::var_os("WITGATE_LUA_LIBRARIES")
        .expect("WITGATE_LUA_LIBRARIES names directories of Lua libraries: run the tests by `cargo xtask test`, which installs them");
    std::env::split_paths(&directories).collect()
}

/// The modules below directories, as a gateway reads them.
fn modules() -> Modules {
    let mut modules = Modules::new();
    for directory in directories() {
        collect(&directory, &directory, &mut modules);
    }
    modules
}

fn collect(root: &Path, directory: &Path, into: &mut Modules) {
    for entry in std::fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display())) {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(root, &path, into);
        } else if path.extension().is_some_and(|extension| extension == "lua") {
            let name = path.strip_prefix(root).unwrap().with_extension("").to_str().unwrap().replace('/', ".");
            let source = Bytes::from(std::fs::read(&path).unwrap());
            into.entry(name).or_insert(Chunk { name: format!("@{}", path.display()), source });
        }
    }
}

fn spec(trust: Trust) -> AppSpec {
    AppSpec {
        modules: Arc::new(modules()),
        native_paths: if trust == Trust::Full { directories() } else { Vec::new() },
        ..rig::for_libraries(trust)
    }
}

fn told(trust: Trust, code: &str) -> String {
    Rig::of(&[(Phase::Content, code)], spec(trust)).told()
}

/// A server in a process of its own, which ends with the test.
struct Server {
    process: Child,
    port: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Starts a program on a free port; another one is tried if somebody was quicker.
fn start(program: &str, arguments: impl Fn(u16) -> Vec<String>) -> Server {
    for _ in 0..5 {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = Command::new(program);
        command.args(arguments(port)).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process =
            command.spawn().unwrap_or_else(|error| panic!("{program}: {error}; `cargo xtask test` installs it"));
        let mut server = Server { process, port };
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(20) && server.process.try_wait().unwrap().is_none() {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return server;
            }
            thread::yield_now();
        }
    }
    panic!("{program} does not start");
}

fn redis() -> Server {
    start("redis-server", |port| {
        let options = format!("--port {port} --bind 127.0.0.1 --save  --appendonly no");
        options.split(' ').map(str::to_owned).collect()
    })
}

#[test]
fn lua_nginx_redis_talks_to_redis() {
    let server = redis();
    let code = r#"
        local redis = require 'nginx.redis'
        local red = redis:new()
        red:set_timeouts(5000, 5000, 5000)
        assert(red:connect('127.0.0.1', PORT))
        ngx.say(red:set('dog', 'an animal'), ' ', red:get('dog'), ' ', red:get('cat') == ngx.null)
        ngx.say(red:incr('count'), red:incrby('count', 5), ' ', select(2, red:incr('dog')))
        ngx.say(red:hmset('h', {a = 1, b = 2}), ' ', table.concat(red:hmget('h', 'a', 'b'), ','))
        local hash = red:array_to_hash(red:hgetall('h')) ngx.say(hash.a, hash.b)
        red:rpush('l', 'x', 'y') ngx.say(table.concat(red:lrange('l', 0, -1), ','))
        red:init_pipeline() red:set('p', 1) red:incr('p') red:get('nothing') red:foo()
        local results = red:commit_pipeline()
        ngx.say(results[1], results[2], results[3] == ngx.null, results[4][1], #results[4][2] > 0)
        red:multi() red:set('t', 'in') red:get('t') ngx.say(table.concat(red:exec(), ' '))
        local big = ('0123456789'):rep(100000) red:set('big', big) ngx.say(red:get('big') == big)
        ngx.say(red:eval('return {KEYS[1], ARGV[1]}', 1, 'k', 'v')[2])
        local other = redis:new() assert(other:connect('127.0.0.1', PORT))
        ngx.say(other:subscribe('news')[1]) red:publish('news', 'hello') ngx.say(other:read_reply()[3])
        other:close()
        ngx.say(red:get_reused_times(), red:set_keepalive(10000, 10))
        assert(red:connect('127.0.0.1', PORT)) ngx.say(red:get_reused_times(), red:quit())
    "#;
    let expected = "OK an animal true\n16 ERR value is not an integer or out of range\nOK 1,2\n12\nx,y\nOK2truefalsetrue\nOK in\n\
        true\nv\nsubscribe\nhello\n01\n1OK\n";
    assert_eq!(told(Trust::Sandbox, &code.replace("PORT", &server.port.to_string())), expected);
}

#[test]
fn lua_nginx_redis_connector_connects_as_it_is_told() {
    let server = redis();
    let code = r#"
        local connector = require('nginx.redis.connector').new()
        local red, err = connector:connect({url = 'redis://127.0.0.1:PORT/2', connect_timeout = 1000})
        assert(red, err)
        ngx.say(red:set('k', 'in two'), red:get('k'))
        local same = require('nginx.redis.connector').new({host = '127.0.0.1', port = PORT, db = 2, keepalive_poolsize = 5})
        ngx.say((same:connect()):get('k'))
        ngx.say(connector:set_keepalive(red))
        local refused, why = connector:connect({host = '127.0.0.1', port = 1})
        ngx.say(refused, why)
        local second, err, errors = connector:try_hosts({{host = '127.0.0.1', port = 1}, {host = '127.0.0.1', port = PORT}})
        ngx.say(second:ping(), err, errors[1])
    "#;
    let expected = "OKin two\nin two\n1\nnilconnection refused\nPONGnilconnection refused\n";
    assert_eq!(told(Trust::Sandbox, &code.replace("PORT", &server.port.to_string())), expected);
}

#[test]
fn lua_nginx_memcached_talks_to_memcached() {
    let server = start("memcached", |port| {
        format!("-l 127.0.0.1 -U 0 -m 16 -u nobody -p {port}").split(' ').map(str::to_owned).collect()
    });
    let code = r#"
        local memcached = require 'nginx.memcached'
        local memc = memcached:new()
        memc:set_timeout(5000)
        assert(memc:connect('127.0.0.1', PORT))
        ngx.say(memc:flush_all(), memc:set('dog', 32, 0, 7))
        ngx.say(memc:get('dog'))
        ngx.say(memc:get('cat'))
        ngx.say(memc:add('dog', 1)) ngx.say(memc:append('dog', 'x'), memc:get('dog'))
        memc:set('n', 10) ngx.say(memc:incr('n', 5), memc:decr('n', 3))
        local value, flags, unique = memc:gets('n') ngx.say(value, ' ', memc:cas('n', 99, unique), ' ', memc:cas('n', 98, unique))
        memc:set('a b', 'with space') ngx.say(memc:get('a b'))
        local all = memc:get({'dog', 'n', 'none'}) ngx.say(all.dog[1], all.n[1], tostring(all.none))
        local big = ('x'):rep(500000) memc:set('big', big) ngx.say(#memc:get('big'))
        ngx.say(memc:delete('dog'), memc:get('dog'))
        ngx.say(memc:touch('n', 100), #memc:version() > 0, #memc:stats() > 10)
        ngx.say(memc:set_keepalive(1000, 10)) assert(memc:connect('127.0.0.1', PORT)) ngx.say(memc:get_reused_times(), memc:quit())
    "#;
    let expected = "11\n327\nnilnilnil\nnilNOT_STORED\n132x7\n1512\n12 1 nilEXISTS\nwith space0\n32x99nil\n500000\n\
        1nilnilnil\n1truetrue\n1\n11\n";
    assert_eq!(told(Trust::Sandbox, &code.replace("PORT", &server.port.to_string())), expected);
}

/// A name server with one name, on the same port for datagrams and connections.
fn name_server() -> u16 {
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = udp.local_addr().unwrap().port();
    let tcp = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let reply = |query: &[u8], whole: bool| {
        let mut reply = query[..2].to_vec();
        let end = 12 + query[12..].iter().position(|byte| *byte == 0).unwrap() + 5;
        let known = &query[12..end - 4] == b"\x03www\x04test\0";
        let truncated = known && !whole && query[end - 3] == 16;
        let answers = u8::from(known && !truncated);
        reply.extend([
            if truncated { 0x87 } else { 0x85 },
            if known { 0x80 } else { 0x83 },
            0,
            1,
            0,
            answers,
            0,
            0,
            0,
            0,
        ]);
        reply.extend(&query[12..end]);
        if answers == 1 && query[end - 3] == 16 {
            reply.extend(b"\xc0\x0c\0\x10\0\x01\0\0\0\x3c\0\x05\x04text");
        } else if answers == 1 {
            reply.extend(b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\x0a\x01\x02\x03");
        }
        reply
    };
    thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((count, from)) = udp.recv_from(&mut buffer) {
            udp.send_to(&reply(&buffer[..count], false), from).unwrap();
        }
    });
    thread::spawn(move || {
        for mut stream in tcp.incoming().map_while(Result::ok) {
            let mut size = [0; 2];
            stream.read_exact(&mut size).unwrap();
            let mut query = vec![0; usize::from(u16::from_be_bytes(size))];
            stream.read_exact(&mut query).unwrap();
            let answer = reply(&query, true);
            stream.write_all(&u16::try_from(answer.len()).unwrap().to_be_bytes()).unwrap();
            stream.write_all(&answer).unwrap();
        }
    });
    port
}

#[test]
fn lua_nginx_dns_asks_a_name_server() {
    let port = name_server();
    let code = r#"
        local resolver = require 'nginx.dns.resolver'
        local r = assert(resolver:new({nameservers = {{'127.0.0.1', PORT}}, retrans = 2, timeout = 2000}))
        local answers = assert(r:query('www.test', {qtype = r.TYPE_A}))
        ngx.say(answers[1].name, ' ', answers[1].address, ' ', answers[1].ttl)
        local none = assert(r:query('nowhere.test', {qtype = r.TYPE_A})) ngx.say(none.errcode, ' ', none.errstr)
        local text = assert(r:query('www.test', {qtype = r.TYPE_TXT})) ngx.say(text[1].txt)
        ngx.say(assert(r:tcp_query('www.test', {qtype = r.TYPE_A}))[1].address)
        ngx.say(resolver.arpa_str('1.2.3.4'))
    "#;
    let expected = "www.test 10.1.2.3 60\n3 name error\ntext\n10.1.2.3\n4.3.2.1.in-addr.arpa\n";
    assert_eq!(told(Trust::Sandbox, &code.replace("PORT", &port.to_string())), expected);
}

/// A WebSocket server (RFC 6455) that sends each message back, and answers pings and closing.
fn web_socket_server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") {
                stream.read_exact(&mut byte).unwrap();
                head.push(byte[0]);
            }
            let head = String::from_utf8(head).unwrap();
            let key = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).unwrap();
            let digest = sha1::Sha1::digest(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11"));
            let accept = base64::engine::general_purpose::STANDARD.encode(digest);
            write!(
                stream,
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
            )
            .unwrap();
            while let Some((code, payload)) = read_frame(&mut stream) {
                let code = if code == 9 { 10 } else { code };
                let mut frame = vec![0x80 | code];
                match payload.len() {
                    short @ 0..126 => frame.push(u8::try_from(short).unwrap()),
                    long => {
                        frame.push(126);
                        frame.extend(u16::try_from(long).unwrap().to_be_bytes());
                    }
                }
                frame.extend(payload);
                if stream.write_all(&frame).is_err() || code == 8 {
                    break;
                }
            }
        }
    });
    port
}

fn read_frame(stream: &mut TcpStream) -> Option<(u8, Vec<u8>)> {
    let mut head = [0; 2];
    stream.read_exact(&mut head).ok()?;
    assert!(head[1] & 0x80 != 0, "clients mask what they send");
    let mut size = usize::from(head[1] & 0x7f);
    if size == 126 {
        let mut long = [0; 2];
        stream.read_exact(&mut long).ok()?;
        size = usize::from(u16::from_be_bytes(long));
    }
    let mut mask = [0; 4];
    stream.read_exact(&mut mask).ok()?;
    let mut payload = vec![0; size];
    stream.read_exact(&mut payload).ok()?;
    for (at, byte) in payload.iter_mut().enumerate() {
        *byte ^= mask[at % 4];
    }
    Some((head[0] & 0x0f, payload))
}

#[test]
fn lua_nginx_websocket_is_a_client() {
    let port = web_socket_server();
    let code = r#"
        local client = require('nginx.websocket.client'):new({timeout = 5000})
        ngx.say(client:connect('ws://127.0.0.1:PORT/path'))
        ngx.say(client:send_text('hello')) ngx.say(client:recv_frame())
        local long = ('x'):rep(3000) client:send_binary(long)
        local data, kind = client:recv_frame() ngx.say(data == long, kind)
        client:send_ping('p') ngx.say(client:recv_frame())
        ngx.say(client:send_close(1000, 'done')) local _, kind, code = client:recv_frame() ngx.say(kind, code)
    "#;
    let expected = "1\n11nil\nhellotextnil\ntruebinary\nppongnil\n12nil\nclose1000\n";
    assert_eq!(told(Trust::Full, &code.replace("PORT", &port.to_string())), expected);
}

#[test]
fn lua_nginx_cookie_reads_and_sets_cookies() {
    let code = r#"
        local cookie = require('nginx.cookie'):new()
        local a, b, none = cookie:get('a'), cookie:get('b'), (cookie:get('none'))
        assert(cookie:set({key = 'Name', value = 'Bob', path = '/', secure = true, httponly = true, samesite = 'Strict'}))
        cookie:set({key = 'Age', value = '20'})
        ngx.say(a, b, none)
    "#;
    let rig = Rig::of(&[(Phase::Content, code)], spec(Trust::Sandbox));
    let mut exchange = get("/");
    exchange.request.headers.insert("cookie", "a=1; b=two".parse().unwrap());
    let Ok(Verdict::Respond(response)) = rig.run(Hook::RequestHeaders, exchange).1 else {
        panic!("it does not answer")
    };
    assert!(response.body.starts_with(b"1twonil"), "{:?}", response.body);
    let cookies: Vec<_> = response.headers.get_all("set-cookie").iter().map(|value| value.to_str().unwrap()).collect();
    assert_eq!(cookies.len(), 2, "{cookies:?}");
    assert!(
        cookies[0].starts_with("Name=Bob") && cookies[0].contains("Path=/") && cookies[0].contains("Secure"),
        "{cookies:?}"
    );
    assert_eq!(cookies[1], "Age=20");
}

#[test]
fn lua_nginx_string_digests_with_libcrypto() {
    let code = r#"
        local string = require 'nginx.string'
        local function digest(name) local hash = require('nginx.' .. name):new() hash:update('abc') return string.to_hex(hash:final()) end
        ngx.say(digest('md5')) ngx.say(digest('sha1')) ngx.say(digest('sha256'))
        ngx.say(#digest('sha224'), #digest('sha384'), #digest('sha512'))
        ngx.say(#require('nginx.random').bytes(16), string.atoi('42'))
        local aes = require('nginx.aes'):new('a key')
        local secret = aes:encrypt('hello') ngx.say(#secret, aes:decrypt(secret))
    "#;
    let expected = "900150983cd24fb0d6963f7d28e17f72\na9993e364706816aba3e25717850c26c9cd0d89d\n\
        ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\n5696128\n1642\n16hello\n";
    assert_eq!(told(Trust::Full, code), expected);
}

#[test]
fn lua_resty_lrucache_keeps_what_was_used_last() {
    for module in ["resty.lrucache", "resty.lrucache.pureffi"] {
        let code = format!(
            "local cache = require('{module}').new(2)
            cache:set('a', 1) cache:set('b', {{2}}) ngx.say(cache:get('a'), cache:get('b')[1])
            cache:get('a') cache:set('c', 3) ngx.say((cache:get('a')), (cache:get('b')), (cache:get('c')))
            cache:set('short', 'x', 0.02) ngx.say((cache:get('short'))) ngx.sleep(0.05)
            local now, stale = cache:get('short') ngx.say(now, stale)
            cache:delete('c') ngx.say((cache:get('c'))) cache:flush_all() ngx.say((cache:get('a')))"
        );
        assert_eq!(told(Trust::Full, &code), "12\n1nil3\nx\nnilx\nnil\nnil\n", "{module}");
    }
}

#[test]
fn lua_cjson_is_loaded_as_a_module_in_c() {
    let code = r#"
        package.loaded.cjson, package.preload.cjson = nil, nil
        local cjson = require 'cjson'
        ngx.say(cjson._NAME, ' ', cjson.encode({1, cjson.null, 'x'}), ' ', cjson.decode('{"a": [1.5]}').a[1])
        ngx.say(pcall(cjson.decode, '{'))
    "#;
    let expected = "cjson [1,null,\"x\"] 1.5\nfalseExpected object key string but found T_END at character 2\n";
    assert_eq!(told(Trust::Full, code), expected);
}
