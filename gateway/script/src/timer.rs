//! Timers: functions of scripts that run by themselves, on the VM's thread.
//!
//! One that waits is told when its generation is no longer in service, or when its VM was replaced: it runs at once, with
//! `premature` true. It may run for as long as it likes while its VM serves, for scripts have loops in timers. But from one wait
//! to the next it has `cpu_limit` and `request_memory_limit`; in the long run it gets a tenth of its thread's time, and is kept
//! waiting if it wants more; and `wall_timeout` is all that it has once the VM no longer serves.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use mlua::prelude::*;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::api::log::{log, log_failure};
use crate::clock::{self, Patience};
use crate::confined::Confined;
use crate::error::ScriptError;
use crate::request::Request;
use crate::vm::{Core, Standing, Vm};

/// A timer earns one part in so many of the time that it waits as run time, up to `cpu_limit`.
const SHARE: u32 = 10;

/// The level of `ngx.ERR`, and of `ngx.ALERT`.
const ERROR: i64 = 4;
const ALERT: i64 = 2;

/// The timers of one VM.
#[derive(Default)]
pub(crate) struct Timers {
    pending: Cell<u32>,
    running: Cell<u32>,
    over: Cell<Option<Instant>>,
    ended: Rc<Notify>,
    watching: Cell<bool>,
    /// Runs the function that belongs to a number.
    pub fire: RefCell<Option<LuaFunction>>,
}

impl Timers {
    /// The VM no longer serves: what waits runs now.
    pub fn end(&self) {
        if self.over.get().is_none() {
            self.over.set(Some(Instant::now()));
            self.ended.notify_waiters();
        }
    }

    pub fn is_over(&self) -> bool {
        self.over.get().is_some()
    }

    pub fn counts(&self) -> (u32, u32) {
        (self.pending.get(), self.running.get())
    }
}

/// Counts a timer for as long as it lives.
struct Counted {
    vm: Rc<Vm>,
    count: fn(&Timers) -> &Cell<u32>,
}

impl Counted {
    fn new(vm: &Rc<Vm>, count: fn(&Timers) -> &Cell<u32>) -> Self {
        let cell = count(&vm.core().timers);
        cell.set(cell.get() + 1);
        Self { vm: Rc::clone(vm), count }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let cell = (self.count)(&self.vm.core().timers);
        cell.set(cell.get().saturating_sub(1));
    }
}

/// Lets the function of a number run after a time, once or again and again.
///
/// # Errors
/// It cannot, as scripts see it.
pub(crate) fn start(core: &Rc<Core>, number: u64, delay: Duration, again: bool) -> Result<(), &'static str> {
    let timers = &core.timers;
    let is_over = timers.is_over() || core.app.is_retired();
    let grace = core.app.spec.limits.wall;
    if is_over && (!delay.is_zero() || timers.over.get().is_none_or(|since| since.elapsed() >= grace)) {
        return Err("process exiting");
    }
    let Some(vm) = core.vm.borrow().upgrade() else { return Err("process exiting") };
    if timers.pending.get() >= core.app.spec.limits.timers {
        return Err("too many pending timers");
    }
    core.app.figures.timers.fetch_add(1, Ordering::Relaxed);
    watch(&vm);
    let waiting = Counted::new(&vm, |timers| &timers.pending);
    if again {
        tokio::spawn(Confined::new(repeat(vm, number, delay, waiting)));
    } else {
        tokio::spawn(Confined::new(async move {
            let premature = wait(&vm, delay).await;
            drop(waiting);
            if may_run(&vm, number) {
                run(vm, number, premature).await;
            }
        }));
    }
    Ok(())
}

/// Ends the timers of a VM when its app is no longer in service.
fn watch(vm: &Rc<Vm>) {
    if vm.core().timers.watching.replace(true) {
        return;
    }
    let mut retired = vm.core().app.retired.clone();
    let vm = Rc::downgrade(vm);
    tokio::spawn(Confined::new(async move {
        // An error: whoever could retire it is gone.
        let _ = retired.wait_for(|retired| *retired).await;
        if let Some(vm) = vm.upgrade() {
            vm.core().timers.end();
        }
    }));
}

/// Whether the time was cut short.
async fn wait(vm: &Rc<Vm>, delay: Duration) -> bool {
    let timers = &vm.core().timers;
    if delay.is_zero() {
        return false;
    }
    let ended = timers.ended.notified();
    tokio::pin!(ended);
    // From here on it hears of the end.
    ended.as_mut().enable();
    if timers.is_over() {
        return true;
    }
    tokio::select! {
        () = ended => true,
        () = clock::sleep(delay, Patience::Stays) => false,
    }
}

async fn repeat(vm: Rc<Vm>, number: u64, delay: Duration, waiting: Counted) {
    loop {
        let premature = wait(&vm, delay).await;
        if premature {
            drop(waiting);
            return run(vm, number, true).await;
        }
        if may_run(&vm, number) {
            tokio::spawn(Confined::new(run(Rc::clone(&vm), number, false)));
        }
    }
}

/// Whether one more timer may run; if not, it is forgotten.
fn may_run(vm: &Rc<Vm>, number: u64) -> bool {
    let limit = vm.core().app.spec.limits.timers;
    if vm.core().timers.running.get() < limit {
        return true;
    }
    let text = format!("{limit} lua_max_running_timers are not enough (`timers_limit`): a timer was left out");
    log(vm.core(), ALERT, text.as_bytes());
    if let Some(fire) = &*vm.core().timers.fire.borrow() {
        let _: LuaResult<()> = fire.call(number);
    }
    false
}

/// Runs a timer to its end.
async fn run(vm: Rc<Vm>, number: u64, premature: bool) {
    let Some(fire) = vm.core().timers.fire.borrow().clone() else { return };
    if vm.is_full() {
        vm.retire();
    }
    let running = Counted::new(&vm, |timers| &timers.running);
    let request = vm.request();
    *request.script.borrow_mut() = Some("ngx.timer".into());
    let run = Timed { vm: Rc::clone(&vm), request };
    let arguments: LuaMultiValue =
        [LuaValue::Integer(i64::try_from(number).unwrap_or(i64::MAX)), LuaValue::Boolean(premature)]
            .into_iter()
            .collect();
    let limits = &vm.core().app.spec.limits;
    // What it has of run time, and what it owes.
    let (mut credit, mut debt) = (limits.cpu, Duration::ZERO);
    let mut standing = vm.spawn(&run.request, &fire, arguments);
    while let Ok(Standing::Waits) = standing {
        let took = limits.cpu.saturating_sub(run.request.cpu_left.get());
        debt += took.saturating_sub(credit);
        credit = credit.saturating_sub(took);
        let since = Instant::now();
        let Some(event) = run.event().await else {
            let text = "a timer was given up: it waits for what can never happen, or for longer than `wall_timeout` after its \
                        generation was replaced";
            log(vm.core(), ERROR, text.as_bytes());
            return;
        };
        let due = (debt * SHARE).saturating_sub(since.elapsed());
        if !due.is_zero() && !vm.core().timers.is_over() {
            tokio::time::sleep(due).await;
        }
        let earned = since.elapsed() / SHARE;
        credit = (credit + earned.saturating_sub(debt)).min(limits.cpu);
        debt = debt.saturating_sub(earned);
        run.request.cpu_left.set(limits.cpu);
        run.request.memory_left.set(limits.request_memory);
        standing = vm.event(&run.request, event);
    }
    if let Err(error) = standing {
        log_failure(vm.core(), complaint(&error).as_bytes());
    }
    drop(running);
}

fn complaint(error: &ScriptError) -> String {
    format!("lua entry thread aborted: {error}, context: ngx.timer")
}

/// A timer that runs, and is cleared away however it ends.
struct Timed {
    vm: Rc<Vm>,
    request: Rc<Request>,
}

impl Timed {
    /// The next operation that ends; none: there is none, or its time is over.
    async fn event(&self) -> Option<(u64, crate::request::Results)> {
        let timers = &self.vm.core().timers;
        let next = poll_fn(|context| self.request.poll_operation(context));
        tokio::pin!(next);
        let ended = timers.ended.notified();
        tokio::pin!(ended);
        ended.as_mut().enable();
        if !timers.is_over() {
            tokio::select! {
                biased;
                event = &mut next => return event,
                () = ended => {}
            }
        }
        let grace = self.vm.core().app.spec.limits.wall;
        let since = timers.over.get().unwrap_or_else(Instant::now);
        tokio::time::timeout_at(since + grace, next).await.ok().flatten()
    }
}

impl Drop for Timed {
    fn drop(&mut self) {
        self.vm.abandon(&self.request);
        self.vm.forget(&self.request);
    }
}
