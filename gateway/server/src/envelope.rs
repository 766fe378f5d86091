//! What the gateway itself answers when it cannot or will not forward a request: one envelope, one table of codes.

use std::time::SystemTime;

use bytes::Bytes;
use http::header::{ACCEPT, ALLOW, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER, VARY};
use http::{Method, StatusCode};
use serde::Serialize;
use witgate_stage::ErrorCode;

/// Every code that a client can get from the gateway: a closed set, and the only place that maps a reason to an HTTP
/// status (RFC 9110, section 15).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    InvalidRequest,
    HeadTooLarge,
    UriTooLong,
    ExpectationFailed,
    RequestTimeout,
    Unauthenticated,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    PayloadTooLarge,
    RateLimitExceeded,
    Overloaded,
    NotImplemented,
    PluginFailed,
    Internal,
    /// The upstream answered with something that is not HTTP, or broke off.
    UpstreamInvalid,
    /// No endpoint could be reached.
    UpstreamUnavailable,
    DeadlineExceeded,
    LoopDetected,
}

impl Code {
    /// Every code, for the reference and its tests.
    pub const ALL: [Self; 19] = [
        Self::InvalidRequest,
        Self::HeadTooLarge,
        Self::UriTooLong,
        Self::ExpectationFailed,
        Self::RequestTimeout,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::PayloadTooLarge,
        Self::RateLimitExceeded,
        Self::Overloaded,
        Self::NotImplemented,
        Self::PluginFailed,
        Self::Internal,
        Self::UpstreamInvalid,
        Self::UpstreamUnavailable,
        Self::DeadlineExceeded,
        Self::LoopDetected,
    ];

    /// Status, code as clients see it, and whether the same request may succeed later.
    fn facts(self) -> (StatusCode, &'static str, bool) {
        match self {
            Self::InvalidRequest => (StatusCode::BAD_REQUEST, "INVALID_REQUEST", false),
            Self::HeadTooLarge => (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "INVALID_REQUEST", false),
            Self::UriTooLong => (StatusCode::URI_TOO_LONG, "INVALID_REQUEST", false),
            Self::ExpectationFailed => (StatusCode::EXPECTATION_FAILED, "INVALID_REQUEST", false),
            Self::RequestTimeout => (StatusCode::REQUEST_TIMEOUT, "INVALID_REQUEST", true),
            Self::Unauthenticated => (StatusCode::UNAUTHORIZED, "UNAUTHENTICATED", false),
            Self::Forbidden => (StatusCode::FORBIDDEN, "FORBIDDEN", false),
            Self::NotFound => (StatusCode::NOT_FOUND, "NOT_FOUND", false),
            Self::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", false),
            Self::PayloadTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "PAYLOAD_TOO_LARGE", false),
            Self::RateLimitExceeded => (StatusCode::TOO_MANY_REQUESTS, "RATE_LIMIT_EXCEEDED", true),
            Self::Overloaded => (StatusCode::SERVICE_UNAVAILABLE, "OVERLOADED", true),
            Self::NotImplemented => (StatusCode::NOT_IMPLEMENTED, "INVALID_REQUEST", false),
            Self::PluginFailed => (StatusCode::INTERNAL_SERVER_ERROR, "PLUGIN_FAILED", true),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL", true),
            Self::UpstreamInvalid => (StatusCode::BAD_GATEWAY, "UPSTREAM_UNAVAILABLE", true),
            Self::UpstreamUnavailable => (StatusCode::SERVICE_UNAVAILABLE, "UPSTREAM_UNAVAILABLE", true),
            Self::DeadlineExceeded => (StatusCode::GATEWAY_TIMEOUT, "DEADLINE_EXCEEDED", true),
            Self::LoopDetected => (StatusCode::LOOP_DETECTED, "LOOP_DETECTED", false),
        }
    }

    pub fn status(self) -> StatusCode {
        self.facts().0
    }

    /// The code as clients, logs and metrics see it.
    pub fn label(self) -> &'static str {
        self.facts().1
    }

    /// gRPC status (github.com/grpc/grpc, doc/statuscodes.md) for a client that speaks gRPC.
    fn grpc_status(self) -> &'static str {
        match self {
            Self::InvalidRequest | Self::HeadTooLarge | Self::UriTooLong | Self::ExpectationFailed => "3",
            Self::RequestTimeout | Self::DeadlineExceeded => "4",
            Self::NotFound => "5",
            Self::Forbidden => "7",
            Self::PayloadTooLarge | Self::RateLimitExceeded => "8",
            Self::MethodNotAllowed | Self::NotImplemented => "12",
            Self::Internal | Self::PluginFailed | Self::LoopDetected => "13",
            Self::Overloaded | Self::UpstreamInvalid | Self::UpstreamUnavailable => "14",
            Self::Unauthenticated => "16",
        }
    }
}

impl From<ErrorCode> for Code {
    fn from(code: ErrorCode) -> Self {
        match code {
            ErrorCode::InvalidRequest => Self::InvalidRequest,
            ErrorCode::Unauthenticated => Self::Unauthenticated,
            ErrorCode::Forbidden => Self::Forbidden,
            ErrorCode::NotFound => Self::NotFound,
            ErrorCode::PayloadTooLarge => Self::PayloadTooLarge,
            ErrorCode::RateLimitExceeded => Self::RateLimitExceeded,
            ErrorCode::Overloaded => Self::Overloaded,
        }
    }
}

/// One refusal, before it is rendered for a client.
#[derive(Debug, Clone)]
pub struct Problem {
    pub code: Code,
    /// For the client: what was expected and what to do; nothing about the inside.
    pub message: String,
    /// Boxed, because problems travel as errors of functions that rarely fail.
    pub headers: Box<HeaderMap>,
}

impl Problem {
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), headers: Box::default() }
    }

    /// Adds `Retry-After` in whole seconds, rounded up (RFC 9110, section 10.2.3).
    pub fn retry_after(mut self, wait: std::time::Duration) -> Self {
        let seconds = wait.as_millis().div_ceil(1000).max(1);
        self.headers.insert(RETRY_AFTER, HeaderValue::from(u64::try_from(seconds).unwrap_or(u64::MAX)));
        self
    }
}

impl From<witgate_stage::Refusal> for Problem {
    fn from(refusal: witgate_stage::Refusal) -> Self {
        let problem = Self { code: refusal.code.into(), message: refusal.message, headers: Box::new(refusal.headers) };
        match refusal.retry_after {
            Some(wait) => problem.retry_after(wait),
            None => problem,
        }
    }
}

/// A rendered answer: the framing is the writer's.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl From<witgate_stage::Response> for Answer {
    fn from(response: witgate_stage::Response) -> Self {
        let witgate_stage::Response { status, headers, body } = response;
        Self { status, headers, body }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<'a> {
    code: &'a str,
    message: &'a str,
    details: serde_json::Map<String, serde_json::Value>,
    request_id: &'a str,
    timestamp: String,
    retryable: bool,
}

/// Form in which a client wants its errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Json,
    Text,
    Html,
    Grpc,
}

/// What of a request decides the form of the answer.
#[derive(Debug, Clone, Copy)]
pub struct Audience<'a> {
    pub method: &'a Method,
    pub headers: &'a HeaderMap,
}

fn form(audience: Option<Audience<'_>>) -> Form {
    let Some(Audience { method, headers }) = audience else { return Form::Json };
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if method == Method::POST
        && (content_type == "application/grpc"
            || content_type.starts_with("application/grpc+")
            || content_type.starts_with("application/grpc;"))
    {
        return Form::Grpc;
    }
    preferred(headers)
}

/// Most media ranges of a request that are looked at: clients send up to ten.
const RANGES_LIMIT: usize = 32;

/// How much a client wants a form.
#[derive(Debug, Clone, Copy, Default)]
struct Wish {
    /// Of the most specific range that names the form: 3 for its type itself, 0 for none.
    precision: u8,
    quality: f32,
}

/// The form with the highest quality in `Accept`, where the most specific range that names a form counts (RFC 9110,
/// section 12.5.1); JSON wins ties and is the default.
fn preferred(headers: &HeaderMap) -> Form {
    const FORMS: [(Form, &str, &str); 3] = [
        (Form::Json, "application/json", "application/*"),
        (Form::Text, "text/plain", "text/*"),
        (Form::Html, "text/html", "text/*"),
    ];
    let mut wishes = [Wish::default(); FORMS.len()];
    let lines = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    for range in lines.flat_map(|line| line.split(',')).take(RANGES_LIMIT) {
        let mut parts = range.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let quality = parts.find_map(weight).unwrap_or(1.0);
        for ((_, own, family), wish) in FORMS.iter().zip(&mut wishes) {
            let precision = match name {
                name if name.eq_ignore_ascii_case(own) => 3,
                name if name.eq_ignore_ascii_case(family) => 2,
                "*/*" => 1,
                _ => continue,
            };
            if precision > wish.precision || (precision == wish.precision && quality > wish.quality) {
                *wish = Wish { precision, quality };
            }
        }
    }
    let mut best = (Form::Json, 0.0);
    for ((form, ..), wish) in FORMS.iter().zip(&wishes) {
        if wish.quality > best.1 {
            best = (*form, wish.quality);
        }
    }
    best.0
}

/// The number of a parameter `q`; what is not one is as good as nothing.
fn weight(parameter: &str) -> Option<f32> {
    let (name, value) = parameter.split_once('=')?;
    name.eq_ignore_ascii_case("q").then(|| value.parse().unwrap_or(0.0))
}

/// Methods that go everywhere; what an upstream makes of them is its own business, and others pass as well.
pub const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, TRACE";

/// Renders a problem for the client that caused it; without an audience (a head that could not be read) as JSON.
pub fn render(problem: Problem, request_id: &str, audience: Option<Audience<'_>>) -> Answer {
    let Problem { code, message, mut headers } = problem;
    let (mut status, label, retryable) = code.facts();
    let (content_type, body) = match form(audience) {
        Form::Json => {
            let timestamp = rfc3339(SystemTime::now());
            let details = serde_json::Map::new();
            let envelope = Envelope { code: label, message: &message, details, request_id, timestamp, retryable };
            let mut body = serde_json::to_vec(&envelope).unwrap_or_default();
            // For people with curl: the shell's prompt starts on a line of its own.
            body.push(b'\n');
            ("application/json", body)
        }
        Form::Text => ("text/plain; charset=utf-8", format!("{label}: {message}\nrequest id: {request_id}\n").into()),
        Form::Html => ("text/html; charset=utf-8", page(status, label, &message, request_id).into()),
        Form::Grpc => {
            // A trailers-only response: HTTP status 200, the error in the header fields (gRPC over HTTP/2, "Responses").
            status = StatusCode::OK;
            headers.insert("grpc-status", HeaderValue::from_static(code.grpc_status()));
            if let Ok(text) = HeaderValue::from_str(&percent_encoded(&message)) {
                headers.insert("grpc-message", text);
            }
            ("application/grpc", Vec::new())
        }
    };
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    if audience.is_some() {
        // Some of these statuses may be cached without being told so, and the next client may want another form.
        headers.append(VARY, HeaderValue::from_static("accept"));
    }
    if code == Code::MethodNotAllowed {
        // RFC 9110, section 10.2.1: what is allowed, unless whoever refused has said it.
        headers.entry(ALLOW).or_insert(HeaderValue::from_static(METHODS));
    }
    Answer { status, headers: *headers, body: body.into() }
}

fn page(status: StatusCode, label: &str, message: &str, request_id: &str) -> String {
    let (message, request_id) = (escaped(message), escaped(request_id));
    format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>{status}</title>\n<style>body{{font:1rem/1.5 system-ui,sans-serif;\
         max-width:40rem;margin:15vh auto;padding:0 1rem}}code{{color:#666}}</style>\n<h1>{status}</h1>\n\
         <p>{message}</p>\n<p><code>{label}</code> &middot; request id <code>{request_id}</code></p>\n</html>\n"
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// `grpc-message` is percent-encoded (gRPC over HTTP/2, "Percent-Encoded").
fn percent_encoded(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        match byte {
            b'%' | 0..=0x1f | 0x7f.. => out.push_str(&format!("%{byte:02X}")),
            _ => out.push(char::from(byte)),
        }
        out
    })
}

/// RFC 3339 in UTC with milliseconds.
pub fn rfc3339(time: SystemTime) -> String {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let (days, rest) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", since.subsec_millis())
}

/// Gregorian date of a day since 1970-01-01: counts in years that begin in March, so that a leap day comes last.
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn rendered(accept: &str) -> Answer {
        rendered_for(&[accept])
    }

    /// For a request with these lines of `Accept`.
    fn rendered_for(lines: &[&str]) -> Answer {
        let headers = HeaderMap::from_iter(lines.iter().map(|line| (ACCEPT, line.parse().unwrap())));
        let audience = Audience { method: &Method::GET, headers: &headers };
        render(Problem::new(Code::Forbidden, "a <b> & c"), "id-1", Some(audience))
    }

    #[test]
    fn json_is_the_default_and_carries_every_field() {
        for accept in ["*/*", "application/json", "image/png", "text/html;q=0.5, application/json", ""] {
            let answer = rendered(accept);
            assert_eq!(answer.headers[CONTENT_TYPE], "application/json", "{accept}");
            let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
            assert_eq!(body["code"], "FORBIDDEN");
            assert_eq!(body["message"], "a <b> & c");
            assert_eq!(body["requestId"], "id-1");
            assert_eq!(body["retryable"], false);
            assert!(body["details"].is_object() && body["timestamp"].as_str().unwrap().ends_with('Z'));
        }
    }

    #[test]
    fn a_browser_gets_html_in_which_the_message_is_escaped() {
        let answer = rendered("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8");
        assert_eq!(answer.headers[CONTENT_TYPE], "text/html; charset=utf-8");
        assert!(String::from_utf8_lossy(&answer.body).contains("a &lt;b&gt; &amp; c"));
    }

    #[test]
    fn plain_text_is_served_when_asked_for() {
        let answer = rendered("text/plain");
        assert_eq!(answer.body, "FORBIDDEN: a <b> & c\nrequest id: id-1\n");
    }

    #[test]
    fn the_most_specific_range_counts_however_it_is_written() {
        for (lines, content_type) in [
            (&["text/html;q=0.5, application/json"][..], "application/json"),
            (&["text/html", "application/json;q=0.9"], "text/html; charset=utf-8"),
            (&["application/json;q=0.1", "Text/HTML; Q=0.9"], "text/html; charset=utf-8"),
            (&["application/json;q=0, */*"], "text/plain; charset=utf-8"),
            (&["text/*;q=0.9, text/plain;q=0.1, application/json;q=0.5"], "text/html; charset=utf-8"),
            (&["text/html;level=1;q=0.4, */*;q=0.3"], "text/html; charset=utf-8"),
            (&["text/html;q=x, text/plain;q=0.001"], "text/plain; charset=utf-8"),
            (&["application/json;q=0"], "application/json"),
        ] {
            assert_eq!(rendered_for(lines).headers[CONTENT_TYPE], content_type, "{lines:?}");
        }
    }

    #[test]
    fn caches_are_told_that_the_form_depends_on_accept() {
        assert_eq!(rendered("text/html").headers[VARY], "accept");
        assert!(!render(Problem::new(Code::HeadTooLarge, "too large"), "id", None).headers.contains_key(VARY));
    }

    #[test]
    fn a_method_that_is_refused_is_answered_with_those_that_are_not() {
        let problem = Problem::new(Code::MethodNotAllowed, "no");
        assert_eq!(render(problem.clone(), "id", None).headers[ALLOW], METHODS);
        let mut own = problem;
        own.headers.insert(ALLOW, HeaderValue::from_static("GET"));
        assert_eq!(render(own, "id", None).headers[ALLOW], "GET");
    }

    #[test]
    fn a_grpc_client_gets_a_grpc_status() {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc+proto"));
        let audience = Audience { method: &Method::POST, headers: &headers };
        let answer = render(Problem::new(Code::RateLimitExceeded, "50% too fast"), "id", Some(audience));
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.headers["grpc-status"], "8");
        assert_eq!(answer.headers["grpc-message"], "50%25 too fast");
        assert!(answer.body.is_empty());
    }

    #[test]
    fn retry_after_is_rounded_up_to_whole_seconds() {
        let problem = Problem::new(Code::Overloaded, "busy").retry_after(Duration::from_millis(1001));
        assert_eq!(problem.headers[RETRY_AFTER], "2");
    }

    #[test]
    fn every_code_is_documented_with_its_status() {
        let documentation = include_str!("../../../docs/operation.md");
        for code in Code::ALL {
            let row = format!("| `{}` | {} |", code.label(), code.status().as_u16());
            assert!(documentation.contains(&row), "docs/operation.md lacks {row}");
        }
    }

    #[test]
    fn timestamps_are_rfc_3339() {
        let at = |seconds| rfc3339(SystemTime::UNIX_EPOCH + Duration::from_millis(seconds));
        assert_eq!(at(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(at(951_782_400_123), "2000-02-29T00:00:00.123Z");
        assert_eq!(at(1_798_761_599_999), "2026-12-31T23:59:59.999Z");
    }
}
