//! A reload is a transaction, and nobody notices it who should not.

use std::process::Command;

use witgate_tests::gateway::{guest, plugin};
use witgate_tests::{Connection, Gateway, Upstream};

fn route(name: &str, path: &str, upstream: &str) -> String {
    format!("[[routes]]\nname = \"{name}\"\npath = \"{path}\"\nupstream = \"{upstream}\"\n")
}

#[test]
fn routes_and_upstreams_come_change_and_go() {
    let (first, second) = (Upstream::saying("first"), Upstream::saying("second"));
    let gateway = Gateway::with(&[first.config("u"), route("a", "/a", "u"), route("b", "/b", "u")].concat());
    assert_eq!((gateway.get("/a").status, gateway.get("/b").status, gateway.get("/c").status), (200, 200, 404));
    gateway
        .reconfigure(&[first.config("u"), second.config("v"), route("a", "/a", "v"), route("c", "/c", "u")].concat());
    assert_eq!(gateway.get("/a").text(), "second");
    assert_eq!((gateway.get("/b").status, gateway.get("/c").text().as_str()), (404, "first"));
    assert_eq!(gateway.metric("witgate_generation"), 2.0);
}

#[test]
fn a_change_of_the_file_is_noticed_without_being_told() {
    let upstream = Upstream::saying("ok");
    let gateway = Gateway::with(&[upstream.config("u"), route("a", "/a", "u")].concat());
    gateway.site().configure(&[upstream.config("u"), route("b", "/b", "u")].concat());
    gateway.eventually("the new route serves", |gateway| gateway.get("/b").status == 200);
    assert_eq!(gateway.get("/a").status, 404);
}

#[test]
fn sighup_reloads() {
    let upstream = Upstream::saying("ok");
    let mut gateway = Gateway::with(&[upstream.config("u"), route("a", "/a", "u")].concat());
    gateway.signal(libc::SIGHUP);
    gateway.await_line(|line| line.contains("nothing has changed") && line.contains("SIGHUP"));
    assert!(gateway.metric(r#"witgate_reloads_total{outcome="unchanged"}"#) >= 1.0);
}

#[test]
fn a_bad_file_changes_nothing_and_every_problem_is_printed() {
    let upstream = Upstream::saying("ok");
    let mut gateway = Gateway::with(&[upstream.config("u"), route("a", "/a", "u")].concat());
    gateway.site().configure(
        &[upstream.config("u"), route("b", "/b", "nowhere"), "[buckets.x]\nrat = \"1/s\"\n".into()].concat(),
    );
    let answer = gateway.reload();
    assert_eq!(answer.status, 422);
    let problems = answer.json()["diagnostics"].as_array().expect("a list").clone();
    assert!(problems.len() >= 2 && problems.iter().all(|problem| problem["line"].is_u64()), "{problems:?}");
    gateway.await_line(|line| line.contains("nowhere"));
    assert_eq!((gateway.get("/a").status, gateway.get("/b").status), (200, 404));
    assert_eq!(gateway.metric("witgate_generation"), 1.0);
    assert!(gateway.metric(r#"witgate_reloads_total{outcome="refused"}"#) >= 1.0);
    gateway.reconfigure(&[upstream.config("u"), route("b", "/b", "u")].concat());
    assert_eq!((gateway.get("/a").status, gateway.get("/b").status), (404, 200));
}

#[test]
fn static_settings_are_refused_by_name() {
    let upstream = Upstream::saying("ok");
    let rest = [upstream.config("u"), route("a", "/a", "u")].concat();
    let head = "[[listeners]]\naddress = \"127.0.0.1:0\"\n[admin]\naddress = \"127.0.0.1:0\"\n";
    let gateway = Gateway::with(&format!("{head}{rest}"));
    for (setting, config) in [
        ("listeners", format!("{head}[[listeners]]\naddress = \"127.0.0.1:1\"\n{rest}")),
        ("runtime.threads", format!("{head}[runtime]\nthreads = 7\n{rest}")),
        ("access_log", format!("{head}[access_log]\noutput = \"off\"\n{rest}")),
        ("admin", format!("[[listeners]]\naddress = \"127.0.0.1:0\"\n[admin]\naddress = \"off\"\n{rest}")),
    ] {
        gateway.site().configure(&config);
        let answer = gateway.reload();
        assert_eq!(answer.status, 422, "{setting}");
        assert!(answer.text().contains(setting) && answer.text().contains("restart"), "{setting}: {}", answer.text());
    }
    assert_eq!(gateway.get("/a").status, 200);
}

#[test]
fn a_request_in_flight_ends_on_the_generation_it_began_with() {
    let (upstream, hold) = Upstream::held("ok");
    let tagged = |tag: &str| {
        format!(
            "{}[plugins.tagger]\npath = \"{}\"\n[[routes]]\nname = \"all\"\nupstream = \"u\"\n\
             stages = [{{ plugin = \"tagger\", config = {{ tag = \"{tag}\" }} }}]\n",
            upstream.config("u"),
            guest("tagger").display()
        )
    };
    let mut gateway = Gateway::with(&tagged("old"));
    let mut connection = Connection::open(gateway.address());
    connection.send("GET / HTTP/1.1\r\nhost: a\r\nx-request-id: inflight-1\r\n\r\n");
    hold.arrived();
    gateway.reconfigure(&tagged("new"));
    assert_eq!(gateway.metric("witgate_generations_live"), 2.0);
    hold.release();
    let answer = connection.response().expect("an answer");
    assert_eq!(answer.header("x-tag").as_deref(), Some("old"), "request and response saw different generations");
    assert_eq!(upstream.last().header("x-tag").as_deref(), Some("old"));
    assert_eq!(gateway.record("inflight-1")["generation"], 1);
    gateway.eventually("the old generation is gone", |gateway| gateway.metric("witgate_generations_live") == 1.0);
    hold.release();
    assert_eq!(gateway.get("/").header("x-tag").as_deref(), Some("new"));
}

#[test]
fn a_replaced_plugin_takes_effect_and_a_broken_one_does_not() {
    let upstream = Upstream::saying("ok");
    let gateway = Gateway::with(&route("none", "/none", "u").replace("[[", &format!("{}[[", upstream.config("u"))));
    let tagger = std::fs::read(guest("tagger")).expect("readable");
    let empty = std::fs::read(guest("empty")).expect("readable");
    gateway.site().write("p.wasm", &tagger);
    gateway.reconfigure(&format!(
        "{}[plugins.p]\npath = \"p.wasm\"\n[[routes]]\nname = \"all\"\nupstream = \"u\"\n\
         stages = [{{ plugin = \"p\", config = {{ tag = \"x\" }} }}]\n",
        upstream.config("u")
    ));
    assert_eq!(gateway.get("/").header("x-tag").as_deref(), Some("x"));
    gateway.site().write("p.wasm", &tagger[..tagger.len() / 2]);
    let answer = gateway.reload();
    assert!(answer.status == 422 && answer.text().contains("plugins.p.path"), "{}", answer.text());
    assert_eq!(gateway.get("/").header("x-tag").as_deref(), Some("x"), "the old plugin keeps serving");
    gateway.site().write("p.wasm", &empty);
    gateway.eventually("the new component serves", |gateway| gateway.get("/").header("x-tag").is_none());
}

/// The promise in numbers: 200 reloads under load that change routes and replace a component, and not one failed
/// request.
#[test]
fn two_hundred_reloads_under_load_lose_no_request_and_leave_nothing_behind() {
    let upstream = Upstream::saying("ok");
    let components = [guest("tagger"), plugin("shed")].map(|path| std::fs::read(path).expect("readable"));
    let config = |turn: usize| {
        let (stage, more) = match turn % 2 {
            0 => ("{ plugin = \"p\", config = { tag = \"x\" } }", route("even", "/even", "u")),
            _ => (
                "{ plugin = \"p\", config = { scope = \"edge\" }, grants = [\"load:edge\"] }",
                route("odd", "/odd", "u"),
            ),
        };
        format!(
            "{}[load.edge]\nin_flight_limit = 10000\ncpu_limit = \"100%\"\n[plugins.p]\npath = \"p.wasm\"\n{more}\
             [[routes]]\nname = \"all\"\nupstream = \"u\"\nstages = [{stage}]\n",
            upstream.config("u")
        )
    };
    let gateway = Gateway::with(&[upstream.config("u"), route("first", "/first", "u")].concat());
    gateway.site().write("p.wasm", &components[0]);
    gateway.reconfigure(&config(0));
    let wrk = Command::new("wrk")
        .args(["-t1", "-c16", "-d600s", "-H", "x-priority: 255", &gateway.url("/")])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("wrk runs");
    gateway.eventually("wrk has begun", |gateway| {
        gateway.metric_sum("witgate_requests_total", &["route=\"all\""]) > 100.0
    });
    let series = gateway.admin("/metrics").text().lines().count();
    for turn in 1..=200 {
        gateway.site().write("p.wasm", &components[turn % 2]);
        gateway.reconfigure(&config(turn));
    }
    let pid = libc::pid_t::try_from(wrk.id()).expect("a pid");
    // SAFETY: tells a child of ours, which has not been waited for, to stop and report.
    #[expect(unsafe_code)]
    unsafe {
        libc::kill(pid, libc::SIGINT)
    };
    let report = wrk.wait_with_output().expect("waited for");
    let report = String::from_utf8_lossy(&report.stdout).into_owned();
    assert!(report.contains("requests in"), "{report}");
    assert!(!report.contains("Non-2xx") && !report.contains("Socket errors"), "{report}");
    gateway.eventually("old generations are gone", |gateway| gateway.metric("witgate_generations_live") == 1.0);
    let after = gateway.admin("/metrics").text().lines().count();
    assert!(after < series + 40, "the exposition grew from {series} to {after} lines");
}
