//! What a guest answered, checked: nothing that cannot be sent leaves this file.

use std::time::Duration;

use bytes::Bytes;
use witgate_stage::{ErrorCode, FieldError, Refusal, Response, Verdict};

use crate::bindings::exports::witgate::plugin::{
    on_request_body, on_request_headers, on_response_body, on_response_headers,
};
use crate::bindings::witgate::plugin::http;
use crate::fault::Fault;

/// What a hook decided, before the changes it asked for are added.
pub(crate) enum Answer {
    Continue,
    Replace(Bytes),
    Stop(Verdict),
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

fn response(answer: http::Response) -> Result<Verdict, Fault> {
    let http::Response { status, fields, body } = answer;
    let mut response = Response::new(status, body).map_err(|error| match error {
        FieldError::TooLarge => Fault::invalid_output("body", error),
        _ => Fault::invalid_output(&format!("status {status}"), error),
    })?;
    append_all(fields, |name, value| response.append(name, value))?;
    Ok(Verdict::Respond(Box::new(response)))
}

fn refusal(answer: http::Refusal) -> Result<Verdict, Fault> {
    let http::Refusal { code, message, fields, retry_after_ms } = answer;
    let mut refusal = Refusal::new(code.into(), message).map_err(|error| Fault::invalid_output("message", error))?;
    append_all(fields, |name, value| refusal.append(name, value))?;
    refusal.retry_after = retry_after_ms.map(Duration::from_millis);
    Ok(Verdict::Refuse(Box::new(refusal)))
}

fn append_all(
    fields: Vec<http::Field>,
    mut append: impl FnMut(&str, &[u8]) -> Result<(), FieldError>,
) -> Result<(), Fault> {
    fields.into_iter().try_for_each(|http::Field { name, value }| {
        append(&name, &value).map_err(|error| {
            let name: String = name.chars().take(80).flat_map(char::escape_default).collect();
            Fault::invalid_output(&format!("field `{name}`"), error)
        })
    })
}

impl From<http::ErrorCode> for ErrorCode {
    fn from(code: http::ErrorCode) -> Self {
        match code {
            http::ErrorCode::InvalidRequest => Self::InvalidRequest,
            http::ErrorCode::Unauthenticated => Self::Unauthenticated,
            http::ErrorCode::Forbidden => Self::Forbidden,
            http::ErrorCode::NotFound => Self::NotFound,
            http::ErrorCode::PayloadTooLarge => Self::PayloadTooLarge,
            http::ErrorCode::RateLimitExceeded => Self::RateLimitExceeded,
            http::ErrorCode::Overloaded => Self::Overloaded,
        }
    }
}
