//! Promise 1: a plugin cannot hurt the gateway.

use witgate_tests::gateway::guest;
use witgate_tests::{Gateway, Site, Upstream};

/// A hostile guest on one route, nothing on another; `policy` goes into its stage.
fn gateway(upstream: &Upstream, policy: &str) -> Gateway {
    Gateway::with(&format!(
        "{}[plugins.hostile]\npath = \"{}\"\nmemory_limit = \"32MiB\"\nhook_timeout = \"500ms\"\n\
         [[routes]]\nname = \"harm\"\nupstream = \"u\"\nstages = [{{ plugin = \"hostile\"{policy} }}]\n\
         [[routes]]\nname = \"free\"\npath = \"/free\"\nupstream = \"u\"\n",
        upstream.config("u"),
        guest("hostile").display()
    ))
}

fn failures(gateway: &Gateway, kind: &str) -> f64 {
    gateway.metric_sum("witgate_stage_failures_total", &["plugin=\"hostile\"", &format!("kind=\"{kind}\"")])
}

fn discarded(gateway: &Gateway) -> f64 {
    gateway.metric("witgate_plugin_instances{plugin=\"hostile\",state=\"discarded\"}")
}

/// The request fails as documented, the upstream does not see it, the instance is gone, the metric moved, and the next
/// request is served.
fn assert_contained(deed: &str, kind: &str) {
    let upstream = Upstream::saying("ok");
    let mut gateway = gateway(&upstream, "");
    let id = format!("deed-{deed}");
    let answer = gateway.get_with("/", &[("x-do", deed), ("x-request-id", &id)]);
    assert_eq!((answer.status, answer.code().as_str()), (500, "PLUGIN_FAILED"), "{}", answer.text());
    assert!(!answer.text().contains("wasm"), "tells of the inside: {}", answer.text());
    assert!(upstream.received().is_empty());
    assert_eq!(failures(&gateway, kind), 1.0, "{}", gateway.admin("/metrics").text());
    assert_eq!(discarded(&gateway), 1.0);
    let record = gateway.record(&id);
    assert_eq!((&record["stage"], &record["code"]), (&"hostile".into(), &"PLUGIN_FAILED".into()));
    assert_eq!(gateway.get("/").status, 200, "the plugin serves on");
    assert_eq!(gateway.get("/free").status, 200);
}

#[test]
fn a_trap_costs_one_request() {
    assert_contained("trap", "trap");
}

#[test]
fn a_panic_costs_one_request() {
    assert_contained("panic", "trap");
}

#[test]
fn endless_recursion_costs_one_request() {
    assert_contained("recurse", "trap");
}

#[test]
fn an_error_of_the_plugin_itself_costs_one_request() {
    assert_contained("error", "trap");
}

#[test]
fn an_endless_loop_is_stopped_at_its_time_limit() {
    assert_contained("spin", "deadline");
}

#[test]
fn endless_growth_is_stopped_at_the_memory_limit() {
    assert_contained("grow", "limit");
}

#[test]
fn other_requests_go_on_while_a_guest_spins() {
    let upstream = Upstream::saying("ok");
    let config = format!(
        "[[listeners]]\naddress = \"127.0.0.1:0\"\n[admin]\naddress = \"127.0.0.1:0\"\n[runtime]\nthreads = 1\n\
         {}[plugins.hostile]\npath = \"{}\"\nhook_timeout = \"5s\"\n\
         [[routes]]\nname = \"harm\"\nupstream = \"u\"\nstages = [{{ plugin = \"hostile\" }}]\n\
         [[routes]]\nname = \"free\"\npath = \"/free\"\nupstream = \"u\"\n",
        upstream.config("u"),
        guest("hostile").display()
    );
    let gateway = Gateway::with(&config);
    let address = gateway.address();
    let spinning = std::thread::spawn(move || witgate_tests::client::get(address, "/", &[("x-do", "spin")]));
    gateway.eventually("the guest spins", |gateway| gateway.metric("witgate_requests_in_flight") == 1.0);
    // How many there is time for is the machine's affair.
    let mut served = 0;
    while served < 20 && !spinning.is_finished() {
        assert_eq!(gateway.get("/free").status, 200);
        served += u32::from(!spinning.is_finished());
    }
    assert!(served >= 3, "{served} other requests were served before the guest was stopped");
    assert_eq!(spinning.join().expect("ended").status, 500);
}

#[test]
fn oversized_and_forbidden_fields_are_not_set() {
    let upstream = Upstream::saying("ok");
    let gateway = gateway(&upstream, "");
    for (deed, result) in [
        ("big-header", "too-large"),
        ("forbidden-set", "forbidden,forbidden,forbidden,forbidden,forbidden,invalid-name"),
        ("line-break", "invalid-value"),
    ] {
        assert_eq!(gateway.get_with("/", &[("x-do", deed)]).status, 200, "{deed}");
        let received = upstream.last();
        assert_eq!(received.header("x-result").as_deref(), Some(result), "{deed}");
        for field in ["x-big", "content-length", "transfer-encoding", "evil", "x-split", "x-first"] {
            assert_eq!(received.header(field), None, "{deed}: {field}");
        }
        assert_eq!(received.header("host").as_deref(), Some("test"), "{deed}");
    }
}

#[test]
fn changes_of_one_hook_are_bounded_in_number() {
    let upstream = Upstream::saying("ok");
    let gateway = gateway(&upstream, "");
    assert_eq!(gateway.get_with("/", &[("x-do", "many-headers")]).text(), "too-large");
}

#[test]
fn unusable_answers_are_failures_and_never_forwarded() {
    let upstream = Upstream::saying("ok");
    let gateway = gateway(&upstream, "");
    let deeds =
        ["forbidden-respond", "split-respond", "status-99", "status-101", "status-999", "big-body", "forbidden-refuse"];
    for deed in deeds {
        let answer = gateway.get_with("/", &[("x-do", deed)]);
        assert_eq!((answer.status, answer.code().as_str()), (500, "PLUGIN_FAILED"), "{deed}");
        assert!(answer.header("evil").is_none() && answer.header("transfer-encoding").is_none(), "{deed}");
    }
    assert_eq!(failures(&gateway, "invalid_output"), deeds.len() as f64);
    assert!(upstream.received().is_empty());
}

#[test]
fn edits_of_a_guest_that_traps_are_not_made() {
    let upstream = Upstream::saying("ok");
    let gateway = gateway(&upstream, ", on_trap = \"skip\"");
    assert_eq!(gateway.get_with("/", &[("x-do", "edit-then-trap")]).status, 200);
    assert_eq!(upstream.last().header("x-edited"), None);
    assert_eq!(failures(&gateway, "trap"), 1.0);
}

#[test]
fn each_failure_has_its_own_policy() {
    let upstream = Upstream::saying("ok");
    let gateway = gateway(&upstream, ", on_timeout = \"skip\"");
    assert_eq!(gateway.get_with("/", &[("x-do", "spin")]).status, 200);
    assert_eq!(gateway.get_with("/", &[("x-do", "trap")]).status, 500);
}

#[test]
fn answers_of_plugins_reach_the_client_as_they_are() {
    let upstream = Upstream::saying("ok");
    let gateway = gateway(&upstream, "");
    let own = gateway.get_with("/", &[("x-do", "respond")]);
    assert_eq!((own.status, own.text().as_str(), own.header("x-own").as_deref()), (299, "own words", Some("yes")));
    assert!(own.header("x-request-id").is_some());
    let refused = gateway.get_with("/", &[("x-do", "refuse")]);
    assert_eq!(
        (refused.status, refused.code().as_str(), refused.header("x-own").as_deref()),
        (403, "FORBIDDEN", Some("yes"))
    );
    assert_eq!(refused.json()["message"], "Told to refuse.");
    assert!(upstream.received().is_empty());
}

#[test]
fn response_hooks_are_contained_as_well() {
    let upstream = Upstream::saying("ok");
    let gateway = gateway(&upstream, "");
    for (deed, kind) in [("trap", "trap"), ("spin", "deadline"), ("grow", "limit")] {
        let answer = gateway.get_with("/", &[("x-do-response", deed)]);
        assert_eq!((answer.status, answer.code().as_str()), (500, "PLUGIN_FAILED"), "{deed}");
        assert_eq!(failures(&gateway, kind), 1.0, "{deed}");
    }
    for (deed, result) in [
        ("set-request", "read-only"),
        ("bad-status", "invalid-value"),
        ("forbidden-set", "forbidden,forbidden,forbidden,ok,forbidden,invalid-name"),
    ] {
        let answer = gateway.get_with("/", &[("x-do-response", deed)]);
        assert_eq!((answer.status, answer.header("x-result").as_deref()), (200, Some(result)), "{deed}");
        assert_eq!(answer.text(), "ok", "{deed}");
    }
    assert_eq!(gateway.get_with("/", &[("x-do-response", "status")]).status, 418);
    let replaced = gateway.get_with("/", &[("x-do-response", "replace")]);
    assert_eq!((replaced.status, replaced.text().as_str()), (203, "replaced"));
    assert_eq!(gateway.get("/").status, 200);
}

#[test]
fn a_guest_that_cannot_be_configured_is_refused_at_the_line_that_names_it() {
    let upstream = Upstream::saying("ok");
    for (name, part) in
        [("trap_configure", "plugins.p"), ("error_configure", "colour: expected one of red, green, blue")]
    {
        let site = Site::new(&format!(
            "{}[plugins.p]\npath = \"{}\"\n[[routes]]\nname = \"all\"\nupstream = \"u\"\nstages = [{{ plugin = \"p\" }}]\n",
            upstream.config("u"),
            guest(name).display()
        ));
        let (status, output) = site.check(&[]);
        assert!(!status.success() && output.contains(part), "{name}:\n{output}");
        assert!(output.contains("gateway.toml:"), "no line:\n{output}");
    }
    let site = Site::new(&format!(
        "{}[plugins.p]\npath = \"{}\"\n[[routes]]\nname = \"all\"\nupstream = \"u\"\nstages = [{{ plugin = \"p\", config = {{ tga = \"x\" }} }}]\n",
        upstream.config("u"),
        guest("tagger").display()
    ));
    let (status, output) = site.check(&[]);
    assert!(!status.success() && output.contains("stages[0].config") && output.contains("tag"), "{output}");
}

#[test]
fn a_guest_reaches_only_what_is_granted() {
    let upstream = Upstream::saying("ok");
    let config = |grants: &str| {
        format!(
            "{}[key_sets.keys]\nfile = \"keys.txt\"\n[buckets.b]\nrate = \"1/h\"\nburst = 5\n\
             [load.edge]\nin_flight_limit = 100\ncpu_limit = \"100%\"\n\
             [plugins.probe]\npath = \"{}\"\nhook_timeout = \"500ms\"\n[[routes]]\nname = \"all\"\nupstream = \"u\"\n\
             stages = [{{ plugin = \"probe\", grants = [{grants}] }}]\n",
            upstream.config("u"),
            guest("probe").display()
        )
    };
    let everything = "\"log\", \"clock\", \"kv\", \"crypto\", \"crypto:keys\", \"limiter:b\", \"load:edge\"";
    let site = Site::new(&config(everything));
    site.write("keys.txt", "k1 alice\n");
    let without = |missing: &str| {
        let grants: Vec<&str> = everything.split(", ").filter(|grant| !grant.contains(missing)).collect();
        site.configure(&config(&grants.join(", ")));
        site.check(&[])
    };
    for missing in ["log", "clock", "kv", "crypto", "limiter", "load"] {
        let (status, output) = without(missing);
        assert!(!status.success() && output.contains(missing) && output.contains("grant"), "{missing}:\n{output}");
    }
    site.configure(&config(everything));
    let mut gateway = site.start();
    let ask = |question: &str| gateway.get_with("/some/path?q", &[("x-probe", question)]).text();
    for (question, answer) in [
        ("file", "Err("),
        ("write", "Err("),
        // Reaching for a socket is a trap.
        ("network", "{\"code\":\"PLUGIN_FAILED\""),
        ("environment", "0"),
        ("arguments", "0"),
        ("kv-get a", "None"),
        ("kv-set a 5", "Ok(())"),
        ("kv-incr a 2", "Ok(7)"),
        ("kv-cas a 7 9", "Ok(true)"),
        ("kv-cas a 7 9", "Ok(false)"),
        ("kv-get a", "Some(\"9\")"),
        ("kv-delete a", "true"),
        ("kv-delete a", "false"),
        ("kv-fill", "Some(Err(KvError"),
        ("take b 2", "Ok(Decision { allowed: true, limit: 5, remaining: 3"),
        ("take b 4", "Ok(Decision { allowed: false, limit: 5, remaining: 3"),
        ("take other 1", "Err("),
        ("buckets", "b"),
        ("admit edge 0", "Ok(Admission { admitted: true"),
        ("admit other 0", "Err("),
        ("scopes", "edge"),
        ("sha256 abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        ("identify keys k1", "Ok(Some(\"alice\"))"),
        ("identify keys k2", "Ok(None)"),
        ("identify other k1", "Err("),
        ("hmac keys x", "Err("),
        ("names", "keys"),
        ("monotonic", "true"),
        ("request", "GET /some/path?q http Some(\"test\") all \"127.0.0.1\""),
        ("log guest-words", "logged"),
    ] {
        let got = ask(question);
        assert!(got.starts_with(answer), "{question}: {got}");
    }
    let now: u64 = ask("now").parse().expect("milliseconds");
    assert!(now > 1_700_000_000_000, "{now}");
    assert!(!std::path::Path::new("/tmp/escaped").exists());
    gateway.await_line(|line| line.contains("guest-words") && line.contains("probe"));
}
