//! Projects of plugin authors: [`new`](fn@new) writes one, [`build`](fn@build) makes its component.
//!
//! A project is buildable without Witgate's help: its recipe stands in its own files (`Cargo.toml`, `package.json`,
//! `Makefile`), and `build` runs the command that a person would type. What a new project consists of lies in
//! `templates/`, beside the contract and the SDK of the repository, all of it in the binary: an author has no checkout.

mod build;
mod language;
mod name;
mod new;
mod repository;
mod template;
mod toolchain;
mod versions;

pub use build::{Built, build};
pub use language::Language;
pub use new::{Created, new};
