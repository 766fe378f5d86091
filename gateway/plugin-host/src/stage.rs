//! A plugin as a stage of a pipeline.

use std::sync::Arc;

use witgate_stage::{Exchange, Hook, Run, Stage, StageFuture};

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

    /// Nothing runs before it is polled, as with other futures.
    fn future(&self, hook: Hook, exchange: Box<Exchange>) -> StageFuture<'_> {
        Box::pin(async move {
            match self.plugin.run(hook, exchange) {
                Run::Ended(exchange, result) => (exchange, result),
                Run::Waits(future) => future.await,
            }
        })
    }
}

impl Stage for PluginStage {
    fn name(&self) -> &str {
        self.plugin.name()
    }

    fn has(&self, hook: Hook) -> bool {
        self.plugin.has(hook)
    }

    fn on_request(&self, exchange: Box<Exchange>) -> StageFuture<'_> {
        self.future(Hook::RequestHeaders, exchange)
    }

    fn on_response(&self, exchange: Box<Exchange>) -> StageFuture<'_> {
        self.future(Hook::ResponseHeaders, exchange)
    }

    fn run(&self, hook: Hook, exchange: Box<Exchange>) -> Run<'_> {
        self.plugin.run(hook, exchange)
    }
}
