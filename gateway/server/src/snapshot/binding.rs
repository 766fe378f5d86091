//! Which version of its plugin a stage entry runs, and what that means for readiness and for the next reload.

use std::sync::Arc;

use witgate_config::Diagnostic;
use witgate_plugin_host::{BreakerState, LoadedPlugin};
use witgate_stage::{Disposition, FailurePolicy};

/// A stage entry of a route, as a generation serves it.
pub struct Binding {
    pub route: Arc<str>,
    /// Name in the configuration.
    pub plugin: String,
    pub policy: FailurePolicy,
    /// What runs; none: the route serves without the stage.
    pub loaded: Option<Arc<LoadedPlugin>>,
    /// What ran here before, if the policy has a use for it.
    pub last_good: Option<Arc<LoadedPlugin>>,
    /// Why it is not the configured version that runs.
    pub load_problem: Option<Diagnostic>,
}

impl Binding {
    /// Why requests of the route are refused on account of this plugin, if they are.
    pub fn blocked(&self) -> Option<String> {
        let shut = |plugin: &Arc<LoadedPlugin>| plugin.breaker() == BreakerState::Open;
        let loaded = self.loaded.as_ref().filter(|plugin| shut(plugin))?;
        let blocked = match self.policy.on_trap {
            Disposition::Deny => true,
            Disposition::Skip => false,
            Disposition::LastGood => self.last_good.as_ref().is_none_or(shut),
        };
        let (plugin, route) = (loaded.name(), &self.route);
        blocked.then(|| format!("plugin `{plugin}` of route `{route}` failed again and again: its breaker is open"))
    }

    /// What runs in the place of the configured version: label of a metric.
    pub fn fallback(&self) -> Option<&'static str> {
        self.load_problem.as_ref()?;
        Some(if self.loaded.is_some() { "last_good" } else { "skip" })
    }
}

/// What a stage entry of the next generation can fall back on.
#[derive(Clone, Copy)]
pub struct Past<'a>(Option<&'a Binding>);

impl<'a> Past<'a> {
    /// Of the stage that runs this plugin on this route for the `nth` time, from 0.
    pub fn find(bindings: &'a [Binding], route: &str, plugin: &str, nth: usize) -> Self {
        let mut same = bindings.iter().filter(|binding| *binding.route == *route && binding.plugin == plugin);
        Self(same.nth(nth))
    }

    /// What serves in the place of a version that cannot be loaded: what serves now.
    pub fn serving(self) -> Option<Arc<LoadedPlugin>> {
        let past = self.0?;
        past.loaded.as_ref().or(past.last_good.as_ref()).cloned()
    }

    /// The last good version beside `current`: what ran before it, unless that was out of order, or else what was kept
    /// beside that. So there is never more than one.
    pub fn last_good(self, current: &Arc<LoadedPlugin>) -> Option<Arc<LoadedPlugin>> {
        let past = self.0?;
        let good = past.loaded.as_ref().filter(|plugin| plugin.breaker() == BreakerState::Closed);
        let mut candidates = good.into_iter().chain(&past.last_good);
        candidates.find(|plugin| !Arc::ptr_eq(plugin, current)).cloned()
    }
}
