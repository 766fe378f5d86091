#!/bin/sh
# The h2 crate ends a connection at its 101st empty DATA frame, counted over the connection's whole life.
#
# Seen with h2 0.4.20 (crates.io), client and server with their defaults, one request at a time.
#
# From memory: such limits guard against floods, so they count per stream, per time, or what waits unread; an old
# connection whose requests all end well never meets one.
# Seen: each request brings one empty DATA frame before its body. 100 are answered; at the next the server ends the
# connection with GOAWAY ENHANCE_YOUR_CALM, debug data `too_many_data_frames`, although it has read every frame before and
# no stream is open but that one. Frames with a single byte instead are served without an end: their budget is given back
# as they are read. The setting `data_frame_budget` is for those alone; the count of empty frames has none, nothing
# lowers it, and the time between requests does not matter.
#
# Why a gateway cares: a valid peer that flushes before it has data (a stream of events, a gRPC client, a proxy before
# it) loses the connection after hours, and each request that is on it at that moment; toward an upstream the same holds for
# responses. Witgate has a limit of its own, of frames that bring nothing per 10 seconds
# (gateway/server/src/proxy/http2/watched/inbound.rs); this one lies below it.
#
# Prints, and exits with 1 where that changes:
#   0 bytes: 100 answered of 300; enhance_your_calm too_many_data_frames
#   1 byte: 300 answered of 300
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
mkdir src
cat >Cargo.toml <<'TOML'
[package]
name = "finding"
version = "0.0.0"
edition = "2024"
[dependencies]
bytes = "1"
h2 = "=0.4.20"
http = "=1.5.0"
tokio = { version = "1", features = ["rt", "io-util", "macros"] }
[workspace]
TOML
cat >src/main.rs <<'RUST'
use bytes::Bytes;
use h2::{Reason, client, server};
use http::{Request, Response};
use tokio::io::DuplexStream;

const REQUESTS: usize = 300;

async fn serve(io: DuplexStream) {
    let mut connection = server::handshake(io).await.unwrap();
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        tokio::spawn(async move {
            let mut body = request.into_body();
            while let Some(Ok(data)) = body.data().await {
                body.flow_control().release_capacity(data.len()).unwrap();
            }
            // Where the connection has ended, there is nobody to tell.
            let _ = respond.send_response(Response::new(()), true);
        });
    }
}

async fn ask(send: &mut client::SendRequest<Bytes>, first: &'static [u8]) -> Result<(), h2::Error> {
    *send = send.clone().ready().await?;
    let request = Request::post("http://host/").body(()).unwrap();
    let (response, mut body) = send.send_request(request, false)?;
    body.send_data(Bytes::from_static(first), false)?;
    body.send_data(Bytes::from_static(b"body"), true)?;
    response.await.map(drop)
}

/// Requests one after the other, whose bodies begin with a frame of `first`: how many are answered, and what ends the
/// connection before all are.
async fn exchange(first: &'static [u8]) -> (usize, Option<h2::Error>) {
    let (near, far) = tokio::io::duplex(1 << 16);
    tokio::spawn(serve(far));
    let (mut send, connection) = client::handshake(near).await.unwrap();
    let connection = tokio::spawn(connection);
    for answered in 0..REQUESTS {
        if ask(&mut send, first).await.is_err() {
            return (answered, connection.await.unwrap().err());
        }
    }
    (REQUESTS, None)
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let (answered, end) = exchange(b"").await;
    let end = end.expect("an end");
    let (calm, text) = (end.reason() == Some(Reason::ENHANCE_YOUR_CALM), end.to_string());
    let debug = format!("{end:?}").contains("too_many_data_frames");
    println!("0 bytes: {answered} answered of {REQUESTS}; {}", if calm && debug {
        "enhance_your_calm too_many_data_frames"
    } else {
        &text
    });
    let (rest, other) = exchange(b".").await;
    println!("1 byte: {rest} answered of {REQUESTS}");
    std::process::exit(i32::from(answered != 100 || !calm || !debug || rest != REQUESTS || other.is_some()));
}
RUST
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$work/target}"
cargo run --quiet
