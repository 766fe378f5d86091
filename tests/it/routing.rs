//! Which route gets a request, through the binary.

use witgate_tests::{Gateway, Upstream};

#[test]
fn the_most_specific_host_and_path_win() {
    let upstream = Upstream::saying("ok");
    let route = |name: &str, rule: &str| format!("[[routes]]\nname = \"{name}\"\nupstream = \"u\"\n{rule}\n");
    let mut gateway = Gateway::with(
        &[
            upstream.config("u"),
            route("any", ""),
            route("any-api", "path_prefix = \"/api\""),
            route("any-exact", "path = \"/api/exact\""),
            route("wild", "host = \"*.example.com\""),
            route("wild-api", "host = \"*.example.com\"\npath_prefix = \"/api\""),
            route("deep-wild", "host = \"*.shop.example.com\""),
            route("exact-host", "host = \"www.example.com\"\npath_prefix = \"/api\""),
        ]
        .concat(),
    );
    for (at, (host, path, route)) in [
        ("other", "/", "any"),
        ("other", "/api", "any-api"),
        ("other", "/api/x", "any-api"),
        ("other", "/apix", "any"),
        ("other", "/api/exact", "any-exact"),
        ("other", "/api/exact/", "any-api"),
        ("a.example.com", "/", "wild"),
        ("A.EXAMPLE.com:8080", "/api/x", "wild-api"),
        ("x.shop.example.com", "/api", "deep-wild"),
        ("example.com", "/", "any"),
        ("www.example.com", "/api/x", "exact-host"),
        ("www.example.com.", "/api/x", "exact-host"),
    ]
    .into_iter()
    .enumerate()
    {
        let id = format!("route-{at}.");
        assert_eq!(gateway.get_with(path, &[("host", host), ("x-request-id", &id)]).status, 200);
        assert_eq!(gateway.record(&id)["route"], route, "{host}{path}");
    }
}
