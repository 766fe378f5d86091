//! What lives as long as one request.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use http::{HeaderMap, Method, StatusCode, Uri, Version};
use witgate_stage::Exchange;

use crate::envelope::{Answer, rfc3339};
use crate::gateway::Gateway;
use crate::request_id;
use crate::snapshot::{Route, Snapshot};
use crate::telemetry::Record;

/// State of one request. When it is dropped, however the request ended, its one access record is written.
pub struct RequestCtx {
    gateway: Arc<Gateway>,
    /// The generation that serves the whole request.
    pub snapshot: Arc<Snapshot>,
    pub started: Instant,
    pub id: Arc<str>,
    pub route: Option<Arc<Route>>,
    pub deadline: Option<Instant>,
    /// There once stages have run, if later hooks or what stages hold need it.
    pub exchange: Option<Box<Exchange>>,
    /// An answer of the gateway that takes the place of the upstream's response.
    pub answer: Option<Answer>,
    /// Body bytes that the client may still send; none: no limit.
    pub body_allowance: Option<u64>,
    /// Endpoints tried.
    pub tries: usize,
    /// The client asked to leave HTTP for another protocol.
    pub tunnel: bool,
    pub facts: Facts,
}

/// What the access record says of a request.
#[derive(Debug, Default)]
pub struct Facts {
    pub client: Option<std::net::SocketAddr>,
    pub method: Method,
    pub uri: Uri,
    pub version: Version,
    pub host: Option<String>,
    pub status: Option<StatusCode>,
    pub code: Option<&'static str>,
    pub stage: Option<String>,
    pub endpoint: Option<std::net::SocketAddr>,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub error: Option<String>,
}

impl RequestCtx {
    /// Begins a request: takes the generation and starts the clock.
    pub fn new(gateway: Arc<Gateway>) -> Self {
        gateway.request_began();
        Self {
            snapshot: gateway.snapshot(),
            gateway,
            started: Instant::now(),
            id: Arc::from(""),
            route: None,
            deadline: None,
            exchange: None,
            answer: None,
            body_allowance: None,
            tries: 0,
            tunnel: false,
            facts: Facts::default(),
        }
    }

    /// Takes the id and what the record needs from the head.
    pub fn begin(&mut self, method: &Method, uri: &Uri, version: Version, headers: &HeaderMap) {
        self.id = request_id::of(headers);
        self.facts.method = method.clone();
        self.facts.version = version;
        if self.gateway.access_log.is_on() {
            self.facts.uri = uri.clone();
            let host = headers.get(http::header::HOST).and_then(|host| host.to_str().ok());
            self.facts.host = uri.authority().map(|a| a.as_str()).or(host).map(str::to_owned);
        }
    }

    /// Whether the deadline has passed.
    pub fn is_late(&self) -> bool {
        self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }

    fn write_record(&self) {
        let facts = &self.facts;
        let late = facts.status.is_none() && self.is_late();
        self.gateway.access_log.write(&Record {
            time: rfc3339(SystemTime::now()),
            request_id: &self.id,
            client: facts.client.map(|address| address.to_string()),
            method: facts.method.as_str(),
            host: facts.host.as_deref(),
            path: facts.uri.path(),
            protocol: protocol(facts.version),
            route: self.route.as_ref().map(|route| &*route.name),
            generation: self.snapshot.generation,
            status: facts.status.map_or(0, |status| status.as_u16()),
            code: facts.code,
            stage: facts.stage.as_deref(),
            upstream: facts.endpoint.map(|address| address.to_string()),
            bytes_in: facts.bytes_in,
            bytes_out: facts.bytes_out,
            duration_ms: self.started.elapsed().as_secs_f64() * 1000.0,
            error: if late { Some("cut off at its deadline") } else { facts.error.as_deref() },
        });
    }
}

/// Name of a protocol version in access records.
pub fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2",
        _ => "HTTP/1.1",
    }
}

impl Drop for RequestCtx {
    fn drop(&mut self) {
        let metrics = self.route.as_ref().map_or(&self.snapshot.unmatched, |route| &route.metrics);
        metrics.request_ended(&self.facts.method, self.facts.status, self.started.elapsed());
        if self.gateway.access_log.is_on() {
            self.write_record();
        }
        self.gateway.request_ended();
    }
}
