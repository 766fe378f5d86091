//! What the gateway answers itself, as the origin of its own responses (RFC 9110, sections 6.6.1, 8.6, 9.3.2, 10.2,
//! 11.6.1, 12.5.5 and 15).

use std::net::TcpListener;

use witgate_tests::client::{get, raw, request};
use witgate_tests::gateway::{guest, plugin};
use witgate_tests::{Gateway, Upstream};

use super::fields::is_date;
use super::http2;

/// Routes to a service, to one that breaks off, to one that is not there, and to a plugin that refuses.
fn gateway(upstream: &Upstream, broken: &Upstream) -> Gateway {
    let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let nobody = free.local_addr().expect("bound");
    drop(free);
    Gateway::with(&format!(
        "{}{}[upstreams.nobody]\nendpoints = [\"{nobody}\"]\n[plugins.hostile]\npath = \"{}\"\n\
         [[routes]]\nname = \"a\"\npath = \"/a\"\nupstream = \"u\"\nbody_limit = \"1KiB\"\n\
         [[routes]]\nname = \"broken\"\npath = \"/broken\"\nupstream = \"broken\"\n\
         [[routes]]\nname = \"nobody\"\npath = \"/nobody\"\nupstream = \"nobody\"\n\
         [[routes]]\nname = \"plugin\"\npath = \"/plugin\"\nupstream = \"u\"\nstages = [{{ plugin = \"hostile\" }}]\n",
        upstream.config("u"),
        broken.config("broken"),
        guest("hostile").display()
    ))
}

fn parts() -> (Upstream, Upstream) {
    (Upstream::saying("ok"), Upstream::new(|_, _| false))
}

/// Path, field, and the status that the gateway answers with.
const OWN: [(&str, (&str, &str), u16); 6] = [
    ("/missing", ("x", "y"), 404),
    ("/a/..%2f", ("x", "y"), 400),
    ("/broken", ("x", "y"), 502),
    ("/nobody", ("x", "y"), 503),
    ("/plugin", ("x-do", "refuse"), 403),
    ("/plugin", ("x-do", "trap"), 500),
];

#[test]
fn every_answer_has_a_date() {
    let (upstream, broken) = parts();
    let gateway = gateway(&upstream, &broken);
    for (path, field, status) in OWN {
        let answer = gateway.get_with(path, &[field]);
        assert_eq!(answer.status, status, "{path}");
        assert!(answer.header("date").as_deref().is_some_and(is_date), "{path}: {:?}", answer.headers);
        let answer = http2(gateway.address(), "GET", path, &[field], "");
        assert_eq!(answer.status, status, "{path} over HTTP/2");
        assert!(answer.header("date").as_deref().is_some_and(is_date), "{path} over HTTP/2: {:?}", answer.headers);
    }
    let own = gateway.get_with("/plugin", &[("x-do", "respond")]);
    assert!(own.status == 299 && own.header("date").as_deref().is_some_and(is_date), "{:?}", own.headers);
    for bytes in ["nonsense\r\n\r\n", "GET / HTTP/1.1\r\n\r\n", "CONNECT a:1 HTTP/1.1\r\nhost: a:1\r\n\r\n"] {
        let answer = raw(gateway.address(), bytes).expect("an answer");
        assert!(answer.header("date").as_deref().is_some_and(is_date), "{bytes:?}: {:?}", answer.headers);
    }
    let admin = gateway.admin("/live");
    assert!(admin.header("date").as_deref().is_some_and(is_date), "{:?}", admin.headers);
}

#[test]
fn errors_are_explained_with_a_type_and_a_length() {
    let (upstream, broken) = parts();
    let gateway = gateway(&upstream, &broken);
    for (path, field, status) in OWN {
        let answer = gateway.get_with(path, &[field]);
        assert_eq!((answer.status, answer.header("content-type").as_deref()), (status, Some("application/json")));
        assert_eq!(answer.header("content-length"), Some(answer.body.len().to_string()), "{path}");
        assert!(answer.json()["message"].as_str().is_some_and(|message| message.len() > 10), "{path}");
        assert!(answer.json()["retryable"].is_boolean(), "{path}");
        assert_eq!(answer.header("server"), None, "{path}");
        let answer = http2(gateway.address(), "GET", path, &[field], "");
        assert_eq!(answer.header("content-length"), Some(answer.body.len().to_string()), "{path} over HTTP/2");
    }
}

#[test]
fn an_answer_to_head_has_the_fields_of_one_to_get_and_no_body() {
    let (upstream, broken) = parts();
    let gateway = gateway(&upstream, &broken);
    for (path, field, status) in OWN {
        let id = ("x-request-id", "the-same");
        let get = gateway.get_with(path, &[field, id]);
        let head = request(gateway.address(), "HEAD", path, &[field, id], b"");
        assert_eq!((head.status, head.body.len()), (status, 0), "{path}");
        for name in ["content-length", "content-type", "vary", "x-request-id"] {
            assert_eq!(head.header(name), get.header(name), "{path}: {name}");
        }
        let head = http2(gateway.address(), "HEAD", path, &[field, id], "");
        assert_eq!(
            (head.status, head.body.len(), head.header("content-length")),
            (status, 0, get.header("content-length"))
        );
    }
}

#[test]
fn caches_learn_that_the_form_was_chosen_by_accept() {
    let (upstream, broken) = parts();
    let gateway = gateway(&upstream, &broken);
    for (accept, content_type) in [
        ("text/html", "text/html; charset=utf-8"),
        ("application/json;q=0.5, Text/Plain;Q=0.9", "text/plain; charset=utf-8"),
        ("application/json;q=0, */*;q=0.1", "text/plain; charset=utf-8"),
        ("image/png", "application/json"),
    ] {
        let answer = gateway.get_with("/missing", &[("accept", accept)]);
        assert_eq!(answer.header("content-type").as_deref(), Some(content_type), "{accept}");
        assert!(answer.header("vary").is_some_and(|vary| vary.eq_ignore_ascii_case("accept")), "{:?}", answer.headers);
    }
    assert_eq!(gateway.get("/a").header("vary"), None, "an upstream's answer is its own");
}

#[test]
fn a_method_that_is_not_allowed_is_answered_with_those_that_are() {
    let (upstream, broken) = parts();
    let gateway = gateway(&upstream, &broken);
    let tunnel = raw(gateway.address(), "CONNECT a:443 HTTP/1.1\r\nhost: a:443\r\n\r\n").expect("an answer");
    assert_eq!(tunnel.status, 405);
    assert!(tunnel.header("allow").is_some_and(|allow| allow.contains("GET")), "{:?}", tunnel.headers);
    for (path, allow) in [("/ready", "GET, HEAD"), ("/reload", "POST")] {
        let answer = request(gateway.admin_address(), "DELETE", path, &[], b"");
        assert_eq!((answer.status, answer.header("allow").as_deref()), (405, Some(allow)), "{path}");
    }
}

#[test]
fn an_unknown_client_is_challenged() {
    let upstream = Upstream::saying("ok");
    let site = witgate_tests::Site::new(&format!(
        "{}[key_sets.clients]\nfile = \"keys.txt\"\n[plugins.auth]\npath = \"{}\"\n\
         [[routes]]\nname = \"all\"\nupstream = \"u\"\n\
         stages = [{{ plugin = \"auth\", grants = [\"clock\", \"crypto:clients\"], config = {{ key_set = \"clients\" }} }}]\n",
        upstream.config("u"),
        plugin("auth").display()
    ));
    site.write("keys.txt", "k1 alice\n");
    let gateway = site.start();
    for fields in [&[][..], &[("authorization", "Bearer wrong")], &[("authorization", "Basic eDp5")]] {
        let answer = get(gateway.address(), "/", fields);
        assert_eq!(answer.status, 401, "{fields:?}: {}", answer.text());
        let challenge = answer.header("www-authenticate").expect("a challenge");
        assert_eq!(challenge.matches("realm=\"").count(), 1, "{fields:?}: {challenge}");
        let answer = http2(gateway.address(), "GET", "/", fields, "");
        assert!(answer.status == 401 && answer.header("www-authenticate").is_some(), "HTTP/2 {fields:?}");
    }
}

#[test]
fn refusals_with_a_body_still_to_come_say_whether_the_connection_stays() {
    let (upstream, broken) = parts();
    let gateway = gateway(&upstream, &broken);
    let large = raw(
        gateway.address(),
        "POST /a HTTP/1.1\r\nhost: a\r\ncontent-length: 5000\r\nexpect: 100-continue\r\nconnection: keep-alive\r\n\r\n",
    )
    .expect("an answer");
    assert_eq!(
        (large.status, large.header("connection").as_deref()),
        (413, Some("close")),
        "the client may send or not"
    );
    let broken = raw(gateway.address(), "POST /a HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n");
    let broken = broken.expect("an answer");
    assert_eq!(
        (broken.status, broken.header("connection").as_deref()),
        (400, Some("close")),
        "nobody knows where it ends"
    );
}
