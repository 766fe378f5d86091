//! `routes[].stages`: the steps of a route's pipeline.

use super::routes::Names;
use super::scoring;
use crate::kind::{At, Choice, GrantName, Json, List, NameOf};
use crate::source::Read;
use crate::table::{Key, Reload, Section, Table};
use crate::{Disposition, Failure, Located, Places, Stage, StageKind};

const SECTION: Section = Section {
    name: "stages",
    reload: Reload::Live,
    doc: "Steps that a request goes through, in this order, and its response in reverse. The proven order is: shed load, \
          limit rates, authenticate, then the rest, so that overload is refused before it costs anything.",
};

/// Most grants of one stage: there are seven kinds, and few plugins need more than a handful of names.
const GRANTS_LIMIT: usize = 64;

const CONFIG: Key<At<Json>> = Key {
    name: "config",
    kind: At(Json),
    example: "{ key_set = \"customers\" }",
    doc: "The plugin's own configuration, checked against its schema and by the plugin itself. Without it, empty.",
};

const DISPOSITION: Choice<Disposition> =
    Choice(&[("deny", Disposition::Deny), ("skip", Disposition::Skip), ("last_good", Disposition::LastGood)]);

const ON_LOAD: Key<Choice<Disposition>> = Key {
    name: "on_load",
    kind: DISPOSITION,
    example: "\"last_good\"",
    doc: "If the plugin cannot be loaded: its file cannot be read, the component is of no use, or it refuses `config` or \
          `grants`. `\"deny\"`: the reload is refused and everything stays as it was; a start fails. `\"skip\"`: the route \
          serves without this stage. `\"last_good\"`: the version that this route ran before the reload keeps running, \
          with the `config`, `grants` and limits it had, and the rest of the reload takes effect; at a start, and on a \
          new route, there is none, and it means `\"deny\"`. What is not as configured is in the log, in the answer to \
          the reload, and in the metric `witgate_stage_fallback`.",
};

const ON_TRAP: Key<Choice<Disposition>> = Key {
    name: "on_trap",
    kind: DISPOSITION,
    example: "\"skip\"",
    doc: "If the plugin crashes, takes too much memory or answers with something unusable: `\"deny\"` the request, \
          `\"skip\"` the stage, or run the hook once more on the `\"last_good\"` version, which is the one that this \
          route ran before the last reload that changed the plugin, if its breaker was closed then; without one, without \
          that hook in it, or if it fails too, the request is denied. What the failed run did outside its instance, such \
          as a key written or tokens taken, stays done. Also for calls that the breaker keeps from a plugin which failed \
          again and again (docs/operation.md). Closed by default: a check that did not happen must not pass for one \
          that did.",
};

const ON_TIMEOUT: Key<Choice<Disposition>> = Key {
    name: "on_timeout",
    kind: DISPOSITION,
    example: "\"skip\"",
    doc: "The same, if the plugin is stopped at its `hook_timeout` or its `wall_timeout`.",
};

const ON_OVERLOAD: Key<Choice<Disposition>> = Key {
    name: "on_overload",
    kind: DISPOSITION,
    example: "\"skip\"",
    doc: "The same, if no instance of the plugin is free.",
};

/// Keys that only mean something beside `plugin`.
const PLUGIN_KEYS: [&str; 6] = [CONFIG.name, "grants", ON_LOAD.name, ON_TRAP.name, ON_TIMEOUT.name, ON_OVERLOAD.name];

pub(super) fn read(table: &mut Table<'_>, names: &Names<'_>) -> Read<Vec<Stage>> {
    table.list(&SECTION, |table| {
        let plugin = Key {
            name: "plugin",
            kind: NameOf { table: "plugins", names: names.plugins },
            example: "\"auth\"",
            doc: "The plugin to run. Either this, `inference` or `script`.",
        };
        let script = Key {
            name: "script",
            kind: NameOf { table: "scripts", names: names.scripts },
            example: "\"checkout\"",
            doc: "The Lua script to run. `on_trap`, `on_timeout` and `on_overload` can stand beside it.",
        };
        let grants = Key {
            name: "grants",
            kind: List { kind: GrantName(names.granted), least: 0, most: GRANTS_LIMIT },
            example: "[\"log\", \"crypto:customers\"]",
            doc: "What the plugin may reach; nothing, without it. `log`: writes lines to the gateway's log. `clock`: reads the \
                  time. `kv`: keeps small state that all instances of the plugin share. `crypto`: computes digests. \
                  `crypto:NAME`: uses that key or key set, and never sees it. `limiter:NAME`: takes tokens from that \
                  bucket. `load:NAME`: sheds by that load scope. `inference:NAME`: asks that model.",
        };
        let plugin = table.optional(&plugin);
        let config = table.optional(&CONFIG);
        let grants = table.optional(&grants);
        let failure = read_failure(table);
        let scoring = scoring::read(table, names);
        let script = table.optional(&script);
        let kind = match (plugin?, scoring?, script?) {
            (Some(plugin), None, None) => {
                refuse(table, &scoring::KEYS, "inference")?;
                let Located { value: (value, places), spot } = config?.unwrap_or_else(|| Located {
                    value: (serde_json::Value::Object(serde_json::Map::new()), Places::default()),
                    spot: table.spot_of(CONFIG.name),
                });
                StageKind::Plugin {
                    plugin,
                    config: Located { value, spot },
                    places,
                    grants: grants?.unwrap_or_default(),
                }
            }
            (None, None, Some(script)) => {
                refuse(table, &scoring::KEYS, "inference")?;
                refuse(table, &[CONFIG.name, "grants", ON_LOAD.name], "plugin")?;
                refuse_last_good(table, failure.as_ref().ok())?;
                StageKind::Script { script }
            }
            (None, Some(scoring), None) => {
                refuse(table, &PLUGIN_KEYS, "plugin")?;
                StageKind::Inference(Box::new(scoring))
            }
            (None, None, None) => {
                let help = "add `plugin = \"NAME\"`, `inference = \"NAME\"` or `script = \"NAME\"`";
                return Err(table.fail("expected `plugin`, `inference` or `script`, got none of them", help));
            }
            (plugin, scoring, script) => {
                let given = [("script", script.is_some()), ("inference", scoring.is_some()), ("plugin", plugin.is_some())];
                let last = given.iter().find(|(_, given)| *given).map_or("plugin", |(key, _)| key);
                let message = "expected one of `plugin`, `inference` and `script`, got more";
                return Err(table.fail_at(last, message, "make entries of their own, in the order in which they run"));
            }
        };
        Ok(Stage { spot: table.spot(), kind, failure: failure? })
    })
}

/// Scripts of a reload that fails stay what they were as a whole: there is no older version beside the one that runs.
fn refuse_last_good(table: &Table<'_>, failure: Option<&Failure>) -> Read<()> {
    let Some(failure) = failure else { return Ok(()) };
    let settings = [
        (ON_TRAP.name, failure.on_trap),
        (ON_TIMEOUT.name, failure.on_timeout),
        (ON_OVERLOAD.name, failure.on_overload),
    ];
    match settings.iter().find(|(_, disposition)| *disposition == Disposition::LastGood) {
        Some((key, _)) => {
            let message = "expected \"deny\" or \"skip\" beside `script`, got \"last_good\"";
            Err(table.fail_at(key, message, "choose one of these: only plugins keep a last good version"))
        }
        None => Ok(()),
    }
}

/// Reports keys that mean something for another kind of stage only.
fn refuse(table: &Table<'_>, keys: &[&str], kind: &str) -> Read<()> {
    let mut result = Ok(());
    for key in keys.iter().filter(|key| table.has(key)) {
        let message = format!("expected `{key}` only beside `{kind}`");
        result = Err(table.fail_at(key, message, "remove it from this stage"));
    }
    result
}

fn read_failure(table: &mut Table<'_>) -> Read<Failure> {
    let on_load = table.or(&ON_LOAD, Disposition::Deny);
    let on_trap = table.or(&ON_TRAP, Disposition::Deny);
    let on_timeout = table.or(&ON_TIMEOUT, Disposition::Deny);
    let on_overload = table.or(&ON_OVERLOAD, Disposition::Deny);
    Ok(Failure { on_load: on_load?, on_trap: on_trap?, on_timeout: on_timeout?, on_overload: on_overload? })
}
