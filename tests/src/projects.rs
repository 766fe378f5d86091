//! Projects of plugin authors, in every language: what is built, what its page says, and what a new one promises.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::examples::{Trial, root, serve, trials};
use crate::gateway::binary;
use crate::{Gateway, Upstream, client};

const ALICE: &str = "Bearer alice-key-0001";
const BOB: &str = "Bearer bob-key-00002";

/// Where cargo compiles plugins: what they depend on is the same each time. `cargo xtask` compiles the shipped ones there, too.
fn build_directory() -> PathBuf {
    root().join("target/guests/build")
}

/// The project as it was built.
fn project(language: &str) -> PathBuf {
    let project = root().join("target/guests").join(language);
    assert!(project.exists(), "{} is missing: run `cargo xtask test`, which builds it first", project.display());
    project
}

/// A gateway with the project's own configuration.
pub fn gateway(project: &Path, upstream: &Upstream) -> Gateway {
    let file = project.join("gateway.toml");
    // Compiling a whole language's runtime takes as long as it takes: once, into a cache that is kept.
    let cache = root().join("target/guests/cache");
    let mut text = fs::read_to_string(&file).expect("readable");
    text.push_str(&format!("\n[runtime]\nplugin_cache = \"{}\"\n", cache.display()));
    let compiled = project.join(".compiled.toml");
    fs::write(&compiled, &text).expect("written");
    let output = Command::new(binary())
        .args(["check", "--skip", "addresses", "-c"])
        .arg(&compiled)
        .output()
        .expect("witgate runs");
    assert!(output.status.success(), "{}:\n{}", file.display(), String::from_utf8_lossy(&output.stderr));
    serve(&file, &text, upstream, None)
}

/// What the first plugins of all languages promise.
pub fn keeps_the_contract(language: &str) {
    let upstream = Upstream::saying("ok");
    let gateway = gateway(&project(language), &upstream);
    let get = |headers: &[(&str, &str)]| gateway.get_with("/", headers);

    for (value, consumer, count) in
        [(ALICE, "alice", "1"), (BOB, "bob", "1"), (ALICE, "alice", "2"), (ALICE, "alice", "3")]
    {
        let claims = [("authorization", value), ("x-consumer", "mallory"), ("x-count", "1000")];
        let answer = get(&claims);
        assert_eq!(answer.status, 200, "{}", answer.text());
        let received = upstream.last();
        assert_eq!(received.header("x-consumer").as_deref(), Some(consumer), "whatever the client claims");
        assert_eq!(received.header("x-count").as_deref(), Some(count), "of {consumer}");
        assert_eq!(received.header("authorization"), None, "the key stays here");
    }
    assert_eq!(get(&[("authorization", "bEARER bob-key-00002")]).status, 200, "schemes are case-insensitive");

    let served = upstream.received().len();
    for headers in [
        &[][..],
        &[("authorization", "Bearer alice-key-0002")],
        &[("authorization", "Bearer alice-key-0001x")],
        &[("authorization", "Bearer alice-key-000")],
        &[("authorization", "Bearer ")],
        &[("authorization", "Bearer")],
        &[("authorization", "Basic alice-key-0001")],
        &[("authorization", "alice-key-0001")],
        &[("authorization", "Bearer alice")],
        &[("authorization", "Bearer \u{fc}\u{fc}\u{fc}-key-0001")],
        &[("x-consumer", "alice")],
    ] {
        let answer = get(headers);
        assert_eq!((answer.status, answer.code().as_str()), (401, "UNAUTHENTICATED"), "{headers:?}: {}", answer.text());
        assert_eq!(answer.header("www-authenticate").as_deref(), Some("Bearer"), "{headers:?}");
    }
    assert_eq!(upstream.received().len(), served, "what is refused goes no further");

    // More requests than one instance would get at once, on several connections: they count in one place.
    let address = gateway.address();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(move || {
                for _ in 0..25 {
                    assert_eq!(client::get(address, "/", &[("authorization", ALICE)]).status, 200);
                }
            });
        }
    });
    assert_eq!(get(&[("authorization", ALICE)]).status, 200);
    assert_eq!(upstream.last().header("x-count").as_deref(), Some("104"));
}

/// Lines of the `console` blocks of a page.
pub fn console(page: &str) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut inside = false;
    for line in page.lines() {
        match line {
            "```console" => inside = true,
            "```" => inside = false,
            _ if inside => lines.push(line.strip_prefix("$ ").expect("a command begins with `$ `")),
            _ => {}
        }
    }
    lines
}

/// Does what a page says, in a directory of its own: the commands that build in one shell, and the others against the
/// gateway that they lead to.
pub fn leads_to_a_plugin_on_a_route(language: &str) {
    let page = root().join("docs/plugins").join(format!("{language}.md"));
    let page = fs::read_to_string(&page).expect("there is a page");
    let folder = tempfile::TempDir::new().expect("a temporary folder");
    let mine = folder.path().join("my-plugin");
    let (mut script, mut served, mut tried) = (String::from("set -e\n"), false, 0);
    let commands: Vec<String> =
        console(&page).iter().map(|line| line.replace("/tmp/my-plugin", &mine.display().to_string())).collect();
    let split = commands.iter().position(|line| line.starts_with("cargo xtask run")).expect("the page serves");
    for (at, command) in commands[..split].iter().enumerate() {
        if at == 1 {
            // The tasks, before, have a place of their own.
            script.push_str(&format!("export CARGO_BUILD_BUILD_DIR='{}'\n", build_directory().display()));
        }
        script.push_str(&format!("{command}\n"));
    }
    let output = Command::new("sh").args(["-c", &script]).current_dir(root()).output().expect("a shell runs");
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{script}\n{text}");

    let upstream = Upstream::saying("ok");
    let config = format!("cargo xtask run --config {}", mine.join("gateway.toml").display());
    assert_eq!(commands[split].split(" #").next().map(str::trim), Some(config.as_str()));
    let gateway = gateway(&mine, &upstream);
    let config = fs::read_to_string(mine.join("gateway.toml")).expect("readable");
    let offered = trials(&config);
    assert!(offered.len() >= 3, "the configuration says what to try");
    let here = |command: &str| command.replace("127.0.0.1:8080", &gateway.address().to_string());
    let written = commands[split + 1..].iter().map(|line| {
        let (command, status) = line.rsplit_once('#').expect("a comment says what comes");
        Trial { status: status.trim().chars().take(3).collect(), command: command.trim().to_owned() }
    });
    for Trial { status, command } in written.chain(offered) {
        let output = Command::new("sh").args(["-c", &here(&command)]).output().expect("a shell runs");
        let output = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.contains(&status), "`{command}` should show {status}, but:\n{output}");
        served |= status == "200";
        tried += 1;
    }
    assert!(served && tried >= 5, "the page shows what passes and what does not");
}

/// What a person has in their `PATH` who built the gateway and ran `cargo xtask guests`. The toolchains come first: their
/// `witgate-componentize` is a script that keeps Go from the network.
fn path() -> OsString {
    let beside = binary().parent().expect("a folder").to_owned();
    let rest = std::env::var_os("PATH").unwrap_or_default();
    let all = [root().join("target/toolchains/bin"), beside].into_iter().chain(std::env::split_paths(&rest));
    std::env::join_paths(all).expect("a path without a colon")
}

/// Runs `witgate plugin` in a folder.
pub fn plugin(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(binary());
    command.arg("plugin").args(arguments).current_dir(folder).env("PATH", path());
    // What cargo compiles for a project is the same each time; where the component goes is the project's affair.
    command.env_remove("CARGO_TARGET_DIR").env("CARGO_BUILD_BUILD_DIR", build_directory());
    command.output().expect("witgate runs")
}

/// What it reports as JSON.
pub fn report(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}{errors}"))
}

/// A new project. At the same path each time: what is compiled for it is found again, and does not pile up.
fn begun(language: &str) -> PathBuf {
    let folder = root().join("target/guests/new").join(language);
    if folder.exists() {
        fs::remove_dir_all(&folder).expect("removed");
    }
    fs::create_dir_all(&folder).expect("made");
    let report = report(&plugin(&folder, &["new", "--lang", language, "my-plugin", "--format", "json"]));
    assert_eq!((&report["ok"], report["name"].as_str()), (&Value::Bool(true), Some("my-plugin")), "{report}");
    folder.join("my-plugin")
}

/// Begins a project, does what its README says, and has the gateway serve it.
pub fn a_new_project_does_what_it_says(language: &str) {
    let project = begun(language);
    let readme = fs::read_to_string(project.join("README.md")).expect("there is a page");
    let commands: Vec<&str> = console(&readme).iter().map(|line| line.split(" #").next().unwrap_or(line)).collect();
    for needed in ["witgate plugin build", "witgate plugin test cases.toml", "witgate check -c gateway.toml"] {
        assert!(commands.iter().any(|command| command.trim() == needed), "{needed:?} is not among {commands:?}");
    }
    for command in commands {
        if command.trim() == "witgate run -c gateway.toml" {
            continue;
        }
        let mut shell = Command::new("sh");
        shell.args(["-c", command]).current_dir(&project).env("PATH", path()).env_remove("CARGO_TARGET_DIR");
        let output = shell.env("CARGO_BUILD_BUILD_DIR", build_directory()).output().expect("it runs");
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success(), "`{command}`:\n{text}");
    }

    let report = report(&plugin(&project, &["build", "--format", "json"]));
    assert_eq!(report["ok"], true, "{report}");
    assert_eq!(report["language"], language);
    assert_eq!(report["description"]["name"], "my-plugin");
    assert_eq!(report["hooks"], serde_json::json!(["on-request-headers"]));
    let component = project.join(report["file"].as_str().expect("a path"));
    assert_eq!(fs::metadata(component).expect("it is there").len(), report["bytes"].as_u64().expect("a number"));

    let upstream = Upstream::saying("ok");
    let gateway = gateway(&project, &upstream);
    let offered = trials(&fs::read_to_string(project.join("gateway.toml")).expect("readable"));
    assert_eq!(offered.len(), 2, "one that passes, one that does not");
    for Trial { status, command } in offered {
        let here = command.replace("127.0.0.1:8080", &gateway.address().to_string());
        let output = Command::new("sh").args(["-c", &here]).output().expect("a shell runs");
        let output = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.contains(&status), "`{command}` should show {status}, but:\n{output}");
    }
    assert_eq!(upstream.last().header("x-api-version").as_deref(), Some("v2"));
    assert_eq!(upstream.received().len(), 1, "what is refused goes no further");
}
