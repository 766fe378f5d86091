//! `witgate plugin build`: from a project to its component.

use std::fmt::{self, Display};
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use serde_json::{Value, json};
use witgate_stage::Hook;

use super::{Language, toolchain};
use crate::CommandError;
use crate::inspect::{Inspected, inspect};
use crate::units::show_size;

/// Bytes of a toolchain's output that are shown: the last ones, where compilers say what was wrong. More than that is
/// read better where it is printed, by running the command oneself.
const OUTPUT_LIMIT: u64 = 16 * 1024;

/// A component, and how it came to be.
#[derive(Debug)]
pub struct Built {
    language: Language,
    inspected: Inspected,
}

/// Runs the project's recipe, and looks at the component that comes out. `started` is told the command when it begins,
/// because it can take a minute; what the command prints is kept, and shown if it fails.
///
/// # Errors
/// The folder is no project, a tool is missing, the recipe fails, or leaves no component. A component that would not
/// load is in the report, with the reason.
pub fn build(folder: &Path, started: impl FnOnce(&str)) -> Result<Built, CommandError> {
    let language = Language::of(folder)?;
    toolchain::check(language, folder)?;
    // Asked first: what cargo cannot read, it cannot build.
    let expected = if language == Language::Rust { Some(of_cargo(folder)?) } else { None };
    started(&language.command().join(" "));
    run(language.command(), folder)?;
    let component = match expected {
        Some(component) => component,
        None => only_component(folder)?,
    };
    let component = component.strip_prefix(".").unwrap_or(&component);
    Ok(Built { language, inspected: inspect(component)? })
}

fn command(words: &[&str], folder: &Path) -> Command {
    let (program, arguments) = words.split_first().unwrap_or((&"true", &[]));
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder).env("PATH", toolchain::path()).stdin(Stdio::null());
    command
}

/// Runs a command to its end. Its output goes into a file, not a pipe: what a compiler leaves running in the background
/// (a cache, say) keeps a pipe open.
fn run(words: &[&str], folder: &Path) -> Result<(), CommandError> {
    let mut output = tempfile::tempfile().map_err(CommandError::Temporary)?;
    let mut command = command(words, folder);
    command.stdout(output.try_clone().map_err(CommandError::Temporary)?);
    command.stderr(output.try_clone().map_err(CommandError::Temporary)?);
    let status = command.status().map_err(|source| not_started(words, source))?;
    if status.success() {
        return Ok(());
    }
    let output = end_of(&mut output).map_err(CommandError::Temporary)?;
    Err(failed(words, folder, status, output))
}

fn not_started(words: &[&str], source: io::Error) -> CommandError {
    CommandError::Usage(format!("`{}` cannot be started: {source}", words.join(" ")))
}

fn failed(words: &[&str], folder: &Path, status: ExitStatus, output: String) -> CommandError {
    CommandError::Build { command: words.join(" "), folder: folder.to_owned(), status, output }
}

/// The last lines, within the limit.
fn end_of(output: &mut File) -> io::Result<String> {
    let length = output.seek(SeekFrom::End(0))?;
    let from = output.seek(SeekFrom::Start(length.saturating_sub(OUTPUT_LIMIT)))?;
    let mut bytes = Vec::new();
    output.take(OUTPUT_LIMIT).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    Ok(match text.split_once('\n') {
        // The first line is cut somewhere.
        Some((_, rest)) if from > 0 => format!("…\n{}", rest.trim_end()),
        _ => text.trim_end().to_owned(),
    })
}

/// Where cargo puts the component: it alone knows, for its target folder may be anywhere.
fn of_cargo(folder: &Path) -> Result<PathBuf, CommandError> {
    let words = ["cargo", "metadata", "--no-deps", "--format-version", "1"];
    let output = command(&words, folder).output().map_err(|source| not_started(&words, source))?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr).trim_end().to_owned();
        return Err(failed(&words, folder, output.status, text));
    }
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let manifest = folder.join("Cargo.toml");
    let absolute = manifest.canonicalize().unwrap_or_else(|_| manifest.clone());
    let component = component_of(&metadata, &absolute)
        .map_err(|problem| CommandError::Usage(format!("{}: {problem}", manifest.display())))?;
    // By the path that the caller gave, if it is below that.
    let root = absolute.parent().unwrap_or(folder);
    Ok(component.strip_prefix(root).map(|rest| folder.join(rest)).unwrap_or(component))
}

fn component_of(metadata: &Value, manifest: &Path) -> Result<PathBuf, &'static str> {
    let list = |value: Option<&Value>| value.and_then(Value::as_array).cloned().unwrap_or_default();
    let packages = list(metadata.get("packages"));
    let package = packages.iter().find(|package| {
        let path = package.get("manifest_path").and_then(Value::as_str);
        path.is_some_and(|path| Path::new(path).canonicalize().is_ok_and(|path| path == manifest))
    });
    let package = package.ok_or("not the manifest of a package; build in the folder of the plugin's own package")?;
    let targets = list(package.get("targets"));
    let component = targets.iter().find(|target| list(target.get("kind")).iter().any(|kind| kind == "cdylib"));
    let name = component.and_then(|target| target.get("name")?.as_str());
    let name = name.ok_or("the package makes no component; expected `crate-type = [\"cdylib\"]` in `[lib]`")?;
    let folder = metadata.get("target_directory").and_then(Value::as_str).unwrap_or("target");
    Ok(Path::new(folder).join("wasm32-wasip2/release").join(format!("{}.wasm", name.replace('-', "_"))))
}

/// The component that the other recipes leave beside themselves.
fn only_component(folder: &Path) -> Result<PathBuf, CommandError> {
    let failure = |source| CommandError::Read { what: "folder", path: folder.to_owned(), source };
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(failure)? {
        let path = entry.map_err(failure)?.path();
        if path.extension().is_some_and(|ending| ending == "wasm") && path.is_file() {
            found.push(path);
        }
    }
    found.sort();
    let problem = match found.as_slice() {
        [component] => return Ok(component.clone()),
        [] => "the build left no component; expected one *.wasm in the folder".to_owned(),
        _ => {
            let names = found.iter().map(|path| path.file_name().unwrap_or_default().to_string_lossy());
            let names = names.collect::<Vec<_>>().join(", ");
            format!("expected one *.wasm in the folder, found {names}; remove those that the build does not write")
        }
    };
    Err(CommandError::Usage(format!("{}: {problem}", folder.display())))
}

impl Built {
    /// Whether the gateway would load it, given its grants and a configuration that fits.
    pub fn is_ok(&self) -> bool {
        self.inspected.is_ok()
    }

    fn hooks(&self) -> Vec<&'static str> {
        self.inspected.found.hooks.iter().copied().map(Hook::label).collect()
    }

    pub fn to_json(&self) -> Value {
        let Inspected { path, bytes, found } = &self.inspected;
        let description = found
            .description
            .as_ref()
            .map(|it| json!({ "name": it.name, "version": it.version, "summary": it.summary }));
        json!({
            "ok": self.is_ok(),
            "language": self.language.name(),
            "command": self.language.command().join(" "),
            "file": path.display().to_string(),
            "bytes": bytes,
            "description": description,
            "hooks": self.hooks(),
            "problem": found.problem.as_ref().map(ToString::to_string),
        })
    }
}

impl Display for Built {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inspected { path, bytes, found } = &self.inspected;
        if let Some(it) = &found.description {
            writeln!(f, "{} {}", it.name, it.version)?;
        }
        let hooks = self.hooks();
        writeln!(f, "file   {}, {}", path.display(), show_size(*bytes))?;
        writeln!(f, "hooks  {}", if hooks.is_empty() { "none".to_owned() } else { hooks.join(", ") })?;
        if let Some(problem) = &found.problem {
            writeln!(f, "problem: {problem}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_failed_command_is_told_with_what_it_printed_on_either_stream() {
        let folder = tempfile::tempdir().unwrap();
        let error = run(&["sh", "-c", "echo one; echo two >&2; exit 3"], folder.path()).unwrap_err();
        let CommandError::Build { output, .. } = &error else { panic!("{error}") };
        assert_eq!(output, "one\ntwo");
        assert!(error.to_string().contains("exit status: 3"), "{error}");
        assert!(run(&["no-such-program"], folder.path()).unwrap_err().to_string().contains("cannot be started"));
    }

    #[test]
    fn of_much_output_the_last_lines_are_kept() {
        let mut file = tempfile::tempfile().unwrap();
        for line in 0..10_000 {
            writeln!(file, "line {line}").unwrap();
        }
        let kept = end_of(&mut file).unwrap();
        assert!(kept.len() as u64 <= OUTPUT_LIMIT + 8, "{}", kept.len());
        assert!(kept.starts_with("…\nline ") && kept.ends_with("\nline 9999"), "{kept}");
    }

    #[test]
    fn what_a_build_leaves_has_to_be_one_component() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        assert!(only_component(path).unwrap_err().to_string().contains("left no component"));
        fs::write(path.join("a.wasm"), "").unwrap();
        assert_eq!(only_component(path).unwrap(), path.join("a.wasm"));
        fs::write(path.join("b.wasm"), "").unwrap();
        assert!(only_component(path).unwrap_err().to_string().contains("found a.wasm, b.wasm"));
    }

    #[test]
    fn cargos_component_is_that_of_the_folders_own_package() {
        let folder = tempfile::tempdir().unwrap();
        let manifest = folder.path().canonicalize().unwrap().join("Cargo.toml");
        fs::write(&manifest, "").unwrap();
        let metadata = |kind: &str| {
            let targets = json!([{ "name": "my-plugin", "kind": [kind, "rlib"] }]);
            json!({ "target_directory": "/elsewhere", "packages": [{ "manifest_path": manifest, "targets": targets }] })
        };
        let found = component_of(&metadata("cdylib"), &manifest);
        assert_eq!(found, Ok(PathBuf::from("/elsewhere/wasm32-wasip2/release/my_plugin.wasm")));
        assert!(component_of(&metadata("lib"), &manifest).unwrap_err().contains("crate-type"));
        assert!(component_of(&metadata("cdylib"), Path::new("/other")).unwrap_err().contains("own package"));
    }
}
