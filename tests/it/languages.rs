//! The first plugin in each language does the same, and its page under `docs/plugins` leads to it.
//!
//! `cargo xtask guests` builds them; `cargo xtask test` does so first.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use witgate_tests::gateway::binary;
use witgate_tests::{Gateway, Upstream, client};

use crate::examples::{Trial, root, serve, trials};
use crate::projects::a_new_project_does_what_it_says;

const ALICE: &str = "Bearer alice-key-0001";
const BOB: &str = "Bearer bob-key-00002";

/// The project as it was built.
fn project(language: &str) -> PathBuf {
    let project = root().join("target/guests").join(language);
    assert!(project.exists(), "{} is missing: run `cargo xtask test`, which builds it first", project.display());
    project
}

/// A gateway with the project's own configuration.
pub(crate) fn gateway(project: &Path, upstream: &Upstream) -> Gateway {
    let file = project.join("gateway.toml");
    // Compiling a whole language's runtime takes as long as it takes: once, into a cache that is kept.
    let cache = root().join("target/guests/cache");
    let mut text = fs::read_to_string(&file).expect("readable");
    text.push_str(&format!("\n[runtime]\nplugin_cache = \"{}\"\n", cache.display()));
    let compiled = project.join(".compiled.toml");
    fs::write(&compiled, &text).expect("written");
    let output = Command::new(binary()).args(["check", "-c"]).arg(&compiled).output().expect("witgate runs");
    assert!(output.status.success(), "{}:\n{}", file.display(), String::from_utf8_lossy(&output.stderr));
    serve(&file, &text, upstream, None)
}

/// What all of them promise.
fn keeps_the_contract(language: &str) {
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

#[test]
fn the_first_plugin_in_rust_does_what_all_do() {
    keeps_the_contract("rust");
}

#[test]
fn the_first_plugin_in_javascript_does_what_all_do() {
    keeps_the_contract("js");
}

#[test]
fn the_first_plugin_in_python_does_what_all_do() {
    keeps_the_contract("python");
}

#[test]
fn the_first_plugin_in_c_does_what_all_do() {
    keeps_the_contract("c");
}

#[test]
fn the_first_plugin_in_go_does_what_all_do() {
    keeps_the_contract("go");
}

/// Lines of the `console` blocks of a page.
pub(crate) fn console(page: &str) -> Vec<&str> {
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
fn leads_to_a_plugin_on_a_route(language: &str) {
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
            // What cargo compiles for a plugin is the same each time; the tasks, before, have a place of their own.
            let kept = root().join("target/guests/page");
            script.push_str(&format!("export CARGO_BUILD_BUILD_DIR='{}'\n", kept.display()));
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

#[test]
fn the_page_for_rust_leads_to_a_plugin_on_a_route() {
    leads_to_a_plugin_on_a_route("rust");
}

#[test]
fn the_page_for_javascript_leads_to_a_plugin_on_a_route() {
    leads_to_a_plugin_on_a_route("js");
}

#[test]
fn the_page_for_python_leads_to_a_plugin_on_a_route() {
    leads_to_a_plugin_on_a_route("python");
}

#[test]
fn the_page_for_c_leads_to_a_plugin_on_a_route() {
    leads_to_a_plugin_on_a_route("c");
}

#[test]
fn the_page_for_go_leads_to_a_plugin_on_a_route() {
    leads_to_a_plugin_on_a_route("go");
}

#[test]
fn a_new_project_in_javascript_does_what_it_says() {
    a_new_project_does_what_it_says("js");
}

#[test]
fn a_new_project_in_python_does_what_it_says() {
    a_new_project_does_what_it_says("python");
}

#[test]
fn a_new_project_in_c_does_what_it_says() {
    a_new_project_does_what_it_says("c");
}

#[test]
fn a_new_project_in_go_does_what_it_says() {
    a_new_project_does_what_it_says("go");
}
