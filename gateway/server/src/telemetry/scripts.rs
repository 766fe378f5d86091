//! Metrics of Lua VMs.

use std::collections::BTreeMap;
use std::sync::Arc;

use prometheus::proto::{MetricFamily, MetricType};

use super::tally::Family;

const NAMES: [(&str, &str); 4] = [
    ("witgate_lua_vms_total", "VMs that were made."),
    ("witgate_lua_vms_replaced_total", "VMs that were replaced, because a script was stopped or they were full."),
    ("witgate_lua_timers_total", "Timers that were begun."),
    ("witgate_lua_sockets_total", "Sockets that were opened."),
];

/// The figures of each `[lua.NAME]`; several of one name, of generations side by side, are added.
pub fn families(figures: Vec<(Arc<str>, [u64; 4])>) -> Vec<MetricFamily> {
    let mut apps: BTreeMap<Arc<str>, [u64; 4]> = BTreeMap::new();
    for (name, figures) in figures {
        let sums = apps.entry(name).or_default();
        sums.iter_mut().zip(figures).for_each(|(sum, figure)| *sum += figure);
    }
    let family = |(at, (name, help)): (usize, (&'static str, &'static str))| {
        let mut family = Family::new(name, help, MetricType::COUNTER);
        for (app, figures) in &apps {
            family.count(&[("lua", app)], figures.get(at).copied().unwrap_or(0));
        }
        family.into_inner()
    };
    NAMES.into_iter().enumerate().filter_map(family).collect()
}
