//! `witgate plugin …`: what authors do with a component, through the binary.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use serde_json::Value;
use tempfile::TempDir;
use witgate_tests::gateway::{binary, guest, plugin};

struct Ran {
    status: ExitStatus,
    out: String,
    err: String,
}

fn witgate(arguments: &[&str]) -> Ran {
    let output = Command::new(binary()).arg("plugin").args(arguments).output().expect("witgate runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ran { status: output.status, out: text(&output.stdout), err: text(&output.stderr) }
}

/// The report of a command that was asked for JSON, and its exit status.
fn json(arguments: &[&str]) -> (Value, Option<i32>) {
    let ran = witgate(&[arguments, &["--format", "json"]].concat());
    let report = serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}: {}{}", ran.out, ran.err));
    (report, ran.status.code())
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// A cases file for the guest that sees and changes bodies, in a folder of its own.
fn cases(head: &str, cases: &str) -> (TempDir, PathBuf) {
    let folder = TempDir::new().expect("a temporary folder");
    let path = folder.path().join("cases.toml");
    let plugin = guest("bodies");
    let file = format!("plugin = \"{}\"\ngrants = [\"kv\"]\n{head}\n{cases}", plugin.display());
    std::fs::write(&path, file).expect("written");
    (folder, path)
}

fn folder_of(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins").join(name)
}

#[test]
fn the_shipped_plugins_do_what_their_cases_say() {
    for name in ["auth", "rate-limit", "shed"] {
        let path = folder_of(name).join("cases.toml");
        let component = plugin(&name.replace('-', "_"));
        let ran = witgate(&["test", text(&path), "--plugin", text(&component)]);
        assert!(ran.status.success(), "{}{}", ran.out, ran.err);
        assert!(ran.out.contains(", 0 failed") && !ran.out.starts_with('0'), "{}", ran.out);
    }
}

/// A cases file of its own for a guest.
fn cases_of(name: &str, text: &str) -> (TempDir, PathBuf) {
    let folder = TempDir::new().expect("a temporary folder");
    let path = folder.path().join("cases.toml");
    std::fs::write(&path, format!("plugin = \"{}\"\n{text}", guest(name).display())).expect("written");
    (folder, path)
}

const REACH: &str = "grants = [\"metrics\", \"random\", \"outbound:u\"]\n";

/// The differences of the only case in a report, as path, expected and got.
fn differences(report: &Value) -> Vec<[String; 3]> {
    let differences = report["cases"][0]["differences"].as_array().expect("a list");
    let text = |it: &Value, key: &str| it[key].as_str().expect("a text").to_owned();
    differences.iter().map(|it| ["path", "expected", "got"].map(|key| text(it, key))).collect()
}

#[test]
fn clocks_upstreams_metrics_and_random_bytes_are_what_the_cases_say() {
    for name in ["probe", "reach"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("guests").join(name).join("cases.toml");
        for _ in 0..2 {
            let ran = witgate(&["test", text(&path)]);
            assert!(ran.status.success(), "{}{}", ran.out, ran.err);
            assert!(ran.out.contains(", 0 failed") && !ran.out.contains("\n0 passed"), "{}", ran.out);
        }
    }
}

#[test]
fn a_call_that_no_answer_is_for_fails_its_case() {
    let (_folder, path) = cases_of(
        "reach",
        &format!(
            "{REACH}upstreams = {{ u = [{{ method = \"POST\" }}] }}\n[[cases]]\nname = \"a\"\n\
             request = {{ headers = {{ x-do = \"fetch u /here\" }} }}\nexpect = {{ verdict = \"respond\" }}\n"
        ),
    );
    let (report, status) = json(&["test", text(&path)]);
    assert_eq!(status, Some(1), "{report}");
    let expected = ["calls", "an answer in `upstreams` for each call", "u: GET /here: no answer is for it"];
    assert_eq!(differences(&report), [expected.map(str::to_owned)], "{report}");
}

#[test]
fn calls_and_metrics_that_differ_are_told_one_by_one() {
    let case = |what: &str, expect: &str| {
        let (_folder, path) = cases_of(
            "reach",
            &format!(
                "{REACH}upstreams = {{ u = [{{}}] }}\n[[cases]]\nname = \"a\"\n\
                 request = {{ headers = {{ x-do = \"{what}\" }} }}\n\
                 expect = {{ verdict = \"respond\", {expect} }}\n"
            ),
        );
        let (report, _) = json(&["test", text(&path)]);
        differences(&report)
    };
    let texts = |texts: [&str; 3]| texts.map(str::to_owned);
    let call =
        "calls = [{ upstream = \"u\", method = \"GET\", path = \"/a\", headers = { x-from = \"b\" }, body = \"c\" }]";
    let got = case("post u body", call);
    let paths: Vec<_> = got.iter().map(|[path, ..]| path.as_str()).collect();
    assert_eq!(paths, ["calls[0].method", "calls[0].path", "calls[0].headers.x-from", "calls[0].body"]);
    assert_eq!(got[3], texts(["calls[0].body", "c", "body"]));
    assert_eq!(case("often u", "calls = []")[0][1..], ["0 calls\n", &format!("8 calls{}", "\nu: GET /".repeat(8))]);

    let metric = |labels: &str, figure: &str| format!("metrics = [{{ name = \"seen_total\", {labels}{figure} }}]");
    let labels = "labels = { kind = \"a\" }, ";
    let series = "metrics: seen_total{kind=\"a\"}";
    assert_eq!(case("count a", &metric(labels, "value = 2")), <[[String; 3]; 0]>::default());
    for (labels, figure, expected) in [
        (labels, "value = 3", [series, "a counter or gauge of 3", "a counter of 2"]),
        (labels, "count = 2", [series, "a histogram of 2 values", "a counter of 2"]),
        ("", "value = 2", ["metrics: seen_total", "a counter or gauge of 2", "(absent)"]),
    ] {
        assert_eq!(case("count a", &metric(labels, figure)), [texts(expected)]);
    }
    let absent = case("count a", "metrics_absent = [\"seen_total\"]");
    assert_eq!(absent, [texts(["metrics_absent", "no `seen_total`", "seen_total{kind=\"a\"}: a counter of 2"])]);
}

#[test]
fn models_say_what_the_file_says() {
    let case =
        "[[cases]]\nname = \"it asks\"\nrequest.headers.x-ask = \"abuse x 1\"\nexpect.upstream.headers.x-said = ";
    for (says, said) in
        [("outputs = { score = [0.5, 0.75] }", "score [1, 2] [0.5, 0.75]"), ("fault = \"timeout\"", "timeout")]
    {
        let head = format!("grants = [\"inference:abuse\"]\n[models.abuse]\n{says}\n");
        let (_folder, path) = cases_of("scorer", &format!("{head}{case}\"{said}\"\n"));
        let ran = witgate(&["test", text(&path)]);
        assert!(ran.status.success(), "{says}: {}{}", ran.out, ran.err);
    }
    for (says, expected) in
        [("outputs = 1", "4:11"), ("output = {}", "unknown key `output`"), ("", "expected either `outputs")]
    {
        let head = format!("grants = [\"inference:abuse\"]\n[models.abuse]\n{says}\n");
        let (_folder, path) = cases_of("scorer", &format!("{head}{case}\"x\"\n"));
        let ran = witgate(&["test", text(&path)]);
        assert!(!ran.status.success() && ran.err.contains(expected), "{says}: {}{}", ran.out, ran.err);
    }
}

#[test]
fn names_that_a_cases_file_does_not_define_are_shown_where_they_stand() {
    let case = "[[cases]]\nname = \"a\"\n";
    for (head, case, place, part) in [
        ("grants = [\n  \"outbound:other\",\n]\n".to_owned(), case.to_owned(), "4:3", "define `[[upstreams.other]]`"),
        ("grants = [\n  \"inference\",\n]\n".to_owned(), case.to_owned(), "4:3", "\"inference:NAME\""),
        (REACH.to_owned(), format!("{case}upstreams = {{ other = [] }}\n"), "6:15", "define `[[upstreams.other]]`"),
        (
            REACH.to_owned(),
            format!("{case}expect = {{ calls = [{{ upstream = \"other\" }}] }}\n"),
            "6:34",
            "define `[[upstreams.other]]`",
        ),
        (
            REACH.to_owned(),
            format!("{case}[cases.expect]\n[[cases.expect.metrics]]\nname = \"m\"\n"),
            "8:8",
            "expected one of `value`",
        ),
        (REACH.to_owned(), format!("{case}in_flight = {{ edge = 1 }}\n"), "6:15", "define `[load.edge]`"),
    ] {
        let (_folder, path) = cases_of("reach", &format!("upstreams = {{ u = [] }}\n{head}{case}"));
        let ran = witgate(&["test", text(&path)]);
        assert_eq!(ran.status.code(), Some(1));
        assert!(ran.err.contains(&format!("cases.toml:{place}")) && ran.err.contains(part), "{place}: {}", ran.err);
    }
}

#[test]
fn the_same_seed_gives_the_same_random_bytes_to_each_case() {
    // It expects the answer to be empty, so that the report tells what came.
    let random = "[[cases]]\nname = \"a\"\nrequest = { headers = { x-do = \"random\" } }\n\
                  expect = { verdict = \"respond\", client = { body = \"\" } }\n";
    let (_folder, path) = cases_of("reach", &format!("upstreams = {{ u = [] }}\n{REACH}{random}{random}"));
    let got = |seed: &str| {
        let (report, _) = json(&["test", text(&path), "--seed", seed]);
        [0, 1].map(|at| report["cases"][at]["differences"][0]["got"].to_string())
    };
    let first = got("5");
    assert!(first[0].contains('['), "{first:?}");
    assert_eq!(first, got("5"));
    assert_ne!(first[0], first[1], "cases have bytes of their own");
    assert_ne!(first, got("7"));
}

#[test]
fn fields_of_a_response_to_come_are_seen_although_none_comes() {
    let folder = TempDir::new().expect("a temporary folder");
    let path = folder.path().join("cases.toml");
    let head = "config = { bucket = \"api\", key = \"client\" }\ngrants = [\"limiter:api\"]\n\
                buckets = { api = { rate = \"1/s\", burst = 2 } }\n";
    let case = "[[cases]]\nname = \"a\"\n";
    let run = |client: &str| {
        std::fs::write(&path, format!("{head}{case}expect = {{ client = {client} }}\n")).expect("written");
        json(&["test", text(&path), "--plugin", text(&plugin("rate_limit"))])
    };
    let (report, status) =
        run("{ headers = { x-ratelimit-limit = \"2\", x-ratelimit-remaining = \"1\" }, absent = [\"retry-after\"], \
         changes = [\"set x-ratelimit-limit: *\", \"set x-ratelimit-remaining: *\", \"set x-ratelimit-reset: 1\"] }");
    assert_eq!(status, Some(0), "{report}");
    let (report, _) = run("{ headers = { x-ratelimit-remaining = \"0\" }, status = 200 }");
    let paths: Vec<_> = differences(&report).into_iter().map(|[path, ..]| path).collect();
    assert_eq!(paths, ["client", "client.headers.x-ratelimit-remaining"], "{report}");
}

#[test]
fn inspect_tells_what_a_component_needs_without_granting_it() {
    let (report, status) = json(&["inspect", text(&plugin("auth"))]);
    assert_eq!(status, Some(0), "{report}");
    assert_eq!(report["description"]["name"], "auth");
    assert_eq!(report["contract"], "0.1.0");
    assert_eq!(report["hooks"], serde_json::json!(["on-request-headers"]));
    assert_eq!(report["grants"], serde_json::json!(["clock", "crypto"]));
    assert_eq!(report["config_schema"]["title"], "auth");
    assert!(report["compile_us"].as_u64() > report["load_us"].as_u64(), "{report}");
    let people = witgate(&["inspect", text(&plugin("rate_limit"))]);
    assert!(people.out.contains("needs the grant \"limiter:NAME\""), "{}", people.out);
}

#[test]
fn inspect_says_of_a_component_that_is_no_plugin_why_it_would_not_load() {
    let folder = TempDir::new().expect("a temporary folder");
    let path = folder.path().join("empty.wasm");
    // The preamble of a component, and nothing after it.
    std::fs::write(&path, b"\0asm\x0d\0\x01\0").expect("written");
    let (report, status) = json(&["inspect", text(&path)]);
    assert_eq!((status, &report["contract"]), (Some(1), &Value::Null), "{report}");
    assert!(report["problem"].as_str().is_some_and(|problem| problem.contains("lifecycle@0.1.0")), "{report}");
}

#[test]
fn what_is_no_component_is_refused_with_what_was_expected() {
    let folder = TempDir::new().expect("a temporary folder");
    let (missing, other) = (folder.path().join("missing.wasm"), folder.path().join("other.wasm"));
    std::fs::write(&other, "hello").expect("written");
    let config = folder.path().join("config.json");
    std::fs::write(&config, "{}").expect("written");
    for (path, part) in [(&missing, "cannot be read"), (&other, "not a WebAssembly component")] {
        for command in
            [&["inspect", text(path)][..], &["validate", text(path), "--config", text(&config)], &["bench", text(path)]]
        {
            let ran = witgate(command);
            assert_eq!(ran.status.code(), Some(1), "{command:?}");
            assert!(ran.err.contains(part) && ran.err.contains("expected"), "{command:?}: {}", ran.err);
            let (report, status) = json(command);
            assert_eq!((&report["ok"], status), (&Value::Bool(false), Some(1)), "{command:?}: {report}");
        }
    }
}

#[test]
fn validate_lists_every_problem_with_its_path() {
    let folder = TempDir::new().expect("a temporary folder");
    let config = folder.path().join("config.json");
    let validate = |component: &str, text_of_config: &str| {
        std::fs::write(&config, text_of_config).expect("written");
        json(&["validate", text(&plugin(component)), "--config", text(&config)])
    };
    let paths = |report: &Value| -> Vec<String> {
        let problems = report["problems"].as_array().expect("a list");
        problems.iter().map(|problem| problem["path"].as_str().unwrap_or("-").to_owned()).collect()
    };
    let (report, status) = validate("auth", r#"{"key_set": "customers", "jwt": {"key": "session"}}"#);
    assert_eq!((&report["ok"], status), (&Value::Bool(true), Some(0)), "{report}");
    // The schema's, of which there are several; the plugin's own words; and JSON's.
    let (report, status) = validate("auth", r#"{"key_set": 5, "jwt": {"key": "k", "leeway_seconds": -1}}"#);
    assert_eq!(
        (paths(&report), status),
        (vec!["jwt.leeway_seconds".to_owned(), "key_set".to_owned()], Some(1)),
        "{report}"
    );
    let (report, _) = validate("rate_limit", r#"{"bucket": "b", "key": "header:a b"}"#);
    assert_eq!(paths(&report), ["key"], "{report}");
    let (report, _) = validate("auth", "{}");
    assert_eq!(paths(&report), ["-"], "{report}");
    let (report, _) = validate("auth", "{");
    assert!(report["problems"][0]["message"].as_str().is_some_and(|text| text.contains("not JSON")), "{report}");
}

#[test]
fn validate_survives_a_plugin_that_traps_on_its_configuration() {
    let folder = TempDir::new().expect("a temporary folder");
    let config = folder.path().join("config.json");
    std::fs::write(&config, "{}").expect("written");
    let ran = witgate(&["validate", text(&guest("trap_configure")), "--config", text(&config)]);
    assert_eq!(ran.status.code(), Some(1));
    assert!(ran.out.contains("fails in `configure` (trap)"), "{}{}", ran.out, ran.err);
}

#[test]
fn an_unknown_key_of_a_cases_file_is_shown_in_its_line() {
    let (_folder, path) = cases("", "[[cases]]\nname = \"a\"\nrequst = {}\n");
    let ran = witgate(&["test", text(&path)]);
    assert_eq!(ran.status.code(), Some(1));
    assert!(ran.err.contains("unknown key `requst`") && ran.err.contains("cases.toml:6:1"), "{}", ran.err);
    assert!(ran.err.contains("6 | requst = {}"), "{}", ran.err);
    let (report, _) = json(&["test", text(&path)]);
    assert_eq!(report["diagnostics"][0]["line"], 6, "{report}");
}

#[test]
fn a_grant_of_something_that_the_file_does_not_define_is_shown_in_its_line() {
    let folder = TempDir::new().expect("a temporary folder");
    let path = folder.path().join("cases.toml");
    std::fs::write(&path, "plugin = \"x.wasm\"\ngrants = [\n  \"limiter:api\",\n]\n[[cases]]\nname = \"a\"\n")
        .expect("written");
    let ran = witgate(&["test", text(&path), "--plugin", text(&plugin("rate_limit"))]);
    assert_eq!(ran.status.code(), Some(1));
    assert!(ran.err.contains("cases.toml:3:3") && ran.err.contains("define `[buckets.api]`"), "{}", ran.err);
}

#[test]
fn a_failing_case_is_told_by_what_was_expected_and_what_came() {
    let (_folder, path) = cases(
        "config = { request = \"buffered\", response = \"buffered\", mark = \"<\" }",
        "[[cases]]\nname = \"passes\"\nrequest = { body = \"x\" }\nexpect = { upstream = { body = \"<x\" } }\n\
         [[cases]]\nname = \"differs\"\nrequest = { method = \"POST\", path = \"/here\", body = \"x\" }\n\
         response = { body = \"one\\ntwo\\nthree\" }\n\
         expect = { upstream = { body = \"y\", path = \"/there\" }, client = { status = 404, body = \"<one\\n2\\nthree\" }, kv_absent = [\"last\"] }\n",
    );
    let ran = witgate(&["test", text(&path)]);
    assert_eq!(ran.status.code(), Some(1), "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("ok    passes") && ran.out.contains("FAIL  differs"), "{}", ran.out);
    for part in [
        "upstream.path\n        expected /there\n        got      /here\n",
        "upstream.body\n        expected y\n        got      <x\n",
        "client.status\n        expected 404\n        got      200\n",
        "- 2\n        + two\n",
        "expected no `last`",
        "1 passed, 1 failed\n",
    ] {
        assert!(ran.out.contains(part), "{part:?} is not in\n{}", ran.out);
    }
}

#[test]
fn a_plugin_that_traps_fails_its_case_and_serves_the_next() {
    let trap = "[[cases]]\nname = \"trap\"\nrequest = { headers = { x-do = \"trap\" }, body = \"x\" }\n";
    let next = "[[cases]]\nname = \"next\"\nrequest = { body = \"x\" }\nexpect = { upstream = { body = \"x\" } }\n";
    let (_folder, path) = cases("config = { request = \"chunks\" }", &format!("{trap}{next}"));
    let ran = witgate(&["test", text(&path)]);
    assert_eq!(ran.status.code(), Some(1));
    assert!(ran.out.contains("FAIL  trap") && ran.out.contains("ok    next"), "{}", ran.out);
    assert!(
        ran.out.contains("got      fail (trap: ") && ran.out.contains("told to"),
        "the guest's last words: {}",
        ran.out
    );
    let expected =
        "expect = { verdict = \"fail\", failure = \"trap\", hook = \"on-request-body\", client = { status = 500 } }\n";
    let (_folder, path) = cases("config = { request = \"chunks\" }", &format!("{trap}{expected}{next}"));
    let ran = witgate(&["test", text(&path)]);
    assert!(ran.status.success(), "{}{}", ran.out, ran.err);
}

#[test]
fn the_same_seed_cuts_the_same_pieces() {
    let (_folder, path) = cases(
        "config = { request = \"chunks\", mark = \"<\" }",
        "[[cases]]\nname = \"cut\"\nrequest = { body = \"a body of some length, to be cut\" }\nexpect = { upstream = { body = \"\" } }\n",
    );
    let got = |seed: &str| {
        let (report, _) = json(&["test", text(&path), "--seed", seed]);
        assert_eq!(report["seed"].to_string(), seed);
        report["cases"][0]["differences"][0]["got"].as_str().expect("a text").to_owned()
    };
    assert_eq!(got("5"), got("5"));
    assert!((0..8).any(|seed| got(&seed.to_string()) != got("5")), "other seeds cut other pieces");
    assert_eq!(got("5").replace('<', ""), "a body of some length, to be cut");
}

#[test]
fn golden_bodies_are_written_when_asked_for_and_compared_afterwards() {
    let (folder, path) = cases(
        "config = { request = \"buffered\" }",
        "[[cases]]\nname = \"golden\"\nrequest = { headers = { x-do = \"respond\" }, body = \"12345\" }\n\
         expect = { verdict = \"respond\", client = { status = 299, body = { file = \"golden/length.txt\" } } }\n",
    );
    let run = |arguments: &[&str]| witgate(&[&["test", text(&path)], arguments].concat());
    let missing = run(&[]);
    assert!(!missing.status.success() && missing.out.contains("--bless writes it"), "{}{}", missing.out, missing.err);
    assert!(run(&["--bless"]).status.success());
    let golden = folder.path().join("golden/length.txt");
    assert_eq!(std::fs::read_to_string(&golden).expect("written"), "5");
    assert!(run(&[]).status.success());
    std::fs::write(&golden, "6").expect("written");
    let differs = run(&[]);
    assert!(!differs.status.success() && differs.out.contains("expected 6"), "{}", differs.out);
}

#[test]
fn state_lasts_from_case_to_case_and_begins_anew_with_each_run() {
    let (_folder, path) = cases(
        "kv = { last = \"from the file\" }",
        "[[cases]]\nname = \"what the file puts there\"\nrequest = { headers = { x-do = \"last\" } }\n\
         expect = { verdict = \"respond\", client = { body = \"from the file\" } }\n\
         [[cases]]\nname = \"what a case leaves\"\nrequest = { path = \"/left\" }\nexpect = { kv = { last = \"/left *\" } }\n\
         [[cases]]\nname = \"is there for the next\"\nrequest = { headers = { x-do = \"last\" } }\n\
         expect = { verdict = \"respond\", kv = { last = \"/left *\" } }\n\
         [[cases]]\nname = \"a full namespace takes nothing more\"\nfault = \"kv-quota\"\n\
         request = { path = \"/a-path-that-is-longer-than-the-one-before\" }\n\
         expect = { verdict = \"fail\", hook = \"on-log\", kv = { last = \"/left *\" } }\n",
    );
    for _ in 0..2 {
        let ran = witgate(&["test", text(&path)]);
        assert!(ran.status.success(), "{}{}", ran.out, ran.err);
    }
}

#[test]
fn asserts_on_time_and_memory_fail_a_case_that_takes_more() {
    let (_folder, path) = cases(
        "",
        "[[cases]]\nname = \"too much\"\nexpect = { max_time = \"0us\", max_memory = \"1KiB\" }\n\
         [[cases]]\nname = \"enough\"\nexpect = { max_time = \"10s\", max_memory = \"16MiB\" }\n",
    );
    let (report, status) = json(&["test", text(&path)]);
    assert_eq!(status, Some(1));
    let paths: Vec<_> =
        report["cases"][0]["differences"].as_array().expect("a list").iter().map(|it| &it["path"]).collect();
    assert_eq!(paths, ["max_time", "max_memory"], "{report}");
    assert_eq!(report["cases"][1]["ok"], true, "{report}");
}

#[test]
fn bench_measures_each_hook_in_warm_and_in_new_instances() {
    let folder = TempDir::new().expect("a temporary folder");
    let config = folder.path().join("config.json");
    std::fs::write(&config, r#"{"tag": "b"}"#).expect("written");
    let (report, status) =
        json(&["bench", text(&guest("tagger")), "--config", text(&config), "--calls", "50", "--header", "x-a: b"]);
    assert_eq!(status, Some(0), "{report}");
    let rows: Vec<_> = report["hooks"].as_array().expect("a list").iter().collect();
    let names: Vec<_> = rows.iter().map(|row| (row["hook"].as_str(), row["instance"].as_str())).collect();
    let hooks = ["on-request-headers", "on-response-headers"];
    let expected: Vec<_> =
        hooks.iter().flat_map(|hook| ["reused", "fresh"].map(|instance| (Some(*hook), Some(instance)))).collect();
    assert_eq!(names, expected);
    for row in rows {
        assert_eq!(row["verdicts"], serde_json::json!({ "continue": 50 }), "{row}");
        let times = ["p50_ns", "p90_ns", "p99_ns", "max_ns"].map(|key| row[key].as_u64().expect("a number"));
        assert!(times.is_sorted() && times[0] > 0, "{row}");
    }
    assert!(report["memory_peak"].as_u64() > Some(65_536), "{report}");
}

#[test]
fn bench_has_what_a_plugin_reaches_beyond_the_request() {
    for told in ["fetch default /", "count a", "random"] {
        let header = format!("x-do: {told}");
        let (report, status) = json(&["bench", text(&guest("reach")), "--calls", "5", "--header", &header]);
        assert_eq!(status, Some(0), "{report}");
        assert_eq!(report["hooks"][0]["verdicts"], serde_json::json!({ "respond": 5 }), "{told}: {report}");
    }
}
