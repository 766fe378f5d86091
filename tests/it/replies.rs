//! One way out: whoever answers a request, its answer passes the response stages that have seen the request, and is framed once.

use std::io::{Read, Write};
use std::sync::Mutex;
use std::time::Duration;

use witgate_tests::client::{Response, get, raw, request};
use witgate_tests::gateway::guest;
use witgate_tests::upstream::hold;
use witgate_tests::{Connection, Gateway, Upstream, at_some_pace};

/// Scripts that mark the responses that they see, and that answer requests.
const SCRIPTS: &str = r#"
[scripts.first]
access = "ngx.header['X-Early'] = 'first'"
header_filter = "ngx.header['X-Seen-First'] = ngx.status"
[scripts.last]
header_filter = "ngx.header['X-Seen-Last'] = ngx.status"
[scripts.refuses]
access = "return ngx.exit(403)"
[scripts.says]
access = "ngx.say('said')"
[scripts.waits]
access = "ngx.sleep(30)"
[scripts.reads]
access = "ngx.req.read_body()"
[scripts.fails]
access = "error('told to')"
"#;

fn route(name: &str, target: &str, stages: &str, more: &str) -> String {
    let stages: Vec<_> = stages.split_whitespace().map(|name| format!("{{ script = \"{name}\" }}")).collect();
    format!(
        "[[routes]]\nname = \"{name}\"\npath = \"/{name}\"\nupstream = \"{target}\"\nstages = [{}]\n{more}\n",
        stages.join(", ")
    )
}

fn seen(answer: &Response) -> (u16, Option<String>, Option<String>) {
    (answer.status, answer.header("x-seen-first"), answer.header("x-seen-last"))
}

#[test]
fn answers_pass_the_stages_that_have_seen_the_request() {
    let upstream = Upstream::saying("ok");
    let gateway = Gateway::with(&format!(
        "{}[upstreams.gone]\nendpoints = [\"127.0.0.1:1\"]\n{SCRIPTS}{}{}{}{}{}",
        upstream.config("u"),
        route("upstream", "u", "first last", ""),
        route("refused", "u", "first refuses last", ""),
        route("said", "u", "first says last", ""),
        route("failed", "u", "first fails last", ""),
        route("gone", "gone", "first last", ""),
    ));
    let all = |status: u16| (status, Some(status.to_string()), Some(status.to_string()));
    let first = |status: u16| (status, Some(status.to_string()), None);
    for (path, expected) in [
        ("/upstream", all(200)),
        ("/refused", first(403)),
        ("/said", first(200)),
        ("/failed", first(500)),
        ("/gone", all(503)),
    ] {
        let answer = gateway.get(path);
        assert_eq!(seen(&answer), expected, "{path}: {answer:?}");
        assert_eq!(answer.header("x-early").as_deref(), Some("first"), "{path}");
    }
    assert_eq!(seen(&gateway.get("/nobody")), (404, None, None), "no route, no stages");
}

#[test]
fn a_stage_that_is_cut_off_loses_nothing_of_the_request() {
    let upstream = Upstream::saying("ok");
    let short = "deadline = \"300ms\"\nbody_limit = \"1KiB\"";
    let mut gateway = Gateway::with(&format!(
        "{}{SCRIPTS}{}{}",
        upstream.config("u"),
        route("late", "u", "first waits last", short),
        route("large", "u", "first reads last", short),
    ));
    let large = [b"bb8\r\n".as_slice(), &[b'x'; 3000], b"\r\n0\r\n\r\n"].concat();
    for (path, body, status) in [("/late", &b""[..], 504), ("/large", &large, 413)] {
        let chunked: &[(&str, &str)] = if body.is_empty() { &[] } else { &[("transfer-encoding", "chunked")] };
        let fields = [&[("accept", "text/html")], chunked].concat();
        let answer = request(gateway.address(), "POST", path, &fields, body);
        assert_eq!(
            (answer.status, answer.header("content-type").as_deref()),
            (status, Some("text/html; charset=utf-8"))
        );
        assert_eq!(answer.header("x-early").as_deref(), Some("first"), "what an earlier stage has set");
        let filtered = (answer.header("x-seen-first"), answer.header("x-seen-last"));
        assert_eq!(filtered, (Some(status.to_string()), None), "{path}: the stages before the one that was cut off");
        let record = gateway.record(&answer.header("x-request-id").expect("an id"));
        assert_eq!(record["stages"][0]["stage"], "first", "{record}");
        let grpc = [&[("content-type", "application/grpc"), ("te", "trailers")], chunked].concat();
        let answer = request(gateway.address(), "POST", path, &grpc, body);
        assert!(answer.header("grpc-status").is_some(), "{path}: {answer:?}");
    }
}

/// Answers chunked, with a trailer.
fn trailing() -> Upstream {
    Upstream::new(|_, stream| {
        let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n";
        write!(stream, "{head}4\r\nbody\r\n0\r\nx-sum: 42\r\n\r\n").is_ok()
    })
}

#[test]
fn trailers_pass_stages_that_want_the_body_whole_or_in_pieces() {
    let upstream = trailing();
    let route = |mode: &str| {
        format!(
            "[[routes]]\nname = \"{mode}\"\npath = \"/{mode}\"\nupstream = \"u\"\n\
             stages = [{{ plugin = \"bodies\", grants = [\"kv\"], config = {{ response = \"{mode}\" }} }}]\n"
        )
    };
    let gateway = Gateway::with(&format!(
        "{}[plugins.bodies]\npath = \"{}\"\n{}{}{}",
        upstream.config("u"),
        guest("bodies").display(),
        route("none"),
        route("chunks"),
        route("buffered"),
    ));
    for path in ["/none", "/chunks", "/buffered"] {
        for connection in ["", "connection: te\r\n"] {
            let asked = format!("GET {path} HTTP/1.1\r\nhost: a\r\nte: trailers\r\n{connection}\r\n");
            let answer = raw(gateway.address(), asked).expect("an answer");
            assert_eq!(answer.trailers, [("x-sum".to_owned(), "42".to_owned())], "{path} {connection:?}");
            assert_eq!(answer.text(), "body");
        }
        assert!(gateway.get(path).trailers.is_empty(), "{path}: only for whom they are welcome to");
    }
}

#[test]
fn trailers_follow_a_request_that_stages_want_whole_be_its_body_empty_or_not() {
    let upstream = Upstream::new(|_, stream| stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").is_ok());
    let gateway = Gateway::with(&format!(
        "{}[plugins.bodies]\npath = \"{}\"\n[[routes]]\nname = \"r\"\nupstream = \"u\"\n\
         stages = [{{ plugin = \"bodies\", grants = [\"kv\"], config = {{ request = \"buffered\" }} }}]\n",
        upstream.config("u"),
        guest("bodies").display(),
    ));
    for body in ["", "4\r\nbody\r\n"] {
        let head = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n";
        let asked = format!("{head}{body}0\r\nx-sum: 7\r\n\r\n");
        assert_eq!(raw(gateway.address(), asked).expect("an answer").status, 200);
        let received = upstream.received().pop().expect("a request");
        assert_eq!(received.trailers, [("x-sum".to_owned(), "7".to_owned())], "{body:?}");
    }
}

/// Switches to whatever `protocol` says, and echoes.
fn switching(protocol: &'static str) -> Upstream {
    Upstream::new(move |_, stream| {
        let head =
            format!("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\n{protocol}server: secret/1\r\n\r\n");
        let _ = stream.write_all(head.as_bytes());
        let mut byte = [0];
        while matches!(stream.read(&mut byte), Ok(1)) {
            let _ = stream.write_all(&byte);
        }
        false
    })
}

const UPGRADE: &str = "GET /r HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";

#[test]
fn stages_see_the_head_of_a_protocol_upgrade() {
    let upstream = switching("upgrade: websocket\r\n");
    let gateway = Gateway::with(&format!(
        "{}[scripts.s]\naccess = \"ngx.header['X-Access'] = '1'\"\n\
         header_filter = \"ngx.header['X-Filter'] = ngx.status ngx.header['Server'] = nil\"\n{}",
        upstream.config("u"),
        route("r", "u", "s", ""),
    ));
    let mut connection = Connection::open(gateway.address());
    connection.send(UPGRADE);
    let head = connection.head().expect("a head");
    assert_eq!(
        (head.status, head.header("x-access"), head.header("x-filter")),
        (101, Some("1".into()), Some("101".into()))
    );
    assert_eq!((head.header("server"), head.header("upgrade").as_deref()), (None, Some("websocket")));
    connection.send("x");
    let mut byte = [0];
    connection.stream().read_exact(&mut byte).expect("an echo");
    assert_eq!(&byte, b"x");
}

#[test]
fn a_switch_to_what_nobody_asked_for_is_an_error_of_the_upstream() {
    for protocol in ["upgrade: other\r\n", ""] {
        let upstream = switching(protocol);
        let gateway = Gateway::with(&format!("{}{}", upstream.config("u"), route("r", "u", "", "")));
        let answer = raw(gateway.address(), UPGRADE).expect("an answer");
        assert_eq!((answer.status, answer.code().as_str()), (502, "UPSTREAM_UNAVAILABLE"), "{protocol:?}");
    }
}

#[test]
fn a_response_whose_head_is_written_while_the_gateway_drains_says_close() {
    let (upstream, hold) = Upstream::held("done");
    let mut gateway = Gateway::with(&format!("{}{}", upstream.config("u"), route("r", "u", "", "")));
    let mut connection = Connection::open(gateway.address());
    connection.send("GET /r HTTP/1.1\r\nhost: a\r\n\r\n");
    hold.arrived();
    gateway.signal(libc::SIGTERM);
    gateway.await_line(|line| line.contains("draining"));
    hold.release();
    let answer = connection.response().expect("an answer");
    assert_eq!((answer.text().as_str(), answer.header("connection").as_deref()), ("done", Some("close")));
    assert!(connection.is_closed());
}

#[test]
fn requests_that_are_cut_off_when_draining_takes_too_long_are_recorded_as_such() {
    let (hold, wait) = hold();
    let upstream = Upstream::new(move |request, stream| {
        if request.target == "/begun" {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n0123456789");
        }
        wait();
        false
    });
    let tunnel = switching("upgrade: websocket\r\n");
    let mut gateway = Gateway::with(&format!(
        "{}{}[scripts.s]\nlog = \"ngx.log(ngx.WARN, 'LOGGED ', ngx.var.uri)\"\n{}{}{}",
        upstream.config("u"),
        tunnel.config("t"),
        route("waiting", "u", "s", "deadline = \"none\""),
        route("begun", "u", "s", "deadline = \"none\""),
        route("r", "t", "s", ""),
    ));
    let connections = ["waiting", "begun"].map(|path| {
        let mut connection = Connection::open(gateway.address());
        connection.send(format!(
            "POST /{path} HTTP/1.1\r\nhost: a\r\nx-request-id: {path}\r\ncontent-length: 5\r\n\r\nhello"
        ));
        hold.arrived();
        connection
    });
    let mut switched = Connection::open(gateway.address());
    switched.send(UPGRADE.replace("host: a", "host: a\r\nx-request-id: tunnel"));
    assert_eq!(switched.head().expect("a head").status, 101);
    switched.send("abc");
    switched.stream().read_exact(&mut [0; 3]).expect("an echo");
    let [mut waiting, mut begun] = connections;
    assert_eq!(begun.head().expect("a head").status, 200);
    begun.stream().read_exact(&mut [0; 10]).expect("a part of the body");
    gateway.signal(libc::SIGTERM);
    gateway.await_line(|line| line.contains("draining"));
    // Now rather than after `drain_timeout`.
    gateway.signal(libc::SIGTERM);
    let answer = waiting.response().expect("an answer");
    assert_eq!((answer.status, answer.code().as_str()), (503, "OVERLOADED"), "nothing had been sent");
    assert!(begun.is_closed() && switched.is_closed());
    let mut lines = Vec::new();
    while lines.len() < 6 {
        lines.push(gateway.await_line(|line| line.contains("LOGGED") || line.starts_with("out {")));
    }
    for path in ["/waiting", "/begun", "/r"] {
        assert!(lines.iter().any(|line| line.contains("LOGGED") && line.contains(path)), "{path}: {lines:#?}");
    }
    let record = |id: &str| -> serde_json::Value {
        let line = lines.iter().find(|line| line.contains(&format!("\"request_id\":\"{id}\""))).expect("a record");
        serde_json::from_str(&line[4..]).expect("JSON")
    };
    for (id, status, bytes_in, bytes_out) in
        [("waiting", 503, 5, None), ("begun", 200, 5, Some(10)), ("tunnel", 101, 3, Some(3))]
    {
        let record = record(id);
        assert_eq!((&record["status"], &record["bytes_in"]), (&status.into(), &bytes_in.into()), "{record}");
        assert!(bytes_out.is_none_or(|bytes: u64| record["bytes_out"] == bytes), "{record}");
        assert!(record["error"].as_str().expect("an error").contains("draining"), "{record}");
    }
    assert!(gateway.exit().success());
}

#[test]
fn a_stream_is_not_idle_while_one_side_moves() {
    at_some_pace("each piece comes within the limit, and all of them do not", |times| {
        let pause = Duration::from_millis(100) * times;
        // Not the harness's: it reads a request to its end, and this one has none.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a connection");
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).expect("a head");
                head.push(byte[0]);
            }
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
            // Longer in all than the client may pause, and never as long without a byte.
            for _ in 0..15 {
                std::thread::park_timeout(pause);
                let _ = stream.write_all(b"2\r\nab\r\n");
            }
            let _ = stream.write_all(b"0\r\n\r\n");
        });
        let gateway = Gateway::with(&format!(
            "[downstream]\nbody_timeout = \"{times}s\"\n[upstreams.u]\nendpoints = [\"{address}\"]\n{}",
            route("r", "u", "", "deadline = \"none\"")
        ));
        let mut connection = Connection::open(gateway.address());
        connection.send("POST /r HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n4\r\nopen\r\n");
        // The client's half is open, and quiet.
        connection.response().is_some_and(|answer| answer.body.len() == 30)
    });
}

#[test]
fn an_early_refusal_reaches_a_client_that_sends_first_and_reads_then() {
    let upstream = Upstream::saying("ok");
    let gateway = Gateway::with(&format!("{}{}", upstream.config("u"), route("r", "u", "", "body_limit = \"1KiB\"")));
    let mut connection = Connection::open(gateway.address());
    let piece = vec![b'x'; 100_000];
    connection.send(format!("POST /r HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n", 40 * piece.len()));
    for _ in 0..40 {
        connection.send(&piece);
    }
    let answer = connection.response().expect("the refusal was not lost to a reset");
    assert_eq!((answer.status, answer.header("connection").as_deref()), (413, Some("close")));
    // Little that is left of a body is taken off the connection, which serves again.
    let mut connection = Connection::open(gateway.address());
    connection.send(format!("POST /r HTTP/1.1\r\nhost: a\r\ncontent-length: 2000\r\n\r\n{}", "x".repeat(2000)));
    assert_eq!(connection.response().expect("an answer").status, 413);
    connection.send("GET /r HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_eq!(connection.response().expect("an answer").text(), "ok");
}

#[test]
fn a_cut_response_is_seen_as_such_by_a_client_of_http_1_0() {
    let upstream = Upstream::new(|_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n");
        false
    });
    let gateway = Gateway::with(&format!("{}{}", upstream.config("u"), route("r", "u", "", "")));
    let mut connection = Connection::open(gateway.address());
    connection.send("GET /r HTTP/1.0\r\nhost: a\r\n\r\n");
    let mut got = Vec::new();
    let end = connection.stream().read_to_end(&mut got);
    assert_eq!(
        end.expect_err("a reset, for a close would be the body's end").kind(),
        std::io::ErrorKind::ConnectionReset
    );
}

#[test]
fn a_request_is_judged_by_the_limits_of_the_moment_when_it_begins() {
    let upstream = Upstream::saying("ok");
    let config = |limit: &str| {
        format!("[downstream]\nheader_limit = \"{limit}\"\n{}{}", upstream.config("u"), route("r", "u", "", ""))
    };
    let gateway = Gateway::with(&config("64KiB"));
    let mut kept = Connection::open(gateway.address());
    let long = format!("GET /r HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "x".repeat(20_000));
    kept.send(&long);
    assert_eq!(kept.response().expect("an answer").status, 200);
    gateway.reconfigure(&config("8KiB"));
    kept.send(&long);
    assert_eq!(kept.response().expect("an answer").status, 431, "the connection waited while the limit changed");
}

#[test]
fn a_request_that_comes_back_again_and_again_is_not_sent_on() {
    let gateway =
        Gateway::with("[upstreams.u]\nendpoints = [\"127.0.0.1:1\"]\n[[routes]]\nname = \"r\"\nupstream = \"u\"\n");
    gateway.reconfigure(&format!(
        "[upstreams.u]\nendpoints = [\"{}\"]\n[[routes]]\nname = \"r\"\nupstream = \"u\"\n",
        gateway.address()
    ));
    let answer = gateway.get("/");
    assert_eq!((answer.status, answer.code().as_str()), (508, "LOOP_DETECTED"));
    let mine = get(gateway.address(), "/", &[("via", "1.1 other, 1.1 another"), ("via", "1.1 third")]);
    assert_eq!(mine.status, 508, "others' entries do not count");
}

#[test]
fn an_answer_that_comes_while_a_piece_of_the_request_is_with_a_plugin_is_passed_on() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                let (mut reader, mut writer) = (stream.try_clone().expect("cloned"), stream);
                let mut bytes = [0; 65_536];
                let _ = reader.read(&mut bytes);
                let _ = writer.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok");
                while matches!(reader.read(&mut bytes), Ok(1..)) {}
            });
        }
    });
    let gateway = Gateway::with(&format!(
        "[upstreams.u]\nendpoints = [\"{address}\"]\n[plugins.bodies]\npath = \"{}\"\n\
         [[routes]]\nname = \"r\"\nupstream = \"u\"\n\
         stages = [{{ plugin = \"bodies\", grants = [\"kv\"], config = {{ request = \"chunks\" }} }}]\n",
        guest("bodies").display()
    ));
    let body = vec![b'x'; 2_000_000];
    for _ in 0..25 {
        let answer = request(gateway.address(), "POST", "/", &[], &body);
        assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
    }
}

#[test]
fn interim_responses_are_passed_on_up_to_a_limit() {
    let upstream = Upstream::new(|_, stream| {
        let interim = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n".repeat(1000);
        write!(stream, "{interim}HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").is_ok()
    });
    let gateway = Gateway::with(&format!("{}{}", upstream.config("u"), route("r", "u", "", "")));
    let mut connection = Connection::open(gateway.address());
    connection.send("GET /r HTTP/1.1\r\nhost: a\r\n\r\n");
    let mut interim = 0;
    while connection.head().expect("a head").status == 103 {
        interim += 1;
    }
    assert_eq!(interim, 32, "they have no flow control");
}

#[test]
fn trailers_are_sent_again_with_their_request() {
    let upstream = Upstream::new(|request, stream| {
        // The second request of a connection meets its end.
        static SEEN: Mutex<u32> = Mutex::new(0);
        let mut seen = SEEN.lock().expect("not poisoned");
        *seen += 1;
        (*seen != 2 || request.method != "PUT")
            && stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").is_ok()
    });
    let gateway = Gateway::with(&format!("{}{}", upstream.config("u"), route("r", "u", "", "")));
    let mut connection = Connection::open(gateway.address());
    connection.send("GET /r HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_eq!(connection.response().expect("an answer").status, 200);
    connection.send(
        "PUT /r HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n0\r\nx-sum: 7\r\n\r\n",
    );
    assert_eq!(connection.response().expect("an answer").status, 200);
    let puts: Vec<_> = upstream.received().into_iter().filter(|request| request.method == "PUT").collect();
    assert_eq!(puts.len(), 2, "it was sent again");
    assert!(puts.iter().all(|put| put.trailers == [("x-sum".to_owned(), "7".to_owned())]), "{puts:?}");
}

#[test]
fn a_status_that_a_stage_changes_takes_the_lengths_of_the_other_along() {
    let upstream = Upstream::new(|_, stream| {
        stream.write_all(b"HTTP/1.1 304 Not Modified\r\ncontent-length: 1234\r\netag: \"a\"\r\n\r\n").is_ok()
    });
    let gateway = Gateway::with(&format!(
        "{}[scripts.s]\nheader_filter = \"ngx.status = 200\"\n{}",
        upstream.config("u"),
        route("r", "u", "s", "")
    ));
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let output =
            std::process::Command::new("curl").args(["-si", version, &gateway.url("/r")]).output().expect("curl");
        let text = String::from_utf8_lossy(&output.stdout).to_ascii_lowercase();
        assert!(output.status.success() && text.contains("content-length: 0\r\n"), "{version}: {text}");
    }
}
