//! The admin listener: health, metrics, reload. On an address of its own, loopback by default.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::BytesMut;
use http::header::HeaderValue;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderName};
use http::request::Parts;
use http::{Method, Response, StatusCode};
use pingora::apps::http_app::ServeHttp;
use pingora::protocols::http::ServerSession;
use serde_json::{Value, json};
use witgate_config::Diagnostic;
use witgate_inference::protocol::{ModelServer, ServerRequest, ServerSettings};
use witgate_inference::{ModelService as _, Repository};

use crate::gateway::Gateway;
use crate::reload::{Reloaded, Reloader, Trigger};
use crate::snapshot::models::score_references;
use crate::snapshot::{Binding, Moved};
use crate::telemetry::{ModelFigures, scripts, upstreams};

/// Serves the admin endpoints.
pub struct Admin {
    pub gateway: Arc<Gateway>,
    pub reloader: Arc<Reloader>,
}

const TEXT: &str = "text/plain; charset=utf-8";
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";
const JSON: &str = "application/json";

/// Status, content type, body; and the methods allowed, if the one used is not.
struct Page(StatusCode, &'static str, String, Option<&'static str>);

impl Page {
    fn ok(content_type: &'static str, body: impl Into<String>) -> Self {
        Self(StatusCode::OK, content_type, body.into(), None)
    }
}

impl Admin {
    async fn page(&self, method: &Method, path: &str) -> Page {
        let reading = matches!(*method, Method::GET | Method::HEAD);
        match path {
            "/live" | "/ready" | "/metrics" if !reading => not_allowed("GET, HEAD"),
            "/live" => Page::ok(TEXT, "live\n"),
            "/ready" => self.ready(),
            "/metrics" => Page::ok(METRICS, self.metrics()),
            "/reload" if *method == Method::POST => self.reload().await,
            "/reload" => not_allowed("POST"),
            _ => Page(StatusCode::NOT_FOUND, TEXT, INDEX.into(), None),
        }
    }

    /// Not ready while the process ends: it is alive, but should get no new traffic.
    ///
    /// Nor if requests of a route would be refused on account of a plugin. Only while its pause lasts: then it takes
    /// a request to find out whether the plugin is better, and none would come to a gateway that is not ready. For that reason
    /// endpoints that fail are told of and nothing more: it takes requests to find out that they are back.
    fn ready(&self) -> Page {
        if let Some(text) = self.gateway.drain.phase().describe(self.gateway.metrics.requests_in_flight.get()) {
            return Page(StatusCode::SERVICE_UNAVAILABLE, TEXT, text, None);
        }
        let snapshot = self.gateway.snapshot();
        let blocked: Vec<_> = snapshot.bindings.iter().filter_map(Binding::blocked).collect();
        let warnings = snapshot.warnings().map(|warning| warning.message.clone());
        let (status, verdict) = match blocked.len() {
            0 => (StatusCode::OK, "ready"),
            _ => (StatusCode::SERVICE_UNAVAILABLE, "not ready"),
        };
        let troubles = upstreams::troubles(&self.reloader.builder().registry);
        let lines = std::iter::once(verdict.to_owned()).chain(blocked.iter().cloned()).chain(warnings).chain(troubles);
        Page(status, TEXT, lines.map(|line| line + "\n").collect(), None)
    }

    fn metrics(&self) -> String {
        let snapshot = self.gateway.snapshot();
        let breakers = snapshot.plugins.iter().map(|plugin| (plugin.name(), plugin.breaker()));
        self.gateway.metrics.set_breakers(breakers);
        let fallbacks = snapshot.bindings.iter().filter_map(|binding| Some((binding, binding.fallback()?)));
        let fallbacks = fallbacks.map(|(binding, fallback)| [&*binding.route, &binding.plugin, fallback]);
        self.gateway.metrics.set_fallbacks(fallbacks);
        let figures = snapshot.plugins.iter().flat_map(|plugin| {
            let stats = plugin.stats();
            let figures = [
                ("live", stats.instances as u64),
                ("idle", stats.idle as u64),
                ("created", stats.created),
                ("recycled", stats.recycled),
                ("discarded", stats.discarded),
                ("overran", stats.overran),
                ("waiting", stats.waiting as u64),
                ("exhausted", stats.exhausted),
                ("cold", stats.cold),
            ];
            figures.map(|(state, count)| (plugin.name().to_owned(), state, count))
        });
        self.gateway.metrics.set_plugin_instances(figures);
        let models = ModelFigures {
            inference: &self.reloader.builder().inference,
            models: self.models().list(),
            references: score_references(&snapshot.config),
        };
        let scripts = scripts::families(self.reloader.builder().scripts.figures());
        let upstreams = upstreams::families(&self.reloader.builder().registry);
        self.gateway.metrics.render(models.families().into_iter().chain(scripts).chain(upstreams).collect())
    }

    /// All models, those of the configuration and those that were loaded on request.
    fn models(&self) -> Repository {
        let (snapshot, builder) = (self.gateway.snapshot(), self.reloader.builder());
        Repository {
            inference: Arc::clone(&builder.inference),
            configured: Arc::clone(&snapshot.models),
            control: Some(builder.control(&snapshot.config)),
        }
    }

    /// The model server's APIs, with everything allowed.
    async fn serve_models(&self, session: &mut ServerSession, head: &Parts) -> Response<Vec<u8>> {
        let mut body = BytesMut::new();
        while let Ok(Some(piece)) = session.read_request_body().await {
            body.extend_from_slice(&piece);
            if body.len() > BODY_LIMIT {
                let message = format!("the body exceeds the limit of {BODY_LIMIT} bytes\n");
                return respond(&head.method, Page(StatusCode::PAYLOAD_TOO_LARGE, TEXT, message, None));
            }
        }
        let settings = ServerSettings { manage: true, prefix: "/".to_owned(), ..ServerSettings::default() };
        let server = ModelServer::new(Arc::new(self.models()), settings);
        let deadline = Some(Instant::now() + MODEL_TIME);
        let (path, headers, body) = (head.uri.path(), &head.headers, body.freeze());
        let answer = server.answer(ServerRequest { method: &head.method, path, headers, body, deadline }).await;
        let mut response = Response::new(answer.body.to_vec());
        *response.status_mut() = answer.status;
        *response.headers_mut() = answer.headers;
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(answer.body.len()));
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }

    async fn reload(&self) -> Page {
        let reloaded = self.reloader.reload(Trigger::Admin).await;
        let outcome = reloaded.outcome().label();
        match reloaded {
            Reloaded::Unchanged { generation, warnings } => {
                let warnings: Vec<_> = warnings.iter().map(Diagnostic::to_json).collect();
                let body = json!({ "outcome": outcome, "generation": generation, "warnings": warnings });
                Page::ok(JSON, format!("{body}\n"))
            }
            Reloaded::Swapped { generation, warnings, moved } => {
                let warnings: Vec<_> = warnings.iter().map(Diagnostic::to_json).collect();
                let moved: Vec<_> = moved.iter().map(moved_to_json).collect();
                let body =
                    json!({ "outcome": outcome, "generation": generation, "warnings": warnings, "addresses": moved });
                Page::ok(JSON, format!("{body}\n"))
            }
            Reloaded::Refused { diagnostics } => {
                let diagnostics: Vec<_> = diagnostics.iter().map(Diagnostic::to_json).collect();
                let body = json!({ "outcome": outcome, "diagnostics": diagnostics });
                Page(StatusCode::UNPROCESSABLE_ENTITY, JSON, format!("{body}\n"), None)
            }
        }
    }
}

fn moved_to_json(Moved { upstream, name, before, now }: &Moved) -> Value {
    json!({ "upstream": **upstream, "name": name.to_string(), "before": before, "now": now })
}

const INDEX: &str = "GET /live      200 while the process runs
GET /ready     200 while it takes traffic, 503 while it drains or a plugin keeps a route from serving
GET /metrics   metrics in the text format of Prometheus
POST /reload   reload the configuration now
/v1/models, /v2   list, load, unload and run models: docs/inference/model-server.md
";

/// Bytes of a request to the model server: operators load and try models here, and do not send traffic.
const BODY_LIMIT: usize = 16 * 1024 * 1024;
/// For a run. Loading has no limit of its own.
const MODEL_TIME: Duration = Duration::from_secs(60);

fn not_allowed(allowed: &'static str) -> Page {
    Page(StatusCode::METHOD_NOT_ALLOWED, TEXT, format!("allowed: {allowed}\n"), Some(allowed))
}

#[async_trait]
impl ServeHttp for Admin {
    async fn response(&self, session: &mut ServerSession) -> Response<Vec<u8>> {
        let head = session.req_header().as_owned_parts();
        let path = head.uri.path();
        if path == "/v1/models" || path.starts_with("/v1/models/") || path == "/v2" || path.starts_with("/v2/") {
            return self.serve_models(session, &head).await;
        }
        respond(&head.method, self.page(&head.method, path).await)
    }
}

fn respond(method: &Method, Page(status, content_type, body, allowed): Page) -> Response<Vec<u8>> {
    let mut response = Response::new(if *method == Method::HEAD { Vec::new() } else { body.as_bytes().to_vec() });
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let mut set = |name: HeaderName, value: &str| {
        if let Ok(value) = value.parse() {
            headers.insert(name, value);
        }
    };
    set(CONTENT_TYPE, content_type);
    set(CONTENT_LENGTH, &body.len().to_string());
    set(CACHE_CONTROL, "no-store");
    if let Some(allowed) = allowed {
        set(ALLOW, allowed);
    }
    response
}
