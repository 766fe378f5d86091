//! `limiter`: the operator's token buckets, by name.

use std::time::Duration;

use std::sync::Arc;

use super::{HostCall, HostState};
use crate::bindings::witgate::plugin::access::AccessError;
use crate::bindings::witgate::plugin::limiter::{Decision, Host};

impl Host for HostCall<'_> {
    fn take(&mut self, bucket: String, key: Vec<u8>, cost: u32) -> wasmtime::Result<Result<Decision, AccessError>> {
        self.passed(bucket.len() + key.len());
        self.require_hook()?;
        let Some(bucket) = self.binding.grants.buckets.get(&bucket) else { return Ok(Err(AccessError::NotGranted)) };
        let bucket = Arc::clone(bucket);
        let decision = HostState::take(self, &bucket, key, cost)?;
        Ok(Ok(Decision {
            allowed: decision.allowed,
            limit: decision.limit,
            remaining: decision.remaining,
            reset_ms: millis(decision.reset),
            retry_after_ms: millis(decision.retry_after),
        }))
    }

    fn buckets(&mut self) -> wasmtime::Result<Vec<String>> {
        let names = self.binding.grants.buckets.keys().cloned().collect::<Vec<_>>();
        Ok(self.give(names))
    }
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
