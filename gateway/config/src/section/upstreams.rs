//! `[upstreams.NAME]`: groups of endpoints.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::kind::{At, Choice, EndpointAddress, FilePath, List, ServerName, Time};
use crate::source::Read;
use crate::table::{Key, Reload, Section, Table};
use crate::{Protocol, Upstream, UpstreamTls};

const SECTION: Section = Section {
    name: "upstreams",
    reload: Reload::Live,
    doc: "Groups of endpoints that routes send requests to. Endpoints take turns; one that cannot be reached is passed over.",
};

/// Far above any latency worth having, far below what a client waits for.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Most servers keep connections for 60 s to 75 s; giving up first avoids requests on a connection that is just closing.
const IDLE_TIMEOUT: Duration = Duration::from_secs(50);

const ENDPOINTS: Key<List<At<EndpointAddress>>> = Key {
    name: "endpoints",
    kind: List { kind: At(EndpointAddress), least: 1, most: 1000 },
    example: "[\"10.0.0.1:9000\", \"backend.local:9000\"]",
    doc: "Addresses of the services. Host names are resolved at start and at each reload that changes something; one that stands for \
          several addresses counts as several endpoints.",
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
        })
    })
}
