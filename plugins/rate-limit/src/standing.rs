//! Where a client stands with a bucket, for the response to tell.

use witgate_sdk::limiter::Decision;
use witgate_sdk::{Edits, FieldError, Refusal, Request};

pub const LIMIT: &str = "x-ratelimit-limit";
pub const REMAINING: &str = "x-ratelimit-remaining";
pub const RESET: &str = "x-ratelimit-reset";

/// What a client may still do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Tokens that the bucket holds.
    limit: u32,
    /// Whole tokens left.
    remaining: u32,
    /// Seconds until the bucket is full again, rounded up.
    reset: u64,
}

impl Standing {
    /// Shows the standing on the response to come, unless another stage of the route shows a tighter one.
    pub fn show(self, request: &Request<'_>) -> Result<(), FieldError> {
        let shown = request.response_field(REMAINING).and_then(|shown| std::str::from_utf8(&shown).ok()?.parse().ok());
        if shown.is_some_and(|shown: u32| shown <= self.remaining) {
            return Ok(());
        }
        request.apply_to_response(
            self.fields().into_iter().fold(Edits::new(), |edits, (name, value)| edits.set(name, value)),
        )
    }

    /// The fields of a refusal.
    pub fn refuse(self, refusal: Refusal) -> Refusal {
        self.fields().into_iter().fold(refusal, |refusal, (name, value)| refusal.field(name, value))
    }

    fn fields(self) -> [(&'static str, String); 3] {
        let Self { limit, remaining, reset } = self;
        [(LIMIT, limit.to_string()), (REMAINING, remaining.to_string()), (RESET, reset.to_string())]
    }
}

impl From<&Decision> for Standing {
    fn from(decision: &Decision) -> Self {
        let Decision { limit, remaining, reset_ms, .. } = *decision;
        Self { limit, remaining, reset: reset_ms.div_ceil(1000) }
    }
}
