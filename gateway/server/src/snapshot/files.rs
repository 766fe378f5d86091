//! Reads the configuration and every file that it names.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use witgate_config::{Code, Config, Diagnostic, Disposition, Located, Secret, Spot, StageKind};

use super::{Digest, Listed, lua_modules};
use crate::unreadable::{Purpose, Unusable, unusable};

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
    /// The configuration as it was read.
    pub text: Arc<str>,
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

    /// Everything that was read, by its path.
    pub fn files(&self) -> &BTreeMap<PathBuf, Arc<[u8]>> {
        &self.files
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
        match read_file(&named.value, limit) {
            Ok(content) => {
                add(&mut digest, named.value.as_os_str().as_encoded_bytes());
                add(&mut digest, &content);
                files.insert(named.value.clone(), Arc::from(content));
            }
            Err(unusable) => {
                let problem = diagnostic(path, &named.spot, unusable.message, unusable.help);
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
            Err(unusable) => problems.push(diagnostic(path, &directory.spot, unusable.message, unusable.help)),
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
                format!("expected the environment variable `{}` to hold the key, got none or an empty one", name.value),
                "set it where the gateway is started",
            )),
        }
    }
    if !problems.is_empty() {
        problems.sort_by_key(|problem| problem.spot.as_ref().map(|spot| (spot.line, spot.column)));
        return Err(problems);
    }
    let path = path.to_owned();
    Ok(Sources {
        path,
        config: Arc::new(config),
        digest: digest.finalize().into(),
        listed: listed.clone(),
        text: Arc::from(text),
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
    let whole = |unusable: Unusable| vec![Diagnostic::of_file(path, unusable.message, unusable.help)];
    let bytes = read_bounded(path, CONFIG_LIMIT).map_err(|unusable| whole(of_configuration(path, unusable)))?;
    String::from_utf8(bytes).map_err(|error| vec![not_text(path, error.as_bytes(), error.utf8_error().valid_up_to())])
}

/// Adds a part so that no two lists of parts give the same input.
fn add(digest: &mut Sha256, part: &[u8]) {
    digest.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
    digest.update(part);
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

/// Reads a file that the configuration names. What is no file, such as a pipe, could keep the gateway waiting for ever.
fn read_file(path: &Path, limit: u64) -> Result<Vec<u8>, Unusable> {
    let metadata = std::fs::metadata(path).map_err(|error| unusable(path, Purpose::Reading, &error))?;
    if !metadata.is_file() && !metadata.is_dir() {
        let message = format!("expected a file, got a pipe or a device at `{}`", path.display());
        return Err(Unusable::new(message, "name a file"));
    }
    read_bounded(path, limit)
}

pub(super) fn read_bounded(path: &Path, limit: u64) -> Result<Vec<u8>, Unusable> {
    let failed = |error: std::io::Error| unusable(path, Purpose::Reading, &error);
    let file = File::open(path).map_err(failed)?;
    let mut content = Vec::new();
    file.take(limit + 1).read_to_end(&mut content).map_err(failed)?;
    if content.len() as u64 > limit {
        let mib = limit / (1024 * 1024);
        let message = format!("expected a file of at most {mib} MiB, got a larger one at `{}`", path.display());
        return Err(Unusable::new(message, "check that this is the right file"));
    }
    Ok(content)
}

/// What to say of the configuration itself, which is named on the command line.
fn of_configuration(path: &Path, unusable: Unusable) -> Unusable {
    let inside = path.join("gateway.toml");
    if path.is_dir() {
        let named = format!("write `--config {}`", inside.display());
        let help = Some(named).filter(|_| inside.is_file());
        let help = help.unwrap_or_else(|| "name the configuration with `--config FILE`".to_owned());
        return Unusable { help, ..unusable };
    }
    if path.exists() {
        return unusable;
    }
    Unusable { help: "name the configuration with `--config FILE`".to_owned(), ..unusable }
}

/// A configuration that is not UTF-8 from a byte on.
fn not_text(path: &Path, bytes: &[u8], at: usize) -> Diagnostic {
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Diagnostic::of_file(path, "expected text in UTF-8, got UTF-16", "save the file as UTF-8");
    }
    let before = bytes.get(..at).and_then(|before| std::str::from_utf8(before).ok()).unwrap_or_default();
    let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
    let spot = Spot { line: before.matches('\n').count() + 1, column, path: String::new() };
    let byte = bytes.get(at).copied().unwrap_or_default();
    let message = format!("expected text in UTF-8, got the byte 0x{byte:02X}");
    Diagnostic::at(path, &spot, message, "save the file as UTF-8")
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
        assert!(problems.iter().all(|problem| problem.message.starts_with("expected a file at")), "{problems:?}");
    }
}
