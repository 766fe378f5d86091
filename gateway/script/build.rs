//! Lets modules in C find Lua's functions in the tests' binaries, as `gateway/server/build.rs` does in the gateway.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-link-arg-tests=-Wl,--export-dynamic-symbol=lua*");
}
