//! Lua VMs and scripts, from their configuration.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use tracing::warn;
use witgate_authoring::{LuaFinding, lua_findings};
use witgate_config::{self as config, Code, Diagnostic, LuaGrant, LuaTrust, Spot};
use witgate_plugin_host::PluginHost;
use witgate_script::{
    AppHandle, AppSpec, Chunk, Concern, Limits, Mistake, Modules, Network, Phase, Reach, Script, ScriptSpec,
    ScriptStage, Stores, Subrequests, Trust,
};

use witgate_stage::{FailurePolicy, Hook, Stage as _, Step};

use super::{Sources, Upstream, certificate};
use crate::gateway::Gateway;
use crate::proxy::subrequests::Loopback;

/// What scripts of all generations have in common.
pub struct ScriptHost {
    host: witgate_script::ScriptHost,
    loopback: Arc<Loopback>,
}

impl ScriptHost {
    /// # Errors
    /// Scripts cannot be watched: there can be no more threads.
    pub fn new(threads: usize) -> std::io::Result<Self> {
        let loopback = Arc::new(Loopback::default());
        let host = witgate_script::ScriptHost::new(threads, Some(Arc::clone(&loopback) as Arc<dyn Subrequests>))?;
        Ok(Self { host, loopback })
    }

    /// What the VMs of each `[lua.NAME]` have done: name, VMs made, VMs replaced, timers begun, sockets opened. Those of a
    /// generation that drains are beside those of the current one.
    pub fn figures(&self) -> Vec<(Arc<str>, [u64; 4])> {
        let read = |app: Arc<AppHandle>| {
            let witgate_script::Figures { vms, vms_replaced, timers, sockets } = app.app().figures();
            let figures = [vms, vms_replaced, timers, sockets].map(|figure| figure.load(Ordering::Relaxed));
            (Arc::clone(app.app().name()), figures)
        };
        self.host.apps().into_iter().map(read).collect()
    }

    /// Gives shared dictionaries the sizes that a configuration has for them.
    pub fn resize(&self, config: &config::Config) {
        self.host.resize(config.shared_dicts.iter().map(|(name, dict)| (name.clone(), dict.size)));
    }

    /// Which gateway serves requests of scripts to its own routes.
    pub fn serve_by(&self, gateway: &Arc<Gateway>) {
        self.loopback.serve_by(gateway);
    }
}

/// The scripts of a generation, by name.
pub struct Scripts(BTreeMap<String, Arc<Script>>);

impl Scripts {
    /// Makes a VM of each `[lua.NAME]` and compiles each script; what is wrong goes to `problems`.
    pub fn load(
        host: &ScriptHost,
        sources: &Sources,
        within: (&PluginHost, &BTreeMap<&str, Arc<Upstream>>),
        problems: &mut Vec<Diagnostic>,
    ) -> Self {
        let mut apps = BTreeMap::new();
        for (name, vm) in &sources.config.lua {
            if let Some(ca) = &vm.ca
                && let Err(unusable) = certificate::authorities(&sources.file(&ca.value))
            {
                problems.push(sources.diagnostic(&ca.spot, unusable.message, unusable.help));
                continue;
            }
            match host.host.app(app(sources, name, vm, within)) {
                Ok(app) => drop(apps.insert(name.as_str(), app)),
                Err(mistake) => {
                    let code = match mistake.concern {
                        Concern::Init => vm.init.as_ref(),
                        Concern::InitWorker => vm.init_worker.as_ref(),
                        Concern::Vm | Concern::Phase(_) => None,
                    };
                    problems.push(diagnostic(sources, (&vm.spot, code), format!("lua `{name}`"), mistake));
                }
            }
        }
        let mut scripts = BTreeMap::new();
        for (name, script) in &sources.config.scripts {
            // One that is missing has a problem of its own.
            let Some(app) = vm(host, sources, name, script, &apps, problems) else { continue };
            match host.host.script(spec(sources, name, script), &app) {
                Ok(made) => drop(scripts.insert(name.clone(), made)),
                Err(mistake) => {
                    let code = match mistake.concern {
                        Concern::Phase(phase) => script.phases.get(phase.name()),
                        Concern::Vm | Concern::Init | Concern::InitWorker => None,
                    };
                    problems.push(diagnostic(sources, (&script.spot, code), format!("script `{name}`"), mistake));
                }
            }
        }
        Self(scripts)
    }

    /// Holds the code of the configuration against what there is for it, without running it. Code that would fail whenever it
    /// runs is a problem, for all that a request would show is a 500; what may fail in some case goes to `notes`.
    pub fn judge(&self, sources: &Sources, (problems, notes): (&mut Vec<Diagnostic>, &mut Vec<Diagnostic>)) {
        if sources.config.scripts.is_empty() && sources.config.lua.is_empty() {
            return;
        }
        let findings = match lua_findings(&sources.config, (&sources.path, &sources.text), sources.files()) {
            Ok(findings) => findings,
            Err(error) => {
                warn!(%error, "scripts are not checked for names that are not there");
                return;
            }
        };
        let place = |it: &Diagnostic| (it.file.clone(), it.spot.as_ref().map(|spot| spot.line));
        let known: BTreeSet<_> = problems.iter().map(place).collect();
        for LuaFinding { diagnostic, fails } in findings {
            // What kept a script from being made is told already.
            if !known.contains(&place(&diagnostic)) {
                let list = if fails { &mut *problems } else { &mut *notes };
                list.push(diagnostic);
            }
        }
    }

    /// The stage of an entry. `keeps`: see [`Scripts::keeps`]. None: the script has a problem, which is reported already.
    pub fn step(&self, name: &str, keeps: bool, policy: FailurePolicy) -> Option<Step> {
        let script = self.0.get(name)?;
        Some(Step::new(Arc::new(ScriptStage::new(Arc::clone(script), keeps)), policy))
    }

    /// Whether scripts of a route have more than one hook between them, or one that runs for each piece of a body, so that one
    /// run has to see what another left.
    pub fn keeps(&self, route: &config::Route) -> bool {
        let scripts = route.stages.iter().filter_map(|stage| match &stage.kind {
            config::StageKind::Script { script } => self.0.get(script),
            config::StageKind::Plugin { .. } | config::StageKind::Inference(_) => None,
        });
        let runs = scripts.flat_map(|script| {
            let stage = ScriptStage::new(Arc::clone(script), false);
            let runs = |hook: Hook| if hook == Hook::ResponseBody { 2 } else { 1 };
            Hook::ALL.into_iter().filter(move |hook| stage.has(*hook)).map(runs)
        });
        runs.sum::<usize>() > 1
    }
}

/// The VMs of a script: those that it names, or some of its own.
fn vm(
    host: &ScriptHost,
    sources: &Sources,
    name: &str,
    script: &config::Script,
    apps: &BTreeMap<&str, Arc<AppHandle>>,
    problems: &mut Vec<Diagnostic>,
) -> Option<Arc<AppHandle>> {
    if let Some(lua) = &script.lua {
        return apps.get(lua.as_str()).cloned();
    }
    let spec = AppSpec { name: Arc::from(name), ..AppSpec::default() };
    match host.host.app(spec) {
        Ok(app) => Some(app),
        Err(mistake) => {
            problems.push(sources.diagnostic(&script.spot, format!("script `{name}`: {mistake}"), mistake.help));
            None
        }
    }
}

/// Tells of a mistake where the code in question stands: in its line, if it is known.
fn diagnostic(
    sources: &Sources,
    (spot, code): (&Spot, Option<&Code>),
    subject: String,
    mistake: Mistake,
) -> Diagnostic {
    let message = format!("{subject}: {}", mistake.message);
    match (code, mistake.line) {
        (Some(Code::File(file)), Some(line)) => {
            let spot = Spot { line, column: 1, path: file.spot.path.clone() };
            Diagnostic::at(&file.value, &spot, message, mistake.help)
        }
        (Some(Code::Inline(source)), Some(line)) => {
            let line = source.value.line_of_file(line);
            let column = if line == source.spot.line { source.spot.column } else { 1 };
            sources.diagnostic(&Spot { line, column, path: source.spot.path.clone() }, message, mistake.help)
        }
        (code, _) => sources.diagnostic(code.map_or(spot, Code::spot), message, mistake.help),
    }
}

fn app(
    sources: &Sources,
    name: &str,
    vm: &config::LuaVm,
    (plugins, upstreams): (&PluginHost, &BTreeMap<&str, Arc<Upstream>>),
) -> AppSpec {
    let config::LuaVm {
        spot: _,
        path,
        native_path,
        libraries,
        ca,
        trust,
        init,
        init_worker,
        grants,
        memory_limit,
        request_memory_limit,
        cpu_limit,
        wall_timeout,
        coroutines_limit,
        timers_limit,
        sockets_limit,
        response_limit,
    } = vm;
    let mut spec = AppSpec {
        name: Arc::from(name),
        trust: match trust {
            LuaTrust::Sandbox => Trust::Sandbox,
            LuaTrust::Full => Trust::Full,
        },
        modules: Arc::new(modules(sources, path)),
        module_paths: path.iter().map(|path| path.value.clone()).collect(),
        native_paths: native_path.iter().map(|path| path.value.clone()).collect(),
        libraries: libraries.iter().map(|library| library.value.clone().into()).collect(),
        init: init.as_ref().map(|code| chunk(sources, code, &format!("lua.{name}.init"))),
        init_worker: init_worker.as_ref().map(|code| chunk(sources, code, &format!("lua.{name}.init_worker"))),
        limits: Limits {
            memory: *memory_limit,
            request_memory: *request_memory_limit,
            cpu: *cpu_limit,
            wall: *wall_timeout,
            coroutines: *coroutines_limit,
            timers: *timers_limit,
            sockets: *sockets_limit,
            response: *response_limit,
        },
        dicts: BTreeMap::new(),
        stores: Stores::default(),
        reach: Reach::default(),
        authorities: ca.as_ref().map(|ca| Bytes::from(certificate::unmarked(&sources.file(&ca.value)).into_owned())),
        routes: false,
    };
    for grant in grants {
        match &grant.value {
            LuaGrant::Shared(dict) => {
                spec.dicts.extend(sources.config.shared_dicts.get(dict).map(|settings| (dict.clone(), settings.size)));
            }
            LuaGrant::Kv(plugin) => drop(spec.stores.0.insert(plugin.clone(), plugins.store(plugin))),
            LuaGrant::Upstream(upstream) => {
                let endpoints = upstreams.get(upstream.as_str()).map(|group| group.addresses().collect());
                spec.reach.upstreams.extend(endpoints.map(|endpoints| (upstream.clone(), endpoints)));
            }
            LuaGrant::Network { address, bits, port } => {
                spec.reach.networks.push(Network { address: *address, bits: *bits, port: *port });
            }
            LuaGrant::Unix(path) => spec.reach.unix.push(path.clone()),
            LuaGrant::Routes => spec.routes = true,
        }
    }
    spec
}

fn spec(sources: &Sources, name: &str, script: &config::Script) -> ScriptSpec {
    let phases = script.phases.iter().filter_map(|(phase, code)| {
        let known = Phase::ALL.into_iter().find(|known| known.name() == *phase)?;
        Some((known, chunk(sources, code, &format!("scripts.{name}.{phase}"))))
    });
    ScriptSpec { name: Arc::from(name), phases: phases.collect(), variables: script.variables.clone() }
}

fn modules(sources: &Sources, path: &[config::Located<PathBuf>]) -> Modules {
    let files = sources.module_files(path.iter().map(|path| path.value.as_path()));
    let chunk = |path| Chunk { name: chunk_name(path), source: Bytes::from_owner(sources.file(path)) };
    files.into_iter().map(|(name, path)| (name.to_owned(), chunk(path))).collect()
}

/// Code under the name that errors give it: the file's path, or the key that it stands at.
fn chunk(sources: &Sources, code: &Code, key: &str) -> Chunk {
    match code {
        Code::Inline(text) => Chunk { name: format!("={key}"), source: Bytes::from(text.value.text.clone()) },
        Code::File(path) => {
            Chunk { name: chunk_name(&path.value), source: Bytes::from_owner(sources.file(&path.value)) }
        }
    }
}

/// How errors name a file.
fn chunk_name(path: &Path) -> String {
    format!("@{}", path.display())
}
