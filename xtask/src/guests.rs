//! The first plugins of `examples/first-plugin`, one for each language: their toolchains, and how they become components.

mod project;
mod toolbox;

use std::path::PathBuf;
use std::process::Command;

use clap::ValueEnum;

use crate::failure::Failure;
use crate::progress::Progress;
use crate::workspace::{BUILD_DIRECTORY, WASM_TARGET, build_directory};
use crate::{process, toolchain};
use project::Project;
use toolbox::Toolbox;

/// Languages that have a first plugin and a page under `docs/plugins`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Language {
    Rust,
    Js,
    Python,
    C,
    Go,
}

impl Language {
    /// What the example, the page and the option are called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::Js => "js",
            Self::Python => "python",
            Self::C => "c",
            Self::Go => "go",
        }
    }

    /// Installs what the language needs, unless it is there, and builds the first plugin, unless it is up to date.
    /// Returns the component.
    pub fn build(self, progress: &Progress) -> Result<PathBuf, Failure> {
        let toolbox = Toolbox::open()?;
        self.install(&toolbox, progress)?;
        let project = Project::copy(self.name())?;
        let component = project.directory().join(self.component());
        if project.is_built(&component, toolbox.directory()) {
            progress.step(&format!("the first plugin in {} is up to date", self.name()));
            return Ok(component);
        }
        progress.step(&format!("build the first plugin in {}", self.name()));
        for words in self.commands() {
            let (program, arguments) = words.split_first().unwrap_or((&"true", &[]));
            let mut command = Command::new(program);
            command.args(arguments).current_dir(project.directory()).env("PATH", toolbox.path()?);
            // The gateway.toml of the project names the component by path.
            command.env_remove("CARGO_TARGET_DIR").env_remove("CARGO_BUILD_TARGET_DIR");
            command.env(BUILD_DIRECTORY, build_directory());
            process::complete(&mut command)?;
        }
        Ok(component)
    }

    fn install(self, toolbox: &Toolbox, progress: &Progress) -> Result<(), Failure> {
        match self {
            Self::Rust => toolchain::ensure_wasm_target(progress),
            Self::Js => toolbox.install_componentize_js(progress),
            Self::Python => toolbox.install_componentize_py(progress),
            Self::C => {
                toolbox.install_zig(progress)?;
                toolbox.build_componentize(progress)
            }
            Self::Go => {
                toolbox.install_go(progress)?;
                toolbox.build_componentize(progress)
            }
        }
    }

    /// What a person types in the project's directory, with the toolbox in their `PATH`.
    fn commands(self) -> &'static [&'static [&'static str]] {
        match self {
            Self::Rust => &[&["cargo", "build", "--release", "--target", WASM_TARGET]],
            Self::Js => &[&["npm", "run", "build"]],
            Self::Python => &[&[
                "componentize-py",
                "--wit-path",
                "wit",
                "--world",
                "first-plugin",
                "componentize",
                "plugin",
                "--output",
                "first-plugin.wasm",
            ]],
            Self::C | Self::Go => &[&["make"]],
        }
    }

    fn component(self) -> &'static str {
        match self {
            Self::Rust => "target/wasm32-wasip2/release/first_plugin.wasm",
            _ => "first-plugin.wasm",
        }
    }
}
