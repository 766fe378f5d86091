//! The sections of the file: one source file each.

mod access_log;
mod admin;
mod buckets;
mod downstream;
mod features;
mod inference;
mod insecure;
mod keys;
mod listeners;
mod load;
mod models;
mod plugins;
mod routes;
mod runtime;
mod scoring;
mod scripts;
mod stages;
mod upstreams;

use std::collections::BTreeMap;

use crate::Config;
use crate::change::StaticSpots;
use crate::kind::Granted;
use crate::source::Read;
use crate::table::Table;

pub(crate) use models::defaults as model_defaults;

/// The whole file. Every section is read before the first failure ends it, so that all problems are found at once.
pub(crate) fn read(root: &mut Table<'_>) -> Read<Config> {
    let listeners = listeners::read(root);
    let insecure = insecure::read(root);
    let allowed = insecure.unwrap_or_default();
    let admin = admin::read(root, allowed.admin_on_any_address, listeners.as_deref().unwrap_or_default());
    let runtime = runtime::read(root);
    let inference = inference::read(root);
    let access_log = access_log::read(root);
    let downstream = downstream::read(root);
    let upstreams = upstreams::read(root);
    let keys = keys::read_keys(root);
    let key_sets = keys::read_key_sets(root);
    let buckets = buckets::read(root);
    let load = load::read(root);
    let plugins = plugins::read(root);
    let models = models::read(root);
    let features = features::read(root);
    let shared_dicts = scripts::read_dicts(root);

    // Names count even if what they name is wrong: one mistake should not look like two.
    let secrets = [root.names_in("keys"), root.names_in("key_sets")].concat();
    let (bucket_names, load_names) = (root.names_in("buckets"), root.names_in("load"));
    let (upstream_names, plugin_names) = (root.names_in("upstreams"), root.names_in("plugins"));
    let (model_names, feature_names) = (root.names_in("models"), root.names_in("features"));
    let (dict_names, vm_names) = (root.names_in("shared_dicts"), root.names_in("lua"));
    let granted = scripts::Names { dicts: &dict_names, upstreams: &upstream_names, plugins: &plugin_names };
    let lua = scripts::read_vms(root, &granted);
    let scripts = scripts::read(root, &vm_names);
    let script_names = root.names_in("scripts");
    // Also those of a script that has another problem.
    let answering = root.names_with("scripts", &["content", "content_file"]);
    let names = routes::Names {
        upstreams: &upstream_names,
        plugins: &plugin_names,
        models: &model_names,
        features: &feature_names,
        scripts: &script_names,
        answering: &answering,
        granted: Granted {
            keys: &secrets,
            buckets: &bucket_names,
            load: &load_names,
            upstreams: &upstream_names,
            models: &model_names,
        },
    };
    let body_limit = downstream.as_ref().ok().and_then(|downstream| downstream.body_limit);
    let routes = routes::read(root, &names, body_limit);
    let distinct = keys::check_distinct(root, &key_sets);
    let static_spots = StaticSpots::of(root);
    insecure?;
    distinct?;
    Ok(Config {
        listeners: listeners?,
        admin: admin?,
        runtime: runtime?,
        inference: inference?,
        access_log: access_log?,
        downstream: downstream?,
        upstreams: upstreams?,
        keys: keys?,
        key_sets: key_sets?,
        buckets: buckets?,
        load: load?,
        plugins: plugins?,
        models: models?,
        features: features?,
        shared_dicts: shared_dicts?,
        lua: lua?,
        scripts: scripts?,
        routes: routes?,
        static_spots,
    })
}

/// Reports every key but the first that stands for the same thing.
pub(crate) fn first_of<K: Ord, V>(seen: &mut BTreeMap<K, V>, key: K, value: V) -> Option<&V> {
    use std::collections::btree_map::Entry;
    match seen.entry(key) {
        Entry::Vacant(vacant) => {
            vacant.insert(value);
            None
        }
        Entry::Occupied(present) => Some(present.into_mut()),
    }
}
