//! What a case wants besides its configuration: the paths that it asks for, and what only nginx itself can meet.

use std::collections::BTreeSet;
use std::path::Path;

use super::directives::OWN_MESSAGES;
use crate::openresty::case::{Case, Problem};
use crate::openresty::expect::Expectation;
use crate::openresty::text::Text;

/// Paths that the case may ask for: in its requests, and in strings of its code.
pub(super) fn candidate_paths(case: &Case) -> BTreeSet<Text> {
    let mut paths = BTreeSet::new();
    for packet in case.connections.iter().flat_map(|connection| &connection.packets) {
        for line in packet.text.lines() {
            let mut words = line.split(' ');
            let uri = words.nth(1).filter(|uri| uri.starts_with('/'));
            paths.extend(uri.map(|uri| uri.split('?').next().unwrap_or(uri).to_owned()));
        }
    }
    let files = case.files.iter().map(|file| &file.content);
    for text in [&case.config, &case.http_config].into_iter().chain(files) {
        for (at, _) in text.match_indices(['"', '\'', ' ']) {
            let rest = text.get(at + 1..).unwrap_or_default();
            let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || "/-_.%".contains(c))).unwrap_or(rest.len());
            let path = rest.get(..end).unwrap_or_default();
            if path.starts_with('/') && path.len() < 100 && Path::new(path).is_absolute() {
                paths.insert(path.to_owned());
            }
        }
    }
    paths.into_iter().take(200).collect()
}

/// Takes from a case what only nginx itself can meet; tells what that was.
pub fn without_own_expectations(case: &mut Case) -> Result<Vec<&'static str>, Problem> {
    let mut unchecked = Vec::new();
    let own = |source: &str| {
        let plain = source.replace('\\', "");
        OWN_MESSAGES.iter().any(|mark| plain.contains(mark))
    };
    if case.must_die {
        return Err(Problem::untranslatable("what nginx refuses when it starts"));
    }
    let code = [&case.config, &case.http_config].into_iter().chain(case.files.iter().map(|file| &file.content));
    for (mark, reason) in [
        ("ngx_http_lua_", "the C functions of nginx's module"),
        ("test_sa_restart", "signals to the server itself"),
        ("get_ngx_bin_path", "an nginx that the case starts"),
        ("kill -", "signals to the server itself"),
    ] {
        if code.clone().any(|text| text.contains(mark)) {
            return Err(Problem::untranslatable(reason));
        }
    }
    if case.expectations.iter().any(Expectation::is_of_nginx_itself) {
        return Err(Problem::untranslatable("a response of nginx, byte by byte"));
    }
    if case.logs.has.iter().any(|pattern| pattern.source().contains("in the context of set_by_lua")) {
        return Err(Problem::untranslatable("what set_by_lua may not do"));
    }
    let before = case.logs.has.len() + case.logs.at_end_has.len();
    case.logs.has.retain(|pattern| !own(pattern.source()));
    case.logs.at_end_has.clear();
    let mut dropped = before != case.logs.has.len();
    if case.logs.grep.as_ref().is_some_and(|(pattern, _)| own(pattern.source())) {
        case.logs.grep = None;
        dropped = true;
    }
    if dropped {
        unchecked.push("messages of nginx's own log");
        if case.expectations.is_empty() && case.logs.has.is_empty() && case.logs.grep.is_none() {
            return Err(Problem::untranslatable("only messages of nginx's own log are expected"));
        }
    }
    let mut pages = false;
    for expectation in &mut case.expectations {
        pages |= expectation.without_error_page();
    }
    if pages {
        unchecked.push("a page that nginx makes");
    }
    Ok(unchecked)
}
