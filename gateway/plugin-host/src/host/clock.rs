//! `clock`: the time of day and a clock that never steps back.

use std::sync::LazyLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::HostCall;
use crate::bindings::witgate::plugin::clock::Host;

impl Host for HostCall<'_> {
    fn now(&mut self) -> wasmtime::Result<u64> {
        Ok(u64::try_from(since_epoch().as_millis()).unwrap_or(u64::MAX))
    }

    fn monotonic(&mut self) -> wasmtime::Result<u64> {
        Ok(monotonic_nanos())
    }
}

/// Time of day; zero on a machine that believes to live before 1970.
pub(super) fn since_epoch() -> std::time::Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Nanoseconds since the first use in this process.
pub(super) fn monotonic_nanos() -> u64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    u64::try_from(START.elapsed().as_nanos()).unwrap_or(u64::MAX)
}
