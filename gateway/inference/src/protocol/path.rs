//! What a path asks for.

use http::Method;

use super::failure::{Failure, Kind};
use crate::catalogue::split_name;

/// The service of the Open Inference Protocol, in gRPC's paths.
const GRPC_SERVICE: &str = "inference.GRPCInferenceService";

/// A model, and maybe a version or an alias of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub model: String,
    pub version: Option<String>,
}

impl Target {
    /// From a name that may have a version in it: `name@3`.
    pub fn parse(name: &str) -> Self {
        let (model, version) = split_name(name);
        Self { model: model.to_owned(), version: version.map(str::to_owned) }
    }

    /// `version`: said apart from the name; empty for none.
    pub fn with(name: &str, version: &str) -> Self {
        if version.is_empty() {
            return Self::parse(name);
        }
        Self { model: name.to_owned(), version: Some(version.to_owned()) }
    }
}

/// One thing that can be asked of the model server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    Goserve(Goserve),
    V2(V2),
    /// A method of the gRPC service.
    Grpc(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Goserve {
    Server,
    Health,
    Ready,
    List,
    Load,
    Describe(Target),
    Unload(Target),
    Infer(Target),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum V2 {
    Server,
    Live,
    Ready,
    Describe(Target),
    ModelReady(Target),
    Infer(Target),
    Index,
    Load(String),
    Unload(String),
}

/// Finds what a request asks for: by its whole path, or else by what follows the route's prefix.
///
/// # Errors
/// Nothing stands at that path, or it needs another method.
pub fn find(method: &Method, path: &str, prefix: &str) -> Result<Call, Failure> {
    let mut found = None;
    let rest = path.strip_prefix(prefix.trim_end_matches('/'));
    // A prefix ends where a segment does.
    let rest = rest.filter(|rest| !prefix.is_empty() && (rest.is_empty() || rest.starts_with('/')));
    for path in [Some(path), rest].into_iter().flatten() {
        match at(method, path) {
            Ok(call) => return Ok(call),
            Err(failure) => {
                // What is wrong with a path that is known tells more than that another is unknown.
                if found.as_ref().is_none_or(|found: &Failure| found.kind == Kind::NotFound) {
                    found = Some(failure);
                }
            }
        }
    }
    Err(found.unwrap_or_else(nothing))
}

fn nothing() -> Failure {
    Failure::new(Kind::NotFound, "nothing is served at this path: see /v2 and /v1/models")
}

fn at(method: &Method, path: &str) -> Result<Call, Failure> {
    let segments: Vec<String> = path
        .split('/')
        .filter(|segment| !segment.is_empty())
        .map(decoded)
        .collect::<Option<_>>()
        .ok_or_else(nothing)?;
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let get = |call| only(method, &[Method::GET, Method::HEAD], "GET, HEAD", call);
    let post = |call| only(method, &[Method::POST], "POST", call);
    match segments.as_slice() {
        [] => get(Call::Goserve(Goserve::Server)),
        ["health"] => get(Call::Goserve(Goserve::Health)),
        ["ready"] => get(Call::Goserve(Goserve::Ready)),
        ["v1", "models"] if method == Method::POST => Ok(Call::Goserve(Goserve::Load)),
        ["v1", "models"] => only(method, &[Method::GET, Method::HEAD], "GET, HEAD, POST", Call::Goserve(Goserve::List)),
        ["v1", "models", name] if method == Method::DELETE => Ok(Call::Goserve(Goserve::Unload(Target::parse(name)))),
        ["v1", "models", name] => {
            let call = Call::Goserve(Goserve::Describe(Target::parse(name)));
            only(method, &[Method::GET, Method::HEAD], "GET, HEAD, DELETE", call)
        }
        ["v1", "models", name, "infer"] => post(Call::Goserve(Goserve::Infer(Target::parse(name)))),
        ["v2"] => get(Call::V2(V2::Server)),
        ["v2", "health", "live"] => get(Call::V2(V2::Live)),
        ["v2", "health", "ready"] => get(Call::V2(V2::Ready)),
        ["v2", "repository", "index"] => post(Call::V2(V2::Index)),
        ["v2", "repository", "models", name, "load"] => post(Call::V2(V2::Load((*name).to_owned()))),
        ["v2", "repository", "models", name, "unload"] => post(Call::V2(V2::Unload((*name).to_owned()))),
        ["v2", "models", "stats"] => Err(left_out("stats")),
        ["v2", "models", name, "versions", version, rest @ ..] => of_model(method, Target::with(name, version), rest),
        ["v2", "models", name, rest @ ..] => of_model(method, Target::parse(name), rest),
        ["v2", "logging" | "trace" | "systemsharedmemory" | "cudasharedmemory", ..] => {
            Err(left_out(segments.get(1).copied().unwrap_or_default()))
        }
        [GRPC_SERVICE, name] => post(Call::Grpc((*name).to_owned())),
        _ => Err(nothing()),
    }
}

fn of_model(method: &Method, target: Target, rest: &[&str]) -> Result<Call, Failure> {
    let get = |call| only(method, &[Method::GET, Method::HEAD], "GET, HEAD", Call::V2(call));
    match rest {
        [] => get(V2::Describe(target)),
        ["ready"] => get(V2::ModelReady(target)),
        ["infer"] => only(method, &[Method::POST], "POST", Call::V2(V2::Infer(target))),
        [part @ ("stats" | "config" | "trace" | "generate" | "generate_stream"), ..] => Err(left_out(part)),
        _ => Err(nothing()),
    }
}

fn only(method: &Method, allowed: &[Method], names: &'static str, call: Call) -> Result<Call, Failure> {
    if allowed.contains(method) {
        return Ok(call);
    }
    Err(Failure::new(Kind::Method(names), format!("this path needs another method than the request's: {names}")))
}

fn left_out(part: &str) -> Failure {
    let message = match part {
        "stats" => "statistics are not served here: the gateway's metrics have them, on its admin listener".to_owned(),
        part => format!("`{part}` is not served here"),
    };
    Failure::new(Kind::NotServed, message)
}

/// A segment of a path without its percent encoding; none if it is not UTF-8.
fn decoded(segment: &str) -> Option<String> {
    if !segment.contains('%') {
        return Some(segment.to_owned());
    }
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let hex = |digit: &u8| char::from(*digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        match (byte, after) {
            (b'%', [high, low, after @ ..]) => {
                bytes.push(hex(high)? << 4 | hex(low)?);
                rest = after;
            }
            (b'%', _) => return None,
            _ => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(model: &str, version: Option<&str>) -> Target {
        Target { model: model.to_owned(), version: version.map(str::to_owned) }
    }

    fn get(path: &str, prefix: &str) -> Result<Call, Kind> {
        find(&Method::GET, path, prefix).map_err(|failure| failure.kind)
    }

    #[test]
    fn a_path_is_found_whole_or_after_the_prefix() {
        let described = |version| Ok(Call::V2(V2::Describe(target("m", version))));
        assert_eq!(get("/v2/models/m", "/"), described(None));
        assert_eq!(get("/v2/models/m", ""), described(None));
        assert_eq!(get("/v2/models/m", "/v2/models"), described(None));
        assert_eq!(get("/ml/v2/models/m", "/ml"), described(None));
        assert_eq!(get("/ml/v2/models/m/versions/latest", "/ml/"), described(Some("latest")));
        assert_eq!(get("/ml", "/ml"), Ok(Call::Goserve(Goserve::Server)));
        assert_eq!(get("/mlv2/models/m", "/ml"), Err(Kind::NotFound));
        assert_eq!(get("/ml/else", "/ml"), Err(Kind::NotFound));
    }

    #[test]
    fn a_name_may_have_a_version_in_it() {
        for path in ["/v1/models/m@3", "/v1/models/m%403"] {
            assert_eq!(get(path, ""), Ok(Call::Goserve(Goserve::Describe(target("m", Some("3"))))));
        }
        assert_eq!(get("/v1/models/m@", ""), Ok(Call::Goserve(Goserve::Describe(target("m@", None)))));
        assert_eq!(get("/v1/models/%ff", ""), Err(Kind::NotFound));
        assert_eq!(get("/v1/models/%4", ""), Err(Kind::NotFound));
    }

    #[test]
    fn another_method_is_told_the_right_one() {
        assert_eq!(get("/v2/models/m/infer", ""), Err(Kind::Method("POST")));
        assert_eq!(get("/ml/v1/models/m/infer", "/ml"), Err(Kind::Method("POST")));
        let post = |path| find(&Method::POST, path, "").map_err(|failure| failure.kind);
        assert_eq!(post("/v2"), Err(Kind::Method("GET, HEAD")));
        assert_eq!(post("/v1/models/m"), Err(Kind::Method("GET, HEAD, DELETE")));
        assert_eq!(post("/inference.GRPCInferenceService/ModelInfer"), Ok(Call::Grpc("ModelInfer".to_owned())));
    }

    #[test]
    fn parts_that_are_left_out_say_so() {
        for path in ["/v2/models/stats", "/v2/models/m/stats", "/v2/models/m/versions/1/config", "/v2/logging"] {
            assert_eq!(get(path, ""), Err(Kind::NotServed), "{path}");
        }
    }
}
