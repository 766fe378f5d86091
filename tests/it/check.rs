//! `witgate check` as it is used: from a command line, and beside a gateway that runs.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use witgate_tests::gateway::binary;
use witgate_tests::{Gateway, Site, Upstream};

struct Ran {
    status: Option<i32>,
    out: String,
    err: String,
}

fn witgate(arguments: &[&str], folder: &Path) -> Ran {
    let output = Command::new(binary()).args(arguments).current_dir(folder).output().expect("witgate runs");
    Ran {
        status: output.status.code(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

fn json(arguments: &[&str], folder: &Path) -> (Value, Option<i32>) {
    let ran = witgate(&[arguments, &["--format", "json"]].concat(), folder);
    (serde_json::from_str(&ran.out).expect("JSON"), ran.status)
}

fn folder(site: &Site) -> PathBuf {
    site.path("")
}

const LEAST: &str = "[[listeners]]\naddress = \"127.0.0.1:0\"\n[admin]\naddress = \"off\"\n";

fn route(upstream: &Upstream) -> String {
    format!("{}[[routes]]\nname = \"all\"\nupstream = \"u\"\n", upstream.config("u"))
}

#[test]
fn the_file_is_named_with_or_without_an_option() {
    let site = Site::new(LEAST);
    site.write("other.toml", LEAST);
    for arguments in [
        &["check"][..],
        &["check", "gateway.toml"],
        &["check", "-c", "gateway.toml"],
        &["check", "--config", "other.toml"],
        &["check", "other.toml"],
    ] {
        let ran = witgate(arguments, &folder(&site));
        let file = arguments.last().filter(|last| last.ends_with("toml")).unwrap_or(&"gateway.toml");
        assert_eq!(ran.status, Some(0), "{arguments:?}: {}", ran.err);
        assert_eq!(ran.out, format!("{file}: ok (0 routes, 0 loaded plugins)\n"));
    }
    let both = witgate(&["check", "a.toml", "-c", "b.toml"], &folder(&site));
    assert_eq!(both.status, Some(2), "{}", both.err);
    let missing = witgate(&["check", "none.toml"], &folder(&site));
    assert!(missing.status == Some(1) && missing.err.contains("expected a file at `none.toml`"), "{}", missing.err);
}

#[test]
fn a_file_of_a_running_gateway_passes_and_one_that_wants_its_ports_does_not() {
    let upstream = Upstream::saying("ok");
    let gateway = {
        let free = || TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
        let (listener, admin) = (free(), free());
        Gateway::with(&format!(
            "[[listeners]]\naddress = \"{listener}\"\n[admin]\naddress = \"{admin}\"\n{}",
            route(&upstream)
        ))
    };
    let folder = gateway.site().path("");
    let own = witgate(&["check", "gateway.toml"], &folder);
    assert_eq!(own.status, Some(0), "{}", own.err);
    assert!(own.out.contains(&format!("process {} serves it", gateway.pid())), "{}", own.out);
    // An edited file is still the one that the gateway serves.
    let text = std::fs::read_to_string(folder.join("gateway.toml")).expect("readable");
    std::fs::write(folder.join("copy.toml"), &text).expect("written");
    let (report, status) = json(&["check", "copy.toml"], &folder);
    let problems = report["diagnostics"].as_array().expect("a list");
    assert_eq!((status, problems.len()), (Some(1), 2), "{report}");
    for problem in problems {
        let message = problem["message"].as_str().expect("text");
        assert!(message.contains("which a gateway with `") && message.contains("gateway.toml"), "{message}");
        assert_eq!((problem["severity"].as_str(), problem["line"].is_u64()), (Some("error"), true));
    }
    let second = witgate(&["run", "copy.toml"], &folder);
    assert!(second.status == Some(1) && second.err.contains("copy.toml:2:11 (listeners[0].address)"), "{}", second.err);
}

#[test]
fn a_start_tells_of_its_log_at_the_line_that_names_it() {
    let text = format!("{LEAST}[access_log]\noutput = \"file\"\npath = \"logs/access.log\"\n");
    let site = Site::new(&text);
    for command in ["check", "run"] {
        let ran = witgate(&[command, "gateway.toml"], &folder(&site));
        assert_eq!(ran.status, Some(1), "{}", ran.err);
        assert!(ran.err.contains("but there is no directory `logs`"), "{}", ran.err);
        assert!(ran.err.contains("gateway.toml:7:8 (access_log.path)"), "{}", ran.err);
    }
    std::fs::create_dir(site.path("logs")).expect("made");
    assert_eq!(witgate(&["check", "gateway.toml"], &folder(&site)).status, Some(0));
    let made = std::fs::read_dir(site.path("logs")).expect("readable").count();
    assert_eq!(made, 0, "a check makes no files");
}

#[test]
fn a_function_that_is_not_there_is_refused_before_a_request_finds_out() {
    let scripted = |code: &str| {
        format!(
            "{LEAST}[scripts.s]\ncontent = \"{code}\"\n[[routes]]\nname = \"all\"\nstages = [{{ script = \"s\" }}]\n"
        )
    };
    let site = Site::new(&scripted("ngx.sya('hello')"));
    let (report, status) = json(&["check", "gateway.toml"], &folder(&site));
    let problem = &report["diagnostics"][0];
    assert_eq!(
        (status, problem["line"].as_u64(), problem["column"].as_u64()),
        (Some(1), Some(6), Some(12)),
        "{report}"
    );
    assert_eq!(problem["message"], "there is no `ngx.sya`");
    assert_eq!(problem["help"], "did you mean `ngx.say`?");
    assert_eq!(witgate(&["run", "gateway.toml"], &folder(&site)).status, Some(1));
    let gateway =
        Gateway::with(&scripted("ngx.say('hello')").replace("address = \"off\"", "address = \"127.0.0.1:0\""));
    assert_eq!(gateway.get("/").text(), "hello\n");
    gateway.site().configure(&scripted("ngx.sya('hello')").replace("address = \"off\"", "address = \"127.0.0.1:0\""));
    assert_eq!(gateway.reload().status, 422);
    assert_eq!(gateway.get("/").text(), "hello\n");
}

#[test]
fn a_warning_is_told_and_can_be_made_to_count() {
    let site = Site::new(&format!("{LEAST}[scripts.s]\nlog = \"ngx.sleep(1)\"\n"));
    let told = witgate(&["check", "gateway.toml"], &folder(&site));
    assert!(told.status == Some(0) && told.out.contains("1 warning"), "{}", told.out);
    assert!(told.err.contains("warning: `ngx.sleep` cannot be called in `log`"), "{}", told.err);
    let (report, status) = json(&["check", "gateway.toml"], &folder(&site));
    assert_eq!((status, report["ok"].as_bool()), (Some(0), Some(true)));
    assert_eq!(report["diagnostics"][0]["severity"], "warning");
    let denied = witgate(&["check", "gateway.toml", "--deny", "warnings"], &folder(&site));
    assert!(denied.status == Some(1) && denied.out.contains("not ok"), "{}", denied.out);
}

/// A certificate for `localhost` that is valid in these years.
fn certify(site: &Site, years: [i32; 2]) {
    let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).expect("a name");
    [params.not_before, params.not_after] = years.map(|year| rcgen::date_time_ymd(year, 1, 1));
    let key = rcgen::KeyPair::generate().expect("a key");
    let made = params.self_signed(&key).expect("signed");
    site.write("cert.pem", made.pem());
    site.write("key.pem", key.serialize_pem());
}

#[test]
fn a_certificate_and_a_key_behind_byte_order_marks_are_read() {
    let tls = "tls = { certificate = \"cert.pem\", key = \"key.pem\" }\n";
    let site = Site::new(&LEAST.replace("[admin]", &format!("{tls}[admin]")));
    certify(&site, [2020, 2120]);
    for file in ["cert.pem", "key.pem"] {
        let plain = std::fs::read(site.path(file)).expect("readable");
        site.write(file, [&b"\xef\xbb\xbf"[..], &plain].concat());
    }
    let checked = witgate(&["check", "gateway.toml", "--deny", "warnings"], &folder(&site));
    assert_eq!(checked.status, Some(0), "{}", checked.err);
}

#[test]
fn an_expired_certificate_is_told_and_never_takes_the_place_of_a_valid_one() {
    let tls = "tls = { certificate = \"cert.pem\", key = \"key.pem\" }\n";
    let site =
        Site::new(&LEAST.replace("[admin]\naddress = \"off\"", &format!("{tls}[admin]\naddress = \"127.0.0.1:0\"")));
    certify(&site, [2020, 2021]);
    let checked = witgate(&["check", "gateway.toml"], &folder(&site));
    assert_eq!(checked.status, Some(0), "{}", checked.err);
    assert!(
        checked.err.contains("warning: expected a certificate that is valid today, but the certificate expired on")
    );
    assert!(checked.err.contains("gateway.toml:3:23 (listeners[0].tls.certificate)"), "{}", checked.err);

    // It starts: other listeners, and clients that do not mind, are better served than not.
    let gateway = site.start();
    let warned = gateway.seen().iter().any(|line| line.contains("the certificate expired on Fri, 01 Jan 2021"));
    assert!(warned, "{:?}", gateway.seen());
    assert!(gateway.admin("/ready").text().contains("expired on"));
    certify(gateway.site(), [2020, 2120]);
    assert_eq!(gateway.reload().json()["warnings"].as_array().expect("a list").len(), 0);
    assert!(!gateway.admin("/ready").text().contains("expired on"));

    certify(gateway.site(), [2020, 2022]);
    let refused = gateway.reload();
    assert_eq!(refused.status, 422, "{}", refused.text());
    let problem = &refused.json()["diagnostics"][0];
    assert!(problem["help"].as_str().expect("text").contains("goes on serving"), "{problem}");
    certify(gateway.site(), [2110, 2120]);
    assert!(gateway.reload().text().contains("is not valid before Wed, 01 Jan 2110"));
    certify(gateway.site(), [2020, 2121]);
    assert_eq!(gateway.reload().status, 200);
}
