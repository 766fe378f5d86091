//! Stages that score requests with models: `tests/models` has some whose score is what a test says in a field.

use std::io::Write;
use std::path::{Path, PathBuf};

use witgate_tests::client;
use witgate_tests::gateway::{guest, plugin};
use witgate_tests::upstream::hold;
use witgate_tests::{Gateway, Site, Upstream};

/// A model made for tests.
pub(crate) fn model(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models").join(format!("{name}.onnx"))
}

/// The score is the number in `x-score`, 0 without it.
const ECHO: &str = "[features.score]\nvalues = [{ number = \"header:x-score\" }]\n";

fn echo() -> String {
    format!("[models.echo]\npath = \"{}\"\n{ECHO}", model("identity_float").display())
}

/// The number in `x-work`, a tenth of a second later.
fn work() -> String {
    let path = model("work");
    let path = path.display();
    format!("[models.work]\npath = \"{path}\"\n[features.work]\nvalues = [{{ number = \"header:x-work\" }}]\n")
}

/// Its stage has all the time that a busy machine needs, unless it says how much.
fn route(stage: &str) -> String {
    let timed = if stage.contains("deadline =") { "{ inference" } else { "{ deadline = \"30s\", inference" };
    let stage = stage.replace("{ inference", timed);
    format!("[[routes]]\nname = \"all\"\nupstream = \"u\"\nstages = [{stage}]\n")
}

fn gateway(upstream: &Upstream, config: &str, stage: &str) -> Gateway {
    Gateway::with(&format!("{}{config}{}", upstream.config("u"), route(stage)))
}

#[test]
fn a_score_refuses_tags_and_is_seen_in_log_and_metrics() {
    let upstream = Upstream::saying("ok");
    let stage = "{ inference = \"echo\", inputs = [\"score\"], refuse_above = 0.9, tag = \"x-abuse\" }";
    let mut gateway = gateway(&upstream, &echo(), stage);
    let passed = gateway.get_with("/", &[("x-score", "0.25"), ("x-request-id", "scored-1")]);
    assert_eq!((passed.status, passed.text().as_str()), (200, "ok"));
    assert_eq!(upstream.last().header("x-abuse").as_deref(), Some("0.2500"));
    let record = gateway.record("scored-1");
    assert_eq!(record["scores"]["echo"], 0.25, "{record}");
    let refused = gateway.get_with("/", &[("x-score", "0.95"), ("x-request-id", "scored-2")]);
    assert_eq!((refused.status, refused.code().as_str()), (403, "FORBIDDEN"));
    assert_eq!(upstream.received().len(), 1);
    let record = gateway.record("scored-2");
    assert_eq!((&record["stage"], &record["status"]), (&"echo".into(), &403.into()), "{record}");
    assert_eq!(gateway.metric("witgate_model_score_count{model=\"echo\"}"), 2.0);
    assert_eq!(gateway.metric("witgate_model_requests_total{model=\"echo\",outcome=\"ok\"}"), 2.0);
    assert_eq!(gateway.metric_sum("witgate_stage_verdicts_total", &["plugin=\"echo\"", "verdict=\"refuse\""]), 1.0);
}

#[test]
fn what_the_client_says_of_its_score_never_reaches_the_upstream() {
    let upstream = Upstream::saying("ok");
    // It fails for each request: two rows of features are none that the model takes in time.
    for (stage, status) in [
        ("{ inference = \"echo\", inputs = [\"score\"], tag = \"x-abuse\" }", 200),
        ("{ inference = \"echo\", inputs = [\"score\"], tag = \"x-abuse\", when = { methods = [\"POST\"] } }", 200),
    ] {
        let gateway = gateway(&upstream, &echo(), stage);
        assert_eq!(gateway.get_with("/", &[("x-abuse", "0.0001"), ("X-Abuse", "0.0002")]).status, status);
        let tag = upstream.last().header("x-abuse");
        assert!(tag.is_none() || tag.as_deref() == Some("0.0000"), "{tag:?}");
    }
    let slow =
        "{ inference = \"work\", inputs = [\"work\"], tag = \"x-abuse\", deadline = \"1ms\", on_error = \"skip\" }";
    let gateway = gateway(&upstream, &work(), slow);
    assert_eq!(gateway.get_with("/", &[("x-abuse", "0.0001"), ("x-work", "0.5")]).status, 200);
    assert_eq!(upstream.last().header("x-abuse"), None, "nor if the model gives none");
}

#[test]
fn without_a_score_the_stage_says_what_happens() {
    let upstream = Upstream::saying("ok");
    let fails = [("x-work", "0.5")];
    for (on_error, status, tag) in [
        ("", 500, None),
        ("on_error = \"deny\",", 500, None),
        ("on_error = \"skip\",", 200, None),
        ("fallback_score = 0.5,", 200, Some("0.5000")),
        ("fallback_score = 0.99,", 403, None),
    ] {
        let stage = format!(
            "{{ inference = \"work\", inputs = [\"work\"], {on_error} tag = \"x-score\", deadline = \"1ms\", \
             refuse_above = 0.9 }}"
        );
        let gateway = gateway(&upstream, &work(), &stage);
        let before = upstream.received().len();
        assert_eq!(gateway.get_with("/", &fails).status, status, "{on_error}");
        if upstream.received().len() > before {
            assert_eq!(upstream.last().header("x-score").as_deref(), tag, "{on_error}");
        }
        gateway.eventually("the run is cancelled", |gateway| {
            gateway.metric_sum("witgate_model_requests_total", &["outcome=\"deadline\""]) == 1.0
        });
    }
}

#[test]
fn a_score_chooses_upstream_cost_and_priority() {
    let (upstream, honeypot) = (Upstream::saying("ok"), Upstream::saying("sticky"));
    let stages = "{ inference = \"echo\", inputs = [\"score\"], levels = [{ above = 0.3, cost = 2 }, \
                  { above = 0.7, upstream = \"honeypot\", cost = 3 }] }, \
                  { plugin = \"rate-limit\", config = { bucket = \"b\", cost_attribute = \"cost\" }, grants = [\"limiter:b\"] }";
    let config = format!(
        "{}{}[buckets.b]\nrate = \"1/h\"\nburst = 10\n[plugins.rate-limit]\npath = \"{}\"\n",
        honeypot.config("honeypot"),
        echo(),
        plugin("rate_limit").display()
    );
    let gateway = gateway(&upstream, &config, stages);
    let left = |score: &str| {
        let answer = gateway.get_with("/", &[("x-score", score)]);
        (answer.text(), answer.header("x-ratelimit-remaining").expect("limited"))
    };
    assert_eq!(left("0.3"), ("ok".to_owned(), "9".to_owned()));
    assert_eq!(left("0.5"), ("ok".to_owned(), "7".to_owned()));
    assert_eq!(left("0.8"), ("sticky".to_owned(), "4".to_owned()));
    assert_eq!(left("0.0"), ("ok".to_owned(), "3".to_owned()));
}

#[test]
fn low_scores_are_the_bad_ones_where_the_configuration_says_so() {
    let (upstream, honeypot) = (Upstream::saying("ok"), Upstream::saying("sticky"));
    let stage = "{ inference = \"echo\", inputs = [\"score\"], tag = \"x-ordinary\", refuse_below = -0.3, \
                 levels = [{ below = 0.2, cost = 2 }, { below = -0.1, upstream = \"honeypot\" }] }";
    let gateway = gateway(&upstream, &format!("{}{}", honeypot.config("honeypot"), echo()), stage);
    let answer = |score: &str| {
        let answer = gateway.get_with("/", &[("x-score", score)]);
        (answer.status, answer.text())
    };
    assert_eq!(answer("-0.25"), (200, "sticky".to_owned()));
    assert_eq!(answer("0.1"), (200, "ok".to_owned()));
    assert_eq!(upstream.last().header("x-ordinary").as_deref(), Some("0.1000"));
    assert_eq!(answer("0.9"), (200, "ok".to_owned()), "no score is too high");
    assert_eq!(answer("-0.3").0, 200, "not lower than the limit");
    assert_eq!(answer("-0.5").0, 403);
}

#[test]
fn priority_is_what_shedding_goes_by() {
    let (hold, wait) = hold();
    let upstream = Upstream::new(move |request, stream| {
        if request.target == "/held" {
            wait();
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").is_ok()
    });
    let stages = "{ inference = \"echo\", inputs = [\"score\"], levels = [{ above = 0.5, priority = 0 }] }, \
                  { plugin = \"shed\", config = { scope = \"s\", priority_attribute = \"priority\", default_priority = 255 }, \
                  grants = [\"load:s\"] }";
    let load = "[load.s]\nin_flight_limit = 10\ncpu_limit = \"none\"\n";
    let config = format!("{}{load}[plugins.shed]\npath = \"{}\"\n", echo(), plugin("shed").display());
    let gateway = gateway(&upstream, &config, stages);
    let address = gateway.address();
    let holding: Vec<_> =
        (0..7).map(|_| std::thread::spawn(move || client::get(address, "/held", &[]).status)).collect();
    gateway.eventually("seven are in flight", |_| upstream.received().len() == 7);
    let shed = gateway.get_with("/", &[("x-score", "0.6")]);
    assert_eq!((shed.status, shed.code().as_str()), (503, "OVERLOADED"), "seven of ten: no room for the unimportant");
    assert_eq!(gateway.get_with("/", &[("x-score", "0.1")]).status, 200);
    (0..7).for_each(|_| hold.release());
    assert!(holding.into_iter().all(|thread| thread.join().expect("answered") == 200));
}

#[test]
fn a_body_is_scored_before_the_upstream_sees_any_of_it() {
    let upstream = Upstream::saying("ok");
    let config = format!(
        "[models.echo]\npath = \"{}\"\n[features.score]\nvalues = [{{ json = \"/score\", default = 0.125 }}]\n",
        model("identity_float").display()
    );
    let stage = "{ inference = \"echo\", inputs = [\"score\"], refuse_above = 0.9, tag = \"x-abuse\" }";
    let gateway = gateway(&upstream, &config, stage);
    let post = |body: &str| {
        let json = [("content-type", "application/json")];
        client::request(gateway.address(), "POST", "/", &json, body.as_bytes()).status
    };
    assert_eq!(post("{\"score\": 0.5}"), 200);
    assert_eq!(upstream.last().header("x-abuse").as_deref(), Some("0.5000"));
    assert_eq!(String::from_utf8_lossy(&upstream.last().body), "{\"score\": 0.5}");
    assert_eq!(post("{\"score\": 0.95}"), 403);
    let leaving = [("connection", "upgrade"), ("upgrade", "websocket")];
    let refused = client::request(gateway.address(), "POST", "/", &leaving, b"{\"score\": 0.95}");
    assert_eq!(refused.status, 403, "asking to leave HTTP is no way around");
    assert_eq!(upstream.received().len(), 1);
    assert_eq!(gateway.get_with("/", &[("x-abuse", "0.9")]).status, 200, "without a body the default counts");
    assert_eq!(upstream.last().header("x-abuse").as_deref(), Some("0.1250"));
}

#[test]
fn a_model_of_responses_scores_them_without_a_say() {
    let upstream = Upstream::saying("ok");
    let config = format!(
        "[models.echo]\npath = \"{}\"\n[features.score]\nvalues = [{{ status = \"code\", scale = 0.001 }}]\n",
        model("identity_float").display()
    );
    let mut gateway = gateway(&upstream, &config, "{ inference = \"echo\", inputs = [\"score\"] }");
    assert_eq!(gateway.get_with("/", &[("x-request-id", "answered")]).status, 200);
    assert_eq!(gateway.record("answered")["scores"]["echo"], 0.2);
    let site = Site::new(&format!(
        "{}{config}{}",
        upstream.config("u"),
        route("{ inference = \"echo\", inputs = [\"score\"], refuse_above = 0.5 }")
    ));
    let (status, text) = site.check(&[]);
    assert!(!status.success() && text.contains("nothing can be decided about the request any more"), "{text}");
}

#[test]
fn a_shadow_counts_and_does_nothing_else() {
    let upstream = Upstream::saying("ok");
    let stage =
        "{ inference = \"echo\", inputs = [\"score\"], refuse_above = 0.5, tag = \"x-abuse\", mode = \"shadow\" }";
    let gateway = gateway(&upstream, &echo(), stage);
    assert_eq!(gateway.get_with("/", &[("x-score", "0.99")]).status, 200);
    assert_eq!(upstream.last().header("x-abuse"), None);
    gateway.eventually("the score is counted", |gateway| {
        gateway.metric("witgate_model_score_count{model=\"echo\"}") == 1.0
    });
    let slow = "{ inference = \"work\", inputs = [\"work\"], mode = \"shadow\", deadline = \"30s\" }";
    let patient = work().replace("[features", "queue_timeout = \"60s\"\n[features");
    let gateway = self::gateway(&upstream, &patient, slow);
    // Four seconds of work, if anybody waited for it.
    for _ in 0..40 {
        assert_eq!(gateway.get_with("/", &[("x-work", "0.5")]).status, 200);
    }
    assert!(
        gateway.metric_sum("witgate_model_score_count", &["model=\"work\""]) < 40.0,
        "answers did not wait for scores"
    );
    gateway.eventually("the scores are counted", |gateway| {
        gateway.metric("witgate_model_score_count{model=\"work\"}") == 40.0
    });
}

#[test]
fn drift_from_the_reference_is_a_metric() {
    let upstream = Upstream::saying("ok");
    let reference: Vec<&str> = (0..20).map(|bin| if bin == 0 { "9" } else { "1" }).collect();
    let config = echo().replace("[features", &format!("score_reference = [{}]\n[features", reference.join(", ")));
    let gateway = gateway(&upstream, &config, "{ inference = \"echo\", inputs = [\"score\"] }");
    let psi = "witgate_model_score_psi{model=\"echo\"}";
    for count in 0..200 {
        if count == 199 {
            assert!(!gateway.admin("/metrics").text().contains(psi), "too few to tell");
        }
        assert_eq!(gateway.get_with("/", &[("x-score", "0.97")]).status, 200);
    }
    assert!(gateway.metric(psi) > 0.25, "all scores are in the last bin, few of the reference");
}

#[test]
fn only_wanted_requests_are_scored() {
    let upstream = Upstream::saying("ok");
    let stage = "{ inference = \"echo\", inputs = [\"score\"], refuse_above = 0.5, \
                 when = { methods = [\"GET\"], header = \"x-check\" } }";
    let gateway = gateway(&upstream, &echo(), stage);
    assert_eq!(gateway.get_with("/", &[("x-score", "1"), ("x-check", "")]).status, 403);
    assert_eq!(gateway.get_with("/", &[("x-score", "1")]).status, 200);
    let post = |headers| client::request(gateway.address(), "POST", "/", headers, b"").status;
    assert_eq!(post(&[("x-score", "1"), ("x-check", "")]), 200);
}

#[test]
fn the_client_s_rate_is_a_feature() {
    let upstream = Upstream::saying("ok");
    let config = format!(
        "[models.echo]\npath = \"{}\"\n[features.rate]\nvalues = [{{ rate = \"client\" }}]\n[buckets.b]\nrate = \"1/h\"\nburst = 5\n\
         [plugins.rate-limit]\npath = \"{}\"\n",
        model("identity_float").display(),
        plugin("rate_limit").display()
    );
    let limit = "{ plugin = \"rate-limit\", config = { bucket = \"b\" }, grants = [\"limiter:b\"] }";
    let stages =
        format!("{limit}, {{ inference = \"echo\", inputs = [\"rate\"], rate_bucket = \"b\", tag = \"x-rate\" }}");
    let gateway = gateway(&upstream, &config, &stages);
    for count in 1..=3 {
        assert_eq!(gateway.get("/").status, 200);
        assert_eq!(upstream.last().header("x-rate"), Some(format!("{count}.0000")));
    }
}

#[test]
fn stages_that_cannot_work_are_diagnostics_with_the_reason() {
    let upstream = Upstream::saying("ok");
    for (stage, expected) in [
        ("{ inference = \"eco\", inputs = [\"score\"] }", "did you mean `echo`?"),
        ("{ inference = \"echo@7\", inputs = [\"score\"] }", "has no version `7`; it has 1"),
        ("{ inference = \"echo\" }", "missing: expected the feature sets that the model gets"),
        ("{ inference = \"echo\", inputs = [\"score\", \"score\"] }", "got 2 for 1"),
        ("{ inference = \"echo\", inputs = [\"score\"], output = \"z\" }", "model `echo` has no output `z`"),
        (
            "{ inference = \"echo\", inputs = [\"score\"], output = \"y[1]\" }",
            "the output `y` of model `echo` has no column 1: it has 1",
        ),
        (
            "{ inference = \"mlp\", inputs = [\"score\"] }",
            "one row of 1 numbers, and model `mlp` takes `x` FP32 [batch, 8]",
        ),
        ("{ inference = \"words\", inputs = [\"score\"] }", "features can be FP32, FP64, INT32 or INT64, not BYTES"),
        (
            "{ inference = \"echo\", inputs = [\"score\"], plugin = \"p\" }",
            "expected one of `plugin`, `inference` and `script`",
        ),
        ("{ inference = \"echo\", inputs = [\"score\"], grants = [] }", "expected `grants` only beside `plugin`"),
        ("{ inference = \"echo\", inputs = [\"score\"], on_error = \"fallback\" }", "add `fallback_score = 0.0`"),
        (
            "{ inference = \"echo\", inputs = [\"score\"], tag = \"content-length\" }",
            "the gateway sets this field itself",
        ),
    ] {
        let models = ["mlp", "identity_string"].map(|name| model(name).display().to_string());
        let config = format!("[models.mlp]\npath = \"{}\"\n[models.words]\npath = \"{}\"\n", models[0], models[1]);
        let plugin = format!("[plugins.p]\npath = \"{}\"\n", plugin("auth").display());
        let site = Site::new(&format!("{}{}{config}{plugin}{}", upstream.config("u"), echo(), route(stage)));
        let (status, text) = site.check(&[]);
        assert!(!status.success() && text.contains(expected), "{stage}: {text}");
    }
}

#[test]
fn plugins_ask_models_that_they_are_granted() {
    let upstream = Upstream::saying("ok");
    let config = format!("{}[plugins.contract]\npath = \"{}\"\n", echo(), guest("scorer").display());
    let stage = |grants: &str| format!("{{ plugin = \"contract\", grants = [{grants}] }}");
    let gateway = gateway(&upstream, &config, &stage("\"inference:echo\""));
    let asked = |value: &str| {
        gateway.get_with("/", &[("x-ask", value)]);
        upstream.last().header("x-said")
    };
    assert_eq!(asked("echo x 0.5 0.75").as_deref(), Some("y [1, 2] [0.5, 0.75]"));
    assert_eq!(asked("other x 1").as_deref(), Some("not-granted"));
    assert_eq!(asked("echo z 1").as_deref(), Some("invalid"));
    let site = Site::new(&format!("{}{config}{}", upstream.config("u"), route(&stage(""))));
    let (status, text) = site.check(&[]);
    assert!(!status.success() && text.contains("inference:NAME"), "{text}");
}
