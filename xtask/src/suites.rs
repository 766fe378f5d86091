//! Suites of tests that need more than every run has the time for: tools of other languages, packages of other registries, programs
//! that are compared with. docs/testing.md says what each needs and how long it takes.

use std::ffi::OsString;

use clap::ValueEnum;

use crate::command::guests;
use crate::failure::Failure;
use crate::guests::Language;
use crate::models;
use crate::progress::Progress;
use crate::workspace::Host;

/// A test target of `tests/` that `cargo test` leaves out (`test = false` in its manifest).
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Suite {
    /// Plugins in the languages whose tools take long to install.
    Languages,
    /// The model server as clients of others find it.
    Clients,
    /// Everything of lua-nginx-module's API, beside nginx.
    LuaNginx,
}

impl Suite {
    /// The test target.
    pub fn target(self) -> &'static str {
        match self {
            Self::Languages => "languages",
            Self::Clients => "clients",
            Self::LuaNginx => "lua_nginx",
        }
    }

    /// Installs what can be installed before the gateway is built.
    pub fn install(self, progress: &Progress) -> Result<(), Failure> {
        match self {
            Self::Languages => guests::build(&[Language::Js, Language::Python, Language::Go], progress).map(drop),
            Self::Clients | Self::LuaNginx => Ok(()),
        }
    }

    /// What its tests find in their environment; installs what the gateway itself installs.
    pub fn environment(self, host: &Host, progress: &Progress) -> Result<Vec<(&'static str, OsString)>, Failure> {
        match self {
            Self::Clients => Ok(vec![
                (models::RUNTIME, models::ensure_onnx_runtime(host, progress)?.into()),
                (models::CLIENTS, models::ensure_clients(progress)?.into()),
            ]),
            Self::Languages | Self::LuaNginx => Ok(Vec::new()),
        }
    }
}

/// What `--suite` names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    One(Suite),
    /// The default run and all suites.
    All,
}

/// How the command line names everything at once.
const ALL: &str = "all";

impl ValueEnum for Choice {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::One(Suite::Languages), Self::One(Suite::Clients), Self::One(Suite::LuaNginx), Self::All]
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        match self {
            Self::One(suite) => suite.to_possible_value(),
            Self::All => Some(clap::builder::PossibleValue::new(ALL).help("The tests of every run, and all suites")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::root;

    #[test]
    fn every_suite_can_be_chosen_and_has_a_row_in_the_documentation() {
        let page = std::fs::read_to_string(root().join("docs/testing.md")).unwrap();
        let choices = Choice::value_variants();
        for suite in Suite::value_variants() {
            assert!(choices.contains(&Choice::One(*suite)), "{suite:?}");
            let name = suite.to_possible_value().unwrap();
            assert!(page.contains(&format!("| `{}` |", name.get_name())), "docs/testing.md has no row for {suite:?}");
        }
        assert_eq!(choices.len(), Suite::value_variants().len() + 1);
    }

    #[test]
    fn suites_are_test_targets_that_a_plain_run_leaves_out() {
        let manifest = std::fs::read_to_string(root().join("tests/Cargo.toml")).unwrap();
        let manifest: toml::Table = toml::from_str(&manifest).unwrap();
        let targets = manifest["test"].as_array().unwrap();
        for suite in Suite::value_variants() {
            let target = targets.iter().find(|target| target["name"].as_str() == Some(suite.target()));
            // Not built by every run, either.
            let left_out = target.and_then(|target| target.get("test")?.as_bool()) == Some(false);
            assert!(left_out, "tests/Cargo.toml should have `{}` with `test = false`", suite.target());
        }
    }
}
