//! One request, whichever version of HTTP it came in: what stages and upstreams see of host, cookies and hops.

use std::net::SocketAddr;

use http::{Method, Request};
use witgate_tests::{Connection, Gateway, Upstream};

/// A route to the upstream past a script that tells what it reads.
fn gateway(upstream: &Upstream) -> Gateway {
    let script = r#"
        local host, cookie = ngx.req.get_headers()["host"], ngx.req.get_headers()["cookie"]
        ngx.req.set_header("x-host-read", tostring(host))
        ngx.req.set_header("x-cookie-read", type(cookie) .. " " .. tostring(ngx.var.http_cookie))
    "#;
    Gateway::with(&format!(
        "{}[scripts.s]\naccess = '''{script}'''\n[[routes]]\nname = \"all\"\nupstream = \"u\"\nstages = [{{ script = \"s\" }}]\n",
        upstream.config("u"),
    ))
}

/// The status of a request over HTTP/2 with prior knowledge, with exactly these fields.
fn http2(address: SocketAddr, method: &Method, url: &str, fields: &[(&str, &str)]) -> u16 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let socket = tokio::net::TcpStream::connect(address).await.expect("connected");
        let (client, connection) = h2::client::handshake(socket).await.expect("HTTP/2");
        tokio::spawn(connection);
        let mut request = Request::builder().method(method).uri(url);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let mut client = client.ready().await.expect("ready");
        let (response, _) = client.send_request(request.body(()).expect("a request"), true).expect("sent");
        response.await.expect("an answer").status().as_u16()
    })
}

fn http1(address: SocketAddr, head: &str) -> u16 {
    let mut connection = Connection::open(address);
    connection.send(format!("{head}\r\n\r\n"));
    connection.response().expect("an answer").status
}

#[test]
fn the_host_is_the_same_for_stages_and_upstreams() {
    let upstream = Upstream::saying("ok");
    let gateway = gateway(&upstream);
    let address = gateway.address();
    let seen = |status: u16| {
        assert_eq!(status, 200);
        let received = upstream.last();
        assert_eq!(received.header("x-host-read"), received.header("host"));
        assert_eq!(received.header("x-forwarded-host"), received.header("host"));
        received.header("host").expect("a host")
    };
    for (target, host, expected) in [
        ("/", "Shop.test:8080", "Shop.test:8080"),
        ("http://shop.test:80/", "shop.test", "shop.test:80"),
        ("http://shop.test/", "SHOP.test:80", "shop.test"),
        ("https://shop.test:443/", "shop.test", "shop.test:443"),
    ] {
        assert_eq!(
            seen(http1(address, &format!("GET {target} HTTP/1.1\r\nHost: {host}"))),
            expected,
            "{target} {host}"
        );
    }
    for (authority, host, expected) in [
        ("shop.test", None, "shop.test"),
        ("Shop.test:8080", None, "Shop.test:8080"),
        ("shop.test:80", Some("shop.test"), "shop.test:80"),
        ("shop.test", Some("Shop.test:80"), "shop.test"),
    ] {
        let fields: Vec<_> = host.map(|host| ("host", host)).into_iter().collect();
        let status = http2(address, &Method::GET, &format!("http://{authority}/"), &fields);
        assert_eq!(seen(status), expected, "{authority} {host:?}");
    }
}

#[test]
fn a_host_that_is_not_one_is_refused_in_both_versions() {
    let upstream = Upstream::saying("ok");
    let gateway = gateway(&upstream);
    let address = gateway.address();
    for (target, host) in [
        ("http://a.test/", "b.test"),
        ("http://a.test:443/", "a.test"),
        ("https://a.test:80/", "a.test"),
        ("http://u@a.test/", "a.test"),
    ] {
        assert_eq!(http1(address, &format!("GET {target} HTTP/1.1\r\nHost: {host}")), 400, "{target} {host}");
        assert_eq!(http2(address, &Method::GET, target, &[("host", host)]), 400, "{target} {host}");
    }
    assert_eq!(http2(address, &Method::GET, "http://a.test/", &[("host", "a.test"), ("host", "a.test")]), 400);
    assert!(upstream.received().is_empty());
}

#[test]
fn crumbs_of_a_cookie_are_one_cookie() {
    let upstream = Upstream::saying("ok");
    let gateway = gateway(&upstream);
    let crumbs = [("cookie", "a=1"), ("cookie", "b=2"), ("cookie", "c=3")];
    assert_eq!(http2(gateway.address(), &Method::GET, "http://a.test/", &crumbs), 200);
    let received = upstream.last();
    let cookies: Vec<_> = received.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("cookie")).collect();
    assert_eq!(cookies.iter().map(|(_, value)| value.as_str()).collect::<Vec<_>>(), ["a=1; b=2; c=3"]);
    assert_eq!(received.header("x-cookie-read").as_deref(), Some("string a=1; b=2; c=3"));
}

#[test]
fn a_request_that_may_go_no_further_is_answered_here() {
    let upstream = Upstream::saying("ok");
    let gateway = gateway(&upstream);
    let mut connection = Connection::open(gateway.address());
    connection.send("TRACE /a?b HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\nX-A: 1\r\nCookie: secret\r\n\r\n");
    let answer = connection.response().expect("an answer");
    assert_eq!((answer.status, answer.header("content-type").as_deref()), (200, Some("message/http")));
    assert_eq!(answer.text(), "TRACE /a?b HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\nX-A: 1\r\n\r\n");
    assert!(answer.header("x-request-id").is_some());
    connection.send("OPTIONS * HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n");
    let answer = connection.response().expect("an answer");
    assert_eq!((answer.status, answer.text().as_str()), (200, ""));
    connection.send("OPTIONS /x HTTP/1.1\r\nHost: a\r\nMax-Forwards: x\r\n\r\n");
    assert_eq!(connection.response().expect("an answer").status, 400);
    assert_eq!(http2(gateway.address(), &Method::OPTIONS, "http://a.test/", &[("max-forwards", "0")]), 200);
    assert!(upstream.received().is_empty());
    for (method, sent, forwarded) in [("TRACE", "1", "0"), ("OPTIONS", "10", "9"), ("GET", "0", "0")] {
        let status = http1(gateway.address(), &format!("{method} / HTTP/1.1\r\nHost: a\r\nMax-Forwards: {sent}"));
        assert_eq!((status, upstream.last().header("max-forwards").as_deref()), (200, Some(forwarded)), "{method}");
    }
}

#[test]
fn white_space_before_the_colon_of_a_response_is_taken_away() {
    use std::io::Write;
    let upstream = Upstream::new(|_, stream| {
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nX-Legacy : on\r\nX-Tab\t: 1\r\nContent-Length : 2\r\nX-After: 2\r\n\r\nok")
            .is_ok()
    });
    let gateway = gateway(&upstream);
    let answer = gateway.get("/");
    assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
    for (name, value) in [("X-Legacy", "on"), ("X-Tab", "1"), ("X-After", "2")] {
        assert!(answer.headers.iter().any(|(n, v)| n == name && v == value), "{name}: {:?}", answer.headers);
    }
    assert_eq!(http2(gateway.address(), &Method::GET, "http://a.test/", &[]), 200);
}
