//! Metrics of upstreams: how their endpoints and names fare.

use std::collections::BTreeSet;
use std::time::Instant;

use prometheus::proto::{MetricFamily, MetricType};

use super::tally::Family;
use crate::upstream::{Cause, EndpointFigures, NameFigures, Registry};

/// The figures of all endpoints and names that a generation has; those of others are gone.
pub fn families(registry: &Registry) -> Vec<MetricFamily> {
    let mut up = Family::new(
        "witgate_upstream_up",
        "1: the endpoint was reached and answered when it was last tried, or has not been tried; 0: it fails.",
        MetricType::GAUGE,
    );
    let mut in_flight = Family::new(
        "witgate_upstream_requests_in_flight",
        "Requests, tunnels and requests of plugins that are with the endpoint.",
        MetricType::GAUGE,
    );
    let mut failures = Family::new(
        "witgate_upstream_failures_total",
        "Attempts that an endpoint failed, by cause.",
        MetricType::COUNTER,
    );
    let mut resolved = Family::new(
        "witgate_upstream_name_resolved",
        "0: the name does not resolve, and its last addresses, if it has any, go on serving.",
        MetricType::GAUGE,
    );
    for EndpointFigures { upstream, address, failing, in_flight: requests, failures: counts } in
        registry.endpoints(Instant::now())
    {
        let address = address.to_string();
        let (endpoint, upstream) = (("endpoint", &*address), ("upstream", &*upstream));
        up.gauge(&[endpoint, upstream], f64::from(u8::from(failing.is_none())));
        #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53")]
        in_flight.gauge(&[endpoint, upstream], requests as f64);
        for (cause, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
            failures.count(&[("cause", cause.label()), endpoint, upstream], count);
        }
    }
    let mut seen = BTreeSet::new();
    for NameFigures { upstream, name, problem } in registry.names() {
        // An address resolves always, and one host may be there with several ports.
        if name.is_host() && seen.insert((upstream.clone(), name.host.clone())) {
            resolved.gauge(&[("name", &name.host), ("upstream", &upstream)], f64::from(u8::from(problem.is_none())));
        }
    }
    [up, in_flight, failures, resolved].into_iter().filter_map(Family::into_inner).collect()
}

/// Lines for people: endpoints that fail, upstreams without any that does not, and names that do not resolve.
pub fn troubles(registry: &Registry) -> Vec<String> {
    let endpoints = registry.endpoints(Instant::now());
    let mut lines = Vec::new();
    for group in endpoints.chunk_by(|one, other| one.upstream == other.upstream) {
        for EndpointFigures { upstream, address, failing, failures, .. } in group {
            let Some((cause, time)) = failing else { continue };
            let count: u64 = failures.iter().map(|(_, count)| count).sum();
            let (cause, seconds) = (Cause::label(*cause), time.as_secs());
            lines.push(format!(
                "upstream {upstream}: {address} fails for {seconds} s ({cause}; {count} failures so far)"
            ));
        }
        if let Some(one) = group.first().filter(|_| group.iter().all(|endpoint| endpoint.failing.is_some())) {
            lines.push(format!("upstream {}: every endpoint fails", one.upstream));
        }
    }
    for NameFigures { upstream, name, problem } in registry.names() {
        if let Some(problem) = problem {
            lines.push(format!("upstream {upstream}: `{}` cannot be resolved: {problem}", name.host));
        }
    }
    lines
}
