//! Why a request gets no answer of a model, and what its client is told. The statuses of all protocols stand here.

use http::StatusCode;

use super::elements::ElementsError;
use super::json::JsonError;
use crate::validate::{InputError, clip};
use crate::{FindError, InferError, ManageError};

/// What is wrong, in general.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The request is not one that can be answered: whoever sent it can mend it.
    Invalid,
    NotFound,
    /// Another method is needed, one of these.
    Method(&'static str),
    TooLarge,
    /// The body is compressed in a way that is not read here.
    Encoding,
    /// Another type of content is needed.
    MediaType,
    NotAllowed,
    /// A part of the protocol that is left out.
    NotServed,
    Overloaded,
    Deadline,
    Failed,
}

impl Kind {
    pub fn status(self) -> StatusCode {
        match self {
            Self::Invalid => StatusCode::BAD_REQUEST,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Encoding | Self::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::NotAllowed => StatusCode::FORBIDDEN,
            Self::NotServed => StatusCode::NOT_IMPLEMENTED,
            Self::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
            Self::Deadline => StatusCode::GATEWAY_TIMEOUT,
            Self::Failed => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// gRPC's status codes.
    pub fn grpc_status(self) -> u8 {
        match self {
            Self::Invalid => 3,
            Self::Deadline => 4,
            Self::NotFound => 5,
            Self::NotAllowed => 7,
            Self::TooLarge => 8,
            Self::Method(_) | Self::Encoding | Self::MediaType | Self::NotServed => 12,
            Self::Failed => 13,
            Self::Overloaded => 14,
        }
    }
}

/// Why there is no answer, and what the client is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub kind: Kind,
    pub message: String,
}

impl Failure {
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// A model failed on an input without elements: some models take none, and only running them tells.
    pub fn on_nothing(error: InferError) -> Self {
        let Self { message, .. } = error.into();
        Self::invalid(format!("{message}: an input has no elements, and not every model can do with that"))
    }

    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Kind::Invalid, message)
    }
}

impl From<JsonError> for Failure {
    fn from(error: JsonError) -> Self {
        Self::invalid(error.to_string())
    }
}

impl From<InputError> for Failure {
    fn from(error: InputError) -> Self {
        Self::invalid(error.to_string())
    }
}

impl From<ElementsError> for Failure {
    fn from(error: ElementsError) -> Self {
        match error {
            ElementsError::Json(error) => error.into(),
            ElementsError::Input(error) => error.into(),
            ElementsError::TooMany { limit } => {
                Self::new(Kind::TooLarge, format!("an input has more elements than the {limit} that are taken here"))
            }
        }
    }
}

impl From<FindError> for Failure {
    fn from(error: FindError) -> Self {
        // What was asked for can be as long as the body of a request over gRPC.
        let error = match error {
            FindError::NoModel(name) => FindError::NoModel(clip(&name)),
            FindError::NoVersion { name, version, present } => {
                FindError::NoVersion { name, version: clip(&version), present }
            }
        };
        Self::new(Kind::NotFound, error.to_string())
    }
}

impl From<ManageError> for Failure {
    fn from(error: ManageError) -> Self {
        let kind = match error {
            ManageError::NotAllowed => Kind::NotAllowed,
            ManageError::Unknown(error) => return error.into(),
            ManageError::Refused(_) => Kind::Invalid,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<InferError> for Failure {
    fn from(error: InferError) -> Self {
        let kind = match &error {
            InferError::Overloaded => Kind::Overloaded,
            InferError::Deadline => Kind::Deadline,
            InferError::Invalid(_) => Kind::Invalid,
            InferError::Failed(reason) => {
                tracing::error!(reason, "a model failed");
                return Self::new(Kind::Failed, "the model failed");
            }
        };
        Self::new(kind, error.to_string())
    }
}
