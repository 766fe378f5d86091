//! A refusal: an answer that a stage leaves to the gateway to render.

use std::time::Duration;

use http::HeaderMap;

use crate::edit::FieldError;
use crate::response::append_field;

/// Why a stage refuses a request: the part of the gateway's closed set of codes that stages may use. Which status and
/// which text form a code gets is decided where the gateway's other errors are rendered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    InvalidRequest,
    Unauthenticated,
    Forbidden,
    NotFound,
    PayloadTooLarge,
    RateLimitExceeded,
    Overloaded,
}

impl ErrorCode {
    pub const ALL: [Self; 7] = [
        Self::InvalidRequest,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::NotFound,
        Self::PayloadTooLarge,
        Self::RateLimitExceeded,
        Self::Overloaded,
    ];

    /// The code as clients and metrics see it.
    pub fn label(self) -> &'static str {
        match self {
            Self::InvalidRequest => "INVALID_REQUEST",
            Self::Unauthenticated => "UNAUTHENTICATED",
            Self::Forbidden => "FORBIDDEN",
            Self::NotFound => "NOT_FOUND",
            Self::PayloadTooLarge => "PAYLOAD_TOO_LARGE",
            Self::RateLimitExceeded => "RATE_LIMIT_EXCEEDED",
            Self::Overloaded => "OVERLOADED",
        }
    }
}

/// A refusal that a stage answers with; valid by construction. The proxy renders the error envelope around it.
#[derive(Debug, Clone)]
pub struct Refusal {
    pub code: ErrorCode,
    /// For the client: says what to do, and nothing about the inside.
    pub message: String,
    pub headers: HeaderMap,
    /// After which another try makes sense.
    pub retry_after: Option<Duration>,
}

impl Refusal {
    /// Most bytes of a message: it is a sentence, not a page.
    pub const MESSAGE_LIMIT: usize = 4096;

    /// # Errors
    /// [`FieldError::TooLarge`] for a message over the limit.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Result<Self, FieldError> {
        let message = message.into();
        if message.len() > Self::MESSAGE_LIMIT {
            return Err(FieldError::TooLarge);
        }
        Ok(Self { code, message, headers: HeaderMap::new(), retry_after: None })
    }

    /// Adds a field to the answer.
    ///
    /// # Errors
    /// [`FieldError`] if a stage may not set this field on a response, or not so much.
    pub fn append(&mut self, name: &str, value: &[u8]) -> Result<(), FieldError> {
        append_field(&mut self.headers, name, value)
    }
}
