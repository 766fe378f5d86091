//! Sockets of scripts against real ones.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used, clippy::panic)]

mod rig;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::sync::Arc;
use std::thread;

use rig::server::{echo, identity, says, serve, silent};
use rig::{Rig, get};
use witgate_script::{Chunk, Limits, Phase, Reach};
use witgate_stage::{Hook, Run};

fn say(port: u16, code: &str) -> String {
    Rig::at_home(&code.replace("PORT", &port.to_string())).told()
}

const CONNECT: &str = "local sock = ngx.socket.tcp() assert(sock:connect('127.0.0.1', PORT)) ";

fn connected(port: u16, code: &str) -> String {
    say(port, &format!("{CONNECT}{code}"))
}

#[test]
fn what_is_sent_arrives_and_comes_back() {
    let port = echo();
    let code = "
        ngx.say(sock:send('one\\n'), sock:receive())
        ngx.say(sock:send({'t', {'w', 'o'}, 2, '\\r\\n'}), sock:receive('*l'))
        ngx.say(sock:send(12), sock:send(true), sock:send(nil), sock:send(''), sock:send('\\n'), sock:receive())
        ngx.say(sock:getreusedtimes(), sock:close(), sock:close())
        ngx.say(sock:send('x'))
        ngx.say(sock:receive())
    ";
    let expected = "4one\n6two2\n24301".to_owned() + "12truenil\n01nilclosed\nnilclosed\nnilclosed\n";
    assert_eq!(connected(port, code), expected);
    let code = "local sock = assert(ngx.socket.connect('127.0.0.1', PORT)) sock:send('x\\n') ngx.say(sock:receive(1))";
    assert_eq!(say(port, code), "x\n");
}

#[test]
fn reads_end_where_they_should() {
    let port = says(b"first\r\nsecond\nabcdefrest of it");
    let code = "
        ngx.say(sock:receive('*l')) ngx.say(sock:receive()) ngx.say(sock:receive(3), sock:receive('3'), sock:receive(0))
        ngx.say(sock:receive('*a')) ngx.say(sock:receive('*a')) ngx.say(sock:receive(1)) ngx.say(sock:close())
    ";
    let expected = "first\nsecond\nabcdef\nrest of it\nnilclosed\nnilclosed\n1\n";
    assert_eq!(connected(port, code), expected);
    for (read, expected) in [
        ("sock:receive(100)", "nil|closed|first\r\nsecond\nabcdefrest of it"),
        ("(function() sock:receive(20) return sock:receive() end)()", "nil|closed|rest of it"),
        ("sock:receiveany(5)", "first"),
        ("sock:receiveuntil('cd')()", "first\r\nsecond\nab"),
        ("sock:receiveuntil('cd', {inclusive = true})()", "first\r\nsecond\nabcd"),
        ("sock:receiveuntil('nowhere')()", "nil|closed|first\r\nsecond\nabcdefrest of it"),
        ("sock:receiveuntil('')", "nil|pattern is empty"),
    ] {
        let code = format!(
            "local function all(...) local t = {{...}} for i = 1, select('#', ...) do t[i] = tostring(t[i]) end
             return table.concat(t, '|') end ngx.print(all({read}))"
        );
        assert_eq!(connected(port, &code), expected, "{read}");
    }
    let code = "
        local reader = sock:receiveuntil('second')
        for i = 1, 4 do local data, err = reader(4) ngx.print('[', tostring(data), ']', tostring(err)) end
    ";
    assert_eq!(connected(port, code), "[firs]nil[t\r\n]nil[nil]nil[\nabc]nil");
}

#[test]
fn misuse_is_an_error_that_says_what_was_expected() {
    let port = echo();
    let mut wrong = Vec::new();
    for (code, expected) in [
        ("sock:receive('*x')", "bad argument #1 to 'receive' (bad pattern argument)"),
        ("sock:receive('*nn')", "bad argument #1 to 'receive' (bad pattern argument: *nn)"),
        ("sock:receive(-1)", "bad argument #1 to 'receive' (bad pattern argument)"),
        ("sock:receive({})", "bad argument #1 to 'receive' (bad pattern argument)"),
        ("sock:receive(1, 2)", "expecting 1 or 2 arguments (including the object), but got 3"),
        ("sock:receiveany(0)", "bad argument #1 to 'receiveany' (bad max argument)"),
        ("sock:send()", "expecting 2 arguments (including the object), but got 1"),
        ("sock:send({'a', {true}})", "bad argument #1 to 'send' (bad data type boolean found)"),
        ("sock:send({a = 1})", "bad argument #1 to 'send' (non-array table found)"),
        ("local t = {} t[1] = t sock:send(t)", "bad argument #1 to 'send' (tables are nested too deeply)"),
        ("local t = {} for i = 1, 31 do t = {t, t} end sock:send(t)", "(more than 250000 elements)"),
        (
            "local s = ('x'):rep(1e6) local t = {} for i = 1, 1000 do t[i] = s end sock:send(t)",
            "not enough memory: the data is",
        ),
        ("sock.send('sock', 'x')", "bad argument #1 to 'send' (table expected, got string)"),
        ("ngx.socket.tcp(1)", "expecting zero arguments, but got 1"),
        ("sock:settimeouts(1, 2)", "ngx.socket settimeout: expecting 4 arguments (including the object) but seen 3"),
        ("sock:connect({}, 1)", "bad argument #1 to 'connect' (string expected, got table)"),
        ("sock:connect('127.0.0.1', 1, {pool = {}})", "bad argument #3 to 'connect' (bad \"pool\" option type: table)"),
        ("sock:setkeepalive({})", "bad argument #1 to 'setkeepalive' (number expected, got table)"),
        ("sock:send(print)", "(string, number, boolean, nil, or array table expected, got function)"),
        ("sock:settimeout(-1)", "bad timeout value"),
        ("sock:connect()", "ngx.socket connect: expecting 2, 3, or 4 arguments (including the object), but seen 1"),
        (
            "sock:connect('127.0.0.1', 1, {pool_size = 0})",
            "bad argument #3 to 'connect' (bad \"pool_size\" option value: 0)",
        ),
        ("sock:setkeepalive(1, 0)", "bad \"pool_size\" option value: 0"),
    ] {
        let told = connected(port, code);
        if !told.starts_with("error: runtime error: content:") || !told.contains(expected) {
            wrong.push(format!("{code}: {told}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    for (code, expected) in [
        ("ngx.say(sock:connect('127.0.0.1'))", "nilmissing the port number\n"),
        ("ngx.say(sock:connect('127.0.0.1', 65536))", "nilbad port number: 65536\n"),
        ("ngx.say(sock:connect('a b', 80))", "nilfailed to parse host name \"a b\": invalid host\n"),
        ("ngx.say(sock:setoption('tcp-nodelay', true), sock:setoption('sndbuf', 10240))", "truetrue\n"),
        ("ngx.say(sock:setoption('linger', 1))", "nilunsupported option: linger\n"),
        ("ngx.say(ngx.socket.tcp():close())", "nilclosed\n"),
        (
            "ngx.say(sock:bind('127.0.0.1000'), sock:bind('::1'), sock:bind('127.0.0.1', 70000))",
            "niltruenilbad port number: 70000\n",
        ),
        ("ngx.say(type(sock:getfd()))", "number\n"),
        ("ngx.say(sock:setclientcert('cert'), sock:setclientcert(nil, nil))", "niltrue\n"),
        ("ngx.say(select(2, pcall(sock.receiveany, sock, 0)))", "bad argument #2 to '?' (bad max argument)\n"),
        ("ngx.say(ngx.socket.tcp():connect('', 80))", "nilfailed to parse host name \"\": no host\n"),
        ("ngx.say(ngx.socket.tcp():setkeepalive())", "nilclosed\n"),
        ("ngx.say(ngx.req.socket())", "nilrequest sockets are not supported: read the body with ngx.req.read_body()\n"),
    ] {
        assert_eq!(connected(port, code), expected, "{code}");
    }
}

#[test]
fn errors_of_the_system_are_told_in_its_words() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    assert_eq!(say(free, "ngx.say(ngx.socket.tcp():connect('127.0.0.1', PORT))"), "nilconnection refused\n");
    let name = "ngx.say(ngx.socket.tcp():connect('does-not-exist.invalid', PORT))";
    let told = say(free, name);
    assert!(told.starts_with("nildoes-not-exist.invalid could not be resolved ("), "{told}");
}

#[test]
fn names_are_looked_up_and_their_addresses_checked() {
    let port = echo();
    let code = "local sock = ngx.socket.tcp() ngx.say(sock:connect('localhost', PORT)) sock:send('a\\n') ngx.say(sock:receive())";
    assert_eq!(say(port, code), "1\na\n");
    let code = code.replace("PORT", &port.to_string());
    let none = Rig::at_home_with(&code, |app| app.reach = Reach::default()).told();
    assert!(none.starts_with("nilnot in reach: grant \"upstream:NAME\", or the address of localhost:"), "{none}");
    let other = Rig::at_home_with(&code, |app| app.reach.networks[0].port = Some(1)).told();
    assert!(
        other.starts_with("nilnot in reach: grant \"address:") && other.contains(", which localhost has"),
        "{other}"
    );
    let literal =
        "ngx.say(ngx.socket.tcp():connect('127.0.0.1', 9)) ngx.say(ngx.socket.udp():setpeername('10.1.2.3', 53))";
    let refused = Rig::at_home_with(literal, |app| app.reach.networks[0].port = Some(1)).told();
    let expected = "nilnot in reach: grant \"address:127.0.0.1:9\"\nnilnot in reach: grant \"address:10.1.2.3:53\"\n";
    assert_eq!(refused, expected);
}

#[test]
fn upstreams_are_reached_by_their_name() {
    let (one, other) = (says(b"one"), says(b"other"));
    let endpoints: Vec<SocketAddr> = [one, other].map(|port| ([127, 0, 0, 1], port).into()).to_vec();
    let code = format!(
        "for i = 1, 4 do
            local sock = ngx.socket.tcp() assert(sock:connect('cache', i == 4 and {other} or nil, {{pool = 'x'}})) ngx.say(sock:receive('*a'))
        end
        ngx.say(ngx.socket.tcp():connect('127.0.0.1', {one}))"
    );
    let reach = Reach { upstreams: BTreeMap::from([("cache".to_owned(), endpoints)]), ..Reach::default() };
    let told = Rig::at_home_with(&code, |app| app.reach = reach).told();
    assert_eq!(told, "one\nother\none\nother\n1\n");
}

#[test]
fn unix_sockets_are_reached_by_their_path() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.sock");
    let listener = UnixListener::bind(&path).unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let _ = stream.write_all(b"hello\n");
        }
    });
    let code = format!(
        "local sock = ngx.socket.stream() ngx.say(sock:connect('unix:{}')) ngx.say(sock:receive())
         ngx.say(ngx.socket.tcp():connect('unix:/nowhere'))",
        path.display()
    );
    let told = Rig::at_home_with(&code, |app| app.reach.unix = vec![path.clone()]).told();
    assert_eq!(told, "1\nhello\nnilnot in reach: grant \"address:unix:/nowhere\"\n");
}

#[test]
fn what_takes_too_long_times_out_and_what_came_is_given() {
    let (port, _) = silent();
    let begun = std::time::Instant::now();
    let code =
        "sock:settimeout(20) ngx.say(sock:receive()) ngx.say(sock:receiveuntil('x')()) ngx.say(sock:receiveany(1))
        ngx.say(sock:send('still open'))";
    assert_eq!(connected(port, code), "niltimeout\nniltimeout\nniltimeout\n10\n");
    assert!(begun.elapsed().as_secs() < 10);
    let port = serve(|mut stream| {
        let _ = stream.write_all(b"half a line");
        let _ = stream.read(&mut [0]);
        let _ = stream.write_all(b"\nnext\n");
        let _ = stream.read(&mut [0; 10]);
    });
    let code = "sock:settimeouts(1000, 1000, 50) ngx.say(sock:receive()) sock:send('x') sock:settimeout(5000)
        ngx.say(sock:receive()) ngx.say(sock:receive())";
    assert_eq!(connected(port, code), "niltimeouthalf a line\n\nnext\n");
    let full = serve(|stream| {
        thread::park();
        drop(stream);
    });
    let code = "sock:settimeout(50) local big = ('x'):rep(8e6) ngx.say(sock:send(big)) ngx.say(sock:send('x'))";
    assert_eq!(connected(full, code), "niltimeout\nnilclosed\n");
}

#[test]
fn large_bodies_go_both_ways() {
    let port = serve(|mut stream| {
        let mut all = vec![0; 3_000_000];
        stream.read_exact(&mut all).unwrap();
        stream.write_all(&all).unwrap();
    });
    let code = "local big = ('0123456789'):rep(300000)
        ngx.say(sock:send(big)) local back, err = sock:receive(#big) ngx.say(back == big, err)";
    assert_eq!(connected(port, code), "3000000\ntruenil\n");
}

#[test]
fn connections_are_kept_and_reused() {
    let port = echo();
    let code = "
        local function ask(text)
            local sock = ngx.socket.tcp()
            assert(sock:connect('127.0.0.1', PORT))
            local times = sock:getreusedtimes()
            sock:send(text .. '\\n')
            local answer = sock:receive()
            ngx.say(answer, ' ', times, ' ', sock:setkeepalive(10000, 2), ' ', tostring(select(2, sock:send('x'))))
        end
        ask('a') ask('b') ask('c')
    ";
    let rig = Rig::at_home(&code.replace("PORT", &port.to_string()));
    assert_eq!(rig.told(), "a 0 1 closed\nb 1 1 closed\nc 2 1 closed\n");
    assert_eq!(rig.told(), "a 3 1 closed\nb 4 1 closed\nc 5 1 closed\n");
}

#[test]
fn pools_are_told_apart_and_hold_no_more_than_their_size() {
    let port = echo();
    let code = "
        local function connect(pool, size)
            local sock = ngx.socket.tcp()
            assert(sock:connect('127.0.0.1', PORT, {pool = pool, pool_size = size}))
            return sock
        end
        local a, b, c = connect('x', 2), connect('x', 2), connect('x', 2)
        a:setkeepalive() b:setkeepalive() c:setkeepalive()
        local times = {}
        local d, e, f, g = connect('x', 2), connect('x', 2), connect('x', 2), connect('y')
        ngx.say(d:getreusedtimes(), e:getreusedtimes(), f:getreusedtimes(), g:getreusedtimes())
    ";
    assert_eq!(say(port, code), "1100\n");
}

#[test]
fn a_connection_in_doubt_is_not_kept() {
    let port = says(b"two\nlines\n");
    let code = "ngx.say(sock:receive()) ngx.say(sock:setkeepalive())";
    assert_eq!(connected(port, code), "two\nnilunread data in buffer\n");
    // The first byte is read as soon as it is there; by then the server has closed or will have told so.
    let code = "ngx.say(sock:receive('*a')) ngx.say(sock:setkeepalive())";
    assert_eq!(connected(port, code), "two\nlines\n\nnilclosed\n");
    let port = serve(|mut stream| {
        let _ = stream.write_all(b"a");
        let _ = stream.read(&mut [0]);
        let _ = stream.write_all(b"more");
        let _ = stream.read(&mut [0]);
    });
    let code = "sock:receive(1) sock:send('x')
        local other = ngx.thread.spawn(function() ngx.sleep(0.05) end) ngx.thread.wait(other)
        ngx.say(sock:setkeepalive()) ngx.say(sock:send('x'))";
    assert_eq!(connected(port, code), "nilconnection in dubious state\nnilclosed\n");
}

#[test]
fn an_idle_connection_that_the_peer_closed_is_not_used() {
    let port = serve(|mut stream| {
        let mut byte = [0];
        let _ = stream.read(&mut byte);
        let _ = stream.write_all(&byte);
    });
    let code = "
        local sock = ngx.socket.tcp() assert(sock:connect('127.0.0.1', PORT))
        ngx.say(sock:getreusedtimes()) sock:send('x') ngx.say(sock:receive(1)) sock:setkeepalive()
        ngx.sleep(0.05)
        assert(sock:connect('127.0.0.1', PORT)) ngx.say(sock:getreusedtimes()) sock:send('y') ngx.say(sock:receive(1))
    ";
    assert_eq!(say(port, code), "0\nx\n0\ny\n");
}

#[test]
fn a_backlog_limits_connections_and_hands_them_on() {
    let port = echo();
    let code = "
        local options = {pool = 'p', pool_size = 1, backlog = 1}
        local function connect(timeout)
            local sock = ngx.socket.tcp()
            if timeout then sock:settimeout(timeout) end
            local ok, err = sock:connect('127.0.0.1', PORT, options)
            return ok and sock, err
        end
        local first = connect()
        ngx.say(select(2, connect(20)))
        local waiting = ngx.thread.spawn(connect, 5000)
        ngx.say(select(2, connect()))
        first:setkeepalive()
        local _, second = ngx.thread.wait(waiting)
        ngx.say(second:getreusedtimes())
        waiting = ngx.thread.spawn(connect, 5000)
        second:close()
        local _, third = ngx.thread.wait(waiting)
        ngx.say(third:getreusedtimes())
    ";
    assert_eq!(say(port, code), "timeout\ntoo many waiting connect operations\n1\n0\n");
}

#[test]
fn one_thread_reads_while_another_writes() {
    let port = echo();
    let code = "
        local reader = ngx.thread.spawn(function() return sock:receive() end)
        ngx.say(sock:receive()) ngx.say(sock:close()) ngx.say(sock:setkeepalive()) ngx.say(sock:connect('127.0.0.1', PORT))
        sock:send('full duplex\\n')
        ngx.say(select(2, ngx.thread.wait(reader)))
        local again = ngx.thread.spawn(function() return sock:receive() end)
        ngx.thread.kill(again)
        sock:send('after a kill\\n') ngx.say(sock:receive())
        local connecting = ngx.socket.tcp()
        ngx.thread.spawn(function() connecting:connect('127.0.0.1', PORT) end)
        ngx.say(connecting:send('x'))
    ";
    let busy = "nilsocket busy reading\n".repeat(4);
    assert_eq!(connected(port, code), busy + "full duplex\nafter a kill\nnilsocket busy connecting\n");
}

#[test]
fn sockets_stay_within_their_request() {
    let (port, told) = silent();
    let module = "
        local kept = require 'kept'
        local sock = kept[1]
        if not sock then
            sock = ngx.socket.tcp() assert(sock:connect('127.0.0.1', PORT)) kept[1] = sock
            return ngx.say('connected')
        end
        ngx.say(sock:send('x'))
    ";
    let kept = Chunk { name: "@kept.lua".to_owned(), source: "return {}".into() };
    let rig = Rig::at_home_with(&module.replace("PORT", &port.to_string()), |app| {
        app.modules = Arc::new(BTreeMap::from([("kept".to_owned(), kept)]));
    });
    assert_eq!(rig.told(), "connected\n");
    told.recv().unwrap();
    assert_eq!(rig.told(), "nilclosed\n");
    let foreign = "
        local sock = ngx.socket.tcp() assert(sock:connect('127.0.0.1', PORT))
        local semaphore = require('ngx.semaphore').new()
        local told
        ngx.timer.at(0, function() told = select(2, pcall(sock.send, sock, 'x')) semaphore:post() end)
        semaphore:wait(5) ngx.say(told)
    ";
    assert_eq!(say(port, foreign), "bad request\n");
}

#[test]
fn a_request_that_is_dropped_closes_its_connections() {
    let (port, told) = silent();
    let rig = Rig::at_home(&format!("{CONNECT} sock:receive()").replace("PORT", &port.to_string()));
    let stage = rig.stage();
    let run = {
        let _entered = rig.runtime().enter();
        witgate_stage::Stage::run(&stage, Hook::RequestHeaders, get("/"))
    };
    let Run::Waits(mut future) = run else { panic!("it does not wait") };
    rig.runtime().block_on(async {
        // Far enough to be connected: the server's thread has taken it.
        for _ in 0..50 {
            let _ = futures_util::poll!(&mut future);
            tokio::task::yield_now().await;
        }
    });
    drop(future);
    told.recv().unwrap();
}

#[test]
fn open_sockets_are_limited_and_idle_ones_make_room() {
    let port = echo();
    let code = "
        local list, err = {}
        for i = 1, 10 do
            local sock, why = ngx.socket.connect('127.0.0.1', PORT)
            if not sock then err = why break end
            list[i] = sock
        end
        ngx.say(#list, ' ', err)
        list[1]:setkeepalive()
        ngx.say(ngx.socket.tcp():connect('127.0.0.1', PORT, {pool = 'other'}))
    ";
    let rig = Rig::at_home_with(&code.replace("PORT", &port.to_string()), |app| {
        app.limits = Limits { sockets: 3, ..Limits::default() };
    });
    assert_eq!(rig.told(), "3 too many open sockets: `sockets_limit` is 3\n1\n");
    assert_eq!(rig.told(), "3 too many open sockets: `sockets_limit` is 3\n1\n");
}

#[test]
fn what_is_read_is_limited_by_the_memory_of_a_request() {
    let port = serve(|mut stream| {
        let block = vec![b'x'; 1 << 16];
        while stream.write_all(&block).is_ok() {}
    });
    for read in ["'*a'", "'*l'", "1e9"] {
        assert_eq!(
            connected(port, &format!("ngx.say(sock:receive({read})) ngx.say(sock:receive(1))")),
            "nilno memory\nnilclosed\n",
            "{read}"
        );
    }
    assert_eq!(connected(port, "ngx.say(sock:receiveuntil('y')())"), "nilno memory\n");
}

#[test]
fn phases_that_cannot_wait_have_no_sockets() {
    for (phase, name, hook) in
        [(Phase::HeaderFilter, "header_filter_by_lua*", Hook::ResponseHeaders), (Phase::Log, "log_by_lua*", Hook::Log)]
    {
        let rig = Rig::new(&[(phase, "ngx.socket.tcp()")]);
        let error = rig.run(hook, rig::answered(get("/"))).1.unwrap_err();
        let text = error.source.to_string();
        assert!(text.contains(&format!("API disabled in the context of {name}")), "{text}");
    }
}

#[test]
fn datagrams_go_to_a_peer_and_back() {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    thread::spawn(move || {
        let mut buffer = [0; 65536];
        while let Ok((count, from)) = server.recv_from(&mut buffer) {
            if &buffer[..count] != b"ignore" {
                server.send_to(&buffer[..count], from).unwrap();
            }
        }
    });
    let code = "local sock = ngx.socket.udp()
        ngx.say(sock:send('x')) ngx.say(sock:receive())
        ngx.say(sock:setpeername('127.0.0.1', PORT))
        ngx.say(sock:send({'a', 'b', 1}), sock:receive())
        ngx.say(sock:send('abcdef'), sock:receive(3)) ngx.say(sock:send(''), '[', sock:receive(), ']')
        sock:settimeout(20) sock:send('ignore') ngx.say(sock:receive())
        ngx.say(sock:setpeername('localhost', PORT)) sock:settimeout(5000) ngx.say(sock:send('again'), sock:receive())
        ngx.say(sock:close()) ngx.say(sock:close())";
    let expected = "nilclosed\nnilclosed\n1\n1ab1\n1abc\n1[]\nniltimeout\n1\n1again\n1\nnilclosed\n";
    assert_eq!(say(port, code), expected);
}

#[test]
fn datagrams_to_nobody_are_refused() {
    let free = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let code = "local sock = ngx.socket.udp() sock:settimeout(10000)
        assert(sock:setpeername('127.0.0.1', PORT)) assert(sock:send('x')) ngx.say(sock:receive())";
    assert_eq!(say(free, code), "nilconnection refused\n");
}

#[test]
fn datagrams_go_to_unix_sockets() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("d.sock");
    let server = UnixDatagram::bind(&path).unwrap();
    thread::spawn(move || {
        let mut buffer = [0; 1024];
        while let Ok((count, from)) = server.recv_from(&mut buffer) {
            let _ = server.send_to_addr(&buffer[..count], &from);
        }
    });
    let code = format!(
        "local sock = ngx.socket.udp() ngx.say(sock:setpeername('unix:{}')) sock:send('hi') ngx.say(sock:receive())",
        path.display()
    );
    assert_eq!(Rig::at_home_with(&code, |app| app.reach.unix = vec![path.clone()]).told(), "1\nhi\n");
}

/// A TLS server with a certificate for `name`, and the PEM of the authority that signed it.
fn tls_server(name: &str) -> (u16, String) {
    let (config, authority) = identity(name);
    let port = serve(move |mut stream| {
        let mut connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
        let mut tls = rustls::Stream::new(&mut connection, &mut stream);
        let mut lines = BufReader::new(&mut tls);
        let mut line = String::new();
        while lines.read_line(&mut line).is_ok_and(|count| count > 0) {
            if lines.get_mut().write_all(line.as_bytes()).is_err() {
                return;
            }
            line.clear();
        }
    });
    (port, authority)
}

#[test]
fn handshakes_verify_what_they_are_told_to() {
    let (port, authority) = tls_server("redis.test");
    let told = |arguments: &str, authorities: Option<&str>| {
        let code = format!(
            "{CONNECT} local session, err = sock:sslhandshake({arguments})
             ngx.print(type(session) == 'boolean' and 'plain' or type(session), ' ', err)
             if session then sock:send('secret\\n') ngx.print(' ', sock:receive()) end"
        );
        let authorities = authorities.map(|pem| bytes::Bytes::copy_from_slice(pem.as_bytes()));
        Rig::at_home_with(&code.replace("PORT", &port.to_string()), |app| app.authorities = authorities).told()
    };
    let own = Some(authority.as_str());
    assert_eq!(told("nil, 'redis.test', true", own), "userdata nil secret");
    assert_eq!(told("false, 'redis.test', true", own), "plain nil secret");
    assert_eq!(told("nil, nil, true", own), "userdata nil secret");
    assert_eq!(told("nil, 'other.test', true", own), "nil certificate host mismatch");
    let (_, stranger) = tls_server("stranger.test");
    assert_eq!(told("nil, 'redis.test', true", Some(&stranger)), "nil 20: unable to get local issuer certificate");
    assert_eq!(told("nil, nil, true", Some(&stranger)), "nil 20: unable to get local issuer certificate");
    assert_eq!(told("", Some(&stranger)), "userdata nil secret");
    assert_eq!(told("nil, 'redis.test'", None), "userdata nil secret");
    let nobody = told("nil, 'redis.test', true", Some("no certificate"));
    assert!(nobody.starts_with("nil no certificate authorities"), "{nobody}");
}

#[test]
fn a_kept_connection_is_verified_as_it_was_when_it_was_made() {
    let (port, authority) = tls_server("redis.test");
    let code = format!(
        "{CONNECT} sock:sslhandshake(nil, 'redis.test') sock:send('a\\n') ngx.say(sock:receive(), sock:setkeepalive())
         assert(sock:connect('127.0.0.1', PORT)) ngx.say(sock:getreusedtimes())
         ngx.say((select(2, sock:sslhandshake(nil, 'redis.test', true))))
         ngx.say(type(sock:sslhandshake())) sock:send('b\\n') ngx.say(sock:receive())"
    );
    let told =
        Rig::at_home_with(&code.replace("PORT", &port.to_string()), |app| app.authorities = Some(authority.into()))
            .told();
    let refusal = "the connection was not verified in this way when it was made: connect with a pool of its own";
    assert_eq!(told, format!("a1\n1\n{refusal}\nuserdata\nb\n"));
}

#[test]
fn a_handshake_with_what_is_no_tls_fails() {
    let port = says(b"220 this is plain text\r\n");
    let code = "sock:settimeout(1000) ngx.say(sock:sslhandshake()) ngx.say(sock:send('x'))";
    assert_eq!(connected(port, code), "nilhandshake failed\nnilclosed\n");
    let (port, _) = silent();
    assert_eq!(connected(port, "sock:settimeout(20) ngx.say(sock:sslhandshake())"), "niltimeout\n");
}
