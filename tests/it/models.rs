//! Models that are served, loaded, swapped and unloaded.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use witgate_tests::client::{self, Response};
use witgate_tests::gateway::plugin;
use witgate_tests::{Gateway, Site, Upstream};

use crate::scoring::model;

const ROUTE: &str = "[[routes]]\nname = \"models\"\nmodels = \"all\"\n";

fn post(gateway: &Gateway, path: &str, body: &Value) -> Response {
    let json = [("content-type", "application/json")];
    client::request(gateway.address(), "POST", path, &json, body.to_string().as_bytes())
}

fn admin(gateway: &Gateway, method: &str, path: &str, body: &str) -> Response {
    client::request(gateway.admin_address(), method, path, &[], body.as_bytes())
}

fn row(numbers: &[f32]) -> Value {
    json!({ "inputs": [{ "name": "x", "datatype": "FP32", "shape": [1, numbers.len()], "data": numbers }] })
}

/// What an identity model says to one number over the open protocol, if it says anything.
fn echo(gateway: &Gateway, path: &str) -> Option<f64> {
    let answer = post(gateway, path, &row(&[0.5]));
    (answer.status == 200).then(|| answer.json()["outputs"][0]["data"][0].as_f64().expect("a number"))
}

fn configured(name: &str, file: &str) -> String {
    format!("[models.{name}]\npath = \"{}\"\n", model(file).display())
}

#[test]
fn both_protocols_are_served_on_a_route() {
    let gateway = Gateway::with(&format!("{}{ROUTE}", configured("echo", "identity_float")));
    let answer = post(&gateway, "/v2/models/echo/infer", &row(&[0.5, 0.25]));
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(
        answer.json()["outputs"][0],
        json!({ "name": "y", "datatype": "FP32", "shape": [1, 2], "data": [0.5, 0.25] })
    );
    assert_eq!(answer.json()["model_version"], "1");
    assert!(answer.header("x-request-id").is_some());
    let answer = post(&gateway, "/v1/models/echo/infer", &json!({ "tensors": { "x": [[1.5, 2.0]] } }));
    assert_eq!((answer.status, &answer.json()["outputs"]["y"]), (200, &json!([[1.5, 2.0]])), "{}", answer.text());
    assert_eq!(gateway.get("/v2/health/ready").status, 200);
    assert_eq!(gateway.get("/v1/models").json()["models"][0]["name"], "echo");
    let head = client::request(gateway.address(), "HEAD", "/v2/models/echo", &[], b"");
    assert_eq!((head.status, head.text().as_str()), (200, ""));
    assert_eq!(client::request(gateway.address(), "PUT", "/v2/models/echo/infer", &[], b"").status, 405);
    assert_eq!(gateway.get("/v2/models/nobody").status, 404);
    assert_eq!(gateway.get("/elsewhere").status, 404);
    assert_eq!(gateway.metric("witgate_model_requests_total{model=\"echo\",outcome=\"ok\"}"), 2.0);
}

#[test]
fn a_route_has_a_prefix_limits_and_stages_like_any_other() {
    let config = format!(
        "{}[plugins.auth]\npath = \"{}\"\n[key_sets.k]\nfile = \"keys.txt\"\n[[routes]]\nname = \"m\"\npath_prefix = \"/ml\"\n\
         models = [\"echo\"]\nbody_limit = \"1KiB\"\n\
         stages = [{{ plugin = \"auth\", config = {{ key_set = \"k\" }}, grants = [\"clock\", \"crypto:k\"] }}]\n{}",
        configured("echo", "identity_float"),
        plugin("auth").display(),
        configured("other", "mlp"),
    );
    let site = Site::new(&config);
    site.write("keys.txt", "secret alice\n");
    let gateway = site.start();
    let ask = |key: &str, path: &str, body: &[u8]| {
        client::request(gateway.address(), "POST", path, &[("x-api-key", key)], body)
    };
    let body = row(&[0.5]).to_string();
    assert_eq!(ask("wrong", "/ml/v2/models/echo/infer", body.as_bytes()).status, 401);
    assert_eq!(ask("secret", "/ml/v2/models/echo/infer", body.as_bytes()).status, 200);
    assert_eq!(ask("secret", "/ml/v2/models/other/infer", body.as_bytes()).status, 404, "it is not one of the route's");
    let large = ask("secret", "/ml/v2/models/echo/infer", &[b' '; 2000]);
    assert_eq!((large.status, large.code().as_str()), (413, "PAYLOAD_TOO_LARGE"));
}

#[test]
fn versions_and_aliases_are_there_at_once() {
    let versions = format!(
        "[models.m]\nversions = [{{ version = 2, path = \"{}\", aliases = [\"stable\"] }}, {{ version = 3, path = \"{}\" }}]\n",
        model("identity_float").display(),
        model("mlp").display()
    );
    let gateway = Gateway::with(&format!("{versions}{ROUTE}"));
    assert_eq!(echo(&gateway, "/v2/models/m/versions/2/infer"), Some(0.5));
    assert_eq!(echo(&gateway, "/v2/models/m/versions/3/infer"), None, "one number is too few for it");
    assert_eq!(echo(&gateway, "/v2/models/m/infer"), None, "the highest is the one without a number");
    let answer = post(&gateway, "/v1/models/m@stable/infer", &json!({ "tensors": { "x": [[1.0]] } }));
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[test]
fn a_new_file_takes_the_old_one_s_place_while_requests_run() {
    let site = Site::new(&format!("[models.m]\npath = \"m.onnx\"\n{ROUTE}"));
    let (identity, fixed) = (std::fs::read(model("identity_float")), std::fs::read(model("fixed_batch")));
    let (identity, fixed) = (identity.expect("readable"), fixed.expect("readable"));
    site.write("m.onnx", &identity);
    let gateway = site.start();
    let (address, body) = (gateway.address(), row(&[1.0, 2.0, 3.0, 4.0]).to_string());
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let asking: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut asked = 0;
                    while !stop.load(Ordering::Relaxed) {
                        // Four numbers are input for both.
                        let answer = client::request(address, "POST", "/v2/models/m/infer", &[], body.as_bytes());
                        assert_eq!(answer.status, 200, "{}", answer.text());
                        asked += 1;
                    }
                    asked
                })
            })
            .collect();
        for round in 0..10 {
            gateway.site().write("m.onnx", if round % 2 == 0 { &fixed } else { &identity });
            gateway.reload();
            let info = gateway.get("/v2/models/m").json();
            assert_eq!(info["versions"], json!([(round + 2).to_string()]), "{info}");
        }
        stop.store(true, Ordering::Relaxed);
        assert!(asking.into_iter().map(|thread| thread.join().expect("no request failed")).sum::<u32>() > 0);
    });
    gateway.eventually("old versions are gone", |gateway| gateway.metric("witgate_models_live") == 1.0);
}

#[test]
fn a_model_that_cannot_serve_leaves_the_old_one_serving() {
    let site = Site::new(&format!("[models.m]\npath = \"m.onnx\"\n{ROUTE}"));
    site.write("m.onnx", std::fs::read(model("identity_float")).expect("readable"));
    let gateway = site.start();
    let whole = std::fs::read(model("mlp")).expect("readable");
    for (content, reason) in [
        (b"no model".to_vec(), "ONNX"),
        (whole[..whole.len() / 2].to_vec(), "m.onnx"),
        (std::fs::read(model("bad_external")).expect("readable"), "inside the file"),
        (std::fs::read(model("own_domain")).expect("readable"), "com.example::Gelu"),
    ] {
        gateway.site().write("m.onnx", content);
        let reload = gateway.reload();
        assert_eq!(reload.status, 422);
        assert!(reload.text().contains("model `m`"), "{}", reload.text());
        let _ = reason;
        assert_eq!(echo(&gateway, "/v2/models/m/infer"), Some(0.5));
    }
}

#[test]
fn a_version_that_says_something_else_is_refused_if_it_should() {
    let config = |beyond: &str| {
        format!("[models.m]\npath = \"m.onnx\"\nparity = {{ tolerance = 0.1, beyond = \"{beyond}\" }}\n{ROUTE}")
    };
    let site = Site::new(&config("refuse"));
    site.write("m.onnx", std::fs::read(model("identity_float")).expect("readable"));
    let gateway = site.start();
    let four = row(&[1.0, 2.0, 3.0, 4.0]);
    assert_eq!(post(&gateway, "/v2/models/m/infer", &four).status, 200, "the first one is recorded");
    gateway.site().write("m.onnx", std::fs::read(model("fixed_batch")).expect("readable"));
    let reload = gateway.reload();
    assert_eq!(reload.status, 422);
    assert!(reload.text().contains("differ by up to"), "{}", reload.text());
    gateway.site().configure(&config("warn"));
    assert_eq!(gateway.reload().status, 200);
    assert!(gateway.metric("witgate_model_parity_difference{model=\"m\"}") > 0.1);
}

#[test]
fn models_are_loaded_and_unloaded_over_the_admin_listener() {
    let config =
        format!("{}{ROUTE}[inference]\nmodel_roots = [\"models\"]\nloaded_limit = 2\n", configured("fixed", "mlp"));
    let site = Site::new(&config);
    std::fs::create_dir(site.path("models")).expect("created");
    std::fs::copy(model("identity_float"), site.path("models/echo.onnx")).expect("copied");
    std::fs::copy(model("identity_float"), site.path("outside.onnx")).expect("copied");
    std::os::unix::fs::symlink("../outside.onnx", site.path("models/link.onnx")).expect("linked");
    let gateway = site.start();
    let load = |name: &str, path: &str| {
        admin(&gateway, "POST", "/v1/models", &json!({ "name": name, "path": path }).to_string())
    };
    assert_eq!(echo(&gateway, "/v2/models/echo/infer"), None);
    let loaded = load("echo", "echo.onnx");
    assert!(loaded.status < 300, "{}", loaded.text());
    assert_eq!(echo(&gateway, "/v2/models/echo/infer"), Some(0.5));
    assert!(load("echo", "echo.onnx").status < 300);
    assert_eq!(gateway.get("/v2/models/echo").json()["versions"], json!(["2"]), "the next took its place");
    assert!(load("echo@7", "echo.onnx").status < 300);
    assert_eq!(
        gateway.get("/v2/models/echo").json()["versions"],
        json!(["2", "7"]),
        "a number stands beside the others"
    );
    let full = load("more", "echo.onnx");
    assert!((400..500).contains(&full.status) && full.text().contains("unload one first"), "{}", full.text());
    for (path, reason) in [
        ("../outside.onnx", "relative path without"),
        ("/etc/passwd", "relative path without"),
        ("link.onnx", "leads out of the model roots"),
        ("missing.onnx", "no file"),
    ] {
        let refused = load("echo", path);
        assert!((400..500).contains(&refused.status) && refused.text().contains(reason), "{path}: {}", refused.text());
    }
    let taken = load("fixed", "echo.onnx");
    assert!((400..500).contains(&taken.status) && taken.text().contains("change it there"), "{}", taken.text());
    // A reload of the configuration leaves what was loaded alone.
    gateway.site().configure(&format!("{config}\n"));
    gateway.reload();
    assert_eq!(echo(&gateway, "/v2/models/echo/infer"), Some(0.5));
    assert!(admin(&gateway, "DELETE", "/v1/models/echo", "").status < 300);
    assert_eq!(echo(&gateway, "/v2/models/echo/infer"), None);
    assert_eq!(admin(&gateway, "DELETE", "/v1/models/echo", "").status, 404);
    gateway.eventually("its memory is given back", |gateway| gateway.metric("witgate_models_live") == 1.0);
}

#[test]
fn a_route_lets_nobody_load_models_unless_it_says_so() {
    let config = |control: &str| {
        format!("[inference]\nmodel_roots = [\".\"]\n{ROUTE}{control}{}", configured("m", "identity_float"))
    };
    for (control, allowed) in [("", false), ("model_control = \"allowed\"\n", true)] {
        let site = Site::new(&config(control));
        std::fs::copy(model("mlp"), site.path("new.onnx")).expect("copied");
        let gateway = site.start();
        let answer = post(&gateway, "/v1/models", &json!({ "name": "new", "path": "new.onnx" }));
        assert_eq!(answer.status < 300, allowed, "{} {}", answer.status, answer.text());
        let answer = client::request(gateway.address(), "DELETE", "/v1/models/m", &[], b"");
        assert!((400..500).contains(&answer.status), "one of the configuration stays");
    }
}

#[test]
fn a_slow_run_ends_with_the_request_and_keeps_nobody_else() {
    let upstream = Upstream::saying("ok");
    let config = format!(
        "{}{}{}[inference]\nthreads = 1\n[[routes]]\nname = \"models\"\nmodels = \"all\"\npath_prefix = \"/v2\"\n\
         deadline = \"20ms\"\n[[routes]]\nname = \"plain\"\nupstream = \"u\"\n",
        upstream.config("u"),
        configured("work", "work"),
        configured("echo", "identity_float")
    );
    let gateway = Gateway::with(&config);
    let body = json!({ "inputs": [{ "name": "x", "datatype": "FP32", "shape": [1, 1], "data": [0.5] }] });
    // A machine that is busy may come to look at the deadline only when the run has ended, but not each time.
    gateway.eventually("a run ends with its request", |gateway| {
        let late = post(gateway, "/v2/models/work/infer", &body);
        assert!(matches!(late.status, 200 | 504), "{}", late.text());
        late.status == 504
    });
    assert_eq!(gateway.get("/").text(), "ok");
    gateway.eventually("the thread is free again", |gateway| echo(gateway, "/v2/models/echo/infer") == Some(0.5));
}

#[test]
fn configurations_of_models_that_cannot_work_are_diagnostics() {
    for (config, expected) in [
        ("[models.m]\n".to_owned(), "expected `path` or `versions`, got neither"),
        ("[models.m]\npath = \"none.onnx\"\n".to_owned(), "put the model there"),
        (
            format!("{}batching = {{ rows = 4 }}\n", configured("m", "fixed_batch")),
            "export it with a first dimension of any size",
        ),
        (format!("{}warm_up = \"zero\"\n", configured("m", "mlp")), "\"zeros\" or \"off\""),
        ("[inference]\nruntime = \"onnx\"\n".to_owned(), "the path of an ONNX Runtime library"),
        ("[inference]\nruntime = \"none/libonnxruntime.so\"\n".to_owned(), "libonnxruntime.so"),
    ] {
        let site = Site::new(&format!("{config}{ROUTE}"));
        let (status, text) = site.check(&[]);
        assert!(!status.success() && text.contains(expected), "{config}: {text}");
    }
}
