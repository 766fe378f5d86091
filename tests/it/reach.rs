//! What plugins reach beyond the request: metrics, random bytes and upstreams.

use std::io::Write;
use std::net::TcpListener;

use witgate_tests::gateway::guest;
use witgate_tests::upstream::hold;
use witgate_tests::{Connection, Gateway, Upstream};

fn gateway(upstream: &Upstream, grants: &str, more: &str) -> Gateway {
    Gateway::with(&format!(
        "{}{more}[plugins.reach]\npath = \"{}\"\n[[routes]]\nname = \"all\"\nupstream = \"u\"\n\
         stages = [{{ plugin = \"reach\", grants = [{grants}] }}]\n",
        upstream.config("u"),
        guest("reach").display()
    ))
}

const ALL: &str = "\"metrics\", \"random\", \"outbound:u\"";

fn told(gateway: &Gateway, what: &str) -> String {
    gateway.get_with("/", &[("x-do", what)]).text()
}

#[test]
fn metrics_of_a_plugin_are_shown_with_its_name_and_route() {
    let upstream = Upstream::saying("ok");
    let gateway = gateway(&upstream, ALL, "");
    for _ in 0..3 {
        assert_eq!(told(&gateway, "count a"), "Ok(())");
        assert_eq!(told(&gateway, "observe"), "Ok(())");
    }
    let series = "witgate_plugin_custom_seen_total{plugin=\"reach\",route=\"all\",kind=\"a\"}";
    assert_eq!(gateway.metric(series), 6.0);
    assert_eq!(gateway.metric("witgate_plugin_custom_wait_seconds_count{plugin=\"reach\",route=\"all\"}"), 3.0);
    let made: usize = told(&gateway, "flood").parse().expect("a number");
    assert!(made <= 256, "{made} series of one plugin");
    assert_eq!(told(&gateway, "count a"), "Ok(())", "what is there goes on");
}

#[test]
fn random_bytes_differ() {
    let upstream = Upstream::saying("ok");
    let gateway = gateway(&upstream, ALL, "");
    let first = told(&gateway, "random");
    assert!(first.starts_with('[') && first != told(&gateway, "random"), "{first}");
}

#[test]
fn an_upstream_that_is_granted_can_be_asked_and_no_other() {
    let upstream = Upstream::new(|request, stream| {
        let answer = format!("{} {} {}", request.method, request.target, request.header("x-from").unwrap_or_default());
        write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{answer}", answer.len()).is_ok()
    });
    let closed = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let other = format!("[upstreams.other]\nendpoints = [\"{}\"]\n", upstream.address());
    let down = format!("[upstreams.down]\nendpoints = [\"{}\"]\n", closed.local_addr().expect("bound"));
    drop(closed);
    let grants = "\"metrics\", \"random\", \"outbound:u\", \"outbound:down\"";
    let gateway = gateway(&upstream, grants, &format!("{other}{down}"));
    assert_eq!(told(&gateway, "fetch u /me?x=1"), "200 GET /me?x=1 guest");
    assert_eq!(told(&gateway, "post u body"), "200");
    assert_eq!(upstream.last().body, b"body");
    assert_eq!(told(&gateway, "fetch other /"), "not-granted");
    assert_eq!(told(&gateway, "fetch down /"), "unavailable");
    assert_eq!(told(&gateway, "fetch u nowhere"), "invalid");
    assert_eq!(told(&gateway, "often u"), "8", "calls of one hook are limited");
}

#[test]
fn a_slow_upstream_costs_a_call_its_time_and_nobody_else() {
    let (_hold, wait) = hold();
    let upstream = Upstream::new(move |request, stream| {
        if request.method == "POST" {
            wait();
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").is_ok()
    });
    let gateway = gateway(&upstream, ALL, "");
    let mut slow = Connection::open(gateway.address());
    slow.send("GET / HTTP/1.1\r\nhost: a\r\nx-do: post u body\r\n\r\n");
    for _ in 0..5 {
        assert_eq!(told(&gateway, "fetch u /"), "200 ok");
    }
    assert_eq!(slow.response().expect("an answer").text(), "timeout");
    let mut gone = Connection::open(gateway.address());
    gone.send("GET / HTTP/1.1\r\nhost: a\r\nx-do: post u body\r\n\r\n");
    gateway.eventually("the call has begun", |gateway| gateway.metric("witgate_requests_in_flight") >= 1.0);
    drop(gone);
    gateway.eventually("a client that leaves ends its call", |gateway| {
        gateway.metric("witgate_requests_in_flight") == 0.0
    });
}

#[test]
fn a_missing_grant_is_named_before_anything_is_served() {
    let upstream = Upstream::saying("ok");
    for (grants, missing) in [
        ("\"random\", \"outbound:u\"", "metrics"),
        ("\"metrics\", \"outbound:u\"", "random"),
        ("\"metrics\", \"random\"", "outbound:NAME"),
    ] {
        let site = witgate_tests::Site::new(&format!(
            "{}[plugins.reach]\npath = \"{}\"\n[[routes]]\nname = \"all\"\nupstream = \"u\"\n\
             stages = [{{ plugin = \"reach\", grants = [{grants}] }}]\n",
            upstream.config("u"),
            guest("reach").display()
        ));
        let (status, output) = site.check(&[]);
        assert!(!status.success() && output.contains(missing), "{missing}: {output}");
    }
}
