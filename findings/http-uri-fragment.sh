#!/bin/sh
# The http crate drops a fragment while it parses a target, and ignores it in `==`.
#
# Seen with http 1.5.0 (crates.io).
#
# From memory: a type for request targets, which have no fragment (RFC 9112, section 3.2), refuses `#`; or one that can
# be parsed from any URI has a way to ask for the fragment.
# Seen: `Uri` and `PathAndQuery` parse `/a?b#c`, keep `/a?b`, and have no method for the rest. `#x` alone is the path `/`
# to one and an error to the other. And a `Uri` equals a text with any fragment behind it, so that a test by
# `uri == "/a?b#c"` does not notice the loss.
#
# Why a gateway cares: whoever checks a target by parsing it lets `#` pass, and what is sent on is another target than the
# one that came, was logged or was signed. Witgate looks for it before it parses (gateway/http/src/http1/request.rs,
# `HeadError::Fragment`) and compares afterwards what plugins ask for (gateway/plugin-host/src/host/outbound.rs).
#
# Prints, and exits with 1 where that changes:
#   Uri /a?b#c: /a?b
#   PathAndQuery /a?b#c: /a?b
#   Uri #x: invalid format
#   PathAndQuery #x: /
#   Uri == "/a?b#c": true
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
http = "=1.5.0"
[workspace]
TOML
cat >src/main.rs <<'RUST'
use std::fmt::Display;

use http::uri::{PathAndQuery, Uri};

fn tell<T: Display, E: Display>(what: &str, result: Result<T, E>) {
    match result {
        Ok(value) => println!("{what}: {value}"),
        Err(error) => println!("{what}: {error}"),
    }
}

fn main() {
    for text in ["/a?b#c", "#x"] {
        tell(&format!("Uri {text}"), Uri::try_from(text));
        tell(&format!("PathAndQuery {text}"), PathAndQuery::try_from(text));
    }
    println!("Uri == \"/a?b#c\": {}", Uri::from_static("/a?b") == "/a?b#c");
}
RUST
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$work/target}"
cargo run --quiet >seen
cat seen
cat >expected <<'TEXT'
Uri /a?b#c: /a?b
PathAndQuery /a?b#c: /a?b
Uri #x: invalid format
PathAndQuery #x: /
Uri == "/a?b#c": true
TEXT
cmp -s seen expected
