//! Settings that have no suite of their own do what they say.

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use witgate_tests::gateway::guest;
use witgate_tests::{Connection, Gateway, Site, Upstream};

fn all(upstream: &Upstream) -> String {
    format!("{}[[routes]]\nname = \"all\"\nupstream = \"u\"\n", upstream.config("u"))
}

#[test]
fn access_records_can_go_to_a_file() {
    let upstream = Upstream::saying("ok");
    let site = Site::new(&format!(
        "[[listeners]]\naddress = \"127.0.0.1:0\"\n[admin]\naddress = \"127.0.0.1:0\"\n\
         [access_log]\noutput = \"file\"\npath = \"access.log\"\n{}",
        all(&upstream)
    ));
    let gateway = site.start();
    let unchanged = |gateway: &Gateway| gateway.metric(r#"witgate_reloads_total{outcome="unchanged"}"#);
    gateway.get_with("/logged", &[("x-request-id", "to-a-file")]);
    gateway.eventually("the record is written", |gateway| {
        let log = std::fs::read_to_string(gateway.site().path("access.log")).expect("readable");
        log.lines().any(|line| line.contains("to-a-file") && line.contains("/logged"))
    });
    gateway.reload();
    assert_eq!(unchanged(&gateway), 1.0, "writing the log set off a reload");
}

#[test]
fn compiled_plugins_and_trees_are_kept_where_the_configuration_says() {
    let upstream = Upstream::saying("ok");
    let model = witgate_tests::examples::root().join("tests/models/exporters/forest.onnx");
    let config = format!(
        "[[listeners]]\naddress = \"127.0.0.1:0\"\n[admin]\naddress = \"off\"\n[runtime]\nplugin_cache = \"cache\"\n\
         {}[plugins.p]\npath = \"{}\"\n[models.m]\npath = \"{}\"\n\
         [[routes]]\nname = \"all\"\nupstream = \"u\"\nstages = [{{ plugin = \"p\" }}]\n",
        upstream.config("u"),
        guest("empty").display(),
        model.display()
    );
    let gateway = Gateway::with(&config);
    let cache = gateway.site().path("cache");
    for folder in [cache.clone(), cache.join("models")] {
        assert_eq!(std::fs::metadata(&folder).expect("there").permissions().mode() & 0o777, 0o700);
        let is_code = |entry: &std::fs::DirEntry| entry.path().extension().is_some_and(|extension| extension == "code");
        let entries = std::fs::read_dir(&folder).expect("readable").map(|entry| entry.expect("an entry"));
        assert_eq!(entries.filter(is_code).count(), 1, "{}", folder.display());
    }
}

#[test]
fn an_idle_connection_is_closed_at_its_time_limit() {
    let upstream = Upstream::saying("ok");
    let gateway = Gateway::with(&format!("[downstream]\nidle_timeout = \"300ms\"\n{}", all(&upstream)));
    let started = Instant::now();
    let mut connection = Connection::open(gateway.address());
    connection.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_eq!(connection.response().expect("an answer").status, 200);
    assert!(connection.is_closed());
    assert!(started.elapsed() >= Duration::from_millis(250), "{:?}", started.elapsed());
}

#[test]
fn a_body_that_stalls_ends_the_request() {
    let upstream = Upstream::saying("ok");
    let gateway = Gateway::with(&format!("[downstream]\nbody_timeout = \"300ms\"\n{}", all(&upstream)));
    let mut connection = Connection::open(gateway.address());
    connection.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhalf");
    let answer = connection.response().expect("an answer");
    assert_eq!((answer.status, answer.code().as_str()), (408, "INVALID_REQUEST"));
    assert!(upstream.received().is_empty());
}

#[test]
fn an_idle_upstream_connection_is_not_used_after_its_time_limit() {
    let upstream = Upstream::saying("ok");
    let gateway = Gateway::with(&format!(
        "[upstreams.u]\nendpoints = [\"{}\"]\nidle_timeout = \"1s\"\n[[routes]]\nname = \"all\"\nupstream = \"u\"\n",
        upstream.address()
    ));
    assert_eq!(gateway.get("/").status, 200);
    assert_eq!(upstream.connections(), 1);
    // Asks less often than the limit, until a new connection is made.
    let end = Instant::now() + Duration::from_secs(30);
    while upstream.connections() == 1 {
        assert!(Instant::now() < end, "the connection was kept");
        std::thread::park_timeout(Duration::from_millis(1500));
        assert_eq!(gateway.get("/").status, 200);
    }
}

#[test]
fn instances_of_a_plugin_are_limited() {
    let upstream = Upstream::saying("ok");
    let gateway = limited(&upstream, "instances_limit = 1\n");
    let mut busy = Connection::open(gateway.address());
    busy.send("GET / HTTP/1.1\r\nhost: a\r\nx-do: spin\r\n\r\n");
    // Before anybody else asks, or the one that spins might be the one that finds no instance.
    gateway.eventually("it has begun", |gateway| gateway.metric("witgate_requests_in_flight") == 1.0);
    gateway.eventually("the only instance is busy", |gateway| {
        let answer = gateway.get("/");
        (answer.status, answer.header("retry-after").is_some()) == (503, true) && answer.code() == "OVERLOADED"
    });
    assert_eq!(busy.response().expect("an answer").status, 500);
    assert_eq!(gateway.get("/").status, 200);
    assert!(gateway.metric_sum("witgate_stage_failures_total", &["kind=\"unavailable\""]) >= 1.0);
}

/// One route with the hostile plugin, `limits` in its table.
fn limited(upstream: &Upstream, limits: &str) -> Gateway {
    Gateway::with(&format!(
        "{}[plugins.hostile]\npath = \"{}\"\nhook_timeout = \"2s\"\n{limits}\
         [[routes]]\nname = \"all\"\nupstream = \"u\"\nstages = [{{ plugin = \"hostile\" }}]\n",
        upstream.config("u"),
        guest("hostile").display()
    ))
}

/// A request whose hook runs until its time limit.
fn spinning(gateway: &Gateway) -> Connection {
    let mut busy = Connection::open(gateway.address());
    busy.send("GET / HTTP/1.1\r\nhost: a\r\nx-do: spin\r\n\r\n");
    gateway.eventually("it has begun", |gateway| {
        gateway.metric("witgate_plugin_instances{plugin=\"hostile\",state=\"idle\"}")
            < gateway.metric("witgate_plugin_instances{plugin=\"hostile\",state=\"live\"}")
    });
    busy
}

#[test]
fn hooks_at_once_are_limited() {
    let upstream = Upstream::saying("ok");
    let gateway = limited(&upstream, "concurrency_limit = 1\n");
    let mut busy = spinning(&gateway);
    let answer = gateway.get("/");
    assert_eq!((answer.status, answer.code().as_str()), (503, "OVERLOADED"));
    assert_eq!(busy.response().expect("an answer").status, 500);
    assert_eq!(gateway.get("/").status, 200);
}

#[test]
fn hooks_wait_in_a_queue_that_has_a_length() {
    let upstream = Upstream::saying("ok");
    let mut gateway = limited(&upstream, "concurrency_limit = 1\nqueue_limit = 1\nqueue_timeout = \"30s\"\n");
    let mut busy = spinning(&gateway);
    let mut waits = Connection::open(gateway.address());
    waits.send("GET / HTTP/1.1\r\nhost: a\r\nx-request-id: waited\r\n\r\n");
    gateway.eventually("one waits", |gateway| {
        gateway.metric("witgate_plugin_instances{plugin=\"hostile\",state=\"waiting\"}") == 1.0
    });
    assert_eq!(gateway.get("/").status, 503, "there is no second place in the queue");
    assert_eq!(busy.response().expect("an answer").status, 500);
    assert_eq!(waits.response().expect("an answer").status, 200);
    let record = gateway.record("waited");
    assert!(record["stages"][0]["queued_us"].as_f64() > Some(1_000.0), "{record}");
    let labels = ["plugin=\"hostile\"", "in=\"queue\""];
    assert!(gateway.metric_sum("witgate_stage_time_seconds_total", &labels) > 0.001);
}

#[test]
fn a_hook_waits_only_so_long() {
    let upstream = Upstream::saying("ok");
    let gateway = limited(&upstream, "concurrency_limit = 1\nqueue_limit = 9\nqueue_timeout = \"10ms\"\n");
    let mut busy = spinning(&gateway);
    assert_eq!(gateway.get("/").status, 503);
    assert_eq!(busy.response().expect("an answer").status, 500);
}

#[test]
fn a_hook_takes_only_so_long_in_all() {
    let upstream = Upstream::saying("ok");
    let mut gateway = limited(&upstream, "wall_timeout = \"400ms\"\n");
    let answer = gateway.get_with("/", &[("x-do", "spin"), ("x-request-id", "late")]);
    assert_eq!((answer.status, answer.code().as_str()), (500, "PLUGIN_FAILED"));
    let record = gateway.record("late");
    assert!(record["error"].as_str().is_some_and(|error| error.contains("more than 400ms in all")), "{record}");
    assert_eq!(record["stages"][0]["failures"], 1, "{record}");
    assert_eq!(gateway.get("/").status, 200);
}

#[test]
fn a_plugin_with_an_instance_for_each_call_cannot_keep_what_it_saw() {
    let upstream = Upstream::saying("ok");
    for (isolation, told) in [("shared", "alice's"), ("request", "")] {
        let gateway = limited(&upstream, &format!("isolation = \"{isolation}\"\n"));
        for _ in 0..20 {
            assert_eq!(gateway.get_with("/", &[("x-do", "keep"), ("x-secret", "alice's")]).status, 200);
            let answer = gateway.get_with("/", &[("x-do", "tell")]);
            assert_eq!((answer.status, answer.text().as_str()), (200, told), "{isolation}");
        }
    }
}

#[test]
fn a_client_that_leaves_ends_its_request() {
    let (upstream, _hold) = Upstream::held("late");
    let mut gateway = Gateway::with(&all(&upstream));
    let mut connection = Connection::open(gateway.address());
    connection.send("GET / HTTP/1.1\r\nhost: a\r\nx-request-id: gone-1\r\n\r\n");
    gateway.eventually("the request is in flight", |gateway| gateway.metric("witgate_requests_in_flight") == 1.0);
    drop(connection);
    let record = gateway.record("gone-1");
    assert_eq!(record["status"], 0);
    gateway.eventually("nothing is in flight", |gateway| gateway.metric("witgate_requests_in_flight") == 0.0);
}
