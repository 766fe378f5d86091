#!/bin/sh
# Rust's `Path::with_extension` makes the parent folder of a file whose name is `..data`.
#
# Seen with rustc 1.95.0 (std of the tool chain that this project names), on Linux.
#
# From memory: `with_extension` is `set_extension` on a copy; its documentation points there. A name with dots in front
# gets another ending, or one more.
# Seen: `/v/..data`.with_extension("new") is `/v/..`, which has no file name and means `/`, while `set_extension("new")` on
# the same path makes `/v/..new`. The copy is made without the old extension, so that it ends in `..`; then there is no
# file name left to give an extension to, and that is not reported.
#
# Why a gateway cares: `..data` is the name of the link that Kubernetes swaps below each mounted ConfigMap and Secret. Who
# follows links and puts a temporary file, a lock or a stamp beside where they lead (`path.with_extension("tmp")`) names a
# folder, elsewhere. Witgate's watcher follows such links (gateway/server/src/watch/trail.rs), and calls
# `with_extension` on names of its own alone (gateway/plugin-host/src/cache.rs).
#
# Prints, and exits with 1 where that changes:
#   with_extension("new"): /v/..
#   set_extension("new"):  /v/..new
#   name of the first:     None
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat >"$work/main.rs" <<'RUST'
use std::path::{Path, PathBuf};

fn main() {
    let link = Path::new("/v/..data");
    let made = link.with_extension("new");
    let mut set = PathBuf::from(link);
    let done = set.set_extension("new");
    println!("with_extension(\"new\"): {}", made.display());
    println!("set_extension(\"new\"):  {}", set.display());
    println!("name of the first:     {:?}", made.file_name());
    let expected = done && made.as_os_str() == "/v/.." && set.as_os_str() == "/v/..new" && made.file_name().is_none();
    std::process::exit(i32::from(!expected));
}
RUST
rustc --version
rustc --edition 2024 -o "$work/main" "$work/main.rs"
"$work/main"
