//! `witgate plugin inspect`: what a component is and wants.

use std::fmt::{self, Display};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use witgate_plugin_host::Inspection;
use witgate_stage::Hook;

use crate::units::{show_size, show_time};
use crate::{CommandError, component};

/// What was found.
#[derive(Debug)]
pub struct Inspected {
    pub(crate) path: PathBuf,
    pub(crate) bytes: usize,
    pub(crate) found: Inspection,
}

/// Looks at a component without granting it anything.
///
/// # Errors
/// The file cannot be read, is no component, or does not compile. A component that would not load for another reason is in
/// the report, with the reason.
pub fn inspect(path: &Path) -> Result<Inspected, CommandError> {
    let wasm = component::read(path)?;
    let folder = tempfile::tempdir().map_err(CommandError::Temporary)?;
    let host = component::host_with_cache(&folder.path().join("code"))?;
    let found = host.inspect(&wasm).map_err(|source| CommandError::Plugin { path: path.to_owned(), source })?;
    Ok(Inspected { path: path.to_owned(), bytes: wasm.len(), found })
}

impl Inspected {
    /// Whether the gateway would load it, given its grants and a configuration that fits.
    pub fn is_ok(&self) -> bool {
        self.found.problem.is_none()
    }

    fn grants(&self) -> Vec<&'static str> {
        self.found.imports.iter().filter_map(|import| import.grant).collect()
    }

    fn schema(&self) -> Option<Value> {
        // One that is no JSON is shown as the text it is.
        let text = self.found.config_schema.as_deref()?;
        Some(serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned())))
    }

    pub fn to_json(&self) -> Value {
        let Inspection { contract, hooks, imports, description, problem, compile, load, .. } = &self.found;
        let imports: Vec<_> =
            imports.iter().map(|import| json!({ "interface": import.name, "grant": import.grant })).collect();
        let description =
            description.as_ref().map(|it| json!({ "name": it.name, "version": it.version, "summary": it.summary }));
        json!({
            "ok": self.is_ok(),
            "file": self.path.display().to_string(),
            "bytes": self.bytes,
            "description": description,
            "contract": contract,
            "hooks": hooks.iter().map(|hook| hook.label()).collect::<Vec<_>>(),
            "imports": imports,
            "grants": self.grants(),
            "config_schema": self.schema(),
            "compile_us": compile.as_micros() as u64,
            "load_us": load.map(|load| load.as_micros() as u64),
            "problem": problem.as_ref().map(ToString::to_string),
        })
    }
}

impl Display for Inspected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inspection { contract, hooks, imports, description, problem, compile, load, .. } = &self.found;
        if let Some(it) = description {
            writeln!(f, "{} {}", it.name, it.version)?;
            writeln!(f, "  {}", it.summary)?;
        }
        let none = || "none".to_owned();
        writeln!(f, "file      {}, {}", self.path.display(), show_size(self.bytes))?;
        let contract = contract.as_ref().map(|version| format!("witgate:plugin@{version}"));
        writeln!(f, "contract  {}", contract.unwrap_or_else(none))?;
        let hooks = hooks.iter().copied().map(Hook::label).collect::<Vec<_>>();
        writeln!(f, "hooks     {}", if hooks.is_empty() { none() } else { hooks.join(", ") })?;
        let load = load.map(|load| format!(", {} from the cache", show_time(load))).unwrap_or_default();
        writeln!(f, "loading   {} to compile{load}", show_time(*compile))?;
        writeln!(f, "imports")?;
        let width = imports.iter().map(|import| import.name.len()).max().unwrap_or_default();
        for import in imports {
            match import.grant {
                Some(grant) => writeln!(f, "  {:width$}  needs the grant \"{grant}\"", import.name)?,
                None => writeln!(f, "  {}", import.name)?,
            }
        }
        match self.schema() {
            Some(schema) => {
                writeln!(f, "config schema")?;
                let text = serde_json::to_string_pretty(&schema).map_err(|_| fmt::Error)?;
                text.lines().try_for_each(|line| writeln!(f, "  {line}"))?;
            }
            None => writeln!(f, "config schema: none; the plugin checks its configuration by itself")?,
        }
        if let Some(problem) = problem {
            writeln!(f, "problem: {problem}")?;
        }
        Ok(())
    }
}
