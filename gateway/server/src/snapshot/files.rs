//! Reads the configuration and every file that it names.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use witgate_config::{Code, Config, Diagnostic, Disposition, Located, Secret, Spot, StageKind};

use super::{Digest, Listed, lua_modules};

/// Largest configuration file. A route takes some 200 bytes.
const CONFIG_LIMIT: u64 = 1024 * 1024;
/// Largest file that a configuration names: plugins in languages with a large runtime have some 20 MiB.
const FILE_LIMIT: u64 = 64 * 1024 * 1024;

/// A configuration with the content of everything it names, as read at one time.
#[derive(Debug)]
pub struct Sources {
    pub path: PathBuf,
    pub config: Arc<Config>,
    pub digest: Digest,
    /// What it was read from.
    pub listed: Listed,
    files: BTreeMap<PathBuf, Arc<[u8]>>,
    /// Components that cannot be read, with a policy for that in every stage which names them.
    missing: BTreeMap<PathBuf, Diagnostic>,
    variables: BTreeMap<String, Vec<u8>>,
    /// Lua modules: for each directory, their names and files.
    modules: BTreeMap<PathBuf, BTreeMap<String, PathBuf>>,
}

impl Sources {
    /// Files of the Lua modules in these directories, by the modules' names: the first directory that has a name wins.
    pub fn module_files<'a>(&'a self, directories: impl Iterator<Item = &'a Path>) -> BTreeMap<&'a str, &'a Path> {
        let mut found = BTreeMap::new();
        for (name, path) in directories.filter_map(|directory| self.modules.get(directory)).flatten() {
            found.entry(name.as_str()).or_insert(path.as_path());
        }
        found
    }

    /// Content of a file that the configuration names; empty if it names none of that path.
    pub fn file(&self, path: &Path) -> Arc<[u8]> {
        self.files.get(path).cloned().unwrap_or_default()
    }

    /// Why a component cannot be read, if the configuration takes that for a failure to load it.
    pub fn missing(&self, path: &Path) -> Option<&Diagnostic> {
        self.missing.get(path)
    }

    /// A secret's bytes: the variable's value, or the file's content less one line end.
    pub fn secret(&self, secret: &Secret) -> Vec<u8> {
        match secret {
            Secret::Env(name) => self.variables.get(&name.value).cloned().unwrap_or_default(),
            Secret::File(path) => {
                let content = self.file(&path.value);
                let content = content.strip_suffix(b"\n").unwrap_or(&content);
                content.strip_suffix(b"\r").unwrap_or(content).to_vec()
            }
        }
    }

    pub fn diagnostic(&self, spot: &Spot, message: impl Into<String>, help: impl Into<String>) -> Diagnostic {
        diagnostic(&self.path, spot, message, help)
    }
}

fn diagnostic(file: &Path, spot: &Spot, message: impl Into<String>, help: impl Into<String>) -> Diagnostic {
    Diagnostic { file: file.to_owned(), spot: Some(spot.clone()), message: message.into(), help: Some(help.into()) }
}

/// Reads and validates a configuration, then reads what it names.
///
/// # Errors
/// Everything that is wrong, as far as it can be told without building.
pub fn read(path: &Path) -> Result<Sources, Vec<Diagnostic>> {
    read_noting(path, &mut Listed::default())
}

/// As [`read`], and notes every file and folder that was looked at, also if one of them could not be read: a change of
/// any may mend it.
///
/// # Errors
/// As [`read`].
pub fn read_noting(path: &Path, listed: &mut Listed) -> Result<Sources, Vec<Diagnostic>> {
    listed.file(path);
    let text = read_text(path)?;
    let config = witgate_config::parse(&text, path)?;
    let mut digest = Sha256::new();
    add(&mut digest, text.as_bytes());

    let (mut files, mut missing, mut problems) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
    for named in named_files(&config) {
        if files.contains_key(&named.value) {
            continue;
        }
        let is_model = config.models.values().flat_map(|model| &model.files).any(|file| file.path.value == named.value);
        let limit = if is_model { witgate_inference::FILE_LIMIT } else { FILE_LIMIT };
        listed.file(&named.value);
        match read_bounded(&named.value, limit) {
            Ok(content) => {
                add(&mut digest, named.value.as_os_str().as_encoded_bytes());
                add(&mut digest, &content);
                files.insert(named.value.clone(), Arc::from(content));
            }
            Err(message) => {
                let message = format!("`{}`: {message}", named.value.display());
                let problem = diagnostic(path, &named.spot, message, help_for(&named.value));
                if is_dispensable(&config, &named.value) {
                    add(&mut digest, named.value.as_os_str().as_encoded_bytes());
                    missing.insert(named.value.clone(), problem);
                } else {
                    problems.push(problem);
                }
            }
        }
    }
    let mut modules = BTreeMap::new();
    for directory in config.lua.values().flat_map(|vm| &vm.path) {
        if modules.contains_key(&directory.value) {
            continue;
        }
        match lua_modules::read(&directory.value, listed) {
            Ok(found) => {
                add(&mut digest, directory.value.as_os_str().as_encoded_bytes());
                for (file, content) in found.files {
                    add(&mut digest, file.as_os_str().as_encoded_bytes());
                    add(&mut digest, &content);
                    files.entry(file).or_insert_with(|| Arc::from(content));
                }
                modules.insert(directory.value.clone(), found.names);
            }
            Err(message) => {
                let message = format!("`{}`: {message}", directory.value.display());
                let help = "name a directory of Lua modules (it is relative to the configuration file)";
                problems.push(diagnostic(path, &directory.spot, message, help));
            }
        }
    }
    let mut variables = BTreeMap::new();
    for name in named_variables(&config) {
        match std::env::var_os(&name.value).filter(|value| !value.is_empty()) {
            Some(value) => {
                add(&mut digest, value.as_encoded_bytes());
                variables.insert(name.value.clone(), value.into_encoded_bytes());
            }
            None => problems.push(diagnostic(
                path,
                &name.spot,
                format!("the environment variable `{}` is not set or empty", name.value),
                "set it where the gateway is started",
            )),
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let path = path.to_owned();
    Ok(Sources {
        path,
        config: Arc::new(config),
        digest: digest.finalize().into(),
        listed: listed.clone(),
        files,
        missing,
        variables,
        modules,
    })
}

/// The files and directories that a configuration names, none of them read; none if the configuration itself cannot be.
pub fn named(path: &Path) -> Option<Listed> {
    let mut listed = Listed::default();
    listed.file(path);
    let config = witgate_config::parse(&read_text(path).ok()?, path).ok()?;
    named_files(&config).for_each(|named| listed.file(&named.value));
    config.lua.values().flat_map(|vm| &vm.path).for_each(|directory| listed.folder(&directory.value));
    Some(listed)
}

/// The configuration's own text.
fn read_text(path: &Path) -> Result<String, Vec<Diagnostic>> {
    let whole = |message: String, help: &str| {
        vec![Diagnostic { file: path.to_owned(), spot: None, message, help: Some(help.to_owned()) }]
    };
    let bytes = read_bounded(path, CONFIG_LIMIT)
        .map_err(|message| whole(message, "name the configuration with `--config FILE`"))?;
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        whole(format!("not UTF-8 from byte {valid} on"), "save the file as UTF-8")
    })
}

/// Adds a part so that no two lists of parts give the same input.
fn add(digest: &mut Sha256, part: &[u8]) {
    digest.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
    digest.update(part);
}

fn help_for(path: &Path) -> &'static str {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("onnx") => "put the model there, or correct the path (it is relative to the configuration file)",
        Some("lua") => "put the script there, or correct the path (it is relative to the configuration file)",
        Some("wasm") => "build the plugin, or correct the path (it is relative to the configuration file)",
        _ => "create the file, or correct the path (it is relative to the configuration file)",
    }
}

fn named_files(config: &Config) -> impl Iterator<Item = &Located<PathBuf>> {
    let tls = config.listeners.iter().filter_map(|listener| listener.tls.as_ref());
    let authorities = config.upstreams.values().filter_map(|upstream| upstream.tls.as_ref()?.ca.as_ref());
    let authorities = authorities.chain(config.lua.values().filter_map(|vm| vm.ca.as_ref()));
    let keys = config.keys.values().filter_map(|secret| match secret {
        Secret::File(path) => Some(path),
        Secret::Env(_) => None,
    });
    tls.flat_map(|tls| [&tls.certificate, &tls.key])
        .chain(authorities)
        .chain(keys)
        .chain(config.key_sets.values().map(|set| &set.file))
        .chain(config.plugins.values().map(|plugin| &plugin.path))
        .chain(config.lua.values().flat_map(|vm| [&vm.init, &vm.init_worker]).flatten().filter_map(code_file))
        .chain(config.scripts.values().flat_map(|script| script.phases.values()).filter_map(code_file))
        .chain(config.models.values().flat_map(|model| model.files.iter().map(|file| &file.path)))
}

fn code_file(code: &Code) -> Option<&Located<PathBuf>> {
    match code {
        Code::File(path) => Some(path),
        Code::Inline(_) => None,
    }
}

/// Whether a file is named as a component only, and by stages only that say what to do if it cannot be loaded.
fn is_dispensable(config: &Config, path: &Path) -> bool {
    let named = named_files(config).filter(|named| named.value == path).count();
    let plugins = config.plugins.iter().filter(|(_, plugin)| plugin.path.value == path);
    let plugins: Vec<&str> = plugins.map(|(name, _)| name.as_str()).collect();
    let stages = config.routes.iter().flat_map(|route| &route.stages);
    let uses = stages
        .filter(|stage| matches!(&stage.kind, StageKind::Plugin { plugin, .. } if plugins.contains(&plugin.as_str())));
    let denied: Vec<bool> = uses.map(|stage| stage.failure.on_load == Disposition::Deny).collect();
    named == plugins.len() && !denied.is_empty() && !denied.contains(&true)
}

fn named_variables(config: &Config) -> impl Iterator<Item = &Located<String>> {
    config.keys.values().filter_map(|secret| match secret {
        Secret::Env(name) => Some(name),
        Secret::File(_) => None,
    })
}

pub(super) fn read_bounded(path: &Path, limit: u64) -> Result<Vec<u8>, String> {
    let file = File::open(path).map_err(|error| format!("cannot be read: {error}"))?;
    let mut content = Vec::new();
    file.take(limit + 1).read_to_end(&mut content).map_err(|error| format!("cannot be read: {error}"))?;
    if content.len() as u64 > limit {
        return Err(format!("larger than the limit of {} MiB", limit / (1024 * 1024)));
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cannot_run_into_each_other() {
        let digest = |parts: &[&[u8]]| {
            let mut digest = Sha256::new();
            parts.iter().for_each(|part| add(&mut digest, part));
            digest.finalize()
        };
        assert_ne!(digest(&[b"ab", b"c"]), digest(&[b"a", b"bc"]));
        assert_ne!(digest(&[b"", b"a"]), digest(&[b"a", b""]));
    }

    #[test]
    fn a_missing_configuration_is_a_diagnostic() {
        let problems = read(Path::new("no/such/gateway.toml")).unwrap_err();
        assert!(problems.iter().all(|problem| problem.message.starts_with("cannot be read")), "{problems:?}");
    }
}
