//! Calls the capability that the request's `x-probe` field names and tells the answer in `x-probe-result`; also tries
//! what no grant gives: files, environment, network.

use witgate_sdk::{
    AccessError, Action, ConfigError, Error, OnRequest, Plugin, Request, Response, clock, crypto, kv, limiter, load,
    log,
};

#[derive(serde::Deserialize)]
struct Config {}

struct Probe;

impl Plugin for Probe {
    const NAME: &'static str = "probe";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Reports what it can reach";
    type Config = Config;

    fn configure(_: Config) -> Result<Self, ConfigError> {
        Ok(Self)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An answer, or the host's own error in place of the SDK's sentence about it.
fn told<T: std::fmt::Debug>(answer: Result<T, AccessError>) -> String {
    match answer {
        Ok(value) => format!("Ok({value:?})"),
        Err(_) => "Err(AccessError::NotGranted)".to_owned(),
    }
}

fn answer(request: &Request<'_>, question: &str) -> String {
    let mut words = question.split(' ');
    let mut word = || words.next().unwrap_or_default();
    match word() {
        "now" => clock::now().to_string(),
        "monotonic" => (clock::monotonic() <= clock::monotonic()).to_string(),
        "kv-get" => format!("{:?}", kv::get(word()).map(|value| String::from_utf8_lossy(&value).into_owned())),
        "kv-set" => format!("{:?}", kv::set(word(), word().as_bytes(), word().parse().ok())),
        "kv-fill" => {
            format!("{:?}", (0..20_000).map(|at| kv::set(&format!("fill-{at}"), b"x", None)).find(Result::is_err))
        }
        "kv-delete" => kv::delete(word()).to_string(),
        "kv-incr" => format!("{:?}", kv::incr(word(), word().parse().unwrap_or(1), None)),
        "kv-cas" => {
            let (key, expected, value) = (word(), word(), word());
            let expected = Some(expected.as_bytes()).filter(|expected| *expected != b"-");
            format!("{:?}", kv::cas(key, expected, value.as_bytes()))
        }
        "take" => told(limiter::take(word(), b"key", word().parse().unwrap_or(1))),
        "buckets" => limiter::buckets().join(","),
        "admit" => told(load::admit(word(), word().parse().unwrap_or(0))),
        "signal" => told(load::signal(word())),
        "scopes" => load::scopes().join(","),
        "sha256" => hex(&crypto::digest(crypto::Hash::Sha256, word().as_bytes())),
        "hmac" => told(crypto::hmac(crypto::Hash::Sha256, word(), word().as_bytes()).map(|mac| hex(&mac))),
        "identify" => told(crypto::identify(word(), word().as_bytes())),
        "names" => crypto::names().join(","),
        "log" => {
            let message = word().to_owned();
            (0..word().parse().unwrap_or(1)).for_each(|_| log::warn(&message));
            "logged".to_owned()
        }
        "file" => format!("{:?}", std::fs::read_to_string("/etc/hostname").map_err(|error| error.kind())),
        "write" => format!("{:?}", std::fs::write("/tmp/escaped", "x").map_err(|error| error.kind())),
        "environment" => std::env::vars().count().to_string(),
        "arguments" => std::env::args().count().to_string(),
        "network" => {
            format!("{:?}", std::net::TcpStream::connect("127.0.0.1:80").map(drop).map_err(|error| error.kind()))
        }
        "request" => format!(
            "{} {} {} {:?} {} {:?}",
            request.method(),
            request.path_with_query(),
            request.scheme(),
            request.authority(),
            request.route(),
            request.client().address,
        ),
        _ => "?".to_owned(),
    }
}

impl OnRequest for Probe {
    fn on_request(&self, request: &Request<'_>, _: bool) -> Result<Action, Error> {
        let question = request.header_str("x-probe").unwrap_or_default();
        Ok(Action::Respond(Response::new(200).body(answer(request, &question))))
    }
}

witgate_sdk::export!(Probe: request);
