//! `[upstreams.NAME]`: groups of endpoints.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::kind::{At, Choice, EndpointAddress, FilePath, List, OrWord, ServerName, Shown as _, Time};
use crate::source::Read;
use crate::table::{Key, Reload, Section, Table};
use crate::{Protocol, ReadTimeout, Upstream, UpstreamTls};

const SECTION: Section = Section {
    name: "upstreams",
    reload: Reload::Live,
    doc: "Groups of endpoints that routes send requests to. Endpoints take turns; one that cannot be reached is passed over for a \
          while. Which time limit counts when: [timeouts.md](timeouts.md).",
};

/// Far above any latency worth having, far below what a client waits for.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Most servers keep connections for 60 s to 75 s; giving up first avoids requests on a connection that is just closing.
const IDLE_TIMEOUT: Duration = Duration::from_secs(50);

/// What nginx has taught services to live with (`proxy_read_timeout`): streams that are quiet send something sooner.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
/// As long as a client may pause.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// What `resolv.conf` waits for one server by default, and a second for the next to answer.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(6);
/// A service that is started anew is back about then.
const BACKOFF: Duration = Duration::from_secs(1);
/// Half a minute after a host is back it gets requests again; one request in that time pays for finding out.
const BACKOFF_LIMIT: Duration = Duration::from_secs(30);

const ENDPOINTS: Key<List<At<EndpointAddress>>> = Key {
    name: "endpoints",
    kind: List { kind: At(EndpointAddress), least: 1, most: 1000 },
    example: "[\"10.0.0.1:9000\", \"backend.local:9000\"]",
    doc: "Addresses of the services. Host names are resolved at start, and at each reload by SIGHUP, by `POST /reload` or by a \
          change; one that stands for several addresses counts as several endpoints, and an address that comes up twice as one. \
          A name that does not resolve keeps its last addresses and is looked up again.",
};

const PROTOCOL: Key<Choice<Protocol>> = Key {
    name: "protocol",
    kind: Choice(&[("http1", Protocol::Http1), ("http2", Protocol::Http2)]),
    example: "\"http2\"",
    doc: "What is spoken to the endpoints. `\"http2\"` without `tls` needs endpoints with prior knowledge (h2c).",
};

const CONNECT: Key<Time> = Key {
    name: "connect_timeout",
    kind: Time { least: Duration::from_millis(1), most: Duration::from_secs(60) },
    example: "\"2s\"",
    doc: "How long setting up a connection may take; with TLS, twice that in all.",
};

const IDLE: Key<Time> = Key {
    name: "idle_timeout",
    kind: Time { least: Duration::from_secs(1), most: Duration::from_secs(3600) },
    example: "\"50s\"",
    doc: "How long an unused connection is kept. Less than the usual 60 s of servers, so that the gateway closes first.",
};

const READ: Key<OrWord<Time>> = Key {
    name: "read_timeout",
    kind: OrWord {
        word: "none",
        kind: Time { least: Duration::from_millis(10), most: Duration::from_secs(24 * 3600) },
    },
    example: "\"30s\"",
    doc: "Longest silence of an endpoint that owes a response: nothing of its head or body comes, and nothing of the request \
          moves either. Then the client gets 504, or a response that has begun is cut off. `\"none\"`: no limit, for streams \
          that are quiet for longer. Without it, 60 s on routes with `deadline = \"none\"`, and no limit where the deadline \
          is one.",
};

const WRITE: Key<Time> = Key {
    name: "write_timeout",
    kind: Time { least: Duration::from_millis(10), most: Duration::from_secs(3600) },
    example: "\"30s\"",
    doc: "Longest time for which an endpoint may take nothing of a request's body; then the client gets 504.",
};

const RESOLVE: Key<Time> = Key {
    name: "resolve_timeout",
    kind: Time { least: Duration::from_millis(10), most: Duration::from_secs(60) },
    example: "\"6s\"",
    doc: "How long looking up a host name may take. Names are looked up side by side, so a reload takes the longest of these at most.",
};

const PASSED_OVER: Time = Time { least: Duration::from_millis(10), most: Duration::from_secs(3600) };

const BACKOFF_KEY: Key<Time> = Key {
    name: "backoff",
    kind: PASSED_OVER,
    example: "\"1s\"",
    doc: "For how long an endpoint is passed over that could not be reached. Then one request tries it again, and if that fails \
          the time doubles. If all endpoints are passed over, requests try them all the same.",
};

const BACKOFF_MOST: Key<Time> = Key {
    name: "backoff_limit",
    kind: PASSED_OVER,
    example: "\"30s\"",
    doc: "The longest that `backoff` grows to; not less than `backoff` itself, and never less if it is left out.",
};

const TLS: Section = Section {
    name: "tls",
    reload: Reload::Live,
    doc: "Encrypts connections to the endpoints and checks who they are.",
};

const SERVER_NAME: Key<ServerName> = Key {
    name: "server_name",
    kind: ServerName,
    example: "\"backend.example.com\"",
    doc: "Name asked for by SNI and checked in the certificate. Without it, the host of the endpoint.",
};

const CA: Key<At<FilePath>> = Key {
    name: "ca",
    kind: At(FilePath),
    example: "\"ca.pem\"",
    doc: "PEM file of the authorities to trust. Without it, those of the system.",
};

pub(super) fn read(root: &mut Table<'_>) -> Read<BTreeMap<String, Upstream>> {
    root.map(&SECTION, |table, _| {
        let endpoints = table.required(&ENDPOINTS);
        let protocol = table.or(&PROTOCOL, Protocol::Http1);
        let connect_timeout = table.or(&CONNECT, CONNECT_TIMEOUT);
        let idle_timeout = table.or(&IDLE, IDLE_TIMEOUT);
        let read_timeout = table.optional(&READ);
        let write_timeout = table.or(&WRITE, WRITE_TIMEOUT);
        let resolve_timeout = table.or(&RESOLVE, RESOLVE_TIMEOUT);
        let (backoff, limit) = (table.or(&BACKOFF_KEY, BACKOFF), table.or(&BACKOFF_MOST, BACKOFF_LIMIT));
        let backoff_limit = match (&backoff, limit) {
            (Ok(backoff), Ok(limit)) if limit < *backoff && table.has(BACKOFF_MOST.name) => {
                let (backoff, limit) = (PASSED_OVER.show(backoff), PASSED_OVER.show(&limit));
                let message = format!("expected at least `backoff`, which is {backoff}, got {limit}");
                let help = format!("write {backoff} or more, or shorten `backoff`");
                Err(table.fail_at(BACKOFF_MOST.name, message, help))
            }
            (Ok(backoff), Ok(limit)) => Ok(limit.max(*backoff)),
            (_, limit) => limit,
        };
        let tls = table.section(&TLS, |table| {
            let (server_name, ca) = (table.optional(&SERVER_NAME), table.optional(&CA));
            Ok(UpstreamTls { server_name: server_name?, ca: ca? })
        });
        Ok(Upstream {
            spot: table.spot(),
            endpoints: endpoints?,
            protocol: protocol?,
            tls: tls?,
            connect_timeout: connect_timeout?,
            idle_timeout: idle_timeout?,
            read_timeout: match read_timeout? {
                None => ReadTimeout::Default(READ_TIMEOUT),
                Some(Some(time)) => ReadTimeout::After(time),
                Some(None) => ReadTimeout::Never,
            },
            write_timeout: write_timeout?,
            resolve_timeout: resolve_timeout?,
            backoff: backoff?,
            backoff_limit: backoff_limit?,
        })
    })
}
