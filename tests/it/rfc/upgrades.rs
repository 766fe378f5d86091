//! Protocol upgrades (RFC 9110, sections 7.8, 15.2.2 and 15.5.22).

use std::io::{Read, Write};

use witgate_tests::client::raw;
use witgate_tests::{Connection, Upstream};

use super::{Tap, answering, before, everything, http2};

fn ask(gateway: &witgate_tests::Gateway, path: &str, upgrade: &str) -> witgate_tests::Response {
    let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: {upgrade}\r\n\r\n");
    let mut connection = Connection::open(gateway.address());
    connection.send(request);
    connection.head().expect("a head")
}

#[test]
fn a_switch_to_what_the_client_did_not_name_is_not_passed_on() {
    let upstream = answering(&[
        ("/other", "HTTP/1.1 101 Switch\r\nconnection: upgrade\r\nupgrade: other\r\n\r\n"),
        ("/none", "HTTP/1.1 101 Switch\r\nconnection: upgrade\r\n\r\n"),
        ("/more", "HTTP/1.1 101 Switch\r\nconnection: upgrade\r\nupgrade: websocket, other\r\n\r\n"),
        ("/case", "HTTP/1.1 101 Switch\r\nconnection: upgrade\r\nupgrade: WebSocket\r\n\r\n"),
        ("/second", "HTTP/1.1 101 Switch\r\nconnection: upgrade\r\nupgrade: own/2\r\n\r\n"),
    ]);
    let gateway = before(upstream.address());
    for path in ["/other", "/none", "/more"] {
        assert_eq!(ask(&gateway, path, "websocket").status, 502, "{path}");
    }
    let switched = ask(&gateway, "/case", "websocket");
    assert_eq!((switched.status, switched.header("upgrade").as_deref()), (101, Some("WebSocket")));
    assert_eq!(switched.header("connection").map(|option| option.to_ascii_lowercase()).as_deref(), Some("upgrade"));
    assert_eq!(ask(&gateway, "/second", "websocket, own/2").status, 101);
}

#[test]
fn a_switch_that_nobody_asked_for_is_not_passed_on() {
    let upstream = answering(&[("/", "HTTP/1.1 101 Switch\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")]);
    let gateway = before(upstream.address());
    assert_eq!(gateway.get("/").status, 502);
    assert_eq!(http2(gateway.address(), "GET", "/", &[], "").status, 502);
    // The option is missing, so the field was for the hop before.
    let request = "GET / HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\n\r\n";
    assert_eq!(raw(gateway.address(), request).expect("an answer").status, 502);
    assert_eq!(upstream.last().header("upgrade"), None);
}

#[test]
fn an_upgrade_passes_with_its_connection_option_and_not_from_http_1_0() {
    let tap = Tap::answering(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    let gateway = before(tap.address);
    let fields = "host: a\r\nconnection: keep-alive, Upgrade\r\nupgrade: own/1, websocket\r\n\r\n";
    assert_eq!(raw(gateway.address(), format!("GET / HTTP/1.1\r\n{fields}")).expect("an answer").status, 200);
    let head = tap.text().to_ascii_lowercase();
    assert!(
        head.contains("\r\nupgrade: own/1, websocket\r\n") && head.contains("\r\nconnection: upgrade\r\n"),
        "{head}"
    );
    assert_eq!(raw(gateway.address(), format!("GET / HTTP/1.0\r\n{fields}")).expect("an answer").status, 200);
    let head = tap.text().to_ascii_lowercase();
    assert!(!head.contains("upgrade"), "{head}");
}

#[test]
fn a_refusal_that_requires_an_upgrade_says_to_what() {
    let upstream = answering(&[(
        "/",
        "HTTP/1.1 426 Upgrade Required\r\nconnection: upgrade\r\nupgrade: websocket\r\ncontent-length: 2\r\n\r\nno",
    )]);
    let gateway = before(upstream.address());
    let mut connection = Connection::open(gateway.address());
    connection.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    let answer = connection.response().expect("an answer");
    assert_eq!((answer.status, answer.text().as_str()), (426, "no"));
    assert_eq!(answer.header("upgrade").as_deref(), Some("websocket"));
    let options = answer.header("connection").unwrap_or_default().to_ascii_lowercase();
    assert!(options.split(',').any(|option| option.trim() == "upgrade"), "{options:?}");
    let answer = http2(gateway.address(), "GET", "/", &[], "");
    assert_eq!((answer.status, answer.header("upgrade")), (426, None), "HTTP/2 knows no such field");
}

#[test]
fn a_client_that_also_waits_to_send_its_body_is_told_to_before_the_switch() {
    let upstream = Upstream::new(|_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 101 Switch\r\nconnection: upgrade\r\nupgrade: own\r\n\r\nnew words");
        false
    });
    let gateway = before(upstream.address());
    let mut connection = Connection::open(gateway.address());
    connection.send(
        "POST / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: own\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n",
    );
    assert_eq!(connection.head().expect("an interim response").status, 100);
    connection.send("body");
    assert_eq!(connection.head().expect("the switch").status, 101);
    let mut words = String::new();
    connection.stream().read_to_string(&mut words).expect("read");
    assert_eq!((words.as_str(), upstream.last().body), ("new words", b"body".to_vec()));
}

#[test]
fn what_one_side_of_a_tunnel_sent_before_it_closed_arrives() {
    let upstream = Upstream::new(|_, stream| {
        let long =
            [&b"HTTP/1.1 101 Switch\r\nconnection: upgrade\r\nupgrade: own\r\n\r\n"[..], &[b'x'; 500_000]].concat();
        let _ = stream.write_all(&long);
        false
    });
    let gateway = before(upstream.address());
    let request = "GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: own\r\n\r\n";
    let mut connection = Connection::open(gateway.address());
    connection.send(request);
    assert_eq!(connection.head().expect("a head").status, 101);
    connection.finish();
    let mut all = Vec::new();
    connection.stream().read_to_end(&mut all).expect("read");
    assert_eq!(all.len(), 500_000);
}

#[test]
fn http2_over_clear_text_is_not_asked_for_by_upgrade() {
    let upstream = Upstream::saying("ok");
    let gateway = before(upstream.address());
    for upgrade in ["h2c", "websocket, H2C"] {
        let request = format!(
            "GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade, http2-settings, close\r\nupgrade: {upgrade}\r\nhttp2-settings: AAMAAABk\r\n\r\n"
        );
        let got = everything(gateway.address(), request);
        assert!(got.starts_with("HTTP/1.1 200 "), "{upgrade}: {got}");
        assert_eq!((upstream.last().header("upgrade"), upstream.last().header("http2-settings")), (None, None));
    }
}
