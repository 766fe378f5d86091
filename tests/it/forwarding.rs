//! Header fields on their way through.

use std::io::Write;

use witgate_tests::{Connection, Gateway, Upstream};

fn gateway(upstream: &Upstream) -> Gateway {
    Gateway::with(&format!("{}[[routes]]\nname = \"all\"\nupstream = \"u\"\n", upstream.config("u")))
}

#[test]
fn hop_by_hop_fields_end_at_the_gateway() {
    let upstream = Upstream::new(|_, stream| {
        stream
            .write_all(
                b"HTTP/1.1 200 OK\r\nconnection: keep-alive, x-upstream-hop\r\nkeep-alive: timeout=5\r\n\
                  proxy-connection: x\r\nx-upstream-hop: 1\r\nx-end: 1\r\ncontent-length: 0\r\n\r\n",
            )
            .is_ok()
    });
    let gateway = gateway(&upstream);
    let answer = gateway.get_with(
        "/",
        &[
            ("connection", "x-hop"),
            ("x-hop", "1"),
            ("keep-alive", "timeout=5"),
            ("te", "gzip"),
            ("proxy-connection", "keep-alive"),
            ("upgrade", "h2c"),
            ("x-end", "1"),
        ],
    );
    let received = upstream.last();
    for field in ["x-hop", "keep-alive", "te", "proxy-connection", "upgrade"] {
        assert_eq!(received.header(field), None, "request: {field}");
    }
    assert_eq!(received.header("x-end").as_deref(), Some("1"));
    for field in ["x-upstream-hop", "keep-alive", "proxy-connection"] {
        assert_eq!(answer.header(field), None, "response: {field}");
    }
    assert_eq!(answer.header("x-end").as_deref(), Some("1"));
}

#[test]
fn the_upstream_learns_who_asked_for_what_and_cannot_be_lied_to() {
    let upstream = Upstream::saying("ok");
    let gateway = gateway(&upstream);
    gateway.get_with(
        "/",
        &[
            ("host", "shop.example:8080"),
            ("x-forwarded-for", "6.6.6.6"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "evil"),
            ("forwarded", "for=6.6.6.6"),
            ("via", "1.0 before"),
        ],
    );
    let received = upstream.last();
    assert_eq!(received.header("host").as_deref(), Some("shop.example:8080"));
    assert_eq!(received.header("x-forwarded-for").as_deref(), Some("127.0.0.1"));
    assert_eq!(received.header("x-forwarded-proto").as_deref(), Some("http"));
    assert_eq!(received.header("x-forwarded-host").as_deref(), Some("shop.example:8080"));
    assert_eq!(received.header("forwarded"), None);
    assert_eq!(received.header("via").as_deref(), Some("1.0 before, 1.1 witgate"));
}

#[test]
fn the_request_id_is_on_every_side_and_in_the_access_record() {
    let upstream = Upstream::saying("ok");
    let mut gateway = gateway(&upstream);
    let answer = gateway.get_with("/a?secret=1", &[("x-request-id", "trace-42")]);
    assert_eq!(answer.header("x-request-id").as_deref(), Some("trace-42"));
    assert_eq!(upstream.last().header("x-request-id").as_deref(), Some("trace-42"));
    let record = gateway.record("trace-42");
    assert_eq!(record["status"], 200);
    assert_eq!((&record["route"], &record["method"], &record["path"]), (&"all".into(), &"GET".into(), &"/a".into()));
    assert_eq!(record["bytes_out"], 2);
    assert_eq!(record["upstream"], upstream.address().to_string());
    assert!(!record.to_string().contains("secret"), "{record}");

    let minted = gateway.get_with("/", &[("x-request-id", "not valid \"")]).header("x-request-id").expect("an id");
    assert_eq!(minted.len(), 32);
    assert_eq!(upstream.last().header("x-request-id"), Some(minted.clone()));
    assert_eq!(gateway.record(&minted)["status"], 200);
}

#[test]
fn header_names_and_repeated_fields_are_kept() {
    let upstream = Upstream::new(|_, stream| {
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nX-CamelCase: yes\r\ncontent-length: 0\r\n\r\n")
            .is_ok()
    });
    let gateway = gateway(&upstream);
    let mut connection = Connection::open(gateway.address());
    connection.send("GET / HTTP/1.1\r\nHost: a\r\nX-CamelCase: yes\r\nAccept: a\r\nAccept: b\r\n\r\n");
    let answer = connection.response().expect("an answer");
    assert_eq!(answer.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie")).count(), 2);
    assert!(answer.headers.iter().any(|(name, _)| name == "X-CamelCase"), "{:?}", answer.headers);
    let received = upstream.last();
    assert!(received.headers.iter().any(|(name, _)| name == "X-CamelCase"), "{:?}", received.headers);
    assert_eq!(received.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("accept")).count(), 2);
}
