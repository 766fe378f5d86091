//! `[[routes]]`: which requests, through which stages, to where.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{downstream, first_of, stages};
use crate::kind::{Choice, Granted, Host, List, Name, NameOf, OrWord, RoutePath, RoutePrefix, Size, Time};
use crate::kind::{GIB, KIB, MIB};
use crate::source::Read;
use crate::table::{Key, Reload, Section, Table};
use crate::{HostPattern, ModelRoute, PathPattern, Route, Stage, StageKind, Target};

const SECTION: Section = Section {
    name: "routes",
    reload: Reload::Live,
    doc: "Which requests go where, through which stages. The order of routes does not matter. The most specific host that has a matching path wins: an exact one before a \
          wildcard, a longer wildcard before a shorter one, none last; for the same host an exact path before a prefix, and \
          a longer prefix before a shorter one. A request that no route matches gets 404.",
};

/// Longer than people wait; work that takes longer says so.
const DEADLINE: Duration = Duration::from_secs(30);

const NAME: Key<Name> = Key {
    name: "name",
    kind: Name,
    example: "\"api\"",
    doc: "Its name in logs and metrics; no other route may have it.",
};

const HOST: Key<Host> = Key {
    name: "host",
    kind: Host,
    example: "\"*.example.com\"",
    doc: "Host that requests are for, without port. `*.` stands for one or more labels. Without it, every host.",
};

const PATH: Key<RoutePath> = Key {
    name: "path",
    kind: RoutePath,
    example: "\"/login\"",
    doc: "The whole path of requests. Not beside `path_prefix`.",
};

const PREFIX: Key<RoutePrefix> = Key {
    name: "path_prefix",
    kind: RoutePrefix,
    example: "\"/api\"",
    doc: "First segments of the path: `/api` matches `/api` and `/api/x`, not `/apix`. Without `path` and `path_prefix`, \
          every path.",
};

const DEADLINE_KEY: Key<OrWord<Time>> = Key {
    name: "deadline",
    kind: OrWord { word: "none", kind: Time { least: Duration::from_millis(1), most: Duration::from_secs(24 * 3600) } },
    example: "\"5s\"",
    doc: "From the end of the request's head to the end of the response; then the client gets 504, or a response that has \
          begun is cut off. Tunnels (WebSockets) need only be set up in time. `\"none\"`: no deadline.",
};

/// Long enough for the usual pings, short enough that connections whose peer has vanished go away.
const TUNNEL_IDLE: Duration = Duration::from_secs(600);

const TUNNEL: Key<OrWord<Time>> = Key {
    name: "tunnel_idle_timeout",
    kind: OrWord {
        word: "none",
        kind: Time { least: Duration::from_millis(100), most: Duration::from_secs(7 * 24 * 3600) },
    },
    example: "\"1h\"",
    doc: "How long a tunnel (a WebSocket, say) may be silent in both directions; then it is closed. The default outlasts the \
          usual pings. `\"none\"`: for ever.",
};

const BODY: Key<OrWord<Size>> = Key {
    doc: "Bytes of a request's body; a longer one gets 413. `\"none\"`: no limit. Without it, `downstream.body_limit`.",
    ..downstream::BODY
};

/// Models that one route names; more are `"all"`.
const MODELS_LIMIT: usize = 1000;

const CONTROL: Key<Choice<bool>> = Key {
    name: "model_control",
    kind: Choice(&[("refused", false), ("allowed", true)]),
    example: "\"allowed\"",
    doc: "With `models`: whether models can be loaded from `inference.model_roots` and unloaded over this route. Whoever \
          reaches it can then: put a stage before it that authenticates.",
};

const VALUES: Key<Choice<bool>> = Key {
    name: "model_values",
    kind: Choice(&[("finite", false), ("any", true)]),
    example: "\"any\"",
    doc: "With `models`: `\"finite\"` refuses inputs that hold NaN or infinities, which most models turn into nonsense without a \
          word.",
};

/// What routes can refer to.
pub(super) struct Names<'n> {
    pub(super) upstreams: &'n [String],
    pub(super) plugins: &'n [String],
    pub(super) models: &'n [String],
    pub(super) features: &'n [String],
    pub(super) scripts: &'n [String],
    /// Scripts with content: routes that have one need no target.
    pub(super) answering: &'n [String],
    pub(super) granted: Granted<'n>,
}

/// Takes JSON documents and forms; little enough to hold for a thousand requests at once.
const BUFFER_LIMIT: u64 = MIB;

const BUFFER: Key<Size> = Key {
    name: "buffer_limit",
    kind: Size { least: KIB, most: GIB },
    example: "\"1MiB\"",
    doc: "Bytes of a request's or a response's body that are held back for stages which want it whole. A longer request \
          gets 413, a longer response is a 502. Without such stages bodies are streamed and this does not matter.",
};

pub(super) fn read(root: &mut Table<'_>, names: &Names<'_>, body_limit: Option<u64>) -> Read<Vec<Route>> {
    let (mut seen_names, mut seen_matchers) = (BTreeMap::new(), BTreeMap::new());
    root.list(&SECTION, |table| {
        // Apart from the rest of the route, so that a problem there does not hide that two routes are the same.
        let name = table.required(&NAME).and_then(|name| {
            let Some(other) = first_of(&mut seen_names, name.clone(), table.spot().line) else { return Ok(name) };
            let message = format!("expected a name of its own, got that of the route in line {other}");
            Err(table.fail_at(NAME.name, message, "rename one of the two"))
        });
        let matcher = read_matcher(table).and_then(|matcher| {
            let Some(other) = first_of(&mut seen_matchers, matcher.clone(), table.spot().line) else {
                return Ok(matcher);
            };
            let message = format!("expected a host and path of its own, got those of the route in line {other}");
            Err(table.fail(message, "change one of the two, or remove it: it would never get a request"))
        });
        let rest = read_rest(table, names, body_limit);
        let (name, (host, path), rest) = (name?, matcher?, rest?);
        let Rest { target, deadline, tunnel_idle_timeout, body_limit, buffer_limit, stages } = rest;
        let spot = table.spot();
        Ok(Route { name, spot, host, path, target, deadline, tunnel_idle_timeout, body_limit, buffer_limit, stages })
    })
}

/// What does not decide which requests a route gets.
struct Rest {
    target: Target,
    deadline: Option<Duration>,
    tunnel_idle_timeout: Option<Duration>,
    body_limit: Option<u64>,
    buffer_limit: usize,
    stages: Vec<Stage>,
}

fn read_rest(table: &mut Table<'_>, names: &Names<'_>, body_limit: Option<u64>) -> Read<Rest> {
    let target = read_target(table, names);
    let deadline = table.or(&DEADLINE_KEY, Some(DEADLINE));
    let tunnel_idle_timeout = table.or(&TUNNEL, Some(TUNNEL_IDLE));
    let body_limit = table.optional(&BODY).map(|own| own.unwrap_or(body_limit));
    let buffer_limit = table.or(&BUFFER, BUFFER_LIMIT);
    let stages = stages::read(table, names);
    let target = target.and_then(|target| check_target(table, target, (stages.as_deref().ok(), names)));
    Ok(Rest {
        target: target?,
        deadline: deadline?,
        tunnel_idle_timeout: tunnel_idle_timeout?,
        body_limit: body_limit?,
        buffer_limit: usize::try_from(buffer_limit?).unwrap_or(usize::MAX),
        stages: stages?,
    })
}

/// An upstream or the model server: exactly one of the two.
fn read_target(table: &mut Table<'_>, names: &Names<'_>) -> Read<Target> {
    let upstream = Key {
        name: "upstream",
        kind: NameOf { table: "upstreams", names: names.upstreams },
        example: "\"demo\"",
        doc: "Where requests go. Either this or `models`; neither, if a stage has a script with `content`, which answers.",
    };
    let models = Key {
        name: "models",
        kind: OrWord {
            word: "all",
            kind: List { kind: NameOf { table: "models", names: names.models }, least: 1, most: MODELS_LIMIT },
        },
        example: "[\"abuse\"]",
        doc: "Serves these models, instead of sending requests to an upstream: the API of GoServe (`/v1/models/…`) and the Open \
              Inference Protocol (`/v2/…`, and its gRPC service), below `path_prefix` or as a part of it. `\"all\"`: those \
              that are loaded on request, too.",
    };
    let upstream = table.optional(&upstream);
    let models = table.optional(&models);
    let (control, values) = (table.or(&CONTROL, false), table.or(&VALUES, false));
    match (upstream?, models?) {
        (Some(upstream), None) => {
            for key in [CONTROL.name, VALUES.name] {
                if table.has(key) {
                    let message = format!("expected `{key}` only beside `models`");
                    return Err(table.fail_at(key, message, "remove it: this route has an upstream"));
                }
            }
            Ok(Target::Upstream(upstream))
        }
        (None, Some(models)) => Ok(Target::Models(ModelRoute { models, control: control?, any_values: values? })),
        (None, None) => {
            let only_models = [CONTROL.name, VALUES.name].into_iter().find(|key| table.has(key));
            match only_models {
                Some(key) => {
                    let message = format!("expected `{key}` only beside `models`");
                    Err(table.fail_at(key, message, "remove it, or add `models = \"all\"`"))
                }
                None => Ok(Target::Script),
            }
        }
        (Some(_), Some(_)) => {
            Err(table.fail_at("models", "expected `upstream` or `models`, got both", "remove one of the two"))
        }
    }
}

/// A route without a target has a script that answers. If its stages have problems of their own, nobody knows.
fn check_target(table: &Table<'_>, target: Target, (stages, names): (Option<&[Stage]>, &Names<'_>)) -> Read<Target> {
    let answers =
        |stage: &Stage| matches!(&stage.kind, StageKind::Script { script } if names.answering.contains(script));
    if target == Target::Script && stages.is_some_and(|stages| !stages.iter().any(answers)) {
        let help = names.upstreams.first().map_or("demo", String::as_str);
        let help = format!(
            "add `upstream = \"{help}\"`, `models = \"all\"` to serve models, or a stage with a script that has `content`"
        );
        return Err(table.fail("expected `upstream` or `models`, got neither", help));
    }
    Ok(target)
}

fn read_matcher(table: &mut Table<'_>) -> Read<(Option<HostPattern>, PathPattern)> {
    let (host, path) = (table.optional(&HOST), read_path(table));
    Ok((host?, path?))
}

fn read_path(table: &mut Table<'_>) -> Read<PathPattern> {
    let (path, prefix) = (table.optional(&PATH), table.optional(&PREFIX));
    match (path?, prefix?) {
        (Some(path), None) => Ok(PathPattern::Exact(path)),
        (None, Some(prefix)) => Ok(PathPattern::Prefix(prefix)),
        (None, None) => Ok(PathPattern::Prefix("/".into())),
        (Some(_), Some(_)) => {
            Err(table.fail_at(PREFIX.name, "expected `path` or `path_prefix`, got both", "remove one of the two"))
        }
    }
}
