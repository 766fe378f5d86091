//! Lets modules in C that trusted scripts load find Lua's functions in the gateway.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var_os("CARGO_FEATURE_LUA").is_some() {
        println!("cargo::rustc-link-arg-bins=-Wl,--export-dynamic-symbol=lua*");
    }
}
