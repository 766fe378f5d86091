//! A plugin as a stage of a pipeline.

use std::sync::Arc;

use witgate_stage::{BodyMode, Exchange, Hook, Run, Stage};

use crate::LoadedPlugin;

/// Runs a loaded plugin's hooks. Cheap to make; several stages may share one plugin.
pub struct PluginStage {
    plugin: Arc<LoadedPlugin>,
}

impl PluginStage {
    pub fn new(plugin: Arc<LoadedPlugin>) -> Self {
        Self { plugin }
    }

    pub fn plugin(&self) -> &Arc<LoadedPlugin> {
        &self.plugin
    }
}

impl Stage for PluginStage {
    fn name(&self) -> &str {
        self.plugin.name()
    }

    fn has(&self, hook: Hook) -> bool {
        self.plugin.has(hook)
    }

    fn body_mode(&self, hook: Hook) -> BodyMode {
        self.plugin.body_mode(hook)
    }

    fn run(&self, hook: Hook, exchange: Box<Exchange>) -> Run<'_> {
        self.plugin.run(hook, exchange)
    }
}
