#!/bin/sh
# One in ten 64-bit floats that serde_json writes is another number when serde_json reads it.
#
# Seen with serde_json 1.0.154 (crates.io), default features, rustc 1.95.0.
#
# From memory: it writes the shortest digits from which a float can be had again, so that it reads its own output back
# unchanged; what is lost by default is only in numbers with more digits than a float has.
# Seen: the writer is exact, the reader is not, unless the feature `float_roundtrip` is on: it makes one float of the
# digits, another of the power of ten, and divides or multiplies, which rounds twice. Of times as Python's `time.time()`
# gives them (seconds since 1970 with seven decimals: 17 digits) 10 % come back as a neighbour, and of fractions between 0
# and 1 as well. And 9007199254740993.0, halfway between two floats, becomes the upper one, where round-half-to-even (and
# `str::parse` of Rust) has the lower. With `float_roundtrip`, none of them does. Features are unified over a build: one
# dependency that turns it on changes what all others read.
#
# Why a gateway cares: times in tokens (`iat`, `exp` of RFC 7519 may have a fraction), scores and features of models come as
# JSON. Two that were equal where they were made are not, after only one of them has passed through a program; a cache or
# a comparison misses, and output cannot be checked bit for bit. In Witgate, plugins/auth/src/object.rs takes such
# numbers for inexact, and gateway/inference/src/protocol/json.rs parses tensors from their text itself.
#
# Prints, and exits with 1 where that changes:
#   default: 10259 of 100000 times are others; 1764641612.1756523 is 1764641612.1756525
#   default: 10561 of 100000 fractions are others; 0.09181611749299601 is 0.091816117492996
#   default: 9007199254740993.0 is 9007199254740994
#   float_roundtrip: 0 of 100000 times are others
#   float_roundtrip: 0 of 100000 fractions are others
#   float_roundtrip: 9007199254740993.0 is 9007199254740992
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
serde_json = "=1.0.154"
[features]
float_roundtrip = ["serde_json/float_roundtrip"]
[workspace]
TOML
cat >src/main.rs <<'RUST'
const MODE: &str = if cfg!(feature = "float_roundtrip") { "float_roundtrip" } else { "default" };
const COUNT: usize = 100_000;

/// Numbers that are the same in each run (xorshift64).
fn numbers() -> impl Iterator<Item = u64> {
    std::iter::successors(Some(1_u64), |last| {
        let mut next = last ^ (last << 13);
        next ^= next >> 7;
        Some(next ^ (next << 17))
    })
    .skip(1)
}

fn compare(what: &str, floats: impl Iterator<Item = f64>) {
    let others = floats.filter_map(|float| {
        let text = serde_json::to_string(&float).unwrap();
        // The standard library has it back: the writer is not at fault.
        assert_eq!(text.parse::<f64>().unwrap(), float);
        let read = serde_json::from_str::<f64>(&text).unwrap();
        (read != float).then_some((text, read))
    });
    let others = others.collect::<Vec<_>>();
    let first = others.first().map(|(text, read)| format!("; {text} is {read}")).unwrap_or_default();
    println!("{MODE}: {} of {COUNT} {what} are others{first}", others.len());
}

fn main() {
    let times = numbers().take(COUNT);
    compare("times", times.map(|number| 1_764_546_000.0 + (number % 1_000_000_000_000) as f64 / 1e7));
    let fractions = numbers().skip(COUNT).take(COUNT);
    compare("fractions", fractions.map(|number| (number >> 11) as f64 / (1_u64 << 53) as f64));
    let text = "9007199254740993.0";
    println!("{MODE}: {text} is {}", serde_json::from_str::<f64>(text).unwrap());
}
RUST
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$work/target}"
{
    cargo run --quiet
    cargo run --quiet --features float_roundtrip
} >seen
cat seen
cat >expected <<'TEXT'
default: 10259 of 100000 times are others; 1764641612.1756523 is 1764641612.1756525
default: 10561 of 100000 fractions are others; 0.09181611749299601 is 0.091816117492996
default: 9007199254740993.0 is 9007199254740994
float_roundtrip: 0 of 100000 times are others
float_roundtrip: 0 of 100000 fractions are others
float_roundtrip: 9007199254740993.0 is 9007199254740992
TEXT
cmp -s seen expected
