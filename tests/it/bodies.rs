//! Bodies on their way through plugins.

use std::io::{Read, Write};
use std::process::Command;

use witgate_tests::client::request;
use witgate_tests::gateway::guest;
use witgate_tests::{Connection, Gateway, Upstream};

/// A gateway with the guest `bodies` on its route, under this configuration.
fn gateway(upstream: &Upstream, config: &str, more: &str) -> Gateway {
    Gateway::with(&format!(
        "{}[plugins.bodies]\npath = \"{}\"\nmemory_limit = \"128MiB\"\nhook_timeout = \"2s\"\n\
         [[routes]]\nname = \"all\"\nupstream = \"u\"\nbody_limit = \"none\"\n{more}\
         stages = [{{ plugin = \"bodies\", grants = [\"kv\"], config = {{ {config} }} }}]\n",
        upstream.config("u"),
        guest("bodies").display()
    ))
}

/// Answers with the length of what it got, and the first bytes of it.
fn counting() -> Upstream {
    Upstream::new(|request, stream| {
        let start = String::from_utf8_lossy(&request.body[..request.body.len().min(4)]).into_owned();
        let answer = format!("{} {start}", request.body.len());
        write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{answer}", answer.len()).is_ok()
    })
}

fn post(gateway: &Gateway, fields: &[(&str, &str)], body: &[u8]) -> witgate_tests::client::Response {
    let length = body.len().to_string();
    request(gateway.address(), "POST", "/", &[&[("content-length", length.as_str())], fields].concat(), body)
}

#[test]
fn a_whole_body_can_be_changed_and_is_framed_anew() {
    let upstream = counting();
    let gateway = gateway(&upstream, "request = \"buffered\", mark = \">>\"", "");
    let answer = post(&gateway, &[], b"hello");
    assert_eq!((answer.status, answer.text().as_str()), (200, "7 >>he"));
    assert_eq!(upstream.last().header("content-length").as_deref(), Some("7"));
    let chunks = b"3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n";
    let answer = request(gateway.address(), "POST", "/", &[("transfer-encoding", "chunked")], chunks);
    assert_eq!(answer.text(), "7 >>he");
    assert_eq!(upstream.last().header("transfer-encoding"), None, "its length is known once it has been held back");
    let answer = post(&gateway, &[("x-do", "drop")], b"hello");
    assert_eq!((answer.text().as_str(), upstream.last().header("content-length").as_deref()), ("0 ", Some("0")));
    let answer = post(&gateway, &[("x-do", "sign")], b"hello");
    assert_eq!((answer.status, upstream.last().header("x-length").as_deref()), (200, Some("5")), "the head waited");
    assert_eq!(gateway.get("/").status, 200, "a request without a body is not held back");
}

#[test]
fn bodies_of_every_size_can_be_held_back_in_both_versions_of_http() {
    let upstream = counting();
    let gateway = gateway(&upstream, "request = \"buffered\", mark = \">\"", "buffer_limit = \"16MiB\"\n");
    for size in [1, 65_535, 65_536, 65_537, (16 << 20) - 1] {
        let body = gateway.site().write("body", vec![b'x'; size]);
        for version in ["--http1.1", "--http2-prior-knowledge"] {
            let mut curl = Command::new("curl");
            curl.args(["-sS", "--max-time", "60", version, "--data-binary", &format!("@{}", body.display())]);
            let output = curl.arg(gateway.url("/")).output().expect("curl runs");
            let expected = format!("{} >{}", size + 1, &"xxx"[..size.min(3)]);
            assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{size} bytes, {version}");
        }
    }
    let signed = post(&gateway, &[("x-do", "sign")], &vec![b'x'; 16 << 20]);
    assert_eq!(signed.text(), "16777216 xxxx");
    let answer = post(&gateway, &[], &vec![b'x'; (16 << 20) + 1]);
    assert_eq!((answer.status, answer.code().as_str()), (413, "PAYLOAD_TOO_LARGE"));
}

#[test]
fn a_body_in_pieces_goes_on_while_it_comes() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    let unused = Upstream::saying("ok");
    let gateway = gateway(&unused, "request = \"chunks\", mark = \">\"", "");
    gateway.reconfigure(&gateway_config(&gateway, unused.address(), address));
    let mut client = Connection::open(gateway.address());
    client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 6\r\n\r\nabc");
    let (mut stream, _) = listener.accept().expect("a connection");
    let mut seen = Vec::new();
    while !seen.ends_with(b">abc\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("the first piece comes before the second is sent");
        seen.push(byte[0]);
    }
    assert!(String::from_utf8_lossy(&seen).to_lowercase().contains("transfer-encoding: chunked"));
    client.send("def");
    while !seen.ends_with(b"0\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("the rest");
        seen.push(byte[0]);
    }
    assert!(seen.ends_with(b">def\r\n0\r\n\r\n"), "{}", String::from_utf8_lossy(&seen));
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").expect("written");
    assert_eq!(client.response().expect("an answer").text(), "ok");
}

#[test]
fn the_responses_head_can_be_changed_after_a_request_body_in_pieces() {
    let upstream = counting();
    let gateway = gateway(&upstream, "request = \"chunks\", response = \"buffered\"", "");
    let answer = post(&gateway, &[("x-do", "sign-response")], b"hello");
    assert_eq!((answer.status, answer.header("x-length").as_deref()), (200, Some("6")));
}

fn gateway_config(gateway: &Gateway, from: std::net::SocketAddr, to: std::net::SocketAddr) -> String {
    let file = std::fs::read_to_string(gateway.site().config()).expect("the configuration");
    file.replace(&from.to_string(), &to.to_string())
}

#[test]
fn a_body_hook_can_turn_a_request_away() {
    let upstream = counting();
    for mode in ["buffered", "chunks"] {
        let gateway = gateway(&upstream, &format!("request = \"{mode}\""), "");
        let before = upstream.received().len();
        let refused = post(&gateway, &[("x-do", "refuse")], b"hello");
        assert_eq!((refused.status, refused.code().as_str()), (403, "FORBIDDEN"), "{mode}");
        let answered = post(&gateway, &[("x-do", "respond")], b"hello");
        assert_eq!((answered.status, answered.text().as_str()), (299, "5"), "{mode}");
        let trapped = post(&gateway, &[("x-do", "trap")], b"hello");
        assert_eq!((trapped.status, trapped.code().as_str()), (500, "PLUGIN_FAILED"), "{mode}");
        let spun = post(&gateway, &[("x-do", "spin")], b"hello");
        assert_eq!((spun.status, spun.code().as_str()), (500, "PLUGIN_FAILED"), "{mode}");
        assert_eq!(upstream.received().len(), before, "{mode}: no upstream got a whole request");
        assert_eq!(post(&gateway, &[], b"hello").text(), "5 hell", "{mode}");
    }
    let gateway = gateway(&upstream, "request = \"chunks\"", "");
    assert_eq!(post(&gateway, &[("x-do", "sign")], b"x").status, 500, "the head has been sent: it is read-only");
}

#[test]
fn a_response_can_be_changed_whole_or_in_pieces() {
    let upstream = Upstream::new(|request, stream| {
        stream
            .write_all(match request.target.as_str() {
                "/chunked" => b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
                "/none" => b"HTTP/1.1 204 No Content\r\n\r\n",
                _ => b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello".as_slice(),
            })
            .is_ok()
    });
    let whole = gateway(&upstream, "response = \"buffered\", mark = \">\"", "");
    for path in ["/", "/chunked"] {
        let answer = whole.get(path);
        assert_eq!(
            (answer.text().as_str(), answer.header("content-length").as_deref()),
            (">hello", Some("6")),
            "{path}"
        );
    }
    let signed = whole.get_with("/", &[("x-do", "sign-response")]);
    assert_eq!((signed.text().as_str(), signed.header("x-length").as_deref()), ("hello", Some("5")), "the head waited");
    assert_eq!(whole.get_with("/", &[("x-do", "drop-response")]).header("content-length").as_deref(), Some("0"));
    let withheld = whole.get_with("/", &[("x-do", "withhold")]);
    assert_eq!((withheld.status, withheld.code().as_str()), (403, "FORBIDDEN"));
    assert_eq!(whole.get_with("/", &[("x-do", "trap-response")]).status, 500);
    assert_eq!(whole.get("/none").status, 204);
    let head = request(whole.address(), "HEAD", "/", &[], b"");
    assert_eq!((head.status, head.header("content-length")), (200, None), "nobody knows what it would be");

    let pieces = gateway(&upstream, "response = \"chunks\", mark = \">\"", "");
    let answer = pieces.get("/");
    assert_eq!((answer.text().as_str(), answer.header("content-length")), (">hello", None));
    assert_eq!(pieces.get("/chunked").text().replace('>', ""), "hello");
    let mut broken = Connection::open(pieces.address());
    broken.send("GET / HTTP/1.1\r\nhost: a\r\nx-do: withhold\r\n\r\n");
    assert_eq!(broken.head().expect("the head had been sent").status, 200);
    let mut rest = String::new();
    broken.stream().read_to_string(&mut rest).expect("the end of the connection");
    assert!(!rest.contains("hello") && !rest.contains("0\r\n\r\n"), "{rest:?}");
    assert_eq!(pieces.get("/none").status, 204);
}

#[test]
fn a_response_that_is_too_long_to_be_held_back_is_not_passed_on() {
    let upstream = Upstream::new(|_, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n").is_ok()
            && stream.write_all(&[b'x'; 5000]).is_ok()
    });
    let gateway = gateway(&upstream, "response = \"buffered\"", "buffer_limit = \"4KiB\"\n");
    let answer = gateway.get("/");
    assert_eq!((answer.status, answer.code().as_str()), (502, "UPSTREAM_UNAVAILABLE"));
}

#[test]
fn the_end_of_every_request_is_told_however_it_ended() {
    let upstream = counting();
    let gateway = gateway(&upstream, "request = \"buffered\"", "deadline = \"5s\"\n");
    let last = || gateway.get_with("/", &[("x-do", "last")]).text();
    post(&gateway, &[], b"hello");
    gateway.eventually("a passed request is told", |_| last() == "/ 200 Some(200) None None 5 6");
    post(&gateway, &[("x-do", "refuse")], b"hello");
    gateway.eventually("a refused request is told", |_| {
        last().starts_with("/ 403 Some(403) Some(\"FORBIDDEN\") Some(\"bodies\") 5 ")
    });
    let mut client = Connection::open(gateway.address());
    client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhalf");
    drop(client);
    gateway.eventually("a client that left is told", |_| last() == "/ 0 None None None 4 0");
    assert_eq!(post(&gateway, &[("x-do", "trap-log")], b"x").status, 200, "the client has its answer");
    assert_eq!(gateway.get("/").status, 200);
}
