//! `witgate-componentize`: what a plugin in C or Go needs beside its compiler.
//!
//! JavaScript, Python and Rust bring along tools that make components. C and Go have compilers that make modules: this
//! writes the bindings that those compile with, and wraps the module that comes out into a component.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand, ValueEnum};
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wit_bindgen_core::{Files, WorldGenerator};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{Resolve, WorldId};

/// Bindings for plugins in C and Go, and components from the modules that their compilers make.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write the source files that a plugin compiles with.
    Bindings {
        language: Language,
        #[command(flatten)]
        world: World,
        /// Directory for the files; made if it is not there.
        #[arg(long)]
        out: PathBuf,
        /// Go: a directory with the module go.bytecodealliance.org/pkg, to be used instead of downloading it. The
        /// variable WITGATE_GO_PKG does the same.
        #[arg(long, value_name = "DIRECTORY")]
        go_pkg: Option<PathBuf>,
    },
    /// Turn a module into a component. Imports of WASI's first version are adapted to its second.
    Component {
        /// The module.
        module: PathBuf,
        #[command(flatten)]
        world: World,
        /// The component.
        #[arg(long)]
        out: PathBuf,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Language {
    C,
    Go,
}

#[derive(Debug, clap::Args)]
struct World {
    /// Directory of the world's WIT, with the packages that it takes from under `deps/`.
    #[arg(long)]
    wit: PathBuf,
    /// Name of the world; unneeded if there is just one.
    #[arg(long)]
    world: Option<String>,
}

impl World {
    fn resolve(&self) -> Result<(Resolve, WorldId)> {
        let mut resolve = Resolve::default();
        let (package, _) =
            resolve.push_path(&self.wit).with_context(|| format!("the WIT in {}", self.wit.display()))?;
        let world = resolve.select_world(&[package], self.world.as_deref())?;
        Ok((resolve, world))
    }
}

fn main() -> Result<()> {
    match Cli::parse().command {
        Command::Bindings { language, world, out, go_pkg } => {
            write_bindings(language, &world, &out)?;
            let go_pkg = go_pkg.or_else(|| std::env::var_os("WITGATE_GO_PKG").map(PathBuf::from));
            match (language, go_pkg) {
                (Language::Go, Some(module)) => replace_go_pkg(&out.join("go.mod"), &module),
                _ => Ok(()),
            }
        }
        Command::Component { module, world, out } => write_component(&module, &world, &out),
    }
}

fn write_bindings(language: Language, world: &World, out: &Path) -> Result<()> {
    let (mut resolve, world) = world.resolve()?;
    let mut files = Files::default();
    let mut generator: Box<dyn WorldGenerator> = match language {
        Language::C => wit_bindgen_c::Opts::default().build(),
        Language::Go => wit_bindgen_go::Opts::default().build(),
    };
    generator.generate(&mut resolve, world, &mut files)?;
    for (name, content) in files.iter() {
        let path = out.join(name);
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory).with_context(|| format!("make {}", directory.display()))?;
        }
        fs::write(&path, content).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}

/// Lets a Go module take the part of the bindings that is the same for all from a directory.
fn replace_go_pkg(file: &Path, module: &Path) -> Result<()> {
    let mut text = fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
    text.push_str(&format!("\nreplace go.bytecodealliance.org/pkg => {}\n", module.display()));
    fs::write(file, text).with_context(|| format!("write {}", file.display()))
}

fn write_component(module: &Path, world: &World, out: &Path) -> Result<()> {
    let mut bytes = fs::read(module).with_context(|| format!("read {}", module.display()))?;
    if !bytes.starts_with(b"\0asm\x01\0\0\0") {
        bail!("{} is no WebAssembly module", module.display());
    }
    let (resolve, world) = world.resolve()?;
    embed_component_metadata(&mut bytes, &resolve, world, StringEncoding::UTF8)?;
    let component = ComponentEncoder::default()
        .validate(true)
        .module(&bytes)?
        .adapter(WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER)?
        .encode()
        .with_context(|| format!("{} does not fit the world", module.display()))?;
    fs::write(out, component).with_context(|| format!("write {}", out.display()))
}
