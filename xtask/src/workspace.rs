//! The three cargo workspaces of the tree: the host's, the shipped plugins', and the guests that only tests load.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::failure::Failure;
use crate::process;

/// The target that plugins are compiled to: `rustc` turns a `cdylib` into a component by itself.
pub const WASM_TARGET: &str = "wasm32-wasip2";

/// Root of the repository.
pub fn root() -> &'static Path {
    // The manifest's directory at build time: cargo builds this binary in the clone that it serves.
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest)
}

/// Cargo in a directory of the repository. Cargo reads `.cargo/config.toml` by the working directory, and the guests'
/// one holds their linker arguments, so `--manifest-path` would not do.
fn cargo_in(directory: PathBuf) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(directory);
    command
}

/// Cargo's setting for where it compiles.
pub const BUILD_DIRECTORY: &str = "CARGO_BUILD_BUILD_DIR";

/// Where guests are compiled, whichever workspace or project they are of: what they depend on is the same, and is compiled once.
pub fn build_directory() -> PathBuf {
    root().join("target/guests/build")
}

/// A workspace of guest components.
#[derive(Debug, Clone, Copy)]
pub struct Guests {
    /// What they are called in headlines.
    pub title: &'static str,
    /// Relative to the root.
    directory: &'static str,
}

/// The plugins that Witgate ships.
pub const PLUGINS: Guests = Guests { title: "plugins", directory: "plugins" };
/// Hostile and odd guests for the tests.
pub const TEST_GUESTS: Guests = Guests { title: "test guests", directory: "tests/guests" };

impl Guests {
    /// Cargo in this workspace.
    pub fn cargo(&self) -> Command {
        let mut command = cargo_in(root().join(self.directory));
        // Configuration files name components by path, so they must not move with the user's setting.
        command.env_remove("CARGO_TARGET_DIR").env_remove("CARGO_BUILD_TARGET_DIR");
        command.env(BUILD_DIRECTORY, build_directory());
        command
    }

    /// Compiles all of them to components.
    pub fn build(&self) -> Result<(), Failure> {
        process::complete(self.cargo().args(["build", "--release", "--target", WASM_TARGET]))
    }

    /// Where [`Guests::build`] puts the components.
    pub fn components(&self) -> PathBuf {
        root().join(self.directory).join("target").join(WASM_TARGET).join("release")
    }
}

/// Cargo in the first plugin in Rust, a project of its own. Nothing is built beside its source, which people copy.
pub fn first_plugin() -> Command {
    let mut command = cargo_in(root().join("examples/first-plugin/rust"));
    command.env("CARGO_TARGET_DIR", root().join("target/guests/check"));
    command
}

/// The workspace of the gateway.
#[derive(Debug)]
pub struct Host {
    metadata: Value,
}

impl Host {
    /// Reads cargo's description of it.
    pub fn read() -> Result<Self, Failure> {
        let mut command = Self::cargo();
        command.args(["metadata", "--no-deps", "--format-version", "1"]);
        let text = process::output(&mut command)?;
        let metadata = serde_json::from_str(&text)
            .map_err(|error| Failure::Output { command: process::line(&command), detail: error.to_string() })?;
        Ok(Self { metadata })
    }

    /// Cargo at the root.
    pub fn cargo() -> Command {
        cargo_in(root().to_owned())
    }

    /// The gateway's binary as a profile builds it.
    pub fn witgate(&self, profile: &str) -> PathBuf {
        self.program(profile, "witgate")
    }

    /// A binary of the workspace as a profile builds it.
    pub fn program(&self, profile: &str, name: &str) -> PathBuf {
        self.target().join(profile).join(name)
    }

    /// Where cargo puts what it builds.
    pub fn target(&self) -> PathBuf {
        let target = self.metadata.get("target_directory").and_then(Value::as_str);
        target.map_or_else(|| root().join("target"), PathBuf::from)
    }

    /// Package and name of each benchmark.
    pub fn benchmarks(&self) -> Vec<(&str, &str)> {
        let mut benchmarks = Vec::new();
        for package in entries(&self.metadata, "packages") {
            for target in entries(package, "targets") {
                if entries(target, "kind").any(|kind| kind == "bench") {
                    benchmarks.extend(name(package).zip(name(target)));
                }
            }
        }
        benchmarks
    }
}

fn name(of: &Value) -> Option<&str> {
    of.get("name").and_then(Value::as_str)
}

fn entries<'a>(of: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    of.get(key).and_then(Value::as_array).into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_holds_the_workspace() {
        assert!(root().join("wit").is_dir() && root().join("Cargo.toml").is_file());
    }

    #[test]
    fn only_benchmarks_are_listed_as_such() {
        let metadata = serde_json::json!({ "packages": [
            { "name": "a", "targets": [{ "kind": ["lib"], "name": "a" }, { "kind": ["bench"], "name": "find" }] },
            { "name": "b", "targets": [{ "kind": ["test"], "name": "it" }] },
        ]});
        assert_eq!(Host { metadata }.benchmarks(), [("a", "find")]);
    }
}
