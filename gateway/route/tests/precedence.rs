//! Who wins: by example, and against an oracle that compares every route with every other.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use witgate_http::host::HostError;
use witgate_http::path::PathError;
use witgate_route::{BuildError, Host, Matcher, Path, RouteTable};

/// A matcher from its short form: `host path`, where `-` is any host, `*.` starts a wildcard and `/*` ends a prefix.
fn matcher(text: &str) -> Matcher {
    let (host, path) = text.split_once(' ').unwrap();
    let host = match (host, host.strip_prefix("*.")) {
        ("-", _) => None,
        (_, Some(suffix)) => Some(Host::Wildcard(suffix.into())),
        (name, None) => Some(Host::Exact(name.into())),
    };
    let path = match path.strip_suffix("/*") {
        Some("") => Path::Prefix("/".into()),
        Some(prefix) => Path::Prefix(prefix.into()),
        None => Path::Exact(path.into()),
    };
    Matcher { host, path }
}

fn build(routes: &[&'static str]) -> Result<RouteTable<&'static str>, BuildError> {
    RouteTable::build(routes.iter().map(|route| (matcher(route), *route)))
}

/// Asserts for each request `host path` which of `routes` wins, in whichever order they were added.
fn check(routes: &[&'static str], wins: &[(&str, Option<&str>)]) {
    let backwards: Vec<_> = routes.iter().rev().copied().collect();
    for table in [build(routes).unwrap(), build(&backwards).unwrap()] {
        for (request, winner) in wins {
            let (host, path) = request.split_once(' ').unwrap();
            let host = (host != "-").then_some(host);
            assert_eq!(table.find(host, path), winner.as_ref(), "{request}");
        }
    }
}

#[test]
fn the_most_specific_host_wins() {
    check(
        &["- /*", "*.com /*", "*.example.com /*", "shop.example.com /*"],
        &[
            ("shop.example.com /", Some("shop.example.com /*")),
            ("a.example.com /", Some("*.example.com /*")),
            ("a.shop.example.com /", Some("*.example.com /*")),
            ("example.com /", Some("*.com /*")),
            ("com /", Some("- /*")),
            ("- /", Some("- /*")),
        ],
    );
}

#[test]
fn a_host_goes_before_a_longer_path_of_a_less_specific_host() {
    check(&["- /a/b", "example.com /a/*"], &[("example.com /a/b", Some("example.com /a/*"))]);
}

#[test]
fn a_less_specific_host_serves_the_paths_that_the_host_itself_does_not() {
    check(
        &["- /health", "*.example.com /b/*", "a.example.com /a/*"],
        &[
            ("a.example.com /a/x", Some("a.example.com /a/*")),
            ("a.example.com /b/x", Some("*.example.com /b/*")),
            ("a.example.com /health", Some("- /health")),
            ("a.example.com /other", None),
        ],
    );
}

#[test]
fn an_exact_path_goes_before_the_longest_prefix() {
    check(
        &["- /*", "- /a/*", "- /a/b/*", "- /a/b"],
        &[
            ("- /a/b", Some("- /a/b")),
            ("- /a/b/", Some("- /a/b/*")),
            ("- /a/b/c", Some("- /a/b/*")),
            ("- /a/c", Some("- /a/*")),
            ("- /ab", Some("- /*")),
        ],
    );
}

#[test]
fn a_final_slash_counts_for_exact_paths_only() {
    check(
        &["- /a", "- /b/", "- /c/*"],
        &[
            ("- /a/", None),
            ("- /b", None),
            ("- /b/", Some("- /b/")),
            ("- /c", Some("- /c/*")),
            ("- /c/", Some("- /c/*")),
        ],
    );
}

#[test]
fn empty_segments_do_not_lead_around_a_route() {
    check(
        &["- /*", "- /admin/*", "- /a/b"],
        &[("- //admin", Some("- /admin/*")), ("- /admin//x", Some("- /admin/*")), ("- //a///b", Some("- /a/b"))],
    );
}

#[test]
fn equal_matchers_are_refused() {
    for (first, second) in [
        ("- /a", "- /a"),
        ("- /a/*", "- /a//*"),
        ("example.com /", "EXAMPLE.com. /"),
        ("*.example.com /", "*.Example.com /"),
        ("::1 /", "0::1 /"),
        ("- /%61", "- /a"),
    ] {
        assert!(matches!(build(&[first, second]), Err(BuildError::Duplicate(_))), "{first} and {second}");
    }
    assert_eq!(build(&["- /a", "- /a"]).unwrap_err().to_string(), "two routes match any host, path `/a`");
}

#[test]
fn a_matcher_that_nothing_could_match_is_refused() {
    let host = build(&["exa*mple.com /"]).unwrap_err();
    assert!(matches!(host, BuildError::Host { reason: HostError::Character, .. }), "{host}");
    let path = build(&["*.example.com /a%/*"]).unwrap_err();
    assert!(matches!(path, BuildError::Path { reason: PathError::Escape, .. }), "{path}");
    assert!(path.to_string().starts_with("no request can match host `*.example.com`, path prefix `/a%`: "), "{path}");
}

/// How well a matcher fits a request: greater wins, none does not match. By definition, without any table.
fn fit(matcher: &Matcher, host: Option<&str>, path: &str) -> Option<(usize, usize)> {
    let host_fit = match (&matcher.host, host) {
        (None, _) => 0,
        (Some(Host::Exact(name)), Some(host)) if name == host => usize::MAX,
        (Some(Host::Wildcard(suffix)), Some(host)) if host.ends_with(&format!(".{suffix}")) => suffix.len(),
        _ => return None,
    };
    let path_fit = match &matcher.path {
        Path::Exact(exact) if exact == path => usize::MAX,
        Path::Prefix(prefix) if prefix == "/" => 1,
        Path::Prefix(prefix) if path == prefix || path.starts_with(&format!("{prefix}/")) => prefix.len(),
        _ => return None,
    };
    Some((host_fit, path_fit))
}

const HOSTS: &[&str] = &["-", "a.b.c", "b.c", "c", "x.b.c", "x.a.b.c", "*.c", "*.b.c", "*.a.b.c"];
const PATHS: &[&str] = &["/", "/*", "/a", "/a/", "/a/*", "/a/b", "/a/b/*", "/ab/*", "/a/b/c/*", "/b/*"];

fn all_matchers() -> Vec<Matcher> {
    HOSTS.iter().flat_map(|host| PATHS.iter().map(move |path| matcher(&format!("{host} {path}")))).collect()
}

proptest! {
    #[test]
    fn the_table_agrees_with_a_comparison_of_all_routes(
        matchers in subsequence(all_matchers(), 0..=12).prop_shuffle(),
        host in prop::option::of(select(vec!["a.b.c", "b.c", "c", "x.b.c", "x.a.b.c", "y.x.b.c", "z"])),
        path in "(/[ab]{1,2}){0,4}/?".prop_filter("absolute", |path| !path.is_empty()),
    ) {
        let table = RouteTable::build(matchers.iter().map(|matcher| (matcher.clone(), matcher.clone()))).unwrap();
        let fits = matchers.iter().filter_map(|matcher| Some((fit(matcher, host, &path)?, matcher)));
        let best = fits.max_by_key(|(fit, _)| *fit).map(|(_, matcher)| matcher);
        prop_assert_eq!(table.find(host, &path), best);
    }

    #[test]
    fn find_takes_anything(host in prop::option::of(".*"), path in ".*") {
        let table = build(&["- /a/*", "*.c /", "b.c /a"]).unwrap();
        let _ = table.find(host.as_deref(), &path);
    }
}
