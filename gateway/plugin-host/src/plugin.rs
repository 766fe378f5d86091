//! A plugin that is loaded, and its pool of instances.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing::{info, warn};
use witgate_stage::{BodyMode, Exchange, FailureKind, Hook, Run, StageError, Verdict};

use crate::BreakerState;
use crate::breaker::{Breaker, Change, Pass};
use crate::compile::Compiled;
use crate::fault::Fault;
use crate::host::Past;
use crate::instance::{Begun, Instance, Template};
use crate::pace::Pace;
use crate::stats::{PluginStats, Slot, Slots, count};

/// What a plugin says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    pub name: String,
    pub version: String,
    /// One line for people.
    pub summary: String,
}

/// What a plugin wants of bodies, under its configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Interest {
    pub(crate) request_body: BodyMode,
    pub(crate) response_body: BodyMode,
}

/// A component with a configuration, limits and grants, ready to serve: its instances are started, configured, reused and
/// replaced here. Shared by everything whose specs are equal, over generations as well.
pub struct LoadedPlugin {
    pub(crate) template: Template,
    pub(crate) description: Description,
    interest: Interest,
    /// Warm instances. The one used last is used next: its memory is in the caches.
    #[expect(clippy::vec_box, reason = "an instance moves out and in at every call: a pointer is less to move")]
    idle: Mutex<Vec<Box<Instance>>>,
    pace: Pace,
    breaker: Breaker,
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
        (description, interest): (Description, Interest),
        first: Instance,
        (slots, host_slots): (Arc<Slots>, Arc<Slots>),
        compiled: Arc<Compiled>,
    ) -> Self {
        let idle = Mutex::new(vec![Box::new(first)]);
        let pace = Pace::new(&template.binding.grants);
        let breaker = Breaker::default();
        Self { template, description, interest, idle, pace, breaker, slots, host_slots, _compiled: compiled }
    }

    /// Name in the configuration.
    pub fn name(&self) -> &str {
        &self.template.binding.name
    }

    pub fn description(&self) -> &Description {
        &self.description
    }

    /// Whether the component exports this hook, and wants it called.
    pub fn has(&self, hook: Hook) -> bool {
        let wanted = !matches!(hook, Hook::RequestBody | Hook::ResponseBody) || self.body_mode(hook) != BodyMode::None;
        wanted && self.template.exports.has(hook)
    }

    /// How a body hook wants the body, under this configuration.
    pub fn body_mode(&self, hook: Hook) -> BodyMode {
        if hook.is_response() { self.interest.response_body } else { self.interest.request_body }
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
            overran: read(&counters.overran),
            exhausted: read(&counters.exhausted),
            log_lines_dropped: read(&counters.log_lines_dropped),
            memory_peak: counters.memory_peak.load(Ordering::Relaxed),
            breaker: self.breaker(),
        }
    }

    /// Whether it is called, or left alone for a while because it failed again and again.
    pub fn breaker(&self) -> BreakerState {
        self.breaker.state()
    }

    #[expect(clippy::vec_box, reason = "see the field")]
    fn idle(&self) -> MutexGuard<'_, Vec<Box<Instance>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a hook on a warm instance, or on a new one if none is idle. It has ended when this returns, unless there is no
    /// instance or it computes for long. Dropping the future discards the instance. While the breaker is open, it fails.
    pub(crate) fn run(&self, hook: Hook, exchange: Box<Exchange>) -> Run<'_> {
        let pass = match self.breaker.admit() {
            Ok(pass) => pass,
            Err(left) => return Run::Ended(exchange, Err(self.stage_error(kept_away(left)))),
        };
        let is_short = matches!(hook, Hook::RequestHeaders | Hook::ResponseHeaders);
        let warm = if is_short && self.pace.on_thread() { self.idle().pop() } else { None };
        let Some(instance) = warm else { return Run::Waits(Box::pin(self.run_on_fiber(hook, exchange, pass))) };
        self.run_on_thread(hook, exchange, instance, pass)
    }

    fn run_on_thread<'a>(
        &'a self,
        hook: Hook,
        exchange: Box<Exchange>,
        mut instance: Box<Instance>,
        pass: Pass<'a>,
    ) -> Run<'a> {
        let poison = self.poison();
        match instance.begin(hook, exchange) {
            Begun::Ended(exchange, answer) => {
                let answer = self.ended((poison, pass), instance, answer);
                Run::Ended(exchange, answer)
            }
            Begun::Overran(exchange, past) => {
                poison.clear();
                Run::Waits(Box::pin(self.run_again(hook, exchange, (instance.into_slots(), past), pass)))
            }
        }
    }

    async fn run_on_fiber(
        &self,
        hook: Hook,
        exchange: Box<Exchange>,
        pass: Pass<'_>,
    ) -> (Box<Exchange>, Result<Verdict, StageError>) {
        match self.check_out().await {
            Ok(instance) => {
                self.go_on((hook, exchange), instance, (self.template.hook_ticks, Past::default()), pass).await
            }
            Err(fault) => (exchange, self.judged(pass, Err(fault))),
        }
    }

    /// Runs a hook that was stopped after its slice once more, and a number of others, on fibers.
    async fn run_again(
        &self,
        hook: Hook,
        exchange: Box<Exchange>,
        (slots, past): ([Slot; 2], Past),
        pass: Pass<'_>,
    ) -> (Box<Exchange>, Result<Verdict, StageError>) {
        self.pace.slow_down();
        count(&self.template.binding.counters.overran);
        let instance = match self.start_in(slots).await {
            Ok(instance) => Box::new(instance),
            Err(fault) => return (exchange, self.judged(pass, Err(fault))),
        };
        // The slice was one of its ticks.
        let ticks = self.template.hook_ticks.saturating_sub(1);
        self.go_on((hook, exchange), instance, (ticks, past), pass).await
    }

    async fn go_on(
        &self,
        (hook, exchange): (Hook, Box<Exchange>),
        mut instance: Box<Instance>,
        (ticks, past): (u64, Past),
        pass: Pass<'_>,
    ) -> (Box<Exchange>, Result<Verdict, StageError>) {
        let poison = self.poison();
        let (exchange, answer) = instance.call(hook, exchange, ticks, past).await;
        (exchange, self.ended((poison, pass), instance, answer))
    }

    fn ended(
        &self,
        (poison, pass): (Poison<'_>, Pass<'_>),
        instance: Box<Instance>,
        answer: Result<Verdict, Fault>,
    ) -> Result<Verdict, StageError> {
        if answer.is_ok() {
            poison.clear();
            self.check_in(instance);
        }
        self.judged(pass, answer)
    }

    /// Lets the breaker know how a call ended.
    fn judged(&self, pass: Pass<'_>, answer: Result<Verdict, Fault>) -> Result<Verdict, StageError> {
        let change = match answer.as_ref().map_err(|fault| fault.kind) {
            Ok(_) | Err(FailureKind::InvalidOutput) => self.breaker.succeeded(pass),
            Err(FailureKind::Trap | FailureKind::Deadline | FailureKind::Limit) => self.breaker.failed(pass),
            // The guest was not called.
            Err(FailureKind::Unavailable | FailureKind::Breaker) => None,
        };
        if let Some(change) = change {
            self.log(change);
        }
        answer.map_err(|fault| self.stage_error(fault))
    }

    #[cold]
    fn log(&self, change: Change) {
        let plugin = self.name();
        match change {
            Change::Opened { pause } => {
                warn!(plugin, ?pause, "the plugin failed again and again: its breaker opens, and calls fail at once")
            }
            Change::Closed => info!(plugin, "the plugin answers again: its breaker closes"),
        }
    }

    fn poison(&self) -> Poison<'_> {
        Poison(Some(&self.template.binding.counters.discarded))
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
        self.start_in(slots).await
    }

    async fn start_in(&self, slots: [Slot; 2]) -> Result<Instance, Fault> {
        let template = &self.template;
        let poison = self.poison();
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

/// The failure of a call that was not made because the breaker is open.
#[cold]
fn kept_away(left: Duration) -> Fault {
    let next = if left.is_zero() { "another call is the probe".to_owned() } else { format!("next try in {left:.1?}") };
    Fault::new(FailureKind::Breaker, format!("not called after repeated failures; {next}"))
}

/// A place among the plugin's instances and one among all.
pub(crate) fn places(plugin: &Arc<Slots>, host: &Arc<Slots>) -> Option<[Slot; 2]> {
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
