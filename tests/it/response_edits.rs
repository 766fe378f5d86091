//! Fields that request hooks ask for on the response to come.

use std::io::Write;

use witgate_tests::gateway::guest;
use witgate_tests::{Connection, Gateway, Upstream};

fn gateway(upstream: &str) -> Gateway {
    Gateway::with(&format!(
        "{upstream}[plugins.hostile]\npath = \"{}\"\nhook_timeout = \"500ms\"\n\
         [[routes]]\nname = \"all\"\nupstream = \"u\"\nstages = [{{ plugin = \"hostile\" }}]\n",
        guest("hostile").display(),
    ))
}

fn over(upstream: &Upstream) -> Gateway {
    gateway(&upstream.config("u"))
}

#[test]
fn they_are_made_to_the_response_of_the_upstream() {
    let upstream = Upstream::new(|_, stream| {
        let fields = "X-Mine: up\r\nX-Gone: up\r\nSet-Cookie: a=1\r\nContent-Length: 2";
        stream.write_all(format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\nok").as_bytes()).is_ok()
    });
    let gateway = over(&upstream);
    let answer = gateway.get_with("/", &[("x-later", "x-mine=gate,x-gone,+set-cookie=b=2,x-new=1")]);
    assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
    assert_eq!(answer.header("x-mine").as_deref(), Some("gate"));
    assert_eq!(answer.header("x-gone"), None);
    assert_eq!(answer.header("set-cookie").as_deref(), Some("a=1, b=2"));
    assert_eq!(answer.header("x-new").as_deref(), Some("1"));
    let next = gateway.get("/");
    assert_eq!(next.header("x-mine").as_deref(), Some("up"), "each request has its own");
}

#[test]
fn answers_that_no_upstream_gave_have_them_too_and_keep_their_own() {
    let upstream = Upstream::saying("ok");
    let gateway = over(&upstream);
    for (deed, status) in [("respond", 299), ("refuse", 403)] {
        let later = "x-own=later,access-control-allow-origin=*,content-type=text/odd,retry-after=9";
        let answer = gateway.get_with("/", &[("x-later", later), ("x-do", deed)]);
        assert_eq!(answer.status, status);
        assert_eq!(answer.header("x-own").as_deref(), Some("yes"), "{deed}");
        assert_eq!(answer.header("access-control-allow-origin").as_deref(), Some("*"), "{deed}");
    }
    let refused = gateway.get_with("/", &[("x-later", "content-type=text/odd"), ("x-do", "refuse")]);
    assert_eq!(refused.header("content-type").as_deref(), Some("application/json"), "{}", refused.text());
    assert!(upstream.received().is_empty());
    let replaced = gateway.get_with("/", &[("x-later", "x-own=later,x-new=1"), ("x-do-response", "replace")]);
    assert_eq!((replaced.status, replaced.header("x-own").as_deref()), (203, Some("yes")));
    assert_eq!(replaced.header("x-new").as_deref(), Some("1"));
}

#[test]
fn a_gateway_that_reaches_no_upstream_says_so_with_them() {
    let gateway = gateway("[upstreams.u]\nendpoints = [\"127.0.0.1:1\"]\n");
    let answer = gateway.get_with("/", &[("x-later", "access-control-allow-origin=*")]);
    assert_eq!((answer.status, answer.code().as_str()), (503, "UPSTREAM_UNAVAILABLE"));
    assert_eq!(answer.header("access-control-allow-origin").as_deref(), Some("*"));
}

#[test]
fn a_hook_that_fails_has_asked_for_nothing() {
    let upstream = Upstream::saying("ok");
    let gateway = over(&upstream);
    for deed in ["trap", "error", "spin"] {
        let answer = gateway.get_with("/", &[("x-later", "x-new=1"), ("x-do", deed)]);
        assert_eq!((answer.status, answer.header("x-new")), (500, None), "{deed}");
    }
    assert_eq!(gateway.get_with("/", &[("x-later", "x-new=1")]).header("x-new").as_deref(), Some("1"));
}

#[test]
fn the_rules_for_fields_of_responses_hold_and_nothing_is_made_by_halves() {
    let upstream = Upstream::saying("ok");
    let gateway = over(&upstream);
    let large = format!("x-big={}", "x".repeat(16 * 1024 + 1));
    for (later, error) in [
        ("x-new=1,content-length=5", "forbidden"),
        ("x-new=1,transfer-encoding=chunked", "forbidden"),
        ("x-new=1,x-request-id=forged", "forbidden"),
        ("x-new=1,bad name=1", "invalid-name"),
        ("x-new=1,x-a=b^evil: 1", "invalid-value"),
        (&large, "too-large"),
    ] {
        let answer = gateway.get_with("/", &[("x-later", later)]);
        assert_eq!((answer.status, answer.header("x-new")), (200, None), "{later}");
        assert_eq!(upstream.last().header("x-result").as_deref(), Some(error), "{later}");
    }
    let answer = gateway.get_with("/", &[("x-do-response", "later")]);
    assert_eq!(answer.header("x-result").as_deref(), Some("read-only"), "a response hook has the head itself");
}

#[test]
fn a_switch_of_protocols_carries_them() {
    let upstream = Upstream::new(|_, stream| {
        let fields = "Connection: upgrade\r\nUpgrade: websocket";
        stream.write_all(format!("HTTP/1.1 101 Switching Protocols\r\n{fields}\r\n\r\n").as_bytes()).is_ok()
    });
    let gateway = over(&upstream);
    let mut connection = Connection::open(gateway.address());
    connection
        .send("GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\nx-later: x-new=1\r\n\r\n");
    let head = connection.head().expect("a head");
    assert_eq!((head.status, head.header("x-new").as_deref()), (101, Some("1")));
}
