//! Clients of HTTP/2 that do not open their windows, after an answer that the gateway put before the library's reset: what waits,
//! what does not, and what is told of it.

use std::io::Write;

use witgate_tests::http2::{
    DATA, END_HEADERS, END_STREAM, Frame, HEADERS, Http2, PING, RST_STREAM, SETTINGS, WINDOW_UPDATE, get,
};
use witgate_tests::{Gateway, Upstream};

use crate::http2::site;

/// A connection's window, before anybody has opened it further (RFC 9113, section 6.9.2).
const WINDOW: usize = 65_535;

/// Answers a path that is a number with as many bytes, `/trailers/N` with trailers behind them, and any other with a head alone.
fn sizes() -> Upstream {
    Upstream::new(|request, stream| {
        let body = |text: &str| text.parse().map(|size| (0..size).map(byte).collect::<Vec<u8>>());
        if let Some(Ok(body)) = request.target.strip_prefix("/trailers/").map(body) {
            let head = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n", body.len());
            let parts = [head.as_bytes(), &body, b"\r\n0\r\nx-sum: 1\r\n\r\n"];
            return parts.iter().all(|part| stream.write_all(part).is_ok());
        }
        let Ok(body) = body(&request.target[1..]) else {
            return stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").is_ok();
        };
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all(head.as_bytes()).is_ok() && stream.write_all(&body).is_ok()
    })
}

fn byte(at: usize) -> u8 {
    (at % 251) as u8
}

/// A client whose first request was malformed and answered, and what is left of its window.
fn after_an_answer(gateway: &Gateway) -> (Http2, usize) {
    let mut client = Http2::open(gateway.address());
    client.headers(1, &get("/", &[("connection", "close")]), true);
    let (status, _, body) = client.plain_answer(1);
    assert_eq!(status, 400);
    assert_eq!(client.next().map(|reset| (reset.kind, reset.stream)), Some((RST_STREAM, 1)));
    (client, WINDOW - body.len())
}

/// Takes a stream's body until there are so many bytes of it, which have to be those that the upstream sent.
fn take(client: &mut Http2, stream: u32, body: &mut usize, until: usize) -> Frame {
    loop {
        let frame = client.next().expect("more of the body");
        assert_eq!(frame.stream, stream, "{frame:?}");
        if frame.kind == DATA {
            let expected: Vec<u8> = (*body..*body + frame.payload.len()).map(byte).collect();
            assert!(frame.payload == expected, "from {body}");
            *body += frame.payload.len();
            assert!(*body <= until, "{body} of {until}");
            if *body == until {
                return frame;
            }
        } else {
            assert_eq!((frame.kind, *body), (HEADERS, 0), "{frame:?}");
        }
    }
}

/// Asks whether the other side is there; what comes before it says so.
fn ping(client: &mut Http2) -> Vec<Frame> {
    client.frame(PING, 0, 0, b"pingpong");
    let mut before = Vec::new();
    loop {
        let frame = client.any().expect("an answer to PING");
        match (frame.kind, frame.flags) {
            (PING, 1) => return before,
            (SETTINGS | WINDOW_UPDATE, _) => {}
            _ => before.push(frame),
        }
    }
}

fn open_window(client: &mut Http2, stream: u32, by: usize) {
    client.frame(WINDOW_UPDATE, 0, stream, &(by as u32).to_be_bytes());
}

#[test]
fn a_window_that_is_used_up_holds_up_bodies_alone() {
    let gateway = site(&sizes(), "");
    let (mut client, left) = after_an_answer(&gateway);
    let (size, mut body) = (100_000, 0);
    client.headers(3, &get(&format!("/{size}"), &[]), true);
    take(&mut client, 3, &mut body, left);
    assert_eq!(ping(&mut client), [], "nothing beyond the window");
    client.headers(5, &get("/head", &[]), true);
    let head = client.next().expect("a head, for no window is asked of it");
    assert_eq!((head.kind, head.flags & END_STREAM, head.stream), (HEADERS, END_STREAM, 5));
    // A client may well ask how long the way is before it opens its window.
    client.frame(PING, 0, 0, b"pingpong");
    open_window(&mut client, 3, size);
    open_window(&mut client, 0, 1000);
    take(&mut client, 3, &mut body, left + 1000);
    assert_eq!(ping(&mut client), [], "nothing beyond the window");
    open_window(&mut client, 0, size);
    let last = take(&mut client, 3, &mut body, size);
    let ends = last.flags & END_STREAM != 0 || client.next().is_some_and(|end| (end.kind, end.flags) == (DATA, 1));
    assert!(ends, "{last:?}");
}

#[test]
fn trailers_come_behind_a_body_that_waits_for_its_window() {
    let gateway = site(&sizes(), "");
    let (mut client, left) = after_an_answer(&gateway);
    let mut body = 0;
    // Just what the window was before the answer.
    client.headers(3, &get(&format!("/trailers/{WINDOW}"), &[]), true);
    take(&mut client, 3, &mut body, left);
    // Its head may have to wait, for it is compressed behind the trailers.
    client.headers(5, &get("/head", &[]), true);
    assert_eq!(ping(&mut client), [], "nothing of the body, and what comes behind it");
    open_window(&mut client, 3, 1000);
    open_window(&mut client, 0, WINDOW - left);
    take(&mut client, 3, &mut body, WINDOW);
    let trailers = client.next().expect("trailers");
    let expected = (HEADERS, END_HEADERS | END_STREAM, 3);
    assert_eq!((trailers.kind, trailers.flags, trailers.stream), expected);
    let head = client.next().expect("the other head");
    assert_eq!((head.kind, head.flags, head.stream), (HEADERS, END_HEADERS | END_STREAM, 5));
}

#[test]
fn a_download_that_is_given_up_for_its_window_counts_what_was_sent() {
    let mut gateway = site(&sizes(), "[downstream]\nbody_timeout = \"300ms\"\n");
    let (mut client, left) = after_an_answer(&gateway);
    let mut body = 0;
    client.headers(3, &get("/1000000", &[("x-request-id", "stuck")]), true);
    take(&mut client, 3, &mut body, left);
    let reset = client.next().expect("a reset, for no window is asked of it");
    assert_eq!((reset.kind, reset.stream), (RST_STREAM, 3));
    let record = gateway.record("stuck");
    assert_eq!((&record["bytes_out"], record["error"].is_string()), (&left.into(), true), "{record}");
    // Both sides know the window as it is: all of it is used, and no more.
    open_window(&mut client, 0, WINDOW);
    let mut body = 0;
    client.headers(5, &get("/1000000", &[]), true);
    take(&mut client, 5, &mut body, WINDOW);
    assert_eq!(ping(&mut client).iter().map(|frame| frame.kind).filter(|kind| *kind == DATA).count(), 0);
}
