//! HTTP/2 connections of clients, frame by frame (RFC 9113, sections 3 to 7, 9 and 10).

use std::io::Read;

use witgate_tests::http2::*;
use witgate_tests::{Connection, Gateway, Upstream};

use super::before;

/// No dynamic table: responses can be read without one.
const PLAIN: &[(u16, u32)] = &[(1, 0)];

fn pair() -> (Upstream, Gateway) {
    let upstream = Upstream::saying("ok");
    let gateway = before(upstream.address());
    (upstream, gateway)
}

fn get_frame(stream: u32, flags: u8) -> Vec<u8> {
    frame(HEADERS, flags, stream, &block(&get("/", &[])))
}

const WHOLE: u8 = END_HEADERS | END_STREAM;

#[test]
fn the_connection_begins_with_settings_that_are_acknowledged() {
    let (_upstream, gateway) = pair();
    let mut client = Http2::client(gateway.address(), PLAIN);
    let first = client.any().expect("a frame");
    assert_eq!((first.kind, first.flags & ACK, first.stream), (SETTINGS, 0, 0), "the first frame of a server");
    for (id, value) in first.settings() {
        match id {
            2 => assert_eq!(value, 0, "a server does not push to itself"),
            3 => assert!(value >= 100, "SETTINGS_MAX_CONCURRENT_STREAMS"),
            4 => assert!(value < 1 << 31, "SETTINGS_INITIAL_WINDOW_SIZE"),
            5 => assert!((1 << 14..1 << 24).contains(&value), "SETTINGS_MAX_FRAME_SIZE"),
            8 => assert!(value <= 1, "SETTINGS_ENABLE_CONNECT_PROTOCOL"),
            _ => {}
        }
    }
    let acknowledged = client.await_frame(SETTINGS).expect("an acknowledgement");
    assert_eq!((acknowledged.flags & ACK, acknowledged.payload.len()), (ACK, 0));
    // One for each, in order.
    client.settings(&[(1, 0), (6, 100_000)]);
    let acknowledged = client.await_frame(SETTINGS).expect("an acknowledgement");
    assert_eq!(acknowledged.flags & ACK, ACK);
    client.send(&get_frame(1, WHOLE));
    assert_eq!(client.outcome(1), Outcome::Status(200));
}

#[test]
fn a_preface_that_is_none_ends_the_connection() {
    let (upstream, gateway) = pair();
    for bytes in
        [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\rX"[..], b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", b"PRI * HTTP/2.1\r\n\r\n"]
    {
        let mut connection = Connection::open(gateway.address());
        connection.send(bytes);
        connection.finish();
        let mut all = Vec::new();
        let _ = connection.stream().read_to_end(&mut all);
        assert!(!String::from_utf8_lossy(&all).contains(" 200 "), "{bytes:?}");
    }
    // No settings behind the preface.
    let mut client = Http2::silent(gateway.address());
    client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    client.send(&get_frame(1, WHOLE));
    let outcome = client.outcome(1);
    assert!(matches!(outcome, Outcome::GoAway(PROTOCOL_ERROR) | Outcome::Closed), "no settings: {outcome:?}");
    assert!(upstream.received().is_empty());
}

#[test]
fn what_is_unknown_is_ignored() {
    let (_upstream, gateway) = pair();
    for (what, bytes) in [
        ("a type of frame", frame(0xbe, 0xff, 0, b"whatever")),
        ("a type of frame on a stream", frame(0xbe, 0xff, 1, b"")),
        ("a setting", frame(SETTINGS, 0, 0, &[0xf0, 0, 0, 0, 0, 1])),
        ("flags of a ping", frame(PING, 0xfe, 0, b"12345678")),
        ("flags of settings", frame(SETTINGS, 0xfe, 0, &[])),
        ("the reserved bit", frame(PING, 0, 1 << 31, b"12345678")),
        ("an error code", frame(GOAWAY, 0, 0, &[0, 0, 0, 0, 0, 0, 0xbe, 0xef])),
        ("a priority of an idle stream", frame(PRIORITY, 0, 5, &[0, 0, 0, 0, 1])),
        ("an update of priorities", frame(0x10, 0, 0, b"\0\0\0\x01u=1")),
    ] {
        let mut client = Http2::client(gateway.address(), PLAIN);
        client.send(&bytes);
        client.send(&get_frame(1, WHOLE));
        assert_eq!(client.outcome(1), Outcome::Status(200), "{what}");
    }
}

/// Frames, and the codes that may end the connection, or a stream of it, for them.
#[test]
fn frames_that_break_the_rules_end_the_connection_with_the_code_for_it() {
    let (upstream, gateway) = pair();
    let stream_dependency = |stream: u32| frame(PRIORITY, 0, stream, &[0, 0, 0, 0, 1]);
    let open = get_frame(1, END_HEADERS);
    let post = |more: &[u8]| [open.as_slice(), more].concat();
    let half = || frame(HEADERS, END_STREAM, 1, &block(&get("/half", &[])));
    let cases: Vec<(&str, Vec<u8>, u32)> = vec![
        ("a frame over the size", frame(DATA, 0, 1, &[0; 16_385]), FRAME_SIZE_ERROR),
        ("settings over the size", frame(SETTINGS, 0, 0, &[0; 16_386]), FRAME_SIZE_ERROR),
        ("settings in pieces", frame(SETTINGS, 0, 0, &[0; 5]), FRAME_SIZE_ERROR),
        ("settings of a stream", frame(SETTINGS, 0, 1, &[]), PROTOCOL_ERROR),
        ("an acknowledgement that says something", frame(SETTINGS, ACK, 0, &[0; 6]), FRAME_SIZE_ERROR),
        ("half a wish for pushes", frame(SETTINGS, 0, 0, &[0, 2, 0, 0, 0, 2]), PROTOCOL_ERROR),
        ("a window beyond the limit", frame(SETTINGS, 0, 0, &[0, 4, 0x80, 0, 0, 0]), FLOW_CONTROL_ERROR),
        ("frames too small", frame(SETTINGS, 0, 0, &[0, 5, 0, 0, 0x3f, 0xff]), PROTOCOL_ERROR),
        ("frames too large", frame(SETTINGS, 0, 0, &[0, 5, 1, 0, 0, 0]), PROTOCOL_ERROR),
        ("data of the connection", frame(DATA, 0, 0, b"x"), PROTOCOL_ERROR),
        ("data of an idle stream", frame(DATA, 0, 1, b"x"), PROTOCOL_ERROR),
        ("padding longer than its data", post(&frame(DATA, PADDED, 1, &[5, b'x', 0])), PROTOCOL_ERROR),
        ("padding longer than its head", frame(HEADERS, WHOLE | PADDED, 1, &[200, 0x82]), PROTOCOL_ERROR),
        ("a head of the connection", get_frame(0, WHOLE), PROTOCOL_ERROR),
        ("a head on a stream of the server", get_frame(2, WHOLE), PROTOCOL_ERROR),
        ("a head broken into by data", [half(), frame(DATA, 0, 1, b"x")].concat(), PROTOCOL_ERROR),
        ("a head broken into by a ping", [half(), frame(PING, 0, 0, b"12345678")].concat(), PROTOCOL_ERROR),
        ("a head broken into by an unknown frame", [half(), frame(0xbe, 0, 0, b"")].concat(), PROTOCOL_ERROR),
        ("a head broken into by another", [half(), get_frame(3, WHOLE)].concat(), PROTOCOL_ERROR),
        ("a head continued elsewhere", [half(), frame(CONTINUATION, END_HEADERS, 3, b"")].concat(), PROTOCOL_ERROR),
        ("a continuation of nothing", frame(CONTINUATION, END_HEADERS, 1, b""), PROTOCOL_ERROR),
        ("a continuation of the connection", [half(), frame(CONTINUATION, 4, 0, b"")].concat(), PROTOCOL_ERROR),
        ("a continuation behind the end", post(&frame(CONTINUATION, END_HEADERS, 1, b"")), PROTOCOL_ERROR),
        ("a reset of the connection", frame(RST_STREAM, 0, 0, &[0, 0, 0, 8]), PROTOCOL_ERROR),
        ("a reset of an idle stream", frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]), PROTOCOL_ERROR),
        ("a reset of three octets", post(&frame(RST_STREAM, 0, 1, &[0, 0, 8])), FRAME_SIZE_ERROR),
        ("a ping of seven octets", frame(PING, 0, 0, b"1234567"), FRAME_SIZE_ERROR),
        ("a ping of a stream", frame(PING, 0, 1, b"12345678"), PROTOCOL_ERROR),
        ("an end of a stream's connection", frame(GOAWAY, 0, 1, &[0; 8]), PROTOCOL_ERROR),
        ("a window that grows by nothing", frame(WINDOW_UPDATE, 0, 0, &[0; 4]), PROTOCOL_ERROR),
        ("a window of an idle stream", frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]), PROTOCOL_ERROR),
        ("a window update of three octets", frame(WINDOW_UPDATE, 0, 0, &[0, 0, 1]), FRAME_SIZE_ERROR),
        ("a window that overflows", frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff]), FLOW_CONTROL_ERROR),
        ("a priority of the connection", stream_dependency(0), PROTOCOL_ERROR),
        ("a push of a client", post(&frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2])), PROTOCOL_ERROR),
        ("a block with an index of nothing", frame(HEADERS, WHOLE, 1, &[0x80]), COMPRESSION_ERROR),
        ("a block with an index too high", frame(HEADERS, WHOLE, 1, &[0xff, 0xff, 0x7f]), COMPRESSION_ERROR),
        ("a block that breaks off", frame(HEADERS, WHOLE, 1, &[0x00, 0x05, b'x']), COMPRESSION_ERROR),
        ("a table over its size", frame(HEADERS, WHOLE, 1, &[0x3f, 0xff, 0xff, 0x03]), COMPRESSION_ERROR),
        ("trailers that cannot be read", post(&frame(HEADERS, WHOLE, 1, &[0x80])), COMPRESSION_ERROR),
    ];
    for (what, bytes, code) in cases {
        let mut client = Http2::client(gateway.address(), PLAIN);
        client.send(&bytes);
        let end = client.ping();
        // A code of its own may stand for a more specific one (section 5.4).
        let fits = matches!(end, Err(Outcome::GoAway(got)) if got == code || got == PROTOCOL_ERROR);
        assert!(fits, "{what}: {end:?}, and not {code}");
        assert_eq!(client.any().map(|frame| frame.kind).filter(|kind| *kind != GOAWAY), None, "{what}: goes on");
    }
    assert_eq!(gateway.get("/").status, 200);
    assert!(upstream.received().iter().all(|request| request.target == "/"), "{:?}", upstream.received());
}

#[test]
fn identifiers_of_streams_only_grow() {
    let (_upstream, gateway) = pair();
    for (first, second) in [(3, 1), (5, 3), (1, 1)] {
        let mut client = Http2::client(gateway.address(), PLAIN);
        client.send(&get_frame(first, WHOLE));
        assert_eq!(client.outcome(first), Outcome::Status(200));
        client.send(&get_frame(second, WHOLE));
        let end = client.ping();
        assert!(
            matches!(end, Err(Outcome::GoAway(PROTOCOL_ERROR | STREAM_CLOSED))) || (first == second && end.is_ok()),
            "{first} and then {second}: {end:?}"
        );
    }
}

#[test]
fn errors_of_one_stream_leave_the_others_alone() {
    let (upstream, gateway) = pair();
    for (what, bytes, codes) in [
        ("data behind its end", [get_frame(1, WHOLE), frame(DATA, 0, 1, b"x")].concat(), &[STREAM_CLOSED][..]),
        (
            "a window that grows by nothing",
            [get_frame(1, END_HEADERS), frame(WINDOW_UPDATE, 0, 1, &[0; 4])].concat(),
            &[PROTOCOL_ERROR],
        ),
        (
            "a window that overflows",
            [get_frame(1, END_HEADERS), frame(WINDOW_UPDATE, 0, 1, &[0x7f, 0xff, 0xff, 0xff])].concat(),
            &[FLOW_CONTROL_ERROR],
        ),
        (
            "a priority of four octets",
            [get_frame(1, END_HEADERS), frame(PRIORITY, 0, 1, &[0; 4])].concat(),
            &[FRAME_SIZE_ERROR],
        ),
    ] {
        let mut client = Http2::client(gateway.address(), PLAIN);
        client.send(&bytes);
        match client.outcome(1) {
            Outcome::Reset(code) => {
                assert!(codes.contains(&code) || code == PROTOCOL_ERROR, "{what}: {code}");
                client.send(&get_frame(3, WHOLE));
                assert_eq!(client.outcome(3), Outcome::Status(200), "{what}");
            }
            // Any error of a stream may be taken for one of the connection (section 5.4.1).
            Outcome::GoAway(code) => assert!(codes.contains(&code) || code == PROTOCOL_ERROR, "{what}: {code}"),
            // It was answered before the frame behind it came.
            other => assert_eq!((what, other), ("data behind its end", Outcome::Status(200))),
        }
    }
    assert_eq!(gateway.get("/").status, 200);
    assert!(upstream.received().iter().all(|request| request.body.is_empty()));
}

#[test]
fn frames_behind_a_reset_or_an_end_are_taken_calmly() {
    let (_upstream, gateway) = pair();
    let mut client = Http2::client(gateway.address(), PLAIN);
    client.send(&get_frame(1, WHOLE));
    assert_eq!(client.outcome(1), Outcome::Status(200));
    client.await_frame(DATA).expect("the body");
    client.frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]);
    client.frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 1]);
    client.frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]);
    assert_eq!(client.ping(), Ok(()));
    // Given up by the client, while more is on its way to it.
    client.send(&get_frame(3, END_HEADERS));
    client.frame(RST_STREAM, 0, 3, &[0, 0, 0, 8]);
    client.frame(WINDOW_UPDATE, 0, 3, &[0, 0, 0, 1]);
    assert_eq!(client.ping(), Ok(()), "and no reset in answer to a reset");
    client.send(&get_frame(5, WHOLE));
    assert_eq!(client.outcome(5), Outcome::Status(200));
}

#[test]
fn a_ping_comes_back_as_it_was_and_an_answer_does_not() {
    let (_upstream, gateway) = pair();
    let mut client = Http2::client(gateway.address(), PLAIN);
    client.frame(PING, ACK, 0, b"unasked!");
    client.frame(PING, 0, 0, b"\x01\x02\x03\x04\x05\x06\x07\xff");
    let pong = client.await_frame(PING).expect("an answer");
    assert_eq!((pong.flags & ACK, pong.stream, &pong.payload[..]), (ACK, 0, &b"\x01\x02\x03\x04\x05\x06\x07\xff"[..]));
}

#[test]
fn heads_in_pieces_with_padding_and_priority_are_read() {
    let (upstream, gateway) = pair();
    let mut client = Http2::client(gateway.address(), PLAIN);
    let block = block(&get("/pieces", &[("x", "y")]));
    let (first, rest) = block.split_at(7);
    // Padded, and with the priority that HTTP/2 once had.
    let padded = [&[3, 0, 0, 0, 0, 15], first, &[0; 3]].concat();
    client.frame(HEADERS, END_STREAM | PADDED | 0x20, 1, &padded);
    for piece in rest[..5].chunks(1) {
        client.frame(CONTINUATION, 0, 1, piece);
    }
    client.frame(CONTINUATION, END_HEADERS, 1, &rest[5..]);
    assert_eq!(client.outcome(1), Outcome::Status(200));
    assert_eq!((upstream.last().target.as_str(), upstream.last().header("x").as_deref()), ("/pieces", Some("y")));
    // A body with padding, which counts for nothing but the window.
    client.headers(3, &asking("POST", "/body", &[]), false);
    client.frame(DATA, PADDED, 3, b"\x02ab\0\0");
    client.frame(DATA, PADDED | END_STREAM, 3, b"\x01c\0");
    assert_eq!(client.outcome(3), Outcome::Status(200));
    assert_eq!(upstream.last().body, b"abc");
}

#[test]
fn streams_beyond_the_limit_are_refused_and_can_be_sent_again() {
    let (upstream, hold) = Upstream::held("ok");
    let gateway = before(upstream.address());
    let mut client = Http2::client(gateway.address(), PLAIN);
    let settings = client.await_frame(SETTINGS).expect("settings").settings();
    let limit = settings.iter().find(|(id, _)| *id == 3).expect("a limit").1;
    for number in 0..=limit {
        client.send(&get_frame(2 * number + 1, WHOLE));
    }
    let outcome = client.outcome(2 * limit + 1);
    assert!(matches!(outcome, Outcome::Reset(REFUSED_STREAM | PROTOCOL_ERROR)), "{outcome:?}");
    drop(hold);
}

#[test]
fn data_is_sent_within_the_windows_of_the_client() {
    let upstream = Upstream::saying("0123456789abcdef");
    let gateway = before(upstream.address());
    let data = |client: &mut Http2| -> Vec<u8> {
        let frame = client.await_frame(DATA).expect("data");
        assert!(frame.payload.len() <= 16_384);
        frame.payload
    };
    // Five octets for each stream to begin with.
    let mut client = Http2::client(gateway.address(), &[(1, 0), (4, 5)]);
    client.send(&get_frame(1, WHOLE));
    assert_eq!(data(&mut client), b"01234");
    assert_eq!(client.ping(), Ok(()), "nothing comes before there is room");
    client.frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 3]);
    assert_eq!(data(&mut client), b"567");
    // Less than nothing: the window was used up, and is made smaller.
    client.settings(&[(4, 1)]);
    client.frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 4]);
    assert_eq!(client.ping(), Ok(()), "the update pays the debt");
    client.settings(&[(4, 3)]);
    assert_eq!(data(&mut client), b"89");
    client.settings(&[(4, 100)]);
    assert_eq!(data(&mut client), b"abcdef");
}

#[test]
fn a_window_beyond_the_limit_by_settings_ends_the_connection() {
    let upstream = Upstream::saying("0123456789abcdef");
    let gateway = before(upstream.address());
    let mut client = Http2::client(gateway.address(), &[(1, 0), (4, 1)]);
    client.send(&get_frame(1, WHOLE));
    assert_eq!(client.outcome(1), Outcome::Status(200));
    client.frame(WINDOW_UPDATE, 0, 1, &[0x7f, 0xff, 0xff, 0x00]);
    client.settings(&[(4, 0x7fff_ffff)]);
    assert!(matches!(client.ping(), Err(Outcome::GoAway(FLOW_CONTROL_ERROR))));
}

#[test]
fn a_head_over_the_limit_is_refused_and_the_table_stays_right() {
    let (upstream, gateway) = pair();
    let mut client = Http2::client(gateway.address(), PLAIN);
    let long = "x".repeat(16_000);
    let fields: Vec<(&str, &str)> = (0..6).map(|_| ("x", long.as_str())).collect();
    let block = block(&get("/large", &fields));
    let pieces: Vec<&[u8]> = block.chunks(16_384).collect();
    client.frame(HEADERS, END_STREAM, 1, pieces[0]);
    for (at, piece) in pieces.iter().enumerate().skip(1) {
        client.frame(CONTINUATION, if at + 1 == pieces.len() { END_HEADERS } else { 0 }, 1, piece);
    }
    match client.outcome(1) {
        Outcome::Status(431) => {
            client.send(&get_frame(3, WHOLE));
            assert_eq!(client.outcome(3), Outcome::Status(200));
        }
        Outcome::GoAway(_) | Outcome::Reset(_) => {}
        other => panic!("{other:?}"),
    }
    assert!(upstream.received().iter().all(|request| request.target != "/large"));
}

#[test]
fn endless_heads_and_resets_are_cut_off() {
    let (_upstream, gateway) = pair();
    let mut client = Http2::client(gateway.address(), PLAIN);
    client.frame(HEADERS, END_STREAM, 1, &block(&get("/", &[])));
    let piece = block(&[("x", &"x".repeat(1000))]);
    for _ in 0..2000 {
        client.frame(CONTINUATION, 0, 1, &piece);
    }
    assert!(!matches!(client.outcome(1), Outcome::Status(200)), "continuations without an end");
    let mut client = Http2::client(gateway.address(), PLAIN);
    for number in 0..3000 {
        client.send(&get_frame(2 * number + 1, WHOLE));
        client.frame(RST_STREAM, 0, 2 * number + 1, &[0, 0, 0, 8]);
    }
    assert!(client.ping().is_err(), "three thousand requests that nobody waits for");
    assert_eq!(gateway.get("/").status, 200);
}

#[test]
fn a_connection_that_ends_says_so_first() {
    let (_upstream, gateway) = pair();
    let mut client = Http2::client(gateway.address(), PLAIN);
    client.send(&get_frame(1, WHOLE));
    assert_eq!(client.outcome(1), Outcome::Status(200));
    gateway.signal(libc::SIGTERM);
    let mut last = None;
    while let Some(goodbye) = client.await_frame(GOAWAY) {
        assert_eq!((goodbye.stream, &goodbye.payload[4..8]), (0, &[0; 4][..]), "no error");
        let stream = u32::from_be_bytes(goodbye.payload[..4].try_into().expect("four octets"));
        assert!(stream >= 1 && last.is_none_or(|before| stream <= before), "{stream} behind {last:?}");
        last = Some(stream);
    }
    assert!(last.is_some(), "closed without a word");
    assert!(gateway.exit().success());
}

#[test]
fn an_idle_connection_is_closed_with_a_goaway() {
    let upstream = Upstream::saying("ok");
    let gateway = Gateway::with(&format!(
        "[downstream]\nidle_timeout = \"300ms\"\n{}",
        super::in_front_of(upstream.address(), "")
    ));
    let mut client = Http2::client(gateway.address(), PLAIN);
    client.send(&get_frame(1, WHOLE));
    assert_eq!(client.outcome(1), Outcome::Status(200));
    assert!(client.await_frame(GOAWAY).is_some(), "closed without a word");
}
