//! The shipped plugins, through the binary.

use witgate_tests::gateway::{guest, plugin};
use witgate_tests::{Connection, Gateway, Site, Upstream};

/// The stages of the sample, in the proven order: shed, rate limit, auth.
fn guarded(upstream: &Upstream, burst: u32) -> Gateway {
    let site = Site::new(&format!(
        "{}[keys.session]\nfile = \"session.key\"\n[key_sets.customers]\nfile = \"keys.txt\"\n\
         [buckets.per-key]\nrate = \"1/h\"\nburst = {burst}\n[load.edge]\nin_flight_limit = 100\ncpu_limit = \"100%\"\n\
         [plugins.auth]\npath = \"{}\"\n[plugins.shed]\npath = \"{}\"\n[plugins.rate-limit]\npath = \"{}\"\n\
         [[routes]]\nname = \"api\"\nupstream = \"u\"\nstages = [\n\
         {{ plugin = \"shed\", config = {{ scope = \"edge\" }}, grants = [\"load:edge\"] }},\n\
         {{ plugin = \"rate-limit\", config = {{ bucket = \"per-key\", key = \"header:x-api-key\" }}, grants = [\"limiter:per-key\"] }},\n\
         {{ plugin = \"auth\", config = {{ key_set = \"customers\", jwt = {{ key = \"session\" }} }}, grants = [\"clock\", \"crypto:customers\", \"crypto:session\"] }},\n]\n",
        upstream.config("u"),
        plugin("auth").display(),
        plugin("shed").display(),
        plugin("rate_limit").display(),
    ));
    site.write("keys.txt", "# test keys\nkey-1 alice\nkey-2 bob\n");
    site.write("session.key", "0123456789abcdef0123456789abcdef\n");
    site.start()
}

#[test]
fn a_known_key_passes_as_an_identity_and_never_reaches_the_upstream() {
    let upstream = Upstream::saying("ok");
    let gateway = guarded(&upstream, 100);
    let answer = gateway.get_with("/", &[("x-api-key", "key-1"), ("x-consumer", "mallory")]);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(upstream.last().header("x-consumer").as_deref(), Some("alice"));
    assert_eq!(upstream.last().header("x-api-key"), None);
    for field in ["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"] {
        assert!(answer.header(field).is_some(), "{field} is missing");
    }
}

#[test]
fn a_client_cannot_have_its_identity_removed_as_a_hop_by_hop_field() {
    let upstream = Upstream::saying("ok");
    let gateway = guarded(&upstream, 100);
    let headers = [("x-api-key", "key-1"), ("connection", "x-consumer, close"), ("x-consumer", "mallory")];
    assert_eq!(gateway.get_with("/", &headers).status, 200);
    assert_eq!(upstream.last().header("x-consumer").as_deref(), Some("alice"));
    let without_key = [("x-api-key", "key-1"), ("connection", "x-api-key")];
    assert_eq!(gateway.get_with("/", &without_key).status, 401, "what a client withdraws does not count");
}

#[test]
fn wrong_missing_and_doubled_keys_are_refused_before_the_upstream() {
    let upstream = Upstream::saying("ok");
    let mut gateway = guarded(&upstream, 100);
    for headers in [&[][..], &[("x-api-key", "key-3")], &[("x-api-key", "")], &[("x-consumer", "alice")]] {
        let answer = gateway.get_with("/", headers);
        assert_eq!((answer.status, answer.code().as_str()), (401, "UNAUTHENTICATED"), "{headers:?}");
        assert!(answer.header("www-authenticate").is_some(), "{headers:?}");
    }
    let doubled = gateway.get_with("/", &[("x-api-key", "key-1"), ("x-api-key", "key-2")]);
    assert!(matches!(doubled.status, 400 | 401), "{}", doubled.status);
    assert!(upstream.received().is_empty());
    let id = gateway.get_with("/", &[("x-request-id", "refused-1")]).header("x-request-id").expect("an id");
    let record = gateway.record(&id);
    assert_eq!((&record["stage"], &record["code"]), (&"auth".into(), &"UNAUTHENTICATED".into()));
    assert!(gateway.metric_sum("witgate_stage_verdicts_total", &["plugin=\"auth\"", "verdict=\"refuse\""]) >= 5.0);
}

/// {"alg":"HS256","typ":"JWT"}.{"sub":"carol","exp":4102444800}, signed with the key above by another implementation.
fn token(key: &[u8]) -> String {
    let script = "import base64,hashlib,hmac,json,sys\n\
         b=lambda x: base64.urlsafe_b64encode(x).rstrip(b'=')\n\
         m=b(json.dumps({'alg':'HS256','typ':'JWT'}).encode())+b'.'+b(json.dumps({'sub':'carol','exp':4102444800}).encode())\n\
         print((m+b'.'+b(hmac.new(sys.argv[1].encode(),m,hashlib.sha256).digest())).decode())";
    let key = String::from_utf8(key.to_vec()).expect("text");
    let made = std::process::Command::new("python3").args(["-c", script, &key]).output().expect("python runs");
    String::from_utf8(made.stdout).expect("text").trim().to_owned()
}

#[test]
fn a_signed_token_passes_and_a_forged_one_does_not() {
    let upstream = Upstream::saying("ok");
    let gateway = guarded(&upstream, 100);
    let bearer = format!("Bearer {}", token(b"0123456789abcdef0123456789abcdef"));
    let answer = gateway.get_with("/", &[("authorization", &bearer)]);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(upstream.last().header("x-consumer").as_deref(), Some("carol"));
    assert_eq!(upstream.last().header("authorization"), None);
    let forged = format!("Bearer {}", token(b"another key altogether"));
    let answer = gateway.get_with("/", &[("authorization", &forged)]);
    assert_eq!(answer.status, 401);
    assert!(answer.header("www-authenticate").expect("a challenge").contains("Bearer"));
}

#[test]
fn a_client_over_its_rate_is_told_when_to_come_back() {
    let upstream = Upstream::saying("ok");
    let gateway = guarded(&upstream, 3);
    let statuses: Vec<u16> = (0..5).map(|_| gateway.get_with("/", &[("x-api-key", "key-1")]).status).collect();
    assert_eq!(statuses, [200, 200, 200, 429, 429]);
    let refused = gateway.get_with("/", &[("x-api-key", "key-1")]);
    assert_eq!(refused.code(), "RATE_LIMIT_EXCEEDED");
    assert_eq!(refused.header("x-ratelimit-limit").as_deref(), Some("3"));
    assert_eq!(refused.header("x-ratelimit-remaining").as_deref(), Some("0"));
    let wait: u64 = refused.header("retry-after").expect("a wait").parse().expect("seconds");
    assert!((3590..=3600).contains(&wait), "{wait}");
    assert_eq!(refused.json()["retryable"], true);
    assert_eq!(gateway.get_with("/", &[("x-api-key", "key-2")]).status, 200, "another key has its own bucket");
    assert_eq!(upstream.received().len(), 4);
}

#[test]
fn a_client_is_told_where_it_stands_whoever_answers() {
    let upstream = Upstream::saying("ok");
    let gateway = guarded(&upstream, 3);
    let answer = gateway.get_with("/", &[("x-api-key", "unknown")]);
    assert_eq!((answer.status, answer.header("x-ratelimit-remaining").as_deref()), (401, Some("2")));
    let answer = gateway.get_with("/", &[("x-api-key", "key-1")]);
    assert_eq!((answer.status, answer.header("x-ratelimit-remaining").as_deref()), (200, Some("2")));
}

#[test]
fn a_bucket_survives_a_reload_that_does_not_change_its_rate() {
    let upstream = Upstream::saying("ok");
    let gateway = guarded(&upstream, 2);
    assert_eq!(gateway.get_with("/", &[("x-api-key", "key-1")]).status, 200);
    let config = std::fs::read_to_string(gateway.site().config()).expect("readable");
    gateway
        .site()
        .write("gateway.toml", format!("{config}[[routes]]\nname = \"more\"\npath = \"/more\"\nupstream = \"u\"\n"));
    assert_eq!(gateway.reload().status, 200);
    assert_eq!(gateway.get_with("/", &[("x-api-key", "key-1")]).status, 200);
    assert_eq!(gateway.get_with("/", &[("x-api-key", "key-1")]).status, 429);
}

#[test]
fn an_overloaded_gateway_sheds_the_unimportant_first() {
    let (upstream, hold) = Upstream::held("ok");
    let gateway = Gateway::with(&format!(
        "{}[load.edge]\nin_flight_limit = 10\ncpu_limit = \"100%\"\n[plugins.shed]\npath = \"{}\"\n\
         [[routes]]\nname = \"all\"\nupstream = \"u\"\n\
         stages = [{{ plugin = \"shed\", config = {{ scope = \"edge\", priority_header = \"x-priority\" }}, grants = [\"load:edge\"] }}]\n",
        upstream.config("u"),
        plugin("shed").display()
    ));
    let busy: Vec<Connection> = (0..9)
        .map(|_| {
            let mut connection = Connection::open(gateway.address());
            connection.send("GET / HTTP/1.1\r\nhost: a\r\nx-priority: 255\r\n\r\n");
            hold.arrived();
            connection
        })
        .collect();
    let refused = gateway.get_with("/", &[("x-priority", "0")]);
    assert_eq!((refused.status, refused.code().as_str()), (503, "OVERLOADED"));
    assert!(refused.header("retry-after").is_some());
    (0..10).for_each(|_| hold.release());
    for mut connection in busy {
        assert_eq!(connection.response().expect("an answer").status, 200);
    }
    gateway.eventually("the scope is empty again", |gateway| {
        hold.release();
        gateway.get_with("/", &[("x-priority", "0")]).status == 200
    });
}

#[test]
fn the_sample_configuration_is_valid() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the root");
    let output = std::process::Command::new(witgate_tests::gateway::binary())
        .args(["check", "--skip", "addresses", "-c"])
        .arg(root.join("gateway.toml"))
        .output()
        .expect("runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // Built, or the check above would have failed.
    assert!(guest("empty").exists());
}
