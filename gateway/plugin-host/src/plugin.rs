//! A plugin that is loaded, and its pool of instances.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use witgate_stage::{Exchange, FailureKind, Hook, StageError, Verdict};

use crate::compile::Compiled;
use crate::fault::Fault;
use crate::instance::{Instance, Template};
use crate::stats::{PluginStats, Slots, count};

/// What a plugin says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    pub name: String,
    pub version: String,
    /// One line for people.
    pub summary: String,
}

/// A component with a configuration, limits and grants, ready to serve: its instances are started, configured, reused and
/// replaced here. Shared by everything whose specs are equal, over generations as well.
pub struct LoadedPlugin {
    pub(crate) template: Template,
    pub(crate) description: Description,
    /// Warm instances. The one used last is used next: its memory is in the caches.
    #[expect(clippy::vec_box, reason = "an instance moves out and in at every call: a pointer is less to move")]
    idle: Mutex<Vec<Box<Instance>>>,
    /// This plugin's places.
    slots: Arc<Slots>,
    /// All plugins' places.
    host_slots: Arc<Slots>,
    /// Keeps the machine code findable for other specs of the same component.
    _compiled: Arc<Compiled>,
}

impl LoadedPlugin {
    pub(crate) fn new(
        template: Template,
        description: Description,
        first: Instance,
        (slots, host_slots): (Arc<Slots>, Arc<Slots>),
        compiled: Arc<Compiled>,
    ) -> Self {
        let idle = Mutex::new(vec![Box::new(first)]);
        Self { template, description, idle, slots, host_slots, _compiled: compiled }
    }

    /// Name in the configuration.
    pub fn name(&self) -> &str {
        &self.template.binding.name
    }

    pub fn description(&self) -> &Description {
        &self.description
    }

    /// Whether the component exports this hook.
    pub fn has(&self, hook: Hook) -> bool {
        self.template.exports.has(hook)
    }

    /// What its instances did so far.
    pub fn stats(&self) -> PluginStats {
        let counters = &self.template.binding.counters;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        PluginStats {
            instances: self.slots.taken(),
            idle: self.idle().len(),
            created: read(&counters.created),
            recycled: read(&counters.recycled),
            discarded: read(&counters.discarded),
            exhausted: read(&counters.exhausted),
            log_lines_dropped: read(&counters.log_lines_dropped),
            memory_peak: counters.memory_peak.load(Ordering::Relaxed),
        }
    }

    #[expect(clippy::vec_box, reason = "see the field")]
    fn idle(&self) -> MutexGuard<'_, Vec<Box<Instance>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a hook on a warm instance, or on a new one if none is idle. Dropping the future discards the instance.
    pub(crate) async fn run(
        &self,
        hook: Hook,
        exchange: Box<Exchange>,
    ) -> (Box<Exchange>, Result<Verdict, StageError>) {
        let mut instance = match self.check_out().await {
            Ok(instance) => instance,
            Err(fault) => return (exchange, Err(self.stage_error(fault))),
        };
        let poison = Poison(Some(&self.template.binding.counters.discarded));
        let (exchange, answer) = instance.call(hook, exchange, self.template.hook_ticks).await;
        if answer.is_ok() {
            poison.clear();
            self.check_in(instance);
        }
        (exchange, answer.map_err(|fault| self.stage_error(fault)))
    }

    async fn check_out(&self) -> Result<Box<Instance>, Fault> {
        let warm = self.idle().pop();
        match warm {
            Some(instance) => Ok(instance),
            // In a box of its own: it is rare, and it would make the future of every call several times as large.
            None => Box::pin(self.start()).await.map(Box::new),
        }
    }

    async fn start(&self) -> Result<Instance, Fault> {
        let template = &self.template;
        let Some(slots) = places(&self.slots, &self.host_slots) else {
            count(&template.binding.counters.exhausted);
            return Err(Fault::new(FailureKind::Unavailable, "every instance is busy"));
        };
        let poison = Poison(Some(&template.binding.counters.discarded));
        let mut instance = Instance::start(template, slots).await?;
        instance.configure_again(&template.config_json).await?;
        poison.clear();
        Ok(instance)
    }

    fn check_in(&self, instance: Box<Instance>) {
        if instance.is_spent() {
            count(&self.template.binding.counters.recycled);
        } else {
            self.idle().push(instance);
        }
    }

    fn stage_error(&self, fault: Fault) -> StageError {
        StageError { stage: self.name().to_owned(), kind: fault.kind, source: Box::new(fault) }
    }
}

/// A place among the plugin's instances and one among all.
pub(crate) fn places(plugin: &Arc<Slots>, host: &Arc<Slots>) -> Option<[crate::stats::Slot; 2]> {
    Some([plugin.take()?, host.take()?])
}

/// Counts an instance as discarded unless it is cleared: an instance is poisoned before the call and only a success makes it
/// fit for another one.
struct Poison<'a>(Option<&'a AtomicU64>);

impl Poison<'_> {
    fn clear(mut self) {
        self.0 = None;
    }
}

impl Drop for Poison<'_> {
    fn drop(&mut self) {
        if let Some(discarded) = self.0 {
            count(discarded);
        }
    }
}
