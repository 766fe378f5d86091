//! `witgate plugin validate`: whether a plugin takes a configuration.

use std::fmt::{self, Display};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use witgate_plugin_host::{Concern, LoadError};

use crate::{CommandError, component, stand_in};

/// Where a configuration comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigFrom {
    /// `{}`
    Nothing,
    Input,
    File(PathBuf),
}

impl ConfigFrom {
    fn text(&self) -> Result<String, CommandError> {
        let read = match self {
            Self::Nothing => return Ok("{}".to_owned()),
            Self::Input => {
                let mut text = String::new();
                io::stdin().read_to_string(&mut text).map(|_| text)
            }
            Self::File(path) => std::fs::read_to_string(path),
        };
        read.map_err(|source| CommandError::Read { what: "configuration", path: self.name().into(), source })
    }

    pub(crate) fn name(&self) -> String {
        match self {
            Self::Nothing => "{}".to_owned(),
            Self::Input => "standard input".to_owned(),
            Self::File(path) => path.display().to_string(),
        }
    }

    /// The configuration, for commands that cannot go on without one.
    pub(crate) fn value(&self) -> Result<Value, CommandError> {
        let text = self.text()?;
        serde_json::from_str(&text)
            .map_err(|error| CommandError::Usage(format!("{}: configuration is not JSON: {error}", self.name())))
    }
}

/// What a plugin says of a configuration.
#[derive(Debug)]
pub struct Validated {
    plugin: String,
    config: String,
    problems: Vec<Problem>,
}

#[derive(Debug)]
struct Problem {
    /// Dotted; none for the configuration as a whole.
    path: Option<String>,
    message: String,
}

/// Checks a configuration against the plugin's schema and then has the plugin take it, as a reload does. The names in it
/// (buckets, keys, load scopes) are taken to exist and to be granted: that is for `witgate check` to say.
///
/// # Errors
/// A file cannot be read, or the plugin would not load with any configuration.
pub fn validate(path: &Path, config: &ConfigFrom) -> Result<Validated, CommandError> {
    let wasm = component::read(path)?;
    let text = config.text()?;
    let host = component::host()?;
    let report = |problems| Validated { plugin: path.display().to_string(), config: config.name(), problems };
    let value: Value = match serde_json::from_str(&text) {
        Ok(value) => value,
        Err(error) => return Ok(report(vec![Problem { path: None, message: format!("not JSON: {error}") }])),
    };
    match host.load(stand_in::spec(&host, wasm, &value)) {
        Ok(_) => Ok(report(Vec::new())),
        Err(LoadError::ConfigSchema { problems }) => {
            let problem = |problem: witgate_plugin_host::ConfigProblem| Problem {
                path: Some(problem.path).filter(|path| !path.is_empty()),
                message: problem.message,
            };
            Ok(report(problems.into_iter().map(problem).collect()))
        }
        Err(LoadError::ConfigRefused { message }) => Ok(report(vec![told(&message)])),
        // A plugin that crashes on a configuration has not taken it.
        Err(error @ LoadError::Configure { .. }) => {
            Ok(report(vec![Problem { path: None, message: error.to_string() }]))
        }
        Err(error) if error.concerns() == Concern::Config => {
            Ok(report(vec![Problem { path: None, message: error.to_string() }]))
        }
        Err(source) => Err(CommandError::Plugin { path: path.to_owned(), source }),
    }
}

/// A plugin's own words, which begin with the path if they are about one key: `jwt.header: expected …`.
fn told(message: &str) -> Problem {
    let is_path = |text: &str| {
        let part = |c: char| c.is_ascii_alphanumeric() || "_-.[]".contains(c);
        !text.is_empty() && text.chars().all(part)
    };
    let split = message.split_once(": ").map(|(path, rest)| (path.trim_matches('`'), rest));
    match split.filter(|(path, _)| is_path(path)) {
        Some((path, rest)) => Problem { path: Some(path.to_owned()), message: rest.to_owned() },
        None => Problem { path: None, message: message.to_owned() },
    }
}

impl Validated {
    pub fn is_ok(&self) -> bool {
        self.problems.is_empty()
    }

    pub fn to_json(&self) -> Value {
        let problem = |problem: &Problem| json!({ "path": problem.path, "message": problem.message });
        let problems: Vec<_> = self.problems.iter().map(problem).collect();
        json!({ "ok": self.is_ok(), "plugin": self.plugin, "config": self.config, "problems": problems })
    }
}

impl Display for Validated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_ok() {
            return writeln!(f, "{}: ok, {} takes it", self.config, self.plugin);
        }
        for Problem { path, message } in &self.problems {
            match path {
                Some(path) => writeln!(f, "{}: `{path}`: {message}", self.config)?,
                None => writeln!(f, "{}: {message}", self.config)?,
            }
        }
        let count = self.problems.len();
        writeln!(f, "{count} {}", if count == 1 { "problem" } else { "problems" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_at_the_front_of_a_plugins_words_is_told_apart() {
        for (message, path, rest) in [
            ("cost: expected at least 1", Some("cost"), "expected at least 1"),
            ("`rules[1].names`: too many", Some("rules[1].names"), "too many"),
            (
                "expected `a` or `b`: with neither nobody passes",
                None,
                "expected `a` or `b`: with neither nobody passes",
            ),
            ("no", None, "no"),
        ] {
            let problem = told(message);
            assert_eq!((problem.path.as_deref(), problem.message.as_str()), (path, rest));
        }
    }
}
