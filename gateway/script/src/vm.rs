//! One Lua state: made lazily by each thread for each app, and replaced when it can no longer be relied on.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use mlua::chunk::ChunkMode;
use mlua::prelude::*;
use mlua::state::{GcIncParams, GcMode};
use parking_lot::Mutex;
use tracing::warn;
use witgate_stage::{Exchange, Stopwatch};

use crate::api::install;
use crate::app::{App, Chunk};
use crate::deadline::Deadlines;
use crate::error::MemoryLimit;
use crate::field_names::FieldNames;
use crate::phase::Moment;
use crate::raw::{Answer, Entry, Returned, ReturnedValue};
use crate::request::{Plain, Request, Results, Slot, Slots};
use crate::script::Script;
use crate::socket::Sockets;
use crate::timer::Timers;
use crate::wait::Bells;
use crate::{Phase, ScriptError, watchdog};

/// A VM that holds more than these parts of its limit is collected, and replaced if that does not help: what is left must be
/// enough for requests.
const FULL: (usize, usize) = (3, 4);

/// Requests whose memory is kept: enough for what is usually in flight on one thread.
const SPARE_LIMIT: usize = 128;

/// Run time of loading modules and `init`: at a start or a reload, where nobody waits.
const INIT_TIME: Duration = Duration::from_secs(10);

thread_local! {
    static VMS: RefCell<Vec<Rc<Vm>>> = const { RefCell::new(Vec::new()) };
}

/// What host functions reach: one for each VM.
pub(crate) struct Core {
    pub app: Arc<App>,
    /// The request whose script runs.
    current: RefCell<Option<Rc<Request>>>,
    /// Those that later hooks will go on with.
    kept: RefCell<HashMap<u64, Rc<Request>>>,
    numbers: Cell<u64>,
    /// Of requests that have ended, from wherever they ended.
    ended: Arc<Mutex<Vec<u64>>>,
    pub serial: u64,
    slots: Rc<Slots>,
    pub deadlines: Rc<Deadlines>,
    /// Of the operation that goes on now.
    results: RefCell<Option<Plain>>,
    pub sockets: Rc<Sockets>,
    pub timers: Timers,
    pub field_names: FieldNames,
    /// Wakes what waits for something else of the VM.
    pub bells: Rc<Bells>,
    /// The VM itself, for what begins outside of requests.
    pub vm: RefCell<std::rc::Weak<Vm>>,
}

impl Core {
    /// Writes down what the operation that goes on now came to.
    pub fn results(&self, answer: &mut Answer) {
        let results = self.results.borrow_mut().take();
        if let Some(results) = results {
            results(answer);
        }
    }

    /// # Errors
    /// Nothing that a request began runs.
    pub fn request(&self) -> LuaResult<Rc<Request>> {
        self.current.borrow().clone().ok_or_else(|| LuaError::runtime("no request found"))
    }
}

/// Tells its VM when the request has ended.
struct Ticket {
    serial: u64,
    number: u64,
    ended: Arc<Mutex<Vec<u64>>>,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.ended.lock().push(self.number);
    }
}

/// How a phase stands.
pub(crate) enum Standing {
    Ended,
    Waits,
    /// `ngx.exit` and the like, with the status.
    Exited(i64),
}

/// Numbers of one script's chunks, by phase: 0 for one that has not been compiled.
type Chunks = [u32; Phase::ALL.len()];

pub(crate) struct Vm {
    lua: Lua,
    core: Rc<Core>,
    start: Entry,
    start_body: LuaFunction,
    event: LuaFunction,
    plain_event: Entry,
    abandon: Entry,
    forget: Entry,
    spawn: LuaFunction,
    define: LuaFunction,
    scripts: RefCell<Vec<(Weak<Script>, Chunks)>>,
    chunks: Cell<u32>,
    retired: Cell<bool>,
    /// Requests that have ended, whose memory can be used again.
    spare: RefCell<Vec<Rc<Request>>>,
}

impl Vm {
    /// This thread's VM of an app.
    ///
    /// # Errors
    /// There is none yet, and none can be made.
    pub fn of(app: &Arc<App>) -> Result<Rc<Self>, ScriptError> {
        let found = VMS.with_borrow(|vms| {
            let own = |vm: &&Rc<Self>| Arc::ptr_eq(&vm.core.app, app) && !vm.retired.get();
            vms.iter().find(own).map(Rc::clone)
        });
        if let Some(vm) = found {
            return Ok(vm);
        }
        let vm = Self::new(app)?;
        vm.begin_worker()?;
        // Dropped after the list is free again: what ends with a VM may want one.
        let old: Vec<_> = VMS.with_borrow_mut(|vms| {
            let gone = vms.extract_if(.., |vm| vm.retired.get() || vm.core.app.is_retired()).collect();
            vms.push(Rc::clone(&vm));
            gone
        });
        drop(old);
        Ok(vm)
    }

    /// Makes a VM and runs `init`.
    ///
    /// # Errors
    /// `init` or a chunk fails.
    pub fn new(app: &Arc<App>) -> Result<Rc<Self>, ScriptError> {
        let start = |error: LuaError| ScriptError::Start(describe(&error));
        let lua = install::state(app.spec.trust);
        let number = app.figures.vms.fetch_add(1, Ordering::Relaxed);
        let core = Rc::new(Core {
            app: Arc::clone(app),
            current: RefCell::new(None),
            kept: RefCell::default(),
            numbers: Cell::new(1),
            ended: Arc::default(),
            serial: number,
            slots: Rc::default(),
            deadlines: Rc::default(),
            results: RefCell::new(None),
            sockets: Sockets::new(app),
            timers: Timers::default(),
            field_names: FieldNames::default(),
            bells: Rc::default(),
            vm: RefCell::new(std::rc::Weak::new()),
        });
        let installed = install::install(&lua, &core).map_err(start)?;
        let entry = |name: &str| installed.get(name).and_then(|function| Entry::new(&lua, function)).map_err(start);
        let vm = Rc::new(Self {
            start: entry("start")?,
            start_body: installed.get("start_body").map_err(start)?,
            event: installed.get("event").map_err(start)?,
            plain_event: entry("plain_event")?,
            abandon: entry("abandon")?,
            forget: entry("forget")?,
            spawn: installed.get("spawn").map_err(start)?,
            define: installed.get("define").map_err(start)?,
            lua,
            core,
            scripts: RefCell::default(),
            chunks: Cell::new(0),
            retired: Cell::new(false),
            spare: RefCell::default(),
        });
        *vm.core.vm.borrow_mut() = Rc::downgrade(&vm);
        if !watchdog::stops_compiled_code() {
            vm.lua.load("jit.off() jit.flush()").exec().map_err(start)?;
        }
        let init: LuaFunction = installed.get("alone").map_err(start)?;
        if let Some(chunk) = &app.spec.init {
            let factory = vm.factory(chunk).map_err(start)?;
            let request = vm.request();
            request.moment.set(Moment::Init);
            request.cpu_left.set(INIT_TIME);
            request.memory_left.set(app.spec.limits.memory);
            vm.enter(&request, |_| told(init.call(("init", factory))))?;
        }
        let _ = vm.lua.gc_collect();
        pace_collector(&vm.lua, app.spec.limits.memory);
        Ok(vm)
    }

    /// Runs `init_worker`, once in each VM that serves.
    fn begin_worker(self: &Rc<Self>) -> Result<(), ScriptError> {
        let Some(chunk) = &self.core.app.spec.init_worker else { return Ok(()) };
        let start = |error: LuaError| ScriptError::Start(describe(&error));
        let factory = self.factory(chunk).map_err(start)?;
        let request = self.request();
        request.cpu_left.set(INIT_TIME);
        request.memory_left.set(self.core.app.spec.limits.memory);
        request.moment.set(Moment::InitWorker);
        let chunk = self.define("init_worker", Some(factory)).map_err(start)?;
        self.enter(&request, |lua| self.start.call(lua, &[slot(&request), number(&request), f64::from(chunk), 1.0]))?;
        self.forget(&request);
        Ok(())
    }

    pub fn lua(&self) -> &Lua {
        &self.lua
    }

    pub fn core(&self) -> &Rc<Core> {
        &self.core
    }

    /// No more requests begin here.
    pub fn retire(&self) {
        if !self.retired.replace(true) {
            self.core.timers.end();
            self.core.app.figures.vms_replaced.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Compiles a chunk to a function that makes functions of it.
    ///
    /// # Errors
    /// It is not Lua.
    pub fn factory(&self, chunk: &Chunk) -> LuaResult<LuaFunction> {
        Self::compile(&self.lua, &chunk.source, &chunk.name)
    }

    /// As [`Self::factory`], in any VM.
    ///
    /// # Errors
    /// It is not Lua.
    pub fn compile(lua: &Lua, source: &[u8], name: &str) -> LuaResult<LuaFunction> {
        let source = without_first_line_comment(source);
        // By itself first: text that closes the function below would not be one of these.
        lua.load(source).set_mode(ChunkMode::Text).set_name(name).into_function()?;
        let text = [b"return function(...) ", source, b"\nend"].concat();
        lua.load(text).set_mode(ChunkMode::Text).set_name(name).into_function()
    }

    /// The number of a script's chunk, which is compiled for its first request.
    fn chunk(&self, script: &Arc<Script>, phase: Phase) -> LuaResult<u32> {
        let of = |(known, _): &&mut (Weak<Script>, Chunks)| std::ptr::eq(known.as_ptr(), Arc::as_ptr(script));
        let mut scripts = self.scripts.borrow_mut();
        if let Some((_, chunks)) = scripts.iter_mut().find(of)
            && let Some(number @ 1..) = chunks.get(phase as usize)
        {
            return Ok(*number);
        }
        let chunk = script.spec.phases.get(&phase).ok_or_else(|| LuaError::runtime("no such phase"))?;
        let factory = self.factory(chunk)?;
        let number = self.define(phase.name(), Some(factory))?;
        let known = match scripts.iter().position(|(known, _)| std::ptr::eq(known.as_ptr(), Arc::as_ptr(script))) {
            Some(at) => at,
            None => {
                let gone = scripts.extract_if(.., |(known, _)| known.strong_count() == 0);
                for number in gone.flat_map(|(_, chunks)| chunks).filter(|number| *number > 0) {
                    self.define.call::<()>((number, LuaNil, LuaNil))?;
                }
                scripts.push((Arc::downgrade(script), Chunks::default()));
                scripts.len() - 1
            }
        };
        if let Some(slot) = scripts.get_mut(known).and_then(|(_, chunks)| chunks.get_mut(phase as usize)) {
            *slot = number;
        }
        Ok(number)
    }

    fn define(&self, phase: &str, factory: Option<LuaFunction>) -> LuaResult<u32> {
        let number = self.chunks.get() + 1;
        self.chunks.set(number);
        self.define.call::<()>((number, phase, factory))?;
        Ok(number)
    }

    /// A request that nobody has seen yet.
    pub fn request(&self) -> Rc<Request> {
        let number = self.core.numbers.get();
        self.core.numbers.set(number + 1);
        let spare = self.spare.borrow_mut().pop();
        if let Some(mut request) = spare
            && let Some(own) = Rc::get_mut(&mut request)
        {
            own.begin_as(number);
            return request;
        }
        Rc::new(Request::new(number, Slot::of(&self.core.slots)))
    }

    /// Takes a request back that has ended, for [`Self::request`], unless something still refers to it.
    pub fn take_back(&self, mut request: Rc<Request>) {
        if let Some(own) = Rc::get_mut(&mut request) {
            own.clear();
            let mut spare = self.spare.borrow_mut();
            if spare.len() < SPARE_LIMIT {
                spare.push(request);
            }
        }
    }

    /// What an earlier hook left here of the request that an exchange is about, or a new one, which is kept for later hooks.
    pub fn request_of(&self, exchange: &mut Exchange) -> Rc<Request> {
        let core = &self.core;
        let tickets = exchange.holds.iter().filter_map(|hold| hold.downcast_ref::<Ticket>());
        let mut own = tickets.filter(|ticket| ticket.serial == core.serial && Arc::ptr_eq(&ticket.ended, &core.ended));
        let kept = own.next().and_then(|ticket| core.kept.borrow().get(&ticket.number).cloned());
        if let Some(request) = kept {
            return request;
        }
        self.sweep();
        let request = self.request();
        core.kept.borrow_mut().insert(request.number, Rc::clone(&request));
        let ended = Arc::clone(&core.ended);
        exchange.holds.push(Box::new(Ticket { serial: core.serial, number: request.number, ended }));
        request
    }

    /// Forgets requests that have ended.
    fn sweep(&self) {
        let ended = std::mem::take(&mut *self.core.ended.lock());
        for number in ended {
            let request = self.core.kept.borrow_mut().remove(&number);
            if let Some(request) = request {
                self.forget(&request);
            }
        }
    }

    /// Forgets a request that is not kept for later hooks.
    pub fn forget(&self, request: &Request) {
        let _ = self.forget.call(&self.lua, &[slot(request), number(request)]);
    }

    /// Forgets what of a phase has not ended.
    pub fn abandon(&self, request: &Request) {
        request.cancel_all();
        let _ = self.abandon.call(&self.lua, &[slot(request), number(request)]);
    }

    /// Whether a VM is so full that another has to take its place.
    pub fn is_full(&self) -> bool {
        let (part, whole) = FULL;
        let limit = self.core.app.spec.limits.memory / whole * part;
        if self.lua.used_memory() <= limit {
            return false;
        }
        let _ = self.lua.gc_collect();
        pace_collector(&self.lua, self.core.app.spec.limits.memory);
        let is_full = self.lua.used_memory() > limit;
        if is_full {
            warn!(
                lua = &*self.core.app.spec.name,
                "a VM is full of what scripts keep (`memory_limit`): it is replaced"
            );
        }
        is_full
    }

    pub fn used_memory(&self) -> usize {
        self.lua.used_memory()
    }

    /// Begins a phase.
    ///
    /// # Errors
    /// It failed.
    pub fn start(
        &self,
        request: &Rc<Request>,
        (script, keeps): (&Arc<Script>, bool),
        phase: Phase,
    ) -> Result<Standing, ScriptError> {
        let chunk = self.chunk(script, phase).map_err(|error| ScriptError::Runtime(describe(&error)))?;
        request.moment.set(Moment::Phase(phase));
        request.cpu_left.set(self.core.app.spec.limits.cpu);
        let arguments = [slot(request), number(request), f64::from(chunk), f64::from(u8::from(keeps))];
        self.enter(request, |lua| self.start.call(lua, &arguments))
    }

    /// Runs a body filter over a piece.
    ///
    /// # Errors
    /// It failed.
    pub fn filter_body(
        &self,
        request: &Rc<Request>,
        (script, keeps): (&Arc<Script>, bool),
        piece: &[u8],
        last: bool,
    ) -> Result<(Option<LuaValue>, bool), ScriptError> {
        let chunk = self.chunk(script, Phase::BodyFilter).map_err(|error| ScriptError::Runtime(describe(&error)))?;
        request.moment.set(Moment::Phase(Phase::BodyFilter));
        request.cpu_left.set(self.core.app.spec.limits.cpu);
        let mut made = (None, last);
        self.enter(request, |lua| {
            told(lua.create_string(piece).and_then(|piece| {
                let (status, value, body, last): (u8, LuaValue, LuaValue, LuaValue) =
                    self.start_body.call((request.slot.number, request.number, chunk, keeps, piece, last))?;
                made = (Some(body), last.as_boolean().unwrap_or(false));
                Ok((status, value))
            }))
        })?;
        Ok(made)
    }

    /// Begins a function that runs by itself, as timers do.
    ///
    /// # Errors
    /// It failed.
    pub fn spawn(
        &self,
        request: &Rc<Request>,
        function: &LuaFunction,
        arguments: LuaMultiValue,
    ) -> Result<Standing, ScriptError> {
        request.moment.set(Moment::Timer);
        request.cpu_left.set(self.core.app.spec.limits.cpu);
        request.memory_left.set(self.core.app.spec.limits.request_memory);
        let ids = (request.slot.number, request.number);
        self.enter(request, |_| told(self.spawn.call((ids.0, ids.1, function, arguments))))
    }

    /// Goes on with what waits for an operation.
    ///
    /// # Errors
    /// It failed.
    pub fn event(&self, request: &Rc<Request>, (operation, results): (u64, Results)) -> Result<Standing, ScriptError> {
        match results {
            Results::Plain(results) => {
                *self.core.results.borrow_mut() = Some(results);
                #[expect(clippy::cast_precision_loss, reason = "no request has so many operations")]
                let arguments = [slot(request), number(request), operation as f64];
                self.enter(request, |lua| self.plain_event.call(lua, &arguments))
            }
            Results::Made(make) => self.enter(request, |lua| {
                let ids = (request.slot.number, request.number);
                told(make(lua).and_then(|results| self.event.call((ids.0, ids.1, operation, results))))
            }),
        }
    }

    /// Runs what runs Lua, within the limits.
    fn enter(
        &self,
        request: &Rc<Request>,
        call: impl FnOnce(&Lua) -> Result<Returned, String>,
    ) -> Result<Standing, ScriptError> {
        let (lua, limits) = (&self.lua, &self.core.app.spec.limits);
        let used = lua.used_memory();
        let own = used.saturating_add(request.memory_left.get());
        let _ = lua.set_memory_limit(own.min(limits.memory));
        let outer = self.core.current.replace(Some(Rc::clone(request)));
        let mut stopwatch = Stopwatch::start();
        let (result, stopped) = watchdog::guard(lua, request.cpu_left.get(), || call(lua));
        let took = stopwatch.lap();
        *self.core.current.borrow_mut() = outer;
        let _ = lua.set_memory_limit(limits.memory.saturating_mul(2));
        request.cpu_left.set(request.cpu_left.get().saturating_sub(took));
        request.took.set(request.took.get() + took);
        let grown = lua.used_memory().saturating_sub(used);
        request.memory_left.set(request.memory_left.get().saturating_sub(grown));
        let failure = match result {
            Ok(Returned { number, value }) => match (number, value) {
                (ENDED, _) if stopped.is_none() => return Ok(Standing::Ended),
                (WAITS, _) if stopped.is_none() => return Ok(Standing::Waits),
                #[expect(clippy::cast_possible_truncation, reason = "statuses are small")]
                (EXITED, ReturnedValue::Number(status)) if stopped.is_none() => {
                    return Ok(Standing::Exited(status as i64));
                }
                (_, ReturnedValue::Text(message)) => message,
                _ => "stopped".to_owned(),
            },
            Err(message) => message,
        };
        self.abandon(request);
        if let Some(traceback) = stopped {
            self.retire();
            return Err(ScriptError::RunTime { limit_ms: limits.cpu.as_millis(), traceback });
        }
        if failure.starts_with("not enough memory") || failure.starts_with("memory error") {
            if own < limits.memory {
                let _ = lua.gc_collect();
                return Err(ScriptError::Memory(MemoryLimit::Request));
            }
            self.retire();
            return Err(ScriptError::Memory(MemoryLimit::Vm));
        }
        Err(ScriptError::Runtime(failure))
    }
}

/// How the dispatcher says that a run stands.
const ENDED: f64 = 0.0;
const WAITS: f64 = 1.0;
const EXITED: f64 = 2.0;

fn slot(request: &Request) -> f64 {
    f64::from(request.slot.number)
}

#[expect(clippy::cast_precision_loss, reason = "no VM serves so many requests")]
fn number(request: &Request) -> f64 {
    request.number as f64
}

/// What a call through the binding has returned, or its error as a text.
fn told(result: LuaResult<(u8, LuaValue)>) -> Result<Returned, String> {
    let (number, value) = result.map_err(|error| describe(&error))?;
    let value = match value {
        LuaValue::Integer(status) => ReturnedValue::Number(i32::try_from(status).unwrap_or(0).into()),
        LuaValue::String(message) => ReturnedValue::Text(message.to_string_lossy()),
        _ => ReturnedValue::Nothing,
    };
    Ok(Returned { number: number.into(), value })
}

/// Garbage that a VM may have besides what lives in it, before it is collected. The collector looks at all that lives each time,
/// so what a request's garbage costs is this in proportion to that: with Lua's own setting, which is as much as lives, it was
/// more than all else that a small script costs. As a part of the VM's limit: 8 MiB of 64.
const GARBAGE: usize = 8;

/// Tells the collector how much may gather. What lives is known after a full collection only.
fn pace_collector(lua: &Lua, limit: usize) {
    let live = lua.used_memory().max(1);
    let pause = ((live + limit / GARBAGE).saturating_mul(100) / live).clamp(150, 1000);
    let _ = lua.gc_set_mode(GcMode::Incremental(GcIncParams::default().pause(i32::try_from(pause).unwrap_or(200))));
}

/// An error as scripts see it, without the name that the binding gives its kind.
pub(crate) fn describe(error: &LuaError) -> String {
    match error {
        LuaError::RuntimeError(message) | LuaError::SyntaxError { message, .. } => message.clone(),
        LuaError::CallbackError { traceback, cause } => format!("{}\n{traceback}", describe(cause)),
        error => error.to_string(),
    }
}

/// Lua files may begin with `#!`, and editors put a mark before that: the line end stays, so that lines keep their numbers.
pub(crate) fn without_first_line_comment(source: &[u8]) -> &[u8] {
    let source = source.strip_prefix(b"\xef\xbb\xbf").unwrap_or(source);
    if !source.starts_with(b"#") {
        return source;
    }
    let end = memchr::memchr(b'\n', source).unwrap_or(source.len());
    source.get(end..).unwrap_or_default()
}
