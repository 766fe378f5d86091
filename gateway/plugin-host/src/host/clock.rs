//! `clock`: the time of day and a clock that never steps back.

use std::time::Instant;

use super::{HostCall, HostState};
use crate::bindings::witgate::plugin::clock::Host;
use crate::service::Surroundings;

impl HostState {
    pub(super) fn surroundings(&self) -> &Surroundings {
        &self.binding.grants.surroundings
    }

    /// What lifetimes are reckoned by.
    pub(super) fn instant(&self) -> Instant {
        self.surroundings().now()
    }
}

impl Host for HostCall<'_> {
    fn now(&mut self) -> wasmtime::Result<u64> {
        Ok(u64::try_from(self.surroundings().since_epoch().as_millis()).unwrap_or(u64::MAX))
    }

    fn monotonic(&mut self) -> wasmtime::Result<u64> {
        Ok(self.surroundings().monotonic_nanos())
    }
}
