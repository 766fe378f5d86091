//! A script to be tested: its VMs, and what stands in for what they reach.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};
use toml::{Table, Value};
use witgate_config::{self as config, Code, LuaGrant, LuaTrust};
use witgate_plugin_host::OutboundCall;
use witgate_script::clock::{self, Guard, StandIn};
use witgate_script::dict::{Condition, Dict, Value as Kept};
use witgate_script::{
    AppHandle, AppSpec, Chunk, Extent, Limits, Modules, Network, Phase, Reach, ScriptHost, ScriptSpec, ScriptStage,
    Subrequest, Subrequests, Subresponse, Trust,
};
use witgate_stage::Stage;

use super::file::{CaseFile, Source};
use super::sockets::Servers;
use super::surroundings::Simulated;
use super::upstreams::Upstreams;
use crate::{CommandError, component};

/// What stands for the gateway's own routes among upstreams.
pub(super) const ROUTES: &str = "routes";

/// Directories of modules in each other, and files below one: as the gateway has it.
const DEPTH_LIMIT: usize = 16;
const MODULES_LIMIT: usize = 10_000;

/// What is tested: the name of a `[scripts.NAME]` in the file that `gateway` names, or the script itself.
#[derive(Debug)]
pub(crate) enum Subject {
    Named(String),
    Here(Table),
}

impl<'de> Deserialize<'de> for Subject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Subject;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("the name of a script in the `gateway` file, or a table with the keys of `[scripts.NAME]`")
            }

            fn visit_str<E>(self, text: &str) -> Result<Subject, E> {
                Ok(Subject::Named(text.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Subject, A::Error> {
                Table::deserialize(MapAccessDeserializer::new(map)).map(Subject::Here)
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

pub(crate) struct ScriptWorld {
    pub(super) name: String,
    /// Keeps the VMs in service.
    app: Arc<AppHandle>,
    _host: ScriptHost,
    clock: Guard,
    pub(super) servers: Servers,
}

impl ScriptWorld {
    /// The world, and the script as a stage.
    pub(super) fn new(
        (source, file): (&Source, &CaseFile),
        simulated: &Arc<Simulated>,
        upstreams: &Arc<Upstreams>,
    ) -> Result<(Self, Box<dyn Stage>), CommandError> {
        let (config, path, name) = configuration(source, file)?;
        let wrong = |message: String| CommandError::Usage(format!("{}: {message}", path.display()));
        let script = config.scripts.get(&name).ok_or_else(|| {
            wrong(format!("there is no `[scripts.{name}]`; `script` of {} names it", source.path.display()))
        })?;
        let servers = Servers::begin(file.sockets.keys())?;
        let clock = clock::stand_in(Arc::clone(simulated) as Arc<dyn StandIn>);
        let routes = Arc::new(Routes(Arc::clone(upstreams)));
        let host = ScriptHost::new(1, Some(routes)).map_err(CommandError::Temporary)?;
        let mut spec = match script.lua.as_ref().and_then(|lua| Some((lua, config.lua.get(lua)?))) {
            Some((lua, vm)) => app_spec(&config, lua, vm)?,
            None => AppSpec { name: name.as_str().into(), ..AppSpec::default() },
        };
        spec.reach.stand_ins = Some(servers.addresses.clone());
        let mut phases = BTreeMap::new();
        for (phase, code) in &script.phases {
            if let Some(known) = Phase::ALL.into_iter().find(|known| known.name() == *phase) {
                phases.insert(known, chunk(code, &format!("scripts.{name}.{phase}"))?);
            }
        }
        let variables = script.variables.clone();
        let told = |mistake: witgate_script::Mistake| wrong(format!("{mistake}; {}", mistake.help));
        let app = host.app(spec).map_err(told)?;
        let script = host.script(ScriptSpec { name: name.as_str().into(), phases, variables }, &app).map_err(told)?;
        let stage = Box::new(ScriptStage::new(script, true));
        let world = Self { name, app, _host: host, clock, servers };
        for (dict, entries) in &file.dicts {
            let dict = world.dict(dict)?;
            for (key, value) in entries {
                world.put(dict, key, value)?;
            }
        }
        Ok((world, stage))
    }

    /// A dictionary that the script may use.
    pub(super) fn dict(&self, name: &str) -> Result<&Arc<Dict>, CommandError> {
        self.app.app().dict(name).ok_or_else(|| {
            CommandError::Usage(format!(
                "the cases ask for the shared dictionary `{name}`, which the script may not use; add \"shared:{name}\" to \
                 `grants` of its `[lua.NAME]`"
            ))
        })
    }

    fn put(&self, dict: &Dict, key: &str, value: &Value) -> Result<(), CommandError> {
        #[expect(clippy::cast_precision_loss, reason = "numbers of Lua are floating-point")]
        let kept = match value {
            Value::String(text) => Kept::Text(text.as_bytes()),
            Value::Integer(number) => Kept::Number(*number as f64),
            Value::Float(number) => Kept::Number(*number),
            Value::Boolean(value) => Kept::Boolean(*value),
            other => {
                let message = format!("dicts: `{key}`: expected a string, a number or a boolean, got {other}");
                return Err(CommandError::Usage(message));
            }
        };
        let stored = dict.store(key.as_bytes(), kept, 0, 0, Condition::Always, true);
        stored.outcome.map_err(|error| CommandError::Usage(format!("dicts: `{key}`: {error}")))
    }

    /// A value as Lua prints it.
    pub(super) fn value(&self, dict: &str, key: &str) -> Result<Option<Vec<u8>>, CommandError> {
        Ok(self.dict(dict)?.get(key.as_bytes(), |value, _| match value {
            Kept::Text(text) => text.to_vec(),
            Kept::Number(number) => number.to_string().into_bytes(),
            Kept::Boolean(value) => value.to_string().into_bytes(),
            Kept::List => b"(a list)".to_vec(),
        }))
    }

    /// Lets timers run that are due, and what they have started.
    pub(super) async fn settle(&self) {
        const TURNS: usize = 64;
        self.clock.ring();
        for _ in 0..TURNS {
            tokio::task::yield_now().await;
        }
    }
}

impl StandIn for Simulated {
    fn time_of_day(&self) -> Duration {
        witgate_plugin_host::Simulation::time_of_day(self)
    }

    fn elapsed(&self) -> Duration {
        witgate_plugin_host::Simulation::elapsed(self)
    }

    fn advance(&self, time: Duration) {
        Self::advance(self, time);
    }
}

/// The gateway's routes, as subrequests find them.
struct Routes(Arc<Upstreams>);

impl Subrequests for Routes {
    fn serve(&self, request: Subrequest) -> Pin<Box<dyn Future<Output = Result<Subresponse, String>> + Send>> {
        let Subrequest { method, path, headers, body, limit, .. } = request;
        // Longer than any answer takes: the script's own limit is on another clock.
        let timeout = Duration::from_secs(3600);
        let call = OutboundCall { method, path, headers, body, timeout, reply_limit: limit };
        let answer = self.0.answer(ROUTES, call);
        Box::pin(std::future::ready(match answer {
            Ok(reply) => {
                let (status, headers, body) = (reply.status, reply.headers, reply.body);
                Ok(Subresponse { status, headers, body, extent: Extent::Whole })
            }
            Err(error) => Err(format!("{error:?}")),
        }))
    }
}

/// The configuration that the script stands in, its path, and the script's name.
fn configuration(source: &Source, file: &CaseFile) -> Result<(config::Config, PathBuf, String), CommandError> {
    let folder = source.folder();
    let subject = file.script.as_ref().map(toml::Spanned::get_ref);
    let start = file.script.as_ref().map_or(0, |script| script.span().start);
    let (text, path, name) = match (subject, &file.gateway) {
        (Some(Subject::Named(name)), Some(gateway)) => {
            let path = folder.join(gateway);
            let text = fs::read_to_string(&path).map_err(|source| CommandError::Read {
                what: "configuration",
                path: path.clone(),
                source,
            })?;
            (text, path, name.clone())
        }
        (Some(Subject::Named(_)), None) => {
            let help = "add `gateway = \"gateway.toml\"`, or make `script` a table with the keys of `[scripts.NAME]`";
            return Err(source.problem(start, "the file does not say which configuration has the script", help));
        }
        (Some(Subject::Here(_)), Some(_)) => {
            let message = "expected either the name of a script in the `gateway` file, or a script, got both";
            return Err(source.problem(start, message, "remove `gateway`, or name the script"));
        }
        (Some(Subject::Here(table)), None) => {
            let text =
                around(table.clone(), file).map_err(|message| source.problem(start, &message, "correct `script`"))?;
            (text, source.path.clone(), "test".to_owned())
        }
        (None, _) => {
            let help = "add `script = \"NAME\"` and `gateway = \"gateway.toml\"`, or a table `[script]` with `access_file` and the like";
            return Err(source.problem(0, "the file names no `script`", help));
        }
    };
    match config::parse(&text, &path) {
        Ok(config) => Ok((config, path, name)),
        Err(diagnostics) if file.gateway.is_some() => {
            let rendered: Vec<_> = diagnostics.iter().map(|diagnostic| diagnostic.render(Some(&text))).collect();
            Err(CommandError::Usage(rendered.join("\n")))
        }
        Err(diagnostics) => {
            // The lines are those of a configuration that nobody has seen.
            let told = diagnostics.iter().map(|diagnostic| {
                let path = diagnostic.spot.as_ref().map(|spot| spot.path.replacen("scripts.test", "script", 1));
                let path = path.map(|path| path.replacen("lua.test", "script.lua", 1)).unwrap_or_default();
                let help = diagnostic.help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default();
                format!("{path}: {}{help}", diagnostic.message)
            });
            let told = told.collect::<Vec<_>>().join("; ");
            Err(source.problem(start, &told, "write it as in gateway.toml; docs/lua/README.md has the form"))
        }
    }
}

/// A configuration around a script: its `lua` are settings of VMs, its `shared_dicts` are dictionaries with their sizes.
fn around(mut script: Table, file: &CaseFile) -> Result<String, String> {
    let table = |value: Option<Value>, key: &str| match value {
        None => Ok(Table::new()),
        Some(Value::Table(table)) => Ok(table),
        Some(_) => Err(format!("expected a table as `script.{key}`")),
    };
    let mut dicts = Table::new();
    for (name, size) in table(script.remove("shared_dicts"), "shared_dicts")? {
        dicts.insert(name, Value::Table(Table::from_iter([("size".to_owned(), size)])));
    }
    let mut lua = table(script.remove("lua"), "lua")?;
    let grants = lua.entry("grants").or_insert_with(|| Value::Array(Vec::new()));
    if let Value::Array(grants) = grants {
        grants.extend(dicts.keys().map(|name| Value::String(format!("shared:{name}"))));
        let is_granted =
            |name: &String| grants.iter().any(|grant| grant.as_str().is_some_and(|grant| grant.contains(name)));
        // What is stood in for is meant to be reached.
        let more: Vec<_> =
            file.sockets.keys().filter(|name| !is_granted(name)).map(|name| Value::String(grant(name))).collect();
        grants.extend(more);
        if file.upstreams.contains_key(ROUTES) && !grants.iter().any(|grant| grant.as_str() == Some(ROUTES)) {
            grants.push(Value::String(ROUTES.to_owned()));
        }
    }
    script.insert("lua".to_owned(), Value::String("test".to_owned()));
    let named = file
        .sockets
        .keys()
        .filter(|name| !name.contains(':'))
        .map(|name| format!("[upstreams.{}]\nendpoints = [\"127.0.0.1:1\"]\n", Value::String(name.clone())));
    let mut text: String = named.collect();
    let one = |key: &str, name: &str, value: Table| {
        Table::from_iter([(key.to_owned(), Value::Table(Table::from_iter([(name.to_owned(), Value::Table(value))])))])
    };
    let has_content = script.keys().any(|key| key.starts_with("content"));
    for table in [
        one("lua", "test", lua),
        one("scripts", "test", script),
        Table::from_iter([("shared_dicts".to_owned(), Value::Table(dicts))]),
    ] {
        text.push_str(&toml::to_string(&table).map_err(|error| error.to_string())?);
    }
    let target = if has_content { "" } else { "upstream = \"the-target\"\n" };
    text.push_str(&format!(
        "[upstreams.the-target]\nendpoints = [\"127.0.0.1:1\"]\n[[listeners]]\naddress = \"127.0.0.1:0\"\n\
         [[routes]]\nname = \"test\"\npath_prefix = \"/\"\nstages = [{{ script = \"test\" }}]\n{target}"
    ));
    Ok(text)
}

/// The grant for what a server is called.
fn grant(name: &str) -> String {
    if name.starts_with("unix:") || name.contains(':') { format!("address:{name}") } else { format!("upstream:{name}") }
}

fn app_spec(config: &config::Config, name: &str, vm: &config::LuaVm) -> Result<AppSpec, CommandError> {
    let mut modules = Modules::new();
    for directory in &vm.path {
        read_modules(&directory.value, "", 0, &mut modules)?;
    }
    let code = |code: &Option<Code>, key: &str| {
        code.as_ref().map(|code| chunk(code, &format!("lua.{name}.{key}"))).transpose()
    };
    let mut spec = AppSpec {
        name: name.into(),
        trust: match vm.trust {
            LuaTrust::Sandbox => Trust::Sandbox,
            LuaTrust::Full => Trust::Full,
        },
        modules: Arc::new(modules),
        module_paths: vm.path.iter().map(|path| path.value.clone()).collect(),
        native_paths: vm.native_path.iter().map(|path| path.value.clone()).collect(),
        libraries: vm.libraries.iter().map(|library| library.value.clone().into()).collect(),
        init: code(&vm.init, "init")?,
        init_worker: code(&vm.init_worker, "init_worker")?,
        limits: Limits {
            memory: vm.memory_limit,
            request_memory: vm.request_memory_limit,
            cpu: vm.cpu_limit,
            wall: vm.wall_timeout,
            coroutines: vm.coroutines_limit,
            timers: vm.timers_limit,
            sockets: vm.sockets_limit,
            response: vm.response_limit,
        },
        ..AppSpec::default()
    };
    spec.reach = reach(config, vm);
    for grant in &vm.grants {
        match &grant.value {
            LuaGrant::Shared(dict) => {
                spec.dicts.extend(config.shared_dicts.get(dict).map(|settings| (dict.clone(), settings.size)));
            }
            // As a plugin would begin with it that has kept nothing yet.
            LuaGrant::Kv(plugin) => {
                spec.stores.0.insert(plugin.clone(), component::host()?.store(plugin));
            }
            LuaGrant::Routes => spec.routes = true,
            LuaGrant::Upstream(_) | LuaGrant::Network { .. } | LuaGrant::Unix(_) => {}
        }
    }
    Ok(spec)
}

/// What is granted, though nothing of it is there: sockets end at what stands in for it.
fn reach(config: &config::Config, vm: &config::LuaVm) -> Reach {
    let mut reach = Reach::default();
    for grant in &vm.grants {
        match &grant.value {
            LuaGrant::Upstream(name) => {
                let endpoints = config.upstreams.get(name).into_iter().flat_map(|upstream| &upstream.endpoints);
                // Those with names have addresses elsewhere only; their ports count.
                let addresses = endpoints.map(|endpoint| {
                    let host = endpoint.value.host.parse().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
                    SocketAddr::new(host, endpoint.value.port)
                });
                reach.upstreams.insert(name.clone(), addresses.collect());
            }
            LuaGrant::Network { address, bits, port } => {
                reach.networks.push(Network { address: *address, bits: *bits, port: *port });
            }
            LuaGrant::Unix(path) => reach.unix.push(path.clone()),
            LuaGrant::Shared(_) | LuaGrant::Kv(_) | LuaGrant::Routes => {}
        }
    }
    reach
}

fn chunk(code: &Code, key: &str) -> Result<Chunk, CommandError> {
    match code {
        Code::Inline(source) => Ok(Chunk { name: format!("={key}"), source: source.value.text.clone().into() }),
        Code::File(path) => read(&path.value),
    }
}

fn read(path: &Path) -> Result<Chunk, CommandError> {
    let source = fs::read(path);
    let source = source.map_err(|source| CommandError::Read { what: "script", path: path.to_owned(), source })?;
    Ok(Chunk { name: format!("@{}", path.display()), source: Bytes::from(source) })
}

/// Every `.lua` file below a directory, by the names that `require` has for it; the first directory that has a name wins.
fn read_modules(directory: &Path, prefix: &str, depth: usize, modules: &mut Modules) -> Result<(), CommandError> {
    let unreadable = |source| CommandError::Read { what: "directory", path: directory.to_owned(), source };
    let entries = fs::read_dir(directory).map_err(unreadable)?;
    let mut paths: Vec<_> =
        entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>().map_err(unreadable)?;
    // `a.lua` comes before `a/init.lua`.
    paths.sort_by_key(|path| (path.is_dir(), path.clone()));
    for path in paths {
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        if path.is_dir() {
            if depth < DEPTH_LIMIT {
                read_modules(&path, &format!("{prefix}{name}."), depth + 1, modules)?;
            }
            continue;
        }
        let Some(stem) = name.strip_suffix(".lua") else { continue };
        if modules.len() >= MODULES_LIMIT {
            let message =
                format!("{} has more than {MODULES_LIMIT} modules: name a smaller directory", directory.display());
            return Err(CommandError::Usage(message));
        }
        let chunk = read(&path)?;
        if let ("init", Some(package)) = (stem, prefix.strip_suffix('.')) {
            modules.entry(package.to_owned()).or_insert_with(|| chunk.clone());
        }
        modules.entry(format!("{prefix}{stem}")).or_insert(chunk);
    }
    Ok(())
}
