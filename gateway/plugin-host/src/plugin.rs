//! A plugin that is loaded, and its pool of instances.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tracing::{info, warn};
use witgate_stage::{BodyMode, Exchange, FailureKind, Hook, Run, StageError, Stopwatch, Verdict};

use crate::BreakerState;
use crate::breaker::{Breaker, Change, Pass};
use crate::compile::Compiled;
use crate::fault::Fault;
use crate::host::Past;
use crate::instance::{Begun, Instance, Template};
use crate::load::run_here;
use crate::pace::Pace;
use crate::spec::Isolation;
use crate::standby::{Maker, STANDBY_LIMIT};
use crate::stats::{PluginStats, Slot, Slots, count};
use crate::turn::{Turn, Turns};

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
    /// Instances that wait for a call. The one used last is used next: its memory is in the caches. Those of a plugin with
    /// [`Isolation::Request`] have not been called before.
    #[expect(clippy::vec_box, reason = "an instance moves out and in at every call: a pointer is less to move")]
    idle: Mutex<Vec<Box<Instance>>>,
    pace: Pace,
    breaker: Breaker,
    turns: Turns,
    standby: Option<Standby>,
    /// This plugin's places.
    slots: Arc<Slots>,
    /// All plugins' places.
    host_slots: Arc<Slots>,
    /// Keeps the machine code findable for other specs of the same component.
    _compiled: Arc<Compiled>,
}

/// How a plugin with [`Isolation::Request`] has instances made before they are needed.
struct Standby {
    maker: Maker,
    plugin: Weak<LoadedPlugin>,
    /// Instances that are to stand by.
    wanted: usize,
    /// They have been ordered.
    ordered: AtomicBool,
}

impl LoadedPlugin {
    pub(crate) fn new(
        (template, isolation): (Template, Isolation),
        (description, interest): (Description, Interest),
        first: Instance,
        (slots, host_slots): (Arc<Slots>, Arc<Slots>),
        (compiled, maker): (Arc<Compiled>, &Maker),
    ) -> Arc<Self> {
        let idle = Mutex::new(vec![Box::new(first)]);
        let pace = Pace::new(&template.binding.grants);
        let turns = Turns::new(&template.limits);
        let plugin = Arc::new_cyclic(|plugin| {
            let standby = (isolation == Isolation::Request).then(|| Standby {
                maker: maker.clone(),
                plugin: Weak::clone(plugin),
                // The others are for calls that run.
                wanted: (template.limits.instances / 4).clamp(1, STANDBY_LIMIT),
                ordered: AtomicBool::new(false),
            });
            Self {
                template,
                description,
                interest,
                idle,
                pace,
                breaker: Breaker::default(),
                turns,
                standby,
                slots,
                host_slots,
                _compiled: compiled,
            }
        });
        plugin.order_standby(1);
        plugin
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
            waiting: self.turns.waiting(),
            exhausted: read(&counters.exhausted),
            cold: read(&counters.cold),
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
        if is_short
            && self.pace.on_thread()
            && let Some(turn) = self.turns.take()
            && let Some(instance) = self.pop()
        {
            return self.run_on_thread(hook, exchange, instance, (turn, pass));
        }
        Run::Waits(Box::pin(self.run_on_fiber(hook, exchange, pass)))
    }

    fn run_on_thread<'a>(
        &'a self,
        hook: Hook,
        exchange: Box<Exchange>,
        mut instance: Box<Instance>,
        (turn, pass): (Turn<'a>, Pass<'a>),
    ) -> Run<'a> {
        let poison = self.poison();
        match instance.begin(hook, exchange) {
            Begun::Ended(mut exchange, answer) => {
                let answer = self.ended((poison, pass), instance, &mut exchange, answer);
                Run::Ended(exchange, answer)
            }
            Begun::Overran(exchange, past) => {
                poison.clear();
                Run::Waits(Box::pin(self.run_again(hook, exchange, (instance.into_slots(), past), (turn, pass))))
            }
        }
    }

    async fn run_on_fiber(
        &self,
        hook: Hook,
        exchange: Box<Exchange>,
        pass: Pass<'_>,
    ) -> (Box<Exchange>, Result<Verdict, StageError>) {
        let mut stopwatch = Stopwatch::start();
        let (turn, instance) = match self.check_out().await {
            Ok(found) => found,
            Err(fault) => return (exchange, self.judged(pass, Err(fault))),
        };
        let queued = stopwatch.lap();
        let ticks = self.template.hook_ticks;
        let (mut exchange, answer) =
            self.go_on((hook, exchange), instance, (ticks, Past::default()), (turn, pass)).await;
        exchange.usage.queued = queued;
        (exchange, answer)
    }

    /// Runs a hook that was stopped after its slice once more, and a number of others, on fibers.
    async fn run_again(
        &self,
        hook: Hook,
        exchange: Box<Exchange>,
        (slots, past): ([Slot; 2], Past),
        (turn, pass): (Turn<'_>, Pass<'_>),
    ) -> (Box<Exchange>, Result<Verdict, StageError>) {
        self.pace.slow_down();
        count(&self.template.binding.counters.overran);
        let instance = match self.start_in(slots).await {
            Ok(instance) => Box::new(instance),
            Err(fault) => return (exchange, self.judged(pass, Err(fault))),
        };
        // The slice was one of its ticks.
        let ticks = self.template.hook_ticks.saturating_sub(1);
        self.go_on((hook, exchange), instance, (ticks, past), (turn, pass)).await
    }

    async fn go_on(
        &self,
        (hook, exchange): (Hook, Box<Exchange>),
        mut instance: Box<Instance>,
        (ticks, past): (u64, Past),
        (turn, pass): (Turn<'_>, Pass<'_>),
    ) -> (Box<Exchange>, Result<Verdict, StageError>) {
        let poison = self.poison();
        let wall = self.template.limits.wall_timeout;
        let (mut exchange, answer) = instance.call(hook, exchange, (ticks, wall), past).await;
        let answer = self.ended((poison, pass), instance, &mut exchange, answer);
        drop(turn);
        (exchange, answer)
    }

    fn ended(
        &self,
        (poison, pass): (Poison<'_>, Pass<'_>),
        instance: Box<Instance>,
        exchange: &mut Exchange,
        answer: Result<Verdict, Fault>,
    ) -> Result<Verdict, StageError> {
        if answer.is_ok() {
            poison.clear();
            exchange.usage.recycled = self.check_in(instance);
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

    /// An instance to run on, and the turn for it.
    async fn check_out(&self) -> Result<(Turn<'_>, Box<Instance>), Fault> {
        let turn = self.turns.wait().await.map_err(|reason| self.exhausted(reason.to_string()))?;
        let instance = match self.pop() {
            Some(instance) => instance,
            // In a box of its own: it is rare, and it would make the future of every call several times as large.
            None => Box::pin(self.start()).await.map(Box::new)?,
        };
        Ok((turn, instance))
    }

    /// An instance that waits for a call.
    fn pop(&self) -> Option<Box<Instance>> {
        let mut idle = self.idle();
        let instance = idle.pop();
        let left = idle.len();
        drop(idle);
        self.order_standby(left);
        instance
    }

    /// Orders instances unless enough of them are left.
    fn order_standby(&self, left: usize) {
        let Some(Standby { maker, plugin, wanted, ordered }) = &self.standby else { return };
        if left <= wanted / 2 && !ordered.swap(true, Ordering::Relaxed) {
            maker.order(plugin);
        }
    }

    /// Makes one instance to stand by, and orders the next. Called on the thread that makes them, one for all plugins.
    pub(crate) fn fill_standby(&self) {
        let Some(Standby { maker, plugin, wanted, ordered }) = &self.standby else { return };
        ordered.store(false, Ordering::Relaxed);
        if self.idle().len() >= *wanted {
            return;
        }
        // Without a place, or if it fails, the next call orders again, or makes an instance itself and tells what is wrong.
        let Some(slots) = places(&self.slots, &self.host_slots) else { return };
        let Ok(instance) = run_here(self.start_in(slots)) else { return };
        self.idle().push(Box::new(instance));
        if !ordered.swap(true, Ordering::Relaxed) {
            maker.order(plugin);
        }
    }

    async fn start(&self) -> Result<Instance, Fault> {
        let Some(slots) = places(&self.slots, &self.host_slots) else {
            return Err(self.exhausted("every instance is busy".to_owned()));
        };
        count(&self.template.binding.counters.cold);
        self.start_in(slots).await
    }

    fn exhausted(&self, reason: String) -> Fault {
        count(&self.template.binding.counters.exhausted);
        Fault::new(FailureKind::Unavailable, reason)
    }

    async fn start_in(&self, slots: [Slot; 2]) -> Result<Instance, Fault> {
        let template = &self.template;
        let poison = self.poison();
        let mut instance = Instance::start(template, slots).await?;
        instance.configure_again(&template.config_json).await?;
        poison.clear();
        Ok(instance)
    }

    /// Puts an instance back. True: it goes instead, because it has served enough.
    fn check_in(&self, instance: Box<Instance>) -> bool {
        if self.standby.is_some() {
            return false;
        }
        let spent = instance.is_spent();
        if spent {
            count(&self.template.binding.counters.recycled);
        } else {
            self.idle().push(instance);
        }
        spent
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
