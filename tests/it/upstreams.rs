//! Upstreams that speak HTTP/2 or TLS.

use witgate_tests::nginx::Nginx;
use witgate_tests::{Gateway, Site};

fn site(upstream: &str) -> Site {
    Site::new(&format!("[upstreams.u]\n{upstream}[[routes]]\nname = \"all\"\nupstream = \"u\"\n"))
}

#[test]
fn an_upstream_can_speak_http2() {
    let nginx = Nginx::listening("http2", "location / { return 200 $server_protocol; }");
    let gateway = site(&format!("endpoints = [\"{}\"]\nprotocol = \"http2\"\n", nginx.address)).start();
    for _ in 0..3 {
        let answer = gateway.get("/");
        assert_eq!((answer.status, answer.text().as_str()), (200, "HTTP/2.0"));
    }
}

#[test]
fn an_upstream_behind_tls_is_checked_against_the_authorities_that_are_named() {
    let folder = Site::new("");
    let made = |name: &str, file: &str| {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).expect("made");
        folder.write(&format!("{file}.pem"), made.cert.pem());
        folder.write(&format!("{file}.key"), made.signing_key.serialize_pem());
    };
    made("backend.example", "backend");
    made("other.example", "other");
    let path = |name: &str| folder.path(name).display().to_string();
    let nginx = Nginx::listening(
        "ssl",
        &format!(
            "ssl_certificate {}; ssl_certificate_key {}; location / {{ return 200 $ssl_server_name; }}",
            path("backend.pem"),
            path("backend.key")
        ),
    );
    let gateway = |ca: &str, name: &str| -> Gateway {
        let tls = format!("tls = {{ server_name = \"{name}\", ca = \"{}\" }}\n", path(ca));
        site(&format!("endpoints = [\"{}\"]\n{tls}", nginx.address)).start()
    };
    assert_eq!(gateway("backend.pem", "backend.example").get("/").text(), "backend.example");
    for (ca, name) in [("other.pem", "backend.example"), ("backend.pem", "other.example")] {
        let answer = gateway(ca, name).get("/");
        assert_eq!((answer.status, answer.code().as_str()), (503, "UPSTREAM_UNAVAILABLE"), "{ca} {name}");
    }
}
