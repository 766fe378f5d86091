use std::time::Instant;

use super::super::frames::{CONTINUATION, DATA, END_HEADERS, HEADERS, Head, PING, RST_STREAM, SETTINGS};
use super::Watch;
use super::inbound::{Breach, IDLE_FRAMES, PREFACE, RESETS};

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    Head { length: payload.len() as u32, kind, flags, stream }.write(&mut bytes);
    bytes.extend_from_slice(payload);
    bytes
}

pub fn headers(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, b"block")
}

/// A connection that has begun.
pub fn begun() -> Watch {
    let mut watch = Watch::new(Instant::now());
    watch.read(&mut [0; PREFACE as usize]);
    watch.read(&mut frame(SETTINGS, 0, 0, b""));
    assert!(watch.head_since().is_none());
    watch
}

#[test]
fn a_connection_has_begun_with_its_settings() {
    let mut watch = Watch::new(Instant::now());
    assert!(watch.head_since().is_some() && !watch.has_begun());
    let since = watch.head_since();
    watch.read(&mut [0; PREFACE as usize]);
    let settings = frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 7]);
    for byte in &settings[..settings.len() - 1] {
        watch.read(&mut [*byte]);
        assert_eq!(watch.head_since(), since);
    }
    watch.read(&mut settings[settings.len() - 1..].to_vec());
    assert!(watch.head_since().is_none());
    assert!(watch.take_breach().is_none());
    let mut other = Watch::new(Instant::now());
    other.read(&mut [0; PREFACE as usize]);
    other.read(&mut headers(1));
    assert_eq!(other.take_breach(), Some(Breach::NoSettings));
}

#[test]
fn a_head_lasts_from_its_first_byte_to_its_last() {
    let mut watch = begun();
    let head = headers(1);
    watch.read(&mut head[..3].to_vec());
    let since = watch.head_since();
    assert!(since.is_some());
    watch.read(&mut head[3..12].to_vec());
    assert_eq!(watch.head_since(), since);
    watch.read(&mut head[12..].to_vec());
    assert!(watch.head_since().is_none());
    // Without the end of its block.
    watch.read(&mut frame(HEADERS, 0, 3, b"block"));
    let since = watch.head_since();
    assert!(since.is_some());
    watch.read(&mut frame(CONTINUATION, 0, 3, b"more"));
    assert_eq!(watch.head_since(), since);
    watch.read(&mut frame(CONTINUATION, END_HEADERS, 3, b""));
    assert!(watch.head_since().is_none());
    // A body that comes slowly is none.
    watch.read(&mut frame(DATA, 0, 3, b"body")[..11].to_vec());
    assert!(watch.head_since().is_none());
}

#[test]
fn another_head_begins_anew() {
    let mut watch = begun();
    watch.read(&mut headers(1)[..5].to_vec());
    let since = watch.head_since();
    let mut next = headers(1)[5..].to_vec();
    next.extend_from_slice(&headers(3)[..5]);
    std::thread::yield_now();
    watch.read(&mut next);
    assert!(watch.head_since().is_some() && watch.head_since() > since);
}

#[test]
fn frames_that_bring_nothing_have_a_limit() {
    let ping = frame(PING, 0, 0, b"pingpong");
    let mut watch = begun();
    for _ in 0..IDLE_FRAMES - 2 {
        watch.read(&mut ping.clone());
    }
    assert!(watch.take_breach().is_none());
    watch.read(&mut ping.clone());
    assert_eq!(watch.take_breach(), Some(Breach::IdleFrames));
    // Data buys others.
    let mut busy = begun();
    for _ in 0..3 * IDLE_FRAMES {
        busy.read(&mut frame(DATA, 0, 1, b"x"));
        busy.read(&mut ping.clone());
    }
    assert!(busy.take_breach().is_none());
    let mut resets = begun();
    for _ in 0..RESETS {
        resets.read(&mut frame(RST_STREAM, 0, 1, &[0; 4]));
    }
    assert_eq!(resets.take_breach(), Some(Breach::Resets));
}
