//! What a failure of a plugin means is the operator's choice, stage by stage; and a plugin that only fails is left alone.

use witgate_tests::gateway::guest;
use witgate_tests::{Gateway, Site, Upstream};

/// A plugin `p` on all paths, with the rest of its stage; and whatever else.
fn config(upstream: &Upstream, stage: &str, more: &str) -> String {
    format!(
        "{}[plugins.p]\npath = \"p.wasm\"\nhook_timeout = \"200ms\"\nmemory_limit = \"32MiB\"\n\
         [[routes]]\nname = \"all\"\nupstream = \"u\"\nstages = [{{ plugin = \"p\"{stage} }}]\n{more}",
        upstream.config("u")
    )
}

fn component(name: &str) -> Vec<u8> {
    std::fs::read(guest(name)).expect("readable")
}

fn site(config: &str, plugin: &[u8]) -> Site {
    let site = Site::new(config);
    site.write("p.wasm", plugin);
    site
}

const BROKEN: &[u8] = b"no component";
const FALLBACK: &str = "witgate_stage_fallback";
const BREAKER: &str = "witgate_plugin_breaker{plugin=\"p\"}";

fn failures(gateway: &Gateway, kind: &str) -> f64 {
    gateway.metric_sum("witgate_stage_failures_total", &["plugin=\"p\"", &format!("kind=\"{kind}\"")])
}

fn ready(gateway: &Gateway) -> (u16, String) {
    let answer = gateway.admin("/ready");
    (answer.status, answer.text())
}

/// Has the guest crash until its breaker is seen open and the gateway not `ready`, or ready all the same. Each crash makes
/// the next pause longer, so that however slow the machine is there is time to look.
fn break_it(gateway: &Gateway, ready_status: u16) {
    gateway.eventually("the breaker is open", |gateway| {
        gateway.get_with("/", &[("x-do", "trap")]);
        gateway.metric(BREAKER) == 2.0 && ready(gateway).0 == ready_status && gateway.metric(BREAKER) == 2.0
    });
}

#[test]
fn a_stage_that_may_be_skipped_does_not_keep_its_route_from_serving() {
    let upstream = Upstream::saying("ok");
    let skipping = config(&upstream, ", config = { tag = \"x\" }, on_load = \"skip\"", "");
    let site = site(&skipping, BROKEN);
    let (status, output) = site.check(&[]);
    let warned = output.contains("warning: ") && output.contains("plugin `p`") && output.contains("route `all`");
    assert!(status.success() && warned, "{output}");
    let gateway = site.start();
    assert_eq!((gateway.get("/").status, upstream.last().header("x-tag")), (200, None));
    assert_eq!(gateway.metric_sum(FALLBACK, &["route=\"all\"", "plugin=\"p\"", "fallback=\"skip\""]), 1.0);
    let (status, text) = ready(&gateway);
    assert!(status == 200 && text.contains("plugin `p`") && text.contains("serves without it"), "{status} {text}");
    gateway.site().write("p.wasm", component("tagger"));
    gateway.eventually("the plugin serves", |gateway| gateway.get("/").header("x-tag").as_deref() == Some("x"));
    assert_eq!(gateway.metric_sum(FALLBACK, &["plugin=\"p\""]), 0.0);
    assert_eq!(ready(&gateway), (200, "ready\n".to_owned()));
}

#[test]
fn a_component_that_cannot_be_read_is_one_that_cannot_be_loaded() {
    let upstream = Upstream::saying("ok");
    let site = Site::new(&config(&upstream, ", config = { tag = \"x\" }", ""));
    for (stage, taken) in [("", false), (", on_load = \"last_good\"", false), (", on_load = \"skip\"", true)] {
        site.configure(&config(&upstream, &format!(", config = {{ tag = \"x\" }}{stage}"), ""));
        let (status, output) = site.check(&[]);
        assert_eq!(status.success(), taken, "{stage}: {output}");
        assert!(output.contains("p.wasm`, got none") && output.contains("expected a file"), "{stage}: {output}");
    }
    let gateway = site.start();
    assert_eq!(gateway.get("/").status, 200);
    gateway.site().write("p.wasm", component("tagger"));
    gateway.eventually("the file is noticed", |gateway| gateway.get("/").header("x-tag").is_some());
}

#[test]
fn a_version_that_cannot_be_loaded_leaves_the_last_good_one_serving_and_the_reload_goes_on() {
    let upstream = Upstream::saying("ok");
    let keeping =
        |tag: &str, more: &str| config(&upstream, &format!(", config = {{ {tag} }}, on_load = \"last_good\""), more);
    let more = "[[routes]]\nname = \"more\"\npath = \"/more\"\nupstream = \"u\"\n";
    let gateway = site(&keeping("tag = \"old\"", ""), &component("tagger")).start();
    let tag = |path: &str| gateway.get(path).header("x-tag");
    assert_eq!(tag("/more").as_deref(), Some("old"));
    // Refused by its schema, and then no component at all.
    for (turn, wasm) in [component("tagger"), BROKEN.to_vec()].iter().enumerate() {
        gateway.site().write("p.wasm", wasm);
        gateway.site().configure(&keeping("tga = \"new\"", &more.replace("more", &format!("more{turn}"))));
        let answer = gateway.reload();
        assert_eq!(answer.status, 200, "{}", answer.text());
        if answer.json()["outcome"] == "swapped" {
            let warning = answer.json()["warnings"][0]["message"].as_str().expect("a warning").to_owned();
            assert!(warning.contains("plugin `p`") && warning.contains("last good version"), "{warning}");
        }
        assert_eq!((tag("/").as_deref(), tag(&format!("/more{turn}"))), (Some("old"), None), "turn {turn}");
        assert_eq!(gateway.metric_sum(FALLBACK, &["plugin=\"p\"", "fallback=\"last_good\""]), 1.0);
        assert_eq!(ready(&gateway).0, 200);
    }
    gateway.site().write("p.wasm", component("tagger"));
    gateway.reconfigure(&keeping("tag = \"new\"", ""));
    assert_eq!(tag("/").as_deref(), Some("new"));
    assert_eq!(gateway.metric_sum(FALLBACK, &[]), 0.0);
    // A route that never ran it has no last good version.
    gateway.site().write("p.wasm", BROKEN);
    gateway.site().configure(&keeping("tag = \"new\"", "").replace("\"all\"", "\"other\""));
    assert_eq!(gateway.reload().status, 422);
    assert_eq!(tag("/").as_deref(), Some("new"));
}

#[test]
fn without_a_policy_a_version_that_cannot_be_loaded_is_refused() {
    let upstream = Upstream::saying("ok");
    let tagged = config(&upstream, ", config = { tag = \"x\" }, on_load = \"deny\"", "");
    let site = site(&tagged, BROKEN);
    let (status, output) = site.check(&[]);
    assert!(!status.success() && output.contains("plugins.p.path"), "{output}");
    site.write("p.wasm", component("tagger"));
    let gateway = site.start();
    gateway.site().write("p.wasm", BROKEN);
    let answer = gateway.reload();
    assert!(answer.status == 422 && answer.text().contains("plugins.p.path"), "{}", answer.text());
    assert_eq!(gateway.get("/").header("x-tag").as_deref(), Some("x"));
    assert_eq!(ready(&gateway), (200, "ready\n".to_owned()));
}

#[test]
fn a_call_that_fails_is_made_once_more_on_the_last_good_version() {
    let upstream = Upstream::saying("ok");
    let stage = ", on_trap = \"last_good\"";
    let gateway = site(&config(&upstream, &format!("{stage}, config = {{ tag = \"old\" }}"), ""), &component("tagger"));
    let gateway = gateway.start();
    gateway.get("/");
    // Under a name of its own: the gateway watches the files, and would take the new component with the old configuration.
    gateway.site().write("q.wasm", component("hostile"));
    let hostile = |rest: &str| config(&upstream, stage, rest).replace("p.wasm", "q.wasm");
    gateway.reconfigure(&hostile(""));
    assert_eq!((gateway.get("/").status, upstream.last().header("x-tag")), (200, None), "the new version serves");
    let answer = gateway.get_with("/", &[("x-do", "edit-then-trap")]);
    let received = upstream.last();
    assert_eq!((answer.status, received.header("x-tag").as_deref()), (200, Some("old")));
    assert_eq!((received.header("x-edited"), answer.header("x-tag")), (None, None), "of the failed call nothing stays");
    let answer = gateway.get_with("/", &[("x-do-response", "trap")]);
    assert_eq!((answer.status, answer.header("x-tag").as_deref()), (200, Some("old")));
    assert_eq!(failures(&gateway, "trap"), 2.0);
    assert_eq!(gateway.get_with("/", &[("x-do", "spin")]).status, 500, "`on_timeout` is a setting of its own");
    // Another reload that does not change the plugin keeps what is kept.
    gateway.reconfigure(&hostile("[[routes]]\nname = \"m\"\npath = \"/m\"\nupstream = \"u\"\n"));
    assert_eq!(gateway.get_with("/", &[("x-do-response", "trap")]).header("x-tag").as_deref(), Some("old"));
    gateway.eventually("the last good version serves while the breaker is open", |gateway| {
        break_it(gateway, 200);
        let answer = gateway.get("/");
        answer.status == 200 && answer.header("x-tag").as_deref() == Some("old")
    });
    // What is out of order is not what the next version falls back on.
    gateway.site().write("r.wasm", component("probe"));
    let probe = config(&upstream, &format!("{stage}, grants = [{PROBE}]"), PROBED).replace("p.wasm", "r.wasm");
    gateway.reconfigure(&probe);
    let answer = gateway.get_with("/", &[("x-probe", "network")]);
    assert_eq!((answer.status, upstream.last().header("x-tag").as_deref()), (200, Some("old")), "{}", answer.text());
}

const PROBE: &str = "\"log\", \"clock\", \"kv\", \"crypto\", \"limiter:b\", \"load:edge\"";
const PROBED: &str = "[buckets.b]\nrate = \"1/h\"\n[load.edge]\nin_flight_limit = 100\n";

#[test]
fn without_a_version_before_it_last_good_means_deny() {
    let upstream = Upstream::saying("ok");
    let gateway = site(&config(&upstream, ", on_trap = \"last_good\"", ""), &component("hostile")).start();
    let answer = gateway.get_with("/", &[("x-do", "trap")]);
    assert_eq!((answer.status, answer.code().as_str()), (500, "PLUGIN_FAILED"));
    break_it(&gateway, 503);
}

#[test]
fn a_plugin_that_fails_again_and_again_is_left_alone_for_a_while() {
    let upstream = Upstream::saying("ok");
    let mut gateway = site(&config(&upstream, "", ""), &component("hostile")).start();
    assert_eq!((gateway.metric(BREAKER), ready(&gateway).0), (0.0, 200));
    break_it(&gateway, 503);
    gateway.await_line(|line| line.contains("WARN") && line.contains("breaker opens") && line.contains("plugin=\"p\""));
    let discarded = gateway.metric("witgate_plugin_instances{plugin=\"p\",state=\"discarded\"}");
    assert_eq!(discarded, failures(&gateway, "trap"), "a call that is kept away costs no instance");
    gateway.eventually("a call is kept away and the gateway says so", |gateway| {
        let answer = gateway.get_with("/", &[("x-do", "trap")]);
        assert_eq!((answer.status, answer.code().as_str()), (500, "PLUGIN_FAILED"));
        let (status, text) = ready(gateway);
        failures(gateway, "breaker") >= 1.0 && status == 503 && text.contains("plugin `p` of route `all`")
    });
    assert!(upstream.received().is_empty());
    gateway.eventually("a good call closes it", |gateway| gateway.get("/").status == 200);
    assert_eq!(gateway.metric(BREAKER), 0.0);
    assert_eq!(ready(&gateway), (200, "ready\n".to_owned()));
}

#[test]
fn the_breaker_of_a_stage_that_may_be_skipped_does_not_make_the_gateway_unready() {
    let upstream = Upstream::saying("ok");
    let gateway = site(&config(&upstream, ", on_trap = \"skip\"", ""), &component("hostile")).start();
    break_it(&gateway, 200);
    assert_eq!(gateway.get("/").status, 200);
}
