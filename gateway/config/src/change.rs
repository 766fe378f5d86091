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
    /// A setting that is not there has the spot of its table, and without that the end of the file, where it could stand.
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

    fn of_setting(&self, path: &str) -> Spot {
        self.0.get(path).cloned().unwrap_or_else(|| Spot { path: path.to_owned(), ..Spot::default() })
    }
}

impl Config {
    /// The static settings that differ from those of `old`, the configuration that the process was started with; a reload
    /// to this configuration, read from `file`, must be refused if there are any.
    pub fn static_changes(&self, old: &Self, file: &Path) -> Vec<Diagnostic> {
        let (mine, theirs) = (settings(self), settings(old));
        let changed = mine.iter().zip(&theirs).filter(|((_, mine), (_, theirs))| mine != theirs);
        let changes = changed.map(|((path, mine), (_, theirs))| {
            let (spot, subject, mine, theirs) = match (mine, theirs) {
                (Setting::Listeners(mine), Setting::Listeners(theirs)) => self.listener_change(mine, theirs),
                (mine, theirs) => (self.static_spots.of_setting(path), format!("`{path}`"), mine.show(), theirs.show()),
            };
            let message = format!(
                "{subject} cannot change while the gateway runs: expected {theirs}, as it was started with, got {mine}"
            );
            Diagnostic::at(file, &spot, message, "restart to apply it, or put the old value back")
        });
        changes.collect()
    }

    /// The first listener that differs: where, what, what it is now and what it was.
    fn listener_change(&self, mine: &[Listener], theirs: &[Listener]) -> (Spot, String, String, String) {
        let differing = mine.iter().zip(theirs).enumerate().find(|(_, (mine, theirs))| mine != theirs);
        let subject = |index: usize| format!("`listeners[{index}]`");
        let at = |listener: &Listener| Spot { path: "listeners".to_owned(), ..listener.address.spot.clone() };
        match differing {
            Some((index, (mine, theirs))) => (at(mine), subject(index), show(mine), show(theirs)),
            None => match mine.get(theirs.len()) {
                Some(added) => {
                    (at(added), "`listeners`".to_owned(), format!("also {}", show(added)), "no more".to_owned())
                }
                None => {
                    let gone = theirs.get(mine.len()).map_or_else(String::new, show);
                    (self.static_spots.of_setting("listeners"), "`listeners`".to_owned(), "none".to_owned(), gone)
                }
            },
        }
    }
}

fn show(Listener { address, tls }: &Listener) -> String {
    let address = address.value;
    match tls {
        Some(tls) => {
            let (certificate, key) = (tls.certificate.value.display(), tls.key.value.display());
            format!("{address} with the certificate `{certificate}` and the key `{key}`")
        }
        None => format!("{address} without `tls`"),
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

impl Setting<'_> {
    /// As in the file, as far as it can be told in a few words.
    fn show(&self) -> String {
        let path = |path: &Located<PathBuf>| format!("\"{}\"", path.value.display());
        match self {
            Self::Listeners(listeners) => format!("{} listeners", listeners.len()),
            Self::Address(address) => address.map_or_else(|| "\"off\"".to_owned(), |it| format!("\"{}\"", it.value)),
            Self::Count(count) => count.map_or_else(|| "none".to_owned(), |count| count.to_string()),
            Self::Time(time) => format!("{time:?}"),
            Self::File(file) => file.map_or_else(|| "none".to_owned(), path),
            Self::ModelRuntime(ModelRuntime::Embedded) => "\"embedded\"".to_owned(),
            Self::ModelRuntime(ModelRuntime::Auto) => "\"auto\"".to_owned(),
            Self::ModelRuntime(ModelRuntime::Path(file)) => path(file),
            Self::Niceness(niceness) => niceness.to_string(),
            Self::Directories(directories) => {
                format!("[{}]", directories.iter().map(path).collect::<Vec<_>>().join(", "))
            }
            Self::Log(AccessLog::Stdout) => "\"stdout\"".to_owned(),
            Self::Log(AccessLog::Off) => "\"off\"".to_owned(),
            Self::Log(AccessLog::File(file)) => format!("the file {}", path(file)),
        }
    }
}
