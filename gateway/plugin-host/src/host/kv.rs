//! `kv`: the plugin's namespace.

use std::time::Duration;

use super::{HostCall, HostState, Weight};
use crate::bindings::witgate::plugin::kv::{Host, KvError};
use crate::service::{self, Namespace};

impl HostState {
    fn namespace(&self) -> wasmtime::Result<&Namespace> {
        self.require_hook()?;
        self.binding.namespace.as_deref().ok_or_else(|| wasmtime::Error::msg("the grant \"kv\" is missing"))
    }
}

impl From<service::KvError> for KvError {
    fn from(error: service::KvError) -> Self {
        match error {
            service::KvError::TooLarge => Self::TooLarge,
            service::KvError::Quota => Self::Quota,
            service::KvError::NotANumber => Self::NotANumber,
        }
    }
}

impl Host for HostCall<'_> {
    fn get(&mut self, key: String) -> wasmtime::Result<Option<Vec<u8>>> {
        self.passed(key.len());
        let value = self.namespace()?.get(self.instant(), &key);
        Ok(self.give(value))
    }

    fn set(&mut self, key: String, value: Vec<u8>, ttl_ms: Option<u64>) -> wasmtime::Result<Result<(), KvError>> {
        self.passed(key.len() + value.len());
        let ttl = ttl_ms.map(Duration::from_millis);
        Ok(self.namespace()?.set(self.instant(), &key, value, ttl).map_err(Into::into))
    }

    fn delete(&mut self, key: String) -> wasmtime::Result<bool> {
        self.passed(key.len());
        Ok(self.namespace()?.delete(self.instant(), &key))
    }

    fn incr(&mut self, key: String, delta: i64, ttl_ms: Option<u64>) -> wasmtime::Result<Result<i64, KvError>> {
        self.passed(key.len());
        let ttl = ttl_ms.map(Duration::from_millis);
        Ok(self.namespace()?.increment(self.instant(), &key, delta, ttl).map_err(Into::into))
    }

    fn cas(
        &mut self,
        key: String,
        expected: Option<Vec<u8>>,
        value: Vec<u8>,
    ) -> wasmtime::Result<Result<bool, KvError>> {
        self.passed(key.len() + expected.weight() + value.len());
        let swapped = self.namespace()?.compare_and_set(self.instant(), &key, expected.as_deref(), value);
        Ok(swapped.map_err(Into::into))
    }
}
