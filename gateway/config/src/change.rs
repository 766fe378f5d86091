//! What a reload cannot change.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::table::Table;
use crate::{AccessLog, Admin, Config, Diagnostic, Inference, Listener, Located, ModelRuntime, Runtime, Spot};

/// Sections that are read once, when the process starts, with their keys of [`StaticSpots`].
const STATIC: [(&str, &[&str]); 5] = [
    ("listeners", &[]),
    ("admin", &["address"]),
    ("runtime", &["threads", "accept_timeout", "drain_timeout", "plugin_cache"]),
    ("inference", &["runtime", "threads", "niceness", "model_roots", "loaded_limit"]),
    ("access_log", &["output", "path"]),
];

/// Where the static settings stand, by path. All are equal: where something stands is no part of what it says.
#[derive(Debug, Clone, Default)]
pub(crate) struct StaticSpots(BTreeMap<String, Spot>);

impl PartialEq for StaticSpots {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl StaticSpots {
    pub(crate) fn of(root: &Table<'_>) -> Self {
        let mut spots = BTreeMap::new();
        for (section, keys) in STATIC {
            let spot = root.spot_of(section);
            spots.insert(section.to_owned(), spot);
            for key in keys {
                let spot = root.spot_within(section, key);
                spots.insert(spot.path.clone(), spot);
            }
        }
        Self(spots)
    }
}

impl Config {
    /// The static settings that differ from those of `old`, the configuration that the process was started with; a reload
    /// to this configuration, read from `file`, must be refused if there are any.
    pub fn static_changes(&self, old: &Self, file: &Path) -> Vec<Diagnostic> {
        let (mine, theirs) = (settings(self), settings(old));
        let changed = mine.iter().zip(&theirs).filter(|((_, mine), (_, theirs))| mine != theirs);
        changed
            .map(|((path, _), _)| {
                let spot = self.static_spots.0.get(*path).cloned();
                let spot = spot.unwrap_or_else(|| Spot { path: (*path).to_owned(), ..Spot::default() });
                let message = format!("`{path}` cannot change while the gateway runs");
                Diagnostic::at(file, &spot, message, "restart to apply it, or put the old value back")
            })
            .collect()
    }
}

/// Each static setting by path. Destructures in full, so that a new one is either compared or named as one that a reload
/// can change.
fn settings(config: &Config) -> [(&'static str, Setting<'_>); 12] {
    let Config {
        listeners,
        admin: Admin { address },
        runtime: Runtime { threads, accept_timeout, drain_timeout, plugin_cache },
        inference: Inference { runtime, threads: model_threads, niceness, model_roots, loaded_limit },
        access_log,
        downstream: _,
        upstreams: _,
        keys: _,
        key_sets: _,
        buckets: _,
        load: _,
        plugins: _,
        models: _,
        features: _,
        shared_dicts: _,
        lua: _,
        scripts: _,
        routes: _,
        static_spots: _,
    } = config;
    [
        ("listeners", Setting::Listeners(listeners)),
        ("admin.address", Setting::Address(address.as_ref())),
        ("runtime.threads", Setting::Count(*threads)),
        ("runtime.accept_timeout", Setting::Time(*accept_timeout)),
        ("runtime.drain_timeout", Setting::Time(*drain_timeout)),
        ("runtime.plugin_cache", Setting::File(plugin_cache.as_ref())),
        ("inference.runtime", Setting::ModelRuntime(runtime)),
        ("inference.threads", Setting::Count(*model_threads)),
        ("inference.niceness", Setting::Niceness(*niceness)),
        ("inference.model_roots", Setting::Directories(model_roots)),
        ("inference.loaded_limit", Setting::Count(Some(*loaded_limit))),
        ("access_log", Setting::Log(access_log)),
    ]
}

#[derive(PartialEq)]
enum Setting<'c> {
    Listeners(&'c [Listener]),
    Address(Option<&'c Located<SocketAddr>>),
    Count(Option<usize>),
    Time(Duration),
    File(Option<&'c Located<PathBuf>>),
    ModelRuntime(&'c ModelRuntime),
    Niceness(u32),
    Directories(&'c [Located<PathBuf>]),
    Log(&'c AccessLog),
}
