//! What tools for authors look at: a component before anything is granted, and what a loaded plugin keeps and costs.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use wasmtime::component::Linker;
use wasmtime::component::types::ComponentItem;
use witgate_stage::{Exchange, Hook, StageError, Verdict};

use crate::compile::{self, Compiled};
use crate::contract::{Contract, Name, PACKAGE};
use crate::exports::Exports;
use crate::fault::Fault;
use crate::host::{Binding, HostState, Past, wasi};
use crate::instance::{Instance, Template, ticks};
use crate::load::{checked, run_here};
use crate::service::{KvError, Namespace, Surroundings};
use crate::stats::{Counters, Slot, Slots};
use crate::{Description, Grants, LoadError, LoadedPlugin, PluginHost, PluginLimits};

/// Far above what a description takes, so that no plugin fails for want of it here.
const LIMITS: PluginLimits = PluginLimits::new(256 << 20, Duration::from_secs(1), 1);

/// What a component is and wants, found without granting it anything.
#[derive(Debug)]
pub struct Inspection {
    /// Version of the contract, by what it exports: `0.1.0`; none if it exports nothing of it.
    pub contract: Option<String>,
    /// In the order in which they run.
    pub hooks: Vec<Hook>,
    /// In the order of their names.
    pub imports: Vec<Import>,
    pub description: Option<Description>,
    /// JSON Schema of the configuration, as the plugin has it.
    pub config_schema: Option<String>,
    /// Why it would not load, whatever it is granted.
    pub problem: Option<LoadError>,
    /// From bytes to machine code.
    pub compile: Duration,
    /// From the cache to the same; none if the host has no cache, or cannot write to it.
    pub load: Option<Duration>,
}

/// An interface that a component imports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// As the component has it, such as `witgate:plugin/kv@0.1.0`.
    pub name: String,
    /// What a stage's `grants` must have for it, such as `kv` or `limiter:NAME`; none: nothing.
    pub grant: Option<&'static str>,
}

impl PluginHost {
    /// Compiles a component, lists what it imports and exports, and asks it for its description. It is configured with
    /// nothing and granted nothing: `describe` is pure.
    ///
    /// # Errors
    /// [`LoadError::NotComponent`] or [`LoadError::Compile`]; what is wrong besides is in [`Inspection::problem`].
    pub fn inspect(&self, wasm: &[u8]) -> Result<Inspection, LoadError> {
        let (engine, cache) = self.compiler();
        let digest = compile::digest(wasm);
        let started = Instant::now();
        let compiled = compile::compile(engine, None, &digest, wasm)?;
        let compile = started.elapsed();
        let load = cache.and_then(|cache| {
            cache.keep(&digest, &compiled.component);
            let started = Instant::now();
            cache.find(engine, &digest).map(|_| started.elapsed())
        });
        let (contract, hooks) = exports(&compiled);
        let imports = imports(&compiled);
        let (described, problem) = match describe(&compiled) {
            Ok(described) => (Some(described), None),
            Err(error) => (None, Some(error)),
        };
        let (description, config_schema) = described.unzip();
        Ok(Inspection {
            contract,
            hooks,
            imports,
            description,
            config_schema: config_schema.flatten(),
            problem,
            compile,
            load,
        })
    }
}

fn exports(compiled: &Compiled) -> (Option<String>, Vec<Hook>) {
    let component = &compiled.component;
    let ty = component.component_type();
    let names: Vec<_> = ty.exports(component.engine()).filter_map(|(name, _)| Name::parse(name)).collect();
    let of_contract = || names.iter().filter(|name| name.package == PACKAGE);
    let lifecycle = of_contract().find(|name| name.interface == "lifecycle").or_else(|| of_contract().next());
    let has = |hook: &Hook| of_contract().any(|name| name.interface == hook.label());
    (lifecycle.map(|name| name.version.to_owned()), Hook::ALL.into_iter().filter(has).collect())
}

fn imports(compiled: &Compiled) -> Vec<Import> {
    let component = &compiled.component;
    let nothing = Grants::default();
    let ty = component.component_type();
    let names: BTreeSet<_> = ty.imports(component.engine()).map(|(name, _)| name.to_owned()).collect();
    let import = |name: String| {
        let wanted = Name::parse(&name).filter(|name| name.package == PACKAGE);
        let grant = wanted.and_then(|wanted| nothing.allow(wanted.interface).err());
        Import { name, grant }
    };
    names.into_iter().map(import).collect()
}

/// Links everything, granted or not, for a guest that may use none of it: `describe` is called outside every hook.
fn describe(compiled: &Compiled) -> Result<(Description, Option<String>), LoadError> {
    let component = &compiled.component;
    let engine = component.engine().clone();
    let contract = Contract::of(component)?;
    let mismatch = |error: wasmtime::Error| LoadError::mismatch(&error);
    let mut linker: Linker<HostState> = Linker::new(&engine);
    for (import, item) in component.component_type().imports(&engine) {
        let unknown = || LoadError::UnknownImport { import: import.to_owned() };
        let name = Name::parse(import).ok_or_else(unknown)?;
        let ComponentItem::ComponentInstance(wanted) = item.ty else { return Err(unknown()) };
        if name.package == PACKAGE && contract.interfaces.contains(&name.interface) {
            (contract.link)(&mut linker, name.interface).map_err(mismatch)?;
        } else if wasi::PACKAGES.contains(&name.package) {
            let interface = format!("{}/{}", name.package, name.interface);
            let mut instance = linker.instance(import).map_err(mismatch)?;
            wasi::link(&engine, &mut instance, (&interface, &wanted), true).map_err(mismatch)?;
        } else {
            return Err(unknown());
        }
    }
    let pre = linker.instantiate_pre(component).map_err(mismatch)?;
    let exports = Exports::probe(contract, &pre)?;
    let binding =
        Binding { name: "inspected".into(), grants: Grants::default(), namespace: None, counters: Counters::default() };
    let template = Template {
        engine,
        pre,
        exports,
        binding: Arc::new(binding),
        limits: LIMITS,
        hook_ticks: ticks(LIMITS.hook_timeout),
        config_json: "{}".to_owned(),
    };
    let start = |fault| LoadError::Start { fault };
    let mut instance = run_here(Instance::start(&template, own_places().map_err(start)?)).map_err(start)?;
    let described = run_here(instance.describe()).map_err(|fault| LoadError::Describe { fault })?;
    Ok((checked(&described)?, described.config_schema))
}

/// Places that count among nobody's.
fn own_places() -> Result<[Slot; 2], Fault> {
    let slots = Slots::new(2);
    let both = slots.take().zip(slots.take());
    both.map(|(one, other)| [one, other])
        .ok_or_else(|| Fault::new(witgate_stage::FailureKind::Unavailable, "no place is left"))
}

impl LoadedPlugin {
    /// The plugin's key-value namespace, if the grant is there.
    pub fn kv(&self) -> Option<KvStore> {
        let binding = &self.template.binding;
        binding.namespace.clone().map(|namespace| KvStore(namespace, binding.grants.surroundings.clone()))
    }

    /// Runs a hook in an instance that is started and configured for it and gone afterwards: what a request costs that
    /// shares no instance with another. Such instances are not counted in [`LoadedPlugin::stats`] as taken.
    ///
    /// # Errors
    /// As of the hook itself, or the instance does not start.
    pub async fn run_fresh(&self, hook: Hook, exchange: Box<Exchange>) -> (Box<Exchange>, Result<Verdict, StageError>) {
        let failed =
            |fault: Fault| StageError { stage: self.name().to_owned(), kind: fault.kind, source: Box::new(fault) };
        let template = &self.template;
        let mut instance = match own_places() {
            Ok(places) => match Instance::start(template, places).await {
                Ok(instance) => instance,
                Err(fault) => return (exchange, Err(failed(fault))),
            },
            Err(fault) => return (exchange, Err(failed(fault))),
        };
        if let Err(fault) = instance.configure_again(&template.config_json).await {
            return (exchange, Err(failed(fault)));
        }
        let (exchange, answer) =
            instance.call(hook, exchange, (template.hook_ticks, template.limits.wall_timeout), Past::default()).await;
        (exchange, answer.map_err(failed))
    }
}

/// What a plugin keeps between requests, seen from outside: for tests of plugins.
#[derive(Debug, Clone)]
pub struct KvStore(Arc<Namespace>, Surroundings);

/// A value that a namespace does not take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KvStoreError {
    #[error("the key or the value is too long; a key has at most 256 bytes and a value at most 64 KiB")]
    TooLarge,
    #[error("the namespace is full; it holds 10 000 keys and 1 MiB")]
    Full,
}

impl KvStore {
    pub fn get(&self, key: &str) -> Option<Vec<u8>> {
        self.0.get(self.1.now(), key)
    }

    /// Keeps a value until it is replaced.
    ///
    /// # Errors
    /// [`KvStoreError`]; the old value is then still there.
    pub fn set(&self, key: &str, value: Vec<u8>) -> Result<(), KvStoreError> {
        self.0.set(self.1.now(), key, value, None).map_err(|error| match error {
            KvError::TooLarge => KvStoreError::TooLarge,
            KvError::Quota | KvError::NotANumber => KvStoreError::Full,
        })
    }

    /// Whether the key was there.
    pub fn delete(&self, key: &str) -> bool {
        self.0.delete(self.1.now(), key)
    }
}
