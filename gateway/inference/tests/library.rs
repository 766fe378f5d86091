//! What is not ONNX Runtime is refused, and harms nothing. A process can load one library only, so this is a process of its
//! own, and one test.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a failed test panics")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use witgate_inference::Backend as _;
use witgate_inference::backend::OnnxRuntime;

fn refusal(path: &Path) -> String {
    let error = OnnxRuntime::open(path).expect_err("refused");
    assert!(error.message.contains(&path.display().to_string()), "{error:?}");
    assert!(error.help.contains("witgate model runtime install"), "{error:?}");
    error.message
}

/// A library with this source.
fn compiled(folder: &Path, name: &str, source: &str) -> PathBuf {
    let (c, so) = (folder.join(format!("{name}.c")), folder.join(format!("{name}.so")));
    std::fs::write(&c, source).expect("a file");
    let compiled = Command::new("cc").args(["-shared", "-fPIC", "-o"]).args([&so, &c]).status();
    assert!(compiled.expect("a C compiler").success());
    so
}

const OLD: &str = r#"
static const char *version(void) { return "1.9.0"; }
static const void *api(unsigned number) { return 0; }
static const struct { const void *(*api)(unsigned); const char *(*version)(void); } base = { api, version };
const void *OrtGetApiBase(void) { return &base; }
"#;
const NOTHING: &str = "const void *OrtGetApiBase(void) { return 0; }";

#[test]
fn only_onnx_runtime_is_loaded_and_only_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    assert!(refusal(&folder.join("none.so")).contains("expected the library of ONNX Runtime at"));
    assert!(refusal(folder).contains("is not a file"));
    let garbage = folder.join("garbage.so");
    for bytes in [b"#!/bin/sh\n".to_vec(), Vec::new(), [b"\x7fELF\x02\x01\x01".as_slice(), &[7; 4096]].concat()] {
        std::fs::write(&garbage, bytes).expect("a file");
        assert!(refusal(&garbage).contains("is not a library that can be loaded"));
    }
    let maps = std::fs::read_to_string("/proc/self/maps").expect("Linux");
    let libc = maps.lines().filter_map(|line| line.split_whitespace().last()).find(|path| path.contains("/libc.so"));
    assert!(refusal(Path::new(libc.expect("this process has a libc"))).contains("is not ONNX Runtime"));
    let old = refusal(&compiled(folder, "old", OLD));
    assert!(old.contains("too old: expected 1.17 or newer, got 1.9.0"), "{old}");
    assert!(refusal(&compiled(folder, "nothing", NOTHING)).contains("is not an ONNX Runtime that can be used"));

    let library = std::env::var_os("WITGATE_ONNXRUNTIME").map(PathBuf::from);
    let library = library.expect("WITGATE_ONNXRUNTIME is the path of libonnxruntime.so: `cargo xtask test` sets it");
    let runtime = OnnxRuntime::open(&library).unwrap_or_else(|error| panic!("{error}"));
    assert!(runtime.version().starts_with("ONNX Runtime 1."), "{}", runtime.version());
    let again = OnnxRuntime::open(&library).expect("the same path again");
    assert!(Arc::ptr_eq(&runtime, &again));
    let other = folder.join("copy.so");
    std::fs::copy(&library, &other).expect("a copy");
    let error = OnnxRuntime::open(&other).expect_err("another library");
    assert!(error.message.contains("has been loaded from") && error.help.contains("restart"), "{error:?}");
}
