//! Scripts, in a build without Lua: there are none.

use std::collections::BTreeMap;
use std::sync::Arc;

use witgate_config::{self as config, Diagnostic};
use witgate_plugin_host::PluginHost;
use witgate_stage::{FailurePolicy, Step};

use super::{Sources, Upstream};
use crate::gateway::Gateway;

/// What would run scripts.
pub struct ScriptHost;

impl ScriptHost {
    /// # Errors
    /// Never.
    pub fn new(_: usize) -> std::io::Result<Self> {
        Ok(Self)
    }

    pub fn figures(&self) -> Vec<(Arc<str>, [u64; 4])> {
        Vec::new()
    }

    pub fn resize(&self, _: &config::Config) {}

    pub fn serve_by(&self, _: &Arc<Gateway>) {}
}

/// None.
pub struct Scripts;

impl Scripts {
    /// Every script of the configuration is a problem.
    pub fn load(
        _: &ScriptHost,
        sources: &Sources,
        _: (&PluginHost, &BTreeMap<&str, Arc<Upstream>>),
        problems: &mut Vec<Diagnostic>,
    ) -> Self {
        let vms = sources.config.lua.values().map(|vm| &vm.spot);
        let scripts = sources.config.scripts.values().map(|script| &script.spot);
        for spot in vms.chain(scripts) {
            let help = "remove it, or build the gateway with its default features";
            problems.push(sources.diagnostic(spot, "this gateway was built without Lua (feature `lua`)", help));
        }
        Self
    }

    /// Nothing.
    pub fn judge(&self, _: &Sources, _: (&mut Vec<Diagnostic>, &mut Vec<Diagnostic>)) {}

    pub fn step(&self, _: &str, _: bool, _: FailurePolicy) -> Option<Step> {
        None
    }

    pub fn keeps(&self, _: &config::Route) -> bool {
        false
    }
}
