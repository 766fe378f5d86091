//! Versions of the contract: one that was released does not change, and plugins built for it go on working.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use witgate_tests::gateway::guest;
use witgate_tests::{Site, Upstream, client};

/// Released versions, with the digest of their files: whoever changes one of these breaks plugins that are out there.
const RELEASED: [(&str, &str); 1] = [("0.1.0", "ce7938319654d7df340380aa922b63e4dce2bdfbf89be8165c9a73604da9d498")];

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// The WIT files in a directory, by name.
fn files(directory: &Path) -> BTreeMap<String, String> {
    let entries = fs::read_dir(directory).expect("readable").map(|entry| entry.expect("readable").path());
    let wit = entries.filter(|path| path.extension().is_some_and(|extension| extension == "wit"));
    wit.map(|path| {
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        (name, fs::read_to_string(path).expect("text"))
    })
    .collect()
}

#[test]
fn a_released_version_never_changes() {
    for (version, digest) in RELEASED {
        let mut hash = Sha256::new();
        for (name, text) in files(&repository(&format!("wit/{version}"))) {
            // Comments may become better; what machines read may not change.
            let read = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            hash.update(format!("{name}\n{}\n", read.collect::<Vec<_>>().join("\n")));
        }
        let found: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(found, digest, "wit/{version} was released: take the change back, and make a new version");
    }
}

#[test]
fn the_current_version_is_a_released_one_as_it_was_or_a_new_one() {
    let current = files(&repository("wit"));
    let package = current["world.wit"].lines().next().expect("a line").to_owned();
    let version = package.trim_start_matches("package witgate:plugin@").trim_end_matches(';');
    if RELEASED.iter().any(|(released, _)| *released == version) {
        assert_eq!(
            current,
            files(&repository(&format!("wit/{version}"))),
            "{version} was released: give wit/ a new number"
        );
    }
}

/// Everything that the guest asks for, and the component.
fn site(upstream: &Upstream, component: &Path) -> Site {
    let site = Site::new(&format!(
        "{}[keys.all]\nfile = \"hmac.key\"\n[key_sets.set]\nfile = \"keys.txt\"\n[buckets.all]\nrate = \"1/h\"\nburst = 7\n\
         [load.all]\nin_flight_limit = 5\ncpu_limit = \"none\"\n[plugins.contract]\npath = \"{}\"\nhook_timeout = \"1s\"\n\
         [[routes]]\nname = \"everything\"\nupstream = \"all\"\nstages = [{{ plugin = \"contract\", config = {{ greeting = \"hello\" }}, grants = [\n\
         \"log\", \"clock\", \"random\", \"kv\", \"metrics\", \"crypto\", \"crypto:all\", \"crypto:set\", \"limiter:all\", \"load:all\", \"outbound:all\" ] }}]\n",
        upstream.config("all"),
        component.display(),
    ));
    site.write("hmac.key", "0123456789abcdef0123456789abcdef\n");
    site.write("keys.txt", "credential somebody\n");
    site
}

/// What the guest makes of a request, be it the one that was kept or the one of today.
fn uses_everything(component: &Path) {
    let upstream = Upstream::saying("body");
    let mut gateway = site(&upstream, component).start();
    let headers = [
        ("x-one", "1"),
        ("x-gone", "x"),
        ("x-three", "3"),
        ("x-request-id", "contract-1"),
        ("host", "example.com"),
        ("content-length", "5"),
    ];
    let answer = client::request(gateway.address(), "POST", "/path?query", &headers, b"shout");
    assert_eq!((answer.status, answer.text().as_str()), (203, "body|end"), "{}", answer.text());
    assert_eq!(answer.header("x-contract-planned").as_deref(), Some("planned"));
    assert_eq!(answer.header("x-contract-applied").as_deref(), Some("applied"));
    assert_eq!(answer.header("x-contract-response").as_deref(), Some("200 2 Some(19) true true"));

    let received = upstream.received();
    let (side, main) = (&received[0], &received[1]);
    assert_eq!((side.method.as_str(), side.target.as_str(), side.body.as_slice()), ("POST", "/side", &b"asked"[..]));
    assert_eq!((main.target.as_str(), main.body.as_slice()), ("/rewritten?by=contract", &b"SHOUT"[..]));
    assert_eq!(main.header("x-contract-body").as_deref(), Some("5"));
    assert_eq!(main.header("x-contract-set").as_deref(), Some("set"));
    assert_eq!((main.header("x-gone"), main.header("x-three")), (None, None));
    assert_eq!(
        main.header("x-contract-head").as_deref(),
        Some("hello POST /rewritten?by=contract http everything 127.0.0.1 true 1 2 1 true true true false")
    );
    assert_eq!(
        main.header("x-contract-capabilities").as_deref(),
        Some("true (true, true, 2, true) true 7 true 5 (64, true, Some(\"somebody\")) true 200")
    );
    gateway.await_line(|line| line.contains("all of the contract was used") && line.contains("contract-1"));
    gateway.await_line(|line| line.contains("contract: ended with 203, answered true, 5 bytes in"));
    for (series, value) in [
        ("witgate_plugin_custom_contract_seen_total{plugin=\"contract\",route=\"everything\",kind=\"x\"}", 1.0),
        ("witgate_plugin_custom_contract_level{plugin=\"contract\",route=\"everything\"}", 0.5),
    ] {
        assert_eq!(gateway.metric(series), value, "{series}");
    }
}

#[test]
fn a_plugin_that_was_built_for_contract_0_1_0_works() {
    uses_everything(&repository("tests/contract/0.1.0.wasm"));
}

#[test]
fn a_plugin_that_is_built_today_works() {
    uses_everything(&guest("contract"));
}

#[test]
fn a_plugin_of_another_version_is_refused_and_the_versions_are_named() {
    let upstream = Upstream::saying("ok");
    let kept = fs::read(repository("tests/contract/0.1.0.wasm")).expect("readable");
    // The names of a component stand in it as text.
    let (from, to) = (b"@0.1.0", b"@0.2.0");
    let mut later = kept.clone();
    for at in 0..later.len() - from.len() {
        if later[at..].starts_with(from) {
            later[at..at + to.len()].copy_from_slice(to);
        }
    }
    let site = site(&upstream, Path::new("later.wasm"));
    site.write("later.wasm", later);
    let (status, printed) = site.check(&[]);
    assert!(!status.success());
    assert!(printed.contains("@0.2.0, and this gateway serves witgate:plugin@0.1;"), "{printed}");
    assert!(printed.contains("rebuild the plugin"), "{printed}");
}
