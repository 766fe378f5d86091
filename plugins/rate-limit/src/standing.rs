//! Where a client stands with a bucket, on its way from the request to the response.

use witgate_sdk::limiter::Decision;
use witgate_sdk::{Edits, FieldError, Refusal, Request};

pub const LIMIT: &str = "x-ratelimit-limit";
pub const REMAINING: &str = "x-ratelimit-remaining";
pub const RESET: &str = "x-ratelimit-reset";

/// Attribute with the tightest standing so far and the bucket of the stage that was first to leave one. Stages of one route
/// share their attributes.
const ATTRIBUTE: &str = "rate-limit.standing";

/// Bytes of the numbers in the attribute: little-endian, which takes no parsing.
const NUMBERS: usize = 16;

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
    /// Leaves the standing with the request, unless a tighter one is there.
    ///
    /// Two calls of the host: whatever happens later, the response's hook then needs one to know what to show.
    pub fn leave(self, request: &Request<'_>, bucket: &str) -> Result<(), FieldError> {
        let there = request.attr(ATTRIBUTE);
        let there = there.as_deref().and_then(Self::parse);
        let first = there.map_or(bucket.as_bytes(), |(_, first)| first);
        if there.is_some_and(|(there, _)| there.remaining <= self.remaining) {
            return Ok(());
        }
        let mut attribute = Vec::with_capacity(NUMBERS + first.len());
        attribute.extend_from_slice(&self.limit.to_le_bytes());
        attribute.extend_from_slice(&self.remaining.to_le_bytes());
        attribute.extend_from_slice(&self.reset.to_le_bytes());
        attribute.extend_from_slice(first);
        request.set_attr(ATTRIBUTE, attribute)
    }

    /// The tightest standing, for the stage that shows it: the outermost one, whose bucket was the first. Responses come to
    /// it last. None for the others, and if no stage left a standing.
    pub fn to_show(request: &Request<'_>, bucket: &str) -> Option<Self> {
        let attribute = request.attr(ATTRIBUTE)?;
        let (standing, first) = Self::parse(&attribute)?;
        (first == bucket.as_bytes()).then_some(standing)
    }

    /// Takes an attribute apart: the standing and the first bucket.
    fn parse(attribute: &[u8]) -> Option<(Self, &[u8])> {
        let (limit, rest) = attribute.split_first_chunk()?;
        let (remaining, rest) = rest.split_first_chunk()?;
        let (reset, first) = rest.split_first_chunk()?;
        let standing = Self {
            limit: u32::from_le_bytes(*limit),
            remaining: u32::from_le_bytes(*remaining),
            reset: u64::from_le_bytes(*reset),
        };
        Some((standing, first))
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
