//! Connections of HTTP/2 that are slow, idle or meant to do harm, and those that end well.

use std::io::Write;
use std::time::{Duration, Instant};

use http::Request;
use witgate_tests::http2::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, GOAWAY, HEADERS, Http2, PING, PREFACE, RST_STREAM,
    SETTINGS, block, frame, get,
};
use witgate_tests::{Gateway, Upstream, at_some_pace};

use crate::http2::{ask, connect, run, site, whole};

fn impatient(upstream: &Upstream) -> Gateway {
    site(upstream, "[downstream]\nheader_timeout = \"300ms\"\nidle_timeout = \"20s\"\n")
}

/// Whether the connection ends within a time that is neither at once nor `idle_timeout`.
fn ends_soon(mut client: Http2) -> bool {
    let began = Instant::now();
    client.await_end();
    (Duration::from_millis(200)..Duration::from_secs(15)).contains(&began.elapsed())
}

#[test]
fn a_head_that_does_not_end_is_answered_408_and_ends_the_connection() {
    let mut gateway = impatient(&Upstream::saying("ok"));
    let head = block(&get("/", &[]));
    let pieces: [&dyn Fn(&mut Http2); 3] = [
        // CONTINUATION never comes.
        &|client| client.frame(HEADERS, END_STREAM, 1, &head),
        // Nor does its end.
        &|client| {
            client.frame(HEADERS, END_STREAM, 1, &head[..5]);
            client.frame(CONTINUATION, 0, 1, &head[5..9]);
            client.send(&frame(CONTINUATION, END_HEADERS, 1, &head[9..])[..12]);
        },
        // Half a frame.
        &|client| client.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &head)[..20]),
    ];
    for (at, send) in pieces.iter().enumerate() {
        let mut client = Http2::open(gateway.address());
        let began = Instant::now();
        send(&mut client);
        let (status, fields, _) = client.plain_answer(1);
        assert_eq!(status, 408, "{at}");
        assert!(began.elapsed() >= Duration::from_millis(250), "{at}: {:?}", began.elapsed());
        assert_eq!(client.next().map(|goaway| (goaway.kind, goaway.code())), Some((GOAWAY, ENHANCE_YOUR_CALM)), "{at}");
        assert!(client.next().is_none(), "{at}");
        let id = &fields.iter().find(|(name, _)| name == "x-request-id").expect("an id").1;
        let record = gateway.record(id);
        assert_eq!((&record["status"], &record["code"]), (&408.into(), &"INVALID_REQUEST".into()), "{record}");
    }
    assert_eq!(gateway.metric("witgate_heads_refused_total"), 3.0);
    assert_eq!(gateway.metric("witgate_http2_connections_ended_total{reason=\"ENHANCE_YOUR_CALM\"}"), 3.0);
}

#[test]
fn a_connection_that_does_not_begin_ends() {
    let mut gateway = impatient(&Upstream::saying("ok"));
    let mut half = Http2::silent(gateway.address());
    half.send(&PREFACE[..20]);
    assert!(ends_soon(half));
    let mut silent = Http2::silent(gateway.address());
    silent.send(PREFACE);
    assert!(ends_soon(silent), "without SETTINGS");
    gateway.await_line(|line| line.contains("head did not arrive"));
    let mut partial = Http2::silent(gateway.address());
    partial.send(PREFACE);
    partial.send(&frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 9])[..12]);
    assert!(ends_soon(partial), "without the end of SETTINGS");
    let mut other = Http2::silent(gateway.address());
    other.send(PREFACE);
    other.headers(1, &get("/", &[]), true);
    assert_eq!(other.await_frame(GOAWAY).expect("a GOAWAY").code(), 1, "SETTINGS come first");
}

#[test]
fn a_connection_that_dribbles_ends_though_requests_are_served_on_it() {
    let gateway = impatient(&Upstream::saying("ok"));
    let mut client = Http2::open(gateway.address());
    client.headers(1, &get("/", &[]), true);
    assert_eq!(client.next().map(|head| (head.kind, head.stream)), Some((HEADERS, 1)));
    // Each byte of a head comes long before the limit; all of them do not.
    let bytes = frame(HEADERS, END_HEADERS | END_STREAM, 3, &block(&get("/", &[])));
    let began = Instant::now();
    for byte in &bytes {
        client.send(&[*byte]);
        std::thread::park_timeout(Duration::from_millis(40));
        if began.elapsed() > Duration::from_secs(1) {
            break;
        }
    }
    assert!(client.await_frame(GOAWAY).is_some_and(|goaway| goaway.code() == ENHANCE_YOUR_CALM));
}

#[test]
fn heads_one_after_the_other_are_not_taken_for_a_slow_one() {
    at_some_pace("each head comes within the limit, and all of them do not", |times| {
        let config = format!("[downstream]\nheader_timeout = \"{}ms\"\nidle_timeout = \"2m\"\n", 300 * times);
        let gateway = site(&Upstream::saying("ok"), &config);
        let mut client = Http2::open(gateway.address());
        (0..12).all(|at| {
            let stream = 1 + 2 * at;
            let bytes = frame(HEADERS, END_HEADERS | END_STREAM, stream, &block(&get("/", &[])));
            // The end of one comes with the beginning of the next, as it does in a stream of bytes.
            let next = frame(HEADERS, END_HEADERS | END_STREAM, stream + 2, &block(&get("/", &[])));
            if at == 0 {
                client.send(&bytes[..5]);
            }
            client.send(&[&bytes[5..], &next[..5]].concat());
            std::thread::park_timeout(Duration::from_millis(60) * times);
            client.await_frame(HEADERS).is_some_and(|head| head.stream == stream)
        })
    });
}

#[test]
fn an_idle_connection_is_told_to_go_and_closed() {
    let gateway = site(&Upstream::saying("ok"), "[downstream]\nidle_timeout = \"400ms\"\nheader_timeout = \"20s\"\n");
    let mut client = Http2::open(gateway.address());
    client.headers(1, &get("/", &[]), true);
    assert_eq!(client.await_frame(DATA).map(|data| data.payload), Some(b"ok".to_vec()));
    let began = Instant::now();
    let first = client.next().expect("a GOAWAY");
    assert_eq!((first.kind, first.code()), (GOAWAY, 0));
    while client.next().is_some() {}
    assert!((Duration::from_millis(300)..Duration::from_secs(15)).contains(&began.elapsed()), "{:?}", began.elapsed());
    assert_eq!(gateway.metric("witgate_heads_refused_total"), 0.0, "that is no mistake of the client's");
}

#[test]
fn sigterm_lets_streams_end_and_wants_no_more() {
    let (upstream, hold) = Upstream::held("done");
    let gateway = site(&upstream, "");
    let mut client = Http2::open(gateway.address());
    client.headers(1, &get("/", &[]), true);
    hold.arrived();
    gateway.signal(libc::SIGTERM);
    let first = client.next().expect("a GOAWAY");
    assert_eq!((first.kind, first.code(), &first.payload[..4]), (GOAWAY, 0, &[0x7f, 0xff, 0xff, 0xff][..]));
    // After a round trip, in which requests may have been on their way, it says which it has taken.
    let second = client.next().expect("another GOAWAY");
    assert_eq!((second.kind, second.code(), &second.payload[..4]), (GOAWAY, 0, &[0, 0, 0, 1][..]));
    hold.release();
    assert_eq!(client.await_frame(DATA).map(|data| data.payload), Some(b"done".to_vec()));
    while client.next().is_some() {}
    assert!(gateway.exit().success());
}

/// Sends until the other side ends the connection; gives the code.
fn flood(gateway: &Gateway, mut bytes: impl FnMut(u32) -> Vec<u8>) -> u32 {
    let mut client = Http2::open(gateway.address());
    let mut writer = client.writer();
    let sending = std::thread::spawn({
        let batches: Vec<Vec<u8>> = (0..5000).map(&mut bytes).collect();
        move || batches.iter().all(|batch| writer.write_all(batch).is_ok())
    });
    let code = client.await_frame(GOAWAY).map(|goaway| goaway.code());
    drop(client);
    let _ = sending.join();
    code.expect("a GOAWAY")
}

#[test]
fn floods_end_the_connection_and_are_counted() {
    let mut gateway = site(&Upstream::saying("ok"), "");
    let head = block(&get("/", &[]));
    let partial = |at: u32| if at == 0 { frame(HEADERS, 0, 1, &head) } else { frame(CONTINUATION, 0, 1, b"") };
    let empty = |at: u32| {
        if at == 0 {
            let post = [(":method", "POST"), (":scheme", "http"), (":authority", "a"), (":path", "/")];
            return frame(HEADERS, END_HEADERS, 1, &block(&post));
        }
        frame(DATA, 0, 1, b"")
    };
    let resets = |at: u32| {
        let stream = 1 + 2 * at;
        [frame(HEADERS, END_HEADERS | END_STREAM, stream, &head), frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])].concat()
    };
    assert_eq!(flood(&gateway, |_| frame(PING, 0, 0, b"pingpong")), ENHANCE_YOUR_CALM, "PING");
    assert_eq!(flood(&gateway, |_| frame(SETTINGS, 0, 0, b"")), ENHANCE_YOUR_CALM, "SETTINGS");
    assert_eq!(flood(&gateway, partial), ENHANCE_YOUR_CALM, "CONTINUATION");
    assert_eq!(flood(&gateway, empty), ENHANCE_YOUR_CALM, "empty DATA");
    assert_eq!(flood(&gateway, resets), ENHANCE_YOUR_CALM, "requests that are given up");
    gateway.eventually("each is counted", |gateway| {
        gateway.metric("witgate_http2_connections_ended_total{reason=\"ENHANCE_YOUR_CALM\"}") == 5.0
            && gateway.metric("witgate_heads_refused_total") >= 5.0
    });
    for _ in 0..5 {
        gateway.await_line(|line| line.starts_with("out {") && line.contains("\"error\""));
    }
    assert_eq!(gateway.get("/").status, 200);
}

#[test]
fn a_client_that_takes_nothing_is_given_up() {
    let upstream = Upstream::new(|_, stream| {
        let head = "HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n";
        stream.write_all(head.as_bytes()).is_ok() && stream.write_all(&vec![b'x'; 1_000_000]).is_ok()
    });
    let mut gateway = site(&upstream, "[downstream]\nbody_timeout = \"500ms\"\n");
    // Its windows take 64 KiB, and it opens them no further.
    let mut client = Http2::open(gateway.address());
    client.headers(1, &get("/", &[("x-request-id", "stuck")]), true);
    let reset = client.await_frame(RST_STREAM).expect("a reset");
    assert_eq!(reset.stream, 1);
    assert!(gateway.record("stuck")["error"].is_string());
    // The connection is as good as before, but for its window.
    client.headers(3, &get("/%", &[]), true);
    assert_eq!(client.await_frame(HEADERS).map(|head| head.stream), Some(3));
}

#[test]
fn an_early_answer_to_an_upload_arrives_and_the_connection_stays() {
    let upstream = Upstream::saying("ok");
    let gateway = site(&upstream, "");
    run(async {
        let mut client = connect(&gateway).await;
        let request = Request::post("http://a.test/%").body(()).expect("valid");
        let (response, mut sender) = client.send_request(request, false).expect("sent");
        sender.send_data(vec![7; 1000].into(), false).expect("sent");
        assert_eq!(whole(response).await.status, 400);
        let reason = std::future::poll_fn(|context| sender.poll_reset(context)).await.expect("a reset");
        assert_eq!(reason, h2::Reason::NO_ERROR, "it need not send the rest");
        let request = Request::get("http://a.test/").body(()).expect("valid");
        assert_eq!(ask(&mut client, request).await.body, b"ok");
    });
}
