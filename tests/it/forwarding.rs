//! Header fields on their way through.

use std::io::Write;

use witgate_tests::{Connection, Gateway, Upstream};

fn gateway(upstream: &Upstream) -> Gateway {
    Gateway::with(&format!("{}[[routes]]\nname = \"all\"\nupstream = \"u\"\n", upstream.config("u")))
}

#[test]
fn hop_by_hop_fields_end_at_the_gateway() {
    let upstream = Upstream::new(|_, stream| {
        stream
            .write_all(
                b"HTTP/1.1 200 OK\r\nconnection: keep-alive, x-upstream-hop\r\nkeep-alive: timeout=5\r\n\
                  proxy-connection: x\r\nx-upstream-hop: 1\r\nx-end: 1\r\ncontent-length: 0\r\n\r\n",
            )
            .is_ok()
    });
    let gateway = gateway(&upstream);
    let answer = gateway.get_with(
        "/",
        &[
            ("connection", "x-hop"),
            ("x-hop", "1"),
            ("keep-alive", "timeout=5"),
            ("te", "gzip"),
            ("proxy-connection", "keep-alive"),
            ("upgrade", "h2c"),
            ("x-end", "1"),
        ],
    );
    let received = upstream.last();
    for field in ["x-hop", "keep-alive", "te", "proxy-connection", "upgrade"] {
        assert_eq!(received.header(field), None, "request: {field}");
    }
    assert_eq!(received.header("x-end").as_deref(), Some("1"));
    for field in ["x-upstream-hop", "keep-alive", "proxy-connection"] {
        assert_eq!(answer.header(field), None, "response: {field}");
    }
    assert_eq!(answer.header("x-end").as_deref(), Some("1"));
}

#[test]
fn the_upstream_learns_who_asked_for_what_and_cannot_be_lied_to() {
    let upstream = Upstream::saying("ok");
    let gateway = gateway(&upstream);
    gateway.get_with(
        "/",
        &[
            ("host", "shop.example:8080"),
            ("x-forwarded-for", "6.6.6.6"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "evil"),
            ("forwarded", "for=6.6.6.6"),
            ("via", "1.0 before"),
        ],
    );
    let received = upstream.last();
    assert_eq!(received.header("host").as_deref(), Some("shop.example:8080"));
    assert_eq!(received.header("x-forwarded-for").as_deref(), Some("127.0.0.1"));
    assert_eq!(received.header("x-forwarded-proto").as_deref(), Some("http"));
    assert_eq!(received.header("x-forwarded-host").as_deref(), Some("shop.example:8080"));
    assert_eq!(received.header("forwarded"), None);
    assert_eq!(received.header("via").as_deref(), Some("1.0 before, 1.1 witgate"));
}

/// Each of a family by which some upstream would learn where a request came from.
const CLAIMS: [&str; 24] = [
    "Forwarded",
    "X-Forwarded-Port",
    "X-Forwarded-Prefix",
    "X-Forwarded-Client-Cert",
    "X-Original-Forwarded-For",
    "X-Original-URL",
    "X-Rewrite-URL",
    "X-Host",
    "X-Real-IP",
    "x_real_ip",
    "X_Forwarded_For",
    "X_Request_Id",
    "X-Client-IP",
    "X-Cluster-Client-IP",
    "True-Client-IP",
    "CF-Connecting-IP",
    "CF-IPCountry",
    "Fastly-Client-IP",
    "X-Azure-ClientIP",
    "X-Envoy-External-Address",
    "Client-Cert",
    "SSL-Client-Verify",
    "X-SSL-Client-Cert",
    "Front-End-Https",
];

#[test]
fn what_a_client_claims_of_where_it_comes_from_reaches_no_upstream() {
    let upstream = Upstream::saying("ok");
    let gateway = gateway(&upstream);
    let fields: Vec<_> = CLAIMS.into_iter().map(|name| (name, "6.6.6.6")).chain([("x-client-id", "7")]).collect();
    assert_eq!(gateway.get_with("/", &fields).status, 200);
    let received = upstream.last();
    for name in CLAIMS {
        assert_eq!(received.header(name), None, "{name}");
    }
    assert_eq!(received.header("x-client-id").as_deref(), Some("7"));
}

#[test]
fn a_stage_reads_what_a_client_claims_and_passes_on_what_it_sets() {
    let upstream = Upstream::saying("ok");
    let script = r#"
        ngx.req.set_header("x-read", ngx.var.http_true_client_ip)
        ngx.req.set_header("x-real-ip", ngx.var.remote_addr)
        ngx.req.set_header("x-forwarded-port", "443")
        local refused = not pcall(ngx.req.set_header, "x-forwarded-for", "6.6.6.6")
        ngx.req.set_header("x-refused", tostring(refused))
    "#;
    let gateway = Gateway::with(&format!(
        "{}[scripts.s]\naccess = '''{script}'''\n[[routes]]\nname = \"all\"\nupstream = \"u\"\nstages = [{{ script = \"s\" }}]\n",
        upstream.config("u"),
    ));
    // Also where it claims just what the stage says.
    for claim in ["6.6.6.6", "127.0.0.1"] {
        gateway.get_with("/", &[("true-client-ip", "7.7.7.7"), ("x-real-ip", claim), ("x-forwarded-port", "443")]);
        let received = upstream.last();
        let header = |name: &str| received.header(name);
        assert_eq!(header("x-read").as_deref(), Some("7.7.7.7"));
        assert_eq!(header("true-client-ip"), None);
        assert_eq!(header("x-real-ip").as_deref(), Some("127.0.0.1"));
        assert_eq!(header("x-forwarded-port").as_deref(), Some("443"));
        assert_eq!(
            (header("x-refused").as_deref(), header("x-forwarded-for").as_deref()),
            (Some("true"), Some("127.0.0.1"))
        );
    }
}

#[test]
fn a_claim_does_not_come_back_by_a_request_to_the_gateway_itself() {
    let upstream = Upstream::saying("ok");
    let script = r#"
        ngx.req.set_header("x-real-ip", "8.8.8.8")
        ngx.print(ngx.location.capture("/inner").body)
    "#;
    let gateway = Gateway::with(&format!(
        "{}[lua.l]\ngrants = [\"routes\"]\n[scripts.s]\nlua = \"l\"\ncontent = '''{script}'''\n[[routes]]\nname = \"outer\"\npath = \"/outer\"\nstages = [{{ script = \"s\" }}]\n\
         [[routes]]\nname = \"inner\"\npath = \"/inner\"\nupstream = \"u\"\n",
        upstream.config("u"),
    ));
    let answer = gateway.get_with("/outer", &[("client-ip", "6.6.6.6"), ("x-real-ip", "6.6.6.6")]);
    assert_eq!(answer.text(), "ok");
    let received = upstream.last();
    assert_eq!((received.header("client-ip"), received.header("x-real-ip").as_deref()), (None, Some("8.8.8.8")));
}

#[test]
fn the_request_id_is_on_every_side_and_in_the_access_record() {
    let upstream = Upstream::saying("ok");
    let mut gateway = gateway(&upstream);
    let answer = gateway.get_with("/a?secret=1", &[("x-request-id", "trace-42")]);
    assert_eq!(answer.header("x-request-id").as_deref(), Some("trace-42"));
    assert_eq!(upstream.last().header("x-request-id").as_deref(), Some("trace-42"));
    let record = gateway.record("trace-42");
    assert_eq!(record["status"], 200);
    assert_eq!((&record["route"], &record["method"], &record["path"]), (&"all".into(), &"GET".into(), &"/a".into()));
    assert_eq!(record["bytes_out"], 2);
    assert_eq!(record["upstream"], upstream.address().to_string());
    assert!(!record.to_string().contains("secret"), "{record}");

    let minted = gateway.get_with("/", &[("x-request-id", "not valid \"")]).header("x-request-id").expect("an id");
    assert_eq!(minted.len(), 32);
    assert_eq!(upstream.last().header("x-request-id"), Some(minted.clone()));
    assert_eq!(gateway.record(&minted)["status"], 200);
}

#[test]
fn header_names_and_repeated_fields_are_kept() {
    let upstream = Upstream::new(|_, stream| {
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nX-CamelCase: yes\r\ncontent-length: 0\r\n\r\n")
            .is_ok()
    });
    let gateway = gateway(&upstream);
    let mut connection = Connection::open(gateway.address());
    connection.send("GET / HTTP/1.1\r\nHost: a\r\nX-CamelCase: yes\r\nAccept: a\r\nAccept: b\r\n\r\n");
    let answer = connection.response().expect("an answer");
    assert_eq!(answer.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie")).count(), 2);
    assert!(answer.headers.iter().any(|(name, _)| name == "X-CamelCase"), "{:?}", answer.headers);
    let received = upstream.last();
    assert!(received.headers.iter().any(|(name, _)| name == "X-CamelCase"), "{:?}", received.headers);
    assert_eq!(received.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("accept")).count(), 2);
}
