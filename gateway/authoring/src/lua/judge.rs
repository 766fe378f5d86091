//! Holds what code names against what there is.

use std::cell::OnceCell;
use std::collections::BTreeSet;

use witgate_config::did_you_mean;
use witgate_script::usage::{Care, Use, Vocabulary, What, module, phases_of};
use witgate_script::{ScriptError, Trust};

use super::api::{Api, Entry, Status};
use super::collect::{Found, Group, Role, Unit};

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Severity {
    Error,
    Warning,
    Note,
}

impl Severity {
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// What a finding means for the code that it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// It fails whenever it runs.
    Fails,
    /// It names what is nowhere, and fails if it does more than look at it.
    Missing,
    /// It fails, or does not do what is meant, in some case or other.
    MayFail,
    /// A matter of style, or of what is not quite as elsewhere.
    Works,
}

impl Effect {
    /// Of what fails where it stands: the code itself does it, or a function in it that may never be called.
    fn of_use(one: &Use) -> Self {
        if one.is_inner { Self::MayFail } else { Self::Fails }
    }
}

/// Something about a line of a unit.
pub(super) struct Finding {
    pub(super) severity: Severity,
    /// Of the code.
    pub(super) line: usize,
    /// What to point at in the line.
    pub(super) name: String,
    pub(super) effect: Effect,
    /// What the code names.
    path: String,
    pub(super) message: String,
    pub(super) help: String,
}

/// What is known about names.
pub(super) struct Judge {
    api: Api,
    sandbox: Vocabulary,
    full: Vocabulary,
}

/// The module that a use asks for.
pub(super) fn required(what: &What) -> Option<&str> {
    match what {
        What::Call { path, argument: Some(module) } if &**path == "require" => Some(module),
        What::Try { module } => Some(module),
        _ => None,
    }
}

/// Findings of one piece of code for which what may have been meant is looked for, and names of its own that it may be.
const HINTS_LIMIT: usize = 100;
const CANDIDATES_LIMIT: usize = 1000;

/// Functions after which the globals of a chunk are its own.
const ENVIRONMENTS: [&str; 2] = ["module", "setfenv"];

/// Methods of sockets that wait.
const WAITING: [&str; 6] = ["connect", "send", "receive", "receiveany", "sslhandshake", "setpeername"];

/// Names that code of a VM gives values to, for everyone who shares it.
pub(super) struct Defined(BTreeSet<String>);

impl Defined {
    pub(super) fn of(group: &Group) -> Self {
        let mut names = BTreeSet::new();
        for unit in &group.units {
            let shares = matches!(unit.role, Role::Init | Role::InitWorker | Role::Module | Role::Unknown);
            for one in unit.uses.iter().flatten() {
                if let What::Write { path } = &one.what
                    && (shares || path.contains('.'))
                {
                    names.insert(path.to_string());
                }
            }
        }
        Self(names)
    }
}

impl Judge {
    /// # Errors
    /// There can be no VM to read names from.
    pub(super) fn new() -> Result<Self, String> {
        let vocabulary = |trust| Vocabulary::new(trust).map_err(|error: ScriptError| error.to_string());
        Ok(Self { api: Api::new()?, sandbox: vocabulary(Trust::Sandbox)?, full: vocabulary(Trust::Full)? })
    }

    /// What there is to say about a unit.
    pub(super) fn unit(&self, group: &Group, defined: &Defined, unit: &Unit) -> Vec<Finding> {
        let uses = match unit.uses.as_ref() {
            Ok(uses) => uses,
            Err(error) => {
                return vec![Finding {
                    severity: Severity::Error,
                    line: error.line.unwrap_or(0),
                    name: near(&error.message).to_owned(),
                    effect: Effect::Fails,
                    path: String::new(),
                    message: format!("this is not Lua: {}", error.message),
                    help: "correct the syntax; it is that of Lua 5.1, with `goto` and the numbers of LuaJIT".to_owned(),
                }];
            }
        };
        let mut own = BTreeSet::new();
        let (mut asks_for_phase, mut has_own_environment) = (false, false);
        for one in uses {
            match &one.what {
                What::Write { path } => drop(own.insert(&**path)),
                What::Read { path, .. } => asks_for_phase |= &**path == "ngx.get_phase",
                What::Call { path, .. } => has_own_environment |= ENVIRONMENTS.contains(&&**path),
                What::Try { .. } => {}
            }
        }
        let mut on = OnUnit {
            judge: self,
            vocabulary: if group.trust == Trust::Full { &self.full } else { &self.sandbox },
            group,
            defined,
            unit,
            own,
            asks_for_phase,
            has_own_environment,
            written: BTreeSet::new(),
            found: Vec::new(),
            modules: OnceCell::new(),
        };
        uses.iter().for_each(|one| on.one(one));
        // Code that asks somewhere whether a name is there knows that it may not be.
        let asked = uses.iter().filter_map(|one| match &one.what {
            What::Read { path, care } if *care != Care::None => Some(&**path),
            _ => None,
        });
        let asked: BTreeSet<&str> = asked.collect();
        for one in uses {
            if let What::Call { path, .. } = &one.what {
                on.is_used(path, one.is_inner, &asked);
            }
        }
        on.found
    }
}

/// What LuaJIT says that a syntax error is near to.
fn near(message: &str) -> &str {
    message.rsplit_once("near '").and_then(|(_, near)| near.strip_suffix('\'')).unwrap_or_default()
}

struct OnUnit<'j> {
    judge: &'j Judge,
    vocabulary: &'j Vocabulary,
    group: &'j Group,
    defined: &'j Defined,
    unit: &'j Unit,
    own: BTreeSet<&'j str>,
    asks_for_phase: bool,
    has_own_environment: bool,
    /// Globals whose assignment was told.
    written: BTreeSet<&'j str>,
    found: Vec<Finding>,
    modules: OnceCell<BTreeSet<&'j str>>,
}

/// Of a name that is nowhere, neither here nor in OpenResty.
fn lacking(care: Care) -> Effect {
    if care == Care::None { Effect::Missing } else { Effect::MayFail }
}

/// The table and the field of a path; none: it is a global, or a module as a whole.
fn split(path: &str) -> Option<(&str, &str)> {
    let after_module = path.strip_prefix("require \"").and_then(|rest| rest.find('"').map(|end| end + 10)).unwrap_or(0);
    let dot = path.get(after_module..)?.rfind('.')? + after_module;
    Some((path.get(..dot)?, path.get(dot + 1..)?))
}

impl<'j> OnUnit<'j> {
    fn tell(&mut self, severity: Severity, one: &Use, (name, message, help): (&str, String, String)) {
        let effect = if severity == Severity::Error { Effect::MayFail } else { Effect::Works };
        self.tell_of(effect, severity, one, (name, message, help));
    }

    fn tell_of(
        &mut self,
        effect: Effect,
        severity: Severity,
        one: &Use,
        (name, message, help): (&str, String, String),
    ) {
        let path = match &one.what {
            What::Read { path, .. } | What::Write { path } | What::Call { path, .. } => path.to_string(),
            What::Try { .. } => String::new(),
        };
        self.found.push(Finding { severity, line: one.line, name: name.to_owned(), effect, path, message, help });
    }

    /// Something that is nowhere is called, or a field of it is: until then it was only looked at, as it may be.
    fn is_used(&mut self, path: &str, is_inner: bool, asked: &BTreeSet<&str>) {
        let missing = self.found.iter_mut().filter(|finding| finding.effect == Effect::Missing);
        for finding in missing.filter(|finding| !asked.contains(&*finding.path)) {
            let is_called = finding.path == path;
            // A dictionary that is not granted here may be there for another who requires the same module.
            let is_indexed = path.strip_prefix(&finding.path).is_some_and(|rest| rest.starts_with('.')) && !is_inner;
            if is_called || is_indexed {
                finding.effect = Effect::Fails;
            }
        }
    }

    /// What may have been meant; for the first findings only, because looking for it takes longer than all else.
    fn near<'a>(
        &self,
        wrong: &str,
        candidates: impl IntoIterator<Item = &'a str>,
        otherwise: impl FnOnce() -> String,
    ) -> String {
        if self.found.len() < HINTS_LIMIT { did_you_mean(wrong, candidates, otherwise) } else { otherwise() }
    }

    fn one(&mut self, one: &'j Use) {
        match &one.what {
            What::Read { path, care } => match split(path) {
                None => self.global(one, path, *care != Care::None),
                Some((table, field)) => self.field(one, (path, table, field), *care),
            },
            What::Write { path } => self.write(one, path),
            What::Call { path, argument } => {
                if let ("require", Some(module)) = (&**path, argument) {
                    self.module(one, module);
                }
                self.phase(one, path);
            }
            What::Try { .. } => {}
        }
    }

    fn is_defined(&self, path: &str) -> bool {
        self.own.contains(path) || self.defined.0.contains(path)
    }

    fn global(&mut self, one: &Use, name: &str, is_tested: bool) {
        if is_tested || self.has_own_environment || self.vocabulary.has(name) || self.is_defined(name) {
            return;
        }
        if self.judge.full.has(name) {
            return self.only_trusted(one, name);
        }
        if let Some(entry) = self.judge.api.below(&format!("{name}.")).next() {
            // A table of another module, of which something is in the list: the field has more to say.
            if self.judge.api.get(&format!("{name}.{entry}")).is_some_and(|entry| entry.status == Status::Refused) {
                return;
            }
        }
        let globals = self.vocabulary.names().filter(|name| !name.contains('.'));
        let otherwise = || "define it in this code or in `init`, or make it `local` where it is assigned".to_owned();
        let help = self.near(name, globals.chain(self.own.iter().copied().take(CANDIDATES_LIMIT)), otherwise);
        let message = format!("nothing defines the global `{name}`: it is nil");
        self.tell_of(Effect::MayFail, Severity::Warning, one, (name, message, help));
    }

    fn only_trusted(&mut self, one: &Use, name: &str) {
        let message = format!("`{name}` is not there for scripts with `trust = \"sandbox\"`");
        let instead = match name.split('.').next().unwrap_or_default() {
            "io" => "read files with the configuration: modules can hold data; ",
            "debug" => "only `debug.traceback` and `debug.getinfo` are; ",
            _ => "",
        };
        let help = format!(
            "{instead}or set `trust = \"full\"` in `[lua.NAME]` if you trust this code as you trust the gateway"
        );
        self.tell(Severity::Error, one, (name, message, help.trim_start_matches("or ").to_owned()));
    }

    fn field(&mut self, one: &Use, (path, table, field): (&str, &str, &str), care: Care) {
        let is_tested = care == Care::Tests;
        let canonical = match path.strip_prefix("golapis.") {
            Some(rest) if rest != "shared.get" && rest != "shared.set" && rest != "shared.incr" => {
                format!("ngx.{rest}")
            }
            _ => path.to_owned(),
        };
        let canonical_table = split(&canonical).map_or("", |(table, _)| table);
        match canonical_table {
            "ngx.var" => return self.variable(one, field, is_tested),
            "ngx.shared" => return self.dict(one, field, care),
            "socket" => return self.socket_method(one, field, care),
            _ => {}
        }
        if let Some(("ngx.shared", _)) = split(canonical_table) {
            let entry = self.judge.api.get(&format!("ngx.shared.DICT.{field}"));
            if entry.is_none() && !is_tested {
                let methods = self.judge.api.below("ngx.shared.DICT.");
                let help = self.near(field, methods, || "docs/lua/compatibility.md lists the methods".to_owned());
                let message = format!("a shared dictionary has no method `{field}`");
                self.tell_of(lacking(care), Severity::Error, one, (field, message, help));
            }
            return;
        }
        if let Some(entry) = self.judge.api.get(&canonical) {
            return self.entry(one, path, entry, is_tested);
        }
        if let Some(instead) = self.vocabulary.refused(path) {
            if !is_tested {
                let message = format!("`{path}` only fails with `trust = \"sandbox\"`");
                self.tell(Severity::Error, one, (path, message, instead.to_owned()));
            }
            return;
        }
        let is_known = self.vocabulary.has(&canonical) || self.is_defined(path) || self.is_defined(&canonical);
        if is_known || is_tested || !self.vocabulary.is_table(canonical_table) {
            return;
        }
        if self.judge.full.has(&canonical) {
            return self.only_trusted(one, path);
        }
        let prefix = format!("{canonical_table}.");
        let fields =
            self.vocabulary.names().filter_map(|name| name.strip_prefix(&prefix)).filter(|name| !name.contains('.'));
        let listed = self.judge.api.below(&prefix).filter(|name| !name.contains('.'));
        let otherwise = || "docs/lua/compatibility.md lists what there is".to_owned();
        let whole: Vec<String> = fields.chain(listed).map(|field| format!("{table}.{field}")).collect();
        let help = self.near(path, whole.iter().map(String::as_str), otherwise);
        // Code may add to Lua's own tables where nobody sees it from here.
        let ours = ["ngx.", "require \"ngx.", "require \"cjson", "require \"resty."];
        let is_ours = ours.iter().any(|prefix| canonical.starts_with(prefix));
        if care == Care::Alternative && !is_ours {
            return;
        }
        let (severity, effect) =
            if is_ours { (Severity::Error, lacking(care)) } else { (Severity::Warning, Effect::MayFail) };
        let name = if table.starts_with("require ") { field } else { path };
        self.tell_of(effect, severity, one, (name, format!("there is no `{path}`"), help));
    }

    fn entry(&mut self, one: &Use, path: &str, entry: &Entry, is_tested: bool) {
        match entry.status {
            Status::Works | Status::NotRun => {}
            Status::Differs => {
                let message = format!("`{path}` is not quite as in OpenResty");
                self.tell(Severity::Note, one, (path, message, entry.note.clone()));
            }
            Status::Refused if is_tested => {}
            Status::Refused => {
                let message = format!("`{path}` is not supported");
                self.tell(Severity::Error, one, (path, message, entry.note.clone()));
            }
        }
    }

    fn variable(&mut self, one: &Use, name: &str, is_tested: bool) {
        let Some(variables) = &self.unit.variables else { return };
        let is_own = variables.iter().any(|known| known.eq_ignore_ascii_case(name));
        if is_tested || is_own || self.judge.api.has_variable(name) {
            return;
        }
        let known = self.judge.api.below("$").chain(variables.iter().map(String::as_str));
        let otherwise =
            || format!("add `{name}` to `variables` of the script, or see docs/lua/compatibility.md for what there is");
        let help = self.near(name, known, otherwise);
        let message = format!("there is no variable `${name}`: `ngx.var.{name}` is nil");
        self.tell(Severity::Warning, one, (name, message, help));
    }

    fn dict(&mut self, one: &Use, name: &str, care: Care) {
        let Some(granted) = &self.group.dicts else { return };
        if care == Care::Tests || granted.contains(name) {
            return;
        }
        let lua = self.group.name.as_deref().unwrap_or("NAME");
        let (message, help) = if self.group.all_dicts.contains(name) {
            let message = format!("the shared dictionary `{name}` is not granted: `ngx.shared.{name}` is nil");
            (message, format!("add \"shared:{name}\" to `grants` of `[lua.{lua}]`"))
        } else {
            let otherwise =
                || format!("define `[shared_dicts.{name}]`, and add \"shared:{name}\" to `grants` of `[lua.{lua}]`");
            let help = self.near(name, self.group.all_dicts.iter().map(String::as_str), otherwise);
            (format!("there is no shared dictionary `{name}`: `ngx.shared.{name}` is nil"), help)
        };
        self.tell_of(lacking(care), Severity::Error, one, (name, message, help));
    }

    fn socket_method(&mut self, one: &Use, name: &str, care: Care) {
        match self.judge.api.socket_method(name) {
            Some(entry) => self.entry(one, name, entry, care == Care::Tests),
            None if care == Care::Tests => {}
            None => {
                let methods: BTreeSet<_> =
                    self.judge.api.below("tcpsock:").chain(self.judge.api.below("udpsock:")).collect();
                let help = self.near(name, methods, || "docs/lua/compatibility.md lists the methods".to_owned());
                let message = format!("a socket has no method `{name}`");
                self.tell_of(lacking(care), Severity::Error, one, (name, message, help));
            }
        }
    }

    fn write(&mut self, one: &'j Use, path: &'j str) {
        match split(path) {
            Some(("ngx.var", name)) => {
                let Some(variables) = &self.unit.variables else { return };
                // The case of names does not count.
                let is_own = variables.iter().any(|known| known.eq_ignore_ascii_case(name));
                if name != "args" && !is_own {
                    let message =
                        format!("`ngx.var.{name}` cannot be assigned to: it is not one of the script's variables");
                    let help = format!("add `variables = {{ {name} = \"\" }}` to the script, or keep it in `ngx.ctx`");
                    self.tell_of(Effect::of_use(one), Severity::Error, one, (name, message, help));
                }
            }
            Some(_) => {}
            None => self.global_write(one, path),
        }
    }

    fn global_write(&mut self, one: &'j Use, name: &'j str) {
        let (message, help) = match self.unit.role {
            Role::Phase(_) | Role::Unknown if one.is_inner => (
                format!("a function assigns to the global `{name}`, which does not outlive the request"),
                "make it `local`, or keep it in `ngx.ctx` or a shared dictionary",
            ),
            Role::Module => (
                format!("a module assigns to the global `{name}`, which all requests of a thread share"),
                "make it `local`, or a field of the table that the module returns",
            ),
            _ => return,
        };
        if !self.has_own_environment && self.written.insert(name) {
            self.tell(Severity::Warning, one, (name, message, help.to_owned()));
        }
    }

    fn module(&mut self, one: &Use, name: &str) {
        if let Some(entry) = self.judge.api.get(name).filter(|entry| entry.status == Status::Refused) {
            let message = format!("the module `{name}` is not supported");
            return self.tell(Severity::Error, one, (name, message, entry.note.clone()));
        }
        let vocabulary = self.vocabulary;
        let is_built_in = self.modules.get_or_init(|| vocabulary.modules().collect()).contains(name);
        if is_built_in || vocabulary.is_table(&module(name)) {
            return;
        }
        if !matches!(self.group.find(name), Found::Nowhere) {
            return;
        }
        if self.judge.full.modules().any(|known| known == name) {
            let message = format!("the module `{name}` is not there for scripts with `trust = \"sandbox\"`");
            let help = "set `trust = \"full\"` in `[lua.NAME]` if you trust this code as you trust the gateway";
            return self.tell(Severity::Error, one, (name, message, help.to_owned()));
        }
        let Some(path) = &self.group.path else { return };
        let places: Vec<_> = path.iter().map(|directory| format!("`{}`", directory.display())).collect();
        let places = if places.is_empty() { "no directory".to_owned() } else { places.join(", ") };
        let message = format!("the module `{name}` is not found; `path` has {places}");
        let otherwise = || "install it into one of these, or add its directory to `path` of `[lua.NAME]`".to_owned();
        let help = self.near(name, vocabulary.modules(), otherwise);
        self.tell_of(Effect::of_use(one), Severity::Error, one, (name, message, help));
    }

    /// Calls that their phase refuses, as far as it is the code of the phase itself that calls.
    fn phase(&mut self, one: &Use, path: &str) {
        if one.is_inner || self.asks_for_phase {
            return;
        }
        let path = path.strip_prefix("golapis.").map_or_else(|| path.to_owned(), |rest| format!("ngx.{rest}"));
        let waits = path.strip_prefix("socket.").is_some_and(|method| WAITING.contains(&method)) || path == "go.sleep";
        let Some(allowed) = phases_of(if waits { "ngx.sleep" } else { &path }) else { return };
        let phase = match self.unit.role {
            Role::Phase(phase) if !allowed.contains(&phase) => phase.name(),
            Role::Init => "init",
            Role::InitWorker => "init_worker",
            _ => return,
        };
        let name = split(&path).map_or(&*path, |(table, field)| if table == "socket" { field } else { &path });
        let allowed: Vec<_> = allowed.iter().map(|phase| format!("`{}`", phase.name())).collect();
        let message = format!("`{name}` cannot be called in `{phase}`");
        let mut help = format!("it can be in {}", allowed.join(", "));
        if matches!(phase, "log" | "header_filter" | "body_filter" | "balancer" | "init_worker")
            && waits_somehow(&path, waits)
        {
            help.push_str(", and in a timer: `ngx.timer.at(0, function() … end)`");
        }
        self.tell(Severity::Error, one, (name, message, help));
    }
}

/// Whether it is for waiting that a function is refused, which timers can do.
fn waits_somehow(path: &str, waits: bool) -> bool {
    waits || path == "ngx.sleep" || path.starts_with("ngx.thread.") || path.starts_with("ngx.socket.")
}
