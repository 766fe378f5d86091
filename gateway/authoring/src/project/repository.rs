//! What every project gets from the repository: the contract, and for Rust the SDK. It is compiled in from where it
//! lies, so that it cannot differ.

use toml::{Table, Value};

/// A file of the repository: its path below its folder, and what it says.
pub(super) type File = (&'static str, &'static str);

macro_rules! files {
    ($folder:literal: $($path:literal),+ $(,)?) => {
        &[$(($path, include_str!(concat!("../../../../", $folder, "/", $path)))),+]
    };
}

/// `wit/`, whole.
pub(super) const CONTRACT: &[File] = files!("wit": "capabilities.wit", "hooks.wit", "http.wit", "world.wit");

/// `sdk/` but for its manifest. It refers to the contract by `../wit`, and so it does in a project.
pub(super) const SDK: &[File] = files!("sdk":
    "README.md",
    "src/allocator.rs",
    "src/bindings.rs",
    "src/capability.rs",
    "src/config.rs",
    "src/edits.rs",
    "src/error.rs",
    "src/export.rs",
    "src/header.rs",
    "src/lib.rs",
    "src/plugin.rs",
    "src/request.rs",
    "src/response.rs",
    "src/testing.rs",
    "src/testing/fields.rs",
    "src/testing/host.rs",
    "src/testing/request.rs",
    "src/testing/response.rs",
);

const SDK_MANIFEST: &str = include_str!("../../../../sdk/Cargo.toml");
const WORKSPACE_MANIFEST: &str = include_str!("../../../../Cargo.toml");

/// The SDK's manifest with what it inherits from the repository's workspace written out: a project has no such
/// workspace. None if it inherits something that is not there; a test sees to it that this never leaves the repository.
pub(super) fn sdk_manifest() -> Option<String> {
    written_out(SDK_MANIFEST, WORKSPACE_MANIFEST)
}

fn written_out(manifest: &str, workspace: &str) -> Option<String> {
    let workspace: Table = workspace.parse().ok()?;
    let workspace = workspace.get("workspace")?;
    let mut section = "";
    let mut text = String::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            section = line;
        }
        // How strict the lints are is the repository's own affair.
        if section == "[lints]" {
            continue;
        }
        match line.strip_suffix(".workspace = true") {
            Some(key) => {
                let table = if section == "[package]" { "package" } else { "dependencies" };
                let value: &Value = workspace.get(table)?.get(key)?;
                text.push_str(&format!("{key} = {value}\n"));
            }
            None => text.push_str(&format!("{line}\n")),
        }
    }
    Some(format!("{}\n", text.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sdks_manifest_stands_on_its_own() {
        let manifest = sdk_manifest().unwrap();
        assert!(!manifest.contains("workspace"), "{manifest}");
        let manifest: Table = manifest.parse().unwrap();
        let original: Table = SDK_MANIFEST.parse().unwrap();
        let workspace: Table = WORKSPACE_MANIFEST.parse().unwrap();
        assert_eq!(manifest["package"]["edition"], workspace["workspace"]["package"]["edition"]);
        assert_eq!(manifest["dependencies"]["wit-bindgen"], workspace["workspace"]["dependencies"]["wit-bindgen"]);
        assert_eq!(manifest["dependencies"]["serde"], original["dependencies"]["serde"]);
        let keys = |table: &Table| table.keys().filter(|key| *key != "lints").cloned().collect::<Vec<_>>();
        assert_eq!(keys(&manifest), keys(&original));
    }

    #[test]
    fn what_the_workspace_does_not_have_is_noticed() {
        let workspace = "[workspace.package]\nedition = \"2024\"\n[workspace.dependencies]\n";
        assert!(written_out("[package]\nedition.workspace = true\n", workspace).is_some());
        assert_eq!(written_out("[package]\nversion.workspace = true\n", workspace), None);
        assert_eq!(written_out("[dependencies]\nserde.workspace = true\n", workspace), None);
    }
}
