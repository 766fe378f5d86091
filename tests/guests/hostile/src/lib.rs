//! Does whatever harm the request's `x-do` field names; `x-do-response` does the same on the response. Before that, fields
//! in `x-later` (`name=value`, a name alone to remove it, a `+` in front to add one, `^` for a line break) are asked for on
//! the response to come.

use std::sync::Mutex;

use witgate_sdk::{
    Action, ConfigError, Edits, Error, ErrorCode, FieldError, OnRequest, OnResponse, Plugin, Refusal, Request,
    Response, ResponseAction, ResponseHead,
};

#[derive(serde::Deserialize)]
struct Config {}

struct Hostile;

impl Plugin for Hostile {
    const NAME: &'static str = "hostile";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Does harm when told to";
    type Config = Config;

    fn configure(_: Config) -> Result<Self, ConfigError> {
        Ok(Self)
    }
}

/// Harm that needs no head.
fn harm(deed: &str) {
    match deed {
        "trap" => std::process::abort(),
        "panic" => panic!("told to"),
        "spin" => {
            let mut turns = 0_u64;
            loop {
                turns = std::hint::black_box(turns.wrapping_add(1));
            }
        }
        "grow" => {
            let mut hoard = Vec::new();
            loop {
                hoard.push(std::hint::black_box(vec![1_u8; 1 << 20]));
            }
        }
        "recurse" => recurse(1),
        _ => {}
    }
}

#[expect(unconditional_recursion, reason = "until the stack is used up")]
fn recurse(depth: u64) {
    let room = std::hint::black_box([depth; 64]);
    recurse(room[0] + 1);
    std::hint::black_box(room);
}

fn name(result: Result<(), FieldError>) -> &'static str {
    match result {
        Ok(()) => "ok",
        Err(FieldError::InvalidName) => "invalid-name",
        Err(FieldError::InvalidValue) => "invalid-value",
        Err(FieldError::Forbidden) => "forbidden",
        Err(FieldError::TooLarge) => "too-large",
        Err(FieldError::ReadOnly) => "read-only",
    }
}

/// Fields that no plugin may set, and a value each.
const FORBIDDEN: [(&str, &str); 6] = [
    ("content-length", "5"),
    ("transfer-encoding", "chunked"),
    ("connection", "x-tag"),
    ("host", "evil"),
    ("x-request-id", "forged"),
    ("bad name", "x"),
];

fn later(request: &Request<'_>) -> Result<(), FieldError> {
    let Some(later) = request.header_str("x-later") else { return Ok(()) };
    let later = later.replace('^', "\n");
    let edits = later.split(',').fold(Edits::new(), |edits, field| match field.split_once('=') {
        Some((name, value)) => match name.strip_prefix('+') {
            Some(name) => edits.append(name, value),
            None => edits.set(name, value),
        },
        None => edits.remove(field),
    });
    request.apply_to_response(edits)
}

/// What the deed `keep` leaves in the instance's memory.
static SECRET: Mutex<String> = Mutex::new(String::new());

impl OnRequest for Hostile {
    fn on_request(&self, request: &Request<'_>, _: bool) -> Result<Action, Error> {
        let asked = later(request);
        if asked.is_err() {
            request.set("x-result", name(asked))?;
        }
        let deed = request.header_str("x-do").unwrap_or_default();
        harm(&deed);
        match deed.as_str() {
            "keep" => SECRET.lock().unwrap().clone_from(&request.header_str("x-secret").unwrap_or_default()),
            "tell" => return Ok(Action::Respond(Response::new(200).body(SECRET.lock().unwrap().clone()))),
            "edit-then-trap" => {
                request.set("x-edited", "yes")?;
                harm("trap");
            }
            "big-header" => {
                let result = name(request.set("x-big", vec![b'x'; 10 << 20]));
                request.set("x-result", result)?;
            }
            "many-headers" => {
                let result = (0..100_000).map(|at| request.set(&format!("x-{at}"), "v")).find(Result::is_err);
                return Ok(Action::Respond(Response::new(200).body(result.map_or("ok", name))));
            }
            "forbidden-set" => {
                let results: Vec<_> = FORBIDDEN.iter().map(|(field, value)| name(request.set(field, value))).collect();
                request.set("x-result", results.join(","))?;
            }
            "line-break" => {
                let result = name(request.apply(Edits::new().set("x-first", "made").set("x-split", "a\r\nevil: 1")));
                request.set("x-result", result)?;
            }
            "error" => return Err(Error::new("a failure of its own")),
            "forbidden-respond" => {
                return Ok(Action::Respond(Response::new(200).field("transfer-encoding", "chunked")));
            }
            "split-respond" => return Ok(Action::Respond(Response::new(200).field("x", "a\r\n\r\nevil"))),
            "status-99" => return Ok(Action::Respond(Response::new(99))),
            "status-101" => return Ok(Action::Respond(Response::new(101))),
            "status-999" => return Ok(Action::Respond(Response::new(999))),
            "big-body" => return Ok(Action::Respond(Response::new(200).body(vec![b'x'; (1 << 20) + 1]))),
            "respond" => return Ok(Action::Respond(Response::new(299).field("x-own", "yes").body("own words"))),
            "refuse" => {
                let refusal = Refusal::new(ErrorCode::Forbidden, "Told to refuse.").field("x-own", "yes");
                return Ok(Action::Refuse(refusal));
            }
            "forbidden-refuse" => {
                let refusal = Refusal::new(ErrorCode::Forbidden, "x").field("content-length", "5");
                return Ok(Action::Refuse(refusal));
            }
            _ => {}
        }
        Ok(Action::Continue)
    }
}

impl OnResponse for Hostile {
    fn on_response(
        &self,
        request: &Request<'_>,
        response: &ResponseHead<'_>,
        _: bool,
    ) -> Result<ResponseAction, Error> {
        let deed = request.header_str("x-do-response").unwrap_or_default();
        harm(&deed);
        match deed.as_str() {
            "later" => response.set("x-result", name(request.apply_to_response(Edits::new().set("x", "y"))))?,
            "set-request" => response.set("x-result", name(request.set("x", "y")))?,
            "forbidden-set" => {
                let results: Vec<_> = FORBIDDEN.iter().map(|(field, value)| name(response.set(field, value))).collect();
                response.set("x-result", results.join(","))?;
            }
            "status" => response.set_status(418)?,
            "bad-status" => response.set("x-result", name(response.set_status(101)))?,
            "replace" => return Ok(ResponseAction::Replace(Response::new(203).field("x-own", "yes").body("replaced"))),
            _ => {}
        }
        Ok(ResponseAction::Continue)
    }
}

witgate_sdk::export!(Hostile: request, response);
