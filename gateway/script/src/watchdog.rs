//! Stops scripts that run for too long.
//!
//! A hook that the VM calls for every instruction ends a script, and LuaJIT lets a signal handler set it. (Compiled loops look
//! for it if LuaJIT was built with `LUAJIT_ENABLE_CHECKHOOK`; see [`stops_compiled_code`].) One thread of the process looks at
//! every proxy thread now and then; if one has been in the same run of a script for too long, by its own processor time, it
//! sends that thread a signal, again and again until the run is over: a script can catch the error that the hook raises,
//! and gets the next one at its next instruction.
//!
//! On a virtual machine whose processor is taken away for a moment, the clock of the thread that had it may count that time
//! (60 of 93 ms were seen). So from half of its time on a run is asked by the same signal whether it is executed, and one
//! that has not answered is not stopped.
#![expect(unsafe_code, reason = "signals, processor clocks of threads, and hooks of the VM have no safe interface")]

use std::cell::{Cell, RefCell};
use std::ffi::c_int;
use std::ptr::{null, null_mut};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, OnceLock};
use std::time::Duration;

use mlua::ffi::{self, lua_Debug, lua_State};
use mlua::{LightUserData, Lua};
use parking_lot::{Condvar, Mutex};

/// How often a run is looked at that was seen before: a tenth of the default limit on run time, so that it is met to about as
/// much.
const TICK: Duration = Duration::from_millis(5);
/// How often threads are looked at that run nothing for long. Each look takes a busy thread off its processor.
const IDLE_TICK: Duration = Duration::from_millis(10);

/// How often a run must have been seen while it was executed, a tick apart, before it is stopped.
const ANSWERS: u32 = 2;

/// A run that takes this many times its limit of processor time in all is stopped as well: it blocks its thread, by what only
/// trusted scripts can call.
const WALL_FACTOR: u32 = 20;

thread_local! {
    /// The VM that runs on this thread. Without a destructor, so a signal handler may read it.
    static RUNNING: Cell<*mut lua_State> = const { Cell::new(null_mut()) };
    /// This thread's slot, likewise.
    static OWN: Cell<*const Slot> = const { Cell::new(null()) };
    static SLOT: Registered = Registered::new();
    /// Where the run was when it was stopped.
    static STOPPED_AT: RefCell<String> = const { RefCell::new(String::new()) };
}

/// One proxy thread, as the watchdog sees it.
struct Slot {
    thread: libc::pthread_t,
    /// Odd while a script runs; another number for each run.
    run: AtomicU64,
    /// Nanoseconds that the run may take.
    allowance: AtomicU64,
    /// The run that was to be stopped last.
    fired: AtomicU64,
    /// How many signals the thread has taken.
    answers: AtomicU32,
}

struct Registered(Arc<Slot>);

impl Registered {
    fn new() -> Self {
        // SAFETY: has no preconditions.
        let thread = unsafe { libc::pthread_self() };
        let [run, allowance, fired] = [0; 3].map(AtomicU64::new);
        let slot = Arc::new(Slot { thread, run, allowance, fired, answers: AtomicU32::new(0) });
        OWN.set(Arc::as_ptr(&slot));
        WATCHDOG.slots.lock().push(Watched { slot: Arc::clone(&slot), seen: Seen::default() });
        WATCHDOG.more.notify_one();
        Self(slot)
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        OWN.set(null());
        // Under the lock: the watchdog sends no signal to a thread that has ended.
        WATCHDOG.slots.lock().retain(|watched| !Arc::ptr_eq(&watched.slot, &self.0));
    }
}

struct Watched {
    slot: Arc<Slot>,
    seen: Seen,
}

/// What was seen of the latest run of a thread.
#[derive(Default)]
struct Seen {
    run: u64,
    /// The thread's processor time, and how many signals it had taken, when the run was first seen.
    begun: Duration,
    answers: u32,
    /// How often it was looked at since, and asked whether it is executed.
    ticks: u32,
    asked: u32,
}

struct Watchdog {
    slots: Mutex<Vec<Watched>>,
    more: Condvar,
}

static WATCHDOG: LazyLock<Watchdog> =
    LazyLock::new(|| Watchdog { slots: Mutex::new(Vec::new()), more: Condvar::new() });

/// Starts the thread that watches, and takes hold of the signal, once in a process.
///
/// # Errors
/// There can be no more threads.
pub(crate) fn start() -> std::io::Result<()> {
    static STARTED: OnceLock<Result<(), std::io::ErrorKind>> = OnceLock::new();
    let started = STARTED.get_or_init(|| {
        // SAFETY: a zeroed `sigaction` is a valid one, and the handler does only what a handler may do.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = on_signal as extern "C" fn(c_int) as libc::sighandler_t;
            action.sa_flags = libc::SA_RESTART;
            libc::sigaction(signal(), &raw const action, null_mut());
        }
        std::thread::Builder::new().name("script-watchdog".into()).spawn(watch).map(drop).map_err(|error| error.kind())
    });
    started.map_err(Into::into)
}

/// Not used by the C library, by the runtime of plugins, or by the gateway for something else.
fn signal() -> c_int {
    libc::SIGRTMIN() + 5
}

fn watch() {
    loop {
        let mut slots = WATCHDOG.slots.lock();
        while slots.is_empty() {
            WATCHDOG.more.wait(&mut slots);
        }
        let known = slots.iter_mut().fold(false, |known, watched| watched.look() | known);
        drop(slots);
        std::thread::sleep(if known { TICK } else { IDLE_TICK });
    }
}

impl Watched {
    /// Whether it is in a run that was seen before.
    fn look(&mut self) -> bool {
        let run = self.slot.run.load(Ordering::Acquire);
        if run.is_multiple_of(2) {
            return false;
        }
        let used = processor_time(self.slot.thread);
        let answers = self.slot.answers.load(Ordering::Relaxed);
        if run != self.seen.run {
            self.seen = Seen { run, begun: used, answers, ..Seen::default() };
            return false;
        }
        self.seen.ticks += 1;
        let used = used.saturating_sub(self.seen.begun);
        let answers = answers.wrapping_sub(self.seen.answers);
        let allowance = Duration::from_nanos(self.slot.allowance.load(Ordering::Relaxed));
        let is_late = used >= allowance && answers >= ANSWERS || TICK * self.seen.ticks >= allowance * WALL_FACTOR;
        let is_asked = used >= allowance / 2 && answers >= self.seen.asked;
        if !(is_late || is_asked) || self.slot.run.load(Ordering::Acquire) != run {
            return true;
        }
        if is_late {
            self.slot.fired.store(run, Ordering::Release);
        } else {
            self.seen.asked += 1;
        }
        // SAFETY: the thread lives, for its slot is removed under the lock that is held here.
        unsafe { libc::pthread_kill(self.slot.thread, signal()) };
        true
    }
}

fn processor_time(thread: libc::pthread_t) -> Duration {
    let (mut clock, mut time) = (0, libc::timespec { tv_sec: 0, tv_nsec: 0 });
    // SAFETY: the thread lives (see `look`), and both pointers are to variables of this function.
    let known = unsafe {
        libc::pthread_getcpuclockid(thread, &raw mut clock) == 0 && libc::clock_gettime(clock, &raw mut time) == 0
    };
    let (seconds, nanos) = (u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0));
    if known { Duration::new(seconds, nanos) } else { Duration::ZERO }
}

extern "C" fn on_signal(_: c_int) {
    // SAFETY: it is there for as long as the thread's own variable is.
    let Some(slot) = (unsafe { OWN.get().as_ref() }) else { return };
    slot.answers.fetch_add(1, Ordering::Relaxed);
    // One that was sent to a run which has ended meanwhile is not for the next.
    if slot.fired.load(Ordering::Acquire) == slot.run.load(Ordering::Relaxed) {
        hook_running(0);
    }
}

extern "C" fn hook_running(_: c_int) {
    let state = RUNNING.get();
    if !state.is_null() {
        // SAFETY: the VM runs on this very thread, which is interrupted by its handler; LuaJIT allows for exactly this.
        unsafe { ffi::lua_sethook(state, Some(stop), ffi::LUA_MASKCOUNT, 1) };
    }
}

unsafe extern "C-unwind" fn stop(state: *mut lua_State, _: *mut lua_Debug) {
    // SAFETY: called by the VM with its current state; the text ends in a zero, and nothing has to be dropped here.
    unsafe {
        note_where(state);
        ffi::luaL_error(state, c"the script ran for too long".as_ptr())
    };
}

/// Most frames of a traceback: what matters is at the top.
const FRAMES: c_int = 20;

/// Keeps where the script was when it was first stopped: later errors are from where it was caught.
///
/// # Safety
/// `state` is the VM's current one.
unsafe fn note_where(state: *mut lua_State) {
    if STOPPED_AT.with_borrow(|stopped| !stopped.is_empty()) {
        return;
    }
    let mut text = String::new();
    for level in 0..FRAMES {
        // SAFETY: a zeroed `lua_Debug` is a valid one to fill in; neither function allocates or raises.
        let (known, frame) = unsafe {
            let mut frame: lua_Debug = std::mem::zeroed();
            let known = ffi::lua_getstack(state, level, &raw mut frame) == 1
                && ffi::lua_getinfo(state, c"Sl".as_ptr(), &raw mut frame) != 0;
            (known, frame)
        };
        if !known {
            break;
        }
        // SAFETY: `lua_getinfo` has written a text that ends in a zero.
        let source = unsafe { std::ffi::CStr::from_ptr(frame.short_src.as_ptr()) }.to_string_lossy();
        if source.starts_with("witgate/") {
            break;
        }
        if frame.currentline > 0 {
            text.push_str(&format!("\n\t{source}:{}", frame.currentline));
        }
    }
    if text.is_empty() {
        text.push_str("\n\t(no Lua frame)");
    }
    STOPPED_AT.with_borrow_mut(|stopped| *stopped = text);
}

/// Runs what runs a VM; if it was stopped for taking longer than `allowance`, where it was then.
pub(crate) fn guard<T>(lua: &Lua, allowance: Duration, run: impl FnOnce() -> T) -> (T, Option<String>) {
    let state = lua.exec_raw_lua(|raw| raw.state());
    let outer = RUNNING.replace(state);
    if !outer.is_null() {
        // Within another run, whose allowance counts.
        let result = run();
        RUNNING.set(outer);
        return (result, None);
    }
    SLOT.with(|Registered(slot)| {
        slot.allowance.store(u64::try_from(allowance.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        // Only this thread writes it.
        let number = slot.run.load(Ordering::Relaxed).wrapping_add(1);
        slot.run.store(number, Ordering::Release);
        let result = run();
        RUNNING.set(null_mut());
        slot.run.store(number.wrapping_add(1), Ordering::Release);
        if slot.fired.load(Ordering::Acquire) != number {
            return (result, None);
        }
        unhook(lua);
        (result, Some(STOPPED_AT.take()))
    })
}

fn unhook(lua: &Lua) {
    // SAFETY: takes the hook away that `hook_running` may have set.
    lua.exec_raw_lua(|raw| unsafe { ffi::lua_sethook(raw.state(), None, 0, 0) });
}

/// Whether hooks end compiled loops, too: tried once, with a loop that sets its own hook.
pub(crate) fn stops_compiled_code() -> bool {
    static STOPS: OnceLock<bool> = OnceLock::new();
    *STOPS.get_or_init(|| {
        // SAFETY: a VM with `ffi`, for the one chunk below.
        let lua = unsafe { Lua::unsafe_new() };
        RUNNING.set(lua.exec_raw_lua(|raw| raw.state()));
        let set = LightUserData(hook_running as extern "C" fn(c_int) as *mut std::ffi::c_void);
        let chunk = lua.load(include_str!("lua/hooked_loop.lua")).set_name("=hooked_loop");
        let went_through = chunk.call::<bool>(set);
        RUNNING.set(null_mut());
        unhook(&lua);
        STOPPED_AT.take();
        went_through.is_err()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOWANCE: Duration = Duration::from_millis(50);

    /// A thread that takes no signal looks to the watchdog like one whose processor is away.
    #[test]
    fn a_run_that_was_not_seen_while_it_was_executed_is_not_stopped() {
        start().unwrap();
        let lua = Lua::new();
        let block = |how: c_int| {
            // SAFETY: a zeroed set is filled by the call that follows, and no pointer outlives its call.
            unsafe {
                let mut signals: libc::sigset_t = std::mem::zeroed();
                libc::sigemptyset(&raw mut signals);
                libc::sigaddset(&raw mut signals, signal());
                assert_eq!(libc::pthread_sigmask(how, &raw const signals, null_mut()), 0);
            }
        };
        block(libc::SIG_BLOCK);
        let ((), stopped) = guard(&lua, ALLOWANCE, || {
            // SAFETY: has no preconditions.
            let own = unsafe { libc::pthread_self() };
            let begun = processor_time(own);
            while processor_time(own) - begun < ALLOWANCE * 2 {
                std::hint::spin_loop();
            }
        });
        assert_eq!(stopped, None);
        // The signal that waits is not for the next run.
        block(libc::SIG_UNBLOCK);
        let count = lua.load("local n = 0 for i = 1, 1000 do n = n + i end return n");
        let (sum, stopped) = guard(&lua, ALLOWANCE, || count.eval::<f64>());
        assert_eq!((sum.unwrap(), stopped), (500_500.0, None));
        let endless = lua.load("while true do end");
        let (result, stopped) = guard(&lua, ALLOWANCE, || endless.exec());
        assert!(result.is_err() && stopped.is_some(), "{result:?} {stopped:?}");
    }
}
