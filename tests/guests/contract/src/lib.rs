//! Uses all of contract 0.1: every hook and every function of every interface that is served. What came of each is in the
//! fields that begin with `x-contract-`, as words that a test compares.
//!
//! tests/contract/0.1.0.wasm is this guest, built when that version was frozen: it has to work for as long as the version
//! is served, whatever becomes of this source.

use witgate_sdk::crypto::Hash;
use witgate_sdk::outbound::{Call, fetch};
use witgate_sdk::{
    Action, BodyMode, ConfigError, Edits, Error, OnLog, OnRequest, OnRequestBody, OnResponse, OnResponseBody, Outcome,
    Plugin, Request, RequestBodyAction, ResponseAction, ResponseBodyAction, ResponseHead, clock, crypto, kv, limiter,
    load, log, metrics, random,
};

/// All names that the plugin uses are this one.
const NAME: &str = "all";

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Contract {
    /// Stands before the words of the request hook.
    greeting: String,
}

impl Plugin for Contract {
    const NAME: &'static str = "contract";
    const VERSION: &'static str = "0.1.0";
    const SUMMARY: &'static str = "Uses all of contract 0.1";
    const CONFIG_SCHEMA: Option<&'static str> = Some(
        r#"{"type": "object", "additionalProperties": false, "required": ["greeting"], "properties": {"greeting": {"type": "string"}}}"#,
    );
    type Config = Self;

    fn configure(config: Self) -> Result<Self, ConfigError> {
        let granted = [limiter::buckets(), load::scopes(), crypto::names()];
        if granted.iter().any(|names| !names.iter().any(|name| name == NAME)) {
            return Err(format!("expected grants for a bucket, a scope and a key of the name `{NAME}`").into());
        }
        Ok(config)
    }
}

/// What the heads tell, in words.
fn head(request: &Request<'_>) -> Result<String, Error> {
    let client = request.client();
    let many = request.header_many(&["x-one", "x-none"]);
    request.set("x-contract-set", "set")?;
    request.remove("x-gone")?;
    request.apply(Edits::new().append("x-one", "appended").set("x-two", "2").remove("x-three"))?;
    request.set_path_with_query("/rewritten?by=contract")?;
    request.set_attr("contract", "left by the request")?;
    request.apply_to_response(Edits::new().set("x-contract-planned", "planned"))?;
    let planned = request.response_field("x-contract-planned").is_some();
    Ok(format!(
        "{} {} {} {} {} {} {} {} {} {} {} {planned}",
        request.method(),
        request.path_with_query(),
        request.scheme(),
        request.route(),
        client.address,
        client.port > 0 && !client.tls && client.sni.is_none(),
        request.header_str("x-one").unwrap_or_default(),
        request.headers("x-one").len(),
        many.iter().flatten().count(),
        request.entries().iter().any(|(name, _)| name == "x-two"),
        request.authority().is_some() && !request.id().is_empty(),
    ))
}

/// What the capabilities do, in words.
fn capabilities() -> Result<String, Error> {
    let time = clock::now() > 1_700_000_000_000 && clock::monotonic() <= clock::monotonic();
    kv::set("key", b"value", Some(60_000))?;
    let kept = (kv::get("key").is_some(), kv::delete("key"), kv::incr("n", 2, None)?, kv::cas("c", None, b"1")?);
    let taken = limiter::take(NAME, b"client", 1)?;
    let (admitted, signal) = (load::admit(NAME, 9)?.admitted, load::signal(NAME)?);
    let mac = crypto::hmac(Hash::Sha256, NAME, b"message")?;
    let crypto = (
        crypto::digest(Hash::Sha512, b"").len(),
        crypto::hmac_verify(Hash::Sha256, NAME, b"message", &mac)?,
        crypto::identify("set", b"credential")?,
    );
    metrics::count("contract_seen_total", &[("kind", "x")], 1)?;
    metrics::gauge("contract_level", &[], 0.5)?;
    metrics::observe("contract_wait_seconds", &[], 0.25)?;
    let random = random::bytes(16).len() == 16 && random::number() != random::number();
    let reply = fetch(&Call::new("POST", NAME, "/side").field("x-from", "contract").body("asked").timeout_ms(5_000));
    let reply = reply.map_or_else(|error| error.name().to_owned(), |reply| reply.status.to_string());
    log::info("all of the contract was used");
    Ok(format!(
        "{time} {kept:?} {} {} {admitted} {} {crypto:?} {random} {reply}",
        taken.allowed, taken.limit, signal.in_flight_limit
    ))
}

impl OnRequest for Contract {
    fn on_request(&self, request: &Request<'_>, end_of_stream: bool) -> Result<Action, Error> {
        let (head, capabilities) = (head(request)?, capabilities()?);
        request.set("x-contract-head", format!("{} {head} {end_of_stream}", self.greeting))?;
        request.set("x-contract-capabilities", capabilities)?;
        Ok(Action::Continue)
    }
}

impl OnRequestBody for Contract {
    fn request_body_mode(&self) -> BodyMode {
        BodyMode::Buffered
    }

    fn on_request_body(&self, request: &Request<'_>, data: Vec<u8>, _: bool) -> Result<RequestBodyAction, Error> {
        request.set("x-contract-body", data.len().to_string())?;
        Ok(RequestBodyAction::Replace(data.to_ascii_uppercase()))
    }
}

impl OnResponse for Contract {
    fn on_response(
        &self,
        request: &Request<'_>,
        response: &ResponseHead<'_>,
        _: bool,
    ) -> Result<ResponseAction, Error> {
        let many = response.header_many(&["content-type", "x-contract-planned"]).iter().flatten().count();
        let attribute = request.attr("contract").map(|value| value.len());
        let words = format!(
            "{} {many} {attribute:?} {} {}",
            response.status(),
            response.header("x-contract-planned").is_some(),
            response.entries().len() > 1
        );
        response.set_status(203)?;
        response.remove("x-gone")?;
        response.apply(Edits::new().set("x-contract-applied", "applied"))?;
        response.set("x-contract-response", words)?;
        Ok(ResponseAction::Continue)
    }
}

impl OnResponseBody for Contract {
    fn response_body_mode(&self) -> BodyMode {
        BodyMode::Chunks
    }

    fn on_response_body(
        &self,
        _: &Request<'_>,
        _: &ResponseHead<'_>,
        data: Vec<u8>,
        end: bool,
    ) -> Result<ResponseBodyAction, Error> {
        let mark: &[u8] = if end { b"|end" } else { b"" };
        Ok(ResponseBodyAction::Replace([&data, mark].concat()))
    }
}

impl OnLog for Contract {
    fn on_log(&self, _: &Request<'_>, response: Option<&ResponseHead<'_>>, outcome: &Outcome) -> Result<(), Error> {
        let (status, answered) = (outcome.status, response.is_some());
        log::info(&format!("contract: ended with {status}, answered {answered}, {} bytes in", outcome.bytes_in));
        Ok(())
    }
}

witgate_sdk::export!(Contract: request, request_body, response, response_body, log);
