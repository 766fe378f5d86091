//! The published reference is the one that the code writes.

use std::path::Path;
use std::{env, fs};

#[test]
fn the_published_reference_is_what_the_code_reads() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    let written = witgate_config::reference();
    if env::var_os("BLESS").is_some() {
        fs::write(&file, &written).unwrap();
    }
    let published = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        published == written,
        "docs/configuration.md is out of date: run `BLESS=1 cargo test -p witgate-config` and review it"
    );
}
