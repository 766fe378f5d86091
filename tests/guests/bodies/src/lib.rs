//! Sees and changes bodies, as its configuration and `x-do` fields tell it.

use witgate_sdk::{
    Action, BodyMode, ConfigError, Error, ErrorCode, OnLog, OnRequest, OnRequestBody, OnResponseBody, Outcome, Plugin,
    Refusal, Request, RequestBodyAction, Response, ResponseBodyAction, ResponseHead, kv,
};

/// How bodies are wanted.
#[derive(serde::Deserialize, Clone, Copy, Default)]
#[serde(rename_all = "lowercase")]
enum Mode {
    #[default]
    None,
    Chunks,
    Buffered,
}

impl From<Mode> for BodyMode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::None => Self::None,
            Mode::Chunks => Self::Chunks,
            Mode::Buffered => Self::Buffered,
        }
    }
}

#[derive(serde::Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Bodies {
    request: Mode,
    response: Mode,
    /// Stands before each piece.
    mark: String,
}

impl Plugin for Bodies {
    const NAME: &'static str = "bodies";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Sees and changes bodies";
    type Config = Self;

    fn configure(config: Self) -> Result<Self, ConfigError> {
        Ok(config)
    }
}

fn told(request: &Request<'_>) -> String {
    request.header_str("x-do").unwrap_or_default()
}

impl Bodies {
    fn marked(&self, data: Vec<u8>) -> Vec<u8> {
        [self.mark.as_bytes(), &data].concat()
    }
}

impl OnRequest for Bodies {
    fn on_request(&self, request: &Request<'_>, _: bool) -> Result<Action, Error> {
        match told(request).as_str() {
            "last" => Ok(Action::Respond(Response::new(200).body(kv::get("last").unwrap_or_default()))),
            _ => Ok(Action::Continue),
        }
    }
}

impl OnRequestBody for Bodies {
    fn request_body_mode(&self) -> BodyMode {
        self.request.into()
    }

    fn on_request_body(
        &self,
        request: &Request<'_>,
        data: Vec<u8>,
        end_of_stream: bool,
    ) -> Result<RequestBodyAction, Error> {
        match told(request).as_str() {
            "trap" => panic!("told to"),
            "spin" => loop {
                std::hint::black_box(());
            },
            "refuse" if end_of_stream => {
                Ok(RequestBodyAction::Refuse(Refusal::new(ErrorCode::Forbidden, "This body is not wanted.")))
            }
            "respond" => Ok(RequestBodyAction::Respond(Response::new(299).body(data.len().to_string()))),
            "drop" => Ok(RequestBodyAction::Replace(Vec::new())),
            "sign" => {
                request.set("x-length", data.len().to_string())?;
                Ok(RequestBodyAction::Continue)
            }
            _ if self.mark.is_empty() || data.is_empty() => Ok(RequestBodyAction::Continue),
            _ => Ok(RequestBodyAction::Replace(self.marked(data))),
        }
    }
}

impl OnResponseBody for Bodies {
    fn response_body_mode(&self) -> BodyMode {
        self.response.into()
    }

    fn on_response_body(
        &self,
        request: &Request<'_>,
        response: &ResponseHead<'_>,
        data: Vec<u8>,
        _: bool,
    ) -> Result<ResponseBodyAction, Error> {
        match told(request).as_str() {
            "trap-response" => panic!("told to"),
            "withhold" => Ok(ResponseBodyAction::Refuse(Refusal::new(ErrorCode::Forbidden, "Not for you."))),
            "drop-response" => Ok(ResponseBodyAction::Replace(Vec::new())),
            "sign-response" => {
                response.set("x-length", data.len().to_string())?;
                Ok(ResponseBodyAction::Continue)
            }
            _ if self.mark.is_empty() || data.is_empty() => Ok(ResponseBodyAction::Continue),
            _ => Ok(ResponseBodyAction::Replace(self.marked(data))),
        }
    }
}

impl OnLog for Bodies {
    fn on_log(
        &self,
        request: &Request<'_>,
        response: Option<&ResponseHead<'_>>,
        outcome: &Outcome,
    ) -> Result<(), Error> {
        let Outcome { status, code, stage, bytes_in, bytes_out, .. } = outcome;
        let seen = response.map(ResponseHead::status);
        let line = format!("{} {status} {seen:?} {code:?} {stage:?} {bytes_in} {bytes_out}", request.path());
        // Whoever asks for the last one does not want to hear of itself.
        if told(request) != "last" {
            kv::set("last", line.as_bytes(), None)?;
        }
        if told(request) == "trap-log" {
            panic!("told to");
        }
        Ok(())
    }
}

witgate_sdk::export!(Bodies: request, request_body, response_body, log);
