//! Who may know whom. The crates of the gateway are rooms, and the doors between them are few: this is what keeps the
//! router testable without a socket, and the proxy replaceable without touching a plugin.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// The rooms, and the rooms that each may know.
const ROOMS: [(&str, &[&str]); 13] = [
    ("witgate-code-cache", &[]),
    ("witgate-http", &[]),
    ("witgate-config", &["witgate-http"]),
    ("witgate-route", &["witgate-http"]),
    ("witgate-stage", &["witgate-http"]),
    ("witgate-trees", &[]),
    ("witgate-native", &["witgate-trees"]),
    ("witgate-operators", &[]),
    (
        "witgate-inference",
        &["witgate-code-cache", "witgate-native", "witgate-operators", "witgate-stage", "witgate-trees"],
    ),
    ("witgate-plugin-host", &["witgate-code-cache", "witgate-stage"]),
    ("witgate-script", &["witgate-stage"]),
    ("witgate-authoring", &["witgate-config", "witgate-script", "witgate-stage", "witgate-plugin-host"]),
    (
        "witgate-server",
        &[
            "witgate-authoring",
            "witgate-code-cache",
            "witgate-config",
            "witgate-http",
            "witgate-inference",
            "witgate-route",
            "witgate-script",
            "witgate-stage",
            "witgate-plugin-host",
        ],
    ),
];

/// Families of crates (the name itself, and `NAME-…`) that shape whatever touches them, and the one room that does.
const OWNED: [(&str, &str); 5] = [
    ("pingora", "witgate-server"),
    ("wasmtime", "witgate-plugin-host"),
    ("cranelift", "witgate-trees"),
    ("ort", "witgate-inference"),
    ("mlua", "witgate-script"),
];

/// Rooms that must stay pure, and what would make them impure however far down it is.
const PURE: [&str; 5] = ["witgate-http", "witgate-config", "witgate-operators", "witgate-route", "witgate-stage"];
const IMPURE: [&str; 5] = ["pingora", "wasmtime", "mlua", "tokio", "mio"];

/// Packages of the repository that are no rooms: they see the gateway from outside. Tests start the binary, plugin
/// authors get the SDK and a tool for modules, developers get the tasks.
const OUTSIDE: [&str; 4] = ["witgate-componentize", "witgate-sdk", "witgate-tests", "witgate-xtask"];

/// Names of packages and what each depends on.
#[derive(Debug, Clone, Default)]
struct Graph {
    /// Of each workspace member, as its manifest says; for building, testing and benchmarking alike.
    declared: BTreeMap<String, BTreeSet<String>>,
    /// Of each package by its id, what is linked into it.
    linked: BTreeMap<String, BTreeSet<String>>,
    /// Name of each package id.
    names: BTreeMap<String, String>,
}

impl Graph {
    fn of_workspace() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests stand below the root");
        // This platform only: of the others' packages a fresh machine has downloaded none, as no build needs them.
        let host = printed(Command::new("rustc").args(["--print", "host-tuple"]).current_dir(root));
        let arguments = ["metadata", "--format-version", "1", "--filter-platform", host.trim()];
        let metadata = printed(Command::new(env!("CARGO")).args(arguments).current_dir(root));
        let metadata: Value = serde_json::from_str(&metadata).expect("cargo metadata prints JSON");

        let mut graph = Self::default();
        let members: BTreeSet<&str> = list(&metadata["workspace_members"]).filter_map(Value::as_str).collect();
        for package in list(&metadata["packages"]) {
            let (id, name) = (text(&package["id"]), text(&package["name"]));
            if members.contains(id) {
                let dependencies =
                    list(&package["dependencies"]).map(|dependency| text(&dependency["name"]).to_owned());
                graph.declared.insert(name.to_owned(), dependencies.collect());
            }
            graph.names.insert(id.to_owned(), name.to_owned());
        }
        for node in list(&metadata["resolve"]["nodes"]) {
            let linked = list(&node["deps"]).filter(|edge| list(&edge["dep_kinds"]).any(|kind| kind["kind"].is_null()));
            let linked = linked.map(|edge| text(&edge["pkg"]).to_owned()).collect();
            graph.linked.insert(text(&node["id"]).to_owned(), linked);
        }
        graph
    }

    /// Everything that is linked into a package, by name.
    fn reach(&self, package: &str) -> BTreeSet<&str> {
        let mut open: Vec<&String> = self.names.iter().filter(|(_, name)| *name == package).map(|(id, _)| id).collect();
        let mut seen = BTreeSet::new();
        while let Some(id) = open.pop() {
            if seen.insert(id) {
                open.extend(self.linked.get(id).into_iter().flatten());
            }
        }
        seen.into_iter().filter_map(|id| self.names.get(id)).map(String::as_str).collect()
    }

    /// Each rule that is broken, in words.
    fn breaches(&self) -> Vec<String> {
        let mut breaches = Vec::new();
        for (package, dependencies) in &self.declared {
            let inside = dependencies.iter().filter(|name| self.declared.contains_key(*name));
            match ROOMS.iter().find(|(room, _)| room == package) {
                Some((_, allowed)) => breaches.extend(
                    inside
                        .filter(|name| !allowed.contains(&name.as_str()))
                        .map(|name| format!("{package} must not know {name}")),
                ),
                None if OUTSIDE.contains(&package.as_str()) => {
                    breaches.extend(
                        inside.map(|name| format!("{package} must see the gateway from outside, not by {name}")),
                    );
                }
                None => breaches.push(format!("{package} is neither a room nor outside: give it a place in this file")),
            }
            for (family, owner) in OWNED {
                let named = dependencies.iter().find(|name| is_of(family, name));
                breaches.extend(
                    named
                        .filter(|_| package != owner)
                        .map(|name| format!("{package} names {name}, which is {owner}'s")),
                );
            }
        }
        for (family, owner) in OWNED {
            let dependencies = self.declared.get(owner);
            if !dependencies.is_some_and(|names| names.iter().any(|name| is_of(family, name))) {
                breaches.push(format!("{owner} should depend on {family}"));
            }
        }
        for room in PURE {
            let reach = self.reach(room);
            let impure = reach.iter().filter(|name| IMPURE.iter().any(|family| is_of(family, name)));
            breaches.extend(impure.map(|name| format!("{room} links {name}, and is to stay pure")));
        }
        breaches
    }
}

fn printed(command: &mut Command) -> String {
    let output = command.output().expect("the toolchain is there");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

fn is_of(family: &str, package: &str) -> bool {
    package.strip_prefix(family).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a string")
}

/// The workspace with one more dependency.
fn with(package: &str, dependency: &str) -> Vec<String> {
    let mut graph = Graph::of_workspace();
    graph.declared.get_mut(package).expect("a member").insert(dependency.to_owned());
    graph.breaches()
}

#[test]
fn knowledge_flows_from_the_server_inwards_only() {
    assert_eq!(Graph::of_workspace().breaches(), Vec::<String>::new());
}

#[test]
fn a_door_that_is_not_in_the_plan_is_noticed() {
    assert_eq!(with("witgate-route", "witgate-config"), ["witgate-route must not know witgate-config"]);
    assert_eq!(with("witgate-plugin-host", "witgate-server"), ["witgate-plugin-host must not know witgate-server"]);
    let breaches = with("witgate-tests", "witgate-server");
    assert_eq!(breaches, ["witgate-tests must see the gateway from outside, not by witgate-server"]);
}

#[test]
fn a_second_owner_of_pingora_or_wasmtime_is_noticed() {
    assert_eq!(with("witgate-stage", "pingora-http"), ["witgate-stage names pingora-http, which is witgate-server's"]);
    let breaches = with("witgate-server", "wasmtime");
    assert_eq!(breaches, ["witgate-server names wasmtime, which is witgate-plugin-host's"]);
}

#[test]
fn a_runtime_deep_below_a_pure_room_is_noticed() {
    let mut graph = Graph::of_workspace();
    let id = |name: &str| graph.names.iter().find(|(_, known)| *known == name).expect("a package").0.clone();
    let (bytes, tokio) = (id("bytes"), id("tokio"));
    graph.linked.get_mut(&bytes).expect("a node").insert(tokio);
    let breaches = graph.breaches();
    assert!(breaches.contains(&"witgate-stage links tokio, and is to stay pure".to_owned()), "{breaches:?}");
}

#[test]
fn a_new_package_needs_a_place() {
    let mut graph = Graph::of_workspace();
    graph.declared.insert("witgate-utils".to_owned(), BTreeSet::new());
    assert_eq!(graph.breaches(), ["witgate-utils is neither a room nor outside: give it a place in this file"]);
}
