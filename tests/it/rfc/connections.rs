//! Connections: kept, closed, and what follows what on them (RFC 9112, section 9).

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Instant;

use witgate_tests::client::raw;
use witgate_tests::gateway::PATIENCE;
use witgate_tests::{Connection, Gateway, Site, Upstream};

use super::{before, everything, in_front_of};

#[test]
fn close_is_heard_said_and_done() {
    let upstream = Upstream::saying("ok");
    let gateway = before(upstream.address());
    for option in ["close", "Close", "x, close", "keep-alive, close"] {
        let got = everything(
            gateway.address(),
            format!(
                "GET /1 HTTP/1.1\r\nhost: a\r\n\r\nGET /2 HTTP/1.1\r\nhost: a\r\nconnection: {option}\r\n\r\n\
                 GET /3 HTTP/1.1\r\nhost: a\r\n\r\n"
            ),
        );
        assert_eq!(got.matches("HTTP/1.1 200 ").count(), 2, "{option}: {got}");
        assert_eq!(got.to_ascii_lowercase().matches("\r\nconnection: close\r\n").count(), 1, "{option}: {got}");
    }
    assert!(upstream.received().iter().all(|request| request.target != "/3"));
}

#[test]
fn a_client_that_has_closed_its_side_gets_what_needs_no_waiting() {
    let (upstream, hold) = Upstream::held("late");
    let mut gateway = before(upstream.address());
    let mut waits = Connection::open(gateway.address());
    waits.send("GET / HTTP/1.1\r\nhost: a\r\nx-request-id: half-closed\r\nconnection: close\r\n\r\n");
    hold.arrived();
    waits.finish();
    assert!(waits.is_closed(), "it is taken for one that has gone");
    let record = gateway.record("half-closed");
    assert_eq!(record["status"], 0, "{record}");
    assert!(record["error"].is_string(), "{record}");
    // What the gateway says by itself.
    let mut refused = Connection::open(gateway.address());
    refused.send("GET /% HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    refused.finish();
    assert_eq!(refused.response().map(|answer| answer.status), Some(400));
}

#[test]
fn a_connection_that_an_upstream_will_close_gets_no_further_request() {
    for answer in [
        "HTTP/1.1 200 OK\r\nconnection: Close\r\ncontent-length: 2\r\n\r\nok",
        "HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nconnection: x, close\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    ] {
        // It says so, and leaves the closing to the gateway.
        let upstream = Upstream::new(move |_, stream| stream.write_all(answer.as_bytes()).is_ok());
        let gateway = one_thread(&upstream);
        for _ in 0..3 {
            assert_eq!(gateway.get("/").text(), "ok");
        }
        assert_eq!(upstream.connections(), 3, "{answer}");
    }
}

#[test]
fn connections_of_both_versions_are_used_again() {
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.0 200 OK\r\nconnection: Keep-Alive\r\ncontent-length: 2\r\n\r\nok",
    ] {
        let upstream = Upstream::new(move |_, stream| stream.write_all(answer.as_bytes()).is_ok());
        let gateway = one_thread(&upstream);
        let mut connection = Connection::open(gateway.address());
        for _ in 0..3 {
            connection.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
            let response = connection.response().expect("an answer");
            assert_eq!((response.text().as_str(), response.header("connection")), ("ok", None));
        }
        assert_eq!(upstream.connections(), 1, "{answer}");
    }
}

/// Threads do not share connections to endpoints.
fn one_thread(upstream: &Upstream) -> Gateway {
    Gateway::with(&format!(
        "[[listeners]]\naddress = \"127.0.0.1:0\"\n[admin]\naddress = \"127.0.0.1:0\"\n[runtime]\nthreads = 1\n{}",
        in_front_of(upstream.address(), "")
    ))
}

#[test]
fn a_body_that_was_not_wanted_is_not_taken_for_a_request() {
    let upstream = Upstream::saying("ok");
    let gateway = Gateway::with(&format!(
        "{}[[routes]]\nname = \"a\"\npath = \"/a\"\nupstream = \"u\"\nbody_limit = \"1KiB\"\n",
        upstream.config("u")
    ));
    let smuggled = "GET /a HTTP/1.1\r\nhost: a\r\n\r\n";
    for (path, status) in [("/missing", 404), ("/a", 413)] {
        let body = smuggled.repeat(100);
        let mut connection = Connection::open(gateway.address());
        connection.send(format!("POST {path} HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n{body}", body.len()));
        assert_eq!(connection.response().expect("an answer").status, status);
        connection.send("GET /a?next HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        if let Some(next) = connection.response() {
            assert_eq!((next.status, next.text().as_str()), (200, "ok"));
        }
    }
    assert!(upstream.received().iter().all(|request| request.target == "/a?next"), "{:?}", upstream.received());
}

#[test]
fn answers_to_pipelined_requests_keep_their_order_whatever_their_length_and_time() {
    let upstream = Upstream::new(|request, stream| {
        let body = request.target.repeat(if request.target == "/2" { 50_000 } else { 1 });
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
        let early = if request.target == "/1" { "HTTP/1.1 103 Early\r\n\r\n" } else { "" };
        stream.write_all(format!("{early}{head}{body}").as_bytes()).is_ok()
    });
    let gateway = before(upstream.address());
    let mut connection = Connection::open(gateway.address());
    connection.send((1..=4).map(|n| format!("GET /{n} HTTP/1.1\r\nhost: a\r\n\r\n")).collect::<String>());
    for n in 1..=4 {
        assert!(connection.response().expect("an answer").text().starts_with(&format!("/{n}")), "{n}");
    }
}

#[test]
fn an_upload_is_read_while_its_early_answer_goes_out() {
    let upstream = Upstream::saying("ok");
    let gateway =
        Gateway::with(&format!("{}[[routes]]\nname = \"a\"\npath = \"/a\"\nupstream = \"u\"\n", upstream.config("u")));
    // More than all buffers on the way hold, sent by a client that reads nothing until it has sent everything.
    let mut connection = Connection::open(gateway.address());
    let body = vec![b'x'; 8 << 20];
    connection.send(format!("POST /missing HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n", body.len()));
    connection.send(&body);
    assert_eq!(connection.response().expect("an answer").status, 404);
}

fn tls_site(upstream: &Upstream) -> Site {
    let site = Site::new(&format!(
        "[[listeners]]\naddress = \"127.0.0.1:0\"\ntls = {{ certificate = \"cert.pem\", key = \"key.pem\" }}\n\
         [admin]\naddress = \"127.0.0.1:0\"\n{}",
        in_front_of(upstream.address(), "")
    ));
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("made");
    site.write("cert.pem", made.cert.pem());
    site.write("key.pem", made.signing_key.serialize_pem());
    site
}

fn curl(gateway: &Gateway, arguments: &[&str]) -> (bool, String) {
    let ca = gateway.site().path("cert.pem").display().to_string();
    let url = format!("https://localhost:{}/", gateway.address().port());
    let output =
        Command::new("curl").args(["-sS", "--max-time", "20", "--cacert", &ca]).args(arguments).arg(url).output();
    let output = output.expect("curl runs");
    (output.status.success(), String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned())
}

#[test]
fn a_tls_connection_is_closed_with_an_alert() {
    let upstream = Upstream::new(|_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nuntil the end");
        false
    });
    let gateway = tls_site(&upstream).start();
    // Only the alert tells a response that ends with its connection from one that was cut off: curl fails without it.
    let (fine, text) = curl(&gateway, &["--http1.0", "--no-alpn"]);
    assert!(fine && text == "until the end", "{text}");
}

#[test]
fn tls_before_1_2_is_refused() {
    let upstream = Upstream::saying("ok");
    let gateway = tls_site(&upstream).start();
    let (fine, text) =
        curl(&gateway, &["--http1.1", "--tlsv1.0", "--tls-max", "1.1", "--ciphers", "DEFAULT@SECLEVEL=0"]);
    assert!(!fine, "{text}");
    for most in ["1.2", "1.3"] {
        let (fine, text) = curl(&gateway, &["--http2", "--tls-max", most, "-w", " %{http_version}"]);
        assert!(fine && text == "ok 2", "{most}: {text}");
    }
}

#[test]
fn a_client_that_offers_http1_alone_or_nothing_gets_that() {
    let upstream = Upstream::saying("ok");
    let gateway = tls_site(&upstream).start();
    for (flags, version) in [(&["--no-alpn"][..], "1.1"), (&["--http1.1"], "1.1"), (&["--http1.0", "--no-alpn"], "1.1")]
    {
        let (fine, text) = curl(&gateway, &[flags, &["-w", " %{http_version}"]].concat());
        assert!(fine && text == format!("ok {version}"), "{flags:?}: {text}");
    }
}

#[test]
fn clear_text_on_a_tls_listener_gets_no_service() {
    let upstream = Upstream::saying("ok");
    let gateway = tls_site(&upstream).start();
    let mut connection = Connection::open(gateway.address());
    connection.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    let mut got = Vec::new();
    let _ = connection.stream().read_to_end(&mut got);
    assert!(!String::from_utf8_lossy(&got).contains("200"), "{got:?}");
    assert!(upstream.received().is_empty());
}

#[test]
fn what_is_left_of_a_message_with_a_shorter_length_is_the_next_request() {
    let upstream = Upstream::saying("ok");
    let gateway = before(upstream.address());
    let answer = raw(
        gateway.address(),
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nhi\r\nGET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
    );
    assert_eq!(answer.expect("an answer").status, 200);
    assert_eq!(upstream.received()[0].body, b"hi");
}

/// `openssl s_server`, which sends what it reads; killed, it closes without an alert.
struct Server(std::process::Child);

impl Server {
    fn with_certificate_of(site: &Site) -> (Self, std::net::SocketAddr) {
        let made = rcgen::generate_simple_self_signed(["backend.example".to_owned()]).expect("made");
        let (certificate, key) =
            (site.write("backend.pem", made.cert.pem()), site.write("backend.key", made.signing_key.serialize_pem()));
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = free.local_addr().expect("bound");
        drop(free);
        let child = Command::new("openssl")
            .args(["s_server", "-quiet", "-accept", &address.to_string(), "-cert"])
            .arg(certificate)
            .arg("-key")
            .arg(key)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("openssl runs");
        let server = Self(child);
        let end = Instant::now() + PATIENCE;
        while TcpStream::connect(address).is_err() {
            assert!(Instant::now() < end, "openssl does not listen");
            std::thread::yield_now();
        }
        (server, address)
    }

    /// Answers a request with these bytes.
    fn answer(&mut self, bytes: &str) {
        let request = self.0.stdout.as_mut().expect("piped");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            request.read_exact(&mut byte).expect("a request");
            head.push(byte[0]);
        }
        self.0.stdin.as_mut().expect("piped").write_all(bytes.as_bytes()).expect("written");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_tls_upstream_that_closes_without_an_alert_has_completed_only_what_told_its_end() {
    let folder = Site::new("");
    let (mut server, address) = Server::with_certificate_of(&folder);
    let tls =
        format!("tls = {{ server_name = \"backend.example\", ca = \"{}\" }}\n", folder.path("backend.pem").display());
    let gateway = Gateway::with(&in_front_of(address, &tls));
    let mut connection = Connection::open(gateway.address());
    connection.send("GET /1 HTTP/1.1\r\nhost: a\r\n\r\n");
    server.answer("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    assert_eq!(connection.response().expect("an answer").text(), "ok");
    connection.send("GET /2 HTTP/1.1\r\nhost: a\r\n\r\n");
    server.answer("HTTP/1.1 200 OK\r\n\r\nuntil");
    assert_eq!(connection.head().expect("a head").status, 200);
    let mut chunk = [0; 10];
    connection.stream().read_exact(&mut chunk).expect("a chunk");
    assert_eq!(&chunk, b"5\r\nuntil\r\n");
    drop(server);
    let mut rest = Vec::new();
    let _ = connection.stream().read_to_end(&mut rest);
    assert_eq!(String::from_utf8_lossy(&rest), "", "nobody can tell whether that was all");
}
