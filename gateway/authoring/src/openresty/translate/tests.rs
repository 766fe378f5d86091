use super::*;
use crate::openresty::blocks::TestFile;
use crate::openresty::case::Preamble;

fn translated(sections: &str) -> Result<(Table, Names), Problem> {
    let place = Place {
        checkout: "/checkout".into(),
        root: "/root".into(),
        port: 4711,
        spare_ports: vec![1, 2],
        services: BTreeMap::new(),
        pcre: 2,
    };
    let file = TestFile::parse(format!("\n__DATA__\n=== a case\n{sections}").as_bytes());
    let preamble = Preamble::read(&file.preamble, &place);
    let mut case = Case::read(&file.blocks[0], &preamble, &place)?;
    without_own_expectations(&mut case)?;
    let translation = translate(&case, &place)?;
    let read = witgate_config::parse(&translation.gateway, &place.root.join("gateway.toml"));
    assert!(read.is_ok(), "the gateway takes it: {read:?}");
    Ok((translation.gateway.parse().unwrap(), translation.names))
}

fn reason(sections: &str) -> String {
    match translated(sections) {
        Err(Problem::Untranslatable(reason)) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn locations_become_routes_with_scripts_and_upstreams() {
    let (gateway, names) = translated(
        "--- http_config\nlua_shared_dict dogs 1m;\nupstream u { server 127.0.0.1:81; }\n--- config\nlocation = /a {\n  set $x \"y\";\n  \
         content_by_lua_block { ngx.say(ngx.var.x) }\n}\nlocation /b { proxy_pass http://u/c; }\n--- request\nGET /a\n",
    )
    .unwrap();
    let routes = gateway["routes"].as_array().unwrap();
    assert_eq!((routes[0]["path"].as_str(), routes[1]["path_prefix"].as_str()), (Some("/a"), Some("/b")));
    assert_eq!(routes[2]["path_prefix"].as_str(), Some("/"), "files are served below all else");
    let script = &gateway["scripts"]["l1"];
    assert_eq!(script["rewrite"].as_str(), Some("do ngx.var[\"x\"] = \"y\" end "));
    assert_eq!(script["variables"]["x"].as_str(), Some(""));
    assert_eq!(names.translated("scripts.l1.content:1: x"), "content_by_lua(nginx.conf:42):1: x");
    assert_eq!(gateway["upstreams"]["u-l2"]["endpoints"][0].as_str(), Some("127.0.0.1:81"));
    assert!(
        gateway["scripts"]["l2"]["access"].as_str().unwrap().contains("ngx.req.set_uri(\"/c\" .. ngx.var.uri:sub(3))")
    );
    assert_eq!(gateway["shared_dicts"]["dogs"]["size"].as_str(), Some("1MiB"));
    assert!(
        gateway["lua"]["main"]["grants"].as_array().unwrap().iter().any(|grant| grant.as_str() == Some("shared:dogs"))
    );
}

#[test]
fn what_a_path_matches_in_nginx_it_matches_here() {
    let (gateway, _) = translated(
        "--- config\nlocation /a { echo one; }\nlocation ~ ^/p/(\\d+) { echo $1; }\n--- request\nGET /abc\n",
    )
    .unwrap();
    let routes = gateway["routes"].as_array().unwrap();
    let route =
        |key: &str, path: &str| routes.iter().find(|route| route.get(key).and_then(Value::as_str) == Some(path));
    assert!(route("path", "/abc").is_some(), "a prefix of the text, but no whole segment");
    let pattern = route("path_prefix", "/p").unwrap()["name"].as_str().unwrap();
    assert!(gateway["scripts"][pattern]["content"].as_str().unwrap().contains("ngx.re.match"));
}

#[test]
fn what_has_no_equivalent_is_named() {
    let case = |config: &str| reason(&format!("--- config\n{config}\n--- request\nGET /\n"));
    assert_eq!(case("location / { ssi on; }"), "directive ssi");
    assert_eq!(case("location / { if ($x) { return 200; } }"), "directive if");
    assert_eq!(case("location @x { echo a; }"), "a named location");
    assert_eq!(case("location / { lua_code_cache off; }"), "directive lua_code_cache off");
    assert_eq!(case("location / {"), "line 2 of the configuration: a block is not closed");
    assert_eq!(reason("--- config\n--- request\nGET /\n--- http2\n"), "section http2");
    assert_eq!(
        reason("--- config\n--- request\nGET /\n--- ignore_response\n--- error_log\nlua tcp socket read timed out\n"),
        "only messages of nginx's own log are expected"
    );
}
