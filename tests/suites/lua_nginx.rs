//! Everything of lua-nginx-module's API, by snippets that nginx and the gateway both run (`tests/src/snippets.rs`).

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use witgate_tests::snippets::{self, Snippet};

fn all() -> Vec<Snippet> {
    snippets::read(&snippets::folder())
}

/// Name and status of each entry of docs/lua/api.toml; of functions and variables of nginx alone, or of everything.
fn entries(all: bool) -> Vec<(String, String)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/lua/api.toml");
    let list: toml::Table = fs::read_to_string(path).expect("readable").parse().expect("TOML");
    let sections = list["sections"].as_array().expect("sections");
    let told = sections.iter().filter(|section| {
        let title = section["title"].as_str().expect("a title");
        all || !["Directives", "Libraries", "Of golapis"].contains(&title)
    });
    let text = |entry: &toml::Value, key: &str| entry[key].as_str().expect("a text").to_owned();
    told.flat_map(|section| section["entries"].as_array().expect("entries").clone())
        .filter(|entry| {
            all || !entry
                .get("note")
                .and_then(|note| note.as_str())
                .is_some_and(|note| note.starts_with("Of the gateway"))
        })
        .map(|entry| (text(&entry, "name"), text(&entry, "status")))
        .collect()
}

#[test]
fn snippets_come_to_the_same_in_nginx_and_in_the_gateway() {
    let snippets = all();
    assert!(snippets.len() >= 400, "{} snippets", snippets.len());
    let wrong = snippets::compare(&snippets);
    assert!(wrong.is_empty(), "{} of {} snippets:\n\n{}", wrong.len(), snippets.len(), wrong.join("\n\n"));
}

#[test]
fn everything_of_the_api_has_a_snippet() {
    let names: BTreeSet<String> = all().into_iter().flat_map(|snippet| snippet.names).collect();
    let is_named = |name: &str| {
        names.iter().any(|known| known.strip_suffix('*').map_or(known == name, |start| name.starts_with(start)))
    };
    let missing: Vec<String> = entries(false)
        .into_iter()
        .filter(|(name, status)| status != "refused" && !is_named(name))
        .map(|(name, _)| name)
        .collect();
    assert!(missing.is_empty(), "no snippet is about {missing:?}");
}

#[test]
fn every_difference_stands_in_the_table_with_its_reason() {
    let entries = entries(true);
    for snippet in all() {
        let Some(differs) = &snippet.differs else { continue };
        let status = entries.iter().find(|(name, _)| *name == differs.entry).map(|(_, status)| status.as_str());
        let place = format!("{}:{} {}", snippet.file, snippet.line, snippet.title);
        assert!(
            matches!(status, Some("differs" | "refused")),
            "{place}: `{}` is {status:?} in docs/lua/api.toml",
            differs.entry
        );
    }
}
