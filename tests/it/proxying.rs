//! A real service serves through the gateway byte for byte.

use std::io::{Read, Write};
use std::process::Command;

use witgate_tests::client::{get, request};
use witgate_tests::nginx::Nginx;
use witgate_tests::upstream::hold;
use witgate_tests::{Connection, Gateway, Upstream};

/// Deterministic bytes that no compression or text conversion survives unnoticed.
fn bytes(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    })
    .take(length)
    .collect()
}

fn before(address: std::net::SocketAddr) -> Gateway {
    Gateway::with(&format!(
        "[downstream]\nbody_limit = \"none\"\n[upstreams.u]\nendpoints = [\"{address}\"]\n[[routes]]\nname = \"all\"\nupstream = \"u\"\n"
    ))
}

#[test]
fn files_of_every_size_arrive_as_they_are() {
    let nginx = Nginx::serving("");
    for (name, size) in [("empty", 0), ("small", 1024), ("odd", 65_537), ("large", 3 << 20)] {
        nginx.file(name, &bytes(size));
    }
    let gateway = before(nginx.address);
    for (name, size) in [("empty", 0), ("small", 1024), ("odd", 65_537), ("large", 3 << 20)] {
        let direct = get(nginx.address, &format!("/{name}"), &[]);
        let through = gateway.get(&format!("/{name}"));
        assert_eq!((through.status, through.body == bytes(size)), (200, true), "{name}");
        for field in ["content-length", "content-type", "etag", "last-modified", "accept-ranges", "server"] {
            assert_eq!(through.header(field), direct.header(field), "{name}: {field}");
        }
    }
}

#[test]
fn head_range_conditional_and_bodiless_answers_keep_their_form() {
    let nginx = Nginx::serving("location /none { return 204; } location /moved { return 301 /f; }");
    nginx.file("f", &bytes(10_000));
    let gateway = before(nginx.address);
    let head = request(gateway.address(), "HEAD", "/f", &[], b"");
    assert_eq!((head.status, head.header("content-length").as_deref()), (200, Some("10000")));
    let range = gateway.get_with("/f", &[("range", "bytes=100-199")]);
    assert_eq!((range.status, range.header("content-range").as_deref()), (206, Some("bytes 100-199/10000")));
    assert_eq!(range.body, bytes(10_000)[100..200]);
    let multi = gateway.get_with("/f", &[("range", "bytes=0-1,5-6")]);
    assert!(multi.status == 206 && multi.header("content-type").unwrap().starts_with("multipart/byteranges"));
    assert_eq!(gateway.get_with("/f", &[("range", "bytes=20000-")]).status, 416);
    let etag = head.header("etag").unwrap();
    let unchanged = gateway.get_with("/f", &[("if-none-match", &etag)]);
    assert_eq!((unchanged.status, unchanged.body.len()), (304, 0));
    assert_eq!(gateway.get("/none").status, 204);
    let moved = gateway.get("/moved");
    assert_eq!(moved.status, 301);
    assert!(moved.header("location").unwrap().ends_with("/f"));
}

#[test]
fn a_hundred_mebibytes_pass_both_ways_in_flat_memory() {
    let nginx = Nginx::serving(
        "location /sink { dav_methods PUT; client_body_in_file_only clean; proxy_pass http://127.0.0.1:1/; }",
    );
    let big = bytes(100 << 20);
    nginx.file("big", &big);
    let gateway = before(nginx.address);
    gateway.get("/none");
    let resident = gateway.resident_kib();
    let through = gateway.get("/big");
    assert!(through.body == big, "the download differs");
    let after_download = gateway.resident_kib();
    assert!(after_download < resident + 16 * 1024, "download: from {resident} to {after_download} KiB");

    let upstream = Upstream::new(|request, stream| {
        let sum = request.body.iter().fold(0_u64, |sum, byte| sum.rotate_left(5) ^ u64::from(*byte));
        let sum = format!("{} {sum}", request.body.len());
        write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{sum}", sum.len()).is_ok()
    });
    let gateway = before(upstream.address());
    gateway.get("/");
    let resident = gateway.resident_kib();
    let length = big.len().to_string();
    let answer = request(gateway.address(), "PUT", "/sink", &[("content-length", &length)], &big);
    let sum = big.iter().fold(0_u64, |sum, byte| sum.rotate_left(5) ^ u64::from(*byte));
    assert_eq!(answer.text(), format!("{} {sum}", big.len()));
    let after_upload = gateway.resident_kib();
    assert!(after_upload < resident + 16 * 1024, "upload: from {resident} to {after_upload} KiB");
}

#[test]
fn chunked_bodies_and_trailers_pass_in_both_directions() {
    let upstream = Upstream::new(|_, stream| {
        stream
            .write_all(
                b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n\
                  5;ext=1\r\nhello\r\n1\r\n \r\n5\r\nworld\r\n0\r\nx-sum: 11\r\n\r\n",
            )
            .is_ok()
    });
    let gateway = before(upstream.address());
    let chunks = b"3\r\nabc\r\nA\r\n0123456789\r\n0\r\nx-digest: abc\r\nauthorization: none of this\r\n\r\n";
    let post = |fields: &[(&str, &str)]| {
        request(gateway.address(), "POST", "/", &[&[("transfer-encoding", "chunked")], fields].concat(), chunks)
    };
    let answer = post(&[("te", "trailers")]);
    assert_eq!((answer.status, answer.text().as_str()), (200, "hello world"));
    assert_eq!(answer.trailers, [("x-sum".to_owned(), "11".to_owned())]);
    assert_eq!(upstream.last().body, b"abc0123456789");
    assert_eq!(upstream.last().header("content-length"), None);
    assert_eq!(upstream.last().trailers, [("x-digest".to_owned(), "abc".to_owned())]);
    assert_eq!(post(&[]).trailers, [], "a client that did not say that it takes trailers");
}

#[test]
fn a_client_of_http_1_0_gets_what_it_understands() {
    let upstream = Upstream::new(|request, stream| {
        stream
            .write_all(match request.target.as_str() {
                "/chunks" => b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
                _ => b"HTTP/1.1 103 Early\r\nx: y\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
            })
            .is_ok()
    });
    let gateway = before(upstream.address());
    let mut connection = Connection::open(gateway.address());
    connection.send("GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n");
    let answer = connection.head().expect("a head, and no interim one");
    assert_eq!((answer.status, answer.header("connection").as_deref()), (200, Some("keep-alive")));
    assert!(upstream.last().header("host").is_some(), "the upstream is spoken to in HTTP/1.1, which has a Host");
    connection.stream().read_exact(&mut [0; 5]).expect("the body");
    connection.send("GET /chunks HTTP/1.0\r\nconnection: keep-alive\r\n\r\n");
    let answer = connection.response().expect("an answer");
    assert_eq!((answer.header("transfer-encoding"), answer.text().as_str()), (None, "hello"));
    assert_eq!(answer.header("connection").as_deref(), Some("close"));
}

#[test]
fn an_upstream_may_answer_before_it_has_the_whole_request() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let gateway = before(listener.local_addr().expect("bound"));
    let upstream = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        stream.read_exact(&mut [0; 64]).expect("some of the request");
        stream.write_all(b"HTTP/1.1 413 No\r\ncontent-length: 3\r\nconnection: close\r\n\r\nno!").expect("written");
    });
    let mut connection = Connection::open(gateway.address());
    connection.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100000000\r\n\r\n");
    connection.send(vec![b'x'; 1000]);
    let answer = connection.response().expect("the upstream's answer");
    assert_eq!((answer.status, answer.text().as_str()), (413, "no!"));
    upstream.join().expect("no panic");
}

#[test]
fn a_refused_body_does_not_cost_the_connection() {
    let upstream = Upstream::saying("ok");
    let gateway =
        Gateway::with(&format!("{}[[routes]]\nname = \"a\"\npath = \"/a\"\nupstream = \"u\"\n", upstream.config("u")));
    let mut connection = Connection::open(gateway.address());
    for _ in 0..2 {
        connection.send("POST /b HTTP/1.1\r\nhost: a\r\ncontent-length: 30000\r\n\r\n");
        assert_eq!(connection.response().expect("an answer before the body").status, 404);
        connection.send(vec![b'x'; 30000]);
        connection.send("POST /a HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\nx");
        assert_eq!(connection.response().expect("an answer").status, 200);
    }
}

#[test]
fn a_response_that_ends_with_its_connection_is_passed_whole() {
    let upstream = Upstream::new(|_, stream| {
        stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nuntil the end").expect("written");
        false
    });
    let gateway = before(upstream.address());
    assert_eq!(gateway.get("/").text(), "until the end");
}

#[test]
fn early_hints_do_not_disturb_the_final_response() {
    let upstream = Upstream::new(|_, stream| {
        stream
            .write_all(
                b"HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
            )
            .is_ok()
    });
    let gateway = before(upstream.address());
    assert_eq!(gateway.get("/").text(), "ok");
}

#[test]
fn a_body_streams_while_it_is_being_made() {
    let (hold, wait) = hold();
    let upstream = Upstream::new(move |_, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nfirst").expect("written");
        wait();
        stream.write_all(b"end").is_ok()
    });
    let gateway = before(upstream.address());
    let mut connection = Connection::open(gateway.address());
    connection.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_eq!(connection.head().expect("a head").status, 200);
    let mut first = [0; 5];
    connection.stream().read_exact(&mut first).expect("the first part comes before the rest is made");
    hold.release();
    let mut rest = [0; 3];
    connection.stream().read_exact(&mut rest).expect("the rest");
    assert_eq!((&first, &rest), (b"first", b"end"));
}

#[test]
fn connections_are_kept_on_both_sides() {
    let upstream = Upstream::saying("ok");
    let gateway = before(upstream.address());
    let mut connection = Connection::open(gateway.address());
    for _ in 0..20 {
        connection.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
        assert_eq!(connection.response().expect("an answer").text(), "ok");
    }
    // A request can come before the connection of the one before it is back in the pool.
    let connections = upstream.connections();
    assert!(upstream.received().len() == 20 && connections <= 5, "{connections} connections");
}

#[test]
fn pipelined_requests_are_answered_in_order_and_bodies_are_told_from_heads() {
    let upstream = Upstream::new(|request, stream| {
        let answer = format!("{} {}", request.target, String::from_utf8_lossy(&request.body));
        write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{answer}", answer.len()).is_ok()
    });
    let gateway = before(upstream.address());
    let mut connection = Connection::open(gateway.address());
    connection.send(
        "GET /1 HTTP/1.1\r\nhost: a\r\n\r\nPOST /2 HTTP/1.1\r\nhost: a\r\ncontent-length: 23\r\n\r\n\
         GET /smuggled HTTP/1.1\rGET /3 HTTP/1.1\r\nhost: a\r\n\r\nGET /4 HTTP/1.1\r\nho",
    );
    for expected in ["/1 ", "/2 GET /smuggled HTTP/1.1\r", "/3 "] {
        assert_eq!(connection.response().expect("an answer").text(), expected);
    }
    connection.send("st: a\r\n\r\n");
    assert_eq!(connection.response().expect("an answer").text(), "/4 ");
}

#[test]
fn a_client_that_waits_for_continue_is_told_to_go_on() {
    let upstream = Upstream::saying("ok");
    let gateway = before(upstream.address());
    let mut connection = Connection::open(gateway.address());
    connection.send("PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\nexpect: 100-continue\r\n\r\n");
    assert_eq!(connection.head().expect("an interim response").status, 100);
    connection.send("body");
    assert_eq!(connection.response().expect("an answer").status, 200);
    assert_eq!(upstream.last().body, b"body");
}

#[test]
fn load_generators_get_no_errors() {
    let nginx = Nginx::serving("");
    nginx.file("f", &bytes(1024));
    let gateway = before(nginx.address);
    let wrk = Command::new("wrk").args(["-t1", "-c32", "-d2s", &gateway.url("/f")]).output().expect("wrk runs");
    let report = String::from_utf8_lossy(&wrk.stdout).into_owned();
    assert!(
        report.contains("requests in") && !report.contains("Non-2xx") && !report.contains("Socket errors"),
        "{report}"
    );
    // Over HTTP/1.1 `-m8` pipelines.
    for protocol in ["--h1", "--no-tls-proto=h2c"] {
        let h2load = Command::new("h2load")
            .args([protocol, "-n2000", "-c8", "-m8", &gateway.url("/f")])
            .output()
            .expect("h2load runs");
        let report = String::from_utf8_lossy(&h2load.stdout).into_owned();
        assert!(report.contains("2000 succeeded, 0 failed, 0 errored"), "{protocol}: {report}");
        assert!(report.contains("2000 2xx"), "{protocol}: {report}");
    }
}
