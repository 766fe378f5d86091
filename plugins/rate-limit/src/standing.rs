//! Where a client stands with a bucket, on its way from the request to the response.

use std::fmt;

use witgate_sdk::limiter::Decision;
use witgate_sdk::{Edits, FieldError, Refusal, Request};

pub const LIMIT: &str = "x-ratelimit-limit";
pub const REMAINING: &str = "x-ratelimit-remaining";
pub const RESET: &str = "x-ratelimit-reset";

/// Attribute with the standing that the response shows so far.
pub const SHOWN: &str = "rate-limit.shown";

/// Attribute of a bucket: stages of one route share their attributes, and each leaves its own.
pub fn attribute(bucket: &str) -> String {
    format!("rate-limit.standing.{bucket}")
}

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
    /// Reads an attribute; none if no stage left it.
    pub fn of(request: &Request<'_>, attribute: &str) -> Option<Self> {
        let text = String::from_utf8(request.attr(attribute)?).ok()?;
        let mut numbers = text.split(' ');
        let limit = numbers.next()?.parse().ok()?;
        let remaining = numbers.next()?.parse().ok()?;
        Some(Self { limit, remaining, reset: numbers.next()?.parse().ok()? })
    }

    /// Leaves the standing in an attribute, unless a tighter one is there. Returns whether it did.
    pub fn leave(self, request: &Request<'_>, attribute: &str) -> Result<bool, FieldError> {
        if Self::of(request, attribute).is_some_and(|there| there.remaining <= self.remaining) {
            return Ok(false);
        }
        request.set_attr(attribute, self.to_string())?;
        Ok(true)
    }

    /// The fields of a response.
    pub fn edits(self) -> Edits {
        self.fields().into_iter().fold(Edits::new(), |edits, (name, value)| edits.set(name, value))
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

/// The form in an attribute.
impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { limit, remaining, reset } = self;
        write!(f, "{limit} {remaining} {reset}")
    }
}
