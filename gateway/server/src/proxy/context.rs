//! What lives as long as one request.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use http::header::HOST;
use http::uri::PathAndQuery;
use http::{Method, StatusCode, Version};
use witgate_http::http1::field::recycle;
use witgate_stage::{Account, Accounts, Exchange, RequestHead};

use crate::envelope::rfc3339;
use crate::gateway::Gateway;
use crate::proxy::downstream::Length;
use crate::proxy::origin::{Arrival, Origin};
use crate::proxy::slot::Slot;
use crate::request_id;
use crate::snapshot::{Route, Snapshot};
use crate::telemetry::{Record, StageRecord};

/// State of one request. When it is dropped, however the request ended, its one access record is written.
pub struct RequestCtx<'s> {
    gateway: &'s Gateway,
    /// The generation that serves the whole request.
    pub snapshot: &'s Snapshot,
    pub started: Instant,
    pub id: Arc<str>,
    pub route: Option<&'s Arc<Route>>,
    pub deadline: Option<Instant>,
    /// The heads, and what stages left.
    pub exchange: Slot,
    /// How many steps of the route, from the first on, see the answer whoever makes it: those that have seen the request.
    pub reached: usize,
    /// The client takes trailers.
    pub takes_trailers: bool,
    pub facts: Facts,
    /// When the response had been sent, or there was none to be.
    ended: Option<Instant>,
}

/// What the access record says of a request.
#[derive(Debug, Default)]
pub struct Facts {
    pub client: Option<std::net::SocketAddr>,
    pub method: Method,
    /// There if records are written.
    pub path: Option<PathAndQuery>,
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

impl<'s> RequestCtx<'s> {
    /// Begins a request: starts the clock, and notes the id and what the record needs.
    pub fn new(
        gateway: &'s Gateway,
        snapshot: &'s Snapshot,
        head: RequestHead,
        arrival: &Arrival,
        origin: &Origin,
    ) -> Self {
        gateway.request_began();
        let version = arrival.version;
        let mut facts = Facts { client: origin.address, method: head.method.clone(), version, ..Facts::default() };
        if gateway.access_log.is_on() {
            facts.path = Some(head.path.clone());
            let host = head.headers.get(HOST).and_then(|host| host.to_str().ok());
            facts.host = arrival.authority.as_ref().map(|name| name.as_str()).or(host).map(str::to_owned);
        }
        let id = request_id::of(&head.headers);
        let mut exchange = Box::new(Exchange::new(head, Arc::clone(&id), Arc::default(), origin.client.clone()));
        exchange.original.head_length = arrival.head_length;
        exchange.end_of_stream = arrival.body == Length::Known(0);
        exchange.authority = arrival.authority.as_ref().map(|name| Arc::from(name.as_str()));
        exchange.accounts = gateway.access_log.is_on().then(Accounts::default);
        (exchange.version, exchange.depth) = (version, origin.depth);
        Self {
            gateway,
            snapshot,
            started: Instant::now(),
            id,
            route: None,
            deadline: None,
            exchange: Slot::new(exchange),
            reached: 0,
            takes_trailers: false,
            facts,
            ended: None,
        }
    }

    /// Notes that the response has been sent, or will not be, unless that has been noted; gives the moment.
    pub fn end(&mut self) -> Instant {
        *self.ended.get_or_insert_with(Instant::now)
    }

    /// How long the request took, or has taken so far.
    pub fn duration(&self) -> Duration {
        self.ended.map_or_else(|| self.started.elapsed(), |ended| ended.saturating_duration_since(self.started))
    }

    fn stage_records(&self) -> Vec<StageRecord<'_>> {
        let accounts = self.exchange.get().and_then(|exchange| exchange.accounts.as_ref());
        let Some((route, accounts)) = self.route.zip(accounts) else { return Vec::new() };
        let record = |account: &Account| {
            let Account { step, hook, runs, failures, elapsed, usage } = *account;
            let stage = route.pipeline.steps().get(step)?.stage.name();
            Some(StageRecord {
                stage,
                hook: hook.label(),
                runs,
                failures,
                duration_us: micros(elapsed),
                guest_us: micros(usage.guest),
                host_us: micros(usage.host),
                queued_us: micros(usage.queued),
                bytes_in: usage.bytes_in,
                bytes_out: usage.bytes_out,
            })
        };
        accounts.iter().filter_map(record).collect()
    }

    fn scores(&self) -> BTreeMap<&str, f32> {
        let scores = self.exchange.get().into_iter().flat_map(|exchange| &exchange.scores);
        scores.map(|score| (&*score.stage, score.value)).collect()
    }

    fn write_record(&self) {
        let facts = &self.facts;
        self.gateway.access_log.write(&Record {
            time: rfc3339(SystemTime::now()),
            request_id: &self.id,
            client: facts.client.map(|address| address.to_string()),
            method: facts.method.as_str(),
            host: facts.host.as_deref(),
            path: facts.path.as_ref().map_or("", |path| path.path()),
            protocol: protocol(facts.version),
            route: self.route.map(|route| &*route.name),
            generation: self.snapshot.generation,
            status: facts.status.map_or(0, |status| status.as_u16()),
            code: facts.code,
            stage: facts.stage.as_deref(),
            upstream: facts.endpoint.map(|address| address.to_string()),
            bytes_in: facts.bytes_in,
            bytes_out: facts.bytes_out,
            duration_ms: self.duration().as_secs_f64() * 1000.0,
            stages: self.stage_records(),
            scores: self.scores(),
            error: facts.error.as_deref(),
        });
    }
}

/// To a tenth: what is shorter is noise.
fn micros(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e7).round() / 10.0
}

/// Name of a protocol version in access records.
pub fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2",
        _ => "HTTP/1.1",
    }
}

impl Drop for RequestCtx<'_> {
    fn drop(&mut self) {
        self.exchange.recover();
        let metrics = self.route.map_or(&self.snapshot.unmatched, |route| &route.metrics);
        metrics.request_ended(&self.facts.method, self.facts.status, self.duration());
        if self.gateway.access_log.is_on() {
            self.write_record();
        }
        self.gateway.request_ended();
        if let Ok(exchange) = self.exchange.here() {
            recycle(std::mem::take(&mut exchange.request.headers));
            if let Some(head) = exchange.response.take() {
                recycle(head.headers);
            }
        }
    }
}
