//! Gathers the code to be checked: files, directories, and what a configuration names.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use witgate_config::{self as config, Code, Diagnostic, LuaGrant, LuaTrust, Spot};
use witgate_script::usage::{self, SyntaxError, Use};
use witgate_script::{Phase, Trust};

/// Largest file that is read, as the gateway has it for modules.
const FILE_LIMIT: u64 = 4 * 1024 * 1024;
/// Most files, and bytes of all together: far more than a person checks at once.
pub(super) const FILES_LIMIT: usize = 10_000;
const BYTES_LIMIT: usize = 256 * 1024 * 1024;
/// Directories in directories.
const DEPTH_LIMIT: usize = 16;
/// Entries of all directories that are looked at, Lua or not.
const ENTRIES_LIMIT: usize = 1_000_000;

/// When a piece of code runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Phase(Phase),
    Init,
    InitWorker,
    Module,
    /// A file by itself: nobody knows.
    Unknown,
}

/// A file's text, for excerpts.
pub(super) struct Text {
    text: String,
    /// Byte at which each line begins.
    starts: Vec<usize>,
}

impl Text {
    fn new(text: String) -> Rc<Self> {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let starts = std::iter::once(0).chain(ends.map(|(at, _)| at + 1)).collect();
        Rc::new(Self { text, starts })
    }

    /// A line, counted from 1, without its end.
    pub(super) fn line(&self, line: usize) -> Option<&str> {
        let start = *self.starts.get(line.checked_sub(1)?)?;
        let end = self.starts.get(line).map_or(self.text.len(), |next| next - 1);
        self.text.get(start..end)
    }
}

/// What code names, or why it is none.
type Names = Rc<Result<Vec<Use>, SyntaxError>>;

/// Code that is checked.
pub(super) struct Unit {
    pub(super) role: Role,
    /// Where its lines are told to be.
    pub(super) file: PathBuf,
    pub(super) text: Rc<Text>,
    /// Of the configuration, for code in it: `scripts.check.access`.
    pub(super) key: String,
    /// The lines of code in a configuration.
    inline: Option<config::LuaSource>,
    pub(super) uses: Names,
    /// Somebody else's: an installed library that code requires.
    pub(super) is_foreign: bool,
    /// Variables that `ngx.var` lets it assign to, if they are known.
    pub(super) variables: Option<Rc<BTreeSet<String>>>,
}

impl Unit {
    /// The line of the file in which a line of the code stands.
    pub(super) fn line(&self, line: usize) -> usize {
        self.inline.as_ref().map_or(line, |source| source.line_of_file(line))
    }
}

/// Code that shares a VM, and what is known of that.
pub(super) struct Group {
    pub(super) trust: Trust,
    /// Granted dictionaries; none: nobody knows.
    pub(super) dicts: Option<BTreeSet<String>>,
    /// Every dictionary of the configuration.
    pub(super) all_dicts: BTreeSet<String>,
    /// Directories of modules; none: nobody knows.
    pub(super) path: Option<Vec<PathBuf>>,
    native_path: Vec<PathBuf>,
    /// `[lua.NAME]`, if there is one.
    pub(super) name: Option<String>,
    pub(super) units: Vec<Unit>,
}

impl Group {
    fn alone(trust: Trust, path: Option<Vec<PathBuf>>) -> Self {
        Self {
            trust,
            dicts: None,
            all_dicts: BTreeSet::new(),
            path,
            native_path: Vec::new(),
            name: None,
            units: Vec::new(),
        }
    }

    /// The file of a module, as `require` finds it; one in C has none that could be read.
    pub(super) fn find(&self, module: &str) -> Found {
        let below = module.replace('.', "/");
        // Names come from code that is checked: what climbs out of a directory is no module.
        if below.is_empty()
            || below.len() > 200
            || below.contains("//")
            || below.starts_with('/')
            || below.contains('\0')
        {
            return Found::Nowhere;
        }
        let candidates =
            self.path.iter().flatten().flat_map(|directory| {
                [directory.join(format!("{below}.lua")), directory.join(&below).join("init.lua")]
            });
        if let Some(file) = candidates.into_iter().find(|file| file.is_file()) {
            return Found::Lua(file);
        }
        let root = below.split('/').next().unwrap_or_default();
        let native = |directory: &PathBuf| {
            directory.join(format!("{below}.so")).is_file() || directory.join(format!("{root}.so")).is_file()
        };
        if self.native_path.iter().any(native) { Found::Native } else { Found::Nowhere }
    }
}

pub(super) enum Found {
    Lua(PathBuf),
    Native,
    Nowhere,
}

/// What was gathered.
#[derive(Default)]
pub(super) struct Collection {
    pub(super) groups: Vec<Group>,
    /// What is wrong before any code is looked at, with the text of its file.
    pub(super) problems: Vec<(Diagnostic, Option<Rc<Text>>)>,
    pub(super) files: BTreeSet<PathBuf>,
    bytes: usize,
    entries: usize,
    read: BTreeMap<PathBuf, Names>,
    /// Files that are at hand already; others are read.
    given: BTreeMap<PathBuf, Arc<[u8]>>,
}

impl Collection {
    /// The code of a configuration whose files have been read.
    pub(super) fn of(
        config: &config::Config,
        (path, text): (&Path, &str),
        files: &BTreeMap<PathBuf, Arc<[u8]>>,
    ) -> Self {
        let mut collection = Self { given: files.clone(), ..Self::default() };
        collection.groups_of(path, &Text::new(text.to_owned()), config);
        collection
    }

    /// Adds a path from the command line.
    pub(super) fn add(&mut self, path: &Path, trust: Trust, modules: &[PathBuf]) {
        let modules = (!modules.is_empty()).then(|| modules.to_vec());
        match fs::metadata(path) {
            Err(error) => {
                let help = "name a Lua file, a directory of them, or a gateway.toml";
                self.problem(Diagnostic::of_file(path, format!("cannot be read: {error}"), help));
            }
            Ok(metadata) if metadata.is_dir() => {
                let mut group = Group::alone(trust, modules);
                self.directory(path, 0, &mut group);
                self.groups.push(group);
            }
            Ok(_) if path.extension().is_some_and(|extension| extension == "toml") => self.configuration(path),
            Ok(_) => {
                let mut group = Group::alone(trust, modules);
                self.file(path, Role::Unknown, None, &mut group);
                self.groups.push(group);
            }
        }
    }

    fn problem(&mut self, diagnostic: Diagnostic) {
        self.problems.push((diagnostic, None));
    }

    /// Every `.lua` file below a directory. Links to directories are not followed, so there are no circles.
    fn directory(&mut self, directory: &Path, depth: usize, group: &mut Group) {
        if depth > DEPTH_LIMIT {
            let message = format!("more than {DEPTH_LIMIT} directories in each other");
            return self.problem(Diagnostic::of_file(directory, message, "name the inner directory by itself"));
        }
        let listed = fs::read_dir(directory).and_then(|entries| {
            entries
                .take(ENTRIES_LIMIT)
                .map(|entry| entry.and_then(|entry| Ok((entry.path(), entry.file_type()?))))
                .collect()
        });
        let mut entries: Vec<_> = match listed {
            Ok(entries) => entries,
            Err(error) => {
                let help = "make it readable";
                return self.problem(Diagnostic::of_file(directory, format!("cannot be read: {error}"), help));
            }
        };
        entries.sort_by(|(one, _), (other, _)| one.cmp(other));
        for (path, kind) in entries {
            self.entries += 1;
            if self.entries > ENTRIES_LIMIT {
                return;
            }
            if kind.is_dir() {
                self.directory(&path, depth + 1, group);
            } else if path.extension().is_some_and(|extension| extension == "lua") && path.is_file() {
                self.file(&path, Role::Unknown, None, group);
            }
        }
    }

    /// Reads a file; what is wrong with it is told at the spot that names it, if there is one.
    fn content(&mut self, path: &Path, named: Option<(&Path, &Spot)>) -> Option<Vec<u8>> {
        let read = || -> Result<Vec<u8>, String> {
            let told = |error: std::io::Error| format!("cannot be read: {error}");
            let file = File::open(path).map_err(told)?;
            if !file.metadata().map_err(told)?.is_file() {
                return Err("is not a file".to_owned());
            }
            let mut content = Vec::new();
            file.take(FILE_LIMIT + 1).read_to_end(&mut content).map_err(told)?;
            if content.len() as u64 > FILE_LIMIT {
                return Err(format!("is larger than {} MiB, which no gateway loads", FILE_LIMIT / (1024 * 1024)));
            }
            Ok(content)
        };
        // Opening a pipe would wait for who writes to it.
        let is_file = fs::metadata(path).map(|metadata| metadata.is_file());
        let given = self.given.get(path).map(|content| content.to_vec());
        let content = match is_file {
            _ if given.is_some() => Ok(given.unwrap_or_default()),
            Ok(false) => Err("is not a file".to_owned()),
            _ => read(),
        };
        let message = match content {
            Ok(content) if self.bytes + content.len() > BYTES_LIMIT => {
                format!("is left out: all files together have more than {} MiB", BYTES_LIMIT / (1024 * 1024))
            }
            Ok(content) => {
                self.bytes += content.len();
                return Some(content);
            }
            Err(message) => message,
        };
        let help = "put a Lua file there, or correct the path";
        self.problem(match named {
            Some((file, spot)) => Diagnostic::at(file, spot, format!("`{}` {message}", path.display()), help),
            None => Diagnostic::of_file(path, message, help),
        });
        None
    }

    /// Adds a file, once for each role.
    fn file(&mut self, path: &Path, role: Role, named: Option<(&Path, &Spot)>, group: &mut Group) {
        if group.units.iter().any(|unit| unit.role == role && unit.file == path) {
            return;
        }
        if self.files.len() >= FILES_LIMIT && !self.files.contains(path) {
            return;
        }
        let Some(content) = self.content(path, named) else { return };
        self.files.insert(path.to_owned());
        let known = self.read.get(path).map(Rc::clone);
        let uses = known.unwrap_or_else(|| {
            let uses = Rc::new(usage::uses(&content));
            self.read.insert(path.to_owned(), Rc::clone(&uses));
            uses
        });
        group.units.push(Unit {
            role,
            file: path.to_owned(),
            text: Text::new(String::from_utf8_lossy(&content).into_owned()),
            key: String::new(),
            inline: None,
            uses,
            is_foreign: false,
            variables: None,
        });
    }

    /// Adds what a configuration names.
    fn configuration(&mut self, path: &Path) {
        let Some(content) = self.content(path, None) else { return };
        self.files.insert(path.to_owned());
        let text = Text::new(String::from_utf8_lossy(&content).into_owned());
        let config = match config::parse(&text.text, path) {
            Ok(config) => config,
            Err(diagnostics) => {
                self.problems.extend(diagnostics.into_iter().map(|diagnostic| (diagnostic, Some(Rc::clone(&text)))));
                return;
            }
        };
        self.groups_of(path, &text, &config);
    }

    fn groups_of(&mut self, path: &Path, text: &Rc<Text>, config: &config::Config) {
        let mut groups = Vec::new();
        for (name, vm) in &config.lua {
            groups.push(self.vm(path, text, config, (name, vm)));
        }
        for (name, script) in &config.scripts {
            if script.lua.is_none() {
                let mut group =
                    Group { dicts: Some(BTreeSet::new()), ..Group::alone(Trust::Sandbox, Some(Vec::new())) };
                group.all_dicts = config.shared_dicts.keys().cloned().collect();
                self.script(path, text, (name, script), &mut group);
                groups.push(group);
            }
        }
        for mut group in groups {
            self.follow(path, &mut group);
            self.groups.push(group);
        }
    }

    fn vm(
        &mut self,
        path: &Path,
        text: &Rc<Text>,
        config: &config::Config,
        (name, vm): (&String, &config::LuaVm),
    ) -> Group {
        let granted = vm.grants.iter().filter_map(|grant| match &grant.value {
            LuaGrant::Shared(dict) => Some(dict.clone()),
            LuaGrant::Kv(plugin) => Some(format!("kv:{plugin}")),
            _ => None,
        });
        let mut group = Group {
            trust: match vm.trust {
                LuaTrust::Sandbox => Trust::Sandbox,
                LuaTrust::Full => Trust::Full,
            },
            dicts: Some(granted.collect()),
            all_dicts: config.shared_dicts.keys().cloned().collect(),
            path: Some(vm.path.iter().map(|path| path.value.clone()).collect()),
            native_path: vm.native_path.iter().map(|path| path.value.clone()).collect(),
            name: Some(name.clone()),
            units: Vec::new(),
        };
        for (code, role, key) in [(&vm.init, Role::Init, "init"), (&vm.init_worker, Role::InitWorker, "init_worker")] {
            if let Some(code) = code {
                self.code(path, text, (code, role, &format!("lua.{name}.{key}")), &mut group);
            }
        }
        for (name, script) in config.scripts.iter().filter(|(_, script)| script.lua.as_ref() == Some(name)) {
            self.script(path, text, (name, script), &mut group);
        }
        group
    }

    fn script(&mut self, path: &Path, text: &Rc<Text>, (name, script): (&String, &config::Script), group: &mut Group) {
        let variables = Rc::new(script.variables.keys().cloned().collect::<BTreeSet<_>>());
        for (phase, code) in &script.phases {
            let Some(known) = Phase::ALL.into_iter().find(|known| known.name() == *phase) else { continue };
            let before = group.units.len();
            self.code(path, text, (code, Role::Phase(known), &format!("scripts.{name}.{phase}")), group);
            for unit in group.units.iter_mut().skip(before) {
                unit.variables = Some(Rc::clone(&variables));
            }
        }
    }

    fn code(&mut self, path: &Path, text: &Rc<Text>, (code, role, key): (&Code, Role, &str), group: &mut Group) {
        match code {
            Code::File(file) => self.file(&file.value, role, Some((path, &file.spot)), group),
            Code::Inline(source) => group.units.push(Unit {
                role,
                file: path.to_owned(),
                text: Rc::clone(text),
                key: key.to_owned(),
                inline: Some(source.value.clone()),
                uses: Rc::new(usage::uses(source.value.text.as_bytes())),
                is_foreign: false,
                variables: None,
            }),
        }
    }

    /// Adds the modules that code requires, and those that these do. Those outside of the configuration's directory are
    /// somebody else's.
    fn follow(&mut self, path: &Path, group: &mut Group) {
        let home = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let home = home.canonicalize().unwrap_or_else(|_| home.to_owned());
        let mut seen = BTreeSet::new();
        let mut next = 0;
        while let Some(unit) = group.units.get(next) {
            next += 1;
            let uses = Rc::clone(&unit.uses);
            for module in uses.iter().flatten().filter_map(|one| super::judge::required(&one.what)) {
                if !seen.insert(module.to_owned()) {
                    continue;
                }
                if let Found::Lua(file) = group.find(module) {
                    let before = group.units.len();
                    self.file(&file, Role::Module, None, group);
                    let is_foreign = !file.canonicalize().unwrap_or(file).starts_with(&home);
                    for unit in group.units.iter_mut().skip(before) {
                        unit.is_foreign = is_foreign;
                    }
                }
            }
        }
    }
}
