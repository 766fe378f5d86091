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

/// Paths of all keys whose value is a duration, as `upstreams.NAME.idle_timeout`.
fn durations(reference: &str) -> Vec<String> {
    let mut section = "";
    let mut found = Vec::new();
    for line in reference.lines() {
        if let Some(header) = line.strip_prefix('#') {
            section = header.trim_start_matches('#').trim().trim_matches(['`', '[', ']']);
        }
        let mut cells = line.split(" | ");
        if let (Some(key), Some(value)) = (cells.next(), cells.next())
            && value.starts_with("a duration ")
        {
            found.push(format!("{section}.{}", key.trim_matches(['|', ' ', '`'])));
        }
    }
    found
}

#[test]
fn every_time_limit_is_on_the_page_that_says_which_counts_when() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/timeouts.md");
    let page = fs::read_to_string(&file).unwrap_or_default();
    let durations = durations(&witgate_config::reference());
    assert!(durations.len() >= 20, "{durations:?}");
    let missing: Vec<_> = durations.iter().filter(|path| !page.contains(&format!("`{path}`"))).collect();
    assert!(missing.is_empty(), "docs/timeouts.md does not say when these count: {missing:?}");
}
