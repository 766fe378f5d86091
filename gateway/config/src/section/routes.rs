//! `[[routes]]`: which requests, through which stages, to where.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{downstream, first_of, stages};
use crate::kind::{GIB, KIB, MIB};
use crate::kind::{Granted, Host, Name, NameOf, OrWord, RoutePath, RoutePrefix, Size, Time};
use crate::source::Read;
use crate::table::{Key, Reload, Section, Table};
use crate::{HostPattern, PathPattern, Route, Stage};

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

const BODY: Key<OrWord<Size>> = Key {
    doc: "Bytes of a request's body; a longer one gets 413. `\"none\"`: no limit. Without it, `downstream.body_limit`.",
    ..downstream::BODY
};

/// What routes can refer to.
pub(super) struct Names<'n> {
    pub(super) upstreams: &'n [String],
    pub(super) plugins: &'n [String],
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
        let Rest { upstream, deadline, body_limit, buffer_limit, stages } = rest;
        Ok(Route { name, spot: table.spot(), host, path, upstream, deadline, body_limit, buffer_limit, stages })
    })
}

/// What does not decide which requests a route gets.
struct Rest {
    upstream: String,
    deadline: Option<Duration>,
    body_limit: Option<u64>,
    buffer_limit: usize,
    stages: Vec<Stage>,
}

fn read_rest(table: &mut Table<'_>, names: &Names<'_>, body_limit: Option<u64>) -> Read<Rest> {
    let upstream = Key {
        name: "upstream",
        kind: NameOf { table: "upstreams", names: names.upstreams },
        example: "\"demo\"",
        doc: "Where requests go.",
    };
    let upstream = table.required(&upstream);
    let deadline = table.or(&DEADLINE_KEY, Some(DEADLINE));
    let body_limit = table.optional(&BODY).map(|own| own.unwrap_or(body_limit));
    let buffer_limit = table.or(&BUFFER, BUFFER_LIMIT);
    let stages = stages::read(table, names);
    Ok(Rest {
        upstream: upstream?,
        deadline: deadline?,
        body_limit: body_limit?,
        buffer_limit: usize::try_from(buffer_limit?).unwrap_or(usize::MAX),
        stages: stages?,
    })
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
