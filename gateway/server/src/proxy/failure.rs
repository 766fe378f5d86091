//! Every failure of a request becomes an answer here, and nowhere else.

use std::fmt;

use witgate_stage::Outcome;

use crate::envelope::{Answer, Code, Problem};
use crate::proxy::downstream::ClientError;
use crate::proxy::panic::Panic;
use crate::proxy::upstream::UpstreamError;

/// Why a request was not served by an upstream.
#[derive(Debug)]
pub enum Failure {
    /// The gateway refuses it.
    Problem(Problem),
    /// A stage answered, refused or failed it.
    Stopped(Box<Outcome>),
    /// What a stage answered.
    Answer(Box<Answer>),
    Client(ClientError),
    Upstream(UpstreamError),
    /// The route's deadline passed.
    DeadlineExceeded,
    /// The gateway ends, and has waited long enough for the request.
    CutOff,
    /// The gateway's own code panicked.
    Panicked(Panic),
    /// What must hold within the gateway does not: a mistake in its code.
    Broken(&'static str),
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self::Client(error)
    }
}

impl From<UpstreamError> for Failure {
    fn from(error: UpstreamError) -> Self {
        Self::Upstream(error)
    }
}

/// For the log; the client is not told of the inside.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Problem(problem) => f.write_str(&problem.message),
            Self::Stopped(_) => f.write_str("stopped by a stage"),
            Self::Answer(answer) => write!(f, "answered with {}", answer.status),
            Self::Client(ClientError::Disconnected(error)) => write!(f, "the client is gone: {error}"),
            Self::Client(ClientError::BodyTimeout) => f.write_str("the client paused for too long within its body"),
            Self::Client(ClientError::Malformed(error)) => write!(f, "malformed request body: {error}"),
            Self::Upstream(UpstreamError::Unreachable(error)) => write!(f, "no connection to the endpoint: {error}"),
            Self::Upstream(UpstreamError::ConnectTimeout) => f.write_str("connecting to the endpoint took too long"),
            Self::Upstream(UpstreamError::Closed(error)) => write!(f, "the endpoint closed the connection: {error}"),
            Self::Upstream(UpstreamError::Invalid(what)) => {
                write!(f, "the endpoint sent something else than HTTP: {what}")
            }
            Self::Upstream(UpstreamError::Unprocessed(error)) => {
                write!(f, "the endpoint did not take the request: {error}")
            }
            Self::Upstream(UpstreamError::WriteTimeout) => f.write_str("the endpoint takes nothing of the request"),
            Self::Upstream(UpstreamError::ReadTimeout) => f.write_str("the endpoint said nothing for too long"),
            Self::DeadlineExceeded => f.write_str("cut off at its deadline"),
            Self::CutOff => f.write_str("cut off when draining took too long"),
            Self::Panicked(panic) => panic.fmt(f),
            Self::Broken(what) => write!(f, "the gateway is wrong: {what}"),
        }
    }
}

/// What a client is told of a failure.
#[derive(Debug)]
pub enum ClientReply {
    Problem(Problem),
    Answer(Answer),
    /// It has left.
    Nothing(Failure),
}

/// The one table of what clients are told of which failure.
pub fn client_reply(failure: Failure) -> ClientReply {
    let late = || Problem::new(Code::DeadlineExceeded, "The upstream did not answer in time.");
    ClientReply::Problem(match failure {
        Failure::Problem(problem) => problem,
        Failure::Answer(answer) => return ClientReply::Answer(*answer),
        // Stops of stages are told apart before.
        Failure::Stopped(_) | Failure::Panicked(_) | Failure::Broken(_) => {
            Problem::new(Code::Internal, "The gateway could not serve the request.")
        }
        Failure::CutOff => Problem::new(Code::Overloaded, "The gateway is shutting down; try again.")
            .retry_after(std::time::Duration::from_secs(1)),
        failure @ Failure::Client(ClientError::Disconnected(_)) => return ClientReply::Nothing(failure),
        Failure::Client(ClientError::BodyTimeout) => {
            Problem::new(Code::RequestTimeout, "The request body did not arrive in time.")
        }
        Failure::Client(ClientError::Malformed(error)) => {
            Problem::new(Code::InvalidRequest, format!("Malformed request body: {error}."))
        }
        Failure::Upstream(UpstreamError::Unreachable(_) | UpstreamError::ConnectTimeout) => {
            Problem::new(Code::UpstreamUnavailable, "The upstream cannot be reached.")
        }
        Failure::Upstream(UpstreamError::Unprocessed(_)) => {
            Problem::new(Code::UpstreamUnavailable, "The upstream did not take the request; try again.")
        }
        Failure::Upstream(UpstreamError::Closed(_) | UpstreamError::Invalid(_)) => {
            Problem::new(Code::UpstreamInvalid, "The upstream broke off or sent something that is not HTTP.")
        }
        Failure::Upstream(UpstreamError::WriteTimeout | UpstreamError::ReadTimeout) | Failure::DeadlineExceeded => {
            late()
        }
    })
}
