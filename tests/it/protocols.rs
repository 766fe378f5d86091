//! HTTP/2, TLS and WebSockets.

use std::io::{Read, Write};
use std::process::{Command, Output};

use witgate_tests::upstream::hold;
use witgate_tests::{Connection, Gateway, Site, Upstream};

fn curl(arguments: &[&str]) -> Output {
    Command::new("curl").args(["-sS", "--max-time", "20"]).args(arguments).output().expect("curl runs")
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

fn all(upstream: &Upstream) -> String {
    format!("{}[[routes]]\nname = \"all\"\nupstream = \"u\"\n", upstream.config("u"))
}

#[test]
fn one_clear_text_port_speaks_http1_and_http2() {
    let upstream = Upstream::saying("ok");
    let gateway = Gateway::with(&all(&upstream));
    for (flag, version) in [("--http1.1", "1.1"), ("--http2-prior-knowledge", "2")] {
        let output = curl(&[flag, "-w", " %{http_version} %{http_code}", &gateway.url("/x")]);
        assert_eq!(text(&output), format!("ok {version} 200"), "{flag}");
    }
    assert_eq!(upstream.last().header("via").as_deref(), Some("2 witgate"));
    assert!(upstream.last().header("host").is_some_and(|host| host == gateway.address().to_string()));
}

#[test]
fn an_upload_over_http2_arrives_whole() {
    let upstream = Upstream::new(|request, stream| {
        let length = request.body.len().to_string();
        write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{length}", length.len()).is_ok()
    });
    let gateway = Gateway::with(&all(&upstream));
    let body = gateway.site().write("body", vec![7; 3_000_000]);
    let data = format!("@{}", body.display());
    let output = curl(&["--http2-prior-knowledge", "--data-binary", &data, &gateway.url("/")]);
    assert_eq!(text(&output), "3000000");
}

#[test]
fn errors_over_http2_are_envelopes_too() {
    let upstream = Upstream::saying("ok");
    let gateway = Gateway::with(&format!(
        "{}[[routes]]\nname = \"a\"\nhost = \"a\"\nupstream = \"u\"\nbody_limit = \"1KiB\"\n",
        upstream.config("u")
    ));
    let missing = curl(&["--http2-prior-knowledge", "-w", " %{http_code}", &gateway.url("/")]);
    assert!(
        text(&missing).contains("\"code\":\"NOT_FOUND\"") && text(&missing).ends_with(" 404"),
        "{}",
        text(&missing)
    );
    let body = gateway.site().write("body", vec![7; 100_000]);
    let data = format!("@{}", body.display());
    let large = curl(&[
        "--http2-prior-knowledge",
        "-H",
        "host: a",
        "-w",
        " %{http_code}",
        "--data-binary",
        &data,
        &gateway.url("/"),
    ]);
    assert!(text(&large).contains("PAYLOAD_TOO_LARGE"), "{}", text(&large));
}

/// A certificate for `localhost` and a configuration with a TLS listener that shows it.
fn tls_site(upstream: &Upstream) -> Site {
    let site = Site::new(&format!(
        "[[listeners]]\naddress = \"127.0.0.1:0\"\ntls = {{ certificate = \"cert.pem\", key = \"key.pem\" }}\n\
         [admin]\naddress = \"127.0.0.1:0\"\n{}",
        all(upstream)
    ));
    certify(&site);
    site
}

fn certify(site: &Site) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("made");
    site.write("cert.pem", made.cert.pem());
    site.write("key.pem", made.signing_key.serialize_pem());
}

#[test]
fn tls_negotiates_the_protocol_and_tells_the_upstream() {
    let upstream = Upstream::saying("ok");
    let gateway = tls_site(&upstream).start();
    let ca = gateway.site().path("cert.pem");
    let url = format!("https://localhost:{}/", gateway.address().port());
    for (flag, version) in [("--http1.1", "1.1"), ("--http2", "2")] {
        let output = curl(&[flag, "--cacert", &ca.display().to_string(), "-w", " %{http_version}", &url]);
        assert_eq!(text(&output), format!("ok {version}"), "{flag}");
        assert_eq!(upstream.last().header("x-forwarded-proto").as_deref(), Some("https"));
    }
}

#[test]
fn a_new_certificate_is_shown_after_a_reload() {
    let upstream = Upstream::saying("ok");
    let gateway = tls_site(&upstream).start();
    let (old, new) = (gateway.site().path("old.pem"), gateway.site().path("cert.pem"));
    std::fs::copy(&new, &old).expect("copied");
    certify(gateway.site());
    gateway.reload();
    let url = format!("https://localhost:{}/", gateway.address().port());
    assert_eq!(text(&curl(&["--cacert", &new.display().to_string(), &url])), "ok");
    assert!(!curl(&["--cacert", &old.display().to_string(), &url]).status.success(), "the old certificate is shown");
}

#[test]
fn a_key_that_does_not_fit_its_certificate_is_refused() {
    let upstream = Upstream::saying("ok");
    let site = tls_site(&upstream);
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("made");
    site.write("key.pem", other.signing_key.serialize_pem());
    let (status, output) = site.check(&[]);
    assert!(!status.success() && output.contains("does not belong to the certificate"), "{output}");
}

#[test]
fn a_websocket_passes_bytes_both_ways_after_the_handshake() {
    // On a machine that is busy the handshake itself may be late: then with a longer deadline.
    let deadlines = ["500ms", "5s", "30s"];
    assert!(deadlines.iter().any(|deadline| outlives_its_deadline(deadline)), "the handshake was late each time");
}

/// Has bytes pass through a tunnel when the deadline, which was for its handshake, is over. False: the handshake was late.
fn outlives_its_deadline(deadline: &str) -> bool {
    let (_hold, wait) = hold();
    let upstream = Upstream::new(move |request, stream| {
        if request.target == "/hangs" {
            wait();
            return false;
        }
        assert_eq!(request.header("upgrade").as_deref(), Some("websocket"));
        let head = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: x\r\n\r\n";
        // A gateway for which this is too late has closed the connection.
        let mut echo = [0; 4];
        if stream.write_all(format!("{head}hello").as_bytes()).is_ok() && stream.read_exact(&mut echo).is_ok() {
            let _ = stream.write_all(&echo);
        }
        false
    });
    let gateway = Gateway::with(&format!(
        "{}[[routes]]\nname = \"all\"\nupstream = \"u\"\ndeadline = \"{deadline}\"\n",
        upstream.config("u")
    ));
    let mut connection = Connection::open(gateway.address());
    connection.send(
        "GET /ws HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n",
    );
    let head = connection.head().expect("a head");
    if head.status == 504 {
        return false;
    }
    assert_eq!((head.status, head.header("upgrade").as_deref()), (101, Some("websocket")));
    let mut greeting = [0; 5];
    connection.stream().read_exact(&mut greeting).expect("read");
    assert_eq!(&greeting, b"hello");
    // A request that began later has come to its deadline: so has the handshake.
    assert_eq!(gateway.get("/hangs").status, 504);
    connection.send("ping");
    let mut echo = [0; 4];
    connection.stream().read_exact(&mut echo).expect("the tunnel outlives the deadline");
    assert_eq!(&echo, b"ping");
    assert!(connection.is_closed());
    true
}

#[test]
fn a_tunnel_lets_each_side_end_on_its_own() {
    let upstream = Upstream::new(|_, stream| {
        stream.write_all(b"HTTP/1.1 101 Go\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n").expect("written");
        let mut said = String::new();
        stream.read_to_string(&mut said).expect("everything until the client's end");
        stream.write_all(said.to_uppercase().as_bytes()).expect("written");
        false
    });
    let mut gateway = Gateway::with(&all(&upstream));
    let mut connection = Connection::open(gateway.address());
    connection.send("GET / HTTP/1.1\r\nhost: a\r\nx-request-id: t-1\r\nupgrade: x\r\nconnection: upgrade\r\n\r\nearly");
    assert_eq!(connection.head().expect("a head").status, 101);
    connection.send(" and late");
    connection.finish();
    let mut answer = String::new();
    connection.stream().read_to_string(&mut answer).expect("an answer after the client's end");
    assert_eq!(answer, "EARLY AND LATE");
    let record = gateway.record("t-1");
    assert_eq!((&record["status"], &record["bytes_in"], &record["bytes_out"]), (&101.into(), &14.into(), &14.into()));
}

#[test]
fn an_upgrade_to_clear_text_http2_is_not_passed_on() {
    let upstream = Upstream::saying("ok");
    let gateway = Gateway::with(&all(&upstream));
    let answer = gateway.get_with(
        "/",
        &[("connection", "Upgrade, HTTP2-Settings"), ("upgrade", "h2c"), ("http2-settings", "AAMAAABkAAQAAP__")],
    );
    assert_eq!(answer.status, 200);
    for field in ["upgrade", "http2-settings", "connection"] {
        assert_eq!(upstream.last().header(field), None, "{field}");
    }
}
