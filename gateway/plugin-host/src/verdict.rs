//! What a guest answered, checked: nothing that cannot be sent leaves this file.

use std::time::Duration;

use bytes::Bytes;
use witgate_stage::{ErrorCode, FieldError, Refusal, Response, Verdict};

use crate::bindings::exports::witgate::plugin::{
    on_request_body, on_request_headers, on_response_body, on_response_headers,
};
use crate::bindings::witgate::plugin::http as wit;
use crate::fault::Fault;

/// What a hook decided, before the changes it asked for are added.
pub(crate) enum Answer {
    Continue,
    Replace(Bytes),
    Stop(Verdict),
}

impl Answer {
    /// Bytes that were copied out of the guest.
    pub(crate) fn weight(&self) -> u64 {
        let fields = |headers: &http::HeaderMap| {
            headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum::<usize>()
        };
        let bytes = match self {
            Self::Continue => 0,
            Self::Replace(bytes) => bytes.len(),
            Self::Stop(Verdict::Respond(response)) => response.body.len() + fields(&response.headers),
            Self::Stop(Verdict::Refuse(refusal)) => refusal.message.len() + fields(&refusal.headers),
            Self::Stop(_) => 0,
        };
        bytes as u64
    }
}

pub(crate) fn of_request(action: on_request_headers::Action) -> Result<Answer, Fault> {
    match action {
        on_request_headers::Action::Continue => Ok(Answer::Continue),
        on_request_headers::Action::Respond(answer) => response(answer).map(Answer::Stop),
        on_request_headers::Action::Refuse(answer) => refusal(answer).map(Answer::Stop),
    }
}

pub(crate) fn of_request_body(action: on_request_body::Action) -> Result<Answer, Fault> {
    match action {
        on_request_body::Action::Continue => Ok(Answer::Continue),
        on_request_body::Action::Replace(bytes) => Ok(Answer::Replace(bytes.into())),
        on_request_body::Action::Respond(answer) => response(answer).map(Answer::Stop),
        on_request_body::Action::Refuse(answer) => refusal(answer).map(Answer::Stop),
    }
}

pub(crate) fn of_response(action: on_response_headers::Action) -> Result<Answer, Fault> {
    match action {
        on_response_headers::Action::Continue => Ok(Answer::Continue),
        on_response_headers::Action::Replace(answer) => response(answer).map(Answer::Stop),
    }
}

pub(crate) fn of_response_body(action: on_response_body::Action) -> Result<Answer, Fault> {
    match action {
        on_response_body::Action::Continue => Ok(Answer::Continue),
        on_response_body::Action::Replace(bytes) => Ok(Answer::Replace(bytes.into())),
        on_response_body::Action::Refuse(answer) => refusal(answer).map(Answer::Stop),
    }
}

fn response(answer: wit::Response) -> Result<Verdict, Fault> {
    let wit::Response { status, fields, body } = answer;
    let mut response = Response::new(status, body).map_err(|error| match error {
        FieldError::TooLarge => Fault::invalid_output("body", error),
        _ => Fault::invalid_output(&format!("status {status}"), error),
    })?;
    append_all(fields, |name, value| response.append(name, value))?;
    Ok(Verdict::Respond(Box::new(response)))
}

fn refusal(answer: wit::Refusal) -> Result<Verdict, Fault> {
    let wit::Refusal { code, message, fields, retry_after_ms } = answer;
    let mut refusal = Refusal::new(code.into(), message).map_err(|error| Fault::invalid_output("message", error))?;
    append_all(fields, |name, value| refusal.append(name, value))?;
    refusal.retry_after = retry_after_ms.map(Duration::from_millis);
    Ok(Verdict::Refuse(Box::new(refusal)))
}

fn append_all(
    fields: Vec<wit::Field>,
    mut append: impl FnMut(&str, &[u8]) -> Result<(), FieldError>,
) -> Result<(), Fault> {
    fields.into_iter().try_for_each(|wit::Field { name, value }| {
        append(&name, &value).map_err(|error| {
            let name: String = name.chars().take(80).flat_map(char::escape_default).collect();
            Fault::invalid_output(&format!("field `{name}`"), error)
        })
    })
}

impl From<wit::ErrorCode> for ErrorCode {
    fn from(code: wit::ErrorCode) -> Self {
        match code {
            wit::ErrorCode::InvalidRequest => Self::InvalidRequest,
            wit::ErrorCode::Unauthenticated => Self::Unauthenticated,
            wit::ErrorCode::Forbidden => Self::Forbidden,
            wit::ErrorCode::NotFound => Self::NotFound,
            wit::ErrorCode::PayloadTooLarge => Self::PayloadTooLarge,
            wit::ErrorCode::RateLimitExceeded => Self::RateLimitExceeded,
            wit::ErrorCode::Overloaded => Self::Overloaded,
        }
    }
}
