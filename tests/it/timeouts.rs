//! Time limits of upstreams and of tunnels: each is the configuration's, and ends what it is for and nothing else.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use witgate_tests::upstream::{Hold, hold};
use witgate_tests::{Connection, Gateway, Upstream, at_some_pace};

fn gateway(upstream: &Upstream, limits: &str, route: &str) -> Gateway {
    let config = upstream.config("u");
    Gateway::with(&format!("{config}{limits}\n[[routes]]\nname = \"all\"\nupstream = \"u\"\n{route}\n"))
}

/// Answers with what `begin` says, and with ten bytes once it is told to or the test is over.
fn held(begin: &'static str) -> (Upstream, Hold) {
    let (hold, wait) = hold();
    let upstream = Upstream::new(move |_, stream| {
        stream.write_all(begin.as_bytes()).expect("written");
        wait();
        let _ = stream.write_all(b"0123456789");
        false
    });
    (upstream, hold)
}

#[test]
fn an_upstream_that_hangs_ends_a_request_that_has_no_deadline() {
    let (upstream, _hold) = held("");
    let mut gateway = gateway(&upstream, "read_timeout = \"300ms\"", "deadline = \"none\"");
    let answer = gateway.get_with("/", &[("x-request-id", "hung-1")]);
    assert_eq!((answer.status, answer.code().as_str()), (504, "DEADLINE_EXCEEDED"));
    assert_eq!(gateway.record("hung-1")["error"], "the endpoint said nothing for too long");
    assert_eq!(gateway.metric_sum("witgate_upstream_failures_total", &["cause=\"read_timeout\""]), 1.0);
}

#[test]
fn an_upstream_that_hangs_within_a_body_ends_the_response() {
    at_some_pace("the head comes within the limit, and no more", |times| {
        let (upstream, _hold) = held("HTTP/1.1 200 OK\r\ncontent-length: 15\r\n\r\nbegin");
        let limit = format!("read_timeout = \"{}ms\"", 300 * times);
        let mut gateway = gateway(&upstream, &limit, "deadline = \"none\"");
        let mut connection = Connection::open(gateway.address());
        connection.send("GET / HTTP/1.1\r\nhost: a\r\nx-request-id: hung-2\r\n\r\n");
        let head_came = connection.response().is_none();
        assert_eq!(gateway.record("hung-2")["error"], "the endpoint said nothing for too long");
        head_came
    });
}

#[test]
fn a_stream_may_be_quiet_where_there_is_no_limit_for_it() {
    let begin = "HTTP/1.1 200 OK\r\ncontent-length: 15\r\n\r\nbegin";
    // By a key, and by a deadline beside which there is none by default.
    for (limits, route) in [("read_timeout = \"none\"", "deadline = \"none\""), ("", "deadline = \"1h\"")] {
        let (upstream, hold) = held(begin);
        let gateway = gateway(&upstream, limits, route);
        let mut connection = Connection::open(gateway.address());
        connection.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
        assert_eq!(connection.head().map(|head| head.status), Some(200));
        std::thread::park_timeout(Duration::from_millis(600));
        hold.release();
        let mut body = [0; 15];
        connection.stream().read_exact(&mut body).expect("all of it");
        assert_eq!(&body, b"begin0123456789");
    }
}

#[test]
fn an_upstream_that_trickles_is_not_silent() {
    at_some_pace("each byte comes within the limit, and all of them do not", |times| {
        let pause = Duration::from_millis(200) * times;
        let upstream = Upstream::new(move |_, stream| {
            let mut went = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n").is_ok();
            for byte in b"0123456789" {
                std::thread::park_timeout(pause);
                went = went && stream.write_all(&[*byte]).is_ok();
            }
            went
        });
        let limit = format!("read_timeout = \"{}ms\"", 1500 * times);
        let gateway = gateway(&upstream, &limit, "deadline = \"none\"");
        let mut connection = Connection::open(gateway.address());
        connection.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
        connection.response().is_some_and(|answer| answer.text() == "0123456789")
    });
}

#[test]
fn a_client_that_takes_its_time_is_not_the_upstream_s_silence() {
    at_some_pace("the upstream answers within the limit, and the client takes longer", |times| {
        let upstream = Upstream::saying("ok");
        let limit = format!("read_timeout = \"{}ms\"", 300 * times);
        let gateway = gateway(&upstream, &limit, "deadline = \"none\"");
        let mut connection = Connection::open(gateway.address());
        connection.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n01234");
        std::thread::park_timeout(Duration::from_millis(900) * times);
        connection.send("56789");
        connection.response().is_some_and(|answer| answer.status == 200)
    });
}

#[test]
fn an_upstream_that_takes_nothing_of_a_body_ends_the_request() {
    // Connections wait here for somebody to accept them.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    let mut gateway = Gateway::with(&format!(
        "[upstreams.u]\nendpoints = [\"{address}\"]\nwrite_timeout = \"300ms\"\n\
         [[routes]]\nname = \"all\"\nupstream = \"u\"\ndeadline = \"none\"\nbody_limit = \"none\"\n"
    ));
    let mut connection = Connection::open(gateway.address());
    let mut sender = connection.stream().get_ref().try_clone().expect("cloned");
    let sending = std::thread::spawn(move || {
        let head = "POST / HTTP/1.1\r\nhost: a\r\nx-request-id: stuck-1\r\ncontent-length: 1000000000\r\n\r\n";
        let mut sent = sender.write_all(head.as_bytes());
        while sent.is_ok() {
            sent = sender.write_all(&[b'x'; 65_536]);
        }
    });
    let record = gateway.record("stuck-1");
    assert_eq!((&record["status"], &record["code"]), (&504.into(), &"DEADLINE_EXCEEDED".into()), "{record}");
    assert_eq!(record["error"], "the endpoint takes nothing of the request");
    assert_eq!(gateway.metric_sum("witgate_upstream_failures_total", &["cause=\"write_timeout\""]), 1.0);
    drop(gateway);
    sending.join().expect("the connection was closed");
}

#[test]
fn a_silent_tunnel_is_closed_at_its_time_limit() {
    let upstream = Upstream::new(|_, stream| {
        stream.write_all(b"HTTP/1.1 101 Go\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n").expect("written");
        stream.read(&mut [0]).is_ok_and(|read| read > 0)
    });
    let gateway = gateway(&upstream, "", "tunnel_idle_timeout = \"300ms\"");
    let mut connection = Connection::open(gateway.address());
    let started = Instant::now();
    connection.send("GET / HTTP/1.1\r\nhost: a\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n");
    assert_eq!(connection.head().map(|head| head.status), Some(101));
    assert!(connection.is_closed());
    assert!(started.elapsed() >= Duration::from_millis(300), "{:?}", started.elapsed());
}

#[test]
fn a_client_that_was_answered_early_may_go_on_for_the_time_that_the_configuration_says() {
    let upstream = Upstream::saying("ok");
    let gateway = Gateway::with(&format!(
        "[downstream]\nlinger_timeout = \"4s\"\n{}[[routes]]\nname = \"all\"\nupstream = \"u\"\nbody_limit = \"1KiB\"\n",
        upstream.config("u")
    ));
    let mut connection = Connection::open(gateway.address());
    let started = Instant::now();
    connection.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2000\r\n\r\n");
    assert_eq!(connection.response().map(|answer| answer.status), Some(413));
    assert!(connection.is_closed());
    assert!(started.elapsed() >= Duration::from_secs(4), "{:?}", started.elapsed());
}
