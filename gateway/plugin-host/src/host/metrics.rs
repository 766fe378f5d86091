//! `metrics`: figures of a plugin's own, for whoever shows the gateway's.

use super::HostCall;
use crate::bindings::witgate::plugin::metrics::{Host, MetricError};
use crate::service::{self, Measure};

impl From<service::MetricError> for MetricError {
    fn from(error: service::MetricError) -> Self {
        match error {
            service::MetricError::Invalid => Self::Invalid,
            service::MetricError::Mismatch => Self::Mismatch,
            service::MetricError::Quota => Self::Quota,
        }
    }
}

impl HostCall<'_> {
    fn record(
        &mut self,
        name: &str,
        labels: &[(String, String)],
        measure: Measure,
    ) -> wasmtime::Result<Result<(), MetricError>> {
        self.passed(name.len() + labels.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>());
        self.require_hook()?;
        let Some(sink) = &self.binding.grants.metrics else {
            return Err(wasmtime::Error::msg("the grant \"metrics\" is missing"));
        };
        let route = &*self.exchange()?.route;
        Ok(sink.record((&self.binding.name, route), name, labels, measure).map_err(Into::into))
    }
}

impl Host for HostCall<'_> {
    fn count(
        &mut self,
        name: String,
        labels: Vec<(String, String)>,
        by: u64,
    ) -> wasmtime::Result<Result<(), MetricError>> {
        self.record(&name, &labels, Measure::Count(by))
    }

    fn gauge(
        &mut self,
        name: String,
        labels: Vec<(String, String)>,
        value: f64,
    ) -> wasmtime::Result<Result<(), MetricError>> {
        self.record(&name, &labels, Measure::Gauge(value))
    }

    fn observe(
        &mut self,
        name: String,
        labels: Vec<(String, String)>,
        value: f64,
    ) -> wasmtime::Result<Result<(), MetricError>> {
        self.record(&name, &labels, Measure::Observe(value))
    }
}
