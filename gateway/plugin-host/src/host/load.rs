//! `load`: admission by load, by the name of a scope.

use super::limiter::millis;
use super::{HostCall, HostState, outside_hook};
use crate::bindings::witgate::plugin::access::AccessError;
use crate::bindings::witgate::plugin::load::{Admission, Host, LoadSignal};
use crate::service;

impl Host for HostCall<'_> {
    fn admit(&mut self, scope: String, priority: u8) -> wasmtime::Result<Result<Admission, AccessError>> {
        self.passed(scope.len());
        self.require_hook()?;
        let HostState { binding, call, .. } = &mut **self;
        let Some(scope) = binding.grants.load_scopes.get(&scope) else { return Ok(Err(AccessError::NotGranted)) };
        let exchange = call.exchange.as_deref_mut().ok_or_else(outside_hook)?;
        Ok(Ok(match scope.admit(priority, &mut exchange.holds) {
            service::Admission::Admitted => Admission { admitted: true, retry_after_ms: 0 },
            service::Admission::Refused(after) => Admission { admitted: false, retry_after_ms: millis(after) },
        }))
    }

    fn signal(&mut self, scope: String) -> wasmtime::Result<Result<LoadSignal, AccessError>> {
        self.passed(scope.len());
        self.require_hook()?;
        let Some(scope) = self.binding.grants.load_scopes.get(&scope) else { return Ok(Err(AccessError::NotGranted)) };
        let signal = scope.signal();
        Ok(Ok(LoadSignal {
            in_flight: signal.in_flight,
            in_flight_limit: signal.in_flight_limit,
            cpu_permille: signal.cpu_permille,
            cpu_limit_permille: signal.cpu_limit_permille,
        }))
    }

    fn scopes(&mut self) -> wasmtime::Result<Vec<String>> {
        let names = self.binding.grants.load_scopes.keys().cloned().collect::<Vec<_>>();
        Ok(self.give(names))
    }
}
